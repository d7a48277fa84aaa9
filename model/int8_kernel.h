/* int8_kernel.h: the functions of one struct int8_kernel, written once for all instruction sets. int8_avx2.c and int8_avx512.c
 * include it once for each, having defined
 *
 *     KERNEL(name)              the function's name in this instruction set
 *     TARGET                    the attribute that lets a function use it
 *     LANES                     32-bit numbers of a vector
 *     ROWS, PANELS              of a tile: ROWS * PANELS * INT8_PANEL / LANES accumulators stay in registers
 *     ints, floats              vectors
 *     INTS_ZERO, INTS_LOAD(p), INTS_STORE(p, v), INTS_SPLAT(p)   splat: the 4 bytes at p in every lane
 *     DOT(sum, x, v, y, w)      sum + x v + y w: in each lane 4 products of unsigned by signed bytes, twice
 *     FLOATS_OF(ints), FLOATS_LOAD(p), FLOATS_STORE(p, v), FLOATS_SPLAT(f)
 *
 * A tile of the result is ROWS rows by PANELS panels. Its weights, PANELS * DEPTH bytes * 16, stay in the first cache while
 * the rows pass; a matrix of more inputs than DEPTH is taken in blocks whose sums wait in `sums`.
 */
#include "model/int8.h"

#include <math.h>
#include <string.h>

enum {
	KERNEL(DEPTH) = 1024,
	KERNEL(CHUNK) = 48, /* rows whose sums wait */
	KERNEL(VECTORS) = INT8_PANEL / LANES, /* of a panel */
	KERNEL(WIDE) = INT8_PANEL * PANELS,
};

/* A tile's place in one product. */
struct KERNEL(tile) {
	const uint8_t *codes;   /* of the first row, at the block's first input */
	const int8_t *weights;  /* of the first panel, likewise */
	size_t code_stride, panel_stride;
	size_t depth;           /* inputs of the block */
	int32_t *sums;          /* [ROWS, WIDE] */
	bool first, last;       /* block of inputs */
};

/* y = or += scale * sum * weights' scale + offset * weights' sum + bias, for one row and panel. */
static inline TARGET void KERNEL(finish)(const struct int8_product *p, size_t t, size_t panel, const ints *sums)
{
	const struct int8_matrix *m = p->matrix;
	size_t from = panel * INT8_PANEL, count = m->out - from < INT8_PANEL ? m->out - from : INT8_PANEL;
	floats scale = FLOATS_SPLAT(p->rows->scale[t]), offset = FLOATS_SPLAT(p->rows->offset[t]);
	float *y = p->y + t * p->stride + from, part[INT8_PANEL];
	float *to = count < INT8_PANEL ? part : y;

	if (count < INT8_PANEL && p->add)
		memcpy(part, y, count * sizeof *part);
	for (size_t v = 0; v < KERNEL(VECTORS); v++) {
		size_t at = from + v * LANES;
		floats value = FLOATS_OF(sums[v]) * FLOATS_LOAD(m->scale + at);
		value = scale * value + (offset * FLOATS_LOAD(m->sum + at) + FLOATS_LOAD(m->bias + at));
		if (p->add)
			value += FLOATS_LOAD(to + v * LANES);
		FLOATS_STORE(to + v * LANES, value);
	}
	if (count < INT8_PANEL)
		memcpy(y, part, count * sizeof *part);
}

