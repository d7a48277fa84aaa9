/* scan.c: how fast vectors are searched, and how soon a cold `coca search` answers.
 *
 *     scan1m.over_fp32_pass    1,000,000 x 512: the time to read as many fp32 components once, at the rate at which all cores read memory
 *                              here, over the time of one query for the 10 nearest
 *     scan1m.recall_at_10      of the same queries, against fp32 inner products with every row
 *     search.cold_ms           `coca search` as a process of its own over 100,000 photographs, without reranking
 *     search.again_ms          the same words once more: their embedding is remembered
 */
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "query/session/engine.h"
#include "schema/catalog/photos.h"
#include "schema/base/memory.h"
#include "schema/vectors/internal.h"
#include "tests/bench/bench.h"
#include "tests/support.h"

#include "schema/base/banned.h"

enum { MILLION = 1000000, DIM = 512, CENTRES = 1000, K = 10, QUERIES = 8, ROUNDS = 15, LIBRARY = 100000 };

/* --- vectors ----------------------------------------------------------------------------------------------------- */

/* About normal: the sum of four bytes. Eight values from two numbers. */
static void noise(float *x, size_t n, uint64_t *random)
{
	for (size_t i = 0; i < n; i += 2) {
		uint64_t bits = test_random(random);
		for (size_t j = 0; j < 2 && i + j < n; j++, bits >>= 32) {
			uint64_t pairs = (bits & 0x00ff00ff) + (bits >> 8 & 0x00ff00ff);
			x[i + j] = (float)((pairs & 0xffff) + (pairs >> 16 & 0xffff)) - 510;
		}
	}
}

static void to_unit(float *x, size_t n)
{
	float length = sqrtf(vectors_dot(x, x, n));

	for (size_t i = 0; i < n; i++)
		x[i] /= length;
}

/* Around one of the centres [CENTRES,dim], as far away as from nothing. */
static void draw(const float *centres, size_t dim, uint64_t *random, float *x)
{
	const float *centre = centres + test_random(random) % CENTRES * dim;

	noise(x, dim, random);
	to_unit(x, dim);
	for (size_t i = 0; i < dim; i++)
		x[i] += centre[i];
	to_unit(x, dim);
}

static float *make_centres(size_t dim, uint64_t *random)
{
	float *centres = mem_floats(CENTRES * dim);

	for (size_t i = 0; centres && i < CENTRES; i++) {
		noise(centres + i * dim, dim, random);
		to_unit(centres + i * dim, dim);
	}
	return centres;
}

/* --- the scan ---------------------------------------------------------------------------------------------------- */

struct scan {
	struct vectors vectors;
	float *queries;              /* [QUERIES,DIM] */
	size_t next;
	float scores[QUERIES * K];
	int64_t found[QUERIES * K];
	uint64_t sum;
	enum status status;
	struct err err;
};

static void query_once(void *context)
{
	struct scan *s = context;
	size_t q = s->next++ % QUERIES;

	if (s->status == STATUS_OK)
		s->status = vectors_seek(&s->vectors, NULL, 0, s->queries + q * DIM, 1, K, s->scores + q * K, s->found + q * K, &s->err);
}

static void query_all(void *context)
{
	struct scan *s = context;

	if (s->status == STATUS_OK)
		s->status = vectors_seek(&s->vectors, NULL, 0, s->queries, QUERIES, K, s->scores, s->found, &s->err);
}

/* Nothing but reading, of all that the index has in memory. */
static void read_memory(void *context)
{
	struct scan *s = context;
	const uint64_t *words = (const uint64_t *)(const void *)s->vectors.base;
	uint64_t sum = 0;

	#pragma omp parallel for simd schedule(static) reduction(+ : sum)
	for (size_t i = 0; i < s->vectors.size / sizeof *words; i++)
		sum += words[i];
	s->sum = sum;
}

