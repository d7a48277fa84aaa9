/* ops.c: see ops.h. Bias costs nothing in a matrix product: OpenBLAS's kernels always add to y, so y starts as the bias instead of as
 * zero. */
#include "model/math/ops.h"

#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "model/math/few_rows.h"
#include "model/math/row_moments.h"
#include "model/math/vector_math.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* Below this many elements of a cheap loop a second thread costs more than it brings. */
enum { PARALLEL_LEAST = 1 << 16 };

int op_threads(void)
{
	return omp_in_parallel() ? 1 : omp_get_max_threads();
}

/* x Phi(x); minus infinity times a tail of zero would be NaN. */
static inline float gelu_exact(float x)
{
	float bell, phi = vector_normal(x, &bell);

	return x < -14 ? 0.0f : x * phi;
}

static void gelu_span(float *x, size_t n, bool quick)
{
	if (quick) {
#pragma omp simd
		for (size_t i = 0; i < n; i++)
			x[i] *= vector_sigmoid(1.702f * x[i]);
	} else {
#pragma omp simd
		for (size_t i = 0; i < n; i++)
			x[i] = gelu_exact(x[i]);
	}
}

void op_gelu(float *x, size_t n, bool quick)
{
	enum { SPAN = 4096 };
	ptrdiff_t spans = (ptrdiff_t)((n + SPAN - 1) / SPAN);

#pragma omp parallel for schedule(static) if (n >= PARALLEL_LEAST)
	for (ptrdiff_t s = 0; s < spans; s++) {
		size_t from = (size_t)s * SPAN;
		gelu_span(x + from, n - from < SPAN ? n - from : SPAN, quick);
	}
}

float op_max(const float *x, size_t n)
{
	float most = -INFINITY;

#pragma omp simd reduction(max : most)
	for (size_t i = 0; i < n; i++)
		most = x[i] > most ? x[i] : most;
	return most;
}

float op_dot(const float *x, const float *y, size_t n)
{
	float sum = 0;

#pragma omp simd reduction(+ : sum)
	for (size_t i = 0; i < n; i++)
		sum += x[i] * y[i];
	return sum;
}

double op_sum_exp(const float *x, size_t n, float most)
{
	enum { SPAN = 512 };
	double sum = 0;

	for (size_t from = 0; from < n; from += SPAN) {
		size_t to = n - from < SPAN ? n : from + SPAN;
		float part = 0;
#pragma omp simd reduction(+ : part)
		for (size_t i = from; i < to; i++)
			part += vector_exponential(x[i] - most);
		sum += (double)part;
	}
	return sum;
}

float op_exponentials(float *row, size_t n, float most)
{
	float sum = 0;

#pragma omp simd reduction(+ : sum)
	for (size_t i = 0; i < n; i++) {
		row[i] = vector_exponential(row[i] - most);
		sum += row[i];
	}
	return sum;
}

void op_softmax(float *row, size_t n)
{
	float rate = 1 / op_exponentials(row, n, op_max(row, n));

#pragma omp simd
	for (size_t i = 0; i < n; i++)
		row[i] *= rate;
}

static void norm_row(const struct norm *norm, const float *x, size_t D, float *y)
{
	const float *weight = norm->weight, *bias = norm->bias;
	float rate, mean = row_moments(x, D, &rate);

#pragma omp simd
	for (size_t i = 0; i < D; i++)
		y[i] = (x[i] - mean) * rate * weight[i] + bias[i];
}

static void standardise_row(const float *x, size_t D, float *y)
{
	float rate, mean = row_moments(x, D, &rate);

#pragma omp simd
	for (size_t i = 0; i < D; i++)
		y[i] = (x[i] - mean) * rate;
}

void op_norm(const struct norm *norm, const float *x, size_t T, size_t D, float *y)
{
#pragma omp parallel for schedule(static) if (T * D >= PARALLEL_LEAST)
	for (ptrdiff_t t = 0; t < (ptrdiff_t)T; t++)
		norm_row(norm, x + (size_t)t * D, D, y + (size_t)t * D);
}

void op_standardise(const float *x, size_t T, size_t D, float *y)
{
#pragma omp parallel for schedule(static) if (T * D >= PARALLEL_LEAST)
	for (ptrdiff_t t = 0; t < (ptrdiff_t)T; t++)
		standardise_row(x + (size_t)t * D, D, y + (size_t)t * D);
}

/* y[T,to-from], its rows stride apart, += columns from..to-1 of x W^T */
static void multiply_add(const struct linear *map, const float *x, size_t T, size_t from, size_t to, float *y, size_t stride)
{
	const float *weight = map->weight + (map->by_column ? from : from * map->in);

	if (T <= FEW_ROWS_MOST && map->by_column)
		few_rows_add_columns(x, T, map->in, weight, map->out, to - from, y, stride);
	else if (T <= FEW_ROWS_MOST)
		few_rows_add(x, T, map->in, weight, to - from, y, stride);
	else
		cblas_sgemm(CblasRowMajor, CblasNoTrans, map->by_column ? CblasNoTrans : CblasTrans, (blasint)T, (blasint)(to - from),
			    (blasint)map->in, 1, x, (blasint)map->in, weight, (blasint)(map->by_column ? map->out : map->in), 1, y,
			    (blasint)stride);
}

static void multiply(const struct linear *map, const float *x, size_t T, size_t from, size_t to, float *y, size_t stride)
{
	for (size_t t = 0; t < T; t++)
		if (map->bias)
			memcpy(y + t * stride, map->bias + from, (to - from) * sizeof *y);
		else
			memset(y + t * stride, 0, (to - from) * sizeof *y);
	multiply_add(map, x, T, from, to, y, stride);
}

void op_linear(const struct linear *map, const float *x, size_t T, float *y)
{
	multiply(map, x, T, 0, map->out, y, map->out);
}

void op_linear_into(const struct linear *map, const float *x, size_t T, float *y, size_t stride)
{
	multiply(map, x, T, 0, map->out, y, stride);
}

void op_linear_columns(const struct linear *map, const float *x, size_t T, size_t from, size_t to, float *y)
{
	multiply(map, x, T, from, to, y, to - from);
}

void op_linear_gelu(const struct linear *map, const float *x, size_t T, bool quick, float *y)
{
	op_linear(map, x, T, y);
	op_gelu(y, T * map->out, quick);
}

void op_linear_add(const struct linear *map, const float *x, size_t T, const float *scale, float *branch, float *to)
{
	size_t D = map->out;

	if (scale)
		op_linear(map, x, T, branch);
	for (size_t t = 0; t < T; t++) {
		float *row = to + t * D;
		if (scale)
			for (size_t i = 0; i < D; i++)
				row[i] += scale[i] * branch[t * D + i];
		else if (map->bias)
			for (size_t i = 0; i < D; i++)
				row[i] += map->bias[i];
	}
	if (!scale)
		multiply_add(map, x, T, 0, D, to, D);
}

void *carve(struct carver *carver, size_t n, size_t size)
{
	size_t bytes = mem_product(n, size);
	char *place = carver->base ? carver->base + carver->used : NULL;

	if (bytes > SIZE_MAX / 2 || carver->used > SIZE_MAX / 2) {
		carver->used = SIZE_MAX;
		return NULL;
	}
	carver->used += (bytes + 63) / 64 * 64;
	return place;
}

float *carve_floats(struct carver *carver, size_t rows, size_t columns)
{
	return carve(carver, mem_product(rows, columns), sizeof(float));
}
