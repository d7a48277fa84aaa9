/* What image.c's table of crops cannot say: pictures whose decoders round in their own way (HEIC, AVIF), colour profiles, HDR, raw files,
 * kinds of BMP, JPEGs that are cut short. Damaged files of the new formats are in image.c's tests, but for HEIC, AVIF and raw files.
 *
 * tests/data/images: NAME.32.ppm is the crop that Pillow 13 makes; for pq-61x47.heic, of the picture that was turned into PQ.
 */
#include <fcntl.h>
#include <stdio.h> /* jpeglib.h needs it */

#include <jpeglib.h>
#include <lcms2.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "model/image/codec.h"
#include "model/image/image.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "tests/support.h"

#include "schema/base/banned.h"

#define IMAGES "tests/data/images/"

static uint8_t *read_bytes(const char *name, size_t *size)
{
	struct err err;
	uint8_t *bytes = NULL;

	assert_ok(file_read(test_path(IMAGES, name), 1 << 24, &bytes, size, &err), &err);
	return bytes;
}

/* Mean difference from NAME.32.ppm. */
static double difference(const char *name, enum image_format format)
{
	enum { SIDE = 32, VALUES = 3 * SIDE * SIDE };
	struct err err;
	struct image image;
	struct image_info info;
	uint8_t ours[VALUES];
	char expected_name[128];
	size_t size, expected_size;
	double sum = 0;

	snprintf(expected_name, sizeof expected_name, "%s.32.ppm", name);
	uint8_t *bytes = read_bytes(name, &size), *expected = read_bytes(expected_name, &expected_size);
	assert_ok(image_probe(bytes, size, &info, &err), &err);
	assert_int_equal(info.format, format);
	assert_ok(image_decode(bytes, size, 0, 0, &image, &err), &err);
	assert_int_equal(image.width, info.width);
	assert_ok(image_crop(&image, SIDE, ours, &err), &err);
	for (size_t i = 0; i < VALUES; i++)
		sum += abs(ours[i] - expected[expected_size - VALUES + i]);
	image_release(&image);
	free(bytes);
	free(expected);
	return sum / VALUES;
}

/* Chroma of half size is enlarged in another way by each version of libheif: edges differ, not pictures. */
static void heic_and_avif_are_seen_as_pillow_sees_them(void **state)
{
	(void)state;
	assert_true(difference("lossy-61x47.heic", IMAGE_HEIC) < 2.5);
	assert_true(difference("ten-bit-61x47.heic", IMAGE_HEIC) < 1);
	assert_true(difference("lossy-61x47.avif", IMAGE_AVIF) < 2.5);
}

static void a_turned_heic_is_turned_once(void **state)
{
	(void)state;
	assert_true(difference("orientation-6-61x47.heic", IMAGE_HEIC) < 2.5);
}

/* BT.2020 primaries and PQ: read as if they were sRGB, the picture is off by 45 on average. */
static void hdr_is_neither_black_nor_washed_out(void **state)
{
	(void)state;
	assert_true(difference("pq-61x47.heic", IMAGE_HEIC) < 22);
}

/* What gray becomes in sRGB through the profile made for a transfer function. */
static int seen_gray(unsigned transfer, uint8_t gray)
{
	uint8_t rgb[3] = {gray, gray, gray};
	struct buffer icc = {0};

	image_colour_coded(1, transfer, &icc);
	cmsHPROFILE from = cmsOpenProfileFromMem(icc.data, (cmsUInt32Number)icc.size), to = cmsCreate_sRGBProfile();
	cmsHTRANSFORM transform = cmsCreateTransform(from, TYPE_RGB_8, to, TYPE_RGB_8, INTENT_RELATIVE_COLORIMETRIC, 0);
	assert_non_null(transform);
	cmsDoTransform(transform, rgb, rgb, 1);
	cmsDeleteTransform(transform);
	cmsCloseProfile(from);
	cmsCloseProfile(to);
	buffer_release(&icc);
	return rgb[0];
}

