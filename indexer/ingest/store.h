/* store.h: what a run writes of each photograph, and when it commits.
 *
 *     store_open(&store, &ingest, &store_options, err);       // of the encoder's and the image tokens: how many, how wide
 *     store_begin(&store, err);                               // before anything is written; does nothing within a transaction
 *     store_embedding(&store, content, embedding, tokens, encoder, err);
 *     store_row(&store, item, &job, content, failed, err);
 *     store_settle(&store, 32, err);                          // 32 photographs are done: commits when it is time
 *     store_finish(&store, err);                              // keeps to the budget and commits
 *     store_release(&store);                                  // what is not committed is rolled back
 *
 * Whichever comes first, a second or 32 photographs: that much work a kill may cost. An embedding is written in the transaction of its row.
 */
#ifndef INDEXER_INGEST_STORE_H
#define INDEXER_INGEST_STORE_H

#include "indexer/ingest/heads.h"
#include "indexer/ingest/ingest.h"

struct store {
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
enum status store_open(struct store *store, const struct ingest *in, bool *encoder, struct err *err);
void store_release(struct store *store);

enum status store_begin(struct store *store, struct err *err);
enum status store_settle(struct store *store, size_t photos, struct err *err);
enum status store_finish(struct store *store, struct err *err);

/* embedding[E]; packed tokens, NULL: none. */
enum status store_embedding(struct store *store, int64_t content, const float *embedding, const uint8_t *tokens, const uint8_t *encoder,
			    struct err *err);
/* failed: job->err says why. */
enum status store_row(struct store *store, const struct ingest_item *item, const struct job *job, int64_t content, bool failed, struct err *err);
enum status store_vanished(struct store *store, const struct ingest_item *item, struct err *err);

#endif
