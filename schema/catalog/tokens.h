/* tokens.h: what the image tower and its pooler said of a content, so that reranking and heads need not look at the file again: a
 * cache with a budget, of blobs as schema/base/packed.h writes them.
 *
 *     catalog_tokens_put(catalog, content, model, blob, size, err);
 *     catalog_tokens_of_contents(catalog, contents, n, model, blobs, sizes, err);   // one statement for all
 *     catalog_tokens_touch(catalog, contents, n, model);
 *     catalog_tokens_trim(catalog, budget, &left, err);                 // the least recently used go
 */
#ifndef SCHEMA_CATALOG_TOKENS_H
#define SCHEMA_CATALOG_TOKENS_H

#include "schema/catalog/catalog.h"

/* blob as schema/base/packed.h writes it. */
enum status catalog_tokens_put(struct catalog *catalog, int64_t content, int64_t model, const void *blob, size_t size, struct err *err);
/* *blob is the caller's to free; NULL if there is none. */
enum status catalog_tokens_get(struct catalog *catalog, int64_t content, int64_t model, void **blob, size_t *size, struct err *err);
/* The same for n contents, each named once; blobs [n], sizes [n]. */
enum status catalog_tokens_of_contents(struct catalog *catalog, const int64_t *contents, size_t n, int64_t model, void **blobs,
				       size_t *sizes, struct err *err);
/* Marks as used now (best effort; a locked or read-only catalog is no error). */
void catalog_tokens_touch(struct catalog *catalog, const int64_t *contents, size_t n, int64_t model);
/* Deletes least recently used tokens, of all models, until at most budget bytes are left. */
enum status catalog_tokens_trim(struct catalog *catalog, size_t budget, size_t *left, struct err *err);

/* The same for the encoder's tokens, which heads read (model/net/vision.h). room: bytes that are free of a budget. */
enum status catalog_encoder_put(struct catalog *catalog, int64_t content, int64_t model, const void *blob, size_t size, struct err *err);
enum status catalog_encoder_get(struct catalog *catalog, int64_t content, int64_t model, void **blob, size_t *size, struct err *err);
enum status catalog_encoder_of_contents(struct catalog *catalog, const int64_t *contents, size_t n, int64_t model, void **blobs,
					size_t *sizes, struct err *err);
enum status catalog_encoder_trim(struct catalog *catalog, size_t budget, size_t *left, struct err *err);
enum status catalog_encoder_room(struct catalog *catalog, size_t budget, size_t *room, struct err *err);

#endif
