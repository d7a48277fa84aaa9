/* stem_int8.h: the stem (stem.h) in 8 bits.
 *
 *     map in whole numbers, a scale and an offset for all of it -> columns of bytes -> product
 *         -> LayerNorm, GELU, sum in floats -> next map
 *
 * A map is quantised once, not each of the nine places that its numbers come to in the columns. What lies outside of it is the code that
 * zero has. The first layer stays in floats: one scale for all pixels is too coarse for places of little contrast, which its LayerNorm
 * makes as large as any (124 photographs: a cosine to fp32 of 0.99987 instead of 0.99996, at worst 0.99927 instead of 0.99983), and it
 * has a fiftieth of the arithmetic.
 */
#ifndef MODEL_NET_STEM_INT8_H
#define MODEL_NET_STEM_INT8_H

#include "model/math/int8.h"
#include "model/net/stem.h"

struct stem_int8_scratch {
	float *map, *next;         /* [places of the largest map, and one] */
	float *first;              /* [o*o, 27]: the first layer's columns */
	struct int8_rows whole;    /* the map as one row */
	struct int8_rows columns;  /* [o*o, 9C] */
};

void stem_int8_carve(struct carver *carver, const struct config *config, struct stem_int8_scratch *scratch);

/* layers: the convolutions' matrices [O,9C] but the first. As stem_forward. */
void stem_int8_forward(const struct config *config, const struct weights *weights, const struct int8_matrix *layers, const float *pixels,
		       struct stem_int8_scratch *scratch, float *patches);

#endif
