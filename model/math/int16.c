/* int16.c: see int16.h.
 *
 * vpmaddwd multiplies 16 pairs of 16-bit numbers and adds neighbours: tiles of 6 rows times 16 columns keep 12 vectors of sums, two of b
 * and one of a in the 16 registers. A panel is widened to 16 bits once for all rows, into what the first cache holds.
 */
#include "model/math/int16.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "schema/base/banned.h"

enum { TILE_ROWS = 6, LANES = 16 };

size_t int16_inner(size_t K)
{
	return (K + LANES - 1) / LANES * LANES;
}

size_t int16_columns(size_t columns)
{
	return (columns + INT16_COLUMNS - 1) / INT16_COLUMNS * INT16_COLUMNS;
}

size_t int16_panels_size(size_t K, size_t columns)
{
	return int16_inner(K) * int16_columns(columns);
}

void int16_pack(const int8_t *bytes, size_t K, size_t columns, size_t k_stride, size_t c_stride, int8_t *panels)
{
	size_t inner = int16_inner(K);

	memset(panels, 0, int16_panels_size(K, columns));
	for (size_t from = 0; from < columns; from += INT16_COLUMNS, panels += inner * INT16_COLUMNS) {
		size_t n = columns - from < INT16_COLUMNS ? columns - from : INT16_COLUMNS;
		const int8_t *first = bytes + from * c_stride;
		if (k_stride == 1)
			for (size_t c = 0; c < n; c++)
				for (size_t k = 0; k < K; k += 2)
					memcpy(panels + k * INT16_COLUMNS + 2 * c, first + c * c_stride + k, K - k < 2 ? 1 : 2);
		else
			for (size_t k = 0; k < K; k++)
				for (size_t c = 0; c < n; c++)
					panels[(k / 2 * INT16_COLUMNS + c) * 2 + k % 2] = first[k * k_stride + c * c_stride];
	}
}

float int16_row(const float *x, size_t K, int16_t *a)
{
	float most = (float)(INT32_MAX / 128 / (K ? K : 1)), largest = 0, check = 0;

	if (most > 32767)
		most = 32767;
#pragma omp simd reduction(max : largest) reduction(+ : check)
	for (size_t i = 0; i < K; i++) {
		largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
		check += 0 * x[i];
	}
	if (check != 0) {
		memset(a, 0, int16_inner(K) * sizeof *a);
		return NAN;
	}
	float inverse = most / largest;
	if (isinf(inverse)) /* 0, or so small that it makes no difference */
		inverse = 0;
#pragma omp simd
	for (size_t i = 0; i < K; i++)
		a[i] = (int16_t)(int32_t)rintf(x[i] * inverse);
	memset(a + K, 0, (int16_inner(K) - K) * sizeof *a);
	return largest / most;
}

size_t int16_scratch(size_t K)
{
	return int16_inner(K) * INT16_COLUMNS;
}

static void widen(const int8_t *panel, size_t inner, int16_t *wide)
{
	for (size_t i = 0; i < inner * INT16_COLUMNS; i += 16)
		_mm256_store_si256((__m256i *)(wide + i), _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(panel + i))));
}

static inline __m256i pair_of(const int16_t *a)
{
	int32_t pair;

	memcpy(&pair, a, sizeof pair);
	return _mm256_set1_epi32(pair);
}

/* y[n,16] = a[n,inner] panel, for n known when compiling */
static inline __attribute__((always_inline)) void tile(const int16_t *a, size_t n, size_t inner, const int16_t *wide, int32_t *y,
						       size_t stride)
{
	__m256i low[TILE_ROWS], high[TILE_ROWS];

	for (size_t r = 0; r < n; r++)
		low[r] = high[r] = _mm256_setzero_si256();
	for (size_t k = 0; k < inner; k += 2, wide += 2 * INT16_COLUMNS) {
		__m256i b0 = _mm256_load_si256((const __m256i *)wide), b1 = _mm256_load_si256((const __m256i *)(wide + 16));
#pragma GCC unroll 6
		for (size_t r = 0; r < n; r++) {
			__m256i pair = pair_of(a + r * inner + k);
			low[r] = _mm256_add_epi32(low[r], _mm256_madd_epi16(pair, b0));
			high[r] = _mm256_add_epi32(high[r], _mm256_madd_epi16(pair, b1));
		}
	}
	for (size_t r = 0; r < n; r++) {
		_mm256_storeu_si256((__m256i *)(y + r * stride), low[r]);
		_mm256_storeu_si256((__m256i *)(y + r * stride + 8), high[r]);
	}
}

void int16_product(const int16_t *a, size_t rows, size_t K, const int8_t *panels, size_t columns, int16_t *scratch, int32_t *y)
{
	size_t inner = int16_inner(K), stride = int16_columns(columns);

	for (size_t c = 0; c < columns; c += INT16_COLUMNS, panels += inner * INT16_COLUMNS) {
		size_t r = 0;
		widen(panels, inner, scratch);
		for (; r + TILE_ROWS <= rows; r += TILE_ROWS)
			tile(a + r * inner, TILE_ROWS, inner, scratch, y + r * stride + c, stride);
		for (; r < rows; r++)
			tile(a + r * inner, 1, inner, scratch, y + r * stride + c, stride);
	}
}

void int16_plain(const int16_t *a, size_t rows, size_t K, const int8_t *bytes, size_t columns, size_t k_stride, size_t c_stride,
		 int32_t *y)
{
	for (size_t r = 0; r < rows; r++)
		for (size_t c = 0; c < int16_columns(columns); c++) {
			int64_t sum = 0;
			for (size_t k = 0; k < K && c < columns; k++)
				sum += (int64_t)a[r * int16_inner(K) + k] * bytes[k * k_stride + c * c_stride];
			y[r * int16_columns(columns) + c] = (int32_t)sum;
		}
}
