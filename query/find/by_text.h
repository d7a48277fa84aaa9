/* by_text.h: photographs found by the texts that are tied to them, beside those found by their pixels.
 *
 * The cosine of two texts and that of a text and a photograph have different scales: a query is about as near to the texts that have
 * nothing to do with it as to the photographs that show it. So both are held against their own collection, query by query:
 *
 *     z          = (cosine - mean) / deviation over up to 256 tied texts, evenly spread
 *     equivalent = mean + deviation x z over up to 256 photographs, drawn by the hash of their content
 *
 * A photograph whose best text's equivalent is above its own similarity is found by that text: the difference lifts it, in
 * the order, in the score that reranking makes, and in its match. There its pixels' likelihood of the query counts the less the further
 * its text is above them; from two deviations on not at all (search.h: told). Other photographs stay as they are. Where there are fewer than 64
 * tied texts, 32 everyday sentences join them, so that a few notes do not set the scale.
 */
#ifndef QUERY_FIND_BY_TEXT_H
#define QUERY_FIND_BY_TEXT_H

#include "query/session/library.h"
#include "query/find/search.h"

struct by_text_scale {
	double text_mean, text_deviation, photo_mean, photo_deviation;
};

/* What a text's cosine is worth as a photograph's. */
double by_text_equivalent(const struct by_text_scale *scale, double cosine);

/* Mean and deviation of x[n]; a deviation of 0 where n < 2. */
void by_text_moments(const double *x, size_t n, double *mean, double *deviation);

/* Embeds texts that this model has not embedded yet, where any is tied: before a question begins, as it writes. */
enum status by_text_ready(struct library *library, struct err *err);

/* candidates: the k nearest photographs, as search_passing found them (count <= k); becomes the k best, pixels and texts together,
 * their text, text_similarity, lift, score and slot set. Costs next to nothing in a catalog without tied texts. */
enum status by_text_widen(struct library *library, const struct passing *passing, const float *embedding /* [E] */, size_t k,
			  struct candidate **candidates, size_t *count, struct err *err);

#endif
