/* store.c: see store.h: what every database has in common, lists of rows. */
#include "schema/store/operations.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* --- lists --- */

/* A list grows as rows are visited. Their strings lie behind each other in one buffer, which moves as it grows: until all are there a row's
 * pointers hold their places in it, counted from 1, as 0 is NULL. */
struct gathering {
	struct buffer rows, embeddings, embedded, strings;
	size_t dim;
};

static const char *keep_bytes(struct gathering *g, const char *bytes, size_t size)
{
	if (!bytes)
		return NULL;
	uintptr_t place = g->strings.size + 1;
	buffer_append(&g->strings, bytes, size);
	buffer_append(&g->strings, "", 1);
	return (const char *)place;
}

static const char *keep_string(struct gathering *g, const char *string)
{
	return string ? keep_bytes(g, string, strlen(string)) : NULL;
}

static void settle(const struct gathering *g, const char **string)
{
	if (*string)
		*string = g->strings.data + (uintptr_t)*string - 1;
}

static enum status gathered(const struct gathering *g, struct err *err)
{
	bool failed = g->rows.failed || g->embeddings.failed || g->embedded.failed || g->strings.failed;

	return failed ? err_memory(err, "the rows of a library") : STATUS_OK;
}

static void drop(struct gathering *g)
{
	buffer_release(&g->rows);
	buffer_release(&g->embeddings);
	buffer_release(&g->embedded);
	buffer_release(&g->strings);
}

static enum status gather_photo(void *context, const struct photo *photo, struct err *err)
{
	struct gathering *g = context;
	struct photo copy = *photo;

	copy.path = keep_bytes(g, photo->path, photo->path_size);
	copy.error = keep_string(g, photo->error);
	copy.format = keep_string(g, photo->format);
	copy.camera = keep_string(g, photo->camera);
	copy.lens = keep_string(g, photo->lens);
	buffer_append(&g->rows, &copy, sizeof copy);
	return gathered(g, err);
}

static enum status finish_photos(struct gathering *g, enum status status, struct store_photos *photos)
{
	*photos = (struct store_photos){0};
	if (status != STATUS_OK) {
		drop(g);
		return status;
	}
	*photos = (struct store_photos){(struct photo *)(void *)g->rows.data, g->rows.size / sizeof *photos->rows, g->strings.data};
	for (size_t i = 0; i < photos->count; i++) {
		struct photo *photo = &photos->rows[i];
		settle(g, &photo->path);
		settle(g, &photo->error);
		settle(g, &photo->format);
		settle(g, &photo->camera);
		settle(g, &photo->lens);
	}
	return STATUS_OK;
}

void store_photos_release(struct store_photos *photos)
{
	free(photos->rows);
	free(photos->strings);
	*photos = (struct store_photos){0};
}

static enum status gather_text(void *context, const struct catalog_text *text, const float *embedding, struct err *err)
{
	struct gathering *g = context;
	struct catalog_text copy = *text;
	bool embedded = embedding;

	copy.collection = keep_string(g, text->collection);
	copy.text = keep_bytes(g, text->text, text->text_size);
	buffer_append(&g->rows, &copy, sizeof copy);
	if (!g->dim)
		return gathered(g, err);
	buffer_append(&g->embedded, &embedded, sizeof embedded);
	if (embedding)
		buffer_append(&g->embeddings, embedding, g->dim * sizeof *embedding);
	for (size_t i = 0; !embedding && i < g->dim; i++)
		buffer_append(&g->embeddings, &(float){0}, sizeof *embedding);
	return gathered(g, err);
}

static enum status finish_texts(struct gathering *g, enum status status, struct store_texts *texts)
{
	*texts = (struct store_texts){0};
	if (status != STATUS_OK) {
		drop(g);
		return status;
	}
	*texts = (struct store_texts){(struct catalog_text *)(void *)g->rows.data, (float *)(void *)g->embeddings.data,
				      (bool *)(void *)g->embedded.data, g->rows.size / sizeof *texts->rows, g->strings.data};
	for (size_t i = 0; i < texts->count; i++) {
		settle(g, &texts->rows[i].collection);
		settle(g, &texts->rows[i].text);
	}
	return STATUS_OK;
}

void store_texts_release(struct store_texts *texts)
{
	free(texts->rows);
	free(texts->embeddings);
	free(texts->embedded);
	free(texts->strings);
	*texts = (struct store_texts){0};
}

enum status store_photos(struct store *store, const int64_t *contents, size_t n, const struct photo_filter *filter,
			 struct store_photos *photos, struct err *err)
{
	struct gathering g = {0};

