/* Photographs to tensors: the crops against those that Pillow makes, the fast resampling against plain loops, orientation,
 * limits, and damaged files.
 *
 * tests/data/images: pictures, each with NAME.S.ppm, the crop of side S that Pillow 13 makes of it (EXIF orientation applied,
 * converted to RGB, shorter side to S, centre crop). gray16 was shifted to 8 bits first, as Pillow itself clips such pictures.
 */
#pragma GCC optimize("fp-contract=off") /* the plain twin's weights must round as they are written */

#include <fcntl.h>
#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <webp/encode.h>
#include <zlib.h>

#include "model/files/checkpoint.h"
#include "model/image/image.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "tests/support.h"

#include "schema/base/banned.h"

#define IMAGES "tests/data/images/"

struct crop_case {
	const char *name;
	size_t side;
};

static const struct crop_case crop_cases[] = {
	{"portrait-333x500.jpg", 48}, {"progressive-400x300.jpg", 48}, {"panorama-1500x120.jpg", 48}, {"small-31x29.jpg", 48},
	{"gray-320x240.jpg", 48}, {"orientation-5.jpg", 48}, {"cmyk-61x47.jpg", 32}, {"ycck-61x47.jpg", 32},
	{"png-gray-128x96.png", 48}, {"png-palette-180x140.png", 48}, {"rgba-61x47.png", 32}, {"gray-alpha-61x47.png", 32},
	{"gray16-61x47.png", 32}, {"rgb16-interlaced-31x23.png", 32}, {"bilevel-61x47.png", 32},
	{"palette-transparent-61x47.png", 32}, {"orientation-6-61x47.png", 32}, {"lossy-61x47.webp", 32},
	{"lossless-61x47.webp", 32}, {"alpha-61x47.webp", 32}, {"animated-61x47.webp", 32}, {"orientation-8-61x47.webp", 32},
	{"interlaced-61x47.gif", 32}, {"animated-61x47.gif", 32}, {"deflate-61x47.tif", 32}, {"rgba-61x47.tif", 32},
	{"palette-61x47.tif", 32}, {"bilevel-61x47.tif", 32}, {"cmyk-61x47.tif", 32}, {"gray16-61x47.tif", 32},
	{"jpeg-61x47.tif", 32}, {"orientation-6-61x47.tif", 32}, {"rgb-31x23.bmp", 32}, {"palette-61x47.bmp", 32},
	{"bilevel-61x47.bmp", 32},
};
enum { CROP_CASES = sizeof crop_cases / sizeof *crop_cases };

static uint8_t *read_bytes(const char *folder, const char *name, size_t *size)
{
	struct err err;
	uint8_t *bytes = NULL;

	assert_ok(file_read(test_path(folder, name), 1 << 24, &bytes, size, &err), &err);
	return bytes;
}

/* The crop of a file, the caller's to free. */
static uint8_t *crop_of(const char *folder, const char *name, size_t side)
{
	struct err err;
	struct image image;
	size_t size;
	uint8_t *bytes = read_bytes(folder, name, &size), *rgb = malloc(3 * side * side);

	assert_non_null(rgb);
	assert_ok(image_decode(bytes, size, 0, 0, &image, &err), &err);
	assert_ok(image_crop(&image, side, rgb, &err), &err);
	image_release(&image);
	free(bytes);
	return rgb;
}

/* At least 99.9 % of the values equal and none off by more than 1. */
static bool same_crop(const char *name, const uint8_t *ours, const uint8_t *expected, size_t values)
{
	size_t differ = 0;
	int largest = 0;

	for (size_t i = 0; i < values; i++) {
		int d = abs(ours[i] - expected[i]);
		differ += d > 0;
		largest = d > largest ? d : largest;
	}
	if (differ)
		printf("%s: %zu of %zu values differ, by up to %d\n", name, differ, values, largest);
	return largest <= 1 && differ * 1000 <= values;
}

static void crops_agree_with_pillow(void **state)
{
	bool all = true;

	(void)state;
	for (size_t i = 0; i < CROP_CASES; i++) {
		size_t side = crop_cases[i].side, size, values = 3 * side * side;
		char name[128];
		snprintf(name, sizeof name, "%s.%zu.ppm", crop_cases[i].name, side);
		uint8_t *ppm = read_bytes(IMAGES, name, &size), *ours = crop_of(IMAGES, crop_cases[i].name, side);
		assert_true(size > values);
		all &= same_crop(name, ours, ppm + size - values, values);
		free(ppm);
		free(ours);
	}
	assert_true(all);
}

