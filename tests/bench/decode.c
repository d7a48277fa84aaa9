/* decode.c: what scaled decoding gains, and what it does to embeddings, against the reference: every pixel decoded.
 *
 *     decode.full, decode.1.5x              processor time of a photograph, bytes to the model's pixels; N x: at least N times its side
 *     decode.1.5x.loss, .worst              1 - cosine of the embedding with the reference's: the mean, and the worst case
 *
 * coca takes 1.5 (image_enough). Times are of whole photographs and the shape's 224 pixels. Embeddings are of the model that ships, as it
 * was trained, and of the photographs made as small as the scaled decode may just be taken for. BENCH_PHOTOS=DIR takes the JPEG files
 * of a folder instead of those that photos.c draws.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/net/encode.h"
#include "model/image/image.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "tests/bench/bench.h"
#include "tests/bench/photos.h"

#include "schema/base/banned.h"

enum { PHOTOS_MOST = 1000, PHOTOS_DRAWN = 8, SHAPE_SIDE = 224, QUALITY = 92 };

static const struct scale {
	const char *name;
	double times; /* 0: the reference */
} scales[] = {{"full", 0}, {"3x", 3}, {"2x", 2}, {"1.5x", 1.5}, {"1x", 1}};
enum { SCALES = sizeof scales / sizeof *scales };

struct data {
	struct coca *coca;
	struct coca_scratch *state;
	size_t side, embed;
	float *pixels, *features; /* [3,S,S] [2,E] */
	uint8_t *rgb;
	double seconds[SCALES], loss[SCALES], worst[SCALES];
	size_t photos, photos_most, compared[SCALES];
};

static double processor_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static enum status crop(const uint8_t *bytes, size_t size, size_t least, size_t side, uint8_t *rgb, struct err *err)
{
	struct image image = {0};
	enum status status = image_decode(bytes, size, least, 0, &image, err);

	if (status == STATUS_OK)
		status = image_crop(&image, side, rgb, err);
	image_release(&image);
	return status;
}

/* features[E] of a photograph */
static enum status embed(struct data *d, const uint8_t *bytes, size_t size, size_t least, float *features, struct err *err)
{
	const struct config *config = coca_config(d->coca);
	enum status status = crop(bytes, size, least, d->side, d->rgb, err);

	if (status != STATUS_OK)
		return status;
	image_normalise(d->rgb, d->side, config->mean, config->std, d->pixels);
	return coca_encode_images(d->coca, d->state, d->pixels, 1, features, NULL, err);
}

/* With the whole picture made so small that an eighth of it, or else a quarter or a half, has just least on its shorter side. */
static enum status compare(struct data *d, const struct image *whole, size_t s, struct err *err)
{
	size_t least = (size_t)(scales[s].times * (double)d->side), w = whole->width, h = whole->height, shorter = w < h ? w : h, times = 8;
	float *reference = d->features, *scaled = d->features + d->embed;
	struct image small;
	uint8_t *jpeg = NULL;
	size_t size;
	double dot = 0;

	while (times > 1 && times * least > shorter)
		times /= 2;
	if (times == 1)
		return STATUS_OK;
	size_t to = times * least;
	enum status status = w < h ? image_fit(whole, to, h, &small, err) : image_fit(whole, w, to, &small, err);
	if (status == STATUS_OK)
		status = image_encode_jpeg(small.rgb, small.width, small.height, QUALITY, &jpeg, &size, err);
	if (status == STATUS_OK)
		status = embed(d, jpeg, size, 0, reference, err);
	if (status == STATUS_OK)
		status = embed(d, jpeg, size, least, scaled, err);
	image_release(&small);
	free(jpeg);
	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < d->embed; i++)
		dot += (double)reference[i] * (double)scaled[i];
	d->loss[s] += 1 - dot;
	d->worst[s] = 1 - dot > d->worst[s] ? 1 - dot : d->worst[s];
	d->compared[s]++;
	return STATUS_OK;
}

