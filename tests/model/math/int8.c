/* int8.c: every kernel that this processor has against the plain twin, exactly where numbers are whole; and the 512-bit tiles with
 * vectors that the compiler makes of narrower ones, so that they are tested where the processor has no AVX-512. */
#include "model/math/int8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"
#include "tests/support.h"

/* These vectors never pass between functions that are not inlined. */
#pragma GCC diagnostic ignored "-Wpsabi"
typedef struct {
	int32_t lane[16];
} sixteen_ints;
typedef float sixteen_floats __attribute__((vector_size(64)));

static inline sixteen_ints ints_load(const void *p)
{
	sixteen_ints v;
	memcpy(&v, p, sizeof v);
	return v;
}

static inline void ints_store(void *p, sixteen_ints v)
{
	memcpy(p, &v, sizeof v);
}

static inline sixteen_ints ints_splat(const void *p)
{
	sixteen_ints v;
	for (size_t i = 0; i < 16; i++)
		memcpy(v.lane + i, p, sizeof *v.lane);
	return v;
}

static inline sixteen_floats floats_of(sixteen_ints v)
{
	sixteen_floats floats;
	for (size_t i = 0; i < 16; i++)
		floats[i] = (float)v.lane[i];
	return floats;
}

static inline sixteen_floats floats_load(const float *p)
{
	sixteen_floats v;
	memcpy(&v, p, sizeof v);
	return v;
}

/* As vpdpbusd defines it. */
static inline sixteen_ints dot(sixteen_ints sum, sixteen_ints x, sixteen_ints w)
{
	uint8_t codes[64];
	int8_t weights[64];

	memcpy(codes, &x, sizeof codes);
	memcpy(weights, &w, sizeof weights);
	for (size_t i = 0; i < sizeof codes; i++)
		sum.lane[i / 4] += codes[i] * weights[i];
	return sum;
}

/* As vpmaddubsw and vpaddw do, but for saturation and overflow: neither may happen. */
static inline sixteen_ints pairs(sixteen_ints part, sixteen_ints x, sixteen_ints w)
{
	uint8_t codes[64];
	int8_t weights[64];
	int16_t sums[32];

	memcpy(codes, &x, sizeof codes);
	memcpy(weights, &w, sizeof weights);
	memcpy(sums, &part, sizeof sums);
	for (size_t i = 0; i < 32; i++) {
		int sum = sums[i] + codes[2 * i] * weights[2 * i] + codes[2 * i + 1] * weights[2 * i + 1];
		assert_in_range(sum + 32768, 0, 65535);
		sums[i] = (int16_t)sum;
	}
	memcpy(&part, sums, sizeof sums);
	return part;
}

/* As vpmaddwd by ones and vpaddd. */
static inline sixteen_ints widened(sixteen_ints sum, sixteen_ints part)
{
	int16_t sums[32];

	memcpy(sums, &part, sizeof sums);
	for (size_t i = 0; i < 32; i++)
		sum.lane[i / 2] += sums[i];
	return sum;
}

#define TARGET
#define LANES 16
enum { ROWS = 8, PANELS = 2 };
#define LEVELS INT8_BYTE_LEVELS
typedef sixteen_ints ints;
typedef sixteen_floats floats;
#define INTS_LOAD(p) ints_load(p)
#define INTS_SPLAT(p) ints_splat(p)
#define FLOATS_OF(v) floats_of(v)
#define FLOATS_LOAD(p) floats_load(p)
#define FLOATS_STORE(p, v) memcpy(p, &(v), sizeof(v))
#define FLOATS_SPLAT(f) ((sixteen_floats){0} + (f))

#define KERNEL(name) emulated_##name
#define WHOLE 1
#define GROUP(matrix, panel) (matrix)->depth
#define GROUP_START(sums, first) ((first) ? (sixteen_ints){{0}} : ints_load(sums))
#define GROUP_ADD(part, x, w) dot(part, x, w)
#define GROUP_END(sums, part) ints_store(sums, part)
#include "model/math/int8_kernel.h"

