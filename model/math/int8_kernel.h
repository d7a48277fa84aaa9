/* int8_kernel.h: the functions of one struct int8_kernel, written once for all instruction sets: int8_avx2.c and its like include it,
 * having defined
 *
 *     KERNEL(name)              the function's name in this instruction set
 *     TARGET                    the attribute that lets a function use it
 *     LANES                     32-bit numbers of a vector
 *     LEVELS                    of activations
 *     ROWS, PANELS              of a tile: ROWS * PANELS * INT8_PANEL / LANES parts stay in registers
 *     ints, floats              vectors
 *     INTS_LOAD(p), INTS_SPLAT(p)   splat: the 4 bytes at p in every lane
 *     GROUP(matrix, panel)      inputs whose products are added to one part:
 *     GROUP_START(sums, first), GROUP_ADD(part, x, w), GROUP_END(sums, part)   sums: in memory; first: nothing is in them; add: 4
 *                               products of unsigned by signed bytes in each lane
 *     WHOLE                     1: a block is one group, so that its parts are its sums
 *     FLOATS_OF(ints), FLOATS_LOAD(p), FLOATS_STORE(p, v), FLOATS_SPLAT(f)
 *
 * A tile of the result is ROWS rows by PANELS panels. Its weights, PANELS * DEPTH bytes * 16, stay in the first cache while
 * the rows pass; a matrix of more inputs than DEPTH is taken in blocks whose sums wait in `sums`.
 */
#include "model/math/int8.h"

#include <math.h>
#include <string.h>

#include "model/math/row_moments.h"

enum {
	KERNEL(DEPTH) = 1024,
	KERNEL(CHUNK) = 48 / ROWS * ROWS, /* rows whose sums wait */
	KERNEL(BLOCK) = 192 << 10, /* bytes of rows that pass all panels before the next ones come: they stay in the second cache */
	KERNEL(VECTORS) = INT8_PANEL / LANES, /* of a panel */
	KERNEL(WIDE) = INT8_PANEL * PANELS,
};

/* A tile's place in one product. */
struct KERNEL(tile) {
	const uint8_t *codes;   /* of the first row, at the block's first input */
	const int8_t *weights;  /* of the first panel, likewise */
	size_t code_stride, panel_stride;
	size_t depth;           /* inputs of the block */
	size_t group;           /* of the panels, the least */
	int32_t *sums;          /* [rows, WIDE] */
	bool first;             /* block */
	const struct int8_product *finish; /* not NULL: the last block, whose sums go into the result from where they are */
	size_t row, panel;      /* the tile's first */
};

/* y = or += scale * sum * weights' scale + offset * weights' sum + bias: of sums[rows * wide] in registers, whole panels. */
static inline __attribute__((always_inline)) TARGET void KERNEL(finish_tile)(const struct KERNEL(tile) *tile, const ints *sums,
									     const size_t rows, const size_t wide, const bool add)
{
	const struct int8_product *p = tile->finish;
	const struct int8_matrix *m = p->matrix;
	const float *row_scale = p->rows->scale + tile->row, *row_offset = p->rows->offset + tile->row;
	float *y = p->y + tile->row * p->stride + tile->panel * INT8_PANEL;

#pragma GCC unroll 4
	for (size_t v = 0; v < wide; v++) {
		const size_t at = tile->panel * INT8_PANEL + v * LANES;
		const floats scale = FLOATS_LOAD(m->scale + at), sum = FLOATS_LOAD(m->sum + at), bias = FLOATS_LOAD(m->bias + at);
#pragma GCC unroll 8
		for (size_t r = 0; r < rows; r++) {
			floats value = FLOATS_OF(sums[r * wide + v]) * scale;
			value = FLOATS_SPLAT(row_scale[r]) * value + (FLOATS_SPLAT(row_offset[r]) * sum + bias);
			if (add)
				value += FLOATS_LOAD(y + r * p->stride + v * LANES);
			FLOATS_STORE(y + r * p->stride + v * LANES, value);
		}
	}
}

