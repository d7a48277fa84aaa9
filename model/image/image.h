/* image.h: the bytes of a photograph become the tensor that a CoCa sees.
 *
 *     bytes -> image_decode -> RGB, upright -> image_crop -> S x S -> image_normalise -> [3,S,S]
 *
 * Crops agree with Pillow's (bicubic, antialiased, 8-bit fixed point, two passes), to the bit in nearly every value:
 * shorter side to S, the other int(S * long / short), centre crop whose offset rounds half to even.
 */
#ifndef MODEL_IMAGE_IMAGE_H
#define MODEL_IMAGE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/image/said.h"
#include "schema/base/status.h"

enum image_format {
	IMAGE_UNKNOWN, IMAGE_JPEG, IMAGE_PNG, IMAGE_WEBP, IMAGE_HEIC, IMAGE_AVIF, IMAGE_GIF, IMAGE_TIFF, IMAGE_BMP,
	IMAGE_RAW, /* a camera's: its preview stands for it */
};

/* What the header says, without decoding a pixel. */
struct image_info {
	enum image_format format;
	size_t width, height;      /* upright: after EXIF orientation */
	int orientation;           /* EXIF's 1..8; 1 if there is none, or if the picture is stored upright */
};

struct image {
	size_t width, height;
	uint8_t *rgb;              /* [height,width,3]; freed by image_release */
	bool cut_short;            /* a JPEG whose last rows are missing: they are gray */
};

/* A picture of more pixels than this is refused before memory is taken. */
enum { IMAGE_PIXELS_MOST = 400 * 1000 * 1000 };

const char *image_format_name(enum image_format format);
/* Whether a file is called as pictures of these formats are: "a.JPG", "b.cr2". Not ".jpg". */
bool image_named(const char *name);

/* STATUS_UNSUPPORTED for a format that is not one of ours, STATUS_FORMAT for a damaged header. */
enum status image_probe(const uint8_t *bytes, size_t size, struct image_info *info, struct err *err);
/* And what the file says beside its pixels; said is the caller's to release, whatever comes back. */
enum status image_probe_said(const uint8_t *bytes, size_t size, struct image_info *info, struct image_said *said, struct err *err);

/* Decodes by content, whatever the name: JPEG (gray, CMYK and Adobe's inverted one too), PNG (palette, alpha, 16 bit),
 * WebP, HEIC, AVIF, GIF (of animations the first frame), TIFF (the first page), BMP, and the preview of raw files. Alpha is dropped
 * without blending, as Pillow's convert("RGB") does. EXIF orientation is applied, an embedded colour profile turned into sRGB.
 * pixels_most: 0 means IMAGE_PIXELS_MOST. Data that end early are an error (STATUS_FORMAT), but for a JPEG that lacks no more than
 * a tenth of its rows.
 * least: 0, or a side that is enough: then a JPEG or WebP may come out scaled to a half, a quarter or an eighth, with no less than
 * that on its shorter side; a reference decode passes 0. */
enum status image_decode(const uint8_t *bytes, size_t size, size_t least, size_t pixels_most, struct image *image, struct err *err);
void image_release(struct image *image);

/* image_decode's least for a crop to side. */
size_t image_enough(size_t side);

/* The reference crop. rgb[S,S,3]. */
enum status image_crop(const struct image *image, size_t side, uint8_t *rgb, struct err *err);

/* tensor[3,S,S] = (rgb / 255 - mean) / std */
void image_normalise(const uint8_t *rgb, size_t side, const float mean[3], const float std[3], float *tensor);

/* Writes pictures, for contact sheets, thumbnails and generated scenes. The caller frees *bytes. */
enum status image_encode_jpeg(const uint8_t *rgb, size_t width, size_t height, int quality, uint8_t **bytes, size_t *size, struct err *err);

/* 64 bits of which pictures that look the same differ in few, whatever their size. */
enum status image_hash(const struct image *image, uint64_t *hash, struct err *err);

/* Fits within width x height, keeping the proportions (never enlarges); out is a new image. */
enum status image_fit(const struct image *image, size_t width, size_t height, struct image *out, struct err *err);

#endif
