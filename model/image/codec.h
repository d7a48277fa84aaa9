/* codec.h: what image.c shares with its codecs and its resampler; nothing here is for others.
 *
 * A probe fills width and height as stored, and said; orientation only where EXIF has no say in it. image.c turns the size upright.
 * A decode is called with a checked probe and with image->rgb of upright size allocated; it puts its rows through rows_put.
 */
#ifndef MODEL_IMAGE_CODEC_H
#define MODEL_IMAGE_CODEC_H

#include <stdbool.h>

#include "model/image/image.h"
#include "schema/base/memory.h"

struct image_colour;

/* Where stored rows go: pixels of a picture that is stored width x height, and turned by orientation on the way. */
struct image_sink {
	size_t width, height; /* as stored */
	int orientation;      /* EXIF's 1..8 */
	uint8_t *rgb;         /* upright: [height,width,3], or [width,height,3] for orientations 5 to 8 */
	const struct image_colour *colour; /* NULL: none; a codec looks at it only where it has CMYK */
};

/* Puts count stored rows, rows[count,width,3], of which the first is row y. */
void image_rows_put(const struct image_sink *sink, size_t y, size_t count, const uint8_t *rows);

/* The orientation in a TIFF block, 0 where there is none; never reads beyond size. */
int image_exif_orientation(const uint8_t *tiff, size_t size);

/* The IPTC data among Photoshop's resources ("8BIM" ...), as JPEG and TIFF carry them. */
void image_photoshop_iptc(const uint8_t *resources, size_t size, struct image_said *said);

/* Each format: the stored size, metadata and orientation from the header; then the pixels. */
enum status image_jpeg_probe(const uint8_t *bytes, size_t size, struct image_info *info, struct image_said *said, struct err *err);
enum status image_png_probe(const uint8_t *bytes, size_t size, struct image_info *info, struct image_said *said, struct err *err);
enum status image_webp_probe(const uint8_t *bytes, size_t size, struct image_info *info, struct image_said *said, struct err *err);
enum status image_heif_probe(const uint8_t *bytes, size_t size, struct image_info *info, struct image_said *said, struct err *err);
enum status image_gif_probe(const uint8_t *bytes, size_t size, struct image_info *info, struct image_said *said, struct err *err);
enum status image_tiff_probe(const uint8_t *bytes, size_t size, struct image_info *info, struct image_said *said, struct err *err);
enum status image_bmp_probe(const uint8_t *bytes, size_t size, struct image_info *info, struct image_said *said, struct err *err);

/* Codecs that scale yield (size * eighths + 7) / 8 on either side, which the sink expects: 8 is a reference decode. */
/* *cut_short: the last rows are missing, and gray. */
enum status image_jpeg_decode(const uint8_t *bytes, size_t size, unsigned eighths, const struct image_sink *sink, bool *cut_short,
			      struct err *err);
enum status image_png_decode(const uint8_t *bytes, size_t size, const struct image_sink *sink, struct err *err);
/* Only where image_webp_scales may eighths be less than 8: frames of animations are placed by whole pixels. */
bool image_webp_scales(const uint8_t *bytes, size_t size);
enum status image_webp_decode(const uint8_t *bytes, size_t size, unsigned eighths, const struct image_sink *sink, struct err *err);
enum status image_heif_decode(const uint8_t *bytes, size_t size, const struct image_sink *sink, struct err *err);
enum status image_gif_decode(const uint8_t *bytes, size_t size, const struct image_sink *sink, struct err *err);
enum status image_tiff_decode(const uint8_t *bytes, size_t size, const struct image_sink *sink, struct err *err);
enum status image_bmp_decode(const uint8_t *bytes, size_t size, const struct image_sink *sink, struct err *err);

/* Appends the embedded colour profile, if there is one. */
void image_jpeg_profile(const uint8_t *bytes, size_t size, struct buffer *icc);
void image_png_profile(const uint8_t *bytes, size_t size, struct buffer *icc);
void image_webp_profile(const uint8_t *bytes, size_t size, struct buffer *icc);
void image_heif_profile(const uint8_t *bytes, size_t size, struct buffer *icc);
void image_tiff_profile(const uint8_t *bytes, size_t size, struct buffer *icc);

/* What turns a profile's colours into sRGB; NULL where nothing is to be turned: no profile, a broken one, or sRGB. */
struct image_colour *image_colour_open(const void *icc, size_t size);
void image_colour_free(struct image_colour *colour); /* takes NULL */
bool image_colour_cmyk(const struct image_colour *colour);
void image_colour_apply(const struct image_colour *colour, uint8_t *rgb /* [n,3] */, size_t n);
/* CMYK stored inverted (255: no ink) [n,4] -> rgb[n,3]; only where image_colour_cmyk. */
void image_colour_inks(const struct image_colour *colour, const uint8_t *inverted, uint8_t *rgb, size_t n);
/* A profile for colours that are named by ITU-T H.273's numbers, unless they are sRGB or near it. */
void image_colour_coded(unsigned primaries, unsigned transfer, struct buffer *icc);

/* A raw file's picture for people: a JPEG, or pixels. */
struct image_preview {
	const uint8_t *bytes;  /* of a JPEG; NULL for pixels */
	size_t size;
	size_t width, height;  /* of pixels */
	bool lying;            /* the sensor's picture is wider than it is high, before it is turned */
	uint8_t *owned;        /* the JPEG, or rgb[height,width,3] */
};
bool image_raw_is(const uint8_t *bytes, size_t size);
/* What a TIFF file, and one made like it, says in its first directory. */
void image_tiff_said(const uint8_t *bytes, size_t size, struct image_said *said);
/* What a raw file says itself. */
void image_raw_said(const uint8_t *bytes, size_t size, struct image_said *said);
enum status image_raw_preview(const uint8_t *bytes, size_t size, struct image_preview *preview, struct err *err);
void image_preview_release(struct image_preview *preview);

/* A width x height window at (left, top) of image resized to full_width x full_height. rgb[height,width,3]. */
struct image_window {
	size_t full_width, full_height, left, top, width, height;
};
enum status image_resample(const struct image *image, const struct image_window *window, uint8_t *rgb, struct err *err);

#endif