/* The same for one row and panel, from memory. */
static inline TARGET void KERNEL(finish)(const struct int8_product *p, size_t t, size_t panel, const int32_t *sums)
{
	const struct int8_matrix *m = p->matrix;
	size_t from = panel * INT8_PANEL, count = m->out - from < INT8_PANEL ? m->out - from : INT8_PANEL;
	floats scale = FLOATS_SPLAT(p->rows->scale[t]), offset = FLOATS_SPLAT(p->rows->offset[t]);
	float *y = p->y + t * p->stride + from, part[INT8_PANEL];
	float *to = count < INT8_PANEL ? part : y;

	if (count < INT8_PANEL && p->add)
		memcpy(part, y, count * sizeof *part);
	for (size_t v = 0; v < INT8_PANEL; v += LANES) {
		floats value = FLOATS_OF(INTS_LOAD(sums + v)) * FLOATS_LOAD(m->scale + from + v);
		value = scale * value + (offset * FLOATS_LOAD(m->sum + from + v) + FLOATS_LOAD(m->bias + from + v));
		if (p->add)
			value += FLOATS_LOAD(to + v);
		FLOATS_STORE(to + v, value);
	}
	if (count < INT8_PANEL)
		memcpy(y, part, count * sizeof *part);
}

/* Adds the products of a tile to its sums, which wait in memory so that the parts of a group can have all registers. */
static inline __attribute__((always_inline)) TARGET void KERNEL(accumulate)(const struct KERNEL(tile) *tile, const size_t rows,
									    const size_t panels)
{
	const size_t wide = panels * KERNEL(VECTORS), stride = tile->code_stride, apart = tile->panel_stride, most = tile->group;
	const uint8_t *codes = tile->codes;
	const int8_t *weights = tile->weights;
	int32_t *sums = tile->sums;

	for (size_t left = tile->depth, group; left > 0; left -= group) {
		ints parts[ROWS * PANELS * KERNEL(VECTORS)];
		group = left < most ? left : most;
#pragma GCC unroll 32
		for (size_t i = 0; i < rows * wide; i++)
			parts[i] = GROUP_START(sums + i / wide * KERNEL(WIDE) + i % wide * LANES, tile->first);
		for (const uint8_t *end = codes + group; codes < end; codes += INT8_STEP, weights += INT8_STEP * INT8_PANEL)
#pragma GCC unroll 2
			for (size_t half = 0; half < 2; half++)
#pragma GCC unroll 8
				for (size_t r = 0; r < rows; r++) {
					const ints x = INTS_SPLAT(codes + r * stride + half * 4);
#pragma GCC unroll 4
					for (size_t v = 0; v < wide; v++) {
						const int8_t *w = weights + v / KERNEL(VECTORS) * apart + v % KERNEL(VECTORS) * LANES * 4;
						parts[r * wide + v] = GROUP_ADD(parts[r * wide + v], x, INTS_LOAD(w + half * 4 * INT8_PANEL));
					}
				}
		if (WHOLE && tile->finish) {
			if (tile->finish->add)
				KERNEL(finish_tile)(tile, parts, rows, wide, true);
			else
				KERNEL(finish_tile)(tile, parts, rows, wide, false);
			return;
		}
#pragma GCC unroll 32
		for (size_t i = 0; i < rows * wide; i++)
			GROUP_END(sums + i / wide * KERNEL(WIDE) + i % wide * LANES, parts[i]);
	}
}

/* Functions of their own: together they would have too few registers. */
static __attribute__((noinline)) TARGET void KERNEL(full_tile)(const struct KERNEL(tile) *tile)
{
	KERNEL(accumulate)(tile, ROWS, PANELS);
}

static __attribute__((noinline)) TARGET void KERNEL(four_rows)(const struct KERNEL(tile) *tile)
{
	KERNEL(accumulate)(tile, 4, 1);
}

static __attribute__((noinline)) TARGET void KERNEL(one_row)(const struct KERNEL(tile) *tile)
{
	KERNEL(accumulate)(tile, 1, 1);
}

