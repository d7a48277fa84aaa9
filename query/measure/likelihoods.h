/* likelihoods.h: how likely the model finds the texts of an evalset under its photographs: what reranking adds to similarity.
 *
 *     likelihoods_fill(listener, &engine, &set, &ranking, true, err);      // of each shortlisted photo for each text
 *     nulls_make(listener, &engine, &set, SCORE_NULLS, &nulls, err);
 *     ... score_text(scale, cosine, likelihood, nulls_prior(&nulls, text, photo)) ...
 *     nulls_release(&nulls);
 */
#ifndef QUERY_MEASURE_LIKELIHOODS_H
#define QUERY_MEASURE_LIKELIHOODS_H

#include "query/measure/evalset.h"

/* Fills the likelihoods of a ranking's shortlists. by_text: queries are texts and items photos; else the other way round. */
enum status likelihoods_fill(const struct listener *listener, struct engine *engine, const struct evalset *set, struct ranking *ranking,
			     bool by_text, struct err *err);

/* How likely each text is whatever the photo: its likelihood under `most` photos of the set (at most SCORE_NULLS), evenly spread. */
struct nulls {
	size_t count;
	uint32_t photos[SCORE_NULLS];
	float *likelihood; /* [texts,count] */
};
enum status nulls_make(const struct listener *listener, struct engine *engine, const struct evalset *set, size_t most, struct nulls *nulls,
		       struct err *err);
void nulls_release(struct nulls *nulls);

/* log p(text) as it is for one photo: the photo itself is not among the nulls. */
double nulls_prior(const struct nulls *nulls, size_t text, size_t photo);

#endif
