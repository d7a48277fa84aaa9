/* bmp.c: Windows bitmaps, uncompressed, run-length encoded or with bit masks; alpha is dropped.
 *
 * BITMAPFILEHEADER: "BM", u32 size, u32 0, u32 offset of the pixels; then a header that begins with its own size: 12 (OS/2: u16
 * width, height), or 40 and more (i32 width, height, negative for a picture from top to bottom); u16 planes, u16 bits a
 * pixel, u32 compression ... u32 colours; then bit masks, colours (b g r -), rows padded to 4 bytes. All little endian.
 */
#include <stdlib.h>
#include <string.h>

#include "model/image/bytes.h"
#include "model/image/codec.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { FILE_HEADER = 14, CORE_HEADER = 12, INFO_HEADER = 40, MASKS_HEADER = 52, COLOURS_MOST = 256 };
enum compression { PLAIN, RLE8, RLE4, FIELDS, ALPHA_FIELDS = 6 };

struct bitmap {
	const uint8_t *bytes;
	size_t size;
	size_t width, height;
	bool from_top;
	unsigned bits, compression;
	uint32_t masks[3];     /* red, green, blue */
	const uint8_t *colours;
	size_t colour_count, colour_size;
	size_t pixels;         /* their offset */
};

static bool known(const struct bitmap *b)
{
	switch (b->compression) {
	case PLAIN:
		return b->bits == 1 || b->bits == 2 || b->bits == 4 || b->bits == 8 || b->bits == 16 || b->bits == 24 || b->bits == 32;
	case RLE8:
		return b->bits == 8 && !b->from_top;
	case RLE4:
		return b->bits == 4 && !b->from_top;
	case FIELDS:
	case ALPHA_FIELDS:
		return b->bits == 16 || b->bits == 32;
	default:
		return false;
	}
}

/* header: [size] behind the file header. */
static void read_masks(struct bitmap *b, const uint8_t *header, size_t size, size_t *end)
{
	static const uint32_t masks_16[3] = {0x7c00, 0x03e0, 0x001f}, masks_32[3] = {0xff0000, 0x00ff00, 0x0000ff};
	size_t count = b->compression == ALPHA_FIELDS ? 4 : 3;

	memcpy(b->masks, b->bits == 16 ? masks_16 : masks_32, sizeof b->masks);
	if (b->compression != FIELDS && b->compression != ALPHA_FIELDS)
		return;
	if (size < INFO_HEADER + 12)
		return;
	for (size_t i = 0; i < 3; i++)
		b->masks[i] = little32(header + INFO_HEADER + 4 * i);
	if (*end == INFO_HEADER)
		*end += 4 * count;
}

static enum status read_header(const uint8_t *bytes, size_t size, struct bitmap *b, struct err *err)
{
	*b = (struct bitmap){.bytes = bytes, .size = size};
	size_t own = size >= FILE_HEADER + 4 ? little32(bytes + FILE_HEADER) : 0, room = size > FILE_HEADER ? size - FILE_HEADER : 0;
	const uint8_t *header = bytes + FILE_HEADER;
	bool core = own == CORE_HEADER;

	if ((!core && (own < INFO_HEADER || own > 1024)) || own > room)
		return err_set(err, STATUS_FORMAT, "damaged BMP: no header");
	int32_t width = core ? (int32_t)little16(header + 4) : (int32_t)little32(header + 4);
	int32_t height = core ? (int32_t)little16(header + 6) : (int32_t)little32(header + 8);
	b->bits = little16(header + (core ? 10 : 14));
	b->compression = core ? PLAIN : little32(header + 16);
	b->from_top = height < 0;
	if (width <= 0 || height == 0 || height == INT32_MIN)
		return err_set(err, STATUS_FORMAT, "damaged BMP: a picture without a size");
	b->width = (size_t)width;
	b->height = (size_t)(height < 0 ? -height : height);
	if (!known(b))
		return err_set(err, STATUS_UNSUPPORTED, "BMP of a kind that is not supported: %u bits, compression %u", b->bits,
			       b->compression);
	size_t end = own;
	read_masks(b, header, room, &end);
	b->pixels = little32(bytes + 10);
	if (b->bits <= 8) {
		b->colour_size = core ? 3 : 4;
		size_t said = core ? 0 : little32(header + 32), most = (size_t)1 << b->bits;
		b->colour_count = said && said < most ? said : most;
		b->colours = header + end;
		if (b->colour_count * b->colour_size > room - (end < room ? end : room))
			return err_set(err, STATUS_FORMAT, "damaged BMP: its data end early");
	}
	if (b->pixels < FILE_HEADER + own || b->pixels > size)
		return err_set(err, STATUS_FORMAT, "damaged BMP: its data end early");
	return STATUS_OK;
}

enum status image_bmp_probe(const uint8_t *bytes, size_t size, struct image_info *info, struct image_said *said, struct err *err)
{
	struct bitmap b;
	enum status status = read_header(bytes, size, &b, err);

	(void)said;
	info->width = b.width;
	info->height = b.height;
	return status;
}

