/* path.h: paths as the walk, the watch and the catalog compare them, and a file's times as the catalog keeps them.
 *
 *     char *path = path_resolve("Pictures/../Pictures/2019/");   // "/home/ann/Pictures/2019", whether it exists or not
 *     if (path_below("/home/ann/Pictures", path)) ...
 */
#ifndef INDEXER_WALK_PATH_H
#define INDEXER_WALK_PATH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* Whether path is folder or lies below it. */
bool path_below(const char *folder, const char *path);

/* path made absolute, its links resolved as far as it exists; the caller's to free, NULL when out of memory. */
char *path_resolve(const char *path);

/* ns since 1970. */
int64_t file_mtime(const struct stat *st);
int64_t file_ctime(const struct stat *st);

#endif
