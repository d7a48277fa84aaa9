/* index.c: how much of the time of `coca index` is neither encoding nor decoding.
 *
 *     index.of_limit              photos/s of a whole run x (1 / encoder + 1 / decoder), each of these alone on all cores
 *     index.processor_of_limit    the same of processor time instead of the clock's, on which others have a say, too
 *     index.busy                  processor time of a run over that of all cores; low on a machine that others use
 *
 * In 8 bits, where the rest of a run weighs most. The encoder alone takes batches like a run's; the decoder alone takes files in memory
 * to the model's pixels, a file a thread. What a run does beyond them is its loss: reading, hashing, perceptual hashes, the catalog,
 * waiting.
 */
#include <stdio.h>
#include <stdlib.h>

#include "indexer/ingest/index.h"
#include "model/image/image.h"
#include "model/net/encode.h"
#include "schema/catalog/models.h"
#include "schema/base/blas.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "tests/bench/bench.h"
#include "tests/bench/photos.h"
#include "tests/support.h"

#include "schema/base/banned.h"

enum { PHOTOS = BENCH_PHOTOS, BATCH = 32, ROUNDS = 3 };

struct data {
	struct bench *bench;
	char *folder;
	struct file_map files[PHOTOS];
	struct coca *coca;
	struct coca_scratch *state;
	float *pixels, *features, *tokens;
	uint8_t *rgb;
	size_t runs;
	struct index_report report;
};

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
	const struct listener listener = {.interrupted = &interrupted};
	const char *folder = d->folder;
	struct index_options options = {.folders = &folder, .folder_count = 1,
		.ingest = {.token_budget = (size_t)2 << 30, .encoder_budget = (size_t)1 << 30}};
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
		status = index_run(&listener, catalog, d->coca, &model, &options, &d->report, err);
	if (status == STATUS_OK && d->report.counts.added != PHOTOS)
		status = err_set(err, STATUS_FAILED, "%zu photographs were indexed, not %d", d->report.counts.added, PHOTOS);
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
	double share[ROUNDS], work[ROUNDS], busy[ROUNDS];

	bench_rounds(runs, 3, ROUNDS);
	if (bench->status != STATUS_OK)
		return;
	for (size_t r = 0; r < ROUNDS; r++) {
		share[r] = (runs[0].seconds[r] + runs[1].seconds[r]) / runs[2].seconds[r];
		work[r] = (runs[0].processor[r] + runs[1].processor[r]) / runs[2].processor[r];
		busy[r] = 100 * runs[2].processor[r] / runs[2].seconds[r] / blas_threads();
	}
	bench_print(bench, "index.of_limit", bench_median_of(share, ROUNDS), "x", 0.9);
	bench_print(bench, "index.processor_of_limit", bench_median_of(work, ROUNDS), "x", 0);
	bench_print(bench, "index.busy", bench_median_of(busy, ROUNDS), "%", 0);
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
	coca_set_precision(d->coca, PRECISION_INT8);
	const struct config *config = coca_config(d->coca);
	size_t plane = 3 * config->image_size * config->image_size;
	d->state = coca_scratch_new();
	d->pixels = mem_floats(BATCH * plane);
	d->features = mem_floats(BATCH * config->embed_dim);
	d->tokens = mem_floats(BATCH * config->image_tokens * config->decoder.width);
	d->rgb = malloc(PHOTOS * plane);
	if (!d->state || !d->pixels || !d->features || !d->tokens || !d->rgb)
		return err_memory(err, "the benchmark's data");
	for (size_t i = 0; i < BATCH * plane; i++)
		d->pixels[i] = (float)(i * 2654435761u % 1024) / 256 - 2;
	status = bench_photos(bench, &d->folder);
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
	coca_scratch_free(d.state);
	coca_close(d.coca);
	free(d.folder);
	free(d.pixels);
	free(d.features);
	free(d.tokens);
	free(d.rgb);
	test_folders_remove(NULL);
}
