/* background.h: how likely it is that a photo shows what was asked for at all: 0 to 1, on one scale for every query.
 *
 * A score ranks the photos of one query; its size means nothing beside another query's. So similarity and likelihood are held
 * against a background: photos of the collection drawn by the hash of their content, whatever the query.
 *
 *     z      = (similarity - mean) / deviation over up to 512 photos
 *     pmi    = log p(query | photo) - log p(query), p(query) being the mean over up to 16 photos
 *     pair   = logistic(2.0 z + 0.55 pmi - 1.95)            a photo and its own caption, against another's caption
 *     r      = correlation of similarity and likelihood over those 16 and the 32 nearest: do the two heads of the model agree?
 *     known  = 1 + log p(query) / (ids x log V)             0: as unlikely as ids drawn by chance
 *     trust  = logistic(2.0 r + 5.0 known - 2.75)           captions and everyday words, against gibberish and far-fetched things
 *     match  = pair x trust
 *
 * Evens are assumed beforehand, between a photo with its own caption and one with another's: in a library where little fits, more of
 * what matches by 0.9 is wrong than one in ten. What text lifts a photo (by_text.h) counts as similarity.
 * Where there is no likelihood (photos as the query, --no-rerank) match = logistic(2.4 z - 2.15) alone: it then tells a photo that
 * stands out from one that does not, but a good query from nonsense it cannot tell.
 * The constants are those of logistic regressions on an earlier model: 300 photographs of flickr8k_subset and coco_like_2k, 80 of
 * their captions with as many others, 30 everyday words, 30 nonsense queries. With the model that ships, over 2,481 photos, the best
 * match of 40 held-out captions and 15 everyday phrases is 0.75 in the middle (41 of 55 above 0.5), that of 20 strings of random letters
 * and 20 far-fetched subjects 0.07 and 0.10 (none of 40 above 0.5; tests/bench/match.sh). Another model's scale will be about right, not exact.
 */
#ifndef QUERY_FIND_BACKGROUND_H
#define QUERY_FIND_BACKGROUND_H

#include <stdbool.h>
#include <stddef.h>

#include "query/session/library.h"
#include "query/find/rerank.h"
#include "query/find/search.h"

struct background {
	bool known;              /* false: the collection is too small for one; every match is unknown (NAN) */
	double mean, deviation;  /* of the similarities */
	bool likelihoods;        /* the rest is known, too */
	double prior, trust;     /* log p(query), trust */
};

/* reranker: NULL where nothing is reranked. candidates: reranked, with their slots. */
enum status background_make(struct library *library, struct reranker *reranker, const float *embedding /* [E] */,
			     const struct candidate *candidates, size_t count, struct background *background, struct err *err);

double background_z(const struct background *background, double similarity);
double background_match(const struct background *background, const struct candidate *candidate);

/* The pure arithmetic. */
double background_trust(double correlation, double known);
double background_pair(double z, double pmi);
double background_correlation(const double *x, const double *y, size_t n); /* 0 where one of them does not vary */

#endif
