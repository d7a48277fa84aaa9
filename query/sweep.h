/* sweep.h: the table that the weights of score.h were chosen by: recall for each form and weight of the reranking score. */
#ifndef QUERY_SWEEP_H
#define QUERY_SWEEP_H

#include "query/evalset.h"
#include "schema/memory.h"

/* Rankings with their likelihoods filled: photos for texts, texts for photos. */
enum status sweep_print(const struct engine *engine, const struct evalset *set, const struct ranking *photos, const struct ranking *texts,
			const struct nulls *nulls, struct buffer *out, struct err *err);

#endif
