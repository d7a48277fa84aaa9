/* png.c: PNG through libpng, as Pillow's convert("RGB") has it: palette and low depths expanded, of 16 bits the upper
 * eight, alpha and transparency dropped without blending. Gray of 16 bits, which Pillow clips to white, is treated like the rest.
 *
 * libpng leaves through longjmp: whatever must be released lives in a struct outside the function that calls setjmp.
 */
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "model/image/bytes.h"
#include "model/image/codec.h"
#include "schema/base/inflate.h"

#include "schema/base/banned.h"

enum { SIGNATURE = 8, CHUNK_HEADER = 8, CHUNK_CHECKSUM = 4, IHDR_SIZE = 13 };

/* --- EXIF as older programs write it: a text chunk "Raw profile type exif" with hexadecimal digits --- */

enum { PROFILE_MOST = 1 << 17 }; /* of text; EXIF data are below 64 KiB, two digits each */

/* The text of a tEXt or zTXt chunk behind its keyword. */
static void profile_text(bool compressed, const uint8_t *body, size_t size, struct buffer *text)
{
	if (!compressed && size <= PROFILE_MOST)
		buffer_append(text, body, size);
	else if (compressed && size > 1 && body[0] == 0 && !inflate_bytes(body + 1, size - 1, PROFILE_MOST, text)) /* 0: deflate */
		text->size = 0;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "\nexif\n     123\n45786966..." in place to bytes; their number. */
static size_t profile_bytes(char *text, size_t size)
{
	size_t at = 0, bytes = 0;

	for (int line = 0; line < 3; line++) {
		while (at < size && text[at] != '\n')
			at++;
		at++;
	}
	for (int high = -1; at < size; at++) {
		int value = digit(text[at]);
		if (value < 0)
			continue;
		if (high < 0) {
			high = value;
		} else {
			text[bytes++] = (char)(high << 4 | value);
			high = -1;
		}
	}
	return bytes;
}

static void raw_profile(bool compressed, const uint8_t *body, size_t size, struct image_info *info)
{
	static const char *const keywords[] = {"Raw profile type exif", "Raw profile type APP1"};

	for (size_t k = 0; k < 2; k++) {
		size_t key = strlen(keywords[k]) + 1;
		if (size <= key || memcmp(body, keywords[k], key) != 0)
			continue;
		struct buffer text = {0};
		profile_text(compressed, body + key, size - key, &text);
		size_t n = text.failed ? 0 : profile_bytes(text.data, text.size);
		if (n > 6 && memcmp(text.data, "Exif\0", 5) == 0)
			info->orientation = image_exif_orientation((const uint8_t *)text.data + 6, n - 6);
		buffer_release(&text);
	}
}

/* --- the header --- */

/* Length, name, body and checksum of the chunk at *at; moves on to the next one. False: no whole chunk is there. */
static bool next_chunk(const uint8_t *bytes, size_t size, size_t *at, const uint8_t **chunk, size_t *length)
{
	if (*at > size || size - *at < CHUNK_HEADER + CHUNK_CHECKSUM)
		return false;
	*chunk = bytes + *at;
	*length = big32(*chunk);
	if (*length > size - *at - CHUNK_HEADER - CHUNK_CHECKSUM)
		return false;
	*at += CHUNK_HEADER + *length + CHUNK_CHECKSUM;
	return true;
}

/* The keyword, not compressed, no language and no translated keyword: as XMP's specification wants it. */
static const uint8_t xmp_head[22] = "XML:com.adobe.xmp\0\0\0\0";

static void read_chunk(const uint8_t *chunk, size_t length, struct image_info *info)
{
	const uint8_t *body = chunk + CHUNK_HEADER;

	if (memcmp(chunk + 4, "eXIf", 4) == 0 && !info->exif) {
		size_t prefix = length > 6 && memcmp(body, "Exif\0", 5) == 0 ? 6 : 0; /* against the specification, but seen */
		info->exif = body + prefix;
		info->exif_size = length - prefix;
	} else if (memcmp(chunk + 4, "tEXt", 4) == 0 || memcmp(chunk + 4, "zTXt", 4) == 0) {
		raw_profile(chunk[4] == 'z', body, length, info);
	} else if (memcmp(chunk + 4, "iTXt", 4) == 0 && length > sizeof xmp_head && memcmp(body, xmp_head, sizeof xmp_head) == 0) {
		info->xmp = body + sizeof xmp_head;
		info->xmp_size = length - sizeof xmp_head;
	}
}

enum status image_png_probe(const uint8_t *bytes, size_t size, struct image_info *info, struct err *err)
{
	if (size < SIGNATURE + CHUNK_HEADER + IHDR_SIZE || big32(bytes + SIGNATURE) != IHDR_SIZE ||
	    memcmp(bytes + SIGNATURE + 4, "IHDR", 4) != 0)
		return err_set(err, STATUS_FORMAT, "damaged PNG: no header");
	info->width = big32(bytes + SIGNATURE + CHUNK_HEADER);
	info->height = big32(bytes + SIGNATURE + CHUNK_HEADER + 4);
	if (!info->width || !info->height || info->width > INT32_MAX || info->height > INT32_MAX)
		return err_set(err, STATUS_FORMAT, "damaged PNG: %zu x %zu pixels", info->width, info->height);
	/* EXIF may stand behind the pixels. */
	const uint8_t *chunk;
	for (size_t at = SIGNATURE, length; next_chunk(bytes, size, &at, &chunk, &length);)
		read_chunk(chunk, length, info);
	return STATUS_OK;
}

/* The chunk iCCP: a name, NUL, the method (deflate), a compressed profile. It stands before the pixels; a chunk sRGB in its place says
 * that there is nothing to do. */
void image_png_profile(const uint8_t *bytes, size_t size, struct buffer *icc)
{
	enum { ICC_MOST = 16 << 20 };
	const uint8_t *chunk;

	for (size_t at = SIGNATURE, length; next_chunk(bytes, size, &at, &chunk, &length) && memcmp(chunk + 4, "IDAT", 4) != 0;) {
		if (memcmp(chunk + 4, "iCCP", 4) != 0)
			continue;
		const uint8_t *body = chunk + CHUNK_HEADER, *end = memchr(body, 0, length);
		size_t head = end ? (size_t)(end - body) + 2 : length;
		if (head < length && end[1] == 0 && !inflate_bytes(body + head, length - head, ICC_MOST, icc))
			buffer_release(icc);
		return;
	}
}

/* --- the pixels --- */

struct decoder {
	png_structp png;
	png_infop info;
	const uint8_t *bytes; /* what is left */
	size_t size;
	char message[128];
	enum status status;
};

static void on_error(png_structp png, png_const_charp message)
{
	struct decoder *decoder = png_get_error_ptr(png);

	snprintf(decoder->message, sizeof decoder->message, "%s", message);
	decoder->status = STATUS_FORMAT;
	png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
	(void)png;
	(void)message;
}

static void read_bytes(png_structp png, png_bytep to, size_t n)
{
	struct decoder *decoder = png_get_io_ptr(png);

	if (n > decoder->size)
		png_error(png, "its data end early");
	memcpy(to, decoder->bytes, n);
	decoder->bytes += n;
	decoder->size -= n;
}

static void set_up(struct decoder *decoder)
{
	/* Name and NUL each: what we do not use is passed over unread, so that damage in it does no harm. */
	static const png_byte unused[] = "iCCP\0cHRM\0gAMA\0sRGB\0sBIT\0bKGD\0hIST\0pHYs\0sPLT\0tIME\0tEXt\0zTXt\0iTXt\0eXIf\0"
					 "oFFs\0pCAL\0sCAL";
	png_structp png = decoder->png;

	png_set_read_fn(png, decoder, read_bytes);
	png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, unused, (int)(sizeof unused / 5));
	png_set_user_limits(png, INT32_MAX, INT32_MAX); /* the caller has checked the size */
	png_read_info(png, decoder->info);
	png_set_expand(png);
	png_set_strip_16(png);
	png_set_strip_alpha(png);
	png_set_gray_to_rgb(png);
}

