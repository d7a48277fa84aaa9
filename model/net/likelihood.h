/* likelihood.h: coca_likelihood (coca.h) for image tokens as floats or as they are stored, in 8 bit with a scale each.
 *
 *     packed_tokens_view(blob, size, N, W, &image.scales, &image.bytes, err);
 *     coca_likelihood_images(model, state, &image, 1, texts, T, pairs, P, sums, NULL, err);
 *
 * Letters: as in coca.h.
 */
#ifndef MODEL_NET_LIKELIHOOD_H
#define MODEL_NET_LIKELIHOOD_H

#include "model/net/coca.h"

struct coca_image {
	const float *tokens;   /* [N,W]; or NULL, and component i of token t is scales[t] * bytes[t,i] */
	const int8_t *bytes;   /* [N,W] */
	const float *scales;   /* [N] */
};

/* Stored tokens are not expanded where that is faster. */
enum status coca_likelihood_images(const struct coca *model, struct coca_state *state, const struct coca_image *images, size_t B,
				   const struct coca_text *texts, size_t T, const struct coca_pair *pairs, size_t P,
				   float *sums /* [P] */, float *each /* [P,C-1] or NULL */, struct err *err);

#endif