static void crops_agree_with_the_reference(void **state)
{
	struct err err;
	struct checkpoint *expected;
	const char *folder = test_shared("reference/images");
	size_t compared = 0;
	bool all = true;

	(void)state;
	if (!folder)
		skip();
	assert_ok(checkpoint_open(test_path(folder, "expected.safetensors"), &expected, &err), &err);
	for (size_t i = 0; i < checkpoint_count(expected); i++) {
		const struct tensor *tensor = checkpoint_at(expected, i);
		const char *at = strrchr(tensor->name, '@');
		char file[128];
		assert_non_null(at);
		snprintf(file, sizeof file, "%.*s", (int)(at - tensor->name), tensor->name);
		size_t side = strtoul(at + 1, NULL, 10);
		assert_int_equal(tensor->size, 3 * side * side);
		uint8_t *ours = crop_of(folder, file, side);
		all &= same_crop(tensor->name, ours, tensor->data, tensor->size);
		compared += tensor->size;
		free(ours);
	}
	checkpoint_close(expected);
	printf("%zu values compared\n", compared);
	assert_true(all && compared > 3000000);
}

/* --- the plain twin of the resampling --- */

static double plain_cubic(double x)
{
	const double a = -0.5;

	x = x < 0 ? -x : x;
	if (x < 1)
		return ((a + 2) * x - (a + 3)) * x * x + 1;
	return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/* One pass over a line of size values, stride apart, into full values. */
static void plain_line(const uint8_t *from, size_t stride, size_t size, uint8_t *to, size_t to_stride, size_t full)
{
	double scale = (double)size / (double)full, shrink = scale > 1 ? scale : 1, support = 2 * shrink, weights[4096];

	for (size_t i = 0; i < full; i++) {
		double centre = ((double)i + 0.5) * scale, total = 0;
		int first = (int)(centre - support + 0.5), end = (int)(centre + support + 0.5);
		first = first < 0 ? 0 : first;
		end = end > (int)size ? (int)size : end;
		assert_true(end - first <= 4096);
		for (int x = first; x < end; x++)
			total += weights[x - first] = plain_cubic((x - centre + 0.5) * (1 / shrink));
		int64_t sum = 1 << 21;
		for (int x = first; x < end; x++) {
			double w = weights[x - first] / total * (1 << 22);
			sum += (int64_t)(w < 0 ? w - 0.5 : w + 0.5) * from[(size_t)x * stride];
		}
		sum >>= 22;
		to[i * to_stride] = (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
	}
}

/* Everything is resized, then cut out. */
static void plain_crop(const struct image *image, size_t side, uint8_t *rgb)
{
	size_t w = image->width, h = image->height, shorter = w < h ? w : h;
	size_t full_w = w < h ? side : side * w / shorter, full_h = w < h ? side * h / shorter : side;
	uint8_t *across = malloc(3 * full_w * h), *full = malloc(3 * full_w * full_h);
	size_t left = (size_t)lrint((double)(full_w - side) / 2), top = (size_t)lrint((double)(full_h - side) / 2); /* half to even */

	assert_true(across && full);
	for (size_t y = 0; y < h; y++)
		for (size_t c = 0; c < 3; c++)
			plain_line(image->rgb + 3 * w * y + c, 3, w, across + 3 * full_w * y + c, 3, full_w);
	for (size_t v = 0; v < 3 * full_w; v++)
		plain_line(across + v, 3 * full_w, h, full + v, 3 * full_w, full_h);
	for (size_t y = 0; y < side; y++)
		memcpy(rgb + 3 * side * y, full + 3 * (full_w * (top + y) + left), 3 * side);
	free(across);
	free(full);
}

/* Noise, with runs of black and white that drive the cubic over its ends. */
static struct image noise(size_t width, size_t height, uint64_t *random)
{
	struct image image = {.width = width, .height = height, .rgb = malloc(3 * width * height)};

	assert_non_null(image.rgb);
	for (size_t i = 0; i < 3 * width * height; i++) {
		uint64_t r = test_random(random);
		image.rgb[i] = r % 3 ? (uint8_t)(r >> 8) : (uint8_t)(r >> 20 & 1 ? 255 : 0);
	}
	return image;
}

static void crop_equals_its_plain_twin_to_the_bit(void **state)
{
	static const size_t odd[][3] = {{1, 1, 7}, {1, 500, 9}, {700, 1, 16}, {2, 3, 33}, {3, 2, 1}, {40, 40, 40}, {40, 90, 40},
					{91, 40, 40}, {1500, 12, 48}, {13, 1100, 32}, {5, 9, 64}, {641, 427, 48}};
	enum { ODD = sizeof odd / sizeof *odd };
	uint64_t random = 7;

	(void)state;
	for (size_t i = 0; i < ODD + 60; i++) {
		size_t w = i < ODD ? odd[i][0] : 1 + test_random(&random) % 150, h = i < ODD ? odd[i][1] : 1 + test_random(&random) % 150;
		size_t side = i < ODD ? odd[i][2] : 1 + test_random(&random) % 70;
		struct image image = noise(w, h, &random);
		uint8_t *fast = malloc(3 * side * side), *plain = malloc(3 * side * side);
		struct err err;
		assert_true(fast && plain);
		assert_ok(image_crop(&image, side, fast, &err), &err);
		plain_crop(&image, side, plain);
		if (memcmp(fast, plain, 3 * side * side) != 0)
			fail_msg("%zu x %zu to %zu differs", w, h, side);
		free(fast);
		free(plain);
		image_release(&image);
	}
}

static void crop_of_the_wanted_size_is_the_picture_itself(void **state)
{
	uint64_t random = 3;
	struct image image = noise(37, 37, &random);
	uint8_t rgb[3 * 37 * 37];
	struct err err;

	(void)state;
	assert_ok(image_crop(&image, 37, rgb, &err), &err);
	assert_memory_equal(rgb, image.rgb, sizeof rgb);
	assert_int_equal(image_crop(&image, 0, rgb, &err), STATUS_FORMAT);
	image_release(&image);
}

static void fit_keeps_proportions_and_never_enlarges(void **state)
{
	uint64_t random = 5;
	struct image image = noise(200, 100, &random), out;
	struct err err;

	(void)state;
	assert_ok(image_fit(&image, 50, 50, &out, &err), &err);
	assert_int_equal(out.width, 50);
	assert_int_equal(out.height, 25);
	image_release(&out);
	assert_ok(image_fit(&image, 500, 10, &out, &err), &err);
	assert_int_equal(out.width, 20);
	assert_int_equal(out.height, 10);
	image_release(&out);
	assert_ok(image_fit(&image, 300, 300, &out, &err), &err);
	assert_int_equal(out.width, 200);
	assert_memory_equal(out.rgb, image.rgb, 3 * 200 * 100);
	image_release(&out);
	assert_ok(image_fit(&image, 1, 1, &out, &err), &err);
	assert_int_equal(out.height, 1);
	image_release(&out);
	image_release(&image);
}

static void normalise_puts_channels_in_planes(void **state)
{
	static const uint8_t rgb[12] = {0, 255, 51, 1, 2, 3, 4, 5, 6, 255, 0, 102};
	static const float mean[3] = {0.5f, 0.25f, 0}, std[3] = {0.5f, 0.25f, 2};
	float tensor[12], expected[12];

	(void)state;
	for (int i = 0; i < 4; i++)
		for (int c = 0; c < 3; c++)
			expected[4 * c + i] = ((float)rgb[3 * i + c] / 255 - mean[c]) / std[c];
	image_normalise(rgb, 2, mean, std, tensor);
	assert_true(test_close("tensor", tensor, expected, 12, 0));
	assert_true(tensor[0] == -1 && tensor[4] == 3);
}

/* --- making files --- */

static void put_u32(struct buffer *to, uint32_t v, bool little)
{
	uint8_t big[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
	uint8_t small[4] = {big[3], big[2], big[1], big[0]};

	buffer_append(to, little ? small : big, 4);
}

/* A TIFF block with an orientation behind another tag. */
static size_t make_exif(int orientation, bool little, uint8_t exif[38])
{
	static const uint8_t small[38] = {'I', 'I', 42, 0, 8, 0, 0, 0, 2, 0, 0, 1, 4, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0x12, 1, 3, 0, 1, 0, 0, 0};
	static const uint8_t big[38] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 2, 1, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 9, 1, 0x12, 0, 3, 0, 0, 0, 1};

	memcpy(exif, little ? small : big, 38);
	exif[little ? 30 : 31] = (uint8_t)orientation;
	return 38;
}

static void png_chunk(struct buffer *to, const char *name, const void *body, size_t size)
{
	uLong crc = crc32(0, (const Bytef *)name, 4);

	put_u32(to, (uint32_t)size, false);
	buffer_append(to, name, 4);
	buffer_append(to, body, size);
	put_u32(to, (uint32_t)(size ? crc32(crc, body, (uInt)size) : crc), false);
}

/* A PNG, and its EXIF as a chunk of its own, or as hexadecimal text if raw. */
static struct buffer make_png(const struct image *image, const uint8_t *exif, size_t exif_size, bool raw)
{
	png_image png = {.version = PNG_IMAGE_VERSION, .format = PNG_FORMAT_RGB};
	png_alloc_size_t size = 0;
	struct buffer out = {0}, text = {0};
	enum { FRONT = 8 + 25 }; /* signature and IHDR */

	png.width = (png_uint_32)image->width;
	png.height = (png_uint_32)image->height;
	assert_true(png_image_write_to_memory(&png, NULL, &size, 0, image->rgb, 0, NULL));
	uint8_t *bytes = malloc(size);
	assert_non_null(bytes);
	assert_true(png_image_write_to_memory(&png, bytes, &size, 0, image->rgb, 0, NULL));
	buffer_append(&out, bytes, FRONT);
	if (raw) {
		buffer_append(&text, "Raw profile type exif", 22);
		buffer_format(&text, "\nexif\n%8zu\n457869660000", exif_size + 6);
		for (size_t i = 0; i < exif_size; i++)
			buffer_format(&text, i % 36 ? "%02x" : "\n%02x", exif[i]);
		png_chunk(&out, "tEXt", text.data, text.size);
		buffer_release(&text);
	} else if (exif) {
		png_chunk(&out, "eXIf", exif, exif_size);
	}
	buffer_append(&out, bytes + FRONT, size - FRONT);
	free(bytes);
	return out;
}

static struct buffer make_jpeg(const struct image *image, const uint8_t *exif, size_t exif_size)
{
	struct err err;
	struct buffer out = {0};
	uint8_t *bytes;
	size_t size;

	assert_ok(image_encode_jpeg(image->rgb, image->width, image->height, 90, &bytes, &size, &err), &err);
	buffer_append(&out, bytes, 2);
	if (exif) {
		uint8_t head[] = {0xff, 0xe1, 0, (uint8_t)(exif_size + 8)};
		buffer_append(&out, head, sizeof head);
		buffer_append(&out, "Exif\0", 6);
		buffer_append(&out, exif, exif_size);
	}
	buffer_append(&out, bytes + 2, size - 2);
	free(bytes);
	return out;
}

static struct buffer make_webp(const struct image *image, const uint8_t *exif, size_t exif_size)
{
	uint8_t *bytes, head[10] = {8}; /* flags: EXIF */
	size_t size = WebPEncodeLosslessRGB(image->rgb, (int)image->width, (int)image->height, (int)image->width * 3, &bytes);
	struct buffer out = {0};

	assert_true(size > 12);
	for (int i = 0; i < 3; i++) {
		head[4 + i] = (uint8_t)((image->width - 1) >> 8 * i);
		head[7 + i] = (uint8_t)((image->height - 1) >> 8 * i);
	}
	buffer_text(&out, "RIFF");
	put_u32(&out, (uint32_t)(4 + (exif ? 8 + 10 + 8 + exif_size : 0) + size - 12), true);
	buffer_text(&out, "WEBP");
	if (exif) {
		buffer_text(&out, "VP8X");
		put_u32(&out, 10, true);
		buffer_append(&out, head, 10);
	}
	buffer_append(&out, bytes + 12, size - 12);
	if (exif) {
		buffer_text(&out, "EXIF");
		put_u32(&out, (uint32_t)exif_size, true);
		buffer_append(&out, exif, exif_size);
	}
	WebPFree(bytes);
	return out;
}

enum made { MADE_JPEG, MADE_PNG, MADE_PNG_RAW, MADE_WEBP, MADE };

static struct buffer make(enum made kind, const struct image *image, const uint8_t *exif, size_t exif_size)
{
	if (kind == MADE_JPEG)
		return make_jpeg(image, exif, exif_size);
	if (kind == MADE_WEBP)
		return make_webp(image, exif, exif_size);
	return make_png(image, exif, exif_size, kind == MADE_PNG_RAW);
}

/* --- orientation --- */

/* EXIF's own words: on which side of the upright picture the stored row 0 and column 0 lie. */
static const struct {
	char row, column;
} sides[9] = {{0, 0}, {'t', 'l'}, {'t', 'r'}, {'b', 'r'}, {'b', 'l'}, {'l', 't'}, {'r', 't'}, {'r', 'b'}, {'l', 'b'}};

/* Where the stored pixel (x, y) is seen. */
static void seen_at(int orientation, size_t width, size_t height, size_t x, size_t y, size_t *seen_x, size_t *seen_y)
{
	char row = sides[orientation].row, column = sides[orientation].column;

	*seen_x = row == 'l' ? y : row == 'r' ? height - 1 - y : column == 'l' ? x : width - 1 - x;
	*seen_y = row == 't' ? y : row == 'b' ? height - 1 - y : column == 't' ? x : width - 1 - x;
}

static void orientations_show_the_same_upright_picture(void **state)
{
	uint64_t random = 11;
	struct err err;

	(void)state;
	for (int kind = 0; kind < MADE; kind++) {
		struct image stored = noise(83, 37, &random), plain, turned;
		struct buffer file = make(kind == MADE_PNG_RAW ? MADE_PNG : kind, &stored, NULL, 0);
		assert_ok(image_decode((uint8_t *)file.data, file.size, 0, 0, &plain, &err), &err);
		buffer_release(&file);
		for (int o = 1; o <= 8; o++) {
			uint8_t exif[38];
			struct image_info info;
			size_t exif_size = make_exif(o, o % 2, exif);
			file = make(kind, &stored, exif, exif_size);
			assert_ok(image_probe((uint8_t *)file.data, file.size, &info, &err), &err);
			assert_ok(image_decode((uint8_t *)file.data, file.size, 0, 0, &turned, &err), &err);
			assert_int_equal(info.orientation, o);
			assert_int_equal(info.width, o > 4 ? 37 : 83);
			assert_int_equal(turned.width, info.width);
			assert_int_equal(turned.height, info.height);
			for (size_t y = 0; y < 37; y++)
				for (size_t x = 0; x < 83; x++) {
					size_t u, v;
					seen_at(o, 83, 37, x, y, &u, &v);
					assert_memory_equal(turned.rgb + 3 * (v * turned.width + u), plain.rgb + 3 * (y * 83 + x), 3);
				}
			image_release(&turned);
			buffer_release(&file);
		}
		image_release(&plain);
		image_release(&stored);
	}
}

static void probe_finds_the_exif_block(void **state)
{
	uint64_t random = 13;
	struct image image = noise(9, 5, &random);
	uint8_t exif[38];
	size_t exif_size = make_exif(3, true, exif);
	struct err err;

	(void)state;
	for (int kind = 0; kind < MADE; kind++) {
		static const enum image_format formats[] = {IMAGE_JPEG, IMAGE_PNG, IMAGE_PNG, IMAGE_WEBP};
		struct buffer file = make(kind, &image, exif, exif_size);
		struct image_info info;
		struct image_said said;
		assert_ok(image_probe_said((uint8_t *)file.data, file.size, &info, &said, &err), &err);
		assert_int_equal(info.format, formats[kind]);
		assert_int_equal(said.count, 1);
		assert_int_equal(said.blocks[0].kind, SAID_EXIF);
		assert_int_equal(said.blocks[0].size, exif_size);
		assert_memory_equal(said.blocks[0].bytes, exif, exif_size);
		image_said_release(&said);
		buffer_release(&file);
	}
	image_release(&image);
}

static void senseless_orientations_are_ignored(void **state)
{
	uint64_t random = 17;
	struct image image = noise(9, 5, &random);
	uint8_t exif[38];
	struct err err;

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct image_info info;
		make_exif(i == 0 ? 0 : i == 1 ? 9 : 6, true, exif);
		if (i == 2)
			exif[24] = 2; /* a string */
		if (i == 3)
			exif[7] = 0x7f; /* the directory lies beyond the end */
		struct buffer file = make_png(&image, exif, 38, false);
		assert_ok(image_probe((uint8_t *)file.data, file.size, &info, &err), &err);
		assert_int_equal(info.orientation, 1);
		buffer_release(&file);
	}
	image_release(&image);
}

/* --- JPEG alone --- */

static void scaled_decode_keeps_enough_pixels(void **state)
{
	static const size_t least[] = {1, 41, 42, 83, 84, 166, 167, 333, 1000};
	static const size_t width[] = {42, 42, 42, 84, 84, 167, 167, 333, 333};
	size_t size;
	uint8_t *bytes = read_bytes(IMAGES, "portrait-333x500.jpg", &size), full[3 * 32 * 32], scaled[3 * 32 * 32];
	struct image image;
	struct err err;

	(void)state;
	for (size_t i = 0; i < 9; i++) {
		assert_ok(image_decode(bytes, size, least[i], 0, &image, &err), &err);
		assert_int_equal(image.width, width[i]);
		image_release(&image);
	}
	free(bytes);
	/* A crop from the scaled picture looks like one from the full one. */
	bytes = read_bytes(IMAGES, "gray-320x240.jpg", &size);
	uint8_t *reference = crop_of(IMAGES, "gray-320x240.jpg", 32);
	memcpy(full, reference, sizeof full);
	free(reference);
	assert_ok(image_decode(bytes, size, 64, 0, &image, &err), &err);
	assert_ok(image_crop(&image, 32, scaled, &err), &err);
	image_release(&image);
	double sum = 0;
	for (size_t i = 0; i < sizeof full; i++)
		sum += abs(full[i] - scaled[i]);
	printf("mean difference from the full decode: %.2f of 255\n", sum / sizeof full);
	assert_true(sum / sizeof full < 4);
	free(bytes);
}

static void scaled_webp_looks_like_the_full_one(void **state)
{
	enum { WIDTH = 199, HEIGHT = 150, SIDE = 24 };
	struct image image = {.width = WIDTH, .height = HEIGHT, .rgb = malloc(3 * WIDTH * HEIGHT)}, full, scaled;
	uint8_t crops[2][3 * SIDE * SIDE];
	struct err err;

	(void)state;
	assert_non_null(image.rgb);
	for (size_t i = 0; i < 3 * WIDTH * HEIGHT; i++)
		image.rgb[i] = (uint8_t)(128 + 100 * sin((double)(i / 3 % WIDTH) / (5 + (double)(i % 3))) * cos((double)(i / 3 / WIDTH) / 9));
	struct buffer file = make_webp(&image, NULL, 0);
	assert_ok(image_decode((uint8_t *)file.data, file.size, 0, 0, &full, &err), &err);
	assert_ok(image_decode((uint8_t *)file.data, file.size, image_enough(SIDE), 0, &scaled, &err), &err);
	assert_int_equal(scaled.width, 50);
	assert_int_equal(scaled.height, 38);
	assert_ok(image_crop(&full, SIDE, crops[0], &err), &err);
	assert_ok(image_crop(&scaled, SIDE, crops[1], &err), &err);
	double sum = 0;
	for (size_t i = 0; i < sizeof crops[0]; i++)
		sum += abs(crops[0][i] - crops[1][i]);
	printf("mean difference from the full decode: %.2f of 255\n", sum / sizeof crops[0]);
	assert_true(sum / sizeof crops[0] < 4);
	image_release(&scaled);
	image_release(&full);
	image_release(&image);
	buffer_release(&file);
}

/* Its frames are placed by whole pixels. */
static void animated_webp_is_never_scaled(void **state)
{
	size_t size;
	uint8_t *bytes = read_bytes(IMAGES, "animated-61x47.webp", &size);
	struct image image;
	struct err err;

	(void)state;
	assert_ok(image_decode(bytes, size, 5, 0, &image, &err), &err);
	assert_int_equal(image.width, 61);
	assert_int_equal(image.height, 47);
	image_release(&image);
	free(bytes);
}

static void encoded_jpegs_come_back(void **state)
{
	struct image image = {.width = 96, .height = 64, .rgb = malloc(3 * 96 * 64)}, back;
	struct err err;
	uint8_t *bytes;
	size_t size;
	double sum = 0;

	(void)state;
	assert_non_null(image.rgb);
	for (size_t i = 0; i < 96 * 64; i++)
		for (size_t c = 0; c < 3; c++)
			image.rgb[3 * i + c] = (uint8_t)(128 + 100 * sin((double)(i % 96) / 20 + (double)c) * cos((double)(i / 96) / 15));
	assert_ok(image_encode_jpeg(image.rgb, 96, 64, 95, &bytes, &size, &err), &err);
	assert_ok(image_decode(bytes, size, 0, 0, &back, &err), &err);
	assert_int_equal(back.width, 96);
	assert_int_equal(back.height, 64);
	for (size_t i = 0; i < 3 * 96 * 64; i++)
		sum += abs(image.rgb[i] - back.rgb[i]);
	assert_true(sum / (3 * 96 * 64) < 3);
	image_release(&back);
	free(bytes);
	assert_int_equal(image_encode_jpeg(image.rgb, 70000, 1, 90, &bytes, &size, &err), STATUS_UNSUPPORTED);
	assert_int_equal(image_encode_jpeg(image.rgb, 0, 1, 90, &bytes, &size, &err), STATUS_UNSUPPORTED);
	image_release(&image);
}

static void stray_bytes_in_a_jpeg_are_lived_with(void **state)
{
	size_t size;
	uint8_t *bytes = read_bytes(IMAGES, "small-31x29.jpg", &size);
	struct buffer file = {0};
	struct image image;
	struct err err;

	(void)state;
	size_t first = 4 + ((size_t)bytes[4] << 8 | bytes[5]); /* behind the first segment */
	buffer_append(&file, bytes, first);
	buffer_text(&file, "stray"); /* libjpeg warns of it and goes on */
	buffer_append(&file, bytes + first, size - first);
	buffer_text(&file, "and a thumbnail, say, behind the end");
	assert_ok(image_decode((uint8_t *)file.data, file.size, 0, 0, &image, &err), &err);
	assert_int_equal(image.width, 31);
	image_release(&image);
	buffer_release(&file);
	free(bytes);
}

static void a_jpeg_of_endless_scans_is_refused(void **state)
{
	size_t size, scan = 0;
	uint8_t *bytes = read_bytes(IMAGES, "progressive-400x300.jpg", &size);
	struct buffer file = {0};
	struct image image;
	struct err err;

	(void)state;
	for (size_t i = 0; i + 1 < size; i++)
		if (bytes[i] == 0xff && bytes[i + 1] == 0xda)
			scan = i; /* the last one */
	assert_true(scan > 0);
	buffer_append(&file, bytes, scan);
	for (int i = 0; i < 600; i++)
		buffer_append(&file, bytes + scan, size - 2 - scan);
	buffer_append(&file, bytes + size - 2, 2);
	assert_int_equal(image_decode((uint8_t *)file.data, file.size, 0, 0, &image, &err), STATUS_FORMAT);
	assert_non_null(strstr(err.text, "too many scans"));
	buffer_release(&file);
	free(bytes);
}

/* --- what is refused --- */

static void other_formats_are_refused_by_name(void **state)
{
	static const struct {
		const char *bytes, *word;
		size_t size;
	} cases[] = {{"\xff\x0a..........", "JPEG XL", 12}, {"\0\0\0\x0cJXL \r\n\x87\n....", "JPEG XL", 16}, {"8BPS........", "Photoshop", 12},
		     {"\0\0\0\x0cjP  \r\n\x87\n....", "JPEG 2000", 16}, {"\0\0\0\x18" "ftypisom....mp41....", "not a JPEG", 24},
		     {"hello, world", "not a JPEG", 12}, {"RIFF....WAVE", "not a JPEG", 12}};
	struct image_info info;
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(image_probe((const uint8_t *)cases[i].bytes, cases[i].size, &info, &err), STATUS_UNSUPPORTED);
		assert_non_null(strstr(err.text, cases[i].word));
	}
	assert_int_equal(image_probe((const uint8_t *)"", 0, &info, &err), STATUS_FORMAT);
}

