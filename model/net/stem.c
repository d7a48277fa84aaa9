/* stem.c: see stem.h. A convolution is a matrix product over the map's columns. */
#include "model/net/stem.h"

#include <string.h>

#include "model/math/ops.h"

#include "schema/base/banned.h"

size_t stem_columns_most(const struct config *config)
{
	size_t most = 0;

	for (size_t l = 0; l < config->stem_layers; l++) {
		size_t side = config_stem_side(config, l + 1), floats = side * side * 9 * config_stem_channels(config, l);
		most = floats > most ? floats : most;
	}
	return most;
}

size_t stem_map_most(const struct config *config)
{
	size_t most = 0;

	for (size_t l = 0; l <= config->stem_layers; l++) {
		size_t side = config_stem_side(config, l), floats = side * side * config_stem_channels(config, l);
		most = floats > most ? floats : most;
	}
	return most;
}

/* place: bytes of a place of the map; rest: what lies behind the nine of them in each row of the columns. */
static void gather(const char *map, size_t s, size_t place, size_t stride, int outside, size_t rest, char *columns)
{
	for (size_t y = 0; y < s; y += stride)
		for (size_t x = 0; x < s; x += stride, columns += rest)
			for (size_t u = 0; u < 3; u++) {
				/* The three neighbours of a row lie side by side. */
				bool left = x == 0, right = x + 1 == s, above = y + u == 0 || y + u > s;
				if (above || left)
					memset(columns, outside, above ? 3 * place : place);
				if (!above)
					memcpy(columns + left * place, map + ((y + u - 1) * s + x - !left) * place, (size_t)(3 - left - right) * place);
				if (!above && right)
					memset(columns + 2 * place, outside, place);
				columns += 3 * place;
			}
}

void stem_columns(const float *map, size_t s, size_t C, size_t stride, float *columns)
{
	gather((const char *)map, s, C * sizeof *map, stride, 0, 0, (char *)columns);
}

void stem_columns_bytes(const uint8_t *map, size_t s, size_t C, size_t stride, uint8_t outside, size_t row, uint8_t *columns)
{
	gather((const char *)map, s, C, stride, outside, row - 9 * C, (char *)columns);
}

void stem_columns_add(const float *columns, size_t s, size_t C, size_t stride, float *map)
{
	for (size_t y = 0; y < s; y += stride)
		for (size_t x = 0; x < s; x += stride)
			for (size_t u = 0; u < 3; u++, columns += 3 * C) {
				bool left = x == 0, right = x + 1 == s;
				if (y + u == 0 || y + u > s)
					continue;
				float *to = map + ((y + u - 1) * s + x - !left) * C;
				const float *from = columns + left * C;
				for (size_t i = 0; i < (size_t)(3 - left - right) * C; i++)
					to[i] += from[i];
			}
}

void stem_patches(const float *map, size_t s, size_t C, size_t P, float *patches)
{
	for (size_t row = 0; row < s; row += P)
		for (size_t column = 0; column < s; column += P, patches += C * P * P)
			for (size_t p = 0; p < P * P; p++) {
				const float *from = map + ((row + p / P) * s + column + p % P) * C;
				for (size_t c = 0; c < C; c++)
					patches[c * P * P + p] = from[c];
			}
}

void stem_patches_back(const float *patches, size_t s, size_t C, size_t P, float *map)
{
	for (size_t row = 0; row < s; row += P)
		for (size_t column = 0; column < s; column += P, patches += C * P * P)
			for (size_t p = 0; p < P * P; p++) {
				float *to = map + ((row + p / P) * s + column + p % P) * C;
				for (size_t c = 0; c < C; c++)
					to[c] = patches[c * P * P + p];
			}
}

void stem_carve(struct carver *carver, const struct config *config, struct stem_maps *maps)
{
	size_t most = stem_map_most(config) + 1, rows = 0, bytes = 0;

	for (size_t l = 1; l < config->stem_layers; l++) {
		size_t side = config_stem_side(config, l + 1), all = side * side * int8_depth(9 * config_stem_channels(config, l));
		rows = side * side > rows ? side * side : rows;
		bytes = all > bytes ? all : bytes;
	}
	maps->map = carve_floats(carver, 1, most);
	maps->next = carve_floats(carver, 1, most);
	maps->columns = carve_floats(carver, 1, stem_columns_most(config));
	int8_carve(carver, &maps->whole, 1, most);
	maps->bytes.codes = carve(carver, bytes, 1);
	maps->bytes.scale = carve_floats(carver, rows, 1);
	maps->bytes.offset = carve_floats(carver, rows, 1);
}

/* The map of layer l, quantised, as that layer's product takes it. count: the map's numbers; one more, zero, is quantised with them. */
static void gather_bytes(const struct config *config, size_t l, size_t count, struct stem_maps *maps)
{
	size_t C = config_stem_channels(config, l), side = config_stem_side(config, l + 1);

	stem_columns_bytes(maps->whole.codes, config_stem_side(config, l), C, config->stem[l].stride, maps->whole.codes[count],
			   int8_depth(9 * C), maps->bytes.codes);
	for (size_t i = 0; i < side * side; i++) {
		maps->bytes.scale[i] = maps->whole.scale[0];
		maps->bytes.offset[i] = maps->whole.offset[0];
	}
}

void stem_forward(const struct config *config, const struct weights *weights, const struct int8_matrix *int8, const float *pixels,
		  struct stem_maps *maps, float *patches)
{
	size_t S = config->image_size, L = config->stem_layers, count = 0;

	for (size_t i = 0; i < S * S; i++)
		for (size_t c = 0; c < 3; c++)
			maps->map[i * 3 + c] = pixels[c * S * S + i];
	for (size_t l = 0; l < L; l++) {
		size_t C = config_stem_channels(config, l), O = config->stem[l].width, side = config_stem_side(config, l + 1);
		size_t places = side * side;
		float *map = maps->map, *next = maps->next;
		if (int8 && l > 0) {
			gather_bytes(config, l, count, maps);
			int8_linear(int8 + l, &maps->bytes, places, false, next, O);
		} else {
			struct linear convolution = {weights->stem[l].conv, NULL, 9 * C, O, false};
			stem_columns(map, config_stem_side(config, l), C, config->stem[l].stride, maps->columns);
			op_linear(&convolution, maps->columns, places, next);
		}
		count = places * O;
		op_norm(&weights->stem[l].ln, next, places, O, next);
		next[count] = 0; /* and its GELU is */
		if (int8)
			int8_gelu(next, 1, count + 1, config->quick_gelu, &maps->whole);
		else
			op_gelu(next, count, config->quick_gelu);
		if (config_stem_keeps(config, l)) {
			for (size_t i = 0; i < count; i++)
				next[i] += map[i];
			if (int8 && l + 1 < L)
				int8_quantise(next, 1, count + 1, &maps->whole);
		}
		maps->map = next;
		maps->next = map;
	}
	stem_patches(maps->map, config_stem_side(config, L), config_stem_channels(config, L), config_patch_side(config), patches);
}
