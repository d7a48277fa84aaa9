/* photos.c: see photos.h. */
#include "tests/bench/photos.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "model/image/codec.h"
#include "tests/scenes/scenes.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "tests/support.h"

#include "schema/base/banned.h"

enum { PHOTOS = BENCH_PHOTOS, DRAWN = 8, WIDTH = 4000, HEIGHT = 3000, QUALITY = 92 };

static float cell(uint64_t seed, size_t octave, size_t y, size_t x)
{
	uint64_t key = seed * 31 + octave;

	key = (key * 0x9e3779b97f4a7c15u) ^ (y << 32 | x);
	return test_uniform(&key);
}

/* Bilinear noise of four sizes, and grain of two pixels' width. */
static void add_texture(uint8_t *rgb, uint64_t seed)
{
	static const size_t sizes[] = {200, 40, 10, 2};
	static const float strengths[] = {14, 10, 8, 11};

	#pragma omp parallel for schedule(dynamic, 16)
	for (size_t y = 0; y < HEIGHT; y++) {
		float line[WIDTH] = {0};
		for (size_t o = 0; o < 4; o++) {
			size_t s = sizes[o], row = y / s;
			float down = (float)(y % s) / (float)s;
			for (size_t x = 0; x < WIDTH; x += s) {
				float a = cell(seed, o, row, x / s), b = cell(seed, o, row, x / s + 1);
				float c = cell(seed, o, row + 1, x / s), d = cell(seed, o, row + 1, x / s + 1);
				float left = a + (c - a) * down, right = b + (d - b) * down;
				for (size_t i = 0; i < s && x + i < WIDTH; i++)
					line[x + i] += strengths[o] * (left + (right - left) * (float)i / (float)s);
			}
		}
		for (size_t v = 0; v < 3 * WIDTH; v++) {
			float value = (float)rgb[3 * WIDTH * y + v] + line[v / 3];
			rgb[3 * WIDTH * y + v] = (uint8_t)fminf(fmaxf(value, 0), 255);
		}
	}
}

static enum status draw(uint64_t seed, uint8_t **bytes, size_t *size, struct err *err)
{
	struct image small = {.width = WIDTH / 5, .height = HEIGHT / 5, .rgb = mem_array(WIDTH / 5 * (HEIGHT / 5), 3)};
	const struct image_window whole = {WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT};
	uint8_t *rgb = mem_array((size_t)WIDTH * HEIGHT, 3);
	struct scene scene;
	enum status status = small.rgb && rgb ? STATUS_OK : err_memory(err, "a photograph");

	if (status == STATUS_OK) {
		scene_random(&scene, seed, false);
		scene_draw(&scene, small.width, small.height, small.rgb);
		status = image_resample(&small, &whole, rgb, err);
	}
	if (status == STATUS_OK) {
		add_texture(rgb, seed);
		status = image_encode_jpeg(rgb, WIDTH, HEIGHT, QUALITY, bytes, size, err);
	}
	free(rgb);
	image_release(&small);
	return status;
}

static enum status write_numbered(const char *path, const uint8_t *jpeg, size_t size, size_t number, struct err *err)
{
	const uint8_t head[] = {0xff, 0xd8, 0xff, 0xfe, 0, 3, (uint8_t)number}; /* SOI, a comment of one byte */
	struct file_writer writer;
	enum status status = file_writer_open(path, &writer, err);

	if (status != STATUS_OK)
		return status;
	fwrite(head, 1, sizeof head, writer.stream);
	fwrite(jpeg + 2, 1, size - 2, writer.stream);
	return file_writer_commit(&writer, err);
}

/* PHOTOS files of DRAWN pictures; a comment tells copies apart, so that each is embedded. */
static enum status make_photos(const char *folder, struct err *err)
{
	enum status status = path_make_folder(folder, err);
	char name[32];

	for (size_t i = 0; i < DRAWN && status == STATUS_OK; i++) {
		uint8_t *bytes = NULL;
		size_t size;
		status = draw(i, &bytes, &size, err);
		for (size_t j = i; j < PHOTOS && status == STATUS_OK; j += DRAWN) {
			snprintf(name, sizeof name, "%02zu.jpg", j);
			char *path = path_join(folder, name);
			status = path ? write_numbered(path, bytes, size, j, err) : err_memory(err, "a path");
			free(path);
		}
		free(bytes);
	}
	return status;
}

enum status bench_photos(struct bench *bench, char **folder)
{
	*folder = path_join(bench->shape, "photos");
	if (!*folder)
		return err_memory(&bench->err, "a path");
	char name[32];
	snprintf(name, sizeof name, "%02d.jpg", PHOTOS - 1);
	char *last = path_join(*folder, name);
	bool made = last && access(last, R_OK) == 0; /* of an earlier version's there may be fewer */
	free(last);
	return made ? STATUS_OK : make_photos(*folder, &bench->err);
}
