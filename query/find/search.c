/* search.c: see search.h. */
#include "query/find/search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "schema/catalog/filter.h"
#include "schema/catalog/photos.h"
#include "schema/catalog/texts.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum status passing_find(struct catalog *catalog, const struct photo_filter *filter, struct passing *passing, struct err *err)
{
	*passing = (struct passing){.all = photo_filter_empty(filter)};
	return passing->all ? STATUS_OK : catalog_filter(catalog, filter, &passing->contents, &passing->count, err);
}

void passing_release(struct passing *passing)
{
	free(passing->contents);
	*passing = (struct passing){0};
}

static enum status nearest(struct catalog *catalog, const struct catalog_model *row, struct vectors *vectors, const struct passing *passing,
			   const float *embedding, size_t k, float *scores, int64_t *contents, struct err *err)
{
	if (k == 0)
		return STATUS_OK;
	if (passing->all)
		return vectors_search(vectors, embedding, 1, k, scores, contents, err);
	if (vectors)
		return vectors_search_some(vectors, passing->contents, passing->count, embedding, 1, k, scores, contents, err);
	return vectors_scan(catalog, row, passing->contents, passing->count, embedding, 1, k, scores, contents, err);
}

enum status search_passing(struct catalog *catalog, const struct catalog_model *row, struct vectors *vectors, const struct passing *passing,
			   const float *embedding, size_t k, struct candidate **candidates, size_t *count, struct err *err)
{
	size_t n = 0, most = passing->all ? vectors_count(vectors) : passing->count;

	*candidates = NULL;
	*count = 0;
	k = k < most ? k : most;
	int64_t *contents = mem_array(k, sizeof *contents);
	float *scores = mem_array(k, sizeof *scores);
	struct candidate *found = mem_array(k, sizeof *found);
	enum status status = contents && scores && found ? nearest(catalog, row, vectors, passing, embedding, k, scores, contents, err)
							 : err_memory(err, "the candidates");
	/* A content that passes may have no embedding of this model: then fewer than k are found. */
	for (size_t i = 0; status == STATUS_OK && i < k && contents[i]; i++)
		found[n++] = (struct candidate){
			.content = contents[i], .similarity = scores[i], .slot = i, .match = NAN, .score = (double)scores[i]};
	if (status == STATUS_OK) {
		*candidates = found;
		*count = n;
		found = NULL;
	}
	free(contents);
	free(scores);
	free(found);
	return status;
}

enum status search_candidates(struct catalog *catalog, const struct catalog_model *row, struct vectors *vectors,
			      const struct photo_filter *filter, const float *embedding, size_t k, struct candidate **candidates,
			      size_t *count, struct err *err)
{
	struct passing passing;
	enum status status = passing_find(catalog, filter, &passing, err);

	*candidates = NULL;
	*count = 0;
	if (status == STATUS_OK)
		status = search_passing(catalog, row, vectors, &passing, embedding, k, candidates, count, err);
	passing_release(&passing);
	return status;
}

/* ---- photos ----------------------------------------------------------------------------------------------------- */

struct gathering {
	struct catalog *catalog;
	const struct photo_filter *filter;
	const struct candidate *candidate;
	const char *leave_out;
	size_t limit;
	struct results *results;
};

static char *copy_text(const char *text)
{
	return text ? mem_copy(text, strlen(text)) : NULL;
}

static void release_photo(struct photo *photo)
{
	free((char *)photo->path);
	free((char *)photo->error);
	free((char *)photo->format);
	free((char *)photo->camera);
	free((char *)photo->lens);
}

static enum status copy_photo(const struct photo *photo, struct photo *copy, struct err *err)
{
	*copy = *photo;
	copy->path = mem_copy(photo->path, photo->path_size);
	copy->error = copy_text(photo->error);
	copy->format = copy_text(photo->format);
	copy->camera = copy_text(photo->camera);
	copy->lens = copy_text(photo->lens);
	if (copy->path && (!photo->error || copy->error) && (!photo->format || copy->format) && (!photo->camera || copy->camera) &&
	    (!photo->lens || copy->lens))
		return STATUS_OK;
	release_photo(copy);
	return err_memory(err, "the results");
}

static enum status grow(struct results *results, struct err *err)
{
	if (results->count < results->capacity)
		return STATUS_OK;
	size_t capacity = results->capacity ? 2 * results->capacity : 16;
	struct result *items = mem_resize(results->items, capacity, sizeof *items);
	if (!items)
		return err_memory(err, "the results");
	results->items = items;
	results->capacity = capacity;
	return STATUS_OK;
}

