/* likelihoods.c: see likelihoods.h. */
#include "query/measure/likelihoods.h"

#include <stdlib.h>
#include <string.h>

#include "model/net/likelihood.h"
#include "schema/base/memory.h"
#include "schema/base/packed.h"
#include "schema/cli/progress.h"

#include "schema/base/banned.h"

enum {
	TEXT_BATCH = 64,
	GROUP_MOST = 64,          /* queries whose likelihoods are computed in one call */
	GROUP_BYTES = 64 << 20,   /* of image tokens as floats in one call */
};

/* Pairs of one call of coca_likelihood: photos and texts numbered as they come. */
struct call {
	struct engine *engine;
	const struct evalset *set;
	int32_t *photo_at, *text_at;  /* [photos] [texts] number in this call, -1: not in it */
	size_t *photos;               /* those in it */
	struct coca_text *texts;
	size_t *text_numbers;
	struct coca_pair *pairs;
	float *sums, *tokens;
	size_t photo_count, text_count, pair_count;
};

static enum status call_init(struct call *c, struct engine *engine, const struct evalset *set, size_t photos, size_t texts, size_t pairs,
			     struct err *err)
{
	*c = (struct call){.engine = engine, .set = set};
	c->photo_at = mem_array(set->photos, sizeof *c->photo_at);
	c->text_at = mem_array(set->texts, sizeof *c->text_at);
	c->photos = mem_array(photos, sizeof *c->photos);
	c->texts = mem_array(texts, sizeof *c->texts);
	c->text_numbers = mem_array(texts, sizeof *c->text_numbers);
	c->pairs = mem_array(pairs, sizeof *c->pairs);
	c->sums = mem_floats(pairs);
	c->tokens = mem_floats(mem_product(photos, mem_product(engine->tokens, engine->width)));
	if (!c->photo_at || !c->text_at || !c->photos || !c->texts || !c->text_numbers || !c->pairs || !c->sums || !c->tokens)
		return err_memory(err, "likelihoods");
	memset(c->photo_at, -1, set->photos * sizeof *c->photo_at);
	memset(c->text_at, -1, set->texts * sizeof *c->text_at);
	return STATUS_OK;
}

static void call_release(struct call *c)
{
	free(c->photo_at);
	free(c->text_at);
	free(c->photos);
	free(c->texts);
	free(c->text_numbers);
	free(c->pairs);
	free(c->sums);
	free(c->tokens);
}

static void call_add(struct call *c, size_t photo, size_t text)
{
	if (c->photo_at[photo] < 0) {
		c->photo_at[photo] = (int32_t)c->photo_count;
		c->photos[c->photo_count++] = photo;
	}
	if (c->text_at[text] < 0) {
		c->text_at[text] = (int32_t)c->text_count;
		c->text_numbers[c->text_count] = text;
		c->texts[c->text_count++] = c->set->encoded[text];
	}
	c->pairs[c->pair_count++] = (struct coca_pair){(size_t)c->photo_at[photo], (size_t)c->text_at[text]};
}

/* Fills sums, and empties the call. */
static enum status call_run(struct call *c, struct err *err)
{
	const struct evalset *set = c->set;
	size_t n = c->engine->tokens, w = c->engine->width;
	enum status status = STATUS_OK;

	for (size_t i = 0; i < c->photo_count && status == STATUS_OK; i++)
		status = packed_tokens_read(set->tokens + c->photos[i] * set->token_size, set->token_size, n, w, c->tokens + i * n * w,
					    err);
	if (status == STATUS_OK)
		status = coca_likelihood(c->engine->model, c->engine->state, c->tokens, c->photo_count, c->texts, c->text_count, c->pairs,
					 c->pair_count, c->sums, NULL, err);
	for (size_t i = 0; i < c->photo_count; i++)
		c->photo_at[c->photos[i]] = -1;
	for (size_t i = 0; i < c->text_count; i++)
		c->text_at[c->text_numbers[i]] = -1;
	c->photo_count = c->text_count = c->pair_count = 0;
	return status;
}

enum status likelihoods_fill(const struct listener *listener, struct engine *engine, const struct evalset *set, struct ranking *ranking,
			     bool by_text, struct err *err)
{
	size_t depth = ranking->depth, bytes = engine->tokens * engine->width * sizeof(float) * (by_text ? depth : 1);
	size_t group = bytes ? GROUP_BYTES / bytes : GROUP_MOST;
	struct progress progress;
	struct call call;

	group = group < 1 ? 1 : group > GROUP_MOST ? GROUP_MOST : group;
	enum status status = call_init(&call, engine, set, by_text ? group * depth : group, by_text ? group : group * depth,
				       group * depth, err);
	progress_start(&progress, listener, by_text ? "reranking photos for" : "reranking texts for", by_text ? "texts" : "photos");
	for (size_t at = 0; at < ranking->queries && status == STATUS_OK; at += group) {
		size_t n = ranking->queries - at < group ? ranking->queries - at : group;
		struct shortlisted *list = ranking->short_list + at * depth;
		for (size_t i = 0; i < n * depth; i++)
			call_add(&call, by_text ? list[i].item : at + i / depth, by_text ? at + i / depth : list[i].item);
		status = call_run(&call, err);
		for (size_t i = 0; status == STATUS_OK && i < n * depth; i++)
			list[i].likelihood = call.sums[i];
		progress_show(&progress, at + n, ranking->queries);
	}
	progress_end(&progress);
	call_release(&call);
	return status;
}

enum status nulls_make(const struct listener *listener, struct engine *engine, const struct evalset *set, size_t most, struct nulls *nulls,
		       struct err *err)
{
	struct progress progress;
	struct call call;

	*nulls = (struct nulls){.count = set->photos < most ? set->photos : most};
	for (size_t i = 0; i < nulls->count; i++)
		nulls->photos[i] = (uint32_t)(i * set->photos / nulls->count);
	size_t k = nulls->count;
	nulls->likelihood = mem_floats(mem_product(set->texts, k));
	enum status status = call_init(&call, engine, set, k, TEXT_BATCH, k * TEXT_BATCH, err);
	if (status == STATUS_OK && !nulls->likelihood)
		status = err_memory(err, "likelihoods");
	progress_start(&progress, listener, "weighing", "texts");
	for (size_t at = 0; at < set->texts && status == STATUS_OK; at += TEXT_BATCH) {
		size_t n = set->texts - at < TEXT_BATCH ? set->texts - at : TEXT_BATCH;
		for (size_t i = 0; i < n * k; i++)
			call_add(&call, nulls->photos[i % k], at + i / k);
		status = call_run(&call, err);
		if (status == STATUS_OK)
			memcpy(nulls->likelihood + at * k, call.sums, n * k * sizeof(float));
		progress_show(&progress, at + n, set->texts);
	}
	progress_end(&progress);
	call_release(&call);
	if (status != STATUS_OK)
		nulls_release(nulls);
	return status;
}

void nulls_release(struct nulls *nulls)
{
	free(nulls->likelihood);
	*nulls = (struct nulls){0};
}

double nulls_prior(const struct nulls *nulls, size_t text, size_t photo)
{
	const float *all = nulls->likelihood + text * nulls->count;
	float others[SCORE_NULLS];
	size_t n = 0;

	for (size_t i = 0; i < nulls->count; i++)
		if (nulls->photos[i] != photo)
			others[n++] = all[i];
	return n ? score_log_mean(others, n) : 0;
}
