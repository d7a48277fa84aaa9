/* library.h: a library beside a folder of photographs that were drawn for it, for the tests of whole runs. */
#ifndef TESTS_INDEXER_LIBRARY_H
#define TESTS_INDEXER_LIBRARY_H

#include "indexer/ingest/index.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "indexer/walk/walk.h"
#include "model/image/image.h"
#include "schema/catalog/contents.h"
#include "schema/catalog/maintenance.h"
#include "schema/catalog/models.h"
#include "schema/catalog/photos.h"
#include "schema/base/file.h"
#include "tests/support.h"

#include "schema/base/banned.h"


enum { E_MOST = 1024 };

/* A library beside a folder of photographs. */
struct library {
	const char *photos;
	struct catalog *catalog;
	struct catalog_model model;
	struct index_options options;
	struct index_report report;
};

static struct coca *shared_model;
static volatile sig_atomic_t interrupted __attribute__((unused));
static struct err err;

static inline void write_photo(const char *path, uint64_t seed)
{
	enum { WIDTH = 96, HEIGHT = 80 };
	static uint8_t rgb[HEIGHT][WIDTH][3];
	uint8_t *bytes;
	size_t size;

	for (size_t y = 0; y < HEIGHT; y++)
		for (size_t x = 0; x < WIDTH; x++) {
			uint64_t cell = seed << 16 | (y / 16) << 8 | x / 16, value = test_random(&cell);
			for (size_t c = 0; c < 3; c++)
				rgb[y][x][c] = (uint8_t)(value >> 8 * c);
		}
	assert_ok(image_encode_jpeg(rgb[0][0], WIDTH, HEIGHT, 90, &bytes, &size, &err), &err);
	test_write(path, bytes, size);
	free(bytes);
}

static inline const char *in(const struct library *l, const char *name)
{
	return test_path(l->photos, name);
}

/* n photographs 00.jpg, 01.jpg, ... */
static inline void open_library(struct library *l, size_t n)
{
	char *real = realpath(test_folder(), NULL), name[32];
	const char *folder = test_path(real, "library");

	free(real);
	*l = (struct library){.photos = test_path(folder, "photos")};
	assert_ok(path_make_folder(l->photos, &err), &err);
	for (size_t i = 0; i < n; i++) {
		snprintf(name, sizeof name, "%02zu.jpg", i);
		write_photo(in(l, name), i);
	}
	if (!shared_model)
		assert_ok(coca_open("model/default", &shared_model, &err), &err);
	assert_ok(catalog_open(test_path(folder, "library.db"), CATALOG_WRITE, &l->catalog, &err), &err);
	const struct config *config = coca_config(shared_model);
	l->model = (struct catalog_model){
		.config_digest = "0123456789abcdef0123456789abcdef",
		.weights_digest = "0123456789abcdef0123456789abcdef",
		.name = "test",
		.dim = (int64_t)config->embed_dim,
		.tokens = (int64_t)config->image_tokens,
		.width = (int64_t)config->decoder.width,
	};
	assert_ok(catalog_model_put(l->catalog, &l->model, &err), &err);
	l->options.ingest.token_budget = (size_t)1 << 30;
}

static inline void close_library(struct library *l)
{
	index_report_release(&l->report);
	catalog_close(l->catalog);
}

/* Indexes the named folder of the library's, NULL for all. */
static inline enum status run_on(struct library *l, const char *folder)
{
	const struct listener listener = {.interrupted = &interrupted};
	const char *path = folder ? in(l, folder) : l->photos;

	l->options.folders = &path;
	l->options.folder_count = 1;
	index_report_release(&l->report);
	return index_run(&listener, l->catalog, shared_model, &l->model, &l->options, &l->report, &err);
}

static inline void run(struct library *l)
{
	assert_ok(run_on(l, NULL), &err);
}

struct row {
	int64_t id, content, gone_since, width, height;
	enum photo_state state;
	bool has_taken;
	int64_t taken_at;
	char error[256], camera[64];
};

static inline enum status keep_row(void *context, const struct photo *photo, struct err *e)
{
	struct row *row = context;

	(void)e;
	*row = (struct row){
		.id = photo->id,
		.content = photo->content,
		.gone_since = photo->gone_since,
		.width = photo->width,
		.height = photo->height,
		.state = photo->state,
		.has_taken = photo->has_taken,
		.taken_at = photo->taken_at,
	};
	snprintf(row->error, sizeof row->error, "%s", photo->error ? photo->error : "");
	snprintf(row->camera, sizeof row->camera, "%s", photo->camera ? photo->camera : "");
	return STATUS_OK;
}

/* id 0: the catalog does not know it */
static inline struct row row_of(const struct library *l, const char *name)
{
	struct row row = {0};
	enum status status = catalog_photo_by_path(l->catalog, in(l, name), keep_row, &row, &err);

	assert_true(status == STATUS_OK || status == STATUS_NOT_FOUND);
	return row;
}

static inline struct catalog_counts counts(const struct library *l)
{
	struct catalog_counts c;

	assert_ok(catalog_count(l->catalog, l->model.id, &c, &err), &err);
	return c;
}

static inline int64_t generation(const struct library *l)
{
	int64_t g;

	assert_ok(catalog_generation(l->catalog, l->model.id, &g, &err), &err);
	return g;
}

static inline void print_problem(void *context, const char *problem)
{
	(void)context;
	print_message("%s\n", problem);
}

static inline void expect_sound(const struct library *l)
{
	size_t problems;

	assert_ok(catalog_check(l->catalog, print_problem, NULL, &problems, &err), &err);
	assert_int_equal(problems, 0);
}

static inline void set_time(const char *path, time_t seconds)
{
	struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};

	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

#endif
