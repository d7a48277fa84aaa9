/* recall.c: see recall.h. */
#include "model/data/recall.h"

#include <math.h>
#include <stdlib.h>

#include <cblas.h>

#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { BLOCK = 128 }; /* queries whose similarities to all items are in memory at a time */

/* Without owners each is its own. */
static uint32_t owner_of(const uint32_t *owners, size_t i)
{
	return owners ? owners[i] : (uint32_t)i;
}

static bool better(double score, uint32_t item, double than, uint32_t than_item)
{
	return score > than || (score == than && item < than_item);
}

/* How many items are better than the best right one; a model whose numbers are NaN finds nothing. */
static uint32_t place_of(const float *row /* [M] */, const uint32_t *owner_of_item, size_t M, uint32_t owner)
{
	size_t best = M;
	uint32_t place = 0;

	for (size_t i = 0; i < M; i++)
		if (owner_of(owner_of_item, i) == owner && (best == M || row[i] > row[best]))
			best = i;
	if (best == M || isnan(row[best]))
		return (uint32_t)M;
	for (size_t i = 0; i < M; i++)
		place += better((double)row[i], (uint32_t)i, (double)row[best], (uint32_t)best);
	return place;
}

/* The `depth` best, by insertion: few items get past the last of the list. */
static void shorten(const float *row /* [M] */, const uint32_t *owner_of_item, size_t M, uint32_t owner, size_t depth,
		    struct shortlisted *list)
{
	size_t n = 0;

	for (size_t i = 0; i < M; i++) {
		size_t at = n < depth ? n++ : depth;
		if (at == depth && !(row[i] > list[depth - 1].cosine))
			continue;
		if (at == depth)
			at--;
		for (; at > 0 && row[i] > list[at - 1].cosine; at--)
			list[at] = list[at - 1];
		list[at] = (struct shortlisted){.item = (uint32_t)i, .right = owner_of(owner_of_item, i) == owner, .cosine = row[i]};
	}
}

enum status ranking_make(const float *queries, const uint32_t *owner_of_query, size_t Q, const float *items, const uint32_t *owner_of_item,
			 size_t M, size_t E, size_t depth, struct ranking *ranking, struct err *err)
{
	if (depth > M)
		depth = M;
	*ranking = (struct ranking){.queries = Q, .depth = depth};
	float *block = mem_floats(mem_product(BLOCK, M));
	ranking->place = mem_array(Q, sizeof *ranking->place);
	ranking->short_list = mem_array(mem_product(Q, depth), sizeof *ranking->short_list);
	if (!block || !ranking->place || !ranking->short_list) {
		free(block);
		ranking_release(ranking);
		return err_memory(err, "a ranking");
	}
	for (size_t at = 0; at < Q; at += BLOCK) {
		size_t n = Q - at < BLOCK ? Q - at : BLOCK;
		/* block[n,M] = queries[n,E] items[M,E]^T */
		cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)M, (int)E, 1, queries + at * E, (int)E, items, (int)E, 0,
			    block, (int)M);
#pragma omp parallel for schedule(dynamic)
		for (size_t q = 0; q < n; q++) {
			const float *row = block + q * M;
			ranking->place[at + q] = place_of(row, owner_of_item, M, owner_of(owner_of_query, at + q));
			if (depth)
				shorten(row, owner_of_item, M, owner_of(owner_of_query, at + q), depth,
					ranking->short_list + (at + q) * depth);
		}
	}
	free(block);
	return STATUS_OK;
}

void ranking_release(struct ranking *ranking)
{
	free(ranking->place);
	free(ranking->short_list);
	*ranking = (struct ranking){0};
}

void ranking_reorder(const struct ranking *ranking, ranking_score score, void *context, uint32_t *place)
{
	for (size_t q = 0; q < ranking->queries; q++) {
		const struct shortlisted *list = ranking->short_list + q * ranking->depth;
		double best = -INFINITY;
		uint32_t best_item = UINT32_MAX, n = 0;

		place[q] = ranking->place[q];
		if (ranking->place[q] >= ranking->depth)
			continue; /* no right item is on the list */
		for (size_t i = 0; i < ranking->depth; i++) {
			double s = list[i].right ? score(context, q, &list[i]) : -INFINITY;
			if (list[i].right && better(s, list[i].item, best, best_item)) {
				best = s;
				best_item = list[i].item;
			}
		}
		for (size_t i = 0; i < ranking->depth; i++)
			n += better(score(context, q, &list[i]), list[i].item, best, best_item);
		place[q] = n;
	}
}

struct recall recall_of(const uint32_t *place, size_t Q)
{
	size_t within1 = 0, within5 = 0, within10 = 0;
	double percent = Q ? 100 / (double)Q : 0;

	for (size_t q = 0; q < Q; q++) {
		within1 += place[q] < 1;
		within5 += place[q] < 5;
		within10 += place[q] < 10;
	}
	return (struct recall){percent * (double)within1, percent * (double)within5, percent * (double)within10};
}
