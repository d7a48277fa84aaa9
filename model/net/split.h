/* split.h: how a call's work is split over threads.
 *
 *     struct split split = split_work(items, cost, most);
 *     split_cut(cost_of_each, items, split.pieces, cuts);        // or items * piece / pieces, where all cost the same
 *     split_run(&split, work, &job);
 *
 * A batch is cut into pieces that one thread each carries through the whole network: no barriers, and activations
 * stay in that core's cache. Only where there are fewer items than threads does one piece use all threads inside its operations.
 */
#ifndef MODEL_NET_SPLIT_H
#define MODEL_NET_SPLIT_H

#include <stddef.h>

struct split {
	size_t pieces;
	size_t lanes;    /* threads that take pieces */
	int threads;     /* that the operations inside a piece use */
};

/* items of cost in all, pieces of about `most` where that can be. */
struct split split_work(size_t items, size_t cost, size_t most);

/* Calls work for every piece; lane < split->lanes is the thread that does so. */
void split_run(const struct split *split, void (*work)(void *context, size_t piece, size_t lane), void *context);

/* cuts[pieces+1]: piece i has items cuts[i]..cuts[i+1]-1, of about equal cost; it may be empty. */
void split_cut(const size_t *cost /* [items] */, size_t items, size_t pieces, size_t *cuts);

#endif
