/* jpeg.c: JPEG through libjpeg-turbo, decoded as Pillow decodes it: the accurate integer DCT and smooth chroma
 * upsampling, which are libjpeg's defaults.
 *
 * libjpeg leaves through longjmp: whatever must be released lives in a struct outside the function that calls setjmp.
 */
#include <stdio.h> /* jpeglib.h needs it */

#include <jpeglib.h>

#include <jerror.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "model/image/bytes.h"
#include "model/image/codec.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum {
	ROWS = 16,       /* decoded at a time */
	SCANS_MOST = 500 /* a progressive file with more is made to burn time */
};

/* Markers (ITU T.81, table B.1). */
enum {
	TEM = 0x01, SOF0 = 0xc0, DHT = 0xc4, JPG = 0xc8, DAC = 0xcc, SOF15 = 0xcf,
	RST0 = 0xd0, SOI = 0xd8, EOI = 0xd9, SOS = 0xda, APP1 = 0xe1, APP2 = 0xe2, APP13 = 0xed,
};

static bool is_frame(int marker)
{
	return marker >= SOF0 && marker <= SOF15 && marker != DHT && marker != JPG && marker != DAC;
}

struct segment {
	int marker;
	const uint8_t *body;
	size_t size;
};

/* The next segment from *at on; false at the first scan, at the end, and where no segment can be read any more. */
static bool next_segment(const uint8_t *bytes, size_t size, size_t *at, struct segment *segment)
{
	for (;;) {
		while (*at < size && bytes[*at] != 0xff) /* libjpeg steps over garbage here, too */
			(*at)++;
		while (*at < size && bytes[*at] == 0xff)
			(*at)++;
		if (*at >= size)
			return false;
		int marker = bytes[(*at)++];
		if (marker == 0 || marker == TEM || (marker >= RST0 && marker <= SOI))
			continue;
		if (marker == SOS || marker == EOI || size - *at < 2)
			return false;
		size_t length = big16(bytes + *at);
		if (length < 2 || length > size - *at)
			return false;
		*segment = (struct segment){marker, bytes + *at + 2, length - 2};
		*at += length;
		return true;
	}
}

/* Whether a segment begins with a name, its NUL included. */
static bool named(const struct segment *segment, const char *name, size_t size)
{
	return segment->size > size && memcmp(segment->body, name, size) == 0;
}

/* EXIF data above 64 KiB go on in the next segment, which has no TIFF header; without one before it such a segment is garbage. */
static void take_exif(const uint8_t *bytes, size_t size, struct image_said *said)
{
	enum { FULL = 65000 };
	struct said_block *last = said->count ? &said->blocks[said->count - 1] : NULL;
	size_t before = said->count;
	struct buffer whole = {0};

	image_said_add_exif(said, bytes, size);
	if (said->count > before || !last || last->kind != SAID_EXIF || last->size < FULL)
		return;
	buffer_append(&whole, last->bytes, last->size);
	buffer_append(&whole, bytes, size);
	said->count--;
	image_said_take(said, SAID_EXIF, &whole);
}

/* Walks the segments up to the first scan. */
enum status image_jpeg_probe(const uint8_t *bytes, size_t size, struct image_info *info, struct image_said *said, struct err *err)
{
	static const char xmp[] = "http://ns.adobe.com/xap/1.0/", photoshop[] = "Photoshop 3.0";
	struct segment s;

	for (size_t at = 2; next_segment(bytes, size, &at, &s);) {
		if (is_frame(s.marker) && s.size >= 6 && !info->width) {
			info->height = big16(s.body + 1);
			info->width = big16(s.body + 3);
		} else if (s.marker == APP1 && named(&s, "Exif", 5) && s.size > 6) {
			take_exif(s.body + 6, s.size - 6, said);
		} else if (s.marker == APP1 && named(&s, xmp, sizeof xmp - 1)) { /* then NUL, or a blank as some have it */
			image_said_add(said, SAID_XMP, s.body + sizeof xmp, s.size - sizeof xmp);
		} else if (s.marker == APP13 && named(&s, photoshop, sizeof photoshop)) {
			image_photoshop_iptc(s.body + sizeof photoshop, s.size - sizeof photoshop, said);
		}
	}
	if (!info->width || !info->height)
		return err_set(err, STATUS_FORMAT, "damaged JPEG: no frame header");
	return STATUS_OK;
}

