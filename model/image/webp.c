/* webp.c: WebP through libwebp, lossy and lossless, alpha dropped without blending; of an animation the first frame, on
 * black where it does not cover the canvas.
 *
 * RIFF: "RIFF" u32 size "WEBP", then chunks: fourcc, u32 size, body, a byte of padding if the size is odd. All little endian.
 */
#include <string.h>
#include <webp/decode.h>

#include "model/image/bytes.h"
#include "model/image/codec.h"

#include "schema/base/banned.h"

enum { RIFF_HEADER = 12, CHUNK_HEADER = 8, FRAME_HEADER = 16 };

/* The body of the first chunk of that name; NULL if there is none within the bytes. */
static const uint8_t *find_chunk(const uint8_t *bytes, size_t size, const char name[4], size_t *found)
{
	for (size_t at = RIFF_HEADER; at < size && size - at >= CHUNK_HEADER;) {
		size_t length = little32(bytes + at + 4), room = size - at - CHUNK_HEADER;
		if (length > room)
			return NULL;
		if (memcmp(bytes + at, name, 4) == 0) {
			*found = length;
			return bytes + at + CHUNK_HEADER;
		}
		at += CHUNK_HEADER + length + (length % 2 && length < room);
	}
	return NULL;
}

/* The header of the extended format, NULL if the file has none. */
static const uint8_t *extended(const uint8_t *bytes, size_t size)
{
	size_t found;

	if (size < RIFF_HEADER + 4 || memcmp(bytes + RIFF_HEADER, "VP8X", 4) != 0)
		return NULL;
	const uint8_t *header = find_chunk(bytes, size, "VP8X", &found);
	return header && found >= 10 ? header : NULL;
}

enum status image_webp_probe(const uint8_t *bytes, size_t size, struct image_info *info, struct image_said *said, struct err *err)
{
	const uint8_t *header = extended(bytes, size);

	if (!header) {
		WebPBitstreamFeatures features;
		if (WebPGetFeatures(bytes, size, &features) != VP8_STATUS_OK || features.width <= 0 || features.height <= 0)
			return err_set(err, STATUS_FORMAT, "damaged WebP: no frame header");
		info->width = (size_t)features.width;
		info->height = (size_t)features.height;
		return STATUS_OK;
	}
	info->width = (size_t)little24(header + 4) + 1;
	info->height = (size_t)little24(header + 7) + 1;
	size_t found;
	const uint8_t *chunk = find_chunk(bytes, size, "EXIF", &found);
	if (chunk)
		image_said_add_exif(said, chunk, found); /* some carry JPEG's prefix along */
	chunk = find_chunk(bytes, size, "XMP ", &found);
	if (chunk)
		image_said_add(said, SAID_XMP, chunk, found);
	return STATUS_OK;
}

void image_webp_profile(const uint8_t *bytes, size_t size, struct buffer *icc)
{
	size_t found;
	const uint8_t *profile = extended(bytes, size) ? find_chunk(bytes, size, "ICCP", &found) : NULL;

	if (profile)
		buffer_append(icc, profile, found);
}

/* Decodes a picture that is width x height when scaled into to, whose rows are stride bytes apart. */
static enum status decode_into(const uint8_t *bytes, size_t size, unsigned eighths, size_t width, size_t height, uint8_t *to,
			       size_t stride, struct err *err)
{
	WebPDecoderConfig config;

	if (!WebPInitDecoderConfig(&config))
		return err_set(err, STATUS_FAILED, "libwebp is of another version than its header");
	VP8StatusCode code = WebPGetFeatures(bytes, size, &config.input);
	if (code == VP8_STATUS_OK && (((size_t)config.input.width * eighths + 7) / 8 != width ||
				      ((size_t)config.input.height * eighths + 7) / 8 != height))
		return err_set(err, STATUS_FORMAT, "damaged WebP: its headers contradict each other");
	if (code == VP8_STATUS_OK) {
		config.output.colorspace = MODE_RGB;
		config.output.is_external_memory = 1;
		config.output.u.RGBA.rgba = to;
		config.output.u.RGBA.stride = (int)stride;
		config.output.u.RGBA.size = (height - 1) * stride + 3 * width;
		config.options.use_scaling = eighths < 8;
		config.options.scaled_width = (int)width;
		config.options.scaled_height = (int)height;
		code = WebPDecode(bytes, size, &config);
	}
	switch (code) {
	case VP8_STATUS_OK:
		return STATUS_OK;
	case VP8_STATUS_OUT_OF_MEMORY:
		return err_memory(err, "decoding a WebP");
	case VP8_STATUS_UNSUPPORTED_FEATURE:
		return err_set(err, STATUS_UNSUPPORTED, "WebP of a kind that is not supported");
	case VP8_STATUS_SUSPENDED:
	case VP8_STATUS_NOT_ENOUGH_DATA:
		return err_set(err, STATUS_FORMAT, "damaged WebP: its data end early");
	default:
		return err_set(err, STATUS_FORMAT, "damaged WebP: bad data");
	}
}

/* The first frame of an animation: u24 left/2, top/2, width-1, height-1, duration, u8 flags, then its picture's chunks. */
static enum status decode_frame(const uint8_t *bytes, size_t size, const struct image_sink *canvas, struct err *err)
{
	size_t found;
	const uint8_t *frame = find_chunk(bytes, size, "ANMF", &found);

	if (!frame || found <= FRAME_HEADER)
		return err_set(err, STATUS_FORMAT, "damaged WebP: its data end early");
	size_t left = 2 * (size_t)little24(frame), top = 2 * (size_t)little24(frame + 3);
	size_t width = (size_t)little24(frame + 6) + 1, height = (size_t)little24(frame + 9) + 1;
	if (left + width > canvas->width || top + height > canvas->height)
		return err_set(err, STATUS_FORMAT, "damaged WebP: a frame lies outside the picture");
	if (width < canvas->width || height < canvas->height)
		memset(canvas->rgb, 0, 3 * canvas->width * canvas->height);
	size_t stride = 3 * canvas->width;
	return decode_into(frame + FRAME_HEADER, found - FRAME_HEADER, 8, width, height, canvas->rgb + top * stride + 3 * left, stride,
			   err);
}

static bool is_animated(const uint8_t *bytes, size_t size)
{
	enum { ANIMATED = 0x02 };
	const uint8_t *header = extended(bytes, size);

	return header && header[0] & ANIMATED;
}

bool image_webp_scales(const uint8_t *bytes, size_t size)
{
	return !is_animated(bytes, size);
}

enum status image_webp_decode(const uint8_t *bytes, size_t size, unsigned eighths, const struct image_sink *sink, struct err *err)
{
	if (is_animated(bytes, size))
		return decode_frame(bytes, size, sink, err);
	return decode_into(bytes, size, eighths, sink->width, sink->height, sink->rgb, 3 * sink->width, err);
}
