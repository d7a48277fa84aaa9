/* ops.c: each operation against its plain twin, at sizes that leave remainders in every vector loop. */
#include "model/math/ops.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "model/math/plain.h"
#include "schema/base/memory.h"
#include "tests/support.h"

#include "schema/base/banned.h"

static void gelu_agrees_with_erf(void **state)
{
	(void)state;
	for (int quick = 0; quick < 2; quick++)
		for (float at = -16; at < 16; at += 0.0137f) {
			float fast = at, plain = at;
			op_gelu(&fast, 1, quick);
			plain_gelu(&plain, 1, quick);
			/* Relative where the value matters, absolute in the tail. */
			float allowed = 1e-6f * fabsf(plain) + 1e-9f;
			if (!(fabsf(fast - plain) <= allowed * (quick ? 4 : 1)))
				fail_msg("gelu(%.6f) is %.9g, not %.9g", (double)at, (double)fast, (double)plain);
		}
}

static void gelu_keeps_limits(void **state)
{
	float x[] = {INFINITY, -INFINITY, NAN, 0, 3e38f, -3e38f};

	(void)state;
	op_gelu(x, 6, false);
	assert_true(x[0] == INFINITY && x[1] == 0 && isnan(x[2]) && x[3] == 0 && x[4] == 3e38f && x[5] == 0);
}

static void norm_agrees_with_plain(void **state)
{
	static const size_t widths[] = {1, 7, 48, 192, 771};
	uint64_t seed = 1;

	(void)state;
	for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
		size_t D = widths[w], T = 37;
		float *x = test_draw(T * D, 3, &seed), *weight = test_draw(D, 1, &seed), *bias = test_draw(D, 1, &seed);
		float *fast = mem_floats(T * D), *plain = mem_floats(T * D);
		struct norm norm = {weight, bias};
		op_norm(&norm, x, T, D, fast);
		plain_norm(&norm, x, T, D, plain);
		assert_true(test_close("norm", fast, plain, T * D, 2e-5f));
		free(x);
		free(weight);
		free(bias);
		free(fast);
		free(plain);
	}
}

static void standardised_rows_are_those_of_a_norm_of_weight_1_and_bias_0(void **state)
{
	/* The last is split among threads. */
	static const size_t sizes[][2] = {{3, 1}, {1, 7}, {37, 48}, {37, 192}, {90, 771}};
	uint64_t seed = 10;

	(void)state;
	for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
		size_t T = sizes[s][0], D = sizes[s][1];
		float *x = test_draw(T * D, 3, &seed), *ones = mem_floats(D), *zeros = mem_floats(D);
		float *fast = mem_floats(T * D), *plain = mem_floats(T * D);
		for (size_t i = 0; i < T * D; i++)
			x[i] += 2;
		for (size_t i = 0; i < D; i++) {
			ones[i] = 1;
			zeros[i] = 0;
		}
		plain_norm(&(struct norm){ones, zeros}, x, T, D, plain);
		op_standardise(x, T, D, fast);
		assert_true(test_close("standardised", fast, plain, T * D, 2e-5f));
		op_standardise(x, T, D, x);
		assert_memory_equal(x, fast, T * D * sizeof *x);
		free(x);
		free(ones);
		free(zeros);
		free(fast);
		free(plain);
	}
}

