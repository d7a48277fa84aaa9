/* stem_int8.c: see stem_int8.h. */
#include "model/net/stem_int8.h"

#include "schema/base/memory.h"

#include "schema/base/banned.h"

void stem_int8_carve(struct carver *carver, const struct config *config, struct stem_int8_scratch *scratch)
{
	size_t most = stem_map_most(config) + 1, rows = 0, bytes = 0;

	for (size_t l = 1; l < config->stem_layers; l++) {
		size_t side = config_stem_side(config, l + 1), all = side * side * int8_depth(9 * config_stem_channels(config, l));
		rows = side * side > rows ? side * side : rows;
		bytes = all > bytes ? all : bytes;
	}
	scratch->map = carve_floats(carver, 1, most);
	scratch->next = carve_floats(carver, 1, most);
	scratch->first = carve_floats(carver, config_stem_side(config, 1) * config_stem_side(config, 1), 9 * 3);
	int8_carve(carver, &scratch->whole, 1, most);
	scratch->columns.codes = carve(carver, bytes, 1);
	scratch->columns.scale = carve_floats(carver, rows, 1);
	scratch->columns.offset = carve_floats(carver, rows, 1);
}

/* The map of layer l, quantised, as that layer's product takes it. count: the map's numbers; one more, zero, is quantised with them. */
static void gather(const struct config *config, size_t l, size_t count, struct stem_int8_scratch *scratch)
{
	size_t C = config_stem_channels(config, l), side = config_stem_side(config, l + 1);

	stem_columns_bytes(scratch->whole.codes, config_stem_side(config, l), C, config->stem[l].stride, scratch->whole.codes[count],
			   int8_depth(9 * C), scratch->columns.codes);
	for (size_t i = 0; i < side * side; i++) {
		scratch->columns.scale[i] = scratch->whole.scale[0];
		scratch->columns.offset[i] = scratch->whole.offset[0];
	}
}

void stem_int8_forward(const struct config *config, const struct weights *weights, const struct int8_matrix *layers, const float *pixels,
		       struct stem_int8_scratch *scratch, float *patches)
{
	size_t S = config->image_size, count = 0, L = config->stem_layers;

	for (size_t i = 0; i < S * S; i++)
		for (size_t c = 0; c < 3; c++)
			scratch->map[i * 3 + c] = pixels[c * S * S + i];
	for (size_t l = 0; l < L; l++) {
		size_t O = config->stem[l].width, side = config_stem_side(config, l + 1);
		float *map = scratch->map, *next = scratch->next;
		if (l == 0) {
			const struct linear convolution = {weights->stem[0].conv, NULL, 9 * 3, O, false};
			stem_columns(map, S, 3, config->stem[0].stride, scratch->first);
			op_linear(&convolution, scratch->first, side * side, next);
		} else {
			gather(config, l, count, scratch);
			int8_linear(layers + l, &scratch->columns, side * side, false, next, O);
		}
		count = side * side * O;
		op_norm(&weights->stem[l].ln, next, side * side, O, next);
		next[count] = 0; /* and its GELU is */
		int8_gelu(next, 1, count + 1, config->quick_gelu, &scratch->whole);
		if (config_stem_keeps(config, l)) {
			for (size_t i = 0; i < count; i++)
				next[i] += map[i];
			if (l + 1 < L)
				int8_quantise(next, 1, count + 1, &scratch->whole);
		}
		scratch->map = next;
		scratch->next = map;
	}
	stem_patches(scratch->map, config_stem_side(config, L), config_stem_channels(config, L), config_patch_side(config), patches);
}
