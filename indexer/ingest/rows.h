/* rows.h: what a run writes of each photograph, and when it commits.
 *
 *     rows_open(&rows, &ingest, &encoder, err);             // encoder: whether its tokens are to be made
 *     rows_begin(&rows, err);                               // before anything is written; does nothing within a transaction
 *     rows_embedding(&rows, content, embedding, tokens, encoder, err);
 *     rows_photo(&rows, item, &job, content, failed, err);
 *     rows_settle(&rows, 32, err);                          // 32 photographs are done: commits when it is time
 *     rows_finish(&rows, err);                              // keeps to the budget and commits
 *     rows_release(&rows);                                  // what is not committed is rolled back
 *
 * Whichever comes first, a second or 32 photographs: that much work a kill may cost. An embedding is written in the transaction of its row.
 */
#ifndef INDEXER_INGEST_ROWS_H
#define INDEXER_INGEST_ROWS_H

#include "indexer/ingest/heads.h"
#include "indexer/ingest/ingest.h"

struct rows {
	const struct ingest *in;
	size_t E, N, W, M, D;     /* coca.h's letters: embedding [E], image tokens [N,W], the encoder's tokens [M,D] */
	float *rounded;           /* [M,D]: encoder tokens as stored */
	size_t encoder_room;      /* bytes */
	struct heads *heads;      /* NULL: there is none */
	size_t tokens_stored, tokens_untrimmed; /* bytes: in this run; since the last trim */
	size_t uncommitted;       /* photographs */
	bool begun;
	double committed;
};

/* Released in any case. *encoder: whether encoder tokens are wanted, to be stored or for the heads that are installed. */
enum status rows_open(struct rows *rows, const struct ingest *in, bool *encoder, struct err *err);
void rows_release(struct rows *rows);

enum status rows_begin(struct rows *rows, struct err *err);
enum status rows_settle(struct rows *rows, size_t photos, struct err *err);
enum status rows_finish(struct rows *rows, struct err *err);

/* embedding[E]; packed tokens, NULL: none. */
enum status rows_embedding(struct rows *rows, int64_t content, const float *embedding, const uint8_t *tokens, const uint8_t *encoder,
			    struct err *err);
/* failed: job->err says why. */
enum status rows_photo(struct rows *rows, const struct ingest_item *item, const struct job *job, int64_t content, bool failed,
		       struct err *err);
enum status rows_vanished(struct rows *rows, const struct ingest_item *item, struct err *err);

#endif