static void linear_maps_agree_with_plain(void **state)
{
	static const size_t sizes[][3] = {{1, 5, 3}, {1, 64, 192}, {7, 48, 144}, {13, 192, 768}, {65, 768, 192}, {300, 33, 50}};
	uint64_t seed = 2;

	(void)state;
	for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
		for (int variant = 0; variant < 4; variant++) {
			size_t T = sizes[s][0], in = sizes[s][1], out = sizes[s][2], from = out / 3, to = out - out / 4;
			float *x = test_draw(T * in, 1, &seed), *weight = test_draw(in * out, 1, &seed), *bias = test_draw(out, 1, &seed);
			float *scale = test_draw(out, 1, &seed), *sum = test_draw(T * out, 1, &seed), *branch = mem_floats(T * out);
			float *fast = mem_floats(T * out), *plain = mem_floats(T * out), *wide = mem_floats(T * (out + 5));
			struct linear map = {weight, variant & 1 ? bias : NULL, in, out, variant & 2};
			plain_linear(&map, x, T, plain);
			op_linear(&map, x, T, fast);
			assert_true(test_close("linear", fast, plain, T * out, 1e-4f));
			op_linear_into(&map, x, T, wide, out + 5);
			assert_true(test_close("strided", wide + (T - 1) * (out + 5), plain + (T - 1) * out, out, 1e-4f));
			op_linear_columns(&map, x, T, from, to, fast);
			for (size_t t = 0; t < T; t++)
				assert_true(test_close("columns", fast + t * (to - from), plain + t * out + from, to - from, 1e-4f));
			op_linear_gelu(&map, x, T, false, fast);
			memcpy(branch, plain, T * out * sizeof *branch);
			plain_gelu(branch, T * out, false);
			assert_true(test_close("linear and gelu", fast, branch, T * out, 1e-4f));
			for (int scaled = 0; scaled < 2; scaled++) {
				memcpy(fast, sum, T * out * sizeof *fast);
				op_linear_add(&map, x, T, scaled ? scale : NULL, branch, fast);
				for (size_t i = 0; i < T * out; i++)
					wide[i] = sum[i] + (scaled ? scale[i % out] : 1) * plain[i];
				assert_true(test_close("linear and add", fast, wide, T * out, 1e-4f));
			}
			float *all[] = {x, weight, bias, scale, sum, branch, fast, plain, wide};
			for (size_t i = 0; i < sizeof all / sizeof *all; i++)
				free(all[i]);
		}
}

static void softmax_and_its_sum_agree_with_libm(void **state)
{
	uint64_t seed = 3;

	(void)state;
	for (size_t n = 1; n < 1300; n = n * 2 + 1) {
		float *x = test_draw(n, 30, &seed), *fast = mem_floats(n), *plain = mem_floats(n);
		float most = -INFINITY;
		double sum = 0;
		if (n > 3)
			x[2] = -INFINITY;
		for (size_t i = 0; i < n; i++)
			most = fmaxf(most, x[i]);
		assert_true(op_max(x, n) == most);
		for (size_t i = 0; i < n; i++)
			sum += exp((double)(x[i] - most));
		for (size_t i = 0; i < n; i++)
			plain[i] = (float)(exp((double)(x[i] - most)) / sum);
		memcpy(fast, x, n * sizeof *fast);
		op_softmax(fast, n);
		assert_true(test_close("softmax", fast, plain, n, 1e-6f));
		assert_true(n <= 3 || fast[2] == 0);
		assert_true(fabs(op_sum_exp(x, n, most) / sum - 1) < 1e-6);
		free(x);
		free(fast);
		free(plain);
	}
}

static void softmax_shows_a_nan(void **state)
{
	float row[] = {1, NAN, 2, 3, 4, 5, 6, 7, 8};

	(void)state;
	op_softmax(row, 9);
	for (size_t i = 0; i < 9; i++)
		assert_true(isnan(row[i]));
}

