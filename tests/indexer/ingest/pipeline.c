/* pipeline.c: reading and decoding on threads: what a job holds afterwards, and what cannot hold the threads up. */
#include "indexer/ingest/pipeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "schema/base/file.h"
#include "tests/support.h"

#include "schema/base/banned.h"

enum { SIDE = 32, JOBS = 3 };

static struct pipeline *open_exact(bool follow, bool exact)
{
	struct pipeline_options options = {.jobs = JOBS, .side = SIDE, .follow = follow, .exact = exact};
	struct pipeline *pipeline;
	struct err err;

	assert_ok(pipeline_open(&options, &pipeline, &err), &err);
	return pipeline;
}

static struct pipeline *open_pipeline(bool follow)
{
	return open_exact(follow, false);
}

static void finish(struct pipeline *pipeline, const struct job *job)
{
	while (!pipeline_idle(pipeline, job))
		pipeline_wait(pipeline);
}

static void write_photo(const char *path, int seed)
{
	uint8_t rgb[40 * 50 * 3], *bytes;
	size_t size;
	struct err err;

	for (size_t i = 0; i < sizeof rgb; i++)
		rgb[i] = (uint8_t)(i / 150 * 5 + (size_t)seed);
	assert_ok(image_encode_jpeg(rgb, 50, 40, 90, &bytes, &size, &err), &err);
	test_write(path, bytes, size);
	free(bytes);
}

static enum status read_one(const char *path, bool follow, struct err *err)
{
	struct pipeline *pipeline = open_pipeline(follow);
	struct job job = {.path = path};

	pipeline_read(pipeline, &job);
	finish(pipeline, &job);
	enum status status = job.status;
	if (status != STATUS_OK)
		*err = job.err;
	assert_true(status == STATUS_OK || !job.bytes);
	pipeline_close(pipeline);
	job_release(&job);
	return status;
}

static void a_file_is_hashed_then_decoded(void **state)
{
	(void)state;
	const char *path = test_path(test_folder(), "a.jpg");
	struct pipeline *pipeline = open_pipeline(false);
	struct job job = {.path = path};
	uint8_t *bytes;
	size_t size;
	struct err err;

	write_photo(path, 1);
	assert_ok(file_read(path, 1 << 20, &bytes, &size, &err), &err);
	pipeline_read(pipeline, &job);
	finish(pipeline, &job);
	assert_ok(job.status, &job.err);
	assert_true(job.hashed);
	assert_int_equal(job.size, size);
	XXH128_canonical_t canonical;
	XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes, size));
	assert_memory_equal(job.hash, canonical.digest, CATALOG_HASH);
	assert_int_equal(job.info.width, 50);
	assert_null(job.rgb);

	uint8_t expected[SIDE * SIDE * 3];
	struct image image;
	pipeline_decode(pipeline, &job);
	finish(pipeline, &job);
	assert_ok(job.status, &job.err);
	assert_ok(image_decode(bytes, size, 0, 0, &image, &err), &err);
	assert_ok(image_crop(&image, SIDE, expected, &err), &err);
	assert_memory_equal(job.rgb, expected, sizeof expected);
	assert_null(job.bytes);
	image_release(&image);
	pipeline_close(pipeline);
	job_release(&job);
	free(bytes);
}

/* A large picture with detail that a scaled decode averages in another way than the resizing does. */
static void write_large(const char *path)
{
	enum { LARGE = 8 * SIDE };
	uint8_t *rgb = malloc(3 * LARGE * LARGE), *bytes;
	uint64_t random = 5;
	size_t size;
	struct err err;

	assert_non_null(rgb);
	for (size_t i = 0; i < 3 * LARGE * LARGE; i++)
		rgb[i] = (uint8_t)(test_random(&random) % 2 ? i / 3 % LARGE : 255 - i / 3 / LARGE);
	assert_ok(image_encode_jpeg(rgb, LARGE, LARGE, 95, &bytes, &size, &err), &err);
	test_write(path, bytes, size);
	free(bytes);
	free(rgb);
}

static void exact_decodes_every_pixel(void **state)
{
	(void)state;
	const char *path = test_path(test_folder(), "large.jpg");
	uint8_t expected[2][SIDE * SIDE * 3], *bytes;
	struct image image;
	size_t size;
	struct err err;

	write_large(path);
	assert_ok(file_read(path, 1 << 24, &bytes, &size, &err), &err);
	for (int exact = 0; exact < 2; exact++) {
		struct pipeline *pipeline = open_exact(false, exact);
		struct job job = {.path = path};
		assert_ok(image_decode(bytes, size, exact ? 0 : image_enough(SIDE), 0, &image, &err), &err);
		assert_int_equal(image.width, exact ? 8 * SIDE : 2 * SIDE);
		assert_ok(image_crop(&image, SIDE, expected[exact], &err), &err);
		image_release(&image);
		pipeline_read(pipeline, &job);
		finish(pipeline, &job);
		pipeline_decode(pipeline, &job);
		finish(pipeline, &job);
		assert_ok(job.status, &job.err);
		assert_memory_equal(job.rgb, expected[exact], sizeof expected[exact]);
		pipeline_close(pipeline);
		job_release(&job);
	}
	assert_memory_not_equal(expected[0], expected[1], sizeof expected[0]);
	free(bytes);
}

