/* resize.c: Pillow's bicubic resampling, to the bit: two passes in 8-bit fixed point, horizontal first, rounded between
 * them; widened where the picture shrinks, so that nothing aliases. Only the wanted window is computed, and
 * of the first pass only the rows that the second one reads.
 *
 * Sums are of 32-bit integers and exact in any order, so the fast passes cannot differ from plain loops. The weights are
 * computed in double and must round as Pillow's do: no multiply and add is fused in this file.
 */
#pragma GCC optimize("fp-contract=off")

#include <immintrin.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/image/codec.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { PRECISION = 32 - 8 - 2 }; /* bits behind the point: a weight may exceed 1, and a sum leave 0..255, by a factor of 2 */

/* How n outputs are made from a line of inputs: output i is the sum over its taps of weight times input first[i] + tap.
 * Processors multiply 16-bit numbers four times as fast as 32-bit ones, and add up pairs on the way: a weight is high * 256 + low. */
struct taps {
	size_t most;     /* weights kept for each output, a multiple of GROUP; those beyond count are 0 */
	size_t *first, *count; /* [n] */
	int32_t *weight; /* [n,most] */
	int16_t *high, *low; /* [n,most] */
};

enum { GROUP = 4, ROWS = 4 }; /* taps of a step; rows that pass the same taps side by side */

static void taps_release(struct taps *taps)
{
	free(taps->first);
	free(taps->count);
	free(taps->weight);
	free(taps->high);
	free(taps->low);
}

/* Keys's cubic with a = -1/2. */
static double bicubic(double x)
{
	const double a = -0.5;

	x = fabs(x);
	if (x < 1)
		return ((a + 2) * x - (a + 3)) * x * x + 1;
	if (x < 2)
		return (((x - 5) * x + 8) * x - 4) * a;
	return 0;
}

