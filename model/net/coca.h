/* coca.h: a CoCa, opened: what a model folder holds, in which arithmetic it computes, and its parts, made when they are first asked for.
 *
 *     struct coca *model;
 *     coca_open(folder, &model, err);                        // shared by threads, read only
 *     struct coca_scratch *scratch = coca_scratch_new();     // of one thread (scratch.h)
 *     coca_encode_images(model, scratch, pixels, B, features, tokens, err);                          // encode.h
 *     coca_likelihood(model, scratch, tokens, B, texts, T, pairs, P, sums, NULL, err);               // likelihood.h
 *
 * The whole forward pass, each step with what it makes and the file that does it (../README.md explains it; plain.c is all of it, slowly):
 *
 *     photographs    pixels[B,3,S,S]                                                        encode.c, vision.c
 *       patches      [B,p,3PP]; behind a stem (ours) of its last map                        vision.c, stem.c
 *       conv1        x[B,1+p,D] = [class_embedding | patches conv1^T] + positions; ln_pre   vision.c
 *       blocks       x += attn(ln_1(x)), x += mlp(ln_2(x)), so many layers                  block.c
 *       pooler       [B,n,E] = ln_post(attn(q = ln_q(query), kv = ln_k(x)))                 vision.c
 *       embedding    features[B,E] = query 0's row times visual.proj, divided by its length
 *       tokens       tokens[B,N,W] = the other rows: N = n - 1, W = E
 *     texts          ids, n of them                                                         encode.c, text.c
 *       embed        x[n+1 or n+2,W] = token_embedding[id] + position; class_text behind    text.c
 *       blocks       causal, under the mask of the published checkpoints                    block.c
 *       embedding    features[T,E] = ln_final(class row) times text_projection, divided by its length
 *       tokens       [n,W]: the other rows, before ln_final
 *     texts under images: tokens of both                                                    likelihood.c, decoder.c
 *       blocks       self block (causal), then cross block: q = ln_1(x), kv = ln_1_kv(tokens)   block.c, cross.c
 *       logits       [n,V] = ln_final(x) times text_decoder.text_projection                 decoder.c
 *       likelihood   sum of log_softmax(row i)[id i+1] over the ids behind the start
 *     captions       the same a position at a time, keys and values kept                    generate.c
 *
 * Letters: B images, T texts, P pairs, S image side, p patches, D width of the image encoder, E embedding, n queries or ids, N image
 * tokens, W decoder width, M encoder tokens, C context, V vocabulary. Fast paths compute only the positions that matter.
 */
#ifndef MODEL_NET_COCA_H
#define MODEL_NET_COCA_H

#include <stdbool.h>

#include "model/files/config.h"
#include "model/files/weights_load.h"
#include "model/net/batch.h"
#include "model/words/tokenizer.h"
#include "schema/base/status.h"

struct coca;

/* Opens a model and checks that it is whole. path: a model folder (open_clip_config.json; weights open_clip_model.safetensors, else
 * open_clip_pytorch_model.bin; a tokenizer, which may be missing), or a weights file (.safetensors, .bin, .pt) inside such a folder.
 * F32 weights are used where they lie in the mapped file; others are converted to F32 part by part, when a part is first used. */
enum status coca_open(const char *path, struct coca **model, struct err *err);
void coca_close(struct coca *model); /* takes NULL */

/* Arithmetic of the image encoder's blocks and of likelihoods. AUTO: INT8 if coca model quantize wrote the weights file, with 8-bit
 * weights or keeping the others (quantize.h) and a mean cosine of INT8_COSINE_LEAST in its metadata, else FP32. */
#define INT8_COSINE_MEAN "int8.cosine_mean" /* in the file's metadata */
#define INT8_COSINE_LEAST 0.995 /* below, 8 bits change the embeddings too much to be taken without being asked for */
enum precision { PRECISION_AUTO, PRECISION_FP32, PRECISION_INT8 };
/* As --precision counts: 0 fp32, 1 int8; below, AUTO. */
enum precision coca_precision_named(int number);

/* What a model has from now on, AUTO when it was opened: not while another thread uses it. Never AUTO is what coca_precision answers. */
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

/* ---- for model/net ---- */

/* The model's weights, of which those of the part are there, the others perhaps not yet. The decoder goes on from the text tower's
 * tokens, and brings that along. */
const struct weights *coca_weights_of(const struct coca *model, enum weights_part part);

/* Made or read when they are first asked for; NULL if the model's precision is fp32. */
struct vision_int8;
struct decoder_int8;
enum status coca_vision_int8(const struct coca *model, const struct vision_int8 **int8, struct err *err);
enum status coca_decoder_int8(const struct coca *model, const struct decoder_int8 **int8, struct err *err);
/* The poolers' (vision.h), which do not depend on the image; NULL without poolers. */
enum status coca_pool_queries(const struct coca *model, const float **queries, struct err *err);

/* STATUS_FORMAT unless every text has 1..C ids, all of the vocabulary. */
enum status coca_check_texts(const struct coca *model, const struct coca_text *texts, size_t T, struct err *err);

/* STATUS_FORMAT naming the weights: x[n] holds a NaN or an infinity, which only damaged weights bring about. */
enum status coca_check_finite(const struct coca *model, const float *x, size_t n, const char *what, struct err *err);

#endif
