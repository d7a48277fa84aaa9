/* encode.h: photographs and texts to embeddings and tokens (coca.h's first two thirds).
 *
 *     coca_encode_images(model, scratch, pixels, B, features, tokens, err);
 *     coca_encode_texts(model, scratch, texts, T, features, NULL, err);
 *
 * A batch is split over threads (split.h). Letters: as in coca.h. STATUS_FORMAT: an id that is none of the vocabulary, or damaged weights.
 */
#ifndef MODEL_NET_ENCODE_H
#define MODEL_NET_ENCODE_H

#include "model/net/coca.h"
#include "model/net/scratch.h"

/* pixels[B,3,S,S] -> features[B,E], L2-normalised, and tokens[B,N,W] if not NULL. */
enum status coca_encode_images(const struct coca *model, struct coca_scratch *scratch, const float *pixels, size_t B, float *features,
			       float *tokens, struct err *err);

/* The same, and encoder_tokens[B,M,D]: what the model's poolers read, and what a pooler of a new task learns from (vision.h). */
enum status coca_encode_tokens(const struct coca *model, struct coca_scratch *scratch, const float *pixels, size_t B, float *features,
			       float *tokens, float *encoder_tokens, struct err *err);

/* features[T,E], L2-normalised. tokens, if not NULL: the unimodal tokens before ln_final of each text's count positions, packed
 * one text after the other: [sum of counts, W]. */
enum status coca_encode_texts(const struct coca *model, struct coca_scratch *scratch, const struct coca_text *texts, size_t T,
			      float *features, float *tokens, struct err *err);

#endif