/* The weights of one output, centred at centre, over count inputs from first; scratch[count]. */
static void weigh(size_t first, size_t count, double centre, double shrink, double *scratch, int32_t *weight)
{
	double total = 0, narrow = 1 / shrink;

	for (size_t t = 0; t < count; t++) {
		scratch[t] = bicubic(((double)(t + first) - centre + 0.5) * narrow);
		total += scratch[t];
	}
	for (size_t t = 0; t < count; t++) {
		double w = (total != 0 ? scratch[t] / total : scratch[t]) * (1 << PRECISION);
		weight[t] = (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
	}
}

/* Outputs start .. start + n of `full`, which `size` inputs become. */
static enum status taps_init(struct taps *taps, size_t size, size_t full, size_t start, size_t n, struct err *err)
{
	double scale = (double)size / (double)full, shrink = scale < 1 ? 1 : scale, support = 2 * shrink;
	double *scratch;

	taps->most = ((size_t)ceil(support) * 2 + 2 + GROUP - 1) / GROUP * GROUP;
	taps->first = mem_array(n, sizeof *taps->first);
	taps->count = mem_array(n, sizeof *taps->count);
	taps->weight = mem_array(mem_product(n, taps->most), sizeof *taps->weight);
	taps->high = mem_array(mem_product(n, taps->most), sizeof *taps->high);
	taps->low = mem_array(mem_product(n, taps->most), sizeof *taps->low);
	scratch = mem_array(taps->most, sizeof *scratch);
	if (!taps->first || !taps->count || !taps->weight || !taps->high || !taps->low || !scratch) {
		free(scratch);
		return err_memory(err, "resizing a picture");
	}
	for (size_t i = 0; i < n; i++) {
		double centre = ((double)(start + i) + 0.5) * scale, from = centre - support + 0.5, to = centre + support + 0.5;
		size_t first = from < 0 ? 0 : (size_t)from, end = to > (double)size ? size : (size_t)to;
		taps->first[i] = first;
		taps->count[i] = end - first;
		weigh(first, end - first, centre, shrink, scratch, taps->weight + i * taps->most);
	}
	for (size_t i = 0; i < n * taps->most; i++) {
		taps->high[i] = (int16_t)(taps->weight[i] >> 8); /* no weight comes near 2 */
		taps->low[i] = (int16_t)(taps->weight[i] & 0xff);
	}
	free(scratch);
	return STATUS_OK;
}

static uint8_t clip(int32_t sum)
{
	sum >>= PRECISION;
	return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* One output pixel from a row, in plain arithmetic: for where sixteen bytes cannot be read at once. */
static void pixel_plain(const uint8_t *from, const int32_t *weight, size_t count, uint8_t *to)
{
	for (int c = 0; c < 3; c++) {
		int32_t sum = 1 << (PRECISION - 1);
		for (size_t t = 0; t < count; t++)
			sum += from[3 * t + (size_t)c] * weight[t];
		to[c] = clip(sum);
	}
}

/* The same pixel of n rows, stride bytes apart in both. A step takes four taps: r r g g b b - - of two pixels in the lower half, of the
 * next two in the upper. Reads 16 bytes for each four taps, those beyond count, too: up to 13 bytes beyond the last pixel. */
static inline void pixel_fast(const uint8_t *from, size_t from_stride, size_t n, const int16_t *high, const int16_t *low, size_t count,
			      uint8_t *to, size_t to_stride)
{
	const __m256i spread = _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, 6, -1, 9, -1, 7, -1, 10, -1, 8, -1,
						11, -1, -1, -1, -1, -1);
	const __m256i halves = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
	__m256i highs[ROWS], lows[ROWS];

	for (size_t r = 0; r < n; r++)
		highs[r] = lows[r] = _mm256_setzero_si256();
	for (size_t t = 0; t < count; t += GROUP) {
		__m256i h = _mm256_castsi128_si256(_mm_loadl_epi64((const __m128i *)(const void *)(high + t)));
		__m256i l = _mm256_castsi128_si256(_mm_loadl_epi64((const __m128i *)(const void *)(low + t)));
		h = _mm256_permutevar8x32_epi32(h, halves);
		l = _mm256_permutevar8x32_epi32(l, halves);
		for (size_t r = 0; r < n; r++) {
			__m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(from + r * from_stride + 3 * t));
			__m256i pixels = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), spread);
			highs[r] = _mm256_add_epi32(highs[r], _mm256_madd_epi16(pixels, h));
			lows[r] = _mm256_add_epi32(lows[r], _mm256_madd_epi16(pixels, l));
		}
	}
	for (size_t r = 0; r < n; r++) {
		__m256i sum = _mm256_add_epi32(_mm256_slli_epi32(highs[r], 8), lows[r]);
		__m128i both = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
		both = _mm_srai_epi32(_mm_add_epi32(both, _mm_set1_epi32(1 << (PRECISION - 1))), PRECISION);
		both = _mm_packus_epi16(_mm_packs_epi32(both, both), both);
		uint32_t rgb = (uint32_t)_mm_cvtsi128_si32(both);
		to[r * to_stride] = (uint8_t)rgb;
		to[r * to_stride + 1] = (uint8_t)(rgb >> 8);
		to[r * to_stride + 2] = (uint8_t)(rgb >> 16);
	}
}

/* count rows, rows[count,width,3] -> out[count,n,3]; readable: bytes of the picture from rows on. */
static void pass_across(const uint8_t *rows, size_t count, size_t width, size_t readable, const struct taps *taps, size_t n, uint8_t *out)
{
	for (size_t i = 0; i < n; i++) {
		size_t first = taps->first[i], used = taps->count[i], at = i * taps->most, groups = (used + GROUP - 1) / GROUP;
		size_t end = 3 * (width * (count - 1) + first + GROUP * groups) + 4;
		if (end <= readable && count == ROWS)
			pixel_fast(rows + 3 * first, 3 * width, ROWS, taps->high + at, taps->low + at, used, out + 3 * i, 3 * n);
		else if (end <= readable)
			pixel_fast(rows + 3 * first, 3 * width, count, taps->high + at, taps->low + at, used, out + 3 * i, 3 * n);
		else
			for (size_t r = 0; r < count; r++)
				pixel_plain(rows + 3 * (r * width + first), taps->weight + at, used, out + 3 * (r * n + i));
	}
}