static enum status fill(struct scan *s, struct err *err)
{
	uint64_t random = 9;
	float row[DIM], *centres = make_centres(DIM, &random);
	enum status status = centres ? vectors_allocate(&s->vectors, MILLION, DIM, err) : err_memory(err, "vectors");

	s->queries = mem_floats(QUERIES * DIM);
	if (status == STATUS_OK && !s->queries)
		status = err_memory(err, "vectors");
	for (size_t i = 0; i < MILLION && status == STATUS_OK; i++) {
		draw(centres, DIM, &random, row);
		vectors_put(&s->vectors, i, (int64_t)i + 1, row);
	}
	s->vectors.count = status == STATUS_OK ? MILLION : 0;
	for (size_t q = 0; q < QUERIES && status == STATUS_OK; q++)
		draw(centres, DIM, &random, s->queries + q * DIM);
	if (status == STATUS_OK)
		vectors_seal(&s->vectors);
	free(centres);
	return status;
}

/* Against inner products with every row. */
static double recall(struct scan *s)
{
	float scores[QUERIES * K];
	int64_t truth[QUERIES * K];

	#pragma omp parallel for schedule(dynamic)
	for (size_t q = 0; q < QUERIES; q++) {
		struct nearest nearest = {K, 0, scores + q * K, truth + q * K};
		float row[DIM];
		for (size_t i = 0; i < MILLION; i++) {
			vectors_row(&s->vectors, i, row);
			nearest_offer(&nearest, vectors_dot(s->queries + q * DIM, row, DIM), (int64_t)i + 1);
		}
		nearest_finish(&nearest);
	}
	return vectors_share(s->found, truth, QUERIES, K);
}

static enum status measure_scan(struct bench *bench)
{
	struct scan *s = mem_array(1, sizeof *s);
	struct bench_run runs[] = {{.work = read_memory, .context = s}, {.work = query_once, .context = s}, {.work = query_all, .context = s}};
	enum status status = s ? fill(s, &bench->err) : err_memory(&bench->err, "a scan");

	if (status == STATUS_OK) {
		bench_rounds(runs, 3, ROUNDS);
		status = s->status;
		if (status != STATUS_OK)
			bench->err = s->err;
	}
	if (status == STATUS_OK) {
		double pass = (double)MILLION * DIM * sizeof(float) / (double)s->vectors.size;
		bench_print(bench, "scan1m.read_gb_s", (double)s->vectors.size / 1e9 / bench_median(&runs[0]), "GB/s", 0);
		bench_print(bench, "scan1m.query_ms", 1e3 * bench_median(&runs[1]), "ms", 0);
		bench_print(bench, "scan1m.over_fp32_pass", pass * bench_ratio(&runs[0], &runs[1]), "x", 2.5);
		bench_print(bench, "scan1m.batch_over_single", QUERIES * bench_ratio(&runs[1], &runs[2]), "x", 0);
		bench_print(bench, "scan1m.recall_at_10", recall(s), "", 0.999);
	}
	if (s) {
		vectors_release(&s->vectors);
		free(s->queries);
	}
	free(s);
	return status;
}

/* --- a cold search ----------------------------------------------------------------------------------------------- */

static enum status put_photo(struct catalog *catalog, const struct catalog_model *row, int64_t root, size_t i, const float *embedding,
			     struct err *err)
{
	uint8_t hash[CATALOG_HASH] = {0};
	char path[64];
	int64_t content;

	memcpy(hash, &i, sizeof i);
	int n = snprintf(path, sizeof path, "/photos/%03zu/%06zu.jpg", i / 1000, i);
	enum status status = catalog_content_put(catalog, hash, &content, err);
	if (status == STATUS_OK)
		status = catalog_embedding_put(catalog, content, row->id, embedding, (size_t)row->dim, err);
	if (status != STATUS_OK)
		return status;
	struct photo photo = {.root = root, .path = path, .path_size = (size_t)n, .size = 3000000, .mtime_ns = 1, .content = content,
			      .format = "jpeg", .width = 4000, .height = 3000, .orientation = 1, .has_taken = true,
			      .taken_at = 1500000000 + (int64_t)i * 600, .taken_offset = CATALOG_NO_OFFSET, .camera = "camera"};
	return catalog_photo_put(catalog, &photo, err);
}

