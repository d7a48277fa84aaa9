/* grad_stem.h: the convolutional stem (stem.h) as training runs it.
 *
 * Letters: B images, as in stem.h else.
 */
#ifndef MODEL_TRAIN_GRAD_STEM_H
#define MODEL_TRAIN_GRAD_STEM_H

#include "model/files/config.h"
#include "model/train/grad_block.h"
#include "model/math/ops.h"
#include "model/files/weights.h"

/* What a layer keeps. out is the next layer's x. */
struct stem_kept {
	float *x, *out;    /* [B,s,s,C] [B,o,o,O] */
	float *conv;       /* [B*o*o,O] before its norm */
	float *stat;       /* [B*o*o,2] */
	float *slope;      /* [B*o*o,O] of the GELU */
};

struct stem_pass {
	float *pixels;     /* [B,S,S,3]: the first map, and where there is no stem the only one */
	struct stem_kept layers[STEM_MOST];
	/* scratch */
	float *columns;    /* of each thread */
	float *weights;    /* a layer's gradient, of each thread */
	float *dmap, *other; /* [B, the largest map] */
};

void stem_pass_carve(struct carver *carver, const struct config *config, size_t B, struct stem_pass *pass, struct grad_scratch *shared);

/* From pass->pixels to patches[B*patches, config_patch_inputs]. */
void stem_pass_forward(const struct config *config, const struct weights *w, size_t B, struct stem_pass *pass, float *patches);

/* From the patches' gradient; only where there is a stem. */
void stem_pass_backward(const struct config *config, const struct weights *w, const struct weights *g, size_t B,
			const struct stem_pass *pass, const float *dpatches, const struct grad_scratch *shared);

#endif
