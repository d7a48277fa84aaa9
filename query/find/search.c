/* search.c: see search.h. */
#include "query/find/search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { CHUNK = 1000 /* contents whose photos are asked for at once */ };

enum status passing_find(struct store *store, const struct photo_filter *filter, struct passing *passing, struct err *err)
{
	*passing = (struct passing){.all = photo_filter_empty(filter)};
	return passing->all ? STATUS_OK : store_filter(store, filter, &passing->contents, &passing->count, err);
}

void passing_release(struct passing *passing)
{
	free(passing->contents);
	*passing = (struct passing){0};
}

enum status search_passing(struct store *store, const struct passing *passing, const float *embedding, size_t k, struct candidate **candidates,
			   size_t *count, struct err *err)
{
	size_t n = 0, most = passing->count;
	int64_t *contents = NULL;
	float *scores = NULL;
	struct candidate *found = NULL;
	enum status status = passing->all ? store_count(store, STORE_PHOTOS, &most, err) : STATUS_OK;

	*candidates = NULL;
	*count = 0;
	k = k < most ? k : most;
	if (status == STATUS_OK) {
		contents = mem_array(k, sizeof *contents);
		scores = mem_array(k, sizeof *scores);
		found = mem_array(k, sizeof *found);
		status = contents && scores && found ? STATUS_OK : err_memory(err, "the candidates");
	}
	if (status == STATUS_OK && k)
		status = store_nearest(store, STORE_PHOTOS, embedding, passing->contents, passing->count, k, scores, contents, err);
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

enum status search_candidates(struct store *store, const struct photo_filter *filter, const float *embedding, size_t k,
			      struct candidate **candidates, size_t *count, struct err *err)
{
	struct passing passing;
	enum status status = passing_find(store, filter, &passing, err);

	*candidates = NULL;
	*count = 0;
	if (status == STATUS_OK)
		status = search_passing(store, &passing, embedding, k, candidates, count, err);
	passing_release(&passing);
	return status;
}

/* ---- photos ----------------------------------------------------------------------------------------------------- */

static enum status add(struct results *results, const struct photo *photo, const struct candidate *candidate, struct err *err)
{
	if (!mem_grow(&results->items, &results->room, results->count + 1, sizeof *results->items))
		return err_memory(err, "the results");
	results->items[results->count] = (struct result){
		.photo = *photo,
		.rank = results->count + 1,
		.similarity = candidate->similarity,
		.reranked = candidate->reranked,
		.likelihood = candidate->likelihood,
		.slot = candidate->slot,
		.text_similarity = candidate->text_similarity,
		.match = candidate->match,
		.score = candidate->score,
		.missing = access(photo->path, F_OK) != 0,
	};
	results->count++;
	return STATUS_OK;
}

/* The results keep the rows, whose strings they point to. */
static enum status keep(struct results *results, const struct store_photos *photos, struct err *err)
{
	struct store_photos *lists = mem_resize(results->photos, results->photo_lists + 1, sizeof *lists);

	if (!lists)
		return err_memory(err, "the results");
	results->photos = lists;
	lists[results->photo_lists++] = *photos;
	return STATUS_OK;
}

static enum status add_photos(struct store *store, const struct photo_filter *filter, const struct candidate *candidates, size_t n,
			      const char *leave_out, size_t limit, struct results *results, struct err *err)
{
	int64_t contents[CHUNK];
	struct store_photos photos;
	size_t c = 0;

	for (size_t i = 0; i < n; i++)
		contents[i] = candidates[i].content;
	enum status status = store_photos(store, contents, n, filter, &photos, err);
	if (status != STATUS_OK)
		return status;
	status = keep(results, &photos, err);
	if (status != STATUS_OK)
		store_photos_release(&photos);
	for (size_t i = 0; status == STATUS_OK && i < photos.count && results->count < limit; i++) {
		while (candidates[c].content != photos.rows[i].content) /* rows come in the order of the contents */
			c++;
		if (leave_out && strcmp(leave_out, photos.rows[i].path) == 0)
			continue;
		status = add(results, &photos.rows[i], &candidates[c], err);
	}
	return status;
}

/* The candidate of each result: both are in the same order. */
static const struct candidate *candidate_of(const struct result *result, const struct candidate **at)
{
	while ((*at)->content != result->photo.content)
		++*at;
	return *at;
}

/* The words that found what texts found. */
static enum status add_texts(struct store *store, const struct candidate *candidates, struct results *results, struct err *err)
{
	const struct store_texts *texts = &results->texts;
	const struct candidate *at = candidates;
	int64_t *ids = mem_array(results->count, sizeof *ids);
	size_t n = 0;
	enum status status = ids ? STATUS_OK : err_memory(err, "the results");

	for (size_t i = 0; i < results->count && status == STATUS_OK; i++)
		if (candidate_of(&results->items[i], &at)->text)
			ids[n++] = at->text;
	if (status == STATUS_OK && n)
		status = store_texts(store, ids, n, &results->texts, err);
	at = candidates;
	n = 0;
	/* Texts come in the order of their ids; one that was forgotten meanwhile is not among them. */
	for (size_t i = 0; i < results->count && status == STATUS_OK && n < texts->count; i++) {
		struct result *result = &results->items[i];
		int64_t text = candidate_of(result, &at)->text;
		if (text && texts->rows[n].id == text) {
			result->text = texts->rows[n].text;
			result->text_size = texts->rows[n++].text_size;
		}
	}
	free(ids);
	return status;
}

enum status search_photos(struct store *store, const struct photo_filter *filter, const struct candidate *candidates, size_t count,
			  const char *leave_out, size_t limit, struct results *results, struct err *err)
{
	enum status status = STATUS_OK;

	*results = (struct results){0};
	for (size_t at = 0; at < count && results->count < limit && status == STATUS_OK;) {
		/* One more, as one may be left out. */
		size_t wanted = limit - results->count < CHUNK ? limit - results->count + 1 : CHUNK, n = count - at < wanted ? count - at : wanted;
		status = add_photos(store, filter, candidates + at, n, leave_out, limit, results, err);
		at += n;
	}
	if (status == STATUS_OK)
		status = add_texts(store, candidates, results, err);
	if (status != STATUS_OK)
		results_release(results);
	return status;
}

enum status search_newest(struct store *store, const struct photo_filter *filter, size_t limit, struct results *results, struct err *err)
{
	const struct candidate unranked = {.similarity = NAN, .match = NAN, .score = (double)NAN};
	struct store_photos photos;
	enum status status = store_newest(store, filter, limit, &photos, err);

	*results = (struct results){0};
	if (status != STATUS_OK)
		return status;
	status = keep(results, &photos, err);
	if (status != STATUS_OK)
		store_photos_release(&photos);
	for (size_t i = 0; status == STATUS_OK && i < photos.count; i++)
		status = add(results, &photos.rows[i], &unranked, err);
	if (status != STATUS_OK)
		results_release(results);
	return status;
}

/* Of texts[n]: one of the collection "captions", else the first. */
static const struct catalog_text *best_caption(const struct catalog_text *texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(texts[i].collection, "captions") == 0)
			return &texts[i];
	return n ? texts : NULL;
}