static const struct int8_kernel emulated = {"emulated VNNI", LEVELS, KERNEL(multiply), KERNEL(quantise), KERNEL(norm), KERNEL(gelu)};

#undef KERNEL
#undef LEVELS
#undef GROUP
#undef WHOLE
#undef GROUP_START
#undef GROUP_ADD
#undef GROUP_END
#define KERNEL(name) emulated_pairs_##name
#define LEVELS INT8_LEVELS
#define WHOLE 0
#define GROUP(matrix, panel) (matrix)->group[panel]
#define GROUP_START(sums, first) (sixteen_ints){{0}}
#define GROUP_ADD(part, x, w) pairs(part, x, w)
#define GROUP_END(sums, part) ints_store(sums, widened(ints_load(sums), part))
#include "model/math/int8_kernel.h"

#include "schema/base/banned.h"

static const struct int8_kernel emulated_pairs = {"emulated pairs", LEVELS, KERNEL(multiply), KERNEL(quantise), KERNEL(norm), KERNEL(gelu)};

enum { KERNELS_MOST = 8 };

/* Those of this processor but the plain one, and the emulated ones. */
static size_t kernels(const struct int8_kernel **list)
{
	size_t count;
	const struct int8_kernel *const *usable = int8_kernels(&count);

	assert_ptr_equal(usable[count - 1], &int8_plain);
	memcpy(list, usable, (count - 1) * sizeof *list);
	list[count - 1] = &emulated;
	list[count] = &emulated_pairs;
	return count + 1;
}

static const struct int8_kernel *twin_of(const struct int8_kernel *kernel)
{
	return kernel->levels == INT8_BYTE_LEVELS ? &int8_plain_bytes : &int8_plain;
}

static struct int8_rows rows_new(size_t T, size_t in)
{
	struct int8_rows rows = {mem_array(T * int8_depth(in) + 64, 1), mem_floats(T), mem_floats(T)};

	assert_true(rows.codes && rows.scale && rows.offset);
	return rows;
}

static void rows_release(struct int8_rows *rows)
{
	free(rows->codes);
	free(rows->scale);
	free(rows->offset);
}

/* Drawn weights and activations; or the largest activations, with the largest weights or those that just fit, or just do not fit, into
 * a group; or the largest of whole bytes, for those that take them. */
enum kind { DRAWN, LARGEST, FITTING, NOT_FITTING, BYTES };

static int8_t weight_of(enum kind kind, size_t o, size_t i, uint64_t *seed)
{
	int sign = o % 2 ? 1 : -1, share = INT8_TOGETHER / (INT8_GROUP / 2), rest = INT8_TOGETHER % (INT8_GROUP / 2);

	if (kind == DRAWN)
		return (int8_t)((int)(test_random(seed) % 127) - INT8_WEIGHT_MOST);
	if (kind == LARGEST || kind == BYTES)
		return (int8_t)(sign * (kind == LARGEST ? INT8_WEIGHT_MOST : INT8_BYTE_WEIGHT_MOST));
	return (int8_t)(sign * (i % INT8_GROUP == 0 ? share + rest + (kind == NOT_FITTING) : share));
}

