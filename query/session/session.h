/* session.h: an opened library and the model that reranks, for any number of questions: of the shell, of a server, of a test.
 *
 *     struct session session;
 *     session_open(&library, NULL, false, &session, err);                   // session/library.h has opened the library
 *     answer_search(&session, &request, &answer, err);                      // query/answer/search.h
 *     session_close(&session);
 *
 * It prints nothing: what the user might not expect goes to the library's listener.
 */
#ifndef QUERY_SESSION_SESSION_H
#define QUERY_SESSION_SESSION_H

#include "query/session/library.h"

struct session {
	struct library *library;
	struct engine other;        /* of rerank_model; zeroed without */
	struct store *other_store;  /* of what that model made of the library's photographs */
};

/* The library stays the caller's, and outlives the session. rerank_model: whose likelihoods rerank; NULL: the library's own model. exact:
 * photographs that are not stored are decoded in full: the reference, slower. After an error close is still due. */
enum status session_open(struct library *library, const char *rerank_model, bool exact, struct session *session, struct err *err);
void session_close(struct session *session); /* takes a zeroed one */

/* The model whose likelihoods rerank, and what it made of the library's photographs. */
struct engine *session_reranker(struct session *session, struct store **store);

#endif