static void decode(struct decoder *decoder, const struct image_sink *sink)
{
	png_structp png = decoder->png;
	size_t stride = 3 * sink->width;

	if (setjmp(png_jmpbuf(png)))
		return;
	set_up(decoder);
	int passes = png_set_interlace_handling(png);
	png_read_update_info(png, decoder->info);
	if (png_get_image_width(png, decoder->info) != sink->width || png_get_image_height(png, decoder->info) != sink->height ||
	    png_get_rowbytes(png, decoder->info) != stride)
		png_error(png, "its headers contradict each other");
	for (int pass = 0; pass < passes; pass++)
		for (size_t y = 0; y < sink->height; y++)
			png_read_row(png, sink->rgb + y * stride, NULL);
}

enum status image_png_decode(const uint8_t *bytes, size_t size, const struct image_sink *sink, struct err *err)
{
	struct decoder decoder = {.bytes = bytes, .size = size, .status = STATUS_MEMORY};

	decoder.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &decoder, on_error, on_warning);
	decoder.info = decoder.png ? png_create_info_struct(decoder.png) : NULL;
	if (decoder.info) {
		decoder.status = STATUS_OK;
		decode(&decoder, sink);
	}
	png_destroy_read_struct(&decoder.png, &decoder.info, NULL);
	if (decoder.status == STATUS_MEMORY)
		return err_memory(err, "decoding a PNG");
	return decoder.status == STATUS_OK ? STATUS_OK : err_set(err, decoder.status, "damaged PNG: %s", decoder.message);
}