static void bombs_are_refused_before_memory_is_taken(void **state)
{
	static const uint8_t jpeg[] = {0xff, 0xd8, 0xff, 0xc0, 0, 17, 8, 0xea, 0x60, 0xea, 0x60, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1,
				       0xff, 0xda, 0, 12};
	static const uint8_t webp[] = {'R', 'I', 'F', 'F', 50, 0, 0, 0, 'W', 'E', 'B', 'P', 'V', 'P', '8', 'X', 10, 0, 0, 0,
				       0, 0, 0, 0, 0x5f, 0xea, 0, 0x5f, 0xea, 0, 'V', 'P', '8', ' ', 4, 0, 0, 0, 0, 0, 0, 0};
	static const uint8_t ihdr[13] = {0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60, 8, 2};
	struct buffer png = {0};
	struct rusage before, after;
	struct image image;
	struct err err;

	(void)state;
	buffer_append(&png, "\x89PNG\r\n\x1a\n", 8);
	png_chunk(&png, "IHDR", ihdr, 13);
	png_chunk(&png, "IDAT", "x", 1);
	getrusage(RUSAGE_SELF, &before);
	assert_int_equal(image_decode(jpeg, sizeof jpeg, 0, 0, &image, &err), STATUS_MEMORY);
	assert_non_null(strstr(err.text, "60000 x 60000"));
	assert_int_equal(image_decode(webp, sizeof webp, 0, 0, &image, &err), STATUS_MEMORY);
	assert_int_equal(image_decode((uint8_t *)png.data, png.size, 0, 0, &image, &err), STATUS_MEMORY);
	assert_null(image.rgb);
	getrusage(RUSAGE_SELF, &after);
	assert_true(after.ru_maxrss - before.ru_maxrss < 32 * 1024);
	buffer_release(&png);
}

