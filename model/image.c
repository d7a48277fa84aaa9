/* image.c: see image.h. Knows which codec reads what, limits, EXIF orientation and the geometry of crops; the codecs are in
 * image_jpeg.c, image_png.c and image_webp.c, the resampling in image_resize.c.
 */
#include "model/image.h"

#include <stdlib.h>
#include <string.h>

#include "model/image_codec.h"
#include "schema/memory.h"

#include "schema/banned.h"

const char *image_format_name(enum image_format format)
{
	switch (format) {
	case IMAGE_JPEG:
		return "jpeg";
	case IMAGE_PNG:
		return "png";
	case IMAGE_WEBP:
		return "webp";
	case IMAGE_UNKNOWN:
		break;
	}
	return "unknown";
}

struct signature {
	enum image_format format; /* IMAGE_UNKNOWN: one that we can only name */
	size_t at, size;
	const char *magic, *name;
};

static const struct signature signatures[] = {
	{IMAGE_JPEG, 0, 3, "\xff\xd8\xff", "JPEG"},
	{IMAGE_PNG, 0, 8, "\x89PNG\r\n\x1a\n", "PNG"},
	{IMAGE_WEBP, 8, 4, "WEBP", "WebP"},
	{IMAGE_UNKNOWN, 0, 4, "GIF8", "GIF"},
	{IMAGE_UNKNOWN, 0, 4, "II*\0", "TIFF (or camera raw)"},
	{IMAGE_UNKNOWN, 0, 4, "MM\0*", "TIFF (or camera raw)"},
	{IMAGE_UNKNOWN, 0, 2, "BM", "BMP"},
	{IMAGE_UNKNOWN, 0, 2, "\xff\x0a", "JPEG XL"},
	{IMAGE_UNKNOWN, 4, 8, "JXL \r\n\x87\n", "JPEG XL"},
	{IMAGE_UNKNOWN, 4, 8, "jP  \r\n\x87\n", "JPEG 2000"},
	{IMAGE_UNKNOWN, 4, 8, "ftypavif", "AVIF"},
	{IMAGE_UNKNOWN, 4, 8, "ftypheic", "HEIC"},
	{IMAGE_UNKNOWN, 4, 8, "ftypheix", "HEIC"},
	{IMAGE_UNKNOWN, 4, 8, "ftypmif1", "HEIF"},
	{IMAGE_UNKNOWN, 4, 8, "ftypmsf1", "HEIF"},
	{IMAGE_UNKNOWN, 0, 4, "8BPS", "Photoshop"},
};

static enum status identify(const uint8_t *bytes, size_t size, enum image_format *format, struct err *err)
{
	*format = IMAGE_UNKNOWN;
	if (!size)
		return err_set(err, STATUS_FORMAT, "the file is empty");
	for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
		const struct signature *s = &signatures[i];
		if (size < s->at + s->size || memcmp(bytes + s->at, s->magic, s->size) != 0)
			continue;
		if (s->format == IMAGE_WEBP && memcmp(bytes, "RIFF", 4) != 0)
			continue;
		*format = s->format;
		if (s->format != IMAGE_UNKNOWN)
			return STATUS_OK;
		return err_set(err, STATUS_UNSUPPORTED, "%s pictures are not supported; hint: convert it to JPEG, PNG or WebP", s->name);
	}
	return err_set(err, STATUS_UNSUPPORTED, "not a JPEG, PNG or WebP picture");
}