static inline __attribute__((always_inline)) TARGET void KERNEL(tile)(const struct int8_product *p, const struct KERNEL(tile) *tile,
								      size_t t, size_t panel, const size_t rows, const size_t panels)
{
	ints sums[ROWS * PANELS * KERNEL(VECTORS)];
	const size_t wide = panels * KERNEL(VECTORS);
	const uint8_t *codes = tile->codes;
	const int8_t *weights = tile->weights;

#pragma GCC unroll 32
	for (size_t i = 0; i < rows * wide; i++)
		sums[i] = tile->first ? INTS_ZERO : INTS_LOAD(tile->sums + i / wide * KERNEL(WIDE) + i % wide * LANES);
	for (size_t k = 0; k < tile->depth; k += INT8_STEP, codes += INT8_STEP, weights += INT8_STEP * INT8_PANEL)
#pragma GCC unroll 8
		for (size_t r = 0; r < rows; r++) {
			const ints x = INTS_SPLAT(codes + r * tile->code_stride), y = INTS_SPLAT(codes + r * tile->code_stride + 4);
#pragma GCC unroll 4
			for (size_t v = 0; v < wide; v++) {
				const int8_t *w = weights + v / KERNEL(VECTORS) * tile->panel_stride + v % KERNEL(VECTORS) * LANES * 4;
				sums[r * wide + v] = DOT(sums[r * wide + v], x, INTS_LOAD(w), y, INTS_LOAD(w + 4 * INT8_PANEL));
			}
		}
	if (tile->last) {
#pragma GCC unroll 8
		for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 2
			for (size_t i = 0; i < panels; i++)
				KERNEL(finish)(p, t + r, panel + i, sums + r * wide + i * KERNEL(VECTORS));
	} else {
#pragma GCC unroll 32
		for (size_t i = 0; i < rows * wide; i++)
			INTS_STORE(tile->sums + i / wide * KERNEL(WIDE) + i % wide * LANES, sums[i]);
	}
}

static inline __attribute__((always_inline)) TARGET void KERNEL(strip)(const struct int8_product *p, const struct KERNEL(tile) *tile,
								       size_t t, size_t panel, const size_t rows, size_t panels)
{
	struct KERNEL(tile) one = *tile;

	if (panels == PANELS) {
		KERNEL(tile)(p, tile, t, panel, rows, PANELS);
		return;
	}
	for (size_t i = 0; i < panels; i++, one.weights += one.panel_stride, one.sums += INT8_PANEL)
		KERNEL(tile)(p, &one, t, panel + i, rows, 1);
}

/* A full tile, or what is left over at an edge: 4 rows at a time, then one. */
static TARGET void KERNEL(any_tile)(const struct int8_product *p, const struct KERNEL(tile) *tile, size_t t, size_t panel, size_t rows,
				    size_t panels)
{
	struct KERNEL(tile) part = *tile;
	size_t r = 0;

	if (rows == ROWS) {
		KERNEL(strip)(p, tile, t, panel, ROWS, panels);
		return;
	}
	for (; r + 4 <= rows; r += 4, part.codes += 4 * part.code_stride, part.sums += 4 * KERNEL(WIDE))
		KERNEL(strip)(p, &part, t + r, panel, 4, panels);
	for (; r < rows; r++, part.codes += part.code_stride, part.sums += KERNEL(WIDE))
		KERNEL(strip)(p, &part, t + r, panel, 1, panels);
}

static TARGET void KERNEL(multiply)(const struct int8_product *p, size_t from, size_t to)
{
	const struct int8_matrix *m = p->matrix;
	int32_t sums[KERNEL(CHUNK) * KERNEL(WIDE)] __attribute__((aligned(64)));
	struct KERNEL(tile) tile = {.code_stride = m->depth, .panel_stride = m->depth * INT8_PANEL};

	for (size_t panel = from; panel < to; panel += PANELS)
		for (size_t start = 0; start < p->T; start += KERNEL(CHUNK))
			for (size_t k = 0; k < m->depth; k += KERNEL(DEPTH)) {
				size_t end = p->T - start < KERNEL(CHUNK) ? p->T : start + KERNEL(CHUNK);
				tile.depth = m->depth - k < KERNEL(DEPTH) ? m->depth - k : KERNEL(DEPTH);
				tile.first = k == 0;
				tile.last = k + tile.depth == m->depth;
				tile.weights = m->weights + panel * tile.panel_stride + k * INT8_PANEL;
				for (size_t t = start; t < end; t += ROWS) {
					tile.codes = p->rows->codes + t * m->depth + k;
					tile.sums = sums + (t - start) * KERNEL(WIDE);
					KERNEL(any_tile)(p, &tile, t, panel, end - t < ROWS ? end - t : ROWS, to - panel < PANELS ? to - panel : PANELS);
				}
			}
}

/* ---- activations to whole numbers: loops that gcc vectorises ------------------------------------------------------ */

struct KERNEL(range) {
	float low, high;
	float wrong; /* 0, or NaN if a number was not finite: it goes into the scale, and so into every result */
};

