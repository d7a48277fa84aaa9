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

/* --- texts: tEXt has a keyword, NUL, the text; zTXt has the method (0: deflate) before a compressed text; iTXt has whether it is
 * compressed, the method, a language, NUL, the keyword in it, NUL before its text. --- */

enum { TEXT_MOST = 16 << 20 };

/* A chunk's text behind its keyword, which has key bytes and its NUL. False: there is none. */
static bool chunk_text(const uint8_t *chunk, size_t length, size_t key, struct buffer *text)
{
	const uint8_t *at = chunk + CHUNK_HEADER + key + 1, *end = chunk + CHUNK_HEADER + length;
	bool compressed = chunk[4] == 'z';

	if (chunk[4] == 'i') {
		if (end - at < 2)
			return false;
		compressed = at[0] != 0;
		at += 2;
		for (int i = 0; i < 2; i++) {
			const uint8_t *nul = memchr(at, 0, (size_t)(end - at));
			if (!nul)
				return false;
			at = nul + 1;
		}
		if (compressed)
			return inflate_bytes(at, (size_t)(end - at), TEXT_MOST, text);
	} else if (compressed) {
		return end - at > 1 && at[0] == 0 && inflate_bytes(at + 1, (size_t)(end - at) - 1, TEXT_MOST, text);
	}
	if (end - at > TEXT_MOST)
		return false;
	buffer_append(text, at, (size_t)(end - at));
	return true;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* As ImageMagick writes it, "\nexif\n     123\n45786966...", in place to bytes. */
static void profile_bytes(struct buffer *text)
{
	size_t at = 0, bytes = 0;

	for (int line = 0; line < 3; line++) {
		while (at < text->size && text->data[at] != '\n')
			at++;
		at++;
	}
	for (int high = -1; at < text->size; at++) {
		int value = digit(text->data[at]);
		if (value < 0)
			continue;
		if (high < 0) {
			high = value;
		} else {
			text->data[bytes++] = (char)(high << 4 | value);
			high = -1;
		}
	}
	text->size = bytes;
}

static void take_profile(struct buffer *text, enum said_kind kind, struct image_said *said)
{
	static const char adobe[] = "http://ns.adobe.com/xap/1.0/";

	profile_bytes(text);
	if (kind == SAID_EXIF && text->size > sizeof adobe && memcmp(text->data, adobe, sizeof adobe - 1) == 0) {
		/* JPEG's segment APP1 as it stands: an XMP packet behind its name */
		text->size -= sizeof adobe;
		memmove(text->data, text->data + sizeof adobe, text->size);
		kind = SAID_XMP;
	}
	if (kind == SAID_IPTC && text->size > 4 && memcmp(text->data, "8BIM", 4) == 0) {
		if (image_said_keep(said, text->data))
			image_photoshop_iptc((const uint8_t *)text->data, text->size, said);
		*text = (struct buffer){0};
		return;
	}
	image_said_take(said, kind, text);
}

static void read_text(const uint8_t *chunk, size_t length, struct image_said *said)
{
	static const struct {
		const char *key;
		enum said_kind kind;
		bool profile;
	} known[] = {
		{"Raw profile type exif", SAID_EXIF, true}, {"Raw profile type APP1", SAID_EXIF, true},
		{"Raw profile type xmp", SAID_XMP, true}, {"Raw profile type iptc", SAID_IPTC, true},
		{"Raw profile type 8bim", SAID_IPTC, true}, {"XML:com.adobe.xmp", SAID_XMP, false},
		{"Title", SAID_TITLE, false}, {"Description", SAID_DESCRIPTION, false}, {"Creation Time", SAID_TIME, false},
	};
	const char *key = (const char *)chunk + CHUNK_HEADER;
	size_t size = strnlen(key, length);

	for (size_t i = 0; i < sizeof known / sizeof *known && size < length; i++) {
		struct buffer text = {0};
		if (strcmp(key, known[i].key) != 0)
			continue;
		if (!chunk_text(chunk, length, size, &text) || text.failed)
			buffer_release(&text);
		else if (known[i].profile)
			take_profile(&text, known[i].kind, said);
		else
			image_said_take(said, known[i].kind, &text);
		return;
	}
}

enum status image_png_probe(const uint8_t *bytes, size_t size, struct image_info *info, struct image_said *said, struct err *err)
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
	for (size_t at = SIGNATURE, length; next_chunk(bytes, size, &at, &chunk, &length);) {
		if (memcmp(chunk + 4, "eXIf", 4) == 0)
			image_said_add_exif(said, chunk + CHUNK_HEADER, length);
		else if (memcmp(chunk + 4, "tEXt", 4) == 0 || memcmp(chunk + 4, "zTXt", 4) == 0 || memcmp(chunk + 4, "iTXt", 4) == 0)
			read_text(chunk, length, said);
	}
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