/* The tag Orientation in the first directory of a TIFF block. EXIF says it is one SHORT; other integers are seen in the wild. */
int image_exif_orientation(const uint8_t *tiff, size_t size)
{
	enum { HEADER = 8, ENTRY = 12, TAG = 0x0112, BYTE = 1, SHORT = 3, LONG = 4 };

	if (size < HEADER || (memcmp(tiff, "II*\0", 4) != 0 && memcmp(tiff, "MM\0*", 4) != 0))
		return 1;
	bool little = tiff[0] == 'I';
#define U16(p) (little ? (uint32_t)((p)[0] | (p)[1] << 8) : (uint32_t)((p)[0] << 8 | (p)[1]))
#define U32(p) (little ? U16(p) | U16((p) + 2) << 16 : U16(p) << 16 | U16((p) + 2))
	size_t at = U32(tiff + 4);
	if (at > size || size - at < 2)
		return 1;
	size_t entries = U16(tiff + at), room = (size - at - 2) / ENTRY;
	const uint8_t *entry = tiff + at + 2;
	for (size_t i = 0; i < entries && i < room; i++, entry += ENTRY) {
		if (U16(entry) != TAG)
			continue;
		uint32_t type = U16(entry + 2), value = type == SHORT ? U16(entry + 8) : type == LONG ? U32(entry + 8) : entry[8];
		bool known = type == SHORT || type == LONG || type == BYTE;
		return known && value >= 1 && value <= 8 ? (int)value : 1;
	}
#undef U16
#undef U32
	return 1;
}

/* As image_probe, but width and height as stored. */
static enum status probe_stored(const uint8_t *bytes, size_t size, struct image_info *info, struct err *err)
{
	*info = (struct image_info){.orientation = 1};
	enum status status = identify(bytes, size, &info->format, err);
	if (status != STATUS_OK)
		return status;
	if (info->format == IMAGE_JPEG)
		status = image_jpeg_probe(bytes, size, info, err);
	else if (info->format == IMAGE_PNG)
		status = image_png_probe(bytes, size, info, err);
	else
		status = image_webp_probe(bytes, size, info, err);
	if (status == STATUS_OK && info->exif)
		info->orientation = image_exif_orientation(info->exif, info->exif_size);
	return status;
}

static void swap_sides(size_t *width, size_t *height)
{
	size_t old = *width;
	*width = *height;
	*height = old;
}

enum status image_probe(const uint8_t *bytes, size_t size, struct image_info *info, struct err *err)
{
	enum status status = probe_stored(bytes, size, info, err);

	if (status == STATUS_OK && info->orientation > 4)
		swap_sides(&info->width, &info->height);
	return status;
}

/* One stored row to a column or a row of the upright picture: where its first pixel goes, and how far apart the next are. */
static void row_place(const struct image_sink *sink, size_t y, uint8_t **first, ptrdiff_t *step)
{
	size_t w = sink->width, h = sink->height;
	bool turned = sink->orientation > 4;
	bool mirror_x = sink->orientation == 2 || sink->orientation == 3 || sink->orientation == 7 || sink->orientation == 8;
	bool mirror_y = sink->orientation == 3 || sink->orientation == 4 || sink->orientation == 6 || sink->orientation == 7;
	size_t row = mirror_y ? h - 1 - y : y, column = mirror_x ? w - 1 : 0;

	/* Upright width is h when turned: stored x then runs down, stored y across. */
	*first = sink->rgb + 3 * (turned ? column * h + row : row * w + column);
	*step = 3 * (ptrdiff_t)(turned ? h : 1) * (mirror_x ? -1 : 1);
}

void image_rows_put(const struct image_sink *sink, size_t y, size_t count, const uint8_t *rows)
{
	enum { BLOCK = 64 }; /* columns at a time, so that neighbouring rows meet in the same cache lines when turned */
	size_t w = sink->width;

	for (size_t x = 0; x < w;) {
		size_t end = sink->orientation <= 4 || w - x < BLOCK ? w : x + BLOCK;
		for (size_t r = 0; r < count; r++) {
			const uint8_t *from = rows + 3 * (r * w + x);
			uint8_t *to;
			ptrdiff_t step;
			row_place(sink, y + r, &to, &step);
			to += step * (ptrdiff_t)x;
			if (step == 3) {
				memcpy(to, from, 3 * (end - x));
				continue;
			}
			for (size_t i = x; i < end; i++, from += 3, to += step) {
				to[0] = from[0];
				to[1] = from[1];
				to[2] = from[2];
			}
		}
		x = end;
	}
}

enum status image_decode(const uint8_t *bytes, size_t size, size_t least, size_t pixels_most, struct image *image, struct err *err)
{
	struct image_info info;
	unsigned eighths = 8;

