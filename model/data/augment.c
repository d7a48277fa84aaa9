/* augment.c: see augment.h. */
#include "model/data/augment.h"

#include <math.h>

#include "model/image/image.h"
#include "model/image/codec.h"
#include "schema/base/random.h"

#include "schema/base/banned.h"

struct part {
	double left, top, width, height; /* in pixels of the upright photograph */
};

/* Ten tries, then the largest part in the middle whose sides are within the ratio. */
static struct part draw_part(const struct augment *augment, double width, double height, uint64_t *random)
{
	double least = log(3.0 / 4), most = log(4.0 / 3);

	for (int i = 0; i < 10; i++) {
		double area = width * height * (augment->scale_least + (1 - augment->scale_least) * random_unit(random));
		double ratio = exp(least + (most - least) * random_unit(random));
		double w = round(sqrt(area * ratio)), h = round(sqrt(area / ratio));
		double x = random_unit(random), y = random_unit(random);
		if (w >= 1 && h >= 1 && w <= width && h <= height)
			return (struct part){floor(x * (width - w + 1)), floor(y * (height - h + 1)), w, h};
	}
	double w = fmin(width, round(height * 4 / 3)), h = fmin(height, round(width * 4 / 3));
	return (struct part){floor((width - w) / 2), floor((height - h) / 2), w, h};
}

static struct part centre(double width, double height)
{
	double side = fmin(width, height);
	return (struct part){floor((width - side) / 2), floor((height - side) / 2), side, side};
}

static void mirror(uint8_t *rgb, size_t side)
{
	for (size_t y = 0; y < side; y++)
		for (size_t x = 0; x < side / 2; x++)
			for (size_t c = 0; c < 3; c++) {
				uint8_t *a = &rgb[(y * side + x) * 3 + c], *b = &rgb[(y * side + side - 1 - x) * 3 + c], swap = *a;
				*a = *b;
				*b = swap;
			}
}

/* Saturation, then contrast, then brightness, each by a factor of its own: together one affine map of a pixel and its gray. */
static void recolour(double colour, uint64_t *random, uint8_t *rgb, size_t side)
{
	float factor[3], mean = 0;
	size_t n = side * side;

	for (int i = 0; i < 3; i++)
		factor[i] = (float)(1 + colour * (2 * random_unit(random) - 1));
	float brightness = factor[0], contrast = factor[1], saturation = factor[2];
	for (size_t i = 0; i < n; i++)
		mean += 0.299f * (float)rgb[i * 3] + 0.587f * (float)rgb[i * 3 + 1] + 0.114f * (float)rgb[i * 3 + 2];
	mean /= (float)n;
	for (size_t i = 0; i < n; i++) {
		uint8_t *p = rgb + i * 3;
		float gray = 0.299f * (float)p[0] + 0.587f * (float)p[1] + 0.114f * (float)p[2];
		float offset = brightness * (contrast * (1 - saturation) * gray + (1 - contrast) * mean) + 0.5f;
		for (size_t c = 0; c < 3; c++) {
			float value = brightness * contrast * saturation * (float)p[c] + offset;
			p[c] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
		}
	}
}

/* The part of an image that was decoded at another size than probed, as a window of the image resized. */
static struct image_window window_of(const struct part *part, const struct image_info *info, const struct image *image, size_t side)
{
	double fx = (double)image->width / (double)info->width, fy = (double)image->height / (double)info->height;
	struct image_window window = {
		.full_width = (size_t)fmax(round((double)image->width * (double)side / (part->width * fx)), (double)side),
		.full_height = (size_t)fmax(round((double)image->height * (double)side / (part->height * fy)), (double)side),
		.left = (size_t)round(part->left * (double)side / part->width),
		.top = (size_t)round(part->top * (double)side / part->height),
		.width = side,
		.height = side,
	};
	if (window.left > window.full_width - side)
		window.left = window.full_width - side;
	if (window.top > window.full_height - side)
		window.top = window.full_height - side;
	return window;
}

enum status augment_image(const struct augment *augment, const uint8_t *bytes, size_t size, size_t side, uint64_t *random, uint8_t *rgb,
			  struct err *err)
{
	struct image_info info;
	struct image image = {0};
	enum status status = image_probe(bytes, size, &info, err);

	if (status != STATUS_OK)
		return status;
	double width = (double)info.width, height = (double)info.height;
	struct part part = augment->scale_least < 1 ? draw_part(augment, width, height, random) : centre(width, height);
	bool flip = augment->flip && random_unit(random) < 0.5;
	/* So large that the part's shorter side still has `side` pixels. */
	double least = ceil((double)side * fmin(width, height) / fmin(part.width, part.height));
	status = image_decode(bytes, size, least < 65536 ? (size_t)least : 0, 0, &image, err);
	if (status != STATUS_OK)
		return status;
	struct image_window window = window_of(&part, &info, &image, side);
	status = image_resample(&image, &window, rgb, err);
	if (flip && status == STATUS_OK)
		mirror(rgb, side);
	if (augment->colour > 0 && status == STATUS_OK)
		recolour(augment->colour, random, rgb, side);
	image_release(&image);
	return status;
}