enum status search_captions(struct store *store, struct results *results, struct err *err)
{
	int64_t *contents = mem_array(results->count, sizeof *contents);
	struct store_texts texts = {0};
	const struct catalog_text *best = NULL;
	size_t t = 0;
	enum status status = contents ? STATUS_OK : err_memory(err, "captions");

	for (size_t i = 0; i < results->count && status == STATUS_OK; i++)
		contents[i] = results->items[i].photo.content;
	if (status == STATUS_OK && results->count)
		status = store_texts_of(store, contents, results->count, false, &texts, err);
	/* Texts come in the order of the contents. */
	for (size_t i = 0; i < results->count && status == STATUS_OK; i++) {
		struct result *result = &results->items[i];
		size_t from = t;
		while (t < texts.count && texts.rows[t].photo_content == contents[i])
			t++;
		if (i == 0 || contents[i] != contents[i - 1])
			best = best_caption(texts.rows + from, t - from);
		if (!best || result->caption)
			continue;
		result->caption = mem_copy(best->text, best->text_size);
		status = result->caption ? STATUS_OK : err_memory(err, "a caption");
	}
	store_texts_release(&texts);
	free(contents);
	return status;
}

void results_release(struct results *results)
{
	for (size_t i = 0; i < results->count; i++)
		free(results->items[i].caption);
	for (size_t i = 0; i < results->photo_lists; i++)
		store_photos_release(&results->photos[i]);
	store_texts_release(&results->texts);
	free(results->photos);
	free(results->items);
	*results = (struct results){0};
}
