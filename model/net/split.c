/* split.c: see split.h. */
#include "model/net/split.h"

#include <omp.h>
#include <stdlib.h>

#include "model/math/ops.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

struct split split_work(size_t items, size_t cost, size_t most)
{
	size_t threads = (size_t)op_threads();
	size_t pieces = cost / most + (cost % most > 0);

	if (items < threads || threads == 1)
		return (struct split){.pieces = items < pieces ? items : pieces ? pieces : 1, .lanes = 1, .threads = (int)threads};
	pieces = pieces ? (pieces + threads - 1) / threads * threads : threads;
	return (struct split){.pieces = pieces < items ? pieces : items, .lanes = threads, .threads = 1};
}

void split_run(const struct split *split, void (*work)(void *context, size_t piece, size_t lane), void *context)
{
	/* Not a region of one thread: OpenMP would take the operations' own regions inside for nested ones, and make and end threads for
	 * each of them. */
	if (split->lanes == 1) {
		for (size_t p = 0; p < split->pieces; p++)
			work(context, p, 0);
		return;
	}
#pragma omp parallel for schedule(dynamic, 1) num_threads((int)split->lanes)
	for (size_t p = 0; p < split->pieces; p++)
		work(context, p, (size_t)omp_get_thread_num());
}

/* cuts[pieces+1] */
static void cut(const size_t *cost, size_t items, size_t total, size_t pieces, size_t *cuts)
{
	size_t sum = 0, piece = 0;

	for (size_t i = 0; i < items; i++) {
		/* The next piece begins here if what lies before it is its predecessors' share. */
		while (piece < pieces && sum * pieces >= total * piece)
			cuts[piece++] = i;
		sum += cost[i];
	}
	while (piece <= pieces)
		cuts[piece++] = items;
}

enum status split_by_cost(const size_t *cost, size_t items, size_t most, struct split *split, struct err *err)
{
	size_t total = 0;

	for (size_t i = 0; i < items; i++)
		total += cost[i];
	*split = split_work(items, total, most);
	split->cuts = mem_array(split->pieces + 1, sizeof *split->cuts);
	if (!split->cuts)
		return err_memory(err, "the pieces of a batch");
	cut(cost, items, total, split->pieces, split->cuts);
	for (size_t p = 0; p < split->pieces; p++) {
		size_t sum = 0, count = split->cuts[p + 1] - split->cuts[p];
		for (size_t i = split->cuts[p]; i < split->cuts[p + 1]; i++)
			sum += cost[i];
		split->cost_most = sum > split->cost_most ? sum : split->cost_most;
		split->items_most = count > split->items_most ? count : split->items_most;
	}
	return STATUS_OK;
}

void split_release(struct split *split)
{
	free(split->cuts);
	split->cuts = NULL;
}
