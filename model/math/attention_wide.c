/* attention_wide.c: see attention_wide.h.
 *
 * The keys are turned over once, so that both products are sums of rows: of turned keys weighted by a query, of values weighted by its
 * softmax. TILE_ROWS queries go through both together; those of the last tile that are done already are done again.
 */
#include "model/math/attention_wide.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "model/math/vector_math.h"

#include "schema/base/banned.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))

enum {
	LANES = 16,
	TILE_ROWS = 8,
	WIDTH_MOST = 128,         /* of a head */
	KEYS_MOST = 1024,         /* more would not stay in the second cache */
};

static size_t padded(size_t n)
{
	return (n + LANES - 1) / LANES * LANES;
}

bool attention_wide_fits(size_t d, size_t queries, size_t keys)
{
	return d % LANES == 0 && d <= WIDTH_MOST && queries >= TILE_ROWS && keys <= KEYS_MOST && __builtin_cpu_supports("avx512f") &&
	       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

size_t attention_wide_scratch(size_t keys_most)
{
	return padded(keys_most < KEYS_MOST ? keys_most : KEYS_MOST) * (2 * WIDTH_MOST + TILE_ROWS);
}

size_t attention_seen(const struct attend *sequence, bool causal, size_t at)
{
	return causal ? at + 1 + sequence->keys - sequence->queries : sequence->keys;
}

void attention_hide(const struct attend *sequence, size_t seen, float *scores, size_t whole)
{
	if (sequence->visible)
		for (size_t j = 0; j < seen; j++)
			scores[j] = sequence->visible[j] ? scores[j] : -INFINITY;
	for (size_t j = seen; j < whole; j++)
		scores[j] = -INFINITY;
}

/* y[TILE_ROWS, LANES * vectors] = a[TILE_ROWS,n] b[n, LANES * vectors] */
static inline __attribute__((always_inline)) TARGET void tile(const float *a, size_t a_stride, const float *b, size_t b_stride, size_t n,
							      const size_t vectors, float *y, size_t y_stride)
{
	__m512 sums[TILE_ROWS][2];

#pragma GCC unroll 8
	for (size_t r = 0; r < TILE_ROWS; r++)
#pragma GCC unroll 2
		for (size_t v = 0; v < vectors; v++)
			sums[r][v] = _mm512_setzero_ps();
	for (size_t i = 0; i < n; i++, b += b_stride)
#pragma GCC unroll 8
		for (size_t r = 0; r < TILE_ROWS; r++) {
			const __m512 weight = _mm512_set1_ps(a[r * a_stride + i]);
#pragma GCC unroll 2
			for (size_t v = 0; v < vectors; v++)
				sums[r][v] = _mm512_fmadd_ps(weight, _mm512_loadu_ps(b + v * LANES), sums[r][v]);
		}
#pragma GCC unroll 8
	for (size_t r = 0; r < TILE_ROWS; r++)
#pragma GCC unroll 2
		for (size_t v = 0; v < vectors; v++)
			_mm512_storeu_ps(y + r * y_stride + v * LANES, sums[r][v]);
}

/* The same for any multiple of LANES columns. */
static TARGET void product(const float *a, size_t a_stride, const float *b, size_t b_stride, size_t n, size_t columns, float *y,
			   size_t y_stride)
{
	size_t c = 0;

	for (; c + 2 * LANES <= columns; c += 2 * LANES)
		tile(a, a_stride, b + c, b_stride, n, 2, y + c, y_stride);
	if (c < columns)
		tile(a, a_stride, b + c, b_stride, n, 1, y + c, y_stride);
}

/* Turns a square of LANES vectors over: squares of half the side change places, then those within them. */
static inline __attribute__((always_inline)) TARGET void turn_square(__m512 rows[LANES])
{
	const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);

#pragma GCC unroll 4
	for (int side = LANES / 2; side > 0; side /= 2) {
		const __m512i apart = _mm512_set1_epi32(side), other = _mm512_set1_epi32(LANES);
		const __mmask16 right = _mm512_test_epi32_mask(lane, apart);
		const __m512i left_ones = _mm512_mask_add_epi32(lane, right, _mm512_sub_epi32(lane, apart), other);
		const __m512i right_ones = _mm512_mask_add_epi32(_mm512_add_epi32(lane, apart), right, lane, other);
#pragma GCC unroll 16
		for (int r = 0; r < LANES; r++)
			if (!(r & side)) {
				const __m512 upper = rows[r], lower = rows[r + side];
				rows[r] = _mm512_permutex2var_ps(upper, left_ones, lower);
				rows[r + side] = _mm512_permutex2var_ps(upper, right_ones, lower);
			}
	}
}

