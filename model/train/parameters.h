/* parameters.h: all parameters of a model under training in one row of floats, their gradients, moments and averages in rows
 * beside it: what walks them all is one loop.
 *
 *     struct parameters p;
 *     parameters_init(&p, &config, err);
 *     parameters_random(&p, seed);                       // or parameters_copy(&p, coca_weights(model), coca_config(model), err)
 *     parameters_freeze(&p, "image,text", err);
 *     ... network_forward(network, &p.weights, ...), network_backward(network, &p.weights, &p.gradients, ...) ...
 */
#ifndef MODEL_TRAIN_PARAMETERS_H
#define MODEL_TRAIN_PARAMETERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/files/config.h"
#include "model/files/weights.h"
#include "schema/base/status.h"

struct parameter {
	struct weight_info info;
	size_t offset;               /* of its first float in each row */
	bool decay;                  /* matrices alone, as OpenCLIP has it: norms, biases and scalars are not pulled to 0 */
	bool frozen;
};

struct parameters {
	struct config config;
	size_t count;                /* tensors, in the order of weights_visit */
	struct parameter *list;
	size_t room;                 /* of list */
	size_t floats;               /* of a row; tensors start at multiples of 16, gaps hold 0 */
	float *value, *gradient, *first, *second, *average; /* [floats]; the moments are Adam's */
	struct weights weights;      /* into value */
	struct weights gradients;    /* into gradient; NULL where frozen */
	struct weights averages;     /* into average */
	float *memory;
};

/* All zero. */
enum status parameters_init(struct parameters *p, const struct config *config, struct err *err);
void parameters_release(struct parameters *p); /* takes a zeroed one */

/* Values, and averages from them, drawn as for training from scratch: CLIP's deviations in all towers, OpenCLIP's elsewhere. */
void parameters_random(struct parameters *p, uint64_t seed);
/* From other weights, over what parameters_random has drawn. Their configuration may have another image_size: the grid of
 * visual.positional_embedding is resampled as OpenCLIP does it (bicubic, antialiased). It may have fewer layers in a tower or in the stem,
 * which those here begin with: the others add nothing to what they are given, as what they end with is 0 (Net2Net, Chen et al. 2016).
 * STATUS_FORMAT names a parameter of any other difference. */
enum status parameters_copy(struct parameters *p, const struct weights *weights, const struct config *config, struct err *err);

/* Comma-separated parts: image (the whole image side), encoder (image without poolers, ln_post and projection), poolers, text, decoder,
 * temperature. STATUS_USAGE for an unknown one, and when nothing is left to train. */
enum status parameters_freeze(struct parameters *p, const char *parts, struct err *err);

#endif
