/* codes.c: see codes.h. With one query the kernels wait for memory, and read it in order: in any other order it takes
 * twice as long. With several queries, each part of a row that was loaded meets four of them. Products of 8 by 8 bits would be no quicker
 * for one query, and lose its precision. */
#include "schema/vectors/codes.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "schema/base/banned.h"

enum {
	CODE_MOST = 127,
	TOGETHER = 4, /* queries, or rows */
	AHEAD = 1024  /* bytes that are fetched before their use; a prefetch beyond the end does nothing */
};

size_t codes_stride(size_t dim)
{
	return (dim + CODES_ALIGNMENT - 1) / CODES_ALIGNMENT * CODES_ALIGNMENT;
}

static float largest(const float *x, size_t n)
{
	float most = 0;

	for (size_t i = 0; i < n; i++)
		most = fmaxf(most, fabsf(x[i]));
	return most;
}

/* The length of what rounding took away, rounded up itself. */
static float upwards(double square)
{
	return (float)(sqrt(square) * (1 + 1e-6));
}

float codes_encode(const float *row, size_t dim, int8_t *codes, float *scale)
{
	float step = largest(row, dim) / CODE_MOST, inverse = step > 0 ? 1 / step : 0;
	double square = 0;

	memset(codes, 0, codes_stride(dim));
	for (size_t i = 0; i < dim; i++) {
		codes[i] = (int8_t)fminf(CODE_MOST, fmaxf(-CODE_MOST, rintf(row[i] * inverse)));
		double error = (double)row[i] - (double)step * codes[i];
		square += error * error;
	}
	*scale = step;
	return upwards(square);
}

void codes_query(const float *query, size_t dim, int16_t *coded, float *step, float *error)
{
	size_t stride = codes_stride(dim), bound = INT32_MAX / (CODE_MOST * stride);
	float most = (float)(bound < INT16_MAX ? bound : INT16_MAX);
	float s = largest(query, dim) / most, inverse = s > 0 ? 1 / s : 0;
	double square = 0;

	memset(coded, 0, stride * sizeof *coded);
	for (size_t i = 0; i < dim; i++) {
		coded[i] = (int16_t)fminf(most, fmaxf(-most, rintf(query[i] * inverse)));
		double lost = (double)query[i] - (double)s * coded[i];
		square += lost * lost;
	}
	*step = s;
	*error = upwards(square);
}

/* --- the plain twin --- */

static void dot_plain(const int8_t *codes, size_t rows, size_t stride, const int16_t *queries, size_t n, int32_t *dots)
{
	for (size_t q = 0; q < n; q++)
		for (size_t r = 0; r < rows; r++) {
			int32_t sum = 0;
			for (size_t i = 0; i < stride; i++)
				sum += codes[r * stride + i] * queries[q * stride + i];
			dots[q * rows + r] = sum;
		}
}

/* --- AVX2 --- */

static inline __m256i load_16(const int8_t *codes)
{
	return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)codes));
}

static inline __m256i add_products(__m256i sum, __m256i codes, __m256i query)
{
	return _mm256_add_epi32(sum, _mm256_madd_epi16(codes, query));
}

/* The sums over each of four registers. */
static inline __m128i sums_of(__m256i a, __m256i b, __m256i c, __m256i d)
{
	__m256i s = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));

	return _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
}

/* The products of a row and a query[S], in eight sums. */
static inline __m256i row_by_query(const int8_t *row, size_t stride, const int16_t *query)
{
	__m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};

	for (size_t i = 0; i < stride; i += CODES_ALIGNMENT) {
		_mm_prefetch((const char *)row + i + AHEAD, _MM_HINT_T0);
		for (size_t j = 0; j < CODES_ALIGNMENT; j += 16)
			sums[j / 16 % 2] = add_products(sums[j / 16 % 2], load_16(row + i + j), _mm256_loadu_si256((const __m256i *)(query + i + j)));
	}
	return _mm256_add_epi32(sums[0], sums[1]);
}