/* Whole numbers alone: scales of 1, no offset. */
static void products_are_exact(size_t T, size_t in, size_t out, enum kind kind, uint64_t *seed)
{
	int8_t *codes = mem_array(out * in, 1);
	float *scale = mem_floats(out), *fast = mem_floats(T * out), *plain = mem_floats(T * out);
	struct linear map = {NULL, NULL, in, out, false};
	struct int8_rows rows = rows_new(T, in);
	struct int8_matrix matrix;
	const struct int8_kernel *list[KERNELS_MOST];
	size_t n = kernels(list);
	struct err err;

	for (size_t i = 0; i < out * in; i++)
		codes[i] = weight_of(kind, i / in, i % in, seed);
	for (size_t o = 0; o < out; o++)
		scale[o] = 1;
	assert_ok(int8_matrix_pack(&matrix, codes, scale, &map, NULL, &err), &err);
	if (kind != DRAWN)
		assert_int_equal(matrix.group[0], kind == LARGEST || kind == BYTES ? INT8_STEP : kind == FITTING ? INT8_GROUP : INT8_GROUP / 2);
	for (size_t t = 0; t < T; t++) {
		rows.scale[t] = 1;
		rows.offset[t] = 0;
		for (size_t i = 0; i < in; i++)
			rows.codes[t * matrix.depth + i] = (uint8_t)(kind == DRAWN ? (int)(test_random(seed) % (INT8_LEVELS + 1)) :
									  kind == BYTES ? INT8_BYTE_LEVELS : INT8_LEVELS);
	}
	struct int8_product product = {&matrix, &rows, T, false, plain, out};
	int8_plain.multiply(&product, 0, matrix.panels);
	for (size_t t = 0; t < T; t++)
		for (size_t o = 0; o < out; o++) {
			int32_t sum = 0;
			for (size_t i = 0; i < in; i++)
				sum += rows.codes[t * matrix.depth + i] * codes[o * in + i];
			assert_int_equal(sum, (int32_t)plain[t * out + o]);
		}
	product.y = fast;
	for (size_t k = 0; k < n; k++) {
		memset(fast, 0, T * out * sizeof *fast);
		if (kind == BYTES && list[k]->levels != INT8_BYTE_LEVELS)
			continue;
		list[k]->multiply(&product, 0, matrix.panels);
		if (memcmp(fast, plain, T * out * sizeof *fast) != 0)
			fail_msg("%s: %zu rows, %zu inputs, %zu outputs differ from the plain twin", list[k]->name, T, in, out);
	}
	int8_matrix_release(&matrix);
	rows_release(&rows);
	free(codes);
	free(scale);
	free(fast);
	free(plain);
}

static void every_kernel_agrees_exactly(void **state)
{
	static const size_t rows[] = {1, 3, 4, 8, 13, 49, 100}, ins[] = {1, 7, 8, 48, 192}, outs[] = {1, 15, 16, 17, 33, 48, 100};
	uint64_t seed = 1;

	(void)state;
	for (size_t t = 0; t < sizeof rows / sizeof *rows; t++)
		for (size_t i = 0; i < sizeof ins / sizeof *ins; i++)
			for (size_t o = 0; o < sizeof outs / sizeof *outs; o++)
				products_are_exact(rows[t], ins[i], outs[o], DRAWN, &seed);
}

static void many_inputs_are_taken_in_blocks(void **state)
{
	uint64_t seed = 2;

	(void)state;
	products_are_exact(50, 1024, 20, DRAWN, &seed);
	products_are_exact(11, 1030, 40, DRAWN, &seed);
	products_are_exact(9, 2049, 33, DRAWN, &seed);
}

static void the_largest_sums_do_not_saturate(void **state)
{
	uint64_t seed = 3;

	(void)state;
	products_are_exact(9, 2080, 34, LARGEST, &seed);
	products_are_exact(9, 2080, 34, FITTING, &seed);
	products_are_exact(9, 2080, 34, NOT_FITTING, &seed);
	products_are_exact(9, 2080, 34, BYTES, &seed);
}

/* Even of evenly drawn ones, which are heavier than a trained matrix's. */
static void quantised_weights_fit_into_groups(void **state)
{
	enum { IN = 768, OUT = 48 };
	uint64_t seed = 8;
	float *weight = test_draw(OUT * IN, 1, &seed);
	struct linear map = {weight, NULL, IN, OUT, false};
	struct int8_matrix matrix;
	struct err err;

	(void)state;
	assert_ok(int8_matrix_init(&matrix, &map, INT8_PAIRS, NULL, &err), &err);
	for (size_t panel = 0; panel < matrix.panels; panel++)
		assert_int_equal(matrix.group[panel], INT8_GROUP);
	for (size_t o = 0; o < OUT; o++)
		for (size_t i = 0; i < IN; i++) {
			int8_t code = matrix.weights[o / INT8_PANEL * INT8_PANEL * IN + i / 4 * INT8_PANEL * 4 + o % INT8_PANEL * 4 + i % 4];
			assert_true(fabsf(matrix.scale[o] * code - weight[o * IN + i]) <= 0.501f * matrix.scale[o]);
			assert_true(matrix.scale[o] < 1.0f / 20); /* of 63, at least 20 steps are left */
		}
	int8_matrix_release(&matrix);
	free(weight);
}