static enum status measure_photo(struct data *d, const struct file_map *file, struct err *err)
{
	struct image whole = {0};
	enum status status = image_decode(file->data, file->size, 0, 0, &whole, err);

	for (size_t s = 0; s < SCALES && status == STATUS_OK; s++) {
		double started = processor_seconds();
		status = crop(file->data, file->size, (size_t)(scales[s].times * SHAPE_SIDE), SHAPE_SIDE, d->rgb, err);
		d->seconds[s] += processor_seconds() - started;
		if (status == STATUS_OK && s)
			status = compare(d, &whole, s, err);
	}
	image_release(&whole);
	d->photos++;
	return status;
}

static enum status measure_folder(struct data *d, const char *folder, struct err *err)
{
	DIR *entries = opendir(folder);
	enum status status = entries ? STATUS_OK : err_set(err, STATUS_IO, "cannot read the folder '%s'", folder);

	while (status == STATUS_OK && d->photos < d->photos_most) {
		const struct dirent *entry = readdir(entries);
		struct file_map file;
		if (!entry)
			break;
		const char *end = strrchr(entry->d_name, '.');
		if (!end || strcmp(end, ".jpg") != 0)
			continue;
		char *path = path_join(folder, entry->d_name);
		status = path ? file_map_open(path, &file, err) : err_memory(err, "a path");
		free(path);
		if (status == STATUS_OK)
			status = measure_photo(d, &file, err);
		file_map_close(&file);
	}
	if (entries)
		closedir(entries);
	if (status == STATUS_OK && !d->photos)
		status = err_set(err, STATUS_NOT_FOUND, "no .jpg files in '%s'", folder);
	return status;
}

static enum status prepare(struct bench *bench, struct data *d)
{
	enum status status = coca_open(bench->model, &d->coca, &bench->err);

	if (status != STATUS_OK)
		return status;
	d->side = coca_config(d->coca)->image_size;
	d->embed = coca_config(d->coca)->embed_dim;
	size_t side = d->side < SHAPE_SIDE ? SHAPE_SIDE : d->side;
	d->state = coca_scratch_new();
	d->pixels = mem_floats(3 * d->side * d->side);
	d->features = mem_floats(2 * d->embed);
	d->rgb = mem_array(side * side, 3);
	return d->state && d->pixels && d->features && d->rgb ? STATUS_OK : err_memory(&bench->err, "the benchmark's data");
}

static void print(struct bench *bench, const struct data *d, size_t s)
{
	char name[64];

	snprintf(name, sizeof name, "decode.%s", scales[s].name);
	bench_print(bench, name, 1e3 * d->seconds[s] / (double)d->photos, "ms", 0);
	if (!d->compared[s])
		return;
	snprintf(name, sizeof name, "decode.%s.loss", scales[s].name);
	bench_print(bench, name, d->loss[s] / (double)d->compared[s], "1-cosine", 0);
	snprintf(name, sizeof name, "decode.%s.worst", scales[s].name);
	bench_print(bench, name, d->worst[s], "1-cosine", 0);
}

void bench_decode(struct bench *bench)
{
	const char *given = getenv("BENCH_PHOTOS");
	struct data d = {.photos_most = given ? PHOTOS_MOST : PHOTOS_DRAWN};
	char *folder = NULL;

	bench->status = prepare(bench, &d);
	if (bench->status == STATUS_OK && !given)
		bench->status = bench_photos(bench, &folder);
	if (bench->status == STATUS_OK)
		bench->status = measure_folder(&d, given ? given : folder, &bench->err);
	for (size_t s = 0; s < SCALES && bench->status == STATUS_OK; s++)
		print(bench, &d, s);
	free(folder);
	coca_scratch_free(d.state);
	coca_close(d.coca);
	free(d.pixels);
	free(d.features);
	free(d.rgb);
}
