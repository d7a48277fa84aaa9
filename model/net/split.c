/* split.c: see split.h. */
#include "model/net/split.h"

#include <omp.h>

#include "model/math/ops.h"

#include "schema/base/banned.h"

struct split split_work(size_t items, size_t cost, size_t most)
{
	size_t threads = (size_t)op_threads();
	size_t pieces = cost / most + (cost % most > 0);

	if (items < threads || threads == 1)
		return (struct split){items < pieces ? items : pieces ? pieces : 1, 1, (int)threads};
	pieces = pieces ? (pieces + threads - 1) / threads * threads : threads;
	return (struct split){pieces < items ? pieces : items, threads, 1};
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

void split_cut(const size_t *cost, size_t items, size_t pieces, size_t *cuts)
{
	size_t total = 0, sum = 0, piece = 0;

	for (size_t i = 0; i < items; i++)
		total += cost[i];
	for (size_t i = 0; i < items; i++) {
		/* The next piece begins here if what lies before it is its predecessors' share. */
		while (piece < pieces && sum * pieces >= total * piece)
			cuts[piece++] = i;
		sum += cost[i];
	}
	while (piece <= pieces)
		cuts[piece++] = items;
}
