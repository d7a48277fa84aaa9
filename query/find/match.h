/* match.h: the texts that fit a photograph.
 *
 *     embedding -> nearest texts -> log p(t|i) and log p(t) -> score_text -> best first
 *
 *     struct matcher matcher;
 *     match_open(listener, &library, NULL, &matcher, err);
 *     match_find(&matcher, embedding, tokens, content, 10, 50, &matches, &n, err);
 *     matches_free(matches, n);
 *     match_close(&matcher);
 *
 * log p(t), how likely a text is whatever the photograph, is its mean likelihood under SCORE_NULLS null pictures: photographs of the
 * collection, those with the smallest hashes (which is as good as chance, and the same on every run), but never the one
 * asked about; where there are too few, pictures of noise. It is computed once for each text and kept in the catalog.
 */
#ifndef QUERY_FIND_MATCH_H
#define QUERY_FIND_MATCH_H

#include "query/session/library.h"
#include "query/session/score.h"

struct match {
	int64_t id, content;     /* of the text; the content it is tied to, 0: none */
	char *text, *collection; /* ours */
	size_t text_size;
	float similarity;        /* cosine */
	bool reranked;
	float likelihood;        /* log p(t|i), if reranked */
	double prior;            /* log p(t), if reranked */
	double score;
};

struct matcher {
	struct library *library;
	int64_t *ids;              /* of the one collection that is searched, ascending; NULL: all are */
	size_t count;              /* texts to choose from */
	int64_t sample[SCORE_NULLS + 1]; /* contents that may be nulls: one more than is needed */
	size_t sampled;
	int64_t held[SCORE_NULLS]; /* nulls whose tokens are in memory */
	bool replaced[SCORE_NULLS]; /* by noise, as the photograph is away */
	size_t held_count;
	float *tokens;             /* [1 + SCORE_NULLS,N,W] of the photograph asked about, then of the nulls held */
};

/* collection NULL: all texts. Texts that this model has not embedded yet are embedded first. */
enum status match_open(struct library *library, const char *collection, struct matcher *matcher, struct err *err);
void match_close(struct matcher *matcher); /* takes a zeroed one */

/* embedding[E], tokens[N,W] and content (0: not in the catalog) of the photograph. depth: how many of the nearest are reranked; 0:
 * none. Texts of equal bytes are one match. *matches: at most limit, best first, ties by id; freed by matches_free. */
enum status match_find(struct matcher *matcher, const float *embedding, const float *tokens, int64_t content, size_t limit, size_t depth,
		       struct match **matches, size_t *count, struct err *err);
void matches_free(struct match *matches, size_t count);

/* A picture of noise, the same for each number on every run, as tokens [N,W]. */
enum status match_noise(struct engine *engine, size_t number, float *tokens, struct err *err);

#endif
