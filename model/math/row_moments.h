/* row_moments.h: what LayerNorm asks of a row. Four vectors of sums stand side by side, as a single one would wait for its own last
 * addition. */
#ifndef MODEL_MATH_ROW_MOMENTS_H
#define MODEL_MATH_ROW_MOMENTS_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum { ROW_LANES = 8, ROW_PARTS = 4 };
typedef float row_vector __attribute__((vector_size(ROW_LANES * sizeof(float))));

/* The sum of x[n] - from, or of its squares. */
static inline float row_sum(const float *x, size_t n, float from, bool squares)
{
	row_vector parts[ROW_PARTS] = {{0}};
	float rest = 0;
	size_t i = 0;

	for (; i + ROW_PARTS * ROW_LANES <= n; i += ROW_PARTS * ROW_LANES)
#pragma GCC unroll 4
		for (size_t p = 0; p < ROW_PARTS; p++) {
			row_vector v;
			memcpy(&v, x + i + p * ROW_LANES, sizeof v);
			v -= from;
			parts[p] += squares ? v * v : v;
		}
	for (; i < n; i++)
		rest += squares ? (x[i] - from) * (x[i] - from) : x[i] - from;
	const row_vector all = (parts[0] + parts[1]) + (parts[2] + parts[3]);
	return (((all[0] + all[4]) + (all[2] + all[6])) + ((all[1] + all[5]) + (all[3] + all[7]))) + rest;
}

/* The mean of x[n], and in *rate 1 / sqrt(variance + 1e-5). */
static inline float row_moments(const float *x, size_t n, float *rate)
{
	const float mean = row_sum(x, n, 0, false) / (float)n;

	*rate = 1 / sqrtf(row_sum(x, n, mean, true) / (float)n + 1e-5f);
	return mean;
}

#endif
