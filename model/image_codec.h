/* image_codec.h: what image.c shares with its codecs and its resampler; nothing here is for others.
 *
 * A probe fills width and height as stored, and exif where the container holds it as it is; image.c turns the size upright.
 * A decode is called with a checked probe and with image->rgb of upright size allocated; it puts its rows through rows_put.
 */
#ifndef MODEL_IMAGE_CODEC_H
#define MODEL_IMAGE_CODEC_H

#include <stdbool.h>

#include "model/image.h"

/* Where stored rows go: pixels of a picture that is stored width x height, and turned by orientation on the way. */
struct image_sink {
	size_t width, height; /* as stored */
	int orientation;      /* EXIF's 1..8 */
	uint8_t *rgb;         /* upright: [height,width,3], or [width,height,3] for orientations 5 to 8 */
};

/* Puts count stored rows, rows[count,width,3], of which the first is row y. */
void image_rows_put(const struct image_sink *sink, size_t y, size_t count, const uint8_t *rows);

/* The orientation in a TIFF block, 1 where there is none; never reads beyond size. */
int image_exif_orientation(const uint8_t *tiff, size_t size);

/* Each format: the stored size, exif and orientation from the header; then the pixels. */
enum status image_jpeg_probe(const uint8_t *bytes, size_t size, struct image_info *info, struct err *err);
enum status image_png_probe(const uint8_t *bytes, size_t size, struct image_info *info, struct err *err);
enum status image_webp_probe(const uint8_t *bytes, size_t size, struct image_info *info, struct err *err);

/* The stored size that a decode for `least` yields; *eighths is for image_jpeg_decode. */
void image_jpeg_scale(size_t least, size_t *width, size_t *height, unsigned *eighths);
enum status image_jpeg_decode(const uint8_t *bytes, size_t size, unsigned eighths, const struct image_sink *sink, struct err *err);
enum status image_png_decode(const uint8_t *bytes, size_t size, const struct image_sink *sink, struct err *err);
enum status image_webp_decode(const uint8_t *bytes, size_t size, const struct image_sink *sink, struct err *err);

/* A width x height window at (left, top) of image resized to full_width x full_height. rgb[height,width,3]. */
struct image_window {
	size_t full_width, full_height, left, top, width, height;
};
enum status image_resample(const struct image *image, const struct image_window *window, uint8_t *rgb, struct err *err);

#endif
