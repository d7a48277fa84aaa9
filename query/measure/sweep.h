/* sweep.h: which weights score.h should have: recall for each weight of the reranking score, shard by shard, and the weights that
 * cost no recall on any of them.
 *
 * Advised is, for each direction, the weight with the largest gain in mean reciprocal rank among those that lower recall neither at
 * 1 nor at 10 on any shard; none is a weight of 0. How far such a choice can be trusted is measured by making it ten times on
 * nine tenths of the photographs, each time for the other tenth.
 */
#ifndef QUERY_MEASURE_SWEEP_H
#define QUERY_MEASURE_SWEEP_H

#include "query/measure/evalset.h"
#include "schema/base/memory.h"

/* Loads each shard as a collection of its own, computes its likelihoods once and prints the table and the advice; json: the advice alone,
 * as one line. *skipped counts samples that cannot be read. STATUS_NOT_FOUND if a shard has no sample. */
enum status sweep_print(const struct listener *listener, struct engine *engine, const char *const *shards, size_t count,
			const struct evalchoice *choice, size_t depth, bool json, struct buffer *out, size_t *skipped, struct err *err);

#endif
