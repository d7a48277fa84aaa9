/* plain.h: the plain twins of ops.h: libm, double sums, nothing clever. Tests and coca_plain_* are their only callers. */
#ifndef MODEL_NET_PLAIN_H
#define MODEL_NET_PLAIN_H

#include "model/math/ops.h"
#include "model/net/coca.h"

void plain_linear(const struct linear *map, const float *x, size_t T, float *y);
void plain_norm(const struct norm *norm, const float *x, size_t T, size_t D, float *y);
void plain_gelu(float *x, size_t n, bool quick);

/* out[Q,D] = attention of q[Q,D] over k, v [K,D]; seen[Q,K] says which query sees which key, NULL: each sees all.
 * STATUS_MEMORY is the only failure. */
enum status plain_attention(const float *q, size_t Q, const float *k, const float *v, size_t K, size_t D, size_t heads,
			    const uint8_t *seen, float *out, struct err *err);

/* The whole of it: every position, no sharing, libm, double sums. ids[B,C] is padded with 0. */
enum status coca_plain_images(const struct coca *model, const float *pixels, size_t B, float *features_raw /* [B,E] */,
			      float *tokens /* [B,N,W] */, struct err *err);
enum status coca_plain_texts(const struct coca *model, const int32_t *ids, size_t B, float *features_raw /* [B,E] */,
			     float *tokens /* [B,C,W] */, struct err *err);
enum status coca_plain_logits(const struct coca *model, const float *image_tokens /* [B,N,W] */,
			      const float *text_tokens /* [B,C,W] */, size_t B, float *logits /* [B,C,V] */, struct err *err);

#endif