/* dots[4] of a row and four queries, which lie apart[S]. */
static inline __m128i row_by_queries(const int8_t *row, size_t stride, const int16_t *queries)
{
	__m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;

	for (size_t i = 0; i < stride; i += 16) {
		__m256i r = load_16(row + i);
		a = add_products(a, r, _mm256_loadu_si256((const __m256i *)(queries + i)));
		b = add_products(b, r, _mm256_loadu_si256((const __m256i *)(queries + stride + i)));
		c = add_products(c, r, _mm256_loadu_si256((const __m256i *)(queries + 2 * stride + i)));
		d = add_products(d, r, _mm256_loadu_si256((const __m256i *)(queries + 3 * stride + i)));
	}
	return sums_of(a, b, c, d);
}

/* dots[4] of four rows, one after the other: memory is read in order. (A call's arguments are not evaluated in order.) */
static inline __m128i rows_by_query(const int8_t *rows, size_t stride, const int16_t *query)
{
	__m256i sums[TOGETHER];

	for (size_t j = 0; j < TOGETHER; j++)
		sums[j] = row_by_query(rows + j * stride, stride, query);
	return sums_of(sums[0], sums[1], sums[2], sums[3]);
}

static void dot_avx2(const int8_t *codes, size_t rows, size_t stride, const int16_t *queries, size_t n, int32_t *dots)
{
	int32_t four[TOGETHER];
	size_t q = 0;

	for (; q + TOGETHER <= n; q += TOGETHER)
		for (size_t r = 0; r < rows; r++) {
			_mm_storeu_si128((__m128i *)four, row_by_queries(codes + r * stride, stride, queries + q * stride));
			for (size_t j = 0; j < TOGETHER; j++)
				dots[(q + j) * rows + r] = four[j];
		}
	for (; q < n; q++) {
		const int16_t *query = queries + q * stride;
		size_t r = 0;
		for (; r + TOGETHER <= rows; r += TOGETHER)
			_mm_storeu_si128((__m128i *)(dots + q * rows + r), rows_by_query(codes + r * stride, stride, query));
		for (; r < rows; r++) {
			__m256i sums = row_by_query(codes + r * stride, stride, query);
			dots[q * rows + r] = _mm_cvtsi128_si32(sums_of(sums, sums, sums, sums));
		}
	}
}

/* --- AVX-512 with VNNI --- */

#define VNNI __attribute__((target("avx512f,avx512bw,avx512vnni")))

VNNI static inline __m512i load_32(const int8_t *codes)
{
	return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)codes));
}

VNNI static void dot_vnni(const int8_t *codes, size_t rows, size_t stride, const int16_t *queries, size_t n, int32_t *dots)
{
	size_t q = 0;

	for (; q + TOGETHER <= n; q += TOGETHER)
		for (size_t r = 0; r < rows; r++) {
			__m512i sums[TOGETHER] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
			for (size_t i = 0; i < stride; i += 32) {
				__m512i row = load_32(codes + r * stride + i);
				for (size_t j = 0; j < TOGETHER; j++)
					sums[j] = _mm512_dpwssd_epi32(sums[j], row, _mm512_loadu_si512(queries + (q + j) * stride + i));
			}
			for (size_t j = 0; j < TOGETHER; j++)
				dots[(q + j) * rows + r] = _mm512_reduce_add_epi32(sums[j]);
		}
	for (; q < n; q++)
		for (size_t r = 0; r < rows; r++) {
			__m512i sums[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()}; /* a stride is two registers, or more */
			for (size_t i = 0; i < stride; i += CODES_ALIGNMENT) {
				_mm_prefetch((const char *)codes + r * stride + i + AHEAD, _MM_HINT_T0);
				for (size_t j = 0; j < 2; j++)
					sums[j] = _mm512_dpwssd_epi32(sums[j], load_32(codes + r * stride + i + 32 * j),
								      _mm512_loadu_si512(queries + q * stride + i + 32 * j));
			}
			dots[q * rows + r] = _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1]));
		}
}

/* --- choosing --- */

static const struct codes_kernel kernels[] = {{"plain", dot_plain}, {"AVX2", dot_avx2}, {"AVX-512 VNNI", dot_vnni}};

const struct codes_kernel *codes_kernels(size_t *n)
{
	*n = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni") ? 3 : 2; /* the build requires AVX2 */
	return kernels;
}

const struct codes_kernel *codes_kernel(void)
{
	size_t n;
	const struct codes_kernel *all = codes_kernels(&n);

	return &all[n - 1];
}