/* The white of paper is 75 % of HLG's signal and 58 % of PQ's (ITU-R BT.2408, table 1); above it there is room for lights. */
static void pq_and_hlg_agree_on_the_white_of_paper(void **state)
{
	enum { PQ = 16, HLG = 18, EXPECTED = 222 };

	(void)state;
	assert_in_range(seen_gray(HLG, 191), EXPECTED - 3, EXPECTED + 3);
	assert_in_range(seen_gray(PQ, 148), EXPECTED - 3, EXPECTED + 3);
	assert_true(seen_gray(HLG, 255) == 255 && seen_gray(HLG, 0) == 0);
	assert_true(seen_gray(PQ, 191) >= 252 && seen_gray(PQ, 0) == 0);
}

/* --- colour profiles --- */

static cmsHPROFILE rgb_profile(const cmsCIExyYTRIPLE *primaries, double gamma)
{
	static const cmsCIExyY d65 = {0.3127, 0.3290, 1};
	static const cmsFloat64Number srgb[5] = {2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045};
	cmsToneCurve *curve = gamma > 0 ? cmsBuildGamma(NULL, gamma) : cmsBuildParametricToneCurve(NULL, 4, srgb);
	cmsToneCurve *curves[3] = {curve, curve, curve};
	cmsHPROFILE profile = cmsCreateRGBProfile(&d65, primaries, curves);

	cmsFreeToneCurve(curve);
	assert_non_null(profile);
	return profile;
}

static cmsInt32Number sample_inks(const cmsUInt16Number in[], cmsUInt16Number out[], void *context)
{
	cmsFloat64Number light = 100 * (1 - in[3] / 65535.0) * (1 - in[0] / 65535.0);
	cmsCIELab lab = {light, 0, 80 * (in[1] / 65535.0) * (1 - in[3] / 65535.0)};

	(void)context;
	cmsFloat2LabEncoded(out, &lab);
	return TRUE;
}

/* An ink set of its own: cyan is gray, magenta is yellow. */
static cmsHPROFILE ink_profile(void)
{
	cmsHPROFILE profile = cmsCreateProfilePlaceholder(NULL);
	cmsPipeline *pipeline = cmsPipelineAlloc(NULL, 4, 3);
	cmsStage *table = cmsStageAllocCLut16bit(NULL, 9, 4, 3, NULL);

	assert_true(profile && pipeline && table);
	assert_true(cmsStageSampleCLut16bit(table, sample_inks, NULL, 0));
	cmsSetProfileVersion(profile, 2.4);
	cmsSetDeviceClass(profile, cmsSigOutputClass);
	cmsSetColorSpace(profile, cmsSigCmykData);
	cmsSetPCS(profile, cmsSigLabData);
	assert_true(cmsPipelineInsertStage(pipeline, cmsAT_END, table));
	assert_true(cmsWriteTag(profile, cmsSigAToB0Tag, pipeline));
	cmsPipelineFree(pipeline);
	return profile;
}

/* Takes profile over. */
static struct buffer saved(cmsHPROFILE profile)
{
	struct buffer icc = {0};
	cmsUInt32Number size = 0;

	assert_true(cmsSaveProfileToMem(profile, NULL, &size));
	icc.data = malloc(size);
	icc.size = icc.capacity = size;
	assert_true(icc.data && cmsSaveProfileToMem(profile, icc.data, &size));
	cmsCloseProfile(profile);
	return icc;
}

/* A JPEG of one colour: 3 components, or 4 of inverted CMYK. */
static uint8_t *flat_jpeg(const uint8_t *colour, int components, const struct buffer *icc, unsigned long *size)
{
	enum { SIDE = 24 };
	struct jpeg_error_mgr errors;
	struct jpeg_compress_struct jpeg = {.err = jpeg_std_error(&errors)};
	uint8_t row[4 * SIDE], *bytes = NULL;
	JSAMPROW rows[] = {row};

	jpeg_create_compress(&jpeg);
	jpeg_mem_dest(&jpeg, &bytes, size);
	jpeg.image_width = jpeg.image_height = SIDE;
	jpeg.input_components = components;
	jpeg.in_color_space = components == 4 ? JCS_CMYK : components == 3 ? JCS_RGB : JCS_GRAYSCALE;
	jpeg_set_defaults(&jpeg);
	jpeg_set_quality(&jpeg, 100, TRUE);
	jpeg_start_compress(&jpeg, TRUE);
	if (icc->size)
		jpeg_write_icc_profile(&jpeg, (JOCTET *)icc->data, (unsigned)icc->size);
	for (int x = 0; x < SIDE; x++)
		memcpy(row + x * components, colour, (size_t)components);
	for (int y = 0; y < SIDE; y++)
		jpeg_write_scanlines(&jpeg, rows, 1);
	jpeg_finish_compress(&jpeg);
	jpeg_destroy_compress(&jpeg);
	return bytes;
}

