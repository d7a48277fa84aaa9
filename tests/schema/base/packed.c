/* packed.c: half precision as IEEE 754 has it, and image tokens that come back within their step. */
#include "tests/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"
#include "schema/base/packed.h"

#include "schema/base/banned.h"

/* Half precision by its definition: sign, 5 bits of exponent, 10 of fraction. */
static float half_value(unsigned half)
{
	int exponent = half >> 10 & 31, fraction = half & 1023;
	float magnitude = exponent == 31 ? (fraction ? NAN : INFINITY)
					 : exponent ? ldexpf((float)(1024 + fraction), exponent - 25) : ldexpf((float)fraction, -24);
	return half >> 15 ? -magnitude : magnitude;
}

static void every_half_has_its_value(void **state)
{
	(void)state;
	static uint16_t halves[65536], back[65536];
	static float values[65536];

	for (unsigned i = 0; i < 65536; i++)
		halves[i] = (uint16_t)i;
	packed_from_half(halves, values, 65536);
	packed_to_half(values, back, 65536);
	for (unsigned i = 0; i < 65536; i++) {
		float expected = half_value(i);
		if (isnan(expected)) {
			assert_true(isnan(values[i]) && (back[i] & 0x7c00) == 0x7c00 && (back[i] & 0x3ff));
			continue;
		}
		assert_true(values[i] == expected);
		assert_int_equal(back[i], i);
	}
}

static void halves_round_to_nearest_even(void **state)
{
	(void)state;
	static const struct {
		float value;
		uint16_t half;
	} cases[] = {
		{1.0f + 0x1p-11f, 0x3c00}, {1.0f + 0x3p-11f, 0x3c02}, {1.0f + 0x1.1p-11f, 0x3c01}, {65504, 0x7bff}, {65519.9f, 0x7bff},
		{65520, 0x7c00}, {-70000, 0xfc00}, {0x1p-25f, 0}, {0x1.1p-25f, 1}, {-0.0f, 0x8000},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (size_t n = 1; n <= 17; n += 8) { /* alone, and in both kinds of loop */
			float values[17];
			uint16_t halves[17];
			for (size_t k = 0; k < n; k++)
				values[k] = cases[i].value;
			packed_to_half(values, halves, n);
			for (size_t k = 0; k < n; k++)
				assert_int_equal(halves[k], cases[i].half);
		}
}

static void unaligned_halves_are_read(void **state)
{
	(void)state;
	uint8_t bytes[1 + 2 * 19];
	float values[19];

	for (int i = 0; i < 19; i++) {
		bytes[1 + 2 * i] = 0;
		bytes[2 + 2 * i] = (uint8_t)(0x3c + 4 * (i % 2)); /* 1 and 2 */
	}
	packed_from_half(bytes + 1, values, 19);
	for (int i = 0; i < 19; i++)
		assert_true(values[i] == (i % 2 ? 2 : 1));
}

static void tokens_come_back_within_half_a_step(void **state)
{
	(void)state;
	enum { N = 5, W = 37 };
	float tokens[N * W], back[N * W];
	uint64_t seed = 5;
	size_t size = packed_tokens_size(N, W);
	uint8_t *blob = mem_array(size, 1);
	struct err err;

	for (int i = 0; i < N; i++)
		for (int j = 0; j < W; j++)
			tokens[i * W + j] = i == 2 ? 0 : test_uniform(&seed) * powf(10, (float)(i - 2)); /* a token of zeros, too */
	packed_tokens_write(tokens, N, W, blob);
	assert_ok(packed_tokens_read(blob, size, N, W, back, &err), &err);
	for (int i = 0; i < N; i++) {
		float largest = 0;
		for (int j = 0; j < W; j++)
			largest = fmaxf(largest, fabsf(tokens[i * W + j]));
		for (int j = 0; j < W; j++)
			assert_true(fabsf(back[i * W + j] - tokens[i * W + j]) <= largest / 127 * 0.501f);
	}
	free(blob);
}

static void tokens_of_another_shape_are_refused(void **state)
{
	(void)state;
	float tokens[6] = {1, 2, 3, 4, 5, 6}, back[6];
	uint8_t blob[64];
	size_t size = packed_tokens_size(2, 3);
	struct err err;

	assert_int_equal(size, 12 + 2 * 4 + 6);
	packed_tokens_write(tokens, 2, 3, blob);
	assert_ok(packed_tokens_read(blob, size, 2, 3, back, &err), &err);
	assert_int_equal(packed_tokens_read(blob, size, 3, 2, back, &err), STATUS_FORMAT);
	assert_int_equal(packed_tokens_read(blob, size - 1, 2, 3, back, &err), STATUS_FORMAT);
	assert_int_equal(packed_tokens_read(blob, size + 1, 2, 3, back, &err), STATUS_FORMAT);
	assert_int_equal(packed_tokens_read(blob, 3, 2, 3, back, &err), STATUS_FORMAT);
	blob[0] ^= 1;
	assert_int_equal(packed_tokens_read(blob, size, 2, 3, back, &err), STATUS_FORMAT);
}

TEST_MAIN(
	cmocka_unit_test(every_half_has_its_value),
	cmocka_unit_test(halves_round_to_nearest_even),
	cmocka_unit_test(unaligned_halves_are_read),
	cmocka_unit_test(tokens_come_back_within_half_a_step),
	cmocka_unit_test(tokens_of_another_shape_are_refused))
