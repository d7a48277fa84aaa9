/* text.h: the unimodal text decoder of CoCa, over texts packed without padding.
 *
 *     ids -> token_embedding, positions -> causal blocks -> text tokens
 *                                                       \-> class embedding -> ln_final -> text_proj -> the embedding
 *
 * The published checkpoints carry a mask that is one key off: key j > 0 is visible if id j-1 is not padding (0), key 0 always.
 * So of a text of n ids only positions 0..n (the first padding slot, which is seen, included when n < C) and the class
 * embedding at position C ever matter; an id 0 inside hides its successor as a key. Rows of a packed text are
 *
 *     id 0 .. id n-1, padding if n < C, class
 *
 * where the same rule, "a key is visible if the id before it is not 0", holds for every row, the class embedding too.
 *
 * Letters: T texts, n ids of one, C context, W width, E embedding, R rows in all.
 */
#ifndef MODEL_NET_TEXT_H
#define MODEL_NET_TEXT_H

#include "model/files/config.h"
#include "model/files/weights.h"
#include "model/net/batch.h"

/* Rows of a text with its class embedding. */
size_t text_rows(const struct config *config, size_t n);

/* Bytes of scratch; SIZE_MAX if that overflows. rows: sum of text_rows, or of the positions below. */
size_t text_scratch(const struct config *config, size_t rows, size_t T, int threads);

/* features[T,E], not normalised; tokens, if not NULL: [sum of n, W], before ln_final. */
void text_forward(const struct config *config, const struct weights *weights, const struct coca_text *texts, size_t T, int threads,
		  void *scratch, float *features, float *tokens);

/* Tokens of the first n-1 ids of each text: what predicts ids 1..n-1. tokens[sum of n-1, W]. */
void text_prefixes(const struct config *config, const struct weights *weights, const struct coca_text *texts, size_t T, int threads,
		   void *scratch, float *tokens);

#endif
