/* photo.h: the photographs that a question is about: a file, indexed or not, or a content of the catalog.
 *
 *     struct library library;
 *     subject_library(cli, CATALOG_READ, &library, err);         // unlike library_open, content with an empty library
 *     subject_file(&library, "dog.jpg", embedding, tokens, &content, err);
 *
 * What the catalog holds of a file's content is used, whatever the file is called; the rest is encoded as `coca index` would, so that
 * the answer does not depend on whether the file is indexed.
 *
 * Letters: E embedding, N image tokens, W their width.
 */
#ifndef QUERY_ASK_PHOTO_H
#define QUERY_ASK_PHOTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "query/session/library.h"
#include "schema/base/memory.h"

/* Opens the model, and the catalog: for reading, if there is one (library->catalog may be NULL, library->row.id 0 if it does not
 * know the model); or for writing, whereby the model gets its row. */
enum status subject_library(struct cli *cli, enum catalog_mode mode, struct library *library, struct err *err);

/* embedding[E] and tokens[N,W] may be NULL. *content 0: the catalog does not hold this file. */
enum status subject_file(struct library *library, const char *path, float *embedding, float *tokens, int64_t *content, struct err *err);

/* The image tokens of a content, stored or encoded from one of its files. *found false: neither can be had. */
enum status subject_tokens(struct library *library, int64_t content, float *tokens /* [N,W] */, bool *found, struct err *err);

/* Tokens as they are once stored, 8 bit a component. */
enum status subject_round(const struct engine *engine, float *tokens /* [N,W] */, struct err *err);

/* Appends the path of a content's first photo that passes the filter (NULL: any) and is there; nothing if there is none. */
enum status subject_path(struct library *library, int64_t content, const struct photo_filter *filter, struct buffer *path, struct err *err);

#endif