/* A profile comes in pieces of up to 64 KiB, numbered from 1, in any order: "ICC_PROFILE", u8 number, u8 count, bytes. */
void image_jpeg_profile(const uint8_t *bytes, size_t size, struct buffer *icc)
{
	static const char name[] = "ICC_PROFILE";
	struct segment s, pieces[256] = {{0}};
	size_t count = 0;

	for (size_t at = 2; next_segment(bytes, size, &at, &s);)
		if (s.marker == APP2 && named(&s, name, sizeof name) && s.size > sizeof name + 2) {
			pieces[s.body[sizeof name]] = (struct segment){s.marker, s.body + sizeof name + 2, s.size - sizeof name - 2};
			count = s.body[sizeof name + 1];
		}
	for (size_t i = 1; i <= count; i++)
		if (!pieces[i].body)
			return; /* a profile with a hole is none */
	for (size_t i = 1; i <= count; i++)
		buffer_append(icc, pieces[i].body, pieces[i].size);
}

/* --- decoding --- */

struct decoder {
	struct jpeg_error_mgr errors; /* first: libjpeg hands back a pointer to it */
	jmp_buf leave;
	struct jpeg_decompress_struct jpeg;
	struct jpeg_progress_mgr progress;
	uint8_t *rows;  /* [ROWS,width,3], or 4 components of CMYK */
	bool reading, cut_short;
	enum status status;
	char message[JMSG_LENGTH_MAX];
};

/* What every error comes to; libjpeg's own would print and exit. */
static void on_error(j_common_ptr jpeg)
{
	struct decoder *decoder = (struct decoder *)jpeg->err;

	switch (jpeg->err->msg_code) {
	case JERR_OUT_OF_MEMORY:
		decoder->status = STATUS_MEMORY;
		break;
	case JERR_BAD_PRECISION:
	case JERR_SOF_UNSUPPORTED:
	case JERR_CONVERSION_NOTIMPL:
	case JERR_ARITH_NOTIMPL:
		decoder->status = STATUS_UNSUPPORTED;
		break;
	default:
		decoder->status = STATUS_FORMAT;
	}
	jpeg->err->format_message(jpeg, decoder->message);
	longjmp(decoder->leave, 1);
}

static void leave_with(struct decoder *decoder, enum status status, const char *message)
{
	decoder->status = status;
	snprintf(decoder->message, sizeof decoder->message, "%s", message);
	longjmp(decoder->leave, 1);
}

/* Whether no more than a tenth of the rows is missing, of a picture of one scan. Of several, the last refine what is there by then: once
 * luma has been refined at all, what is missing is not seen at the size of a model's picture. */
static bool nearly_whole(const struct decoder *decoder)
{
	const struct jpeg_decompress_struct *jpeg = &decoder->jpeg;

	if (decoder->reading && !jpeg->progressive_mode)
		return jpeg->output_scanline >= jpeg->output_height - jpeg->output_height / 10;
	return jpeg->progressive_mode && jpeg->coef_bits && jpeg->input_scan_number > 5 &&
	       (jpeg->coef_bits[0][63] == 0 || jpeg->coef_bits[0][63] == 1);
}

/* Warnings: missing data end the decoding, as the rest would be gray, unless little is missing: a photograph whose copy broke off just
 * before its end is still worth finding. Stray bytes and bad codes are lived with. A marker within a scan's data is missing data
 * only when it is the last one: a damaged stretch between restart markers is a blemish. */
static void on_message(j_common_ptr jpeg, int level)
{
	struct decoder *decoder = (struct decoder *)jpeg->err;

	if (level >= 0)
		return;
	jpeg->err->num_warnings++;
	bool ended = jpeg->err->msg_code == JWRN_JPEG_EOF ||
		     (jpeg->err->msg_code == JWRN_HIT_MARKER && decoder->jpeg.unread_marker == EOI);
	if (ended && !decoder->cut_short && !nearly_whole(decoder))
		leave_with(decoder, STATUS_FORMAT, "its data end early");
	decoder->cut_short |= ended;
}