static void a_missing_file_is_told_from_an_unreadable_one(void **state)
{
	(void)state;
	const char *folder = test_folder();
	struct err err;

	write_photo(test_path(folder, "a.jpg"), 1);
	assert_int_equal(symlink("a.jpg", test_path(folder, "link.jpg")), 0);
	assert_int_equal(mkfifo(test_path(folder, "pipe.jpg"), 0600), 0);
	assert_int_equal(read_one(test_path(folder, "none.jpg"), false, &err), STATUS_NOT_FOUND);
	assert_int_equal(read_one(test_path(folder, "a.jpg/b.jpg"), false, &err), STATUS_NOT_FOUND);
	assert_int_equal(read_one(test_path(folder, "pipe.jpg"), false, &err), STATUS_IO);
	assert_int_equal(read_one(folder, false, &err), STATUS_IO);
	assert_int_equal(read_one(test_path(folder, "link.jpg"), false, &err), STATUS_IO);
	assert_int_equal(read_one(test_path(folder, "link.jpg"), true, &err), STATUS_OK);
}

/* The kernel's files say that they are empty and are not: to a reader they grow without end. */
static void a_file_that_changes_is_not_trusted(void **state)
{
	(void)state;
	struct err err;

	if (access("/proc/self/status", R_OK) != 0)
		skip();
	assert_int_equal(read_one("/proc/self/status", false, &err), STATUS_IO);
	assert_non_null(strstr(err.text, "changes while it is read"));
}

static void a_huge_file_is_refused_unread(void **state)
{
	(void)state;
	const char *path = test_path(test_folder(), "huge.jpg");
	struct err err;

	test_write(path, "", 0);
	assert_int_equal(truncate(path, (off_t)1 << 40), 0);
	assert_int_equal(read_one(path, false, &err), STATUS_IO);
	assert_non_null(strstr(err.text, "larger"));
}

static void many_jobs_are_all_finished(void **state)
{
	(void)state;
	enum { N = 60 };
	static struct job jobs[N];
	const char *folder = test_folder();
	struct pipeline *pipeline = open_pipeline(false);
	char name[16];

	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof name, "%d.jpg", i);
		jobs[i].path = test_path(folder, name);
		write_photo(jobs[i].path, i);
		pipeline_read(pipeline, &jobs[i]);
	}
	for (int i = 0; i < N; i++) {
		finish(pipeline, &jobs[i]);
		assert_ok(jobs[i].status, &jobs[i].err);
		pipeline_decode(pipeline, &jobs[i]);
	}
	for (int i = 0; i < N; i++) {
		finish(pipeline, &jobs[i]);
		assert_ok(jobs[i].status, &jobs[i].err);
		assert_true(abs(jobs[i].rgb[0] - i) < 16);
	}
	struct pipeline_times times = pipeline_times(pipeline);
	assert_true(times.read > 0 && times.decode > 0 && times.resize > 0);
	pipeline_close(pipeline);
	for (int i = 0; i < N; i++)
		job_release(&jobs[i]);
}

static void closing_drops_what_is_queued(void **state)
{
	(void)state;
	enum { N = 100 };
	static struct job jobs[N];
	const char *path = test_path(test_folder(), "a.jpg");
	struct pipeline *pipeline = open_pipeline(false);

	write_photo(path, 1);
	for (int i = 0; i < N; i++) {
		jobs[i].path = path;
		pipeline_read(pipeline, &jobs[i]);
	}
	pipeline_close(pipeline);
	for (int i = 0; i < N; i++)
		job_release(&jobs[i]);
}

TEST_MAIN(cmocka_unit_test(a_file_is_hashed_then_decoded), cmocka_unit_test(exact_decodes_every_pixel),
	  cmocka_unit_test(a_missing_file_is_told_from_an_unreadable_one),
	  cmocka_unit_test(a_file_that_changes_is_not_trusted), cmocka_unit_test(a_huge_file_is_refused_unread),
	  cmocka_unit_test(many_jobs_are_all_finished), cmocka_unit_test(closing_drops_what_is_queued))
