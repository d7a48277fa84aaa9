/* operations.h: what a database implements to be a store: store.h's calls, one each, with the same promises.
 *
 *     struct my_store {
 *             struct store store;     // first, so that a struct store * is one of these
 *             ...
 *     };
 *     my->store = (struct store){&my_operations, *model};
 */
#ifndef SCHEMA_STORE_OPERATIONS_H
#define SCHEMA_STORE_OPERATIONS_H

#include "schema/catalog/filter.h"
#include "schema/catalog/photos.h"
#include "schema/store/store.h"

struct store_operations {
	void (*close)(struct store *store);
	enum status (*begin)(struct store *store, struct err *err);
	void (*end)(struct store *store);
	uint64_t (*statements)(const struct store *store);
	enum status (*count)(struct store *store, enum store_set set, size_t *n, struct err *err);
	enum status (*nearest)(struct store *store, enum store_set set, const float *query, const int64_t *some, size_t n, size_t k,
			       float *scores, int64_t *ids, struct err *err);
	enum status (*filter)(struct store *store, const struct photo_filter *filter, int64_t **contents, size_t *n, struct err *err);
	enum status (*sample)(struct store *store, enum store_sample kind, size_t most, int64_t *ids, size_t *n, struct err *err);
	enum status (*content)(struct store *store, const uint8_t *hash, int64_t *content, struct err *err);
	enum status (*texts_tied)(struct store *store, const int64_t *contents, size_t n, int64_t **texts, size_t *count, struct err *err);
	enum status (*any_tied)(struct store *store, bool *any, struct err *err);
	enum status (*texts_in)(struct store *store, const char *collection, int64_t **texts, size_t *count, struct err *err);
	/* Rows go to the visitor in the order that the calls above promise. */
	enum status (*photos)(struct store *store, const int64_t *contents, size_t n, const struct photo_filter *filter, photo_visitor visit,
			      void *context, struct err *err);
	enum status (*newest)(struct store *store, const struct photo_filter *filter, size_t limit, photo_visitor visit, void *context,
			      struct err *err);
	enum status (*embeddings)(struct store *store, enum store_set set, const int64_t *ids, size_t n, float *embeddings, bool *found,
				  struct err *err);
	enum status (*hashes)(struct store *store, const int64_t *contents, size_t n, uint64_t *hashes, bool *found, struct err *err);
	enum status (*tokens)(struct store *store, enum store_tokens kind, const int64_t *contents, size_t n, void **blobs, size_t *sizes,
			      struct err *err);
	enum status (*texts)(struct store *store, const int64_t *ids, size_t n, text_visitor visit, void *context, struct err *err);
	enum status (*texts_of)(struct store *store, const int64_t *contents, size_t n, bool embeddings, text_visitor visit, void *context,
				struct err *err);
	enum status (*nulls)(struct store *store, const int64_t *texts, size_t n, const int64_t *nulls, size_t m, float *likelihoods,
			     struct err *err);
	enum status (*label_find)(struct store *store, const char *name, struct catalog_label *label, struct err *err);
	enum status (*label_contents)(struct store *store, int64_t label, double least, int64_t **contents, double **probabilities, size_t *n,
				      struct err *err);
	void (*tokens_used)(struct store *store, const int64_t *contents, size_t n);
	void (*nulls_keep)(struct store *store, const struct text_null *entries, size_t n);
};

#endif
