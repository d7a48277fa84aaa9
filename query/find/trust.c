/* trust.c: see trust.h. */
#include "query/find/trust.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/net/generate.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { SIDE = 16 /* photos near and far */, LEAST = 5, CAPTIONED = 8 /* of each */, CAPTIONED_MOST = 2 * CAPTIONED };

const double TRUST_LEAST = 0.7;
static const double CONTRAST_LEAST = 5;

double trust_contrast(const float *near, size_t n, const float *far, size_t m)
{
	const float *side[2] = {near, far};
	const size_t count[2] = {n, m};
	double mean[2] = {0}, square = 0;

	for (int s = 0; s < 2; s++) {
		for (size_t i = 0; i < count[s]; i++)
			mean[s] += (double)side[s][i] / (double)count[s];
		for (size_t i = 0; i < count[s]; i++)
			square += ((double)side[s][i] - mean[s]) * ((double)side[s][i] - mean[s]);
	}
	double deviation = sqrt(square / (double)(n + m - 2));
	return (mean[0] - mean[1]) / (deviation > 0 ? deviation : 1);
}

double trust_own(const float *similarities, size_t n)
{
	double won = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++) {
			float own = similarities[i * n + i], other = similarities[i * n + j];
			won += i == j ? 0 : own > other ? 1 : own == other ? 0.5 : 0;
		}
	return won / (double)(n * (n - 1));
}

/* ---- the two sides ---------------------------------------------------------------------------------------------- */

struct sides {
	struct candidate near[SIDE], far[SIDE]; /* reranked, the most extreme first */
	size_t near_count, far_count;
};

static int by_similarity(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->similarity != y->similarity)
		return x->similarity > y->similarity ? -1 : 1;
	return (x->content > y->content) - (x->content < y->content);
}

static size_t keep_reranked(const struct candidate *from, size_t count, struct candidate *to, size_t most)
{
	size_t n = 0;

	for (size_t i = 0; i < count && n < most; i++)
		if (from[i].reranked)
			to[n++] = from[i];
	return n;
}

static enum status near_side(const struct candidate *candidates, size_t count, size_t most, struct sides *sides, struct err *err)
{
	struct candidate *sorted = mem_array(count, sizeof *sorted);

	if (!sorted)
		return err_memory(err, "candidates");
	memcpy(sorted, candidates, count * sizeof *sorted);
	qsort(sorted, count, sizeof *sorted, by_similarity);
	sides->near_count = keep_reranked(sorted, count, sides->near, most);
	free(sorted);
	return STATUS_OK;
}

/* The photos least like the query are those nearest to its opposite. */
static enum status far_side(const struct trust *t, size_t most, struct sides *sides, struct err *err)
{
	static const struct photo_filter all;
	size_t dim = t->engine->embed, count = 0;
	float *opposite = mem_floats(dim);
	struct candidate *far = NULL;

	if (!opposite)
		return err_memory(err, "an embedding");
	for (size_t i = 0; i < dim; i++)
		opposite[i] = -t->embedding[i];
	enum status status = search_candidates(t->store, &all, opposite, most, &far, &count, err);
	if (status == STATUS_OK)
		status = rerank_likelihoods(t->reranker, far, count, err);
	if (status == STATUS_OK)
		sides->far_count = keep_reranked(far, count, sides->far, most);
	for (size_t i = 0; i < sides->far_count; i++)
		sides->far[i].similarity = -sides->far[i].similarity;
	free(far);
	free(opposite);
	return status;
}

static bool convincing(const struct trust *t, const struct sides *sides, size_t photos)
{
	float near[SIDE], far[SIDE];

	for (size_t i = 0; i < sides->near_count; i++)
		near[i] = sides->near[i].likelihood;
	for (size_t i = 0; i < sides->far_count; i++)
		far[i] = sides->far[i].likelihood;
	double spread = (double)sides->near[0].similarity - (double)sides->far[0].similarity;
	return trust_contrast(near, sides->near_count, far, sides->far_count) >= CONTRAST_LEAST &&
	       t->reranker->logit_scale * spread > log((double)photos);
}

/* ---- its own captions ------------------------------------------------------------------------------------------- */