static void put_index(const struct bitmap *b, size_t index, uint8_t *rgb)
{
	static const uint8_t black[3];
	const uint8_t *colour = index < b->colour_count ? b->colours + index * b->colour_size : black;

	rgb[0] = colour[2];
	rgb[1] = colour[1];
	rgb[2] = colour[0];
}

/* The bits of a mask, stretched to 0..255. */
static uint8_t masked(uint32_t value, uint32_t mask)
{
	if (!mask)
		return 0;
	unsigned shift = (unsigned)__builtin_ctz(mask);
	uint64_t most = mask >> shift, part = (value & mask) >> shift;
	return (uint8_t)((part * 255 + most / 2) / most);
}

static void unpack_row(const struct bitmap *b, const uint8_t *row, uint8_t *rgb)
{
	for (size_t x = 0; x < b->width; x++, rgb += 3) {
		if (b->bits <= 8) {
			unsigned per = 8 / b->bits, shift = (unsigned)(per - 1 - x % per) * b->bits;
			put_index(b, row[x / per] >> shift & ((1u << b->bits) - 1), rgb);
		} else if (b->bits == 24) {
			rgb[0] = row[3 * x + 2];
			rgb[1] = row[3 * x + 1];
			rgb[2] = row[3 * x];
		} else {
			uint32_t value = b->bits == 16 ? little16(row + 2 * x) : little32(row + 4 * x);
			for (size_t c = 0; c < 3; c++)
				rgb[c] = masked(value, b->masks[c]);
		}
	}
}

static enum status decode_plain(const struct bitmap *b, const struct image_sink *sink, uint8_t *rgb, struct err *err)
{
	size_t stride = (b->width * b->bits + 31) / 32 * 4, used = (b->width * b->bits + 7) / 8, left = b->size - b->pixels;

	if (left < used || (left - used) / stride < b->height - 1)
		return err_set(err, STATUS_FORMAT, "damaged BMP: its data end early");
	for (size_t y = 0; y < b->height; y++) {
		unpack_row(b, b->bytes + b->pixels + y * stride, rgb);
		image_rows_put(sink, b->from_top ? y : b->height - 1 - y, 1, rgb);
	}
	return STATUS_OK;
}

/* Pairs: count and colour; 0 and: 0 end of row, 1 end of picture, 2 a move (right, up), n that many colours as they are, padded
 * to 16 bits. What a move passes over has colour 0. indices: [height,width], the lowest row first. */
static bool unpack_runs(const struct bitmap *b, uint8_t *indices)
{
	const uint8_t *at = b->bytes + b->pixels, *end = b->bytes + b->size;
	size_t x = 0, y = 0;
	bool nibbles = b->bits == 4;

	while (y < b->height) {
		if (end - at < 2)
			return false;
		unsigned count = at[0], code = at[1];
		const uint8_t *literal = NULL;
		at += 2;
		if (!count && code == 0) {
			x = 0;
			y++;
			continue;
		}
		if (!count && code == 1)
			return true;
		if (!count && code == 2) {
			if (end - at < 2)
				return false;
			x += at[0];
			y += at[1];
			at += 2;
			continue;
		}
		if (!count) {
			size_t bytes = nibbles ? (code + 1) / 2 : code;
			if ((size_t)(end - at) < bytes)
				return false;
			literal = at;
			at += bytes + (bytes % 2 && (size_t)(end - at) > bytes);
			count = code;
		}
		for (size_t i = 0; i < count && x < b->width; i++, x++) {
			unsigned byte = literal ? literal[nibbles ? i / 2 : i] : code;
			indices[y * b->width + x] = (uint8_t)(!nibbles ? byte : i % 2 ? byte & 15 : byte >> 4);
		}
	}
	return true;
}

static enum status decode_runs(const struct bitmap *b, const struct image_sink *sink, uint8_t *rgb, struct err *err)
{
	uint8_t *indices = mem_array(b->height, b->width);

	if (!indices)
		return err_memory(err, "decoding a BMP");
	bool whole = unpack_runs(b, indices);
	for (size_t y = 0; y < b->height && whole; y++) {
		for (size_t x = 0; x < b->width; x++)
			put_index(b, indices[y * b->width + x], rgb + 3 * x);
		image_rows_put(sink, b->height - 1 - y, 1, rgb);
	}
	free(indices);
	return whole ? STATUS_OK : err_set(err, STATUS_FORMAT, "damaged BMP: its data end early");
}

enum status image_bmp_decode(const uint8_t *bytes, size_t size, const struct image_sink *sink, struct err *err)
{
	struct bitmap b;
	enum status status = read_header(bytes, size, &b, err);

	if (status != STATUS_OK)
		return status;
	uint8_t *rgb = mem_array(b.width, 3);
	if (!rgb)
		return err_memory(err, "decoding a BMP");
	if (b.compression == RLE8 || b.compression == RLE4)
		status = decode_runs(&b, sink, rgb, err);
	else
		status = decode_plain(&b, sink, rgb, err);
	free(rgb);
	return status;
}