static void seen_colour(const uint8_t *colour, int components, const struct buffer *icc, uint8_t seen[3])
{
	struct image image;
	struct err err;
	unsigned long size = 0;
	uint8_t *bytes = flat_jpeg(colour, components, icc, &size);

	assert_ok(image_decode(bytes, size, 0, 0, &image, &err), &err);
	memcpy(seen, image.rgb + 3 * (image.width * 7 + 9), 3);
	image_release(&image);
	free(bytes);
}

static double light(double v)
{
	return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
}

static double signal_of(double v)
{
	v = v < 0 ? 0 : v > 1 ? 1 : v;
	return v <= 0.0031308 ? 12.92 * v : 1.055 * pow(v, 1 / 2.4) - 0.055;
}

static const cmsCIExyYTRIPLE p3 = {{0.680, 0.320, 1}, {0.265, 0.690, 1}, {0.150, 0.060, 1}};
static const cmsCIExyYTRIPLE rec709 = {{0.640, 0.330, 1}, {0.300, 0.600, 1}, {0.150, 0.060, 1}};

static void display_p3_becomes_srgb(void **state)
{
	/* From P3 to sRGB in linear light: the product of the two standards' matrices. */
	static const double matrix[3][3] = {
		{1.2249401, -0.2249402, 0}, {-0.0420570, 1.0420570, 0}, {-0.0196376, -0.0786361, 1.0982735}};
	static const uint8_t colours[][3] = {{200, 60, 60}, {90, 180, 70}, {50, 80, 210}, {128, 128, 128}, {250, 240, 200}};
	struct buffer icc = saved(rgb_profile(&p3, 0));

	(void)state;
	for (size_t i = 0; i < sizeof colours / sizeof *colours; i++) {
		struct buffer none = {0};
		uint8_t stored[3], seen[3];
		seen_colour(colours[i], 3, &none, stored);
		seen_colour(colours[i], 3, &icc, seen);
		for (int c = 0; c < 3; c++) {
			double sum = 0;
			for (int k = 0; k < 3; k++)
				sum += matrix[c][k] * light(stored[k] / 255.0);
			assert_true(fabs(seen[c] - 255 * signal_of(sum)) < 2.5);
		}
	}
	buffer_release(&icc);
}

static void an_srgb_profile_changes_no_value(void **state)
{
	struct buffer profiles[] = {saved(cmsCreate_sRGBProfile()), saved(rgb_profile(&rec709, 0))}, none = {0};
	uint64_t random = 3;

	(void)state;
	for (size_t p = 0; p < 2; p++)
		for (int i = 0; i < 20; i++) {
			uint8_t colour[3], stored[3], seen[3];
			for (int c = 0; c < 3; c++)
				colour[c] = (uint8_t)test_random(&random);
			seen_colour(colour, 3, &none, stored);
			seen_colour(colour, 3, &profiles[p], seen);
			assert_memory_equal(seen, stored, 3);
		}
	buffer_release(&profiles[0]);
	buffer_release(&profiles[1]);
}

static void a_broken_profile_is_ignored(void **state)
{
	static const uint8_t colour[] = {180, 90, 40, 200};
	struct buffer icc = saved(rgb_profile(&p3, 0)), none = {0};
	uint8_t stored[3], seen[3];

	(void)state;
	seen_colour(colour, 3, &none, stored);
	for (size_t size = 1; size < icc.size; size += size < 140 ? 7 : 31) {
		struct buffer part = {.data = icc.data, .size = size};
		seen_colour(colour, 3, &part, seen);
		if (size < 128)
			assert_memory_equal(seen, stored, 3);
	}
	seen_colour(colour, 4, &none, stored);
	seen_colour(colour, 4, &icc, seen); /* for RGB, in a picture of inks: it is not for them, but harmless */
	seen_colour(colour, 1, &icc, seen);
	buffer_release(&icc);
	icc = saved(ink_profile());
	seen_colour(colour, 3, &none, stored);
	seen_colour(colour, 3, &icc, seen);
	assert_memory_equal(seen, stored, 3);
	buffer_release(&icc);
}