/* With scales, offsets, bias and a gain, into rows that are apart, on top of what is there. */
static void results_come_back_as_floats(void **state)
{
	enum { T = 21, IN = 50, OUT = 37, STRIDE = 41 };
	uint64_t seed = 4;
	float *weight = test_draw(OUT * IN, 1, &seed), *bias = test_draw(OUT, 1, &seed), *gain = test_draw(OUT, 1, &seed);
	float *x = test_draw(T * IN, 2, &seed), *before = test_draw(T * STRIDE, 1, &seed);
	float *fast = mem_floats(T * STRIDE), *plain = mem_floats(T * STRIDE);
	struct linear map = {weight, bias, IN, OUT, false};
	struct int8_rows rows = rows_new(T, IN);
	struct int8_matrix matrix;
	const struct int8_kernel *list[KERNELS_MOST];
	size_t n = kernels(list);
	struct err err;

	(void)state;
	assert_ok(int8_matrix_init(&matrix, &map, INT8_PAIRS, gain, &err), &err);
	for (int add = 0; add < 2; add++)
		for (size_t k = 0; k < n; k++) {
			struct int8_product product = {&matrix, &rows, T, add, plain, STRIDE};
			for (size_t r = 0; r < T; r++)
				list[k]->quantise(x + r * IN, IN, rows.codes + r * int8_depth(IN), rows.scale + r, rows.offset + r);
			memcpy(plain, before, T * STRIDE * sizeof *plain);
			memcpy(fast, before, T * STRIDE * sizeof *fast);
			int8_plain.multiply(&product, 0, matrix.panels);
			product.y = fast;
			list[k]->multiply(&product, 0, matrix.panels);
			assert_true(test_close(list[k]->name, fast, plain, T * STRIDE, 2e-6f));
			for (size_t t = 0; t < T; t++)
				for (size_t o = 0; o < OUT; o++) {
					double exact = (double)bias[o];
					for (size_t i = 0; i < IN; i++)
						exact += (double)x[t * IN + i] * (double)weight[o * IN + i];
					exact = exact * (double)gain[o] + (add ? (double)before[t * STRIDE + o] : 0);
					/* 50 products of a step's error each, of both signs. */
					assert_true(fabs(exact - (double)plain[t * STRIDE + o]) < 0.25);
				}
		}
	int8_matrix_release(&matrix);
	rows_release(&rows);
	free(weight);
	free(bias);
	free(gain);
	free(x);
	free(before);
	free(fast);
	free(plain);
}

/* Codes may differ by one where a value lies in the middle between two, and what they mean by a step's half. */
static void compare_row(const char *name, const uint8_t *fast, const float *fast_map, const uint8_t *plain, const float *plain_map,
			size_t n, float slack)
{
	for (size_t i = 0; i < n; i++) {
		float a = fast_map[0] * fast[i] + fast_map[1], b = plain_map[0] * plain[i] + plain_map[1];
		if (abs(fast[i] - plain[i]) > 1 || fabsf(a - b) > 1.01f * plain_map[0] + slack)
			fail_msg("%s: code %zu of %zu is %d, not %d", name, i, n, fast[i], plain[i]);
	}
	for (size_t i = n; i < int8_depth(n); i++)
		assert_int_equal(fast[i], 0);
}

