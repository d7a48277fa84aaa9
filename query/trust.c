/* trust.c: see trust.h. */
#include "query/trust.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "schema/memory.h"

#include "schema/banned.h"

enum { SAMPLE = 16 /* photos a side */, LEAST = 5 };

static int by_similarity(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->similarity != y->similarity)
		return x->similarity > y->similarity ? -1 : 1;
	return (x->content > y->content) - (x->content < y->content);
}

double trust_contrast(const float *near, size_t n, const float *far, size_t m)
{
	double mean[2] = {0}, square[2] = {0};
	const float *side[2] = {near, far};
	size_t count[2] = {n, m};

	for (int s = 0; s < 2; s++) {
		for (size_t i = 0; i < count[s]; i++)
			mean[s] += (double)side[s][i] / (double)count[s];
		for (size_t i = 0; i < count[s]; i++)
			square[s] += ((double)side[s][i] - mean[s]) * ((double)side[s][i] - mean[s]);
	}
	double deviation = sqrt((square[0] + square[1]) / (double)(n + m - 2));
	return (mean[0] - mean[1]) / (deviation > 0 ? deviation : 1);
}

/* The photos least like the query, those nearest to its opposite, with their likelihoods. */
static enum status far_side(struct reranker *reranker, const struct catalog_model *row, struct vectors *vectors, const float *embedding,
			    size_t n, float *likelihoods, size_t *count, struct err *err)
{
	static const struct photo_filter all;
	size_t dim = (size_t)row->dim, found = 0;
	float *opposite = mem_floats(dim);
	struct candidate *far = NULL;
	enum status status = STATUS_OK;

	*count = 0;
	if (!opposite)
		return err_memory(err, "an embedding");
	for (size_t i = 0; i < dim; i++)
		opposite[i] = -embedding[i];
	status = search_candidates(reranker->catalog, row, vectors, &all, opposite, n, &far, &found, err);
	if (status == STATUS_OK)
		status = rerank_likelihoods(reranker, far, found, err);
	for (size_t i = 0; status == STATUS_OK && i < found; i++)
		if (far[i].reranked)
			likelihoods[(*count)++] = far[i].likelihood;
	free(far);
	free(opposite);
	return status;
}

enum status trust_check(struct reranker *reranker, const struct catalog_model *row, struct vectors *vectors, const float *embedding,
			const struct candidate *candidates, size_t count, bool *doubtful, struct err *err)
{
	struct candidate *sorted = mem_array(count, sizeof *sorted);
	float near[SAMPLE], far[SAMPLE];
	size_t sample = vectors_count(vectors) / 3, n = 0, m = 0;
	enum status status = STATUS_OK;

	*doubtful = false;
	if (!sorted)
		return err_memory(err, "candidates");
	memcpy(sorted, candidates, count * sizeof *sorted);
	qsort(sorted, count, sizeof *sorted, by_similarity);
	if (sample > SAMPLE)
		sample = SAMPLE;
	for (size_t i = 0; i < count && n < sample; i++)
		if (sorted[i].reranked)
			near[n++] = sorted[i].likelihood;
	free(sorted);
	if (n < LEAST)
		return STATUS_OK;
	status = far_side(reranker, row, vectors, embedding, sample, far, &m, err);
	if (status == STATUS_OK && m >= LEAST)
		*doubtful = trust_contrast(near, n, far, m) < 0;
	return status;
}