static void inks_are_seen_as_their_profile_says(void **state)
{
	static const uint8_t yellow[] = {255, 0, 255, 255}, gray[] = {128, 255, 255, 255}; /* inverted: magenta ink, half of the cyan */
	struct buffer icc = saved(ink_profile()), none = {0};
	uint8_t seen[3];

	(void)state;
	seen_colour(yellow, 4, &none, seen);
	assert_true(seen[1] < 30 && seen[2] > 200);
	seen_colour(yellow, 4, &icc, seen);
	assert_true(seen[0] > 200 && seen[1] > 200 && seen[2] < 160);
	seen_colour(gray, 4, &icc, seen);
	assert_true(abs(seen[0] - seen[2]) < 12 && seen[0] > 90 && seen[0] < 150);
	buffer_release(&icc);
}

static void a_gray_profile_changes_gray_alone(void **state)
{
	static const uint8_t gray[] = {128}, colour[] = {180, 90, 40};
	static const cmsCIExyY d50 = {0.3457, 0.3585, 1};
	cmsToneCurve *curve = cmsBuildGamma(NULL, 1);
	struct buffer icc = saved(cmsCreateGrayProfile(&d50, curve)), none = {0};
	uint8_t stored[3], seen[3];

	(void)state;
	cmsFreeToneCurve(curve);
	seen_colour(gray, 1, &icc, seen); /* half the light */
	assert_true(abs(seen[0] - 188) <= 3 && seen[1] == seen[0] && seen[2] == seen[0]);
	seen_colour(colour, 3, &none, stored);
	seen_colour(colour, 3, &icc, seen);
	assert_memory_equal(seen, stored, 3);
	buffer_release(&icc);
}

/* --- raw files --- */

static void put(struct buffer *to, uint32_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		buffer_append(to, &(uint8_t){(uint8_t)(value >> 8 * i)}, 1);
}

static void put_entry(struct buffer *to, unsigned tag, unsigned type, uint32_t count, uint32_t value)
{
	put(to, tag, 2);
	put(to, type, 2);
	put(to, count, 4);
	put(to, value, 4);
}

/* A DNG: a JPEG preview, turned by orientation 6, and 64 x 64 values of a sensor. */
static struct buffer make_dng(const uint8_t *jpeg, size_t jpeg_size, unsigned width, unsigned height)
{
	enum { FIRST = 13, SECOND = 12, SENSOR = 64, AT_SECOND = 8 + 2 + 12 * FIRST + 4, AT_TEXT = AT_SECOND + 2 + 12 * SECOND + 4,
	       AT_SENSOR = AT_TEXT + 16, AT_JPEG = AT_SENSOR + 2 * SENSOR * SENSOR };
	struct buffer dng = {0};

	buffer_append(&dng, "II*\0\10\0\0\0", 8);
	put(&dng, FIRST, 2);
	put_entry(&dng, 254, 4, 1, 1); /* reduced */
	put_entry(&dng, 256, 4, 1, width);
	put_entry(&dng, 257, 4, 1, height);
	put_entry(&dng, 258, 3, 1, 8);
	put_entry(&dng, 259, 3, 1, 7);
	put_entry(&dng, 262, 3, 1, 6);
	put_entry(&dng, 271, 2, 6, AT_TEXT);
	put_entry(&dng, 272, 2, 9, AT_TEXT + 6);
	put_entry(&dng, 273, 4, 1, AT_JPEG);
	put_entry(&dng, 274, 3, 1, 6);
	put_entry(&dng, 279, 4, 1, (uint32_t)jpeg_size);
	put_entry(&dng, 330, 4, 1, AT_SECOND);
	put_entry(&dng, 50706, 1, 4, 0x00000401);
	put(&dng, 0, 4);
	put(&dng, SECOND, 2);
	put_entry(&dng, 254, 4, 1, 0);
	put_entry(&dng, 256, 4, 1, SENSOR);
	put_entry(&dng, 257, 4, 1, SENSOR);
	put_entry(&dng, 258, 3, 1, 16);
	put_entry(&dng, 259, 3, 1, 1);
	put_entry(&dng, 262, 3, 1, 32803);
	put_entry(&dng, 273, 4, 1, AT_SENSOR);
	put_entry(&dng, 277, 3, 1, 1);
	put_entry(&dng, 278, 4, 1, SENSOR);
	put_entry(&dng, 279, 4, 1, 2 * SENSOR * SENSOR);
	put_entry(&dng, 33421, 3, 2, 0x00020002);
	put_entry(&dng, 33422, 1, 4, 0x02010100);
	put(&dng, 0, 4);
	buffer_append(&dng, "Maker\0Camera 1\0", 16);
	for (int i = 0; i < SENSOR * SENSOR; i++)
		put(&dng, 1000, 2);
	buffer_append(&dng, jpeg, jpeg_size);
	return dng;
}

