/* sqlite.c: see sqlite.h. The catalog answers in arrays itself; here are the vector indexes, the snapshot, and what a question leaves. */
#include "schema/store/sqlite.h"

#include <math.h>
#include <stdlib.h>

#include "schema/catalog/internal.h"
#include "schema/catalog/tokens.h"
#include "schema/store/operations.h"
#include "schema/vectors/vectors.h"

#include "schema/base/banned.h"

enum { SETS = 2 };

struct sqlite_store {
	struct store store;
	struct catalog *catalog;
	bool asking;                   /* between begin and end */
	uint64_t before;               /* statements of the catalog when this was opened */
	struct {
		struct vectors *vectors;
		bool current;          /* it is known to be of the state that the question sees */
	} sets[SETS];
	struct buffer used, nulls;     /* int64_t, struct text_null: to be written when the question has ended */
};

static struct sqlite_store *of(struct store *store)
{
	return (struct sqlite_store *)store;
}

/* --- questions --- */

static enum status begin(struct store *store, struct err *err)
{
	struct sqlite_store *s = of(store);
	bool own;
	enum status status = catalog_snapshot_enter(s->catalog, &own, err);

	if (status == STATUS_OK && !own)
		status = err_set(err, STATUS_FAILED, "a question is asked while the catalog '%s' is being written", catalog_path(s->catalog));
	s->asking = status == STATUS_OK;
	return status;
}

static void write_notes(struct sqlite_store *s)
{
	const struct text_null *nulls = (const struct text_null *)(void *)s->nulls.data;

	catalog_tokens_touch(s->catalog, (const int64_t *)(void *)s->used.data, s->used.size / sizeof(int64_t), s->store.model.id);
	catalog_nulls_keep(s->catalog, s->store.model.id, nulls, s->nulls.size / sizeof *nulls);
	buffer_release(&s->used);
	buffer_release(&s->nulls);
}

static void end(struct store *store)
{
	struct sqlite_store *s = of(store);

	if (!s->asking)
		return;
	catalog_snapshot_leave(s->catalog, true);
	s->asking = false;
	for (size_t i = 0; i < SETS; i++)
		s->sets[i].current = false;
	write_notes(s);
}

static void note(struct sqlite_store *s, struct buffer *notes, const void *entries, size_t size)
{
	buffer_append(notes, entries, size);
	if (!catalog_in_transaction(s->catalog)) /* else when a question ends, or the store is closed */
		write_notes(s);
}

static void tokens_used(struct store *store, const int64_t *contents, size_t n)
{
	note(of(store), &of(store)->used, contents, n * sizeof *contents);
}

static void nulls_keep(struct store *store, const struct text_null *entries, size_t n)
{
	note(of(store), &of(store)->nulls, entries, n * sizeof *entries);
}

static uint64_t statements(const struct store *store)
{
	const struct sqlite_store *s = (const struct sqlite_store *)store;

	return s->catalog->statements - s->before;
}

static void shut(struct store *store)
{
	struct sqlite_store *s = of(store);

	write_notes(s);
	for (size_t i = 0; i < SETS; i++)
		vectors_close(s->sets[i].vectors);
	free(s);
}

/* --- vectors --- */

/* Makes sure that a set's index is open and of the state that the question sees. */
static enum status ready(struct sqlite_store *s, enum store_set set, struct err *err)
{
	struct vectors_options options = {.set = set == STORE_PHOTOS ? VECTORS_PHOTOS : VECTORS_TEXTS};
	struct vectors **vectors = &s->sets[set].vectors;
	bool current = s->sets[set].current;
	enum status status = STATUS_OK;

	if (*vectors && !current)
		status = vectors_current(*vectors, s->catalog, &current, err);
	if (status == STATUS_OK && !current) {
		vectors_close(*vectors);
		*vectors = NULL;
		status = vectors_open(s->catalog, &s->store.model, &options, vectors, err);
	}
	s->sets[set].current = status == STATUS_OK && s->asking;
	return status;
}

static enum status count(struct store *store, enum store_set set, size_t *n, struct err *err)
{
	*n = 0;
	if (!store->model.id)
		return STATUS_OK;
	enum status status = ready(of(store), set, err);
	if (status == STATUS_OK)
		*n = vectors_count(of(store)->sets[set].vectors);
	return status;
}

static enum status nearest(struct store *store, enum store_set set, const float *query, const int64_t *some, size_t n, size_t k,
			   float *scores, int64_t *ids, struct err *err)
{
	for (size_t i = 0; i < k; i++) {
		scores[i] = -INFINITY;
		ids[i] = 0;
	}
	if (!store->model.id || !k)
		return STATUS_OK;
	enum status status = ready(of(store), set, err);
	struct vectors *vectors = of(store)->sets[set].vectors;
	if (status != STATUS_OK)
		return status;
	return some ? vectors_search_some(vectors, some, n, query, 1, k, scores, ids, err)
		    : vectors_search(vectors, query, 1, k, scores, ids, err);
}

/* --- the catalog --- */

