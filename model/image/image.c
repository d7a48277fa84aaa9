/* image.c: see image.h. Knows which codec reads what, limits, EXIF orientation and the geometry of crops; the codecs are in
 * FORMAT.c, colour profiles in colour.c, the resampling in resize.c.
 */
#include "model/image/image.h"

#include <stdlib.h>
#include <string.h>

#include "model/image/bytes.h"
#include "model/image/codec.h"
#include "model/image/ifd.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* How each format is read; a raw file is read through its preview. */
static const struct codec {
	const char *name;
	enum status (*probe)(const uint8_t *bytes, size_t size, struct image_info *info, struct image_said *said, struct err *err);
	enum status (*decode)(const uint8_t *bytes, size_t size, const struct image_sink *sink, struct err *err);
	void (*profile)(const uint8_t *bytes, size_t size, struct buffer *icc);
	bool upright; /* writes where it belongs in a picture that is not turned: one that is takes a detour */
} codecs[] = {
	[IMAGE_UNKNOWN] = {.name = "unknown"},
	[IMAGE_JPEG] = {"jpeg", image_jpeg_probe, NULL, image_jpeg_profile},
	[IMAGE_PNG] = {"png", image_png_probe, image_png_decode, image_png_profile, true},
	[IMAGE_WEBP] = {"webp", image_webp_probe, NULL, image_webp_profile, true},
	[IMAGE_HEIC] = {"heic", image_heif_probe, image_heif_decode, image_heif_profile},
	[IMAGE_AVIF] = {"avif", image_heif_probe, image_heif_decode, image_heif_profile},
	[IMAGE_GIF] = {"gif", image_gif_probe, image_gif_decode, NULL, true},
	[IMAGE_TIFF] = {"tiff", image_tiff_probe, image_tiff_decode, image_tiff_profile},
	[IMAGE_BMP] = {"bmp", image_bmp_probe, image_bmp_decode, NULL},
	[IMAGE_RAW] = {.name = "raw"},
};

const char *image_format_name(enum image_format format)
{
	return codecs[format].name;
}

bool image_named(const char *name)
{
	static const char *const ends[] = {
		"jpg", "jpeg", "jpe", "jfif", "png", "webp", "heic", "heif", "hif", "avif", "gif", "tif", "tiff", "bmp",
		"cr2", "cr3", "nef", "nrw", "arw", "sr2", "dng", "orf", "rw2", "raf", "pef", "srw",
	};
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot && dot != name && i < sizeof ends / sizeof *ends; i++)
		if (strcasecmp(dot + 1, ends[i]) == 0)
			return true;
	return false;
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
	{IMAGE_GIF, 0, 6, "GIF87a", "GIF"},
	{IMAGE_GIF, 0, 6, "GIF89a", "GIF"},
	{IMAGE_TIFF, 0, 4, "II*\0", "TIFF"},
	{IMAGE_TIFF, 0, 4, "MM\0*", "TIFF"},
	{IMAGE_BMP, 0, 2, "BM", "BMP"},
	{IMAGE_UNKNOWN, 0, 4, "II+\0", "BigTIFF"},
	{IMAGE_UNKNOWN, 0, 4, "MM\0+", "BigTIFF"},
	{IMAGE_UNKNOWN, 0, 2, "\xff\x0a", "JPEG XL"},
	{IMAGE_UNKNOWN, 4, 8, "JXL \r\n\x87\n", "JPEG XL"},
	{IMAGE_UNKNOWN, 4, 8, "jP  \r\n\x87\n", "JPEG 2000"},
	{IMAGE_UNKNOWN, 0, 4, "8BPS", "Photoshop"},
};

/* ISO media: u32 size, "ftyp", the major brand, u32 version, further brands. */
static enum image_format identify_brands(const uint8_t *bytes, size_t size)
{
	static const char heic[][5] = {"heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"};
	enum image_format format = IMAGE_UNKNOWN;

	if (size < 16 || memcmp(bytes + 4, "ftyp", 4) != 0)
		return IMAGE_UNKNOWN;
	size_t end = big16(bytes + 2);
	end = end < size ? end : size;
	for (size_t at = 8; at + 4 <= end; at += at == 8 ? 8 : 4) {
		if (memcmp(bytes + at, "avif", 4) == 0 || memcmp(bytes + at, "avis", 4) == 0)
			return IMAGE_AVIF;
		for (size_t i = 0; i < sizeof heic / sizeof *heic; i++)
			if (memcmp(bytes + at, heic[i], 4) == 0)
				format = IMAGE_HEIC;
	}
	return format;
}

