/* Embeddings as 8-bit codes: every kernel counts what the plain one counts, and no score lies beyond its bounds. */
#include "tests/support.h"

#include <math.h>
#include <stdlib.h>

#include "schema/base/memory.h"
#include "schema/vectors/codes.h"

#include "schema/base/banned.h"

static void kernels_equal_the_plain_one(void **state)
{
	(void)state;
	enum { ROWS = 11, QUERIES = 9, WIDEST = 1024 };
	const size_t dims[] = {1, 40, 64, 192, 512, 1000};
	int8_t *codes = mem_array(ROWS * WIDEST, 1);
	int16_t *queries = mem_array(QUERIES * WIDEST, sizeof *queries);
	int32_t expected[ROWS * QUERIES], dots[ROWS * QUERIES];
	uint64_t random = 3;
	size_t count;
	const struct codes_kernel *kernels = codes_kernels(&count);

	assert_true(count >= 2 && codes_kernel() == &kernels[count - 1]);
	for (size_t i = 0; i < ROWS * WIDEST; i++)
		codes[i] = (int8_t)(test_random(&random) % 255) - 127;
	for (size_t i = 0; i < QUERIES * WIDEST; i++)
		queries[i] = (int16_t)((int)(test_random(&random) % 32768) - 16384);
	for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
		size_t stride = codes_stride(dims[d]);
		for (size_t n = 1; n <= QUERIES; n++)
			for (size_t rows = 1; rows <= ROWS; rows += 5) {
				kernels[0].dot(codes, rows, stride, queries, n, expected);
				for (size_t k = 1; k < count; k++) {
					kernels[k].dot(codes, rows, stride, queries, n, dots);
					assert_memory_equal(dots, expected, rows * n * sizeof *dots);
				}
			}
	}
	free(queries);
	free(codes);
}

/* The largest codes against the largest query. */
static void sums_do_not_overflow(void **state)
{
	(void)state;
	const size_t dims[] = {192, 768, 4096};

	for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
		size_t dim = dims[d], count;
		float *x = mem_floats(dim), step, scale, error;
		int8_t *codes = mem_array(dim, 1);
		int16_t *coded = mem_array(dim, sizeof *coded);
		int32_t dot;
		for (size_t i = 0; i < dim; i++)
			x[i] = 0.25f;
		codes_query(x, dim, coded, &step, &error);
		assert_true(codes_encode(x, dim, codes, &scale) < 1e-4f);
		const struct codes_kernel *kernels = codes_kernels(&count);
		for (size_t k = 0; k < count; k++) {
			kernels[k].dot(codes, 1, codes_stride(dim), coded, 1, &dot);
			assert_true(dot > 0 && fabsf(step * scale * (float)dot - (float)dim / 16) < 1e-4f * (float)dim / 16);
		}
		free(coded);
		free(codes);
		free(x);
	}
}

static double exact_dot(const float *a, const float *b, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)a[i] * (double)b[i];
	return sum;
}

static void scores_lie_within_their_bounds(void **state)
{
	(void)state;
	enum { DIM = 100 };
	float row[DIM], query[DIM], decoded[DIM], scale, step, error;
	int8_t codes[2 * CODES_ALIGNMENT];
	int16_t coded[2 * CODES_ALIGNMENT];
	uint64_t random = 8;
	double nearest = 1;

	for (int trial = 0; trial < 3000; trial++) {
		int32_t dot;
		for (size_t i = 0; i < DIM; i++) {
			row[i] = test_uniform(&random) * (trial % 3 ? 1 : test_uniform(&random) * test_uniform(&random));
			query[i] = test_uniform(&random);
		}
		float residual = codes_encode(row, DIM, codes, &scale);
		/* The worst query is the error itself. */
		for (size_t i = 0; i < DIM; i++) {
			decoded[i] = scale * codes[i];
			if (trial % 2)
				query[i] = row[i] - decoded[i];
		}
		codes_query(query, DIM, coded, &step, &error);
		codes_kernel()->dot(codes, 1, codes_stride(DIM), coded, 1, &dot);
		double bound = sqrt(exact_dot(query, query, DIM)) * (double)residual + (double)error * sqrt(exact_dot(decoded, decoded, DIM));
		double off = fabs(exact_dot(query, row, DIM) - (double)step * (double)scale * dot);
		assert_true(off <= bound * (1 + 1e-6));
		nearest = fmin(nearest, 1 - off / bound);
	}
	assert_true(nearest < 0.05); /* and not by being far too wide */
}

static void rows_of_zeros_are_zeros(void **state)
{
	(void)state;
	float row[5] = {0}, scale = 1, step = 1, error = 1;
	int8_t codes[CODES_ALIGNMENT];
	int16_t coded[CODES_ALIGNMENT];

	assert_true(codes_encode(row, 5, codes, &scale) == 0 && scale == 0);
	codes_query(row, 5, coded, &step, &error);
	assert_true(step == 0 && error == 0);
	for (size_t i = 0; i < CODES_ALIGNMENT; i++)
		assert_true(codes[i] == 0 && coded[i] == 0);
}

TEST_MAIN(cmocka_unit_test(rows_of_zeros_are_zeros), cmocka_unit_test(scores_lie_within_their_bounds),
	  cmocka_unit_test(sums_do_not_overflow), cmocka_unit_test(kernels_equal_the_plain_one))