/* A full tile, or what is left over at an edge. */
static TARGET void KERNEL(any_tile)(const struct KERNEL(tile) *whole, size_t rows, size_t panels)
{
	if (rows == ROWS && panels == PANELS) {
		KERNEL(full_tile)(whole);
		return;
	}
	struct KERNEL(tile) tile = *whole;
	for (size_t i = 0; i < panels; i++, tile.weights += tile.panel_stride, tile.sums += INT8_PANEL, tile.panel++) {
		struct KERNEL(tile) part = tile;
		size_t r = 0;
		for (; r + 4 <= rows; r += 4, part.row += 4, part.codes += 4 * part.code_stride, part.sums += 4 * KERNEL(WIDE))
			KERNEL(four_rows)(&part);
		for (; r < rows; r++, part.row++, part.codes += part.code_stride, part.sums += KERNEL(WIDE))
			KERNEL(one_row)(&part);
	}
}

/* Rows start..end-1 by the panels from panel on, of which there are PANELS or fewer. */
static TARGET void KERNEL(strip)(const struct int8_product *p, size_t panel, size_t panels, size_t start, size_t end)
{
	const struct int8_matrix *m = p->matrix;
	int32_t sums[KERNEL(CHUNK) * KERNEL(WIDE)] __attribute__((aligned(64)));
	struct KERNEL(tile) tile = {.code_stride = m->depth, .panel_stride = m->depth * INT8_PANEL, .group = GROUP(m, panel), .panel = panel};
	const bool whole = WHOLE && (panel + panels) * INT8_PANEL <= m->out;

	for (size_t i = 1; i < panels; i++)
		tile.group = GROUP(m, panel + i) < tile.group ? GROUP(m, panel + i) : tile.group;
	if (!WHOLE)
		memset(sums, 0, (end - start) * KERNEL(WIDE) * sizeof *sums);
	for (size_t k = 0; k < m->depth; k += KERNEL(DEPTH)) {
		tile.depth = m->depth - k < KERNEL(DEPTH) ? m->depth - k : KERNEL(DEPTH);
		tile.weights = m->weights + panel * tile.panel_stride + k * INT8_PANEL;
		tile.first = k == 0;
		const bool last = k + tile.depth == m->depth;
		tile.finish = whole && last ? p : NULL;
		for (tile.row = start; tile.row < end; tile.row += ROWS) {
			size_t rows = end - tile.row < ROWS ? end - tile.row : ROWS;
			tile.codes = p->rows->codes + tile.row * m->depth + k;
			tile.sums = sums + (tile.row - start) * KERNEL(WIDE);
			KERNEL(any_tile)(&tile, rows, panels);
			/* At once: the next tile is computed while these results are on their way to memory. */
			for (size_t r = 0; r < rows && last && !whole; r++)
				for (size_t i = 0; i < panels; i++)
					KERNEL(finish)(p, tile.row + r, panel + i, tile.sums + r * KERNEL(WIDE) + i * INT8_PANEL);
		}
	}
}

static TARGET void KERNEL(multiply)(const struct int8_product *p, size_t from, size_t to)
{
	size_t chunks = KERNEL(BLOCK) / (KERNEL(CHUNK) * p->matrix->depth) + 1, rows = chunks * KERNEL(CHUNK);

	for (size_t block = 0; block < p->T; block += rows)
		for (size_t panel = from; panel < to; panel += PANELS)
			for (size_t start = block; start < p->T && start < block + rows; start += KERNEL(CHUNK))
				KERNEL(strip)(p, panel, to - panel < PANELS ? to - panel : PANELS, start,
					      p->T - start < KERNEL(CHUNK) ? p->T : start + KERNEL(CHUNK));
}

/* ---- activations to whole numbers: loops that gcc vectorises ------------------------------------------------------ */

struct KERNEL(range) {
	float low, high;
	float wrong; /* 0, or NaN if a number was not finite: it goes into the scale, and so into every result */
};

static inline TARGET float KERNEL(steps)(const struct KERNEL(range) *range, float *scale, float *offset)
{
	*scale = (range->high - range->low) * (1.0f / LEVELS) + range->wrong;
	*offset = range->low;
	return range->high - range->low > INT8_TINY ? LEVELS / (range->high - range->low) : 0;
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
	float gain, low = INFINITY, high = -INFINITY, wrong = 0;
	const float mean = row_moments(x, D, &gain);

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
