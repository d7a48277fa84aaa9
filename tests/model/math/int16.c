/* int16.c: products in fixed point against their plain twin, exactly; and what a row of floats loses. */
#include "model/math/int16.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"
#include "tests/support.h"

#include "schema/base/banned.h"

struct shape {
	size_t rows, K, columns;
};
static const struct shape shapes[] = {{1, 1, 1}, {2, 15, 17}, {6, 16, 16}, {7, 33, 40}, {13, 255, 24}, {72, 512, 255}, {5, 1030, 31}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* Bytes of a matrix [K,columns], or by_column [columns,K]; the largest numbers, where every sum is as large as it can be. */
static void check(const struct shape *s, bool by_column, bool largest, uint64_t seed)
{
	size_t inner = int16_inner(s->K), columns = int16_columns(s->columns);
	size_t k_stride = by_column ? 1 : s->columns, c_stride = by_column ? s->K : 1;
	int8_t *bytes = mem_array(s->K * s->columns, 1);
	int8_t *panels = (int8_t *)mem_floats(int16_panels_size(s->K, s->columns) / sizeof(float));
	int16_t *a = mem_array(s->rows * inner, sizeof *a), *scratch = (int16_t *)mem_floats(int16_scratch(s->K) / 2);
	int32_t *y = mem_array(s->rows * columns, sizeof *y), *want = mem_array(s->rows * columns, sizeof *want);
	float *x = mem_floats(s->K);

	for (size_t i = 0; i < s->K * s->columns; i++)
		bytes[i] = largest ? -127 : (int8_t)(test_random(&seed) % 255 - 127);
	for (size_t r = 0; r < s->rows; r++) {
		for (size_t k = 0; k < s->K; k++)
			x[k] = largest ? -1 : test_uniform(&seed);
		int16_row(x, s->K, a + r * inner);
	}
	int16_pack(bytes, s->K, s->columns, k_stride, c_stride, panels);
	int16_product(a, s->rows, s->K, panels, s->columns, scratch, y);
	int16_plain(a, s->rows, s->K, bytes, s->columns, k_stride, c_stride, want);
	assert_memory_equal(y, want, s->rows * columns * sizeof *y);
	assert_true(!largest || y[0] > INT32_MAX / 2 || s->K < 512);
	free(bytes);
	free(panels);
	free(a);
	free(scratch);
	free(y);
	free(want);
	free(x);
}

static void products_are_exact(void **state)
{
	(void)state;
	for (size_t i = 0; i < SHAPES; i++)
		for (int by_column = 0; by_column < 2; by_column++)
			check(shapes + i, by_column, false, i);
}

static void the_largest_sums_do_not_overflow(void **state)
{
	(void)state;
	for (size_t i = 0; i < SHAPES; i++)
		check(shapes + i, false, true, i);
}

static void a_row_keeps_its_numbers_to_half_a_step(void **state)
{
	enum { K = 300 };
	float x[K], back[K];
	int16_t a[K + 16];
	uint64_t seed = 3;

	(void)state;
	for (int power = -30; power <= 30; power += 10) {
		for (size_t k = 0; k < K; k++)
			x[k] = ldexpf(test_uniform(&seed), power);
		float scale = int16_row(x, K, a);
		for (size_t k = 0; k < K; k++)
			back[k] = scale * a[k];
		assert_true(test_close("row", x, back, K, ldexpf(0.502f / 32767, power)));
	}
}

static void rows_without_numbers_stay_that(void **state)
{
	float x[3] = {0}, tiny[3] = {1e-42f, 0, 0}, nan[3] = {1, NAN, 2}, infinite[3] = {1, INFINITY, 2};
	int16_t a[16];

	(void)state;
	assert_true(int16_row(x, 3, a) == 0 && a[0] == 0);
	assert_true(fabsf(int16_row(tiny, 3, a) * a[0]) < 1e-38f);
	assert_true(isnan(int16_row(nan, 3, a)));
	assert_true(isnan(int16_row(infinite, 3, a)));
}

TEST_MAIN(cmocka_unit_test(rows_without_numbers_stay_that), cmocka_unit_test(a_row_keeps_its_numbers_to_half_a_step),
	  cmocka_unit_test(products_are_exact), cmocka_unit_test(the_largest_sums_do_not_overflow))