static enum status identify(const uint8_t *bytes, size_t size, enum image_format *format, struct err *err)
{
	if (!size)
		return err_set(err, STATUS_FORMAT, "the file is empty");
	*format = image_raw_is(bytes, size) ? IMAGE_RAW : identify_brands(bytes, size);
	if (*format != IMAGE_UNKNOWN)
		return STATUS_OK;
	for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
		const struct signature *s = &signatures[i];
		if (size < s->at + s->size || memcmp(bytes + s->at, s->magic, s->size) != 0)
			continue;
		if (s->format == IMAGE_WEBP && memcmp(bytes, "RIFF", 4) != 0)
			continue;
		*format = s->format;
		if (s->format != IMAGE_UNKNOWN)
			return STATUS_OK;
		return err_set(err, STATUS_UNSUPPORTED, "%s pictures are not supported; hint: convert it to JPEG or PNG", s->name);
	}
	return err_set(err, STATUS_UNSUPPORTED, "not a JPEG, PNG or any other picture that is known");
}

/* The tag Orientation in the first directory of a TIFF block. EXIF says it is one SHORT; other integers are seen in the wild. */
int image_exif_orientation(const uint8_t *tiff, size_t size)
{
	enum { ORIENTATION = 0x0112 };
	struct ifd_block block;
	struct ifd_entry entry;
	size_t directory = ifd_open(tiff, size, &block);
	uint32_t value = ifd_find(&block, directory, ORIENTATION, &entry) ? ifd_number(&block, &entry, 0) : 0;

	return value >= 1 && value <= 8 ? (int)value : 0;
}

/* A resource: "8BIM", u16 number, a name (u8 size, bytes; even in all), u32 size, the data (padded to even). Big endian. */
void image_photoshop_iptc(const uint8_t *resources, size_t size, struct image_said *said)
{
	enum { IPTC = 0x0404 };

	for (size_t at = 0; size - at >= 12 && memcmp(resources + at, "8BIM", 4) == 0;) {
		unsigned number = big16(resources + at + 4);
		size_t body = at + 6 + ((1 + (size_t)resources[at + 6] + 1) & ~(size_t)1);
		if (body > size || size - body < 4)
			return;
		size_t length = big32(resources + body);
		body += 4;
		if (length > size - body)
			return;
		if (number == IPTC)
			image_said_add(said, SAID_IPTC, resources + body, length);
		at = body + length + (length % 2 && length < size - body);
	}
}

/* A raw file as its preview shows it. Its own directories know more than those of the preview, if it has any. */
static enum status probe_raw(const uint8_t *bytes, size_t size, struct image_info *info, struct image_said *said, struct err *err)
{
	struct image_preview preview;
	enum status status = image_raw_preview(bytes, size, &preview, err);

	if (status != STATUS_OK)
		return status;
	image_raw_said(bytes, size, said);
	info->width = preview.width;
	info->height = preview.height;
	if (preview.bytes) {
		status = image_jpeg_probe(preview.bytes, preview.size, info, said, err);
		if (preview.lying && info->width < info->height)
			info->orientation = 1; /* the camera has turned it already */
		image_said_keep(said, preview.owned); /* the preview says something, too */
		preview.owned = NULL;
	}
	image_preview_release(&preview);
	return status;
}

/* Of several blocks the first that has a say. */
static int said_orientation(const struct image_said *said)
{
	int orientation = 0;

	for (size_t i = 0; i < said->count && !orientation; i++)
		if (said->blocks[i].kind == SAID_EXIF)
			orientation = image_exif_orientation(said->blocks[i].bytes, said->blocks[i].size);
	return orientation ? orientation : 1;
}

/* As image_probe_said, but width and height as stored. */
static enum status probe_stored(const uint8_t *bytes, size_t size, struct image_info *info, struct image_said *said, struct err *err)
{
	*info = (struct image_info){0};
	*said = (struct image_said){0};
	enum status status = identify(bytes, size, &info->format, err);
	if (status != STATUS_OK)
		return status;
	status = info->format == IMAGE_RAW ? probe_raw(bytes, size, info, said, err)
					   : codecs[info->format].probe(bytes, size, info, said, err);
	if (!info->orientation)
		info->orientation = said_orientation(said);
	return status;
}

static void swap_sides(size_t *width, size_t *height)
{
	size_t old = *width;
	*width = *height;
	*height = old;
}

enum status image_probe_said(const uint8_t *bytes, size_t size, struct image_info *info, struct image_said *said, struct err *err)
{
	enum status status = probe_stored(bytes, size, info, said, err);

	if (status == STATUS_OK && info->orientation > 4)
		swap_sides(&info->width, &info->height);
	return status;
}

enum status image_probe(const uint8_t *bytes, size_t size, struct image_info *info, struct err *err)
{
	struct image_said said;
	enum status status = image_probe_said(bytes, size, info, &said, err);

	image_said_release(&said);
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

static struct image_colour *find_colour(const uint8_t *bytes, size_t size, enum image_format format)
{
	struct buffer icc = {0};
	struct image_colour *colour = NULL;