static void rows_are_quantised_as_plainly(void **state)
{
	static const size_t widths[] = {1, 5, 8, 31, 64, 192, 771};
	const struct int8_kernel *list[KERNELS_MOST];
	size_t n = kernels(list);
	uint64_t seed = 5;

	(void)state;
	for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
		size_t D = widths[w];
		float *x = test_draw(D, 4, &seed), *weight = test_draw(D, 1, &seed), *bias = test_draw(D, 1, &seed), *copy = mem_floats(D);
		struct norm norm = {weight, bias};
		uint8_t fast[1024], plain[1024];
		float a[2], b[2];
		for (size_t k = 0; k < n; k++) {
			memset(fast, 255, sizeof fast);
			list[k]->quantise(x, D, fast, a, a + 1);
			twin_of(list[k])->quantise(x, D, plain, b, b + 1);
			compare_row(list[k]->name, fast, a, plain, b, D, 1e-6f);
			memset(fast, 255, sizeof fast);
			list[k]->norm(&norm, x, D, fast, a, a + 1);
			twin_of(list[k])->norm(&norm, x, D, plain, b, b + 1);
			compare_row(list[k]->name, fast, a, plain, b, D, 1e-5f);
			for (int quick = 0; quick < 2; quick++) {
				memset(fast, 255, sizeof fast);
				memcpy(copy, x, D * sizeof *x);
				list[k]->gelu(copy, D, quick, fast, a, a + 1);
				memcpy(copy, x, D * sizeof *x);
				twin_of(list[k])->gelu(copy, D, quick, plain, b, b + 1);
				compare_row(list[k]->name, fast, a, plain, b, D, 4e-4f);
			}
		}
		free(x);
		free(weight);
		free(bias);
		free(copy);
	}
}

static void gelu_is_near_enough(void **state)
{
	const struct int8_kernel *list[KERNELS_MOST];
	size_t n = kernels(list);

	(void)state;
	for (size_t k = 0; k < n; k++)
		for (float at = -9; at < 9; at += 0.0137f) {
			float x[2] = {at, 0}, plain = at, map[2];
			uint8_t codes[8];
			list[k]->gelu(x, 2, false, codes, map, map + 1);
			plain = 0.5f * at * (1 + erff(at * 0.70710678f));
			if (!(fabsf(x[0] - plain) < 2e-4f))
				fail_msg("%s: gelu(%.4f) is %.6f, not %.6f", list[k]->name, (double)at, (double)x[0], (double)plain);
		}
}

/* A step of 1/127 of the largest, and no lane's sum to fit: for a matrix that only this machine sees. */
static void bytes_halve_the_steps(void **state)
{
	enum { IN = 768, OUT = 4 };
	uint64_t seed = 9;
	float *weight = test_draw(OUT * IN, 1, &seed), scale[OUT];
	int8_t *codes = mem_array(OUT * IN, 1);

	(void)state;
	assert_non_null(codes);
	int8_weights(weight, OUT, IN, INT8_BYTES, codes, scale);
	for (size_t o = 0; o < OUT; o++) {
		float most = 0;
		for (size_t i = 0; i < IN; i++) {
			most = fmaxf(most, fabsf(weight[o * IN + i]));
			assert_true(fabsf(scale[o] * codes[o * IN + i] - weight[o * IN + i]) <= 0.501f * scale[o]);
		}
		assert_true(fabsf(scale[o] * INT8_BYTE_WEIGHT_MOST - most) < 1e-6f);
	}
	assert_int_equal(int8_range() == INT8_BYTES, int8_kernel()->levels == INT8_BYTE_LEVELS);
	free(weight);
	free(codes);
}

/* Neither a row nor a matrix of the smallest numbers may become infinite. */
static void the_smallest_numbers_stay_small(void **state)
{
	float x[16] = {1e-44f, -1e-44f, 3e-42f}, map[2], scale[1];
	const struct int8_kernel *list[KERNELS_MOST];
	size_t n = kernels(list);
	uint8_t codes[16];
	int8_t weights[16];

	(void)state;
	for (size_t k = 0; k < n; k++) {
		list[k]->quantise(x, 16, codes, map, map + 1);
		assert_true(fabsf(map[0] * codes[2] + map[1]) < 1e-40f);
	}
	int8_weights(x, 1, 16, INT8_PAIRS, weights, scale);
	for (size_t i = 0; i < 16; i++)
		assert_true(fabsf(scale[0] * weights[i]) < 1e-40f);
}

