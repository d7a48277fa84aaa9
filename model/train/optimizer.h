/* optimizer.h: AdamW with clipping, the learning rate's schedule, and the running average of the weights.
 *
 * Loshchilov and Hutter 2019: the decay is apart from the gradient, and only matrices have it. The learning rate rises in a
 * straight line over the warm-up and falls as half a cosine to 0 at the last step.
 */
#ifndef MODEL_TRAIN_OPTIMIZER_H
#define MODEL_TRAIN_OPTIMIZER_H

#include "model/train/parameters.h"

struct optimizer {
	double rate, weight_decay, beta1, beta2, epsilon;
	double clip;             /* largest norm of the whole gradient; 0: any */
	double average;          /* decay of the averaged weights; 0: they are the weights */
	uint64_t warmup, steps;
};

double optimizer_rate(const struct optimizer *optimizer, uint64_t step /* from 0 */);

/* One step from p->gradient, which is 0 afterwards; *norm is the gradient's before clipping. The temperature stays within
 * OpenCLIP's 0 to ln 100. STATUS_FAILED, with nothing changed, names the first tensor whose gradient is not finite. */
enum status optimizer_step(const struct optimizer *optimizer, struct parameters *p, uint64_t step, double *norm, struct err *err);

#endif
