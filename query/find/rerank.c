/* rerank.c: see rerank.h. */
#include "query/find/rerank.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/net/likelihood.h"
#include "query/session/score.h"
#include "query/session/tokens.h"
#include "schema/base/memory.h"
#include "schema/base/packed.h"

#include "schema/base/banned.h"

enum { GROUP = 64 }; /* candidates whose tokens are in memory at the same time */

/* ---- tokens ----------------------------------------------------------------------------------------------------- */

enum status rerank_tokens(struct reranker *r, const int64_t *contents, size_t n, float *tokens, struct err *err)
{
	size_t N = r->engine->tokens, W = r->engine->width;
	void **blobs = mem_array(n, sizeof *blobs);
	enum tokens_found *found = mem_array(n, sizeof *found);
	enum status status = blobs && found ? tokens_get(r->engine, r->store, TOKENS_IMAGE, contents, n, blobs, found, err)
					    : err_memory(err, "image tokens");
	bool got = status == STATUS_OK;

	for (size_t i = 0; i < n && status == STATUS_OK; i++)
		status = blobs[i] ? packed_tokens_read(blobs[i], packed_tokens_size(N, W), N, W, tokens + i * N * W, err)
				  : err_set(err, STATUS_IO, "a photograph vanished during the search");
	for (size_t i = 0; i < n && got; i++)
		free(blobs[i]);
	free(blobs);
	free(found);
	return status;
}

/* ---- likelihoods ------------------------------------------------------------------------------------------------ */

/* Candidates whose likelihoods are computed together. */
struct group {
	struct candidate *candidates[GROUP];
	int64_t contents[GROUP];
	void *blobs[GROUP];        /* [loaded] */
	size_t loaded;
	struct coca_image images[GROUP];
	size_t count;
	struct coca_pair *pairs;   /* [GROUP,T] */
	float *sums;               /* [GROUP,T] */
	float *ids;                /* [GROUP,T,C-1], or NULL */
};

/* The blobs are group_release's to free. */
static enum status load_group(struct reranker *r, struct candidate *candidates, size_t count, struct group *g, struct err *err)
{
	size_t N = r->engine->tokens, W = r->engine->width;
	enum tokens_found found[GROUP];
	int64_t contents[GROUP];

	g->count = 0;
	for (size_t i = 0; i < count; i++)
		contents[i] = candidates[i].content;
	enum status status = tokens_get(r->engine, r->store, TOKENS_IMAGE, contents, count, g->blobs, found, err);
	g->loaded = status == STATUS_OK ? count : 0;
	for (size_t i = 0; i < g->loaded && status == STATUS_OK; i++) {
		struct coca_image *image = &g->images[g->count];
		r->encoded += found[i] == TOKENS_ENCODED;
		r->kept += found[i] == TOKENS_AWAY;
		if (!g->blobs[i])
			continue;
		*image = (struct coca_image){0};
		status = packed_tokens_view(g->blobs[i], packed_tokens_size(N, W), N, W, &image->scales, &image->bytes, err);
		g->candidates[g->count] = &candidates[i];
		g->contents[g->count++] = contents[i];
	}
	return status;
}

static void group_release(struct group *g)
{
	for (size_t i = 0; i < g->loaded; i++)
		free(g->blobs[i]);
	g->loaded = 0;
}

static enum status score_group(struct reranker *r, struct group *g, struct err *err)
{
	size_t T = r->text_count, terms = coca_config(r->engine->model)->context_length - 1;

	for (size_t p = 0; p < g->count * T; p++)
		g->pairs[p] = (struct coca_pair){p / T, p % T};
	enum status status = coca_likelihood_images(r->engine->model, r->engine->state, g->images, g->count, r->texts, T, g->pairs,
						    g->count * T, g->sums, g->ids, err);
	for (size_t i = 0; i < g->count && status == STATUS_OK; i++) {
		struct candidate *c = g->candidates[i];
		double sum = 0;
		for (size_t k = 0; k < T; k++)
			sum += r->weights[k] * (double)g->sums[i * T + k];
		c->likelihood = (float)sum;
		c->reranked = true;
		if (g->ids)
			memcpy(r->each + c->slot * T * terms, g->ids + i * T * terms, T * terms * sizeof *g->ids);
	}
	return status;
}

enum status rerank_likelihoods(struct reranker *r, struct candidate *candidates, size_t count, struct err *err)
{
	size_t pairs = mem_product(GROUP, r->text_count);
	struct group *g = mem_array(1, sizeof *g);
	enum status status = STATUS_OK;

	if (!g)
		return err_memory(err, "likelihoods");
	g->pairs = mem_array(pairs, sizeof *g->pairs);
	g->sums = mem_array(pairs, sizeof *g->sums);
	g->ids = r->each ? mem_floats(mem_product(pairs, coca_config(r->engine->model)->context_length)) : NULL;
	if (!g->pairs || !g->sums || (r->each && !g->ids))
		status = err_memory(err, "likelihoods");
	for (size_t at = 0; at < count && status == STATUS_OK; at += GROUP) {
		status = load_group(r, candidates + at, count - at < GROUP ? count - at : GROUP, g, err);
		if (status == STATUS_OK && g->count > 0 && r->text_count > 0)
			status = score_group(r, g, err);
		if (status == STATUS_OK && r->store)
			store_tokens_used(r->store, g->contents, g->count);
		group_release(g);
	}
	free(g->pairs);
	free(g->sums);
	free(g->ids);
	free(g);
	return status;
}

/* ---- order ------------------------------------------------------------------------------------------------------ */

static int by_score(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return (x->content > y->content) - (x->content < y->content);
}

enum status rerank_candidates(struct reranker *r, struct candidate *candidates, size_t count, size_t depth, struct err *err)
{
	double sum = 0, most = -INFINITY;
	size_t n = 0;

	if (depth > count)
		depth = count;
	enum status status = rerank_likelihoods(r, candidates, depth, err);
	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < depth; i++)
		if (candidates[i].reranked) {
			sum += (double)candidates[i].likelihood;
			most = fmax(most, (double)candidates[i].likelihood);
			n++;
		}
	/* Likelihoods count from their mean: it makes no difference to the order of those that have one. */
	double mean = n ? sum / (double)n : 0;
	for (size_t i = 0; i < count; i++) {
		double likelihood = candidates[i].reranked ? (double)candidates[i].likelihood - mean : 0;
		/* What a text tells of a photo its pixels need not show. */
		if (candidates[i].reranked)
			likelihood += (double)candidates[i].told * (most - mean - likelihood);
		double similarity = (double)candidates[i].similarity + (double)candidates[i].lift;
		candidates[i].score = score_photo(r->logit_scale, similarity, likelihood);
	}
	qsort(candidates, depth, sizeof *candidates, by_score);
	return STATUS_OK;
}
