/* bench_index.c: how much of the time of `coca index` is neither encoding nor decoding.
 *
 *     index.of_limit    photos/s of a whole run x (1 / encoder + 1 / decoder), each of these alone on all cores
 *
 * The encoder alone takes batches like a run's; the decoder alone takes files in memory to the model's pixels, a file a thread. What
 * a run does beyond them is its loss: reading, hashing, perceptual hashes, the catalog, waiting. The photographs are drawn: scenes of
 * 12 megapixels with texture and grain, about 4 MB each, made once beside the model.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "indexer/index.h"
#include "model/image_codec.h"
#include "model/scenes.h"
#include "schema/file.h"
#include "schema/memory.h"
#include "tests/bench.h"
#include "tests/support.h"

#include "schema/banned.h"

enum { PHOTOS = 32, DRAWN = 8, WIDTH = 4000, HEIGHT = 3000, QUALITY = 92, BATCH = 32, ROUNDS = 3 };

struct data {
	struct bench *bench;
	char *folder;
	struct file_map files[PHOTOS];
	struct coca *coca;
	struct coca_state *state;
	float *pixels, *features, *tokens;
	uint8_t *rgb;
	size_t runs;
	struct index_report report;
};

/* --- the photographs --- */

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

static enum status open_photos(struct data *d, struct err *err)
{
	char name[32];
	enum status status = STATUS_OK;

	for (size_t i = 0; i < PHOTOS && status == STATUS_OK; i++) {
		snprintf(name, sizeof name, "%02zu.jpg", i);
		char *path = path_join(d->folder, name);
		status = path ? file_map_open(path, &d->files[i], err) : err_memory(err, "a path");
		free(path);
	}
	return status;
}

/* --- what is measured --- */

static void note(struct data *d, enum status status, const struct err *err)
{
	#pragma omp critical
	if (status != STATUS_OK && d->bench->status == STATUS_OK) {
		d->bench->status = status;
		d->bench->err = *err;
	}
}

static void encode(void *context)
{
	struct data *d = context;
	struct err err;

	for (size_t i = 0; i < PHOTOS; i += BATCH)
		note(d, coca_encode_images(d->coca, d->state, d->pixels, BATCH, d->features, d->tokens, &err), &err);
}

static void decode(void *context)
{
	struct data *d = context;
	size_t side = coca_config(d->coca)->image_size;

	#pragma omp parallel for schedule(dynamic)
	for (size_t i = 0; i < PHOTOS; i++) {
		struct image image = {0};
		struct err err;
		enum status status = image_decode(d->files[i].data, d->files[i].size, image_enough(side), 0, &image, &err);
		if (status == STATUS_OK)
			status = image_crop(&image, side, d->rgb + 3 * side * side * i, &err);
		note(d, status, &err);
		image_release(&image);
	}
}

static enum status index_photos(struct data *d, struct err *err)
{
	const struct config *config = coca_config(d->coca);
	static volatile sig_atomic_t interrupted;
	struct cli cli = {.out = stdout, .log = stderr, .quiet = true, .interrupted = &interrupted};
	const char *folder = d->folder;
	struct index_options options = {.folders = &folder, .folder_count = 1, .token_budget = (size_t)2 << 30};
	struct catalog *catalog = NULL;
	struct catalog_model model = {
		.config_digest = "0123456789abcdef0123456789abcdef",
		.weights_digest = "0123456789abcdef0123456789abcdef",
		.name = "bench",
		.dim = (int64_t)config->embed_dim,
		.tokens = (int64_t)config->image_tokens,
		.width = (int64_t)config->decoder.width,
	};

	enum status status = catalog_open(test_path(test_folder(), "library.db"), CATALOG_WRITE, &catalog, err);
	if (status == STATUS_OK)
		status = catalog_model_put(catalog, &model, err);
	index_report_release(&d->report);
	if (status == STATUS_OK)
		status = index_run(&cli, catalog, d->coca, &model, &options, &d->report, err);
	if (status == STATUS_OK && d->report.added != PHOTOS)
		status = err_set(err, STATUS_FAILED, "%zu photographs were indexed, not %d", d->report.added, PHOTOS);
	catalog_close(catalog);
	return status;
}

static void run_index(void *context)
{
	struct data *d = context;
	struct err err;

	note(d, index_photos(d, &err), &err);
}

static void measure(struct bench *bench, struct data *d)
{
	struct bench_run runs[] = {{.work = encode, .context = d}, {.work = decode, .context = d}, {.work = run_index, .context = d}};
	double share[ROUNDS];

	bench_rounds(runs, 3, ROUNDS);
	if (bench->status != STATUS_OK)
		return;
	for (size_t r = 0; r < ROUNDS; r++)
		share[r] = (runs[0].seconds[r] + runs[1].seconds[r]) / runs[2].seconds[r];
	bench_print(bench, "index.of_limit", bench_median_of(share, ROUNDS), "x", 0.9);
	bench_print(bench, "index.encoder", PHOTOS / bench_median(&runs[0]), "photos/s", 0);
	bench_print(bench, "index.decoder", PHOTOS / bench_median(&runs[1]), "photos/s", 0);
	bench_print(bench, "index.photos", PHOTOS / bench_median(&runs[2]), "photos/s", 0);
}

static enum status prepare(struct bench *bench, struct data *d)
{
	struct err *err = &bench->err;
	enum status status = coca_open(bench->shape, &d->coca, err);

	if (status != STATUS_OK)
		return status;
	const struct config *config = coca_config(d->coca);
	size_t plane = 3 * config->image_size * config->image_size;
	d->folder = path_join(bench->shape, "photos");
	d->state = coca_state_new(d->coca);
	d->pixels = mem_floats(BATCH * plane);
	d->features = mem_floats(BATCH * config->embed_dim);
	d->tokens = mem_floats(BATCH * config->image_tokens * config->decoder.width);
	d->rgb = malloc(PHOTOS * plane);
	if (!d->folder || !d->state || !d->pixels || !d->features || !d->tokens || !d->rgb)
		return err_memory(err, "the benchmark's data");
	for (size_t i = 0; i < BATCH * plane; i++)
		d->pixels[i] = (float)(i * 2654435761u % 1024) / 256 - 2;
	if (access(d->folder, R_OK) != 0)
		status = make_photos(d->folder, err);
	return status == STATUS_OK ? open_photos(d, err) : status;
}

void bench_index(struct bench *bench)
{
	struct data d = {.bench = bench};

	bench->status = prepare(bench, &d);
	if (bench->status == STATUS_OK)
		measure(bench, &d);
	index_report_release(&d.report);
	for (size_t i = 0; i < PHOTOS; i++)
		file_map_close(&d.files[i]);
	coca_state_free(d.state);
	coca_close(d.coca);
	free(d.folder);
	free(d.pixels);
	free(d.features);
	free(d.tokens);
	free(d.rgb);
	test_folders_remove(NULL);
}