static enum status filter(struct store *store, const struct photo_filter *wanted, int64_t **contents, size_t *n, struct err *err)
{
	return catalog_filter(of(store)->catalog, wanted, contents, n, err);
}

static enum status sample(struct store *store, enum store_sample kind, size_t most, int64_t *ids, size_t *n, struct err *err)
{
	struct catalog *catalog = of(store)->catalog;

	switch (kind) {
	case STORE_THERE:
		return catalog_contents_sample(catalog, most, ids, n, err);
	case STORE_ANY:
		return catalog_contents_any(catalog, most, ids, n, err);
	case STORE_TIED:
		return catalog_texts_tied_sample(catalog, most, ids, n, err);
	}
	return STATUS_OK;
}

static enum status content(struct store *store, const uint8_t *hash, int64_t *found, struct err *err)
{
	return catalog_content_find(of(store)->catalog, hash, found, err);
}

static enum status texts_tied(struct store *store, const int64_t *contents, size_t n, int64_t **texts, size_t *found, struct err *err)
{
	return catalog_texts_tied(of(store)->catalog, contents, n, texts, found, err);
}

static enum status any_tied(struct store *store, bool *any, struct err *err)
{
	return catalog_texts_any_tied(of(store)->catalog, any, err);
}

static enum status texts_in(struct store *store, const char *collection, int64_t **texts, size_t *found, struct err *err)
{
	return catalog_texts_in(of(store)->catalog, collection, texts, found, err);
}

static enum status photos(struct store *store, const int64_t *contents, size_t n, const struct photo_filter *wanted, photo_visitor visit,
			  void *context, struct err *err)
{
	return catalog_photos_of_contents(of(store)->catalog, contents, n, wanted, visit, context, err);
}

static enum status newest(struct store *store, const struct photo_filter *wanted, size_t limit, photo_visitor visit, void *context,
			  struct err *err)
{
	return catalog_photos_newest(of(store)->catalog, wanted, limit, visit, context, err);
}

static enum status embeddings(struct store *store, enum store_set set, const int64_t *ids, size_t n, float *found_embeddings, bool *found,
			      struct err *err)
{
	size_t dim = (size_t)store->model.dim;

	if (set == STORE_TEXTS)
		return catalog_text_embeddings_get(of(store)->catalog, ids, n, store->model.id, found_embeddings, dim, found, err);
	return catalog_embeddings_get(of(store)->catalog, ids, n, store->model.id, found_embeddings, dim, found, err);
}

static enum status hashes(struct store *store, const int64_t *contents, size_t n, uint64_t *found_hashes, bool *found, struct err *err)
{
	return catalog_hashes_get(of(store)->catalog, contents, n, found_hashes, found, err);
}

static enum status tokens(struct store *store, enum store_tokens kind, const int64_t *contents, size_t n, void **blobs, size_t *sizes,
			  struct err *err)
{
	if (kind == STORE_ENCODER_TOKENS)
		return catalog_encoder_of_contents(of(store)->catalog, contents, n, store->model.id, blobs, sizes, err);
	return catalog_tokens_of_contents(of(store)->catalog, contents, n, store->model.id, blobs, sizes, err);
}

static enum status texts(struct store *store, const int64_t *ids, size_t n, text_visitor visit, void *context, struct err *err)
{
	return catalog_texts_get(of(store)->catalog, ids, n, visit, context, err);
}

static enum status texts_of(struct store *store, const int64_t *contents, size_t n, bool embedded, text_visitor visit, void *context,
			    struct err *err)
{
	return catalog_texts_of_contents(of(store)->catalog, contents, n, store->model.id, embedded ? (size_t)store->model.dim : 0, visit, context,
					 err);
}

static enum status nulls(struct store *store, const int64_t *of_texts, size_t n, const int64_t *under, size_t m, float *likelihoods,
			 struct err *err)
{
	return catalog_nulls_get(of(store)->catalog, store->model.id, of_texts, n, under, m, likelihoods, err);
}

static enum status label_find(struct store *store, const char *name, struct catalog_label *label, struct err *err)
{
	return catalog_label_find(of(store)->catalog, name, label, err);
}

static enum status label_contents(struct store *store, int64_t label, double least, int64_t **contents, double **probabilities, size_t *n,
				  struct err *err)
{
	return catalog_label_contents(of(store)->catalog, label, least, contents, probabilities, n, err);
}

static const struct store_operations operations = {
	shut, begin, end, statements, count, nearest, filter, sample, content, texts_tied, any_tied, texts_in, photos, newest, embeddings,
	hashes, tokens, texts, texts_of, nulls, label_find, label_contents, tokens_used, nulls_keep,
};

enum status sqlite_store_open(struct catalog *catalog, const struct catalog_model *model, struct store **store, struct err *err)
{
	struct sqlite_store *s = mem_array(1, sizeof *s);

	*store = NULL;
	if (!s)
		return err_memory(err, "a store");
	s->store.operations = &operations;
	if (model)
		s->store.model = *model;
	s->catalog = catalog;
	s->before = catalog->statements;
	*store = &s->store;
	return STATUS_OK;
}
