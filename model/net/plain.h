/* plain.h: the plain twin of the whole network: every position, no sharing, libm, double sums. Tests are its only callers.
 *
 * Letters: as in coca.h. ids[B,C] is padded with 0. STATUS_MEMORY is the only failure.
 */
#ifndef MODEL_NET_PLAIN_H
#define MODEL_NET_PLAIN_H

#include "model/net/coca.h"

enum status coca_plain_images(const struct coca *model, const float *pixels, size_t B, float *features_raw /* [B,E] */,
			      float *tokens /* [B,N,W] */, struct err *err);
enum status coca_plain_texts(const struct coca *model, const int32_t *ids, size_t B, float *features_raw /* [B,E] */,
			     float *tokens /* [B,C,W] */, struct err *err);
enum status coca_plain_logits(const struct coca *model, const float *image_tokens /* [B,N,W] */,
			      const float *text_tokens /* [B,C,W] */, size_t B, float *logits /* [B,C,V] */, struct err *err);

#endif