static inline TARGET float KERNEL(steps)(const struct KERNEL(range) *range, float *scale, float *offset)
{
	*scale = (range->high - range->low) * (1.0f / INT8_LEVELS) + range->wrong;
	*offset = range->low;
	return range->high - range->low > INT8_TINY ? INT8_LEVELS / (range->high - range->low) : 0;
}

static TARGET void KERNEL(codes)(const float *x, size_t n, float offset, float inverse, uint8_t *codes)
{
#pragma omp simd
	for (size_t i = 0; i < n; i++)
		codes[i] = (uint8_t)(int32_t)((x[i] - offset) * inverse + 0.5f);
	memset(codes + n, 0, (INT8_STEP - n % INT8_STEP) % INT8_STEP);
}

static TARGET void KERNEL(quantise)(const float *x, size_t n, uint8_t *codes, float *scale, float *offset)
{
	float low = x[0], high = x[0], wrong = 0;

#pragma omp simd reduction(min : low) reduction(max : high) reduction(+ : wrong)
	for (size_t i = 0; i < n; i++) {
		low = x[i] < low ? x[i] : low;
		high = x[i] > high ? x[i] : high;
		wrong += x[i] - x[i];
	}
	struct KERNEL(range) range = {low, high, wrong};
	float inverse = KERNEL(steps)(&range, scale, offset);
	KERNEL(codes)(x, n, low, inverse, codes);
}

/* The row stays in the first cache: normalising it twice is cheaper than keeping what comes out. */
static TARGET void KERNEL(norm)(const struct norm *norm, const float *x, size_t D, uint8_t *codes, float *scale, float *offset)
{
	const float *weight = norm->weight, *bias = norm->bias;
	float sum = 0, squares = 0, low = INFINITY, high = -INFINITY, wrong = 0;

#pragma omp simd reduction(+ : sum)
	for (size_t i = 0; i < D; i++)
		sum += x[i];
	const float mean = sum / (float)D;
#pragma omp simd reduction(+ : squares)
	for (size_t i = 0; i < D; i++)
		squares += (x[i] - mean) * (x[i] - mean);
	const float gain = 1 / sqrtf(squares / (float)D + 1e-5f);
#pragma omp simd reduction(min : low) reduction(max : high) reduction(+ : wrong)
	for (size_t i = 0; i < D; i++) {
		float y = (x[i] - mean) * gain * weight[i] + bias[i];
		low = y < low ? y : low;
		high = y > high ? y : high;
		wrong += y - y;
	}
	struct KERNEL(range) range = {low, high, wrong};
	const float inverse = KERNEL(steps)(&range, scale, offset);
#pragma omp simd
	for (size_t i = 0; i < D; i++) {
		float y = (x[i] - mean) * gain * weight[i] + bias[i];
		codes[i] = (uint8_t)(int32_t)((y - low) * inverse + 0.5f);
	}
	memset(codes + D, 0, (INT8_STEP - D % INT8_STEP) % INT8_STEP);
}

/* x Phi(x) with Phi(x) = 1/2 + x P(x^2) up to |x| = 3.9: the largest error is 1.5e-4. */
static TARGET void KERNEL(gelu)(float *x, size_t n, bool quick, uint8_t *codes, float *scale, float *offset)
{
	float low = INFINITY, high = -INFINITY, wrong = 0;

	if (quick) {
		op_gelu(x, n, true);
		KERNEL(quantise)(x, n, codes, scale, offset);
		return;
	}
#pragma omp simd reduction(min : low) reduction(max : high) reduction(+ : wrong)
	for (size_t i = 0; i < n; i++) {
		float at = x[i] < -3.9f ? -3.9f : x[i] > 3.9f ? 3.9f : x[i], square = at * at;
		float p = 2.6270063457900505e-8f * square - 1.770426933944691e-6f;
		p = p * square + 5.123600203660317e-5f;
		p = p * square - 8.445004350505769e-4f;
		p = p * square + 8.913734927773476e-3f;
		p = p * square - 6.486936658620834e-2f;
		p = p * square + 3.980855345726013e-1f;
		float y = x[i] * (at * p + 0.5f);
		low = y < low ? y : low;
		high = y > high ? y : high;
		wrong += y - y;
		x[i] = y;
	}
	struct KERNEL(range) range = {low, high, wrong};
	float inverse = KERNEL(steps)(&range, scale, offset);
	KERNEL(codes)(x, n, low, inverse, codes);
}