static void pixels_most_is_a_limit(void **state)
{
	struct err err;
	struct image image;

	(void)state;
	for (size_t i = 0; i < CROP_CASES; i++) {
		size_t size;
		uint8_t *bytes = read_bytes(IMAGES, crop_cases[i].name, &size);
		struct image_info info;
		assert_ok(image_probe(bytes, size, &info, &err), &err);
		assert_int_equal(image_decode(bytes, size, 0, info.width * info.height - 1, &image, &err), STATUS_MEMORY);
		assert_ok(image_decode(bytes, size, 0, info.width * info.height, &image, &err), &err);
		assert_int_equal(image.width, info.width);
		assert_int_equal(image.height, info.height);
		image_release(&image);
		free(bytes);
	}
}

/* --- damage --- */

/* Copies to a block of exactly that size, so that the sanitizer sees a read beyond it. */
static enum status decode_part(const uint8_t *bytes, size_t size, struct err *err)
{
	struct image image;
	uint8_t *part = malloc(size ? size : 1);

	assert_non_null(part);
	memcpy(part, bytes, size);
	enum status status = image_decode(part, size, 0, 1 << 20, &image, err);
	image_release(&image);
	free(part);
	return status;
}

/* What may be missing without harm, as it stands behind the last pixel: PNG's closing checksums and chunk, WebP's EXIF, the second
 * frame of an animation, GIF's end, BMP's padding, a tag of TIFF that does not matter; and the last tenth of a JPEG. */