/* Sequences of different lengths in one call; causal and masked, or neither. */
static void attend(size_t heads, size_t d, const size_t (*sizes)[2], size_t n, bool causal, uint64_t seed)
{
	size_t D = heads * d, keys_most = 0;
	struct attend *jobs = mem_array(n, sizeof *jobs);
	float *plain = NULL, *scores;
	struct err err;

	for (size_t s = 0; s < n; s++) {
		size_t Q = sizes[s][0], K = sizes[s][1];
		float *kv = test_draw(K * 2 * D, 2, &seed);
		uint8_t *visible = causal ? mem_array(K, 1) : NULL;
		for (size_t j = 0; visible && j < K; j++)
			visible[j] = j == 0 || test_random(&seed) % 4 > 0;
		jobs[s] = (struct attend){test_draw(Q * D, 2, &seed), kv, kv + D, visible, mem_floats(Q * D), Q, K};
		keys_most = K > keys_most ? K : keys_most;
	}
	scores = mem_floats(op_attention_scratch(keys_most, op_threads()));
	struct attend_shape shape = {heads, D, D, 2 * D, D, causal};
	op_attention(&shape, jobs, n, scores);
	for (size_t s = 0; s < n; s++) {
		size_t Q = sizes[s][0], K = sizes[s][1];
		float *k = mem_floats(K * D), *v = mem_floats(K * D);
		uint8_t *seen = mem_array(Q * K, 1);
		for (size_t j = 0; j < K; j++) {
			memcpy(k + j * D, jobs[s].k + j * 2 * D, D * sizeof *k);
			memcpy(v + j * D, jobs[s].v + j * 2 * D, D * sizeof *v);
			for (size_t i = 0; i < Q; i++)
				seen[i * K + j] = !causal || (j <= i + K - Q && jobs[s].visible[j]);
		}
		plain = mem_floats(Q * D);
		assert_ok(plain_attention(jobs[s].q, Q, k, v, K, D, heads, seen, plain, &err), &err);
		assert_true(test_close("attention", jobs[s].out, plain, Q * D, 2e-5f));
		free(plain);
		free(k);
		free(v);
		free(seen);
		free((void *)jobs[s].q);
		free((void *)jobs[s].k);
		free((void *)jobs[s].visible);
		free(jobs[s].out);
	}
	free(jobs);
	free(scores);
}

static void attention_agrees_with_plain(void **state)
{
	static const size_t sizes[][2] = {{1, 1}, {1, 9}, {2, 2}, {5, 17}, {12, 12}, {37, 37}, {65, 130}, {200, 201}};

	(void)state;
	attend(4, 16, sizes, 8, false, 4);
	attend(4, 16, sizes, 8, true, 5);
	attend(3, 7, sizes, 8, true, 6);
	attend(1, 64, sizes, 8, false, 7);
	attend(3, 48, sizes, 8, true, 10);
	attend(2, 144, sizes, 8, false, 11);
	attend(1, 8, sizes, 1, true, 8);
}

static void operations_do_not_depend_on_the_thread_count(void **state)
{
	static const size_t sizes[][2] = {{20, 20}, {3, 3}, {70, 70}};

	(void)state;
	for (int threads = 1; threads < 6; threads += 2) {
		blas_set_threads(threads);
		attend(4, 16, sizes, 3, true, 9);
	}
	blas_set_threads(0);
}

static void carving_measures_what_it_gives(void **state)
{
	struct carver measure = {0}, overflow = {0};

	(void)state;
	assert_null(carve_floats(&measure, 3, 5));
	assert_null(carve(&measure, 7, 1));
	assert_int_equal(measure.used, 128);
	struct carver carver = {(char *)mem_floats(32), 0};
	float *first = carve_floats(&carver, 3, 5);
	char *second = carve(&carver, 7, 1);
	assert_ptr_equal(first, carver.base);
	assert_ptr_equal(second, carver.base + 64);
	free(carver.base);
	carve_floats(&overflow, SIZE_MAX / 8, 16);
	carve_floats(&overflow, 1, 1);
	assert_true(overflow.used == SIZE_MAX);
}

TEST_MAIN(cmocka_unit_test(carving_measures_what_it_gives), cmocka_unit_test(gelu_agrees_with_erf), cmocka_unit_test(gelu_keeps_limits),
	  cmocka_unit_test(softmax_and_its_sum_agree_with_libm), cmocka_unit_test(softmax_shows_a_nan),
	  cmocka_unit_test(norm_agrees_with_plain), cmocka_unit_test(standardised_rows_are_those_of_a_norm_of_weight_1_and_bias_0),
	  cmocka_unit_test(linear_maps_agree_with_plain),
	  cmocka_unit_test(attention_agrees_with_plain), cmocka_unit_test(operations_do_not_depend_on_the_thread_count))