static enum status copy_found_by(void *context, const struct catalog_text *text, const float *embedding, struct err *err)
{
	struct result *result = context;
	(void)embedding;

	result->text = mem_copy(text->text, text->text_size);
	result->text_size = text->text_size;
	return result->text ? STATUS_OK : err_memory(err, "the results");
}

static enum status gather(void *context, const struct photo *photo, struct err *err)
{
	struct gathering *g = context;
	struct results *results = g->results;
	bool passes = true;
	enum status status = STATUS_OK;

	if (results->count >= g->limit || photo->state != PHOTO_READY || (g->leave_out && strcmp(g->leave_out, photo->path) == 0))
		return STATUS_OK;
	if (!photo_filter_empty(g->filter))
		status = catalog_filter_photo(g->catalog, g->filter, photo->id, &passes, err);
	if (status != STATUS_OK || !passes)
		return status;
	status = grow(results, err);
	if (status != STATUS_OK)
		return status;
	struct result *result = &results->items[results->count];
	*result = (struct result){
		.rank = results->count + 1,
		.similarity = g->candidate->similarity,
		.reranked = g->candidate->reranked,
		.likelihood = g->candidate->likelihood,
		.slot = g->candidate->slot,
		.text_similarity = g->candidate->text_similarity,
		.match = g->candidate->match,
		.score = g->candidate->score,
		.missing = access(photo->path, F_OK) != 0,
	};
	status = copy_photo(photo, &result->photo, err);
	if (status == STATUS_OK)
		results->count++;
	if (status == STATUS_OK && g->candidate->text)
		status = catalog_text_get(g->catalog, g->candidate->text, copy_found_by, result, err);
	return status == STATUS_NOT_FOUND ? STATUS_OK : status; /* forgotten meanwhile */
}

enum status search_photos(struct catalog *catalog, const struct photo_filter *filter, const struct candidate *candidates, size_t count,
			  const char *leave_out, size_t limit, struct results *results, struct err *err)
{
	struct gathering g = {catalog, filter, NULL, leave_out, limit, results};
	enum status status = STATUS_OK;

	*results = (struct results){0};
	for (size_t i = 0; i < count && results->count < limit && status == STATUS_OK; i++) {
		g.candidate = &candidates[i];
		status = catalog_photos_of_content(catalog, candidates[i].content, false, gather, &g, err);
	}
	if (status != STATUS_OK)
		results_release(results);
	return status;
}

struct captioning {
	struct result *result;
	bool best;
};

static enum status keep_caption(void *context, const struct catalog_text *text, const float *embedding, struct err *err)
{
	struct captioning *c = context;
	bool caption = strcmp(text->collection, "captions") == 0;

	(void)embedding;
	if (c->best || (c->result->caption && !caption))
		return STATUS_OK;
	free(c->result->caption);
	c->result->caption = mem_copy(text->text, text->text_size);
	c->best = caption;
	return c->result->caption ? STATUS_OK : err_memory(err, "a caption");
}

enum status search_captions(struct catalog *catalog, struct results *results, struct err *err)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < results->count && status == STATUS_OK; i++) {
		struct captioning c = {&results->items[i], false};
		if (!c.result->caption)
			status = catalog_texts_of_content(catalog, c.result->photo.content, 0, 0, keep_caption, &c, err);
	}
	return status;
}

enum status search_newest(struct catalog *catalog, const struct photo_filter *filter, size_t limit, struct results *results,
			  struct err *err)
{
	static const struct photo_filter all; /* the ids have passed */
	const struct candidate unranked = {.similarity = NAN, .match = NAN, .score = (double)NAN};
	struct gathering g = {.catalog = catalog, .filter = &all, .candidate = &unranked, .limit = limit, .results = results};
	int64_t *photos;
	size_t n;

	*results = (struct results){0};
	enum status status = catalog_filter_newest(catalog, filter, limit, &photos, &n, err);
	for (size_t i = 0; i < n && status == STATUS_OK; i++)
		status = catalog_photo_by_id(catalog, photos[i], gather, &g, err);
	free(photos);
	if (status != STATUS_OK)
		results_release(results);
	return status;
}

void results_release(struct results *results)
{
	for (size_t i = 0; i < results->count; i++) {
		release_photo(&results->items[i].photo);
		free(results->items[i].caption);
		free(results->items[i].text);
	}
	free(results->items);
	*results = (struct results){0};
}
