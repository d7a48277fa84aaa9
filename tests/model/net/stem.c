/* stem.c: the stem in 8 bits against a plain twin of the same whole numbers, and against fp32. */
#include "model/net/stem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/math/plain.h"
#include "schema/base/memory.h"
#include "tests/support.h"

#include "schema/base/banned.h"

static void columns_of_bytes_are_those_of_floats(void **state)
{
	static const size_t sizes[][3] = {{1, 3, 1}, {2, 1, 2}, {6, 3, 2}, {5, 8, 1}, {9, 5, 3}};
	enum { OUTSIDE = 77, BEHIND = 200 };
	uint64_t seed = 1;

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		size_t s = sizes[i][0], C = sizes[i][1], stride = sizes[i][2], o = s / stride, row = int8_depth(9 * C);
		uint8_t *map = mem_array(s * s * C, 1), *bytes = mem_array(o * o * row, 1);
		float *floats = mem_floats(s * s * C), *columns = mem_floats(o * o * 9 * C);
		assert_true(map && bytes && floats && columns);
		for (size_t j = 0; j < s * s * C; j++) {
			map[j] = (uint8_t)(test_random(&seed) % 256);
			floats[j] = (float)map[j] - OUTSIDE;
		}
		memset(bytes, BEHIND, o * o * row);
		stem_columns(floats, s, C, stride, columns);
		stem_columns_bytes(map, s, C, stride, OUTSIDE, row, bytes);
		for (size_t r = 0; r < o * o; r++)
			for (size_t j = 0; j < row; j++)
				assert_int_equal(bytes[r * row + j], j < 9 * C ? (int)columns[r * 9 * C + j] + OUTSIDE : BEHIND);
		free(map);
		free(bytes);
		free(floats);
		free(columns);
	}
}

/* ---- the whole stem ----------------------------------------------------------------------------------------------- */

static const struct config config = {.image_size = 24, .patch_size = 8, .patches = 9, .stem_layers = 4,
				     .stem = {{5, 2}, {16, 1}, {16, 1}, {7, 2}}};

struct fixture {
	struct weights weights;
	struct int8_matrix matrices[4];
	float *pixels, *patches, *expected;
	size_t count;                      /* floats of the patches */
	char *scratch;
	struct stem_maps work;
};

static void open_fixture(struct fixture *f, uint64_t seed)
{
	struct carver measure = {0};
	struct err err;

	*f = (struct fixture){.count = config.patches * config_patch_inputs(&config)};
	for (size_t l = 0; l < config.stem_layers; l++) {
		size_t in = 9 * config_stem_channels(&config, l), out = config.stem[l].width;
		struct stem_weights *w = &f->weights.stem[l];
		*w = (struct stem_weights){test_draw(out * in, 1, &seed), {test_draw(out, 1, &seed), test_draw(out, 0.3f, &seed)}};
		for (size_t i = 0; i < out; i++)
			w->ln.weight[i] += 1.5f;
		const struct linear map = {w->conv, NULL, in, out, false};
		if (l > 0)
			assert_ok(int8_matrix_init(f->matrices + l, &map, int8_range(), NULL, &err), &err);
	}
	f->pixels = test_draw(3 * config.image_size * config.image_size, 2, &seed);
	f->patches = mem_floats(f->count);
	f->expected = mem_floats(f->count);
	stem_carve(&measure, &config, &f->work);
	f->scratch = (char *)mem_floats(measure.used / sizeof(float));
	assert_true(f->patches && f->expected && f->scratch);
	stem_carve(&(struct carver){f->scratch, 0}, &config, &f->work);
}

static void close_fixture(struct fixture *f)
{
	for (size_t l = 0; l < config.stem_layers; l++) {
		free(f->weights.stem[l].conv);
		free(f->weights.stem[l].ln.weight);
		free(f->weights.stem[l].ln.bias);
		int8_matrix_release(f->matrices + l);
	}
	free(f->pixels);
	free(f->patches);
	free(f->expected);
	free(f->scratch);
}

static void forward_fp32(struct fixture *f)
{
	stem_forward(&config, &f->weights, NULL, f->pixels, &f->work, f->expected);
}

/* What layer l takes: its map's numbers, what stands for those outside of it, and its weights. The first layer's are the floats themselves,
 * those of others what their whole numbers mean. */
struct taken {
	float *map, outside, *weights;
};

static struct taken take(const struct fixture *f, size_t l, const float *map)
{
	size_t in = 9 * config_stem_channels(&config, l), O = config.stem[l].width, count = config_stem_side(&config, l) * config_stem_side(&config, l) * in / 9;
	const struct int8_kernel *twin = int8_range() == INT8_BYTES ? &int8_plain_bytes : &int8_plain;
	struct taken t = {mem_floats(count + 1), 0, mem_floats(O * in)};
	uint8_t *codes = mem_array(count + 16, 1);
	int8_t *weights = mem_array(O * in, 1);
	float scale[16], step, offset;