static void on_output(j_common_ptr jpeg)
{
	(void)jpeg;
}

static void on_progress(j_common_ptr jpeg)
{
	struct decoder *decoder = (struct decoder *)jpeg->err;

	if (decoder->jpeg.input_scan_number > SCANS_MOST)
		leave_with(decoder, STATUS_FORMAT, "it has too many scans");
}

/* Adobe's CMYK is stored inverted, and files without its marker are so, too, as a rule. ink[4] to rgb[3], n pixels; may
 * overlap from the start, as 3 bytes are written for each 4 read. */
static void rgb_from_inverted_cmyk(const uint8_t *ink, uint8_t *rgb, size_t n)
{
	for (size_t i = 0; i < n; i++, ink += 4, rgb += 3) {
		unsigned light = ink[3]; /* 255 - K */
		uint8_t out[3];
		for (int c = 0; c < 3; c++) {
			unsigned product = (255u - ink[c]) * light + 128, used = ((product >> 8) + product) >> 8;
			out[c] = (uint8_t)(light - used);
		}
		memcpy(rgb, out, 3);
	}
}

static void start(struct decoder *decoder, const uint8_t *bytes, size_t size, unsigned eighths, const struct image_sink *sink)
{
	struct jpeg_decompress_struct *jpeg = &decoder->jpeg;

	jpeg_mem_src(jpeg, bytes, size);
	jpeg_read_header(jpeg, TRUE);
	if (jpeg->num_components != 1 && jpeg->num_components != 3 && jpeg->num_components != 4)
		leave_with(decoder, STATUS_UNSUPPORTED, "it has neither 1, 3 nor 4 components");
	jpeg->out_color_space = jpeg->num_components == 4 ? JCS_CMYK : JCS_RGB;
	jpeg->scale_num = eighths;
	jpeg->scale_denom = 8;
	jpeg_start_decompress(jpeg);
	if (jpeg->output_width != sink->width || jpeg->output_height != sink->height)
		leave_with(decoder, STATUS_FORMAT, "its headers contradict each other");
	decoder->rows = malloc(mem_product(mem_product(ROWS, sink->width), (size_t)jpeg->output_components));
	if (!decoder->rows)
		leave_with(decoder, STATUS_MEMORY, "out of memory");
}

static void read_rows(struct decoder *decoder, const struct image_sink *sink)
{
	struct jpeg_decompress_struct *jpeg = &decoder->jpeg;
	size_t stride = sink->width * (size_t)jpeg->output_components;

	decoder->reading = true;
	for (size_t y = 0; y < sink->height;) {
		size_t have = 0, want = sink->height - y < ROWS ? sink->height - y : ROWS;
		while (have < want) {
			JSAMPROW row = decoder->rows + have * stride;
			have += jpeg_read_scanlines(jpeg, &row, 1);
		}
		if (jpeg->out_color_space == JCS_CMYK && image_colour_cmyk(sink->colour))
			image_colour_inks(sink->colour, decoder->rows, decoder->rows, have * sink->width);
		else if (jpeg->out_color_space == JCS_CMYK)
			rgb_from_inverted_cmyk(decoder->rows, decoder->rows, have * sink->width);
		image_rows_put(sink, y, have, decoder->rows);
		y += have;
	}
	jpeg_finish_decompress(jpeg);
}

static void decode(struct decoder *decoder, const uint8_t *bytes, size_t size, unsigned eighths, const struct image_sink *sink)
{
	if (setjmp(decoder->leave))
		return;
	jpeg_create_decompress(&decoder->jpeg);
	decoder->jpeg.progress = &decoder->progress;
	decoder->progress.progress_monitor = on_progress;
	start(decoder, bytes, size, eighths, sink);
	read_rows(decoder, sink);
}

enum status image_jpeg_decode(const uint8_t *bytes, size_t size, unsigned eighths, const struct image_sink *sink, bool *cut_short,
			      struct err *err)
{
	struct decoder decoder = {.status = STATUS_OK};