static size_t tail_of(const char *name, size_t size)
{
	const char *dot = strrchr(name, '.');

	if (strncmp(name, "animated", 8) == 0)
		return size / 2 + 64;
	if (strcmp(dot, ".jpg") == 0) /* the last tenth of the rows, or finer details of them */
		return strstr(name, "progressive") ? 3 * size / 4 : size / 4;
	return strcmp(dot, ".png") == 0 ? 12 + 8 : strcmp(dot, ".bmp") == 0 || strcmp(dot, ".gif") == 0 ? 4 : 64;
}

static void truncated_files_are_errors(void **state)
{
	(void)state;
	for (size_t i = 0; i < CROP_CASES; i++) {
		size_t size;
		uint8_t *bytes = read_bytes(IMAGES, crop_cases[i].name, &size);
		size_t step = 1 + size / 150;
		for (size_t cut = 1 + tail_of(crop_cases[i].name, size); cut <= size; cut += cut < 64 ? 1 : step) {
			struct err err = {0};
			if (decode_part(bytes, size - cut, &err) == STATUS_OK)
				fail_msg("'%s' without its last %zu bytes is taken for whole", crop_cases[i].name, cut);
			assert_true(err.text[0]);
		}
		free(bytes);
	}
}

static void flipped_bits_neither_crash_nor_print(void **state)
{
	const char *log = test_path(test_folder(), "stderr");
	int kept = dup(2), file = open(log, O_WRONLY | O_CREAT, 0600);
	uint64_t random = 19;
	size_t size, refused = 0, taken = 0;

	(void)state;
	assert_true(kept >= 0 && file >= 0);
	fflush(stderr);
	dup2(file, 2);
	for (size_t i = 0; i < CROP_CASES; i++) {
		uint8_t *bytes = read_bytes(IMAGES, crop_cases[i].name, &size);
		for (int round = 0; round < 60; round++) {
			uint8_t *damaged = (uint8_t *)mem_copy(bytes, size);
			struct err err;
			assert_non_null(damaged);
			size_t reach = round % 2 || size < 600 ? size : 600; /* every other time only the headers */
			for (int flip = 0; flip <= round % 4; flip++)
				damaged[test_random(&random) % reach] ^= (uint8_t)(1 << test_random(&random) % 8);
			if (decode_part(damaged, size, &err) == STATUS_OK)
				taken++;
			else
				refused++;
			free(damaged);
		}
		free(bytes);
	}
	fflush(stderr);
	dup2(kept, 2);
	close(kept);
	close(file);
	printf("%zu refused, %zu taken\n", refused, taken);
	assert_true(refused > 100 && taken > 100);
	struct stat st;
	assert_int_equal(stat(log, &st), 0);
	assert_int_equal(st.st_size, 0);
}