/* 32 values of count rows, stride bytes apart: two rows a step, their values side by side. */
static void values_fast(const uint8_t *from, size_t stride, const int16_t *high, const int16_t *low, size_t count, uint8_t *to)
{
	const __m256i zero = _mm256_setzero_si256(), half = _mm256_set1_epi32(1 << (PRECISION - 1));
	__m256i highs[4] = {zero, zero, zero, zero}, lows[4] = {zero, zero, zero, zero};

	for (size_t t = 0; t < count; t += 2) {
		size_t next = t + 1 < count ? t + 1 : t; /* times 0 */
		__m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(from + t * stride));
		__m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(from + next * stride));
		__m256i left = _mm256_unpacklo_epi8(a, b), right = _mm256_unpackhi_epi8(a, b);
		__m256i pairs[4] = {_mm256_unpacklo_epi8(left, zero), _mm256_unpackhi_epi8(left, zero),
				    _mm256_unpacklo_epi8(right, zero), _mm256_unpackhi_epi8(right, zero)};
		__m256i h = _mm256_set1_epi32((int32_t)((uint32_t)(uint16_t)high[t + 1] << 16 | (uint16_t)high[t]));
		__m256i l = _mm256_set1_epi32((int32_t)((uint32_t)(uint16_t)low[t + 1] << 16 | (uint16_t)low[t]));
		for (int i = 0; i < 4; i++) {
			highs[i] = _mm256_add_epi32(highs[i], _mm256_madd_epi16(pairs[i], h));
			lows[i] = _mm256_add_epi32(lows[i], _mm256_madd_epi16(pairs[i], l));
		}
	}
	for (int i = 0; i < 4; i++) {
		__m256i sum = _mm256_add_epi32(_mm256_slli_epi32(highs[i], 8), lows[i]);
		highs[i] = _mm256_srai_epi32(_mm256_add_epi32(sum, half), PRECISION);
	}
	__m256i bytes = _mm256_packus_epi16(_mm256_packs_epi32(highs[0], highs[1]), _mm256_packs_epi32(highs[2], highs[3]));
	_mm256_storeu_si256((__m256i *)(void *)to, bytes);
}

/* count rows of values bytes each -> out[values], by output i's taps. */
static void pass_down(const uint8_t *rows, size_t values, const struct taps *taps, size_t i, uint8_t *out)
{
	enum { BLOCK = 32 };
	size_t at = i * taps->most, v = 0;

	for (; v + BLOCK <= values; v += BLOCK)
		values_fast(rows + v, values, taps->high + at, taps->low + at, taps->count[i], out + v);
	for (; v < values; v++) {
		int32_t sum = 1 << (PRECISION - 1);
		for (size_t t = 0; t < taps->count[i]; t++)
			sum += rows[t * values + v] * taps->weight[at + t];
		out[v] = clip(sum);
	}
}

enum status image_resample(const struct image *image, const struct image_window *window, uint8_t *rgb, struct err *err)
{
	struct taps across = {0}, down = {0};
	size_t values = 3 * window->width;
	uint8_t *middle = NULL; /* [rows,window->width,3] */
	enum status status = taps_init(&across, image->width, window->full_width, window->left, window->width, err);

	if (status == STATUS_OK)
		status = taps_init(&down, image->height, window->full_height, window->top, window->height, err);
	if (status != STATUS_OK)
		goto out;
	size_t last = window->height - 1, start = down.first[0], rows = down.first[last] + down.count[last] - start;
	middle = mem_array(rows, values);
	if (!middle) {
		status = err_memory(err, "resizing a picture");
		goto out;
	}
	size_t across_row = 3 * image->width;
	for (size_t y = 0; y < rows; y += ROWS) {
		size_t count = rows - y < ROWS ? rows - y : ROWS;
		const uint8_t *row = image->rgb + across_row * (start + y);
		if (image->width != window->full_width)
			pass_across(row, count, image->width, across_row * (image->height - start - y), &across, window->width,
				    middle + y * values);
		else /* Pillow leaves out a pass that changes nothing */
			for (size_t r = 0; r < count; r++)
				memcpy(middle + (y + r) * values, row + r * across_row + 3 * window->left, values);
	}
	for (size_t y = 0; y < window->height; y++) {
		if (image->height == window->full_height)
			memcpy(rgb + y * values, middle + (window->top + y - start) * values, values);
		else
			pass_down(middle + (down.first[y] - start) * values, values, &down, y, rgb + y * values);
	}
out:
	taps_release(&across);
	taps_release(&down);
	free(middle);
	return status;
}