	assert_true(t.map && t.weights && codes && weights);
	memcpy(t.map, map, count * sizeof *map);
	memcpy(t.weights, f->weights.stem[l].conv, O * in * sizeof *t.weights);
	if (l > 0) {
		t.map[count] = 0;
		twin->quantise(t.map, count + 1, codes, &step, &offset);
		for (size_t i = 0; i < count; i++)
			t.map[i] = step * codes[i] + offset;
		t.outside = step * codes[count] + offset;
		int8_weights(f->weights.stem[l].conv, O, in, int8_range(), weights, scale);
		for (size_t i = 0; i < O * in; i++)
			t.weights[i] = scale[i / in] * weights[i];
	}
	free(codes);
	free(weights);
	return t;
}

/* y[O]: the convolution's outputs where row and column, both one further, are the first of nine places. */
static void plain_place(const struct taken *t, size_t side, size_t C, size_t O, size_t row, size_t column, float *y)
{
	for (size_t o = 0; o < O; o++) {
		double sum = 0;
		for (size_t i = 0; i < 9 * C; i++) {
			size_t at = row + i / (3 * C), beside = column + i / C % 3;
			bool inside = at >= 1 && at <= side && beside >= 1 && beside <= side;
			float x = inside ? t->map[((at - 1) * side + beside - 1) * C + i % C] : t->outside;
			sum += (double)t->weights[o * 9 * C + i] * (double)x;
		}
		y[o] = (float)sum;
	}
}

static void plain_layer(const struct fixture *f, size_t l, const float *map, float *next)
{
	size_t C = config_stem_channels(&config, l), O = config.stem[l].width, side = config_stem_side(&config, l), o = config_stem_side(&config, l + 1);
	struct taken t = take(f, l, map);

	for (size_t y = 0; y < o; y++)
		for (size_t x = 0; x < o; x++) {
			float *place = next + (y * o + x) * O;
			plain_place(&t, side, C, O, y * config.stem[l].stride, x * config.stem[l].stride, place);
			plain_norm(&f->weights.stem[l].ln, place, 1, O, place);
			plain_gelu(place, O, false);
			for (size_t i = 0; i < O && config_stem_keeps(&config, l); i++)
				place[i] += map[(y * o + x) * O + i];
		}
	free(t.map);
	free(t.weights);
}

static void forward_plain(struct fixture *f)
{
	size_t S = config.image_size, L = config.stem_layers;
	float *map = mem_floats(stem_map_most(&config)), *next = mem_floats(stem_map_most(&config));

	assert_true(map && next);
	for (size_t i = 0; i < S * S; i++)
		for (size_t c = 0; c < 3; c++)
			map[i * 3 + c] = f->pixels[c * S * S + i];
	for (size_t l = 0; l < L; l++) {
		plain_layer(f, l, map, next);
		float *swap = map;
		map = next;
		next = swap;
	}
	stem_patches(map, config_stem_side(&config, L), config_stem_channels(&config, L), config_patch_side(&config), f->expected);
	free(map);
	free(next);
}

static void forward_int8(struct fixture *f)
{
	stem_forward(&config, &f->weights, f->matrices, f->pixels, &f->work, f->patches);
}

static double cosine(const float *a, const float *b, size_t n)
{
	double ab = 0, aa = 0, bb = 0;

	for (size_t i = 0; i < n; i++) {
		ab += (double)a[i] * (double)b[i];
		aa += (double)a[i] * (double)a[i];
		bb += (double)b[i] * (double)b[i];
	}
	return ab / sqrt(aa * bb);
}

/* GELU is a polynomial there, and a number in the middle between two codes may take the other one, which the next layers see. */
static void the_stem_in_8_bits_agrees_with_its_twin(void **state)
{
	struct fixture f;

	(void)state;
	for (uint64_t seed = 1; seed < 5; seed++) {
		open_fixture(&f, seed);
		forward_int8(&f);
		forward_plain(&f);
		assert_true(test_close("8 bits", f.patches, f.expected, f.count, 0.25f));
		double near = cosine(f.patches, f.expected, f.count);
		print_message("cosine to the twin %.7f\n", near);
		assert_true(near > 0.9999);
		close_fixture(&f);
	}
}

static void the_stem_in_8_bits_is_near_fp32(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, 5);
	forward_int8(&f);
	forward_fp32(&f);
	double near = cosine(f.patches, f.expected, f.count);
	print_message("cosine to fp32 %.6f\n", near);
	/* Equal would mean that nothing was computed in 8 bits. */
	assert_true(near > 0.999 && near < 1 - 1e-9);
	close_fixture(&f);
}

TEST_MAIN(cmocka_unit_test(columns_of_bytes_are_those_of_floats), cmocka_unit_test(the_stem_in_8_bits_agrees_with_its_twin),
	  cmocka_unit_test(the_stem_in_8_bits_is_near_fp32))
