/* vision.h: the image encoder of CoCa: a ViT and its attentional poolers.
 *
 *     pixels -> (stem, ours) -> patches -> conv1 (one matrix product) -> class token, positions -> ln_pre -> blocks -> pooling
 *
 *     single    pooler of n queries -> ln_post; query 0 is the embedding, the rest are the image tokens
 *     parallel  ln_post -> generative pooler -> image tokens; ln_post -> contrastive pooler -> the embedding
 *     cascade   ln_post -> generative pooler -> image tokens -> contrastive pooler -> the embedding
 *     none      ln_post; the class token is the embedding, the patches are the image tokens
 *
 * and the embedding goes through proj. One call does one piece of a batch; coca.c splits batches over threads.
 *
 * The encoder's tokens are what the poolers read: the last block's output, behind ln_post where ln_post comes before the pooling.
 *
 * Letters: B images, S image side, E embedding, N image tokens, W their width, n pooler queries, M encoder tokens, D the tower's width.
 */
#ifndef MODEL_NET_VISION_H
#define MODEL_NET_VISION_H

#include "model/files/config.h"
#include "model/files/weights.h"

/* The poolers' queries do not depend on the image: *queries, the caller's to free; NULL without poolers. */
enum status vision_queries_new(const struct config *config, const struct weights *weights, float **queries, struct err *err);

/* Bytes of scratch for B images; SIZE_MAX if that overflows. */
size_t vision_scratch(const struct config *config, size_t B, int threads);

struct vision_int8; /* vision_int8.h */

/* features[B,E], not normalised; tokens[B,N,W] or NULL; encoder_tokens[B,M,D] or NULL. int8: of these weights, or NULL for fp32. */
void vision_forward(const struct config *config, const struct weights *weights, const struct vision_int8 *int8, const float *queries,
		    const float *pixels /* [B,3,S,S] */, size_t B, int threads, void *scratch, float *features, float *tokens,
		    float *encoder_tokens);

/* Width of the image tokens. */
size_t vision_token_width(const struct config *config);

/* M: encoder tokens of an image, each of the tower's width. */
size_t vision_encoder_tokens(const struct config *config);

#endif
