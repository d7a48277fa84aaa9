/* caption.h: image tokens become sentences, greedily or by beam search (model/net/generate.h).
 *
 * Of a beam's captions the one with the highest log-likelihood divided by its number of tokens (those behind the start, the end
 * counted) is chosen: undivided, short captions would win.
 */
#ifndef QUERY_FIND_CAPTION_H
#define QUERY_FIND_CAPTION_H

#include "query/session/engine.h"

enum { CAPTION_BEAMS = 4, CAPTION_BATCH = 16 /* photographs that are captioned together */ };

/* The collection that captions are stored in. */
#define CAPTION_COLLECTION "captions"

struct written {
	char *text;        /* freed by written_release */
	float likelihood;  /* log p(text | photo) */
	size_t tokens;     /* those that it sums over */
};

/* written[count]. beams 1: greedy. most: tokens of a caption at most, 0: as many as the model takes. */
enum status caption_write(struct engine *engine, const float *tokens /* [count,N,W] */, size_t count, size_t beams, size_t most,
			  struct written *written, struct err *err);
void written_release(struct written *written, size_t count);

#endif