	decoder.jpeg.err = jpeg_std_error(&decoder.errors);
	decoder.errors.error_exit = on_error;
	decoder.errors.emit_message = on_message;
	decoder.errors.output_message = on_output;
	decode(&decoder, bytes, size, eighths, sink);
	jpeg_destroy_decompress(&decoder.jpeg);
	free(decoder.rows);
	*cut_short = decoder.cut_short;
	switch (decoder.status) {
	case STATUS_OK:
		return STATUS_OK;
	case STATUS_MEMORY:
		return err_memory(err, "decoding a JPEG");
	case STATUS_UNSUPPORTED:
		return err_set(err, decoder.status, "JPEG of a kind that is not supported: %s", decoder.message);
	default:
		return err_set(err, decoder.status, "damaged JPEG: %s", decoder.message);
	}
}

/* --- encoding --- */

struct encoder {
	struct jpeg_error_mgr errors; /* first, as above */
	jmp_buf leave;
	struct jpeg_compress_struct jpeg;
	struct jpeg_destination_mgr destination;
	struct buffer out;
	uint8_t chunk[16384];
	bool failed;
};

static void on_encoder_error(j_common_ptr jpeg)
{
	struct encoder *encoder = (struct encoder *)jpeg->err;

	encoder->failed = true;
	longjmp(encoder->leave, 1);
}

/* Not jpeg_mem_dest: after an error it leaves a pointer to a buffer that it has already freed. */
static void chunk_reset(j_compress_ptr jpeg)
{
	struct encoder *encoder = (struct encoder *)jpeg->err;

	encoder->destination.next_output_byte = encoder->chunk;
	encoder->destination.free_in_buffer = sizeof encoder->chunk;
}

static boolean chunk_full(j_compress_ptr jpeg)
{
	struct encoder *encoder = (struct encoder *)jpeg->err;

	buffer_append(&encoder->out, encoder->chunk, sizeof encoder->chunk);
	chunk_reset(jpeg);
	return TRUE;
}

static void chunk_last(j_compress_ptr jpeg)
{
	struct encoder *encoder = (struct encoder *)jpeg->err;

	buffer_append(&encoder->out, encoder->chunk, sizeof encoder->chunk - encoder->destination.free_in_buffer);
}

static void encode(struct encoder *encoder, const uint8_t *rgb, size_t width, size_t height, int quality)
{
	struct jpeg_compress_struct *jpeg = &encoder->jpeg;

	if (setjmp(encoder->leave))
		return;
	jpeg_create_compress(jpeg);
	encoder->destination = (struct jpeg_destination_mgr){
		.init_destination = chunk_reset, .empty_output_buffer = chunk_full, .term_destination = chunk_last};
	jpeg->dest = &encoder->destination;
	jpeg->image_width = (JDIMENSION)width;
	jpeg->image_height = (JDIMENSION)height;
	jpeg->input_components = 3;
	jpeg->in_color_space = JCS_RGB;
	jpeg_set_defaults(jpeg);
	jpeg_set_quality(jpeg, quality, TRUE);
	jpeg_start_compress(jpeg, TRUE);
	while (jpeg->next_scanline < jpeg->image_height) {
		JSAMPROW row = (JSAMPROW)(uintptr_t)(rgb + 3 * width * jpeg->next_scanline); /* libjpeg only reads it */
		jpeg_write_scanlines(jpeg, &row, 1);
	}
	jpeg_finish_compress(jpeg);
}

enum status image_encode_jpeg(const uint8_t *rgb, size_t width, size_t height, int quality, uint8_t **bytes, size_t *size, struct err *err)
{
	struct encoder encoder = {.failed = false};

	*bytes = NULL;
	*size = 0;
	if (!width || !height || width > JPEG_MAX_DIMENSION || height > JPEG_MAX_DIMENSION)
		return err_set(err, STATUS_UNSUPPORTED, "cannot write a JPEG of %zu x %zu pixels", width, height);
	encoder.jpeg.err = jpeg_std_error(&encoder.errors);
	encoder.errors.error_exit = on_encoder_error;
	encoder.errors.output_message = on_output;
	encode(&encoder, rgb, width, height, quality);
	jpeg_destroy_compress(&encoder.jpeg);
	if (encoder.failed || encoder.out.failed) {
		buffer_release(&encoder.out);
		return err_memory(err, "encoding a JPEG");
	}
	*bytes = (uint8_t *)encoder.out.data;
	*size = encoder.out.size;
	return STATUS_OK;
}