/* A library as `coca index` would have made it. */
static enum status make_library(const char *path, const char *model, struct err *err)
{
	struct engine engine = {0};
	struct catalog *catalog = NULL;
	struct catalog_model row;
	struct vectors *vectors = NULL;
	uint64_t random = 4;
	int64_t root;
	float *centres = NULL, *x = NULL;
	enum status status = engine_open(model, PRECISION_AUTO, &engine, err);

	if (status == STATUS_OK)
		status = catalog_open(path, CATALOG_WRITE, &catalog, err);
	if (status == STATUS_OK)
		status = engine_identify(&engine, catalog, &row, err);
	if (status == STATUS_OK)
		status = catalog_root_put(catalog, "/photos", &root, err);
	if (status == STATUS_OK)
		status = catalog_begin(catalog, err);
	if (status == STATUS_OK && !((centres = make_centres(engine.embed, &random)) && (x = mem_floats(engine.embed))))
		status = err_memory(err, "vectors");
	for (size_t i = 0; i < LIBRARY && status == STATUS_OK; i++) {
		draw(centres, engine.embed, &random, x);
		status = put_photo(catalog, &row, root, i, x, err);
	}
	if (status == STATUS_OK)
		status = catalog_commit(catalog, err);
	if (status == STATUS_OK)
		status = vectors_open(catalog, &row, NULL, &vectors, err);
	vectors_close(vectors);
	catalog_close(catalog);
	engine_close(&engine);
	free(centres);
	free(x);
	return status;
}

struct process {
	char *program, *catalog;
	const char *model;
	size_t runs;
	bool same, failed;
};

/* Words that were not asked for before, or the same again. */
static void search(void *context)
{
	struct process *p = context;
	char words[64];
	char *const arguments[] = {p->program, "search", "--no-rerank", "--db", p->catalog, "--model", (char *)p->model, words, NULL};
	extern char **environ;
	posix_spawn_file_actions_t actions;
	pid_t child;
	int code = -1;

	snprintf(words, sizeof words, "two dogs run through the snow of winter %zu", p->same ? 0 : ++p->runs);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", 1, 0);
	if (posix_spawn(&child, p->program, &actions, NULL, arguments, environ) == 0)
		waitpid(child, &code, 0);
	posix_spawn_file_actions_destroy(&actions);
	p->failed = p->failed || code != 0;
}

/* coca beside the folder of this program. */
static char *find_program(void)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	struct buffer path = {0};

	if (n <= 0)
		return NULL;
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	buffer_format(&path, "%s/../coca", self);
	return path.data;
}

static enum status measure_search(struct bench *bench)
{
	struct process fresh = {.model = bench->model, .program = find_program(), .catalog = (char *)test_path(test_folder(), "library.db")};
	enum status status = fresh.program ? make_library(fresh.catalog, bench->model, &bench->err) : err_memory(&bench->err, "a path");
	struct process same = fresh;
	struct bench_run runs[] = {{.work = search, .context = &fresh}, {.work = search, .context = &same}};

	same.same = true;
	if (status == STATUS_OK) {
		bench_rounds(runs, 2, ROUNDS);
		if (fresh.failed || same.failed)
			status = err_set(&bench->err, STATUS_FAILED, "'%s search' failed", fresh.program);
	}
	if (status == STATUS_OK) {
		bench_print(bench, "search.cold_ms", 1e3 * bench_median(&runs[0]), "ms", -150);
		bench_print(bench, "search.again_ms", 1e3 * bench_median(&runs[1]), "ms", 0);
	}
	free(fresh.program);
	return status;
}

void bench_scan(struct bench *bench)
{
	bench->status = measure_scan(bench);
	if (bench->status == STATUS_OK)
		bench->status = measure_search(bench);
	test_folders_remove(NULL);
}
