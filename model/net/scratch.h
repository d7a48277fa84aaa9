/* scratch.h: what coca.c, likelihood.c and generate.c share: a caller's scratch, and how work is split over threads.
 *
 * A batch is cut into pieces that one thread each carries through the whole network: no barriers, and activations
 * stay in that core's cache. Only where there are fewer items than threads does one piece use all threads inside its operations.
 */
#ifndef MODEL_NET_SCRATCH_H
#define MODEL_NET_SCRATCH_H

#include "model/net/coca.h"

/* The state's block of at least size bytes for each of lanes threads, aligned to 64; NULL when out of memory.
 * *stride: bytes from one thread's to the next. Valid until the next call. */
char *state_scratch(struct coca_state *state, size_t size, size_t lanes, size_t *stride);

struct split {
	size_t pieces;
	size_t lanes;    /* threads that take pieces */
	int threads;     /* that the operations inside a piece use */
};

/* items of cost in all, pieces of about `most` where that can be. */
struct split split_work(size_t items, size_t cost, size_t most);

/* Calls work for every piece; lane < split->lanes is the thread that does so. */
void split_run(const struct split *split, void (*work)(void *context, size_t piece, size_t lane), void *context);

/* cuts[pieces+1]: piece i has items cuts[i]..cuts[i+1]-1, of about equal cost; it may be empty. */
void split_cut(const size_t *cost /* [items] */, size_t items, size_t pieces, size_t *cuts);

/* STATUS_FORMAT unless every text has 1..C ids, all of the vocabulary. */
enum status coca_check_texts(const struct coca *model, const struct coca_text *texts, size_t T, struct err *err);

/* STATUS_FORMAT naming the weights: x[n] holds a NaN or an infinity, which only damaged weights bring about. */
enum status coca_check_finite(const struct coca *model, const float *x, size_t n, const char *what, struct err *err);

/* The model's weights, of which those of the part are there, the others perhaps not yet. The decoder goes on from the text tower's
 * tokens, and brings that along. */
const struct weights *coca_weights_of(const struct coca *model, enum weights_part part);

/* The decoder's 8-bit weights, made or read when they are first asked for; NULL if the model's precision is fp32. */
struct decoder_int8;
enum status coca_decoder_int8(const struct coca *model, const struct decoder_int8 **made, struct err *err);

#endif
