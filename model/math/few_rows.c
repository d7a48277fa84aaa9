/* few_rows.c: see few_rows.h.
 *
 * W[out,in]: tiles of 3 rows times 4 outputs are dot products in 12 vector registers; a tile that hangs over the edge
 * computes its last row or output again and does not store it. W[in,out]: blocks of outputs stay in the first cache while 4
 * inputs at a time are added to them.
 */
#include "model/math/few_rows.h"

#include <stdbool.h>
#include <string.h>

#include "schema/base/banned.h"

enum {
	TILE_ROWS = 3,
	TILE_OUTPUTS = 4,
	LANES = 8,
	COLUMN_BLOCK = 256,
	PARALLEL_LEAST = 1 << 20, /* multiplications, about 50 microseconds of one thread */
};

typedef float vector __attribute__((vector_size(LANES * sizeof(float))));

static inline vector load(const float *x)
{
	vector v;
	memcpy(&v, x, sizeof v);
	return v;
}

static inline float sum(vector v)
{
	return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

static inline size_t at_most(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* y[rows,outputs] += x[rows,in] w[outputs,in]^T; rows <= TILE_ROWS, outputs <= TILE_OUTPUTS */
static void dot_tile(const float *x, size_t rows, const float *w, size_t outputs, size_t in, float *y, size_t stride)
{
	const float *row[TILE_ROWS], *weight[TILE_OUTPUTS];
	vector sums[TILE_ROWS][TILE_OUTPUTS] = {{{0}}};
	float rest[TILE_ROWS][TILE_OUTPUTS] = {{0}};
	size_t i = 0;

	for (size_t r = 0; r < TILE_ROWS; r++)
		row[r] = x + at_most(r, rows - 1) * in;
	for (size_t o = 0; o < TILE_OUTPUTS; o++)
		weight[o] = w + at_most(o, outputs - 1) * in;
	for (; i + LANES <= in; i += LANES) {
		vector a = load(row[0] + i), b = load(row[1] + i), c = load(row[2] + i);
#pragma GCC unroll 4
		for (size_t o = 0; o < TILE_OUTPUTS; o++) {
			vector v = load(weight[o] + i);
			sums[0][o] += a * v;
			sums[1][o] += b * v;
			sums[2][o] += c * v;
		}
	}
	for (; i < in; i++)
		for (size_t r = 0; r < TILE_ROWS; r++)
			for (size_t o = 0; o < TILE_OUTPUTS; o++)
				rest[r][o] += row[r][i] * weight[o][i];
	for (size_t r = 0; r < rows; r++)
		for (size_t o = 0; o < outputs; o++)
			y[r * stride + o] += sum(sums[r][o]) + rest[r][o];
}

void few_rows_add(const float *x, size_t T, size_t in, const float *w, size_t outputs, float *y, size_t stride)
{
	bool worth = T * in * outputs >= PARALLEL_LEAST;

#pragma omp parallel for schedule(static) if (worth)
	for (size_t o = 0; o < outputs; o += TILE_OUTPUTS)
		for (size_t t = 0; t < T; t += TILE_ROWS)
			dot_tile(x + t * in, at_most(TILE_ROWS, T - t), w + o * in, at_most(TILE_OUTPUTS, outputs - o), in,
				 y + t * stride + o, stride);
}

/* y[n] += x[0] w[0][n] + ... for count <= 4 inputs, w's rows stride apart */
static inline void add_inputs(const float *x, size_t count, const float *w, size_t stride, size_t n, float *y)
{
	if (count == 4) {
		const float a = x[0], b = x[1], c = x[2], d = x[3];
		const float *w1 = w + stride, *w2 = w + 2 * stride, *w3 = w + 3 * stride;
#pragma omp simd
		for (size_t o = 0; o < n; o++)
			y[o] += (a * w[o] + b * w1[o]) + (c * w2[o] + d * w3[o]);
		return;
	}
	for (size_t i = 0; i < count; i++)
		for (size_t o = 0; o < n; o++)
			y[o] += x[i] * w[i * stride + o];
}

void few_rows_add_columns(const float *x, size_t T, size_t in, const float *w, size_t apart, size_t outputs, float *y, size_t stride)
{
	bool worth = T * in * outputs >= PARALLEL_LEAST;

#pragma omp parallel for schedule(static) if (worth)
	for (size_t o = 0; o < outputs; o += COLUMN_BLOCK)
		for (size_t i = 0; i < in; i += 4)
			for (size_t t = 0; t < T; t++)
				add_inputs(x + t * in + i, at_most(4, in - i), w + i * apart + o, apart, at_most(COLUMN_BLOCK, outputs - o),
					   y + t * stride + o);
}
