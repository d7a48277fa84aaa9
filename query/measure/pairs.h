/* pairs.h: pairs of pictures whose captions have the same words in another order: does a model know what goes with what?
 *
 * Samples X-a and X-b of a shard are a pair (build/tests/tools/scenes --pairs draws them; Winoground's pairs fit as well). Three
 * questions about each: which of both captions goes with a picture (two decisions), which of both pictures goes with a caption (two), and
 * whether all four decisions are right. Guessing gets 50, 50 and about 17 percent; a tie counts half.
 */
#ifndef QUERY_MEASURE_PAIRS_H
#define QUERY_MEASURE_PAIRS_H

#include "query/measure/evalset.h"

struct pairs_right {
	double caption, picture, both; /* percent */
};

struct pairs_result {
	size_t pairs, alone;           /* alone: samples without their other side */
	struct pairs_right similarity;
	struct pairs_right likelihood; /* log p(t|i) - log p(t) */
	struct pairs_right combined;   /* score.h */
};

/* A set that was loaded with choice.pairs and tokens. */
enum status pairs_measure(const struct listener *listener, struct engine *engine, const struct evalset *set,
			  struct pairs_result *result, struct err *err);

#endif
