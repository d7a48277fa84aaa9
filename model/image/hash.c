/* hash.c: a perceptual hash: the signs of low frequencies. Pictures that look the same differ in few bits: scaled, compressed,
 * brightened; not turned, mirrored or cropped.
 *
 *     32 x 32 luma -> cosine transform -> 8 x 8 lowest frequencies but the constant rows -> above their median: 1
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/image/codec.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { SIDE = 32, KEPT = 8 };

/* out[KEPT,SIDE]: each column's frequencies 1..KEPT. */
static void transform(const float *columns /* [SIDE,n] */, size_t n, float *out /* [KEPT,n] */)
{
	for (size_t k = 0; k < KEPT; k++)
		for (size_t x = 0; x < n; x++) {
			double sum = 0;
			for (size_t y = 0; y < SIDE; y++)
				sum += (double)columns[y * n + x] * cos(M_PI * (double)((2 * y + 1) * (k + 1)) / (2 * SIDE));
			out[k * n + x] = (float)sum;
		}
}

static int ascending(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;
	return (x > y) - (x < y);
}

/* The resampling below takes memory by the longer side. One beyond this is averaged down first; no camera's picture is. */
enum { SIDE_MOST = 1 << 17 };

/* Means of blocks of fx x fy pixels; what is left over at the ends is left out. */
static enum status average(const struct image *image, size_t fx, size_t fy, struct image *out, struct err *err)
{
	*out = (struct image){.width = image->width / fx, .height = image->height / fy};
	out->rgb = mem_array(mem_product(out->width, out->height), 3);
	if (!out->rgb)
		return err_memory(err, "a smaller picture");
	for (size_t y = 0; y < out->height; y++)
		for (size_t x = 0; x < out->width; x++)
			for (size_t c = 0; c < 3; c++) {
				uint64_t sum = 0;
				for (size_t k = 0; k < fx * fy; k++)
					sum += image->rgb[3 * ((y * fy + k / fx) * image->width + x * fx + k % fx) + c];
				out->rgb[3 * (y * out->width + x) + c] = (uint8_t)(sum / (fx * fy));
			}
	return STATUS_OK;
}

enum status image_hash(const struct image *image, uint64_t *hash, struct err *err)
{
	const struct image_window all = {SIDE, SIDE, 0, 0, SIDE, SIDE};
	uint8_t rgb[3 * SIDE * SIDE];
	float luma[SIDE * SIDE], down[KEPT * SIDE], turned[SIDE * KEPT], low[KEPT * KEPT], sorted[KEPT * KEPT];
	size_t fx = (image->width + SIDE_MOST - 1) / SIDE_MOST, fy = (image->height + SIDE_MOST - 1) / SIDE_MOST;
	struct image small = {0};
	enum status status = fx > 1 || fy > 1 ? average(image, fx, fy, &small, err) : STATUS_OK;

	if (status == STATUS_OK)
		status = image_resample(small.rgb ? &small : image, &all, rgb, err);
	image_release(&small);
	*hash = 0;
	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < SIDE * SIDE; i++)
		luma[i] = 0.299f * (float)rgb[3 * i] + 0.587f * (float)rgb[3 * i + 1] + 0.114f * (float)rgb[3 * i + 2];
	transform(luma, SIDE, down);
	for (size_t k = 0; k < KEPT; k++)
		for (size_t x = 0; x < SIDE; x++)
			turned[x * KEPT + k] = down[k * SIDE + x];
	transform(turned, KEPT, low);
	memcpy(sorted, low, sizeof sorted);
	qsort(sorted, KEPT * KEPT, sizeof *sorted, ascending);
	float median = (sorted[KEPT * KEPT / 2 - 1] + sorted[KEPT * KEPT / 2]) / 2;
	for (size_t i = 0; i < KEPT * KEPT; i++)
		*hash |= (uint64_t)(low[i] > median) << i;
	return STATUS_OK;
}
