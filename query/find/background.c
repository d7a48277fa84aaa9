/* background.c: see background.h. */
#include "query/find/background.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/net/likelihood.h"
#include "query/session/score.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { PHOTOS = 512, DRAWN = PHOTOS + PHOTOS / 8, LIKELY = 16, NEAREST = 32, LEAST = 8 };

static double logistic(double x)
{
	return 1 / (1 + exp(-x));
}

double background_trust(double correlation, double known)
{
	return logistic(2.0 * correlation + 5.0 * known - 2.75);
}

double background_pair(double z, double pmi)
{
	return logistic(2.0 * z + 0.55 * pmi - 1.95);
}

static double pair_alone(double z)
{
	return logistic(2.4 * z - 2.15);
}

double background_correlation(const double *x, const double *y, size_t n)
{
	double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;

	for (size_t i = 0; i < n; i++) {
		mx += x[i] / (double)n;
		my += y[i] / (double)n;
	}
	for (size_t i = 0; i < n; i++) {
		xx += (x[i] - mx) * (x[i] - mx);
		yy += (y[i] - my) * (y[i] - my);
		xy += (x[i] - mx) * (y[i] - my);
	}
	return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : 0;
}

double background_z(const struct background *b, double similarity)
{
	return b->known ? (similarity - b->mean) / b->deviation : NAN;
}

double background_match(const struct background *b, const struct candidate *c)
{
	double z = background_z(b, (double)c->similarity + (double)c->lift);

	if (!b->likelihoods)
		return pair_alone(z);
	/* One whose file is away has no likelihood: as if the photo said nothing about it. */
	double pmi = c->reranked ? (double)c->likelihood - b->prior : 0;
	return b->trust * background_pair(z, pmi);
}

/* ---- the background --------------------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static int by_content(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	return (x->content > y->content) - (x->content < y->content);
}

/* Of contents in ascending order, through the index: single look-ups in the catalog take longer than all else of a short search.
 * known: those that have an embedding, in the same order. */
static enum status look_up(struct library *library, const float *embedding, const int64_t *contents, size_t n, struct candidate *known,
			   size_t *count, struct err *err)
{
	float scores[DRAWN];
	int64_t found[DRAWN];
	enum status status = n ? store_nearest(library->store, STORE_PHOTOS, embedding, contents, n, n, scores, found, err) : STATUS_OK;

	*count = 0;
	for (size_t i = 0; status == STATUS_OK && i < n && found[i]; i++)
		known[(*count)++] = (struct candidate){.content = found[i], .similarity = scores[i]};
	qsort(known, *count, sizeof *known, by_content);
	return status;
}

/* Those of the drawn contents that have an embedding, at most PHOTOS, in the order in which they were drawn. */
static enum status compare(struct library *library, const float *embedding, const int64_t *drawn, size_t n, struct candidate *photos,
			   size_t *count, struct err *err)
{
	int64_t ascending[DRAWN];
	struct candidate known[DRAWN], key = {0};
	size_t m;

	memcpy(ascending, drawn, n * sizeof *drawn);
	qsort(ascending, n, sizeof *ascending, by_id);
	enum status status = look_up(library, embedding, ascending, n, known, &m, err);
	*count = 0;
	for (size_t i = 0; status == STATUS_OK && i < n && *count < PHOTOS; i++) {
		key.content = drawn[i];
		const struct candidate *found = bsearch(&key, known, m, sizeof *known, by_content);
		if (found)
			photos[(*count)++] = *found;
	}
	return status;
}

/* The photos of the sample with their similarities. The index knows which contents still have a photo, so that the catalog need not be
 * asked, unless very many have none. */
static enum status similarities(struct library *library, const float *embedding, struct candidate *photos, size_t *count, struct err *err)
{
	int64_t drawn[DRAWN];
	size_t n = 0;
	enum status status = store_sample(library->store, STORE_ANY, DRAWN, drawn, &n, err);

	*count = 0;
	if (status == STATUS_OK)
		status = compare(library, embedding, drawn, n, photos, count, err);
	if (status == STATUS_OK && *count < PHOTOS && n == DRAWN) {
		status = store_sample(library->store, STORE_THERE, PHOTOS, drawn, &n, err);
		if (status == STATUS_OK)
			status = compare(library, embedding, drawn, n, photos, count, err);
	}
	return status;
}

static void spread(const struct candidate *photos, size_t n, struct background *b)
{
	double square = 0;

	for (size_t i = 0; i < n; i++)
		b->mean += (double)photos[i].similarity / (double)n;
	for (size_t i = 0; i < n; i++)
		square += pow((double)photos[i].similarity - b->mean, 2) / (double)n;
	b->deviation = sqrt(square);
	b->known = n >= LEAST && b->deviation > 0;
}

static size_t add_points(const struct candidate *from, size_t count, size_t slots, double *x, double *y, size_t n)
{
	for (size_t i = 0; i < count; i++)
		if (from[i].reranked && from[i].slot < slots) {
			x[n] = (double)from[i].similarity;
			y[n++] = (double)from[i].likelihood;
		}
	return n;
}

static enum status likelihoods(struct reranker *reranker, struct candidate *photos, size_t count, const struct candidate *nearest,
			       size_t near_count, struct background *b, struct err *err)
{
	struct reranker quiet = *reranker; /* what it counts is not the user's business */
	double x[LIKELY + NEAREST], y[LIKELY + NEAREST], ids = 0;
	float likely[LIKELY];
	size_t n = 0, drawn = count < LIKELY ? count : LIKELY;

	quiet.each = NULL;
	enum status status = rerank_likelihoods(&quiet, photos, drawn, err);
	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < drawn; i++)
		if (photos[i].reranked)
			likely[n++] = photos[i].likelihood;
	if (n < LEAST)
		return STATUS_OK;
	b->prior = score_log_mean(likely, n);
	for (size_t k = 0; k < reranker->text_count; k++)
		ids += reranker->weights[k] * (double)coca_counted(reranker->engine->model, reranker->texts[k]);
	n = add_points(photos, drawn, SIZE_MAX, x, y, 0);
	n = add_points(nearest, near_count, NEAREST, x, y, n);
	double chance = ids * log((double)coca_config(reranker->engine->model)->vocab_size);
	b->trust = background_trust(background_correlation(x, y, n), chance > 0 ? 1 + b->prior / chance : 0);
	b->likelihoods = true;
	return STATUS_OK;
}

enum status background_make(struct library *library, struct reranker *reranker, const float *embedding,
			     const struct candidate *candidates, size_t count, struct background *b, struct err *err)
{
	struct candidate *photos = mem_array(PHOTOS, sizeof *photos);
	size_t n = 0;

	*b = (struct background){0};
	enum status status = photos ? similarities(library, embedding, photos, &n, err) : err_memory(err, "photos to compare with");
	if (status == STATUS_OK)
		spread(photos, n, b);
	if (status == STATUS_OK && b->known && reranker)
		status = likelihoods(reranker, photos, n, candidates, count, b, err);
	free(photos);
	return status;
}
