/* photo.h: a library that may be empty, and where the photographs of a content lie.
 *
 *     struct library library;
 *     subject_library(cli, CATALOG_READ, &library, err);         // unlike library_open, content with an empty library
 *     subject_path(&library, content, NULL, &path, err);
 */
#ifndef QUERY_ASK_PHOTO_H
#define QUERY_ASK_PHOTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "query/session/library.h"
#include "schema/catalog/filter.h"
#include "schema/base/memory.h"

/* Opens the model, and the catalog: for reading, if there is one (library->catalog may be NULL, library->row.id 0 if it does not
 * know the model); or for writing, whereby the model gets its row. */
enum status subject_library(struct cli *cli, enum catalog_mode mode, struct library *library, struct err *err);

/* Appends the path of a content's first photo that passes the filter (NULL: any) and is there; nothing if there is none. */
enum status subject_path(struct library *library, int64_t content, const struct photo_filter *filter, struct buffer *path, struct err *err);

#endif
