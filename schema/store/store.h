/* store.h: a library as a question sees it: read only, in arrays, whichever database holds it.
 *
 *     struct store *store;
 *     sqlite_store_open(catalog, &model, &store, err);                   // schema/store/sqlite.h; once a process
 *     store_begin(store, err);                                           // from here on all calls see one state
 *     store_nearest(store, STORE_PHOTOS, query, NULL, 0, k, scores, contents, err);
 *     store_photos(store, contents, k, &filter, &photos, err);           // rows of all k in one statement
 *     store_end(store);
 *     ... photos.rows[i].path ...
 *     store_photos_release(&photos);
 *     store_close(store);
 *
 * Ids are those of contents (STORE_PHOTOS) or of texts (STORE_TEXTS). Whatever is asked for n ids takes a statement or a few,
 * not n. Unless a comment says otherwise: ids may come in any order and more than once; what is not found is no error; nothing calls
 * back; nothing is written. After an error lists are empty, with nothing to free, and arrays of the caller's hold no promise.
 *
 * A store is used by one thread at a time. There may be several of one library.
 */
#ifndef SCHEMA_STORE_STORE_H
#define SCHEMA_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/status.h"
#include "schema/catalog/catalog.h"
#include "schema/catalog/filter.h"
#include "schema/catalog/models.h"
#include "schema/catalog/photos.h"
#include "schema/catalog/heads.h"
#include "schema/catalog/texts.h"

enum store_set { STORE_PHOTOS, STORE_TEXTS };
enum store_tokens { STORE_IMAGE_TOKENS, STORE_ENCODER_TOKENS };
enum store_sample {
	STORE_THERE, /* contents with a photo that is there */
	STORE_ANY,   /* any contents, also those that no photo has any more: quicker */
	STORE_TIED,  /* texts tied to a content */
};

struct store_operations; /* what a database implements: schema/store/operations.h */
struct store {
	const struct store_operations *operations;
	struct catalog_model model; /* whose embeddings and tokens are meant; id 0: of none, then there are none */
};

void store_close(struct store *store); /* ends an open question; takes NULL */

/* A question: calls between begin and end see one state, whatever is written meanwhile. Without one each call sees its own. Not nested. */
enum status store_begin(struct store *store, struct err *err);
void store_end(struct store *store); /* without a begin: nothing */
/* How many statements the database was given by this store. */
uint64_t store_statements(const struct store *store);

/* --- which --- */

/* How many embeddings a set has. */
enum status store_count(struct store *store, enum store_set set, size_t *n, struct err *err);
/* The k best by inner product with query [dim], best first, ties by ascending id; among all, or among the n of `some`, which is ascending
 * (those without an embedding are passed over). scores [k], ids [k]: places left over hold -INFINITY and 0. */
enum status store_nearest(struct store *store, enum store_set set, const float *query, const int64_t *some /* NULL: all */, size_t n,
			  size_t k, float *scores, int64_t *ids, struct err *err);
/* The contents with a photo that passes and is there; ascending, the caller's to free. */
enum status store_filter(struct store *store, const struct photo_filter *filter, int64_t **contents, size_t *n, struct err *err);
/* At most `most` of a kind into ids [most]: the same on every run, as good as random, and little changed by a library's growth. */
enum status store_sample(struct store *store, enum store_sample kind, size_t most, int64_t *ids, size_t *n, struct err *err);
/* The content of a file by its hash; 0: not known. */
enum status store_content(struct store *store, const uint8_t hash[CATALOG_HASH], int64_t *content, struct err *err);
/* The texts tied to any of the contents (ascending; NULL: to any at all); ascending, the caller's to free. */
enum status store_texts_tied(struct store *store, const int64_t *contents, size_t n, int64_t **texts, size_t *count, struct err *err);
enum status store_any_tied(struct store *store, bool *any, struct err *err);
/* The texts of a collection; ascending, the caller's to free. */
enum status store_texts_in(struct store *store, const char *collection, int64_t **texts, size_t *count, struct err *err);

/* --- what is known of them --- */

struct store_photos {
	struct photo *rows; /* [count]; their strings are theirs until the release */
	size_t count;
	void *strings;
};
/* The photos of n contents that are there, READY, and pass the filter (NULL: any), in the order of the contents, copies by id. */
enum status store_photos(struct store *store, const int64_t *contents, size_t n, const struct photo_filter *filter,
			 struct store_photos *photos, struct err *err);
/* The photos that are there, READY, and pass; newest first, those without a date last, ties by path; at most `limit`. */
enum status store_newest(struct store *store, const struct photo_filter *filter, size_t limit, struct store_photos *photos,
			 struct err *err);
void store_photos_release(struct store_photos *photos); /* takes an empty list */

/* embeddings [n,dim], of which found [n] says which were filled. Photos' of any content, whether its photos are there or not. */
enum status store_embeddings(struct store *store, enum store_set set, const int64_t *ids, size_t n, float *embeddings, bool *found,
			     struct err *err);
/* Perceptual hashes. hashes [n], found [n] */
enum status store_hashes(struct store *store, const int64_t *contents, size_t n, uint64_t *hashes, bool *found, struct err *err);
/* Blobs as schema/base/packed.h writes them, not checked. blobs [n]: each the caller's to free, NULL: none; sizes [n]. Ids once each. */
enum status store_tokens(struct store *store, enum store_tokens kind, const int64_t *contents, size_t n, void **blobs, size_t *sizes,
			 struct err *err);

struct store_texts {
	struct catalog_text *rows; /* [count]; their strings are theirs until the release */
	float *embeddings;         /* [count,dim], of those that embedded [count] says; NULL where not asked for */
	bool *embedded;
	size_t count;
	void *strings;
};
/* Those of n ids that are known, in the order of the ids. */
enum status store_texts(struct store *store, const int64_t *ids, size_t n, struct store_texts *texts, struct err *err);
/* The texts tied to n contents, in the order of the contents, those of one by id. */
enum status store_texts_of(struct store *store, const int64_t *contents, size_t n, bool embeddings, struct store_texts *texts,
			   struct err *err);
void store_texts_release(struct store_texts *texts); /* takes an empty list */

/* Likelihoods of n texts under m nulls (texts.h) that were kept; NaN: not known. likelihoods [n,m] */
enum status store_nulls(struct store *store, const int64_t *texts, size_t n, const int64_t *nulls, size_t m, float *likelihoods,
			struct err *err);

/* --- labels --- */

/* As catalog_label_find: STATUS_USAGE says which there are. */
enum status store_label_find(struct store *store, const char *name, struct catalog_label *label, struct err *err);
/* Contents that have a label, by at least that probability (0: by what the head says), the most probable first, ties by content; both
 * arrays are the caller's to free. */
enum status store_label_contents(struct store *store, int64_t label, double least, int64_t **contents, double **probabilities, size_t *n,
				 struct err *err);

/* --- what a question leaves: caches, written when it has ended, and lost without a word where that cannot be --- */

void store_tokens_used(struct store *store, const int64_t *contents, size_t n); /* the budget drops those first that were not */
void store_nulls_keep(struct store *store, const struct text_null *entries, size_t n);

#endif
