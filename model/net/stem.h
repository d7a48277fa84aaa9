/* stem.h: convolutions between the pixels and conv1, for small models that learn from little data (early convolutions: Xiao et al. 2021;
 * Compact Transformers: Hassani et al. 2021). Ours: OpenCLIP has none, and a configuration without vision_cfg.stem is OpenCLIP's.
 *
 *     map -> 3 x 3, padding 1, stride -> LayerNorm over channels -> GELU [-> + map, where side and channels stay the same] -> next map
 *
 * conv1 then cuts the last map into patches instead of the pixels: patch_size counts pixels, so that its kernel's side is patch_size
 * divided by all strides. Maps lie as [side,side,channels], weights as [out,3,3,in].
 *
 * In 8 bits a map is quantised once, with a scale and an offset for all of it, not each of the nine places that its numbers come to in the
 * columns; what lies outside of it is the code that zero has. The first layer stays in floats: one scale for all pixels is too coarse for
 * places of little contrast, which its LayerNorm makes as large as any (124 photographs: a cosine to fp32 of 0.99987 instead of 0.99996, at
 * worst 0.99927 instead of 0.99983), and it has a fiftieth of the arithmetic.
 *
 * Letters: C channels of a map, s its side, O channels and o side of the next.
 */
#ifndef MODEL_NET_STEM_H
#define MODEL_NET_STEM_H

#include <stdint.h>

#include "model/files/config.h"
#include "model/files/weights.h"
#include "model/math/int8.h"

/* Most floats of a layer's columns, and of a map, for one image. */
size_t stem_columns_most(const struct config *config);
size_t stem_map_most(const struct config *config);

/* columns[o*o,9C]: what each place of the next map is made of, [3,3,C] around it, zero outside. */
void stem_columns(const float *map, size_t s, size_t C, size_t stride, float *columns);
/* The same of bytes: what lies outside of the map is the byte outside, and each row of columns [o*o,row] ends with row - 9C bytes that are
 * not written. */
void stem_columns_bytes(const uint8_t *map, size_t s, size_t C, size_t stride, uint8_t outside, size_t row, uint8_t *columns);
/* map += what stem_columns took from there: the gradient's way back. */
void stem_columns_add(const float *columns, size_t s, size_t C, size_t stride, float *map);
/* patches[(s/P)^2, C,P,P] of map[s,s,C], and back: every place belongs to one patch. */
void stem_patches(const float *map, size_t s, size_t C, size_t P, float *patches);
void stem_patches_back(const float *patches, size_t s, size_t C, size_t P, float *map);

/* Memory for one image. */
struct stem_maps {
	float *map, *next;         /* [places of the largest map, and one] */
	float *columns;            /* stem_columns_most floats */
	struct int8_rows whole;    /* a map as one row, in 8 bits */
	struct int8_rows bytes;    /* [o*o,9C]: its columns */
};
void stem_carve(struct carver *carver, const struct config *config, struct stem_maps *maps);

/* patches of one image's pixels[3,S,S]. int8: the layers' matrices [O,9C] but the first's, which then are used; or NULL. */
void stem_forward(const struct config *config, const struct weights *weights, const struct int8_matrix *int8, const float *pixels,
		  struct stem_maps *maps, float *patches);

#endif
