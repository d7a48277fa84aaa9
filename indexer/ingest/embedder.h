/* embedder.h: the thread that embeds batches of crops while the caller decides, stores and commits.
 *
 *     embedder_open(&options, &embedder, err);
 *     struct batch *batch = embedder_batch(embedder);     // the one that is free
 *     batch->rgb[batch->count++] = job->rgb;              // stays until the batch has landed
 *     embedder_start(embedder);
 *     while (!embedder_landed(embedder)) ...              // options.landed was called meanwhile, by the thread
 *     ... batch->status, batch->features ...              // valid until the start after the next
 *     embedder_close(embedder);                           // waits for what is under way
 *
 * Two batches: one is embedded while the other is stored. All cores compute on one; only its packed tokens are kept.
 */
#ifndef INDEXER_INGEST_EMBEDDER_H
#define INDEXER_INGEST_EMBEDDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/net/encode.h"
#include "schema/base/status.h"

struct batch {
	size_t count;
	const uint8_t **rgb;     /* [batch], each [S,S,3], the caller's */
	float *features;         /* [batch,E] */
	bool *finite;            /* [batch]; false: the model gives no numbers, and nothing is packed */
	uint8_t *tokens;         /* [batch] packed image tokens; NULL when none are kept */
	uint8_t *encoder;        /* [batch] packed encoder tokens, likewise */
	enum status status;
	struct err err;
};

struct embedder_options {
	const struct coca *coca;
	size_t batch;            /* photographs at most */
	bool tokens, encoder;    /* which tokens are packed */
	void (*landed)(void *context); /* called by the thread when a batch is done */
	void *context;
};

struct embedder;

enum status embedder_open(const struct embedder_options *options, struct embedder **embedder, struct err *err);
void embedder_close(struct embedder *embedder); /* takes NULL */

/* The batch that is neither under way nor the last that was started; empty. */
struct batch *embedder_batch(struct embedder *embedder);
/* Starts it; what was started before has landed. An empty one lands at once. */
void embedder_start(struct embedder *embedder);
bool embedder_landed(struct embedder *embedder);

/* Bytes of one photograph's packed tokens. */
size_t embedder_tokens_size(const struct embedder *embedder);
size_t embedder_encoder_size(const struct embedder *embedder);
double embedder_seconds(const struct embedder *embedder); /* spent embedding; after it has landed */

#endif