	return finish_photos(&g, store->operations->photos(store, contents, n, filter, gather_photo, &g, err), photos);
}

enum status store_newest(struct store *store, const struct photo_filter *filter, size_t limit, struct store_photos *photos, struct err *err)
{
	struct gathering g = {0};

	return finish_photos(&g, store->operations->newest(store, filter, limit, gather_photo, &g, err), photos);
}

enum status store_texts(struct store *store, const int64_t *ids, size_t n, struct store_texts *texts, struct err *err)
{
	struct gathering g = {0};

	return finish_texts(&g, store->operations->texts(store, ids, n, gather_text, &g, err), texts);
}

enum status store_texts_of(struct store *store, const int64_t *contents, size_t n, bool embeddings, struct store_texts *texts,
			   struct err *err)
{
	struct gathering g = {.dim = embeddings ? (size_t)store->model.dim : 0};

	return finish_texts(&g, store->operations->texts_of(store, contents, n, embeddings, gather_text, &g, err), texts);
}

/* --- what is passed on as it is --- */

void store_close(struct store *store)
{
	if (!store)
		return;
	store_end(store);
	store->operations->close(store);
}

enum status store_begin(struct store *store, struct err *err)
{
	return store->operations->begin(store, err);
}

void store_end(struct store *store)
{
	store->operations->end(store);
}

uint64_t store_statements(const struct store *store)
{
	return store->operations->statements(store);
}

enum status store_count(struct store *store, enum store_set set, size_t *n, struct err *err)
{
	return store->operations->count(store, set, n, err);
}

enum status store_nearest(struct store *store, enum store_set set, const float *query, const int64_t *some, size_t n, size_t k,
			  float *scores, int64_t *ids, struct err *err)
{
	return store->operations->nearest(store, set, query, some, n, k, scores, ids, err);
}

enum status store_filter(struct store *store, const struct photo_filter *filter, int64_t **contents, size_t *n, struct err *err)
{
	return store->operations->filter(store, filter, contents, n, err);
}

enum status store_sample(struct store *store, enum store_sample kind, size_t most, int64_t *ids, size_t *n, struct err *err)
{
	return store->operations->sample(store, kind, most, ids, n, err);
}

enum status store_content(struct store *store, const uint8_t hash[CATALOG_HASH], int64_t *content, struct err *err)
{
	return store->operations->content(store, hash, content, err);
}

enum status store_texts_tied(struct store *store, const int64_t *contents, size_t n, int64_t **texts, size_t *count, struct err *err)
{
	return store->operations->texts_tied(store, contents, n, texts, count, err);
}

enum status store_any_tied(struct store *store, bool *any, struct err *err)
{
	return store->operations->any_tied(store, any, err);
}

enum status store_texts_in(struct store *store, const char *collection, int64_t **texts, size_t *count, struct err *err)
{
	return store->operations->texts_in(store, collection, texts, count, err);
}

enum status store_embeddings(struct store *store, enum store_set set, const int64_t *ids, size_t n, float *embeddings, bool *found,
			     struct err *err)
{
	return store->operations->embeddings(store, set, ids, n, embeddings, found, err);
}

enum status store_hashes(struct store *store, const int64_t *contents, size_t n, uint64_t *hashes, bool *found, struct err *err)
{
	return store->operations->hashes(store, contents, n, hashes, found, err);
}

enum status store_tokens(struct store *store, enum store_tokens kind, const int64_t *contents, size_t n, void **blobs, size_t *sizes,
			 struct err *err)
{
	return store->operations->tokens(store, kind, contents, n, blobs, sizes, err);
}

enum status store_nulls(struct store *store, const int64_t *texts, size_t n, const int64_t *nulls, size_t m, float *likelihoods,
			struct err *err)
{
	return store->operations->nulls(store, texts, n, nulls, m, likelihoods, err);
}

enum status store_label_find(struct store *store, const char *name, struct catalog_label *label, struct err *err)
{
	return store->operations->label_find(store, name, label, err);
}

enum status store_label_contents(struct store *store, int64_t label, double least, int64_t **contents, double **probabilities, size_t *n,
				 struct err *err)
{
	return store->operations->label_contents(store, label, least, contents, probabilities, n, err);
}

void store_tokens_used(struct store *store, const int64_t *contents, size_t n)
{
	store->operations->tokens_used(store, contents, n);
}

void store_nulls_keep(struct store *store, const struct text_null *entries, size_t n)
{
	store->operations->nulls_keep(store, entries, n);
}
