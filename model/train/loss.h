/* loss.h: CoCa's two losses with their gradients.
 *
 * Letters: N pairs of the whole (accumulated) batch, E embedding, R rows of the decoder, W its width, V vocabulary.
 */
#ifndef MODEL_TRAIN_LOSS_H
#define MODEL_TRAIN_LOSS_H

#include "model/data/batch.h"
#include "schema/base/status.h"

/* A batch of pairs as the contrastive loss sees it. Pairs with the same photo or the same caption number are not each
 * other's negatives, nor is a text that says what a photograph shows: such entries off the diagonal are left out in both directions.
 * Where photograph i is a mixture of i's and of its partner's, text i and the partner's are its targets, and what is left out for either
 * is left out. Partners are numbers of the whole batch here. */
struct loss_pairs {
	size_t N, E;
	const float *image, *text;           /* [N,E] before normalisation */
	const struct batch_sample *samples;  /* [N] */
};

/* Symmetric InfoNCE: the mean of the cross entropies of exp(log_scale) u_i . w_j along rows and along columns, against the targets of
 * each line, which sum to 1 (UniCL, Yang et al. 2022).
 * Sets dimage and dtext [N,E] (weight times the gradient) and adds to *dlog_scale (NULL: frozen); *loss is unweighted. */
enum status loss_contrastive(const struct loss_pairs *pairs, float log_scale, float weight, float *dimage, float *dtext, float *dlog_scale,
			     double *loss, struct err *err);

/* Floats of scratch that loss_caption wants. */
size_t loss_caption_scratch(size_t R, size_t V);

/* Cross entropy of the ids that follow: logits x[R,W] proj[W,V], never held as a whole. labels[R]: 0 is not counted.
 * Sets dx[R,W], adds to dproj (NULL: frozen), both times weight; *sum is the unweighted sum of -log p. dx NULL: the loss alone. */
void loss_caption(const float *x, size_t R, size_t W, const float *proj, size_t V, const int32_t *labels, float weight, float *dx,
		  float *dproj, double *sum, float *scratch);

#endif
