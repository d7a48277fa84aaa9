/* rerank.h: the best candidates are put in order by how likely the model finds the query as a caption of each, together with the
 * similarity that brought them here (score.h).
 *
 * Image tokens come from the catalog, and stay in the 8 bits they are stored in. A candidate whose tokens are not stored is encoded
 * again from one of its files; if all of them are away or changed, it keeps its similarity: it stands as if its likelihood were the
 * mean of the others.
 */
#ifndef QUERY_FIND_RERANK_H
#define QUERY_FIND_RERANK_H

#include "query/session/engine.h"
#include "query/find/search.h"

struct reranker {
	struct engine *engine;             /* of the model that reranks */
	struct store *store;               /* of what that model made; of none where the library does not know it */
	double logit_scale;                /* of the model that embeds */
	const struct coca_text *texts;     /* [T] the query's words, as the reranking model takes them */
	const double *weights;             /* [T] of their likelihoods in the sum */
	size_t text_count;                 /* T */
	float *each;                       /* NULL, or [depth,T,C-1], in the order of slots: the likelihoods id by id */
	size_t encoded, kept;              /* counted: candidates encoded again; candidates without tokens */
};

/* The first `depth` of count candidates get likelihood and score and are sorted by score, ties by content. */
enum status rerank_candidates(struct reranker *reranker, struct candidate *candidates, size_t count, size_t depth, struct err *err);

/* The image tokens [n,N,W] of n contents, stored or encoded again. STATUS_IO if one is away. */
enum status rerank_tokens(struct reranker *reranker, const int64_t *contents, size_t n, float *tokens, struct err *err);

/* Likelihoods alone, no sorting; reranked says which got one. */
enum status rerank_likelihoods(struct reranker *reranker, struct candidate *candidates, size_t count, struct err *err);

#endif