static void a_raw_file_is_seen_through_its_preview(void **state)
{
	struct image plain, seen;
	struct image_info info;
	struct image_said said;
	struct err err;
	size_t size;
	uint8_t *jpeg = read_bytes("progressive-400x300.jpg", &size);
	struct buffer dng = make_dng(jpeg, size, 400, 300);

	(void)state;
	assert_ok(image_probe_said((uint8_t *)dng.data, dng.size, &info, &said, &err), &err);
	assert_int_equal(info.format, IMAGE_RAW);
	assert_int_equal(info.orientation, 6);
	assert_true(said.count >= 1 && said.blocks[0].kind == SAID_EXIF && said.blocks[0].bytes == (uint8_t *)dng.data);
	image_said_release(&said);
	assert_ok(image_decode((uint8_t *)dng.data, dng.size, 0, 0, &seen, &err), &err);
	assert_ok(image_decode(jpeg, size, 0, 0, &plain, &err), &err);
	assert_true(seen.width == 300 && seen.height == 400 && info.width == 300 && info.height == 400);
	for (size_t y = 0; y < 300; y++)
		for (size_t x = 0; x < 400; x++)
			assert_memory_equal(seen.rgb + 3 * (x * 300 + 299 - y), plain.rgb + 3 * (y * 400 + x), 3);
	image_release(&plain);
	image_release(&seen);
	buffer_release(&dng);
	free(jpeg);
}

/* --- BMP --- */

static struct buffer make_bmp(int32_t width, int32_t height, unsigned bits, unsigned compression, const uint32_t *table, size_t entries,
			      const void *pixels, size_t size)
{
	struct buffer bmp = {0};
	uint32_t at = (uint32_t)(14 + 40 + 4 * entries);

	buffer_text(&bmp, "BM");
	put(&bmp, at + (uint32_t)size, 4);
	put(&bmp, 0, 4);
	put(&bmp, at, 4);
	put(&bmp, 40, 4);
	put(&bmp, (uint32_t)width, 4);
	put(&bmp, (uint32_t)height, 4);
	put(&bmp, 1, 2);
	put(&bmp, bits, 2);
	put(&bmp, compression, 4);
	for (int i = 0; i < 3; i++)
		put(&bmp, 0, 4);
	put(&bmp, bits <= 8 ? (uint32_t)entries : 0, 4);
	put(&bmp, 0, 4);
	for (size_t i = 0; i < entries; i++)
		put(&bmp, table[i], 4);
	buffer_append(&bmp, pixels, size);
	return bmp;
}

static void assert_pixels(struct buffer bmp, size_t width, size_t height, const uint8_t *rgb)
{
	struct image image;
	struct err err;

	assert_ok(image_decode((uint8_t *)bmp.data, bmp.size, 0, 0, &image, &err), &err);
	assert_true(image.width == width && image.height == height);
	assert_memory_equal(image.rgb, rgb, 3 * width * height);
	image_release(&image);
	buffer_release(&bmp);
}

