/* image_resize.c: Pillow's bicubic resampling, to the bit: two passes in 8-bit fixed point, horizontal first, rounded between
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

#include "model/image_codec.h"
#include "schema/memory.h"

#include "schema/banned.h"

enum { PRECISION = 32 - 8 - 2 }; /* bits behind the point: a weight may exceed 1, and a sum leave 0..255, by a factor of 2 */

/* How n outputs are made from a line of inputs: output i is the sum over its taps of weight times input first[i] + tap. */
struct taps {
	size_t most;     /* weights kept for each output, even; those beyond count are 0 */
	size_t *first, *count; /* [n] */
	int32_t *weight; /* [n,most] */
};

static void taps_release(struct taps *taps)
{
	free(taps->first);
	free(taps->count);
	free(taps->weight);
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

	taps->most = (size_t)ceil(support) * 2 + 2;
	taps->first = mem_array(n, sizeof *taps->first);
	taps->count = mem_array(n, sizeof *taps->count);
	taps->weight = mem_array(mem_product(n, taps->most), sizeof *taps->weight);
	scratch = mem_array(taps->most, sizeof *scratch);
	if (!taps->first || !taps->count || !taps->weight || !scratch) {
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
	free(scratch);
	return STATUS_OK;
}

static uint8_t clip(int32_t sum)
{
	sum >>= PRECISION;
	return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* One output pixel from a row, in plain arithmetic: for where eight bytes cannot be read at once. */
static void pixel_plain(const uint8_t *from, const int32_t *weight, size_t count, uint8_t *to)
{
	for (int c = 0; c < 3; c++) {
		int32_t sum = 1 << (PRECISION - 1);
		for (size_t t = 0; t < count; t++)
			sum += from[3 * t + (size_t)c] * weight[t];
		to[c] = clip(sum);
	}
}

/* The same, two taps a step: r g b - of one pixel in the lower half, of the next in the upper. Reads 8 bytes for each pair of taps,
 * the padding one too, so up to 5 bytes beyond the last pixel. */
static void pixel_fast(const uint8_t *from, const int32_t *weight, size_t count, uint8_t *to)
{
	const __m128i spread = _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, -1, -1, -1, -1, -1, -1, -1, -1);
	const __m256i pair = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
	__m256i sum = _mm256_setzero_si256();

	for (size_t t = 0; t < count; t += 2) {
		__m128i bytes = _mm_shuffle_epi8(_mm_loadl_epi64((const __m128i *)(const void *)(from + 3 * t)), spread);
		__m256i weights = _mm256_castsi128_si256(_mm_loadl_epi64((const __m128i *)(const void *)(weight + t)));
		weights = _mm256_permutevar8x32_epi32(weights, pair);
		sum = _mm256_add_epi32(sum, _mm256_mullo_epi32(_mm256_cvtepu8_epi32(bytes), weights));
	}
	__m128i both = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
	both = _mm_srai_epi32(_mm_add_epi32(both, _mm_set1_epi32(1 << (PRECISION - 1))), PRECISION);
	both = _mm_packus_epi16(_mm_packs_epi32(both, both), both);
	uint32_t rgb = (uint32_t)_mm_cvtsi128_si32(both);
	to[0] = (uint8_t)rgb;
	to[1] = (uint8_t)(rgb >> 8);
	to[2] = (uint8_t)(rgb >> 16);
}

/* row[width,3] -> out[n,3] */
static void pass_across(const uint8_t *row, size_t width, const struct taps *taps, size_t n, uint8_t *out)
{
	for (size_t i = 0; i < n; i++) {
		size_t first = taps->first[i], count = taps->count[i];
		const int32_t *weight = taps->weight + i * taps->most;
		if (first + count + 2 <= width)
			pixel_fast(row + 3 * first, weight, count, out + 3 * i);
		else
			pixel_plain(row + 3 * first, weight, count, out + 3 * i);
	}
}

/* count rows of values bytes each -> out[values]; sums[values] is scratch. */
static void pass_down(const uint8_t *rows, size_t values, const int32_t *weight, size_t count, int32_t *sums, uint8_t *out)
{
	for (size_t v = 0; v < values; v++)
		sums[v] = 1 << (PRECISION - 1);
	for (size_t t = 0; t < count; t++) {
		const uint8_t *row = rows + t * values;
		int32_t w = weight[t];
		for (size_t v = 0; v < values; v++)
			sums[v] += row[v] * w;
	}
	for (size_t v = 0; v < values; v++)
		out[v] = clip(sums[v]);
}

enum status image_resample(const struct image *image, const struct image_window *window, uint8_t *rgb, struct err *err)
{
	struct taps across = {0}, down = {0};
	size_t values = 3 * window->width;
	uint8_t *middle = NULL; /* [rows,window->width,3] */
	int32_t *sums = NULL;
	enum status status = taps_init(&across, image->width, window->full_width, window->left, window->width, err);

	if (status == STATUS_OK)
		status = taps_init(&down, image->height, window->full_height, window->top, window->height, err);
	if (status != STATUS_OK)
		goto out;
	size_t last = window->height - 1, start = down.first[0], rows = down.first[last] + down.count[last] - start;
	middle = mem_array(rows, values);
	sums = mem_array(values, sizeof *sums);
	if (!middle || !sums) {
		status = err_memory(err, "resizing a picture");
		goto out;
	}
	for (size_t y = 0; y < rows; y++) {
		const uint8_t *row = image->rgb + 3 * image->width * (start + y);
		if (image->width == window->full_width) /* Pillow leaves out a pass that changes nothing */
			memcpy(middle + y * values, row + 3 * window->left, values);
		else
			pass_across(row, image->width, &across, window->width, middle + y * values);
	}
	for (size_t y = 0; y < window->height; y++) {
		const uint8_t *first = middle + (down.first[y] - start) * values;
		if (image->height == window->full_height)
			memcpy(rgb + y * values, middle + (window->top + y - start) * values, values);
		else
			pass_down(first, values, down.weight + y * down.most, down.count[y], sums, rgb + y * values);
	}
out:
	taps_release(&across);
	taps_release(&down);
	free(middle);
	free(sums);
	return status;
}
