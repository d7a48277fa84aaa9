/* cross.h: the attention of a text's rows over image tokens, the larger part of what the decoder computes, in two forms of one function.
 *
 *     unfolded  k = W_k (w x^ + b) + b_k, v = W_v (w x^ + b) + b_v for all tokens; softmax(q k^T) v
 *     folded    softmax((w W_k^T q) x^^T) = a for the rows; W_v (w (a x^) + b) + b_v
 *
 * where x^ are the tokens with mean 0 and deviation 1, and w, b the scale and shift of ln_1_kv. They are equal, as weights a add up to 1,
 * and as what b and b_k add to a row's scores is the same for all tokens. Few rows for each image make the folded form cheaper:
 * 8 heads see 512 components instead of 64, but the tokens, 255 for a row's 9, meet no matrix. Unfolded is the plain twin.
 *
 * Folded, tokens that are stored in 8 bit stay that: x^ = (byte - mean) * rate, with mean and rate of each token computed once for all
 * layers, and rows meet the bytes in fixed point (math/int16.h).
 *
 * Letters: R rows, I images, W width, H heads, N image tokens.
 */
#ifndef MODEL_NET_CROSS_H
#define MODEL_NET_CROSS_H

#include "model/files/config.h"
#include "model/files/weights.h"
#include "model/math/ops.h"
#include "model/net/batch.h"

enum cross_form { CROSS_UNFOLDED, CROSS_FOLDED };

/* The cheaper one for so many rows in all. stored: all images are. */
enum cross_form cross_choose(const struct config *config, size_t rows, size_t images, bool stored);

struct cross_image {
	size_t row, rows;            /* its rows */
	const struct coca_image *tokens;
	float *normed;               /* [N,W]: x^; or, folded and stored, NULL and */
	int8_t *by_token, *by_component; /* math/int16.h: [W x N] and [N x W] */
	float *mean, *rate;          /* [N] */
};

struct cross {
	const struct config *config;
	enum cross_form form;
	size_t rows, images;
	int threads;
	struct cross_image *list;    /* [I] */
	float *wide;                 /* folded: [R,H,W] */
	float *affine, *kv, *scores; /* unfolded, of one image: [N,W] [N,2W] */
	char *lanes;                 /* folded: scratch of each thread, */
	size_t lane;                 /* so many bytes */
};

void cross_carve(struct carver *carver, struct cross *cross, const struct config *config, enum cross_form form, bool stored, size_t rows,
		 size_t images, int threads);

/* Before the first layer: list[].row, .rows and .tokens are set. */
void cross_prepare(struct cross *cross);

/* out[R,W] = attention of q[R,W] in a layer, before its out projection. */
void cross_attend(struct cross *cross, const struct block *block, const float *q, float *out);

#endif