	*image = (struct image){0};
	enum status status = probe_stored(bytes, size, &info, err);
	if (status != STATUS_OK)
		return status;
	size_t most = pixels_most ? pixels_most : IMAGE_PIXELS_MOST;
	if (mem_product(info.width, info.height) > most)
		return err_set(err, STATUS_MEMORY, "picture of %zu x %zu pixels is too large (at most %zu pixels)", info.width,
			       info.height, most);
	if (info.format == IMAGE_JPEG)
		image_jpeg_scale(least, &info.width, &info.height, &eighths);

	struct image_sink sink = {info.width, info.height, info.orientation, NULL};
	size_t total = mem_product(mem_product(info.width, info.height), 3);
	sink.rgb = total < PTRDIFF_MAX ? malloc(total) : NULL;
	if (!sink.rgb)
		return err_memory(err, "the pixels of a picture");
	if (info.format == IMAGE_JPEG)
		status = image_jpeg_decode(bytes, size, eighths, &sink, err);
	else if (info.format == IMAGE_PNG)
		status = image_png_decode(bytes, size, &sink, err);
	else
		status = image_webp_decode(bytes, size, &sink, err);
	if (status != STATUS_OK) {
		free(sink.rgb);
		return status;
	}
	if (info.orientation > 4)
		swap_sides(&info.width, &info.height);
	*image = (struct image){info.width, info.height, sink.rgb};
	return STATUS_OK;
}

void image_release(struct image *image)
{
	free(image->rgb);
	*image = (struct image){0};
}

/* Python's round((full - side) / 2.0): a half goes to the even neighbour. */
static size_t centre_offset(size_t full, size_t side)
{
	size_t gap = full - side, half = gap / 2;
	return half + (gap % 2 && half % 2);
}

enum status image_crop(const struct image *image, size_t side, uint8_t *rgb, struct err *err)
{
	size_t w = image->width, h = image->height, shorter = w < h ? w : h, longer = w < h ? h : w;

	if (!shorter || !side)
		return err_set(err, STATUS_FORMAT, "cannot crop %zu x %zu pixels to a side of %zu", w, h, side);
	size_t scaled = mem_product(side, longer);
	if (scaled == SIZE_MAX)
		return err_memory(err, "a crop");
	scaled /= shorter;
	struct image_window window = {w < h ? side : scaled, w < h ? scaled : side, 0, 0, side, side};
	window.left = centre_offset(window.full_width, side);
	window.top = centre_offset(window.full_height, side);
	return image_resample(image, &window, rgb, err);
}

void image_normalise(const uint8_t *rgb, size_t side, const float mean[3], const float std[3], float *tensor)
{
	size_t plane = side * side;

	for (size_t c = 0; c < 3; c++) {
		float value[256];
		for (int v = 0; v < 256; v++)
			value[v] = ((float)v / 255 - mean[c]) / std[c];
		for (size_t i = 0; i < plane; i++)
			tensor[c * plane + i] = value[rgb[3 * i + c]];
	}
}

enum status image_fit(const struct image *image, size_t width, size_t height, struct image *out, struct err *err)
{
	size_t w = image->width, h = image->height, to_width = w, to_height = h;

	*out = (struct image){0};
	if (!w || !h || !width || !height)
		return err_set(err, STATUS_FORMAT, "cannot fit %zu x %zu pixels into %zu x %zu", w, h, width, height);
	if (w > width || h > height) {
		double scale = (double)width / (double)w, by_height = (double)height / (double)h;
		scale = by_height < scale ? by_height : scale;
		to_width = (size_t)((double)w * scale + 0.5);
		to_height = (size_t)((double)h * scale + 0.5);
		to_width = to_width ? to_width : 1;
		to_height = to_height ? to_height : 1;
	}
	uint8_t *rgb = malloc(3 * to_width * to_height);
	if (!rgb)
		return err_memory(err, "a smaller picture");
	struct image_window window = {to_width, to_height, 0, 0, to_width, to_height};
	enum status status = image_resample(image, &window, rgb, err);
	if (status != STATUS_OK) {
		free(rgb);
		return status;
	}
	*out = (struct image){to_width, to_height, rgb};
	return STATUS_OK;
}