TEST_MAIN(cmocka_unit_test(normalise_puts_channels_in_planes), cmocka_unit_test(crop_of_the_wanted_size_is_the_picture_itself),
	  cmocka_unit_test(fit_keeps_proportions_and_never_enlarges), cmocka_unit_test(other_formats_are_refused_by_name),
	  cmocka_unit_test(bombs_are_refused_before_memory_is_taken), cmocka_unit_test(senseless_orientations_are_ignored),
	  cmocka_unit_test(probe_finds_the_exif_block), cmocka_unit_test(orientations_show_the_same_upright_picture),
	  cmocka_unit_test(scaled_webp_looks_like_the_full_one),
	  cmocka_unit_test(animated_webp_is_never_scaled), cmocka_unit_test(encoded_jpegs_come_back), cmocka_unit_test(stray_bytes_in_a_jpeg_are_lived_with),
	  cmocka_unit_test(a_jpeg_of_endless_scans_is_refused),
	  cmocka_unit_test(scaled_decode_keeps_enough_pixels), cmocka_unit_test(pixels_most_is_a_limit),
	  cmocka_unit_test(crops_agree_with_pillow), cmocka_unit_test(crop_equals_its_plain_twin_to_the_bit),
	  cmocka_unit_test(truncated_files_are_errors), cmocka_unit_test(flipped_bits_neither_crash_nor_print),
	  cmocka_unit_test(crops_agree_with_the_reference))
