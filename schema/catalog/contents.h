/* contents.h: what belongs to the bytes of a file, wherever it lies: hashes, embeddings, samples.
 *
 *     catalog_content_hash(bytes, size, hash);
 *     catalog_content_put(catalog, hash, &content, err);                 // the one that is there, or a new one
 *     catalog_embedding_put(catalog, content, model, embedding, dim, err);
 *     catalog_embeddings_get(catalog, contents, n, model, embeddings, dim, found, err);   // one statement for all
 */
#ifndef SCHEMA_CATALOG_CONTENTS_H
#define SCHEMA_CATALOG_CONTENTS_H

#include "schema/catalog/catalog.h"

/* The hash that a content is known by: XXH3-128 of a file's bytes, canonical. */
void catalog_content_hash(const void *bytes, size_t size, uint8_t hash[CATALOG_HASH]);

enum status catalog_content_put(struct catalog *catalog, const uint8_t hash[CATALOG_HASH], int64_t *content, struct err *err);
/* *content 0: no file of that hash is known. */
enum status catalog_content_find(struct catalog *catalog, const uint8_t hash[CATALOG_HASH], int64_t *content, struct err *err);
/* Perceptual hashes. *found false: none is known. */
enum status catalog_hash_put(struct catalog *catalog, int64_t content, uint64_t hash, struct err *err);
enum status catalog_hash_get(struct catalog *catalog, int64_t content, uint64_t *hash, bool *found, struct err *err);
enum status catalog_hashes_get(struct catalog *catalog, const int64_t *contents, size_t n, uint64_t *hashes /* [n] */,
			       bool *found /* [n] */, struct err *err);

/* Deletes contents that no photo has, with their embeddings and tokens; of those that a text is tied to only the latter two. */
enum status catalog_purge(struct catalog *catalog, size_t *contents, struct err *err);

/* F16 blob. Raises the model's generation. */
enum status catalog_embedding_put(struct catalog *catalog, int64_t content, int64_t model, const float *embedding, size_t dim,
				  struct err *err);
/* *found false: none. */
enum status catalog_embedding_get(struct catalog *catalog, int64_t content, int64_t model, float *embedding, size_t dim, bool *found,
				  struct err *err);
/* The same for n contents, in any order; what is not found is not touched. */
enum status catalog_embeddings_get(struct catalog *catalog, const int64_t *contents, size_t n, int64_t model,
				   float *embeddings /* [n,dim] */, size_t dim, bool *found /* [n] */, struct err *err);
/* Every content that has a photo which is there and READY, ascending by content. embedding: [dim] F32, valid during the visit. */
typedef enum status (*embedding_visitor)(void *context, int64_t content, const float *embedding, struct err *err);
enum status catalog_embeddings_each(struct catalog *catalog, int64_t model, size_t dim, embedding_visitor visit, void *context,
				    struct err *err);
/* A number that changes whenever the set that catalog_embeddings_each yields changes, for that model; 0 before the first. */
enum status catalog_generation(struct catalog *catalog, int64_t model, int64_t *generation, struct err *err);

/* The `most` contents with the smallest hashes among those with a photo that is there: a sample that is as good as random, is the
 * same on every run, and changes little as the library grows. *count may be less. */
enum status catalog_contents_sample(struct catalog *catalog, size_t most, int64_t *contents /* [most] */, size_t *count, struct err *err);
/* The same among all contents, also those that no photo has any more: a few pages of one index are read, not a row of each. */
enum status catalog_contents_any(struct catalog *catalog, size_t most, int64_t *contents /* [most] */, size_t *count, struct err *err);

#endif
