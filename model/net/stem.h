/* stem.h: convolutions between the pixels and conv1, for small models that learn from little data (early convolutions: Xiao et al. 2021;
 * Compact Transformers: Hassani et al. 2021). Ours: OpenCLIP has none, and a configuration without vision_cfg.stem is OpenCLIP's.
 *
 *     map -> 3 x 3, padding 1, stride -> LayerNorm over channels -> GELU [-> + map, where side and channels stay the same] -> next map
 *
 * conv1 then cuts the last map into patches instead of the pixels: patch_size counts pixels, so that its kernel's side is patch_size
 * divided by all strides. Maps lie as [side,side,channels], weights as [out,3,3,in].
 *
 * Letters: C channels of a map, s its side, O channels and o side of the next.
 */
#ifndef MODEL_NET_STEM_H
#define MODEL_NET_STEM_H

#include <stdint.h>

#include "model/files/config.h"
#include "model/files/weights.h"

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

/* patches of one image's pixels[3,S,S]. columns: stem_columns_most floats; maps: twice stem_map_most. */
void stem_forward(const struct config *config, const struct weights *weights, const float *pixels, float *columns, float *maps,
		  float *patches);

#endif