static void a_row_of_equal_numbers_stays_as_it_is(void **state)
{
	float x[24], y[1], ones[24];
	struct linear map = {ones, NULL, 24, 1, false};
	struct int8_rows rows = rows_new(1, 24);
	struct int8_matrix matrix;
	struct err err;

	(void)state;
	for (size_t i = 0; i < 24; i++) {
		x[i] = -0.75f;
		ones[i] = 1;
	}
	assert_ok(int8_matrix_init(&matrix, &map, INT8_PAIRS, NULL, &err), &err);
	int8_quantise(x, 1, 24, &rows);
	int8_linear(&matrix, &rows, 1, false, y, 1);
	assert_true(fabsf(y[0] + 18) < 1e-5f);
	int8_matrix_release(&matrix);
	rows_release(&rows);
}

/* A damaged weight or an overflow must not end as a plausible embedding. */
static void what_is_not_finite_is_seen_in_the_result(void **state)
{
	static const float bad[] = {NAN, INFINITY, -INFINITY};
	const struct int8_kernel *list[KERNELS_MOST];
	size_t n = kernels(list);
	uint64_t seed = 6;

	(void)state;
	for (size_t b = 0; b < sizeof bad / sizeof *bad; b++)
		for (size_t k = 0; k < n; k++) {
			float *x = test_draw(37, 1, &seed), *ones = test_draw(37, 1, &seed), map[2];
			struct norm norm = {ones, ones};
			uint8_t codes[40];
			x[17] = bad[b];
			list[k]->quantise(x, 37, codes, map, map + 1);
			assert_true(isnan(map[0]));
			list[k]->norm(&norm, x, 37, codes, map, map + 1);
			assert_true(isnan(map[0]));
			if (bad[b] > 0 || isnan(bad[b])) {
				list[k]->gelu(x, 37, false, codes, map, map + 1);
				assert_true(isnan(map[0]));
			}
			free(x);
			free(ones);
		}
	float weights[] = {1, NAN, 1, 1}, scale[2];
	int8_t codes[4];
	int8_weights(weights, 2, 2, INT8_PAIRS, codes, scale);
	assert_true(isnan(scale[0]) && !isnan(scale[1]));
}

/* One thread or many, at once or below a parallel region: the same bits. */
static void threads_do_not_change_the_result(void **state)
{
	enum { T = 64, IN = 300, OUT = 400 };
	uint64_t seed = 7;
	float *weight = test_draw(OUT * IN, 1, &seed), *x = test_draw(T * IN, 1, &seed);
	float *whole = mem_floats(T * OUT), *inner = mem_floats(T * OUT);
	struct linear map = {weight, NULL, IN, OUT, false};
	struct int8_rows rows = rows_new(T, IN);
	struct int8_matrix matrix;
	struct err err;

	(void)state;
	assert_ok(int8_matrix_init(&matrix, &map, INT8_PAIRS, NULL, &err), &err);
	int8_quantise(x, T, IN, &rows);
	int8_linear(&matrix, &rows, T, false, whole, OUT);
#pragma omp parallel for num_threads(2)
	for (size_t half = 0; half < 2; half++) {
		struct int8_rows part = {rows.codes + half * T / 2 * matrix.depth, rows.scale + half * T / 2, rows.offset + half * T / 2};
		int8_linear(&matrix, &part, T / 2, false, inner + half * T / 2 * OUT, OUT);
	}
	assert_memory_equal(whole, inner, T * OUT * sizeof *whole);
	int8_matrix_release(&matrix);
	rows_release(&rows);
	free(weight);
	free(x);
	free(whole);
	free(inner);
}

TEST_MAIN(cmocka_unit_test(every_kernel_agrees_exactly), cmocka_unit_test(many_inputs_are_taken_in_blocks),
	  cmocka_unit_test(the_largest_sums_do_not_saturate),
		cmocka_unit_test(quantised_weights_fit_into_groups), cmocka_unit_test(results_come_back_as_floats),
	  cmocka_unit_test(rows_are_quantised_as_plainly), cmocka_unit_test(gelu_is_near_enough), cmocka_unit_test(bytes_halve_the_steps),
	  cmocka_unit_test(a_row_of_equal_numbers_stays_as_it_is), cmocka_unit_test(the_smallest_numbers_stay_small),
	  cmocka_unit_test(what_is_not_finite_is_seen_in_the_result), cmocka_unit_test(threads_do_not_change_the_result))