	if (codecs[format].profile)
		codecs[format].profile(bytes, size, &icc);
	if (icc.size && !icc.failed)
		colour = image_colour_open(icc.data, icc.size);
	buffer_release(&icc);
	return colour;
}

/* A crop to S is made of at least 1.5 S pixels. The careful resizing still has the last word; what the decoder's averaging does to the
 * embedding is measured by `make bench PARTS=decode`. */
size_t image_enough(size_t side)
{
	return side + side / 2;
}

/* The scale that leaves at least `least` on the shorter side; turns width and height into those that come out. */
static unsigned choose_eighths(size_t least, size_t *width, size_t *height)
{
	size_t shorter = *width < *height ? *width : *height;
	unsigned eighths = 8;

	/* A half, a quarter, an eighth: libjpeg's fast transforms. Those between decode no faster than the next larger one of these. */
	while (least && eighths > 1 && (shorter * (eighths / 2) + 7) / 8 >= least)
		eighths /= 2;
	*width = (*width * eighths + 7) / 8;
	*height = (*height * eighths + 7) / 8;
	return eighths;
}

static enum status decode_rows(const uint8_t *bytes, size_t size, enum image_format format, unsigned eighths, const struct image_sink *sink,
			       bool *cut_short, struct err *err)
{
	if (format == IMAGE_JPEG)
		return image_jpeg_decode(bytes, size, eighths, sink, cut_short, err);
	if (format == IMAGE_WEBP)
		return image_webp_decode(bytes, size, eighths, sink, err);
	return codecs[format].decode(bytes, size, sink, err);
}

/* info: of the stored picture, which bytes hold in info->format. Turns info's size into that of the pixels, still as stored. */
static enum status decode_stored(const uint8_t *bytes, size_t size, size_t least, struct image_info *info, struct image *image,
				 struct err *err)
{
	bool scales = info->format == IMAGE_JPEG || (info->format == IMAGE_WEBP && image_webp_scales(bytes, size));
	unsigned eighths = scales ? choose_eighths(least, &info->width, &info->height) : 8;
	size_t total = mem_product(mem_product(info->width, info->height), 3);
	bool detour = codecs[info->format].upright && info->orientation != 1;
	uint8_t *rgb = total < PTRDIFF_MAX ? malloc(total) : NULL, *stored = detour && rgb ? malloc(total) : rgb;
	enum status status = stored ? STATUS_OK : err_memory(err, "the pixels of a picture");

	if (status == STATUS_OK) {
		struct image_colour *colour = find_colour(bytes, size, info->format);
		struct image_sink sink = {info->width, info->height, detour ? 1 : info->orientation, stored, colour};
		status = decode_rows(bytes, size, info->format, eighths, &sink, &image->cut_short, err);
		if (status == STATUS_OK && detour) {
			struct image_sink turned = {info->width, info->height, info->orientation, rgb, NULL};
			image_rows_put(&turned, 0, info->height, stored);
		}
		if (status == STATUS_OK && colour)
			image_colour_apply(colour, rgb, info->width * info->height);
		image_colour_free(colour);
	}
	if (stored != rgb)
		free(stored);
	if (status == STATUS_OK)
		image->rgb = rgb;
	else
		free(rgb);
	return status;
}

/* info: as the raw file's own directories have it. */
static enum status decode_raw(const uint8_t *bytes, size_t size, size_t least, struct image_info *info, struct image *image,
			      struct err *err)
{
	struct image_preview preview;
	enum status status = image_raw_preview(bytes, size, &preview, err);

	if (status != STATUS_OK)
		return status;
	info->format = IMAGE_JPEG;
	if (preview.bytes) {
		status = decode_stored(preview.bytes, preview.size, least, info, image, err);
	} else {
		struct image_sink sink = {info->width, info->height, info->orientation, mem_array(info->width, 3 * info->height), NULL};
		if (sink.rgb)
			image_rows_put(&sink, 0, sink.height, preview.owned);
		else
			status = err_memory(err, "the pixels of a picture");
		image->rgb = sink.rgb;
	}
	image_preview_release(&preview);
	return status;
}

enum status image_decode(const uint8_t *bytes, size_t size, size_t least, size_t pixels_most, struct image *image, struct err *err)
{
	struct image_info info;
	struct image_said said;

	*image = (struct image){0};
	enum status status = probe_stored(bytes, size, &info, &said, err);
	image_said_release(&said);
	if (status != STATUS_OK)
		return status;
	size_t most = pixels_most ? pixels_most : IMAGE_PIXELS_MOST;
	if (mem_product(info.width, info.height) > most)
		return err_set(err, STATUS_MEMORY, "picture of %zu x %zu pixels is too large (at most %zu pixels)", info.width,
			       info.height, most);
	if (info.format == IMAGE_RAW)
		status = decode_raw(bytes, size, least, &info, image, err);
	else
		status = decode_stored(bytes, size, least, &info, image, err);
	if (status != STATUS_OK)
		return status;
	if (info.orientation > 4)
		swap_sides(&info.width, &info.height);
	image->width = info.width;
	image->height = info.height;
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
	*out = (struct image){.width = to_width, .height = to_height, .rgb = rgb};
	return STATUS_OK;
}
