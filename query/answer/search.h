/* search.h: photographs for a question: the one way in, for the shell, a server and a test.
 *
 *     struct search_request request = {.query = &query, .limit = 10, .depth = SCORE_DEPTH, .least = NAN};
 *     struct search_answer answer;
 *     if (answer_search(&session, &request, &answer, err) == STATUS_OK)
 *             ... answer.results.items[0].photo.path ...                    // query/find/search.h; show/format.h prints it
 *     search_answer_release(&answer);
 *
 * words and photographs -> embedding -> candidates, by pixels and by text -> likelihoods -> matches -> photographs
 */
#ifndef QUERY_ANSWER_SEARCH_H
#define QUERY_ANSWER_SEARCH_H

#include "query/ask/parse.h"
#include "query/find/background.h"
#include "query/session/session.h"
#include "query/show/explain.h"

struct search_request {
	struct query *query;     /* without words and photographs: what passes the filters, newest first, or by label; its labels are looked up,
	                            and what became of its terms is noted in it (compose.h) */
	size_t limit;
	size_t depth;            /* how many of the nearest are reranked; 0: none */
	double least;            /* only what matches by this or more, 0 to 1; NAN: all */
	bool explain;
};

/* How long each part took, in seconds. */
struct search_times {
	double embed, find, rerank, match, list;
};

struct search_answer {
	struct results results;
	size_t dropped;          /* candidates that match by less than `least` */
	struct search_times times;
	/* What results.why points to. */
	struct explanation why;
	struct background background;
	struct reranker reranker;
	struct coca_text *texts; /* [T] the words that rerank, as the reranking model takes them */
	double *weights;         /* [T] */
	float *each;             /* [depth,T,C-1] */
};

/* After an error there is nothing to release. */
enum status answer_search(struct session *session, const struct search_request *request, struct search_answer *answer, struct err *err);
/* Photographs like a file, indexed or not, which is left out itself. */
enum status answer_similar(struct session *session, const char *file, size_t limit, struct search_answer *answer, struct err *err);
void search_answer_release(struct search_answer *answer); /* takes a zeroed one */

#endif
