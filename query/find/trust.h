/* trust.h: do this model's embeddings find anything at all? A checkpoint that was finetuned for captions alone writes good captions,
 * but its embeddings are noise (facts of the published coca_ViT-B-32 finetuned on MSCOCO: recall at 1 of 0.3 %). Nobody
 * has labels at search time, so its own captions judge it, in two steps:
 *
 * 1. Every search: is the query likelier as a caption of the photos nearest to it than of those farthest from it? The
 *    difference of the means over the standard deviation is about 8 with the starter model (below 5 for a quarter of the queries), and
 *    scatters around 0 by 3.5 with one whose embeddings were spoilt. And do the similarities tell the photos of the collection apart,
 *    logit scale * (largest - least) > log(number of photos)? If both hold, the model is trusted.
 * 2. Else the model captions a few of these photos and searches for them by these captions: how often is a caption more similar to
 *    its own photo than to another? Always is 1, by chance is 0.5; below TRUST_LEAST the user is warned. A model that says
 *    the same of every photo cannot judge: then nothing is said.
 */
#ifndef QUERY_FIND_TRUST_H
#define QUERY_FIND_TRUST_H

#include "query/find/rerank.h"

/* %s: the model. */
#define TRUST_WARNING                                                                                                        \
	"warning: the embeddings of the model '%s' retrieve next to nothing: it does not find photos by its own captions of them; " \
	"hint: embed with another --model, and give this one as --rerank-model"

extern const double TRUST_LEAST;

struct trust {
	struct reranker *reranker;
	struct engine *engine;           /* of the model that embeds */
	struct store *store;             /* of what it embedded */
	const float *embedding;          /* of the query [E] */
};

/* candidates: reranked ones of the query. */
enum status trust_check(const struct trust *trust, const struct candidate *candidates, size_t count, bool *doubtful, struct err *err);

/* (mean of near - mean of far) / pooled standard deviation; n, m >= 2. */
double trust_contrast(const float *near, size_t n, const float *far, size_t m);

/* Share of comparisons in which similarities[i,i] is larger than [i,j], j != i; a tie counts half. [n,n], n >= 2. */
double trust_own(const float *similarities, size_t n);

#endif