static void every_kind_of_bmp_is_read(void **state)
{
	static const uint32_t colours[] = {0x102030, 0xff0000, 0x00ff00, 0x0000ff}, masks_565[] = {0xf800, 0x07e0, 0x001f};
	static const uint8_t runs_8[] = {3, 1, 0, 0, 0, 3, 2, 3, 2, 0, 0, 1}, runs_4[] = {3, 0x12, 0, 0, 0, 2, 1, 0, 2, 0x30, 0, 1};
	static const uint8_t fields[] = {0x00, 0xf8, 0xe0, 0x07, 0x1f, 0x00, 0, 0}, top[] = {0, 0, 255, 9, 0, 255, 0, 9, 255, 0, 0, 9};

	(void)state;
	/* The lowest row comes first. */
	assert_pixels(make_bmp(3, 2, 8, 1, colours, 4, runs_8, sizeof runs_8), 3, 2,
		      (const uint8_t[]){0, 255, 0, 0, 0, 255, 0, 255, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0});
	assert_pixels(make_bmp(3, 2, 4, 2, colours, 4, runs_4, sizeof runs_4), 3, 2,
		      (const uint8_t[]){16, 32, 48, 0, 0, 255, 16, 32, 48, 255, 0, 0, 0, 255, 0, 255, 0, 0});
	assert_pixels(make_bmp(3, 1, 16, 3, masks_565, 3, fields, sizeof fields), 3, 1, (const uint8_t[]){255, 0, 0, 0, 255, 0, 0, 0, 255});
	assert_pixels(make_bmp(1, -3, 32, 0, NULL, 0, top, sizeof top), 1, 3, (const uint8_t[]){255, 0, 0, 0, 255, 0, 0, 0, 255});
}

/* A picture of one red pixel by the file's colours, and of a blue one by the frame's. */
static void a_gif_frames_own_colours_come_before_the_files(void **state)
{
	static const uint8_t gif[] = {'G', 'I', 'F', '8', '9', 'a', 1, 0, 1, 0, 0x80, 0, 0, 255, 0, 0, 255, 0, 0,
				      ',', 0, 0, 0, 0, 1, 0, 1, 0, 0x80, 0, 0, 255, 0, 0, 255, 2, 2, 0x44, 1, 0, ';'};
	struct buffer file = {0};

	(void)state;
	buffer_append(&file, gif, sizeof gif);
	assert_pixels(file, 1, 1, (const uint8_t[]){0, 0, 255});
}

/* Of 64 numbers that differ 32 are above their median. */
static void a_hash_has_half_of_its_bits(void **state)
{
	struct image image = {.width = 64, .height = 48};
	uint64_t hash, seed = 3;
	struct err err;

	(void)state;
	image.rgb = mem_array(image.width * image.height, 3);
	for (size_t i = 0; i < 3 * image.width * image.height; i++)
		image.rgb[i] = (uint8_t)test_random(&seed);
	assert_ok(image_hash(&image, &hash, &err), &err);
	assert_int_equal(__builtin_popcountll(hash), 32);
	image_release(&image);
}

/* Of a picture as long as a file can make it the hash takes little memory beside it. */
static void a_long_picture_takes_no_memory_to_hash(void **state)
{
	enum { LONG = 20 * 1000 * 1000 };

	(void)state;
	for (int upright = 0; upright < 2; upright++) {
		struct image image = {.width = upright ? 1 : LONG, .height = upright ? LONG : 1, .rgb = mem_array(LONG, 3)};
		struct rusage before, after;
		uint64_t hash, half;
		struct err err;
		assert_non_null(image.rgb);
		for (size_t i = 0; i < LONG; i++)
			memset(image.rgb + 3 * i, i < LONG / 2 ? 200 : 20, 3);
		getrusage(RUSAGE_SELF, &before);
		assert_ok(image_hash(&image, &hash, &err), &err);
		getrusage(RUSAGE_SELF, &after);
		assert_true(after.ru_maxrss - before.ru_maxrss < 64 * 1024); /* KiB */
		/* It looks like a shorter one of the same kind. */
		struct image shorter = {.width = upright ? 1 : 1000, .height = upright ? 1000 : 1, .rgb = mem_array(1000, 3)};
		for (size_t i = 0; i < 1000; i++)
			memset(shorter.rgb + 3 * i, i < 500 ? 200 : 20, 3);
		assert_ok(image_hash(&shorter, &half, &err), &err);
		assert_true(__builtin_popcountll(hash ^ half) <= 4);
		image_release(&shorter);
		image_release(&image);
	}
}

/* --- cut short --- */

