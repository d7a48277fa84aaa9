/* file.h: files as bytes: mapped, read whole, or replaced in one step (writer.c).
 *
 *     struct file_map map;
 *     if (file_map_open(path, &map, err) == STATUS_OK) { ... map.data, map.size ...; file_map_close(&map); }
 *
 *     struct file_writer w;                        // the old file stays until commit
 *     status = file_writer_open(path, &w, err);
 *     fwrite(..., w.stream);
 *     status = file_writer_commit(&w, err);        // fsync, rename, fsync of the folder
 *
 * Paths are bytes, NUL-terminated.
 */
#ifndef SCHEMA_BASE_FILE_H
#define SCHEMA_BASE_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "schema/base/status.h"

struct file_map {
	const uint8_t *data; /* read only; NULL if the file is empty */
	size_t size;
};

/* Maps a regular file. STATUS_NOT_FOUND if it does not exist, STATUS_IO otherwise. */
enum status file_map_open(const char *path, struct file_map *map, struct err *err);
void file_map_close(struct file_map *map); /* takes a closed or zeroed one */

/* Reads a whole regular file of at most limit bytes; *bytes is the caller's to free, with a NUL behind it. */
enum status file_read(const char *path, size_t limit, uint8_t **bytes, size_t *size, struct err *err);
/* The same for text: STATUS_FORMAT if there is a NUL byte, which would end it early for whoever takes it for a string. */
enum status file_read_text(const char *path, size_t limit, char **text, size_t *size, struct err *err);

/* Makes a file, or replaces one: written beside it under a name of its own, renamed over it by commit. Until then, and after abort, the old
 * file is untouched, and it passes its mode and owner on. A symbolic link stays, what it leads to is written. A device, a FIFO and
 * /dev/fd/N, which nothing may be renamed over, are written directly: temporary is NULL then, and what was written stays.
 * What a killed process left beside a file is swept by the next writer of that file. */
struct file_writer {
	FILE *stream;
	char *path, *target, *temporary; /* as given; where links lead; what is renamed to that */
	int place;                       /* among those that are removed when the process ends early; -1: none */
};

enum status file_writer_open(const char *path, struct file_writer *writer, struct err *err);
enum status file_writer_commit(struct file_writer *writer, struct err *err); /* aborts when it fails */
void file_writer_abort(struct file_writer *writer); /* takes a finished or zeroed one */
/* The mode (its owner may write) and owner of what path leads to, as far as may be: a companion is as private, and for as many, as the file
 * that it belongs to. */
void file_like(int fd, const char *path);
/* Removes what is being written, at exit and by signal handlers: the process must end then. */
void file_writers_remove(void);

/* A regular file of at most 1 GB to another path, which is replaced as above. */
enum status file_copy(const char *from, const char *to, struct err *err);

/* folder + "/" + name in one string, the caller's to free; NULL when out of memory. */
char *path_join(const char *folder, const char *name);

/* Where the last component of a path leads through symbolic links, whether there is something or not; /dev/stdout leads to
 * /proc/self/fd/1 and no further. The caller's to free; NULL when out of memory. */
char *path_follow(const char *path);
/* /dev/fd/3, /proc/self/fd/3: 3. Of any other path: -1. */
int path_descriptor(const char *path);

/* mkdir -p. */
enum status path_make_folder(const char *path, struct err *err);

#endif
