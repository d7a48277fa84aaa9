/* coca.h: a CoCa at work: photographs and texts to embeddings and tokens, texts under images to likelihoods.
 *
 *     struct coca *model;
 *     coca_open(folder, &model, err);
 *     struct coca_state *state = coca_state_new(model);      // scratch of one thread; the model is shared, read only
 *     coca_encode_images(model, state, pixels, B, features, tokens, err);
 *     coca_encode_texts(model, state, texts, T, features, NULL, err);
 *     coca_likelihood(model, state, tokens, B, texts, T, pairs, P, sums, NULL, err);
 *
 * Letters: B images, T texts, P pairs, S image side, E embedding, N image tokens, W decoder width, M encoder tokens, C context,
 * V vocabulary, D any width.
 * The fast path computes only the positions that matter; coca_plain_* computes every position with libm and plain loops
 * and is what tests compare it with.
 */
#ifndef MODEL_NET_COCA_H
#define MODEL_NET_COCA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/files/config.h"
#include "model/words/tokenizer.h"
#include "model/files/weights.h"
#include "schema/base/status.h"

struct coca;
struct coca_state;

/* Opens a model and checks that it is whole. path: a model folder (open_clip_config.json; weights open_clip_model.safetensors, else
 * open_clip_pytorch_model.bin; a tokenizer, which may be missing), or a weights file (.safetensors, .bin, .pt) inside such a folder.
 * F32 weights are used where they lie in the mapped file; others are converted to F32 part by part, when a part is first used. */
enum status coca_open(const char *path, struct coca **model, struct err *err);
void coca_close(struct coca *model); /* takes NULL */

/* Arithmetic of the image encoder's blocks and of likelihoods. AUTO: INT8 if coca model quantize wrote the weights file, with 8-bit
 * weights or keeping the others (quantize.h), else FP32. */
enum precision { PRECISION_AUTO, PRECISION_FP32, PRECISION_INT8 };

/* What models have that are opened from now on; AUTO at the start. */
void coca_prefer(enum precision precision);
/* What this model has from now on: not while another thread uses it. Never AUTO is what coca_precision answers. */
void coca_set_precision(struct coca *model, enum precision precision);
enum precision coca_precision(const struct coca *model);
bool coca_holds_int8(const struct coca *model); /* there are weights in 8 bits alone */
bool coca_in_halves(const struct coca *model); /* every weight of the weights file is F16 */

const struct config *coca_config(const struct coca *model);
const struct weights *coca_weights(const struct coca *model); /* whole: converts what was not used yet */
const struct tokenizer *coca_tokenizer(const struct coca *model); /* NULL: the folder has none */
float coca_logit_scale(const struct coca *model);                 /* exp of the parameter */
const char *coca_weights_path(const struct coca *model);
/* Whether a part's weights are ready for use; the first use makes them so. */
bool coca_made(const struct coca *model, enum weights_part part);
/* A text of the weights file's metadata, or NULL. */
const char *coca_metadata(const struct coca *model, const char *key);

/* What the model is, as two hex digests (XXH3-128, 32 digits and NUL) of the configuration and of the weights file. Reads
 * the whole weights file: a catalog keeps the answer by path, size and time. */
enum status coca_digest(const struct coca *model, char config[33], char weights[33], struct err *err);

/* Scratch memory: grows to what the largest call needed. One thread at a time. NULL when out of memory. */
struct coca_state *coca_state_new(const struct coca *model);
void coca_state_free(struct coca_state *state); /* takes NULL */

/* pixels[B,3,S,S] -> features[B,E], L2-normalised, and tokens[B,N,W] if not NULL. */
enum status coca_encode_images(const struct coca *model, struct coca_state *state, const float *pixels, size_t B,
			       float *features, float *tokens, struct err *err);

/* The same, and encoder_tokens[B,M,D]: what the model's poolers read, and what a pooler of a new task learns from (vision.h). */
enum status coca_encode_tokens(const struct coca *model, struct coca_state *state, const float *pixels, size_t B,
			       float *features, float *tokens, float *encoder_tokens, struct err *err);

/* A text as ids: start first, end last, no padding; 1 <= count <= C. */
struct coca_text {
	const int32_t *ids;
	size_t count;
};

/* features[T,E], L2-normalised. tokens, if not NULL: the unimodal tokens before ln_final of each text's count positions, packed
 * one text after the other: [sum of counts, W]. */
enum status coca_encode_texts(const struct coca *model, struct coca_state *state, const struct coca_text *texts, size_t T,
			      float *features, float *tokens, struct err *err);

struct coca_pair {
	size_t image, text; /* indices into tokens and texts */
};

/* sums[p] = log p(texts[pair.text] | image tokens[pair.image]): the sum over its ids behind the start, padding (and, as in the
 * published checkpoints, id 0 inside) not counted. each, if not NULL: [P,C-1], the terms; 0 where nothing is counted.
 * Pairs may come in any order; work that pairs share (a text's first block, an image's keys) is done once. */
enum status coca_likelihood(const struct coca *model, struct coca_state *state, const float *tokens /* [B,N,W] */, size_t B,
			    const struct coca_text *texts, size_t T, const struct coca_pair *pairs, size_t P,
			    float *sums /* [P] */, float *each, struct err *err);

/* How many ids of a text its likelihood counts. */
size_t coca_counted(const struct coca *model, struct coca_text text);

/* The plain twins: every position, no sharing, libm, double sums. ids[B,C] is padded with 0. */
enum status coca_plain_images(const struct coca *model, const float *pixels, size_t B, float *features_raw /* [B,E] */,
			      float *tokens /* [B,N,W] */, struct err *err);
enum status coca_plain_texts(const struct coca *model, const int32_t *ids, size_t B, float *features_raw /* [B,E] */,
			     float *tokens /* [B,C,W] */, struct err *err);
enum status coca_plain_logits(const struct coca *model, const float *image_tokens /* [B,N,W] */,
			      const float *text_tokens /* [B,C,W] */, size_t B, float *logits /* [B,C,V] */, struct err *err);

#endif
