/* split.h: how a call's work is split over threads.
 *
 *     struct split split = split_work(items, cost, most);         // piece p: items * p / pieces and on, where all cost the same
 *     split_by_cost(cost_of_each, items, most, &split, err);      // else cuts[p] and on
 *     split_run(&split, work, &job);
 *     split_release(&split);
 *
 * A batch is cut into pieces that one thread each carries through the whole network: no barriers, and activations
 * stay in that core's cache. Only where there are fewer items than threads does one piece use all threads inside its operations.
 */
#ifndef MODEL_NET_SPLIT_H
#define MODEL_NET_SPLIT_H

#include <stddef.h>

#include "schema/base/status.h"

struct split {
	size_t pieces;
	size_t lanes;    /* threads that take pieces */
	int threads;     /* that the operations inside a piece use */
	/* split_by_cost's: piece p has items cuts[p]..cuts[p+1]-1; it may be empty. */
	size_t *cuts;    /* [pieces+1] */
	size_t cost_most, items_most; /* of a piece */
};

/* items of cost in all, pieces of about `most` where that can be. */
struct split split_work(size_t items, size_t cost, size_t most);

/* Pieces of about equal cost. */
enum status split_by_cost(const size_t *cost /* [items] */, size_t items, size_t most, struct split *split, struct err *err);
void split_release(struct split *split);

/* Calls work for every piece; lane < split->lanes is the thread that does so. */
void split_run(const struct split *split, void (*work)(void *context, size_t piece, size_t lane), void *context);

#endif
