/* likelihood.h: how likely the model finds texts as captions of images, for any list of pairs.
 *
 *     packed_tokens_view(blob, size, N, W, &image.scales, &image.bytes, err);
 *     coca_likelihood_images(model, scratch, &image, 1, texts, T, pairs, P, sums, NULL, err);
 *
 * Letters: as in coca.h.
 */
#ifndef MODEL_NET_LIKELIHOOD_H
#define MODEL_NET_LIKELIHOOD_H

#include "model/net/coca.h"
#include "model/net/scratch.h"

/* sums[p] = log p(texts[pair.text] | images[pair.image]): the sum over its ids behind the start, padding (and, as in the
 * published checkpoints, id 0 inside) not counted. each, if not NULL: [P,C-1], the terms; 0 where nothing is counted.
 * Pairs may come in any order; work that pairs share (a text's first block, an image's keys) is done once. Stored tokens are not expanded
 * where that is faster. */
enum status coca_likelihood_images(const struct coca *model, struct coca_scratch *scratch, const struct coca_image *images, size_t B,
				   const struct coca_text *texts, size_t T, const struct coca_pair *pairs, size_t P,
				   float *sums /* [P] */, float *each, struct err *err);

/* The same for image tokens in floats. */
enum status coca_likelihood(const struct coca *model, struct coca_scratch *scratch, const float *tokens /* [B,N,W] */, size_t B,
			    const struct coca_text *texts, size_t T, const struct coca_pair *pairs, size_t P, float *sums, float *each,
			    struct err *err);

/* How many ids of a text its likelihood counts. */
size_t coca_counted(const struct coca *model, struct coca_text text);

#endif