/* turned[d,padded(keys)] = k[keys,d]^T / sqrt(d) */
static TARGET void turn(const float *k, size_t stride, size_t keys, size_t d, float *turned)
{
	const __m512 scale = _mm512_set1_ps(1 / sqrtf((float)d));

	for (size_t j = 0; j < keys; j += LANES)
		for (size_t i = 0; i < d; i += LANES) {
			__m512 rows[LANES];
			for (size_t r = 0; r < LANES; r++)
				rows[r] = j + r < keys ? _mm512_mul_ps(scale, _mm512_loadu_ps(k + (j + r) * stride + i)) : _mm512_setzero_ps();
			turn_square(rows);
			for (size_t r = 0; r < LANES; r++)
				_mm512_store_ps(turned + (i + r) * padded(keys) + j, rows[r]);
		}
}

/* vector_exponential for x <= 0. */
static inline TARGET __m512 exponential(__m512 x)
{
	const __m512 least = _mm512_set1_ps(-87);
	const __m512 at = _mm512_max_ps(least, x); /* of a NaN: its second */
	const __m512 n = _mm512_roundscale_ps(EXPONENT_OF(at), _MM_FROUND_TO_NEAREST_INT), r = EXPONENT_REST(at, n);

	return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(x, least, _CMP_NLT_UQ), EXPONENTIAL_OF_REST(r), n);
}

/* rows[TILE_ROWS,n] become their softmax, side by side, as each step waits for the one before; n a multiple of LANES. A NaN that the
 * maximum passes over comes back from the exponential. */
static TARGET void softmax(float *rows, size_t n)
{
	__m512 most[TILE_ROWS], sum[TILE_ROWS];

#pragma GCC unroll 8
	for (size_t r = 0; r < TILE_ROWS; r++)
		most[r] = _mm512_loadu_ps(rows + r * n);
	for (size_t i = LANES; i < n; i += LANES)
#pragma GCC unroll 8
		for (size_t r = 0; r < TILE_ROWS; r++)
			most[r] = _mm512_max_ps(most[r], _mm512_loadu_ps(rows + r * n + i));
#pragma GCC unroll 8
	for (size_t r = 0; r < TILE_ROWS; r++) {
		most[r] = _mm512_set1_ps(_mm512_reduce_max_ps(most[r]));
		sum[r] = _mm512_setzero_ps();
	}
	for (size_t i = 0; i < n; i += LANES)
#pragma GCC unroll 8
		for (size_t r = 0; r < TILE_ROWS; r++) {
			const __m512 e = exponential(_mm512_loadu_ps(rows + r * n + i) - most[r]);
			_mm512_storeu_ps(rows + r * n + i, e);
			sum[r] += e;
		}
#pragma GCC unroll 8
	for (size_t r = 0; r < TILE_ROWS; r++)
		sum[r] = _mm512_set1_ps(1 / _mm512_reduce_add_ps(sum[r]));
	for (size_t i = 0; i < n; i += LANES)
#pragma GCC unroll 8
		for (size_t r = 0; r < TILE_ROWS; r++)
			_mm512_storeu_ps(rows + r * n + i, _mm512_loadu_ps(rows + r * n + i) * sum[r]);
}

TARGET void attention_wide(const struct attend_shape *shape, const struct attend *sequence, size_t head, float *scratch)
{
	size_t d = shape->width / shape->heads, keys = sequence->keys, whole = padded(keys);
	float *turned = scratch, *values = turned + d * whole, *scores = values + d * whole;
	const float *q = sequence->q + head * d, *v = sequence->v + head * d;

	turn(sequence->k + head * d, shape->kv_stride, keys, d, turned);
	/* Rows that are some power of two apart would drive each other out of the first cache. */
	for (size_t j = 0; j < keys; j++)
		memcpy(values + j * d, v + j * shape->kv_stride, d * sizeof *v);
	for (size_t done = 0; done < sequence->queries; done += TILE_ROWS) {
		size_t from = sequence->queries - done < TILE_ROWS ? sequence->queries - TILE_ROWS : done;
		product(q + from * shape->q_stride, shape->q_stride, turned, whole, d, whole, scores, whole);
		for (size_t r = 0; r < TILE_ROWS; r++)
			attention_hide(sequence, attention_seen(sequence, shape->causal, from + r), scores + r * whole, whole);
		softmax(scores, whole);
		product(scores, whole, values, d, keys, d, sequence->out + from * shape->out_stride + head * d, shape->out_stride);
	}
}