/* Captions of n photos as texts, each the caller's to free. */
static enum status write_captions(struct reranker *r, const int64_t *contents, size_t n, char **texts, struct err *err)
{
	const struct tokenizer *tokenizer = coca_tokenizer(r->engine->model);
	float *tokens = mem_floats(mem_product(n, mem_product(r->engine->tokens, r->engine->width)));
	struct caption captions[CAPTIONED_MOST] = {0};
	enum status status = tokens ? rerank_tokens(r, contents, n, tokens, err) : err_memory(err, "image tokens");

	if (status == STATUS_OK)
		status = generate_greedy(r->engine->model, r->engine->state, tokens, n, tokenizer_start(tokenizer),
					 tokenizer_end(tokenizer), 0, captions, err);
	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		texts[i] = tokenizer_decode(tokenizer, captions[i].ids, captions[i].count);
		status = texts[i] ? STATUS_OK : err_memory(err, "a caption");
	}
	captions_release(captions, CAPTIONED_MOST);
	free(tokens);
	return status;
}

static size_t distinct(char *const *texts, size_t n)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		size_t j = 0;
		while (j < i && strcmp(texts[i], texts[j]) != 0)
			j++;
		count += j == i;
	}
	return count;
}

/* similarities[n,n]: captions by photos. */
static enum status compare(const struct trust *t, const int64_t *contents, char *const *texts, size_t n, float *similarities,
			   struct err *err)
{
	size_t dim = t->engine->embed;
	float *photos = mem_floats(mem_product(n, dim)), *text = mem_floats(dim);
	enum status status = photos && text ? STATUS_OK : err_memory(err, "embeddings");
	bool found[CAPTIONED_MOST], cut;

	if (status == STATUS_OK)
		status = store_embeddings(t->store, STORE_PHOTOS, contents, n, photos, found, err);
	for (size_t i = 0; i < n && status == STATUS_OK; i++)
		if (!found[i])
			status = err_set(err, STATUS_FAILED, "the catalog changed during the search");
	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		status = engine_embed_text(t->engine, texts[i], strlen(texts[i]), text, &cut, err);
		for (size_t j = 0; j < n && status == STATUS_OK; j++)
			similarities[i * n + j] = (float)engine_dot(text, photos + j * dim, dim);
	}
	free(photos);
	free(text);
	return status;
}

static enum status finds_its_own(const struct trust *t, const struct sides *sides, bool *finds, struct err *err)
{
	float similarities[CAPTIONED_MOST * CAPTIONED_MOST];
	int64_t contents[CAPTIONED_MOST];
	char *texts[CAPTIONED_MOST] = {0};
	size_t n = 0;

	for (size_t i = 0; i < CAPTIONED && i < sides->near_count; i++)
		contents[n++] = sides->near[i].content;
	for (size_t i = 0; i < CAPTIONED && i < sides->far_count; i++)
		contents[n++] = sides->far[i].content;
	*finds = true;
	enum status status = write_captions(t->reranker, contents, n, texts, err);
	if (status == STATUS_OK && distinct(texts, n) >= n / 4) {
		status = compare(t, contents, texts, n, similarities, err);
		*finds = status != STATUS_OK || trust_own(similarities, n) >= TRUST_LEAST;
	}
	for (size_t i = 0; i < n; i++)
		free(texts[i]);
	return status;
}

enum status trust_check(const struct trust *t, const struct candidate *candidates, size_t count, bool *doubtful, struct err *err)
{
	struct sides sides = {.near_count = 0};
	size_t photos = 0;
	bool finds = true;
	enum status status = store_count(t->store, STORE_PHOTOS, &photos, err);
	size_t most = photos / 2 < SIDE ? photos / 2 : SIDE;

	*doubtful = false;
	if (status != STATUS_OK || most < LEAST)
		return status;
	status = near_side(candidates, count, most, &sides, err);
	if (status == STATUS_OK && sides.near_count >= LEAST)
		status = far_side(t, most, &sides, err);
	if (status == STATUS_OK && sides.near_count >= LEAST && sides.far_count >= LEAST && !convincing(t, &sides, photos))
		status = finds_its_own(t, &sides, &finds, err);
	*doubtful = !finds;
	return status;
}