static void a_jpeg_without_its_last_rows_is_seen(void **state)
{
	static const char *const names[] = {"portrait-333x500.jpg", "progressive-400x300.jpg"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct image whole, part;
		struct err err;
		size_t size;
		uint8_t *bytes = read_bytes(names[i], &size);
		double sum = 0;
		assert_ok(image_decode(bytes, size, 0, 0, &whole, &err), &err);
		assert_false(whole.cut_short);
		assert_ok(image_decode(bytes, size - size / 50, 0, 0, &part, &err), &err);
		assert_true(part.cut_short);
		for (size_t k = 0; k < 3 * whole.width * whole.height * 9 / 10; k++)
			sum += abs(whole.rgb[k] - part.rgb[k]);
		assert_true(sum / (double)(3 * whole.width * whole.height) < 4);
		assert_int_equal(image_decode(bytes, size / 6, 0, 0, &(struct image){0}, &err), STATUS_FORMAT);
		image_release(&whole);
		image_release(&part);
		free(bytes);
	}
}

/* --- damage --- */

static void try_damaged(const uint8_t *bytes, size_t size, size_t *taken, size_t *refused)
{
	struct image image;
	struct err err;
	uint8_t *part = malloc(size ? size : 1); /* of that size, so that the sanitizer sees a read beyond it */

	assert_non_null(part);
	memcpy(part, bytes, size);
	if (image_decode(part, size, 0, 1 << 20, &image, &err) == STATUS_OK)
		++*taken;
	else
		++*refused;
	image_release(&image);
	free(part);
}

/* libheif forgets what dav1d has decoded of a damaged picture. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libdav1d.so\n";
}

/* Silence is not asked for: libde265 and, within LibRaw, libjpeg print complaints of their own. */
static void damage_is_survived(void **state)
{
	static const char *const names[] = {"lossy-61x47.heic", "pq-61x47.heic", "lossy-61x47.avif"};
	enum { FILES = 4, ROUNDS = 120 };
	int kept = dup(2), file = open("/dev/null", O_WRONLY);
	struct buffer files[FILES] = {{0}};
	uint64_t random = 23;
	size_t size, taken = 0, refused = 0;

	(void)state;
	for (size_t i = 0; i < FILES - 1; i++) {
		files[i].data = (char *)read_bytes(names[i], &size);
		files[i].size = size;
	}
	uint8_t *jpeg = read_bytes("small-31x29.jpg", &size);
	files[FILES - 1] = make_dng(jpeg, size, 31, 29);
	fflush(stderr);
	dup2(file, 2);
	for (size_t i = 0; i < FILES; i++) {
		for (size_t cut = 1; cut < files[i].size; cut += 1 + files[i].size / 60)
			try_damaged((uint8_t *)files[i].data, files[i].size - cut, &taken, &refused);
		for (int round = 0; round < ROUNDS; round++) {
			uint8_t *damaged = (uint8_t *)mem_copy(files[i].data, files[i].size);
			size_t reach = round % 2 && files[i].size > 500 ? 500 : files[i].size;
			assert_non_null(damaged);
			for (int flip = 0; flip <= round % 3; flip++)
				damaged[test_random(&random) % reach] ^= (uint8_t)(1 << test_random(&random) % 8);
			try_damaged(damaged, files[i].size, &taken, &refused);
			free(damaged);
		}
		buffer_release(&files[i]);
	}
	fflush(stderr);
	dup2(kept, 2);
	close(kept);
	close(file);
	free(jpeg);
	printf("%zu refused, %zu taken\n", refused, taken);
	assert_true(refused > 50 && taken > 50);
}

TEST_MAIN(cmocka_unit_test(every_kind_of_bmp_is_read), cmocka_unit_test(heic_and_avif_are_seen_as_pillow_sees_them),
	  cmocka_unit_test(a_turned_heic_is_turned_once), cmocka_unit_test(hdr_is_neither_black_nor_washed_out),
	  cmocka_unit_test(pq_and_hlg_agree_on_the_white_of_paper),
	  cmocka_unit_test(a_gif_frames_own_colours_come_before_the_files), cmocka_unit_test(a_hash_has_half_of_its_bits), cmocka_unit_test(a_long_picture_takes_no_memory_to_hash),
	  cmocka_unit_test(display_p3_becomes_srgb), cmocka_unit_test(an_srgb_profile_changes_no_value),
	  cmocka_unit_test(a_broken_profile_is_ignored), cmocka_unit_test(inks_are_seen_as_their_profile_says),
	  cmocka_unit_test(a_gray_profile_changes_gray_alone), cmocka_unit_test(a_raw_file_is_seen_through_its_preview),
	  cmocka_unit_test(a_jpeg_without_its_last_rows_is_seen), cmocka_unit_test(damage_is_survived))
