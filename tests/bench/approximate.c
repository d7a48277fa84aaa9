/* approximate.c: from how many vectors on does the approximate index pay?
 *
 *     build/tests/bench/approximate CATALOG N [DIM]
 *
 * Prints exact and approximate search side by side: file, time to build, time of the first query of a process and of later ones, alone and
 * in batches, and the recall at 10 of fresh queries. The vectors have the covariance of those in CATALOG, indexed photographs: each is one
 * of them moved along the difference of two others, with noise of a tenth of its length. DIM: synthetic ones in as many
 * dimensions, normal around 1,000 centres, instead.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "schema/catalog/photos.h"
#include "schema/cli/options.h"
#include "schema/base/clock.h"
#include "schema/base/memory.h"
#include "schema/vectors/internal.h"
#include "tests/last_model.h"
#include "tests/support.h"

#include "schema/base/banned.h"

enum { CENTRES = 1000, QUERIES = 256, K = 10, BATCH = 64 };

struct base {
	struct catalog_model model; /* of the catalog that the embeddings come from */
	size_t n, dim;
	float *rows;                /* [n,dim] of length 1 */
	double spread;              /* of the noise */
};

static struct err err;

static void check(enum status status)
{
	if (status == STATUS_OK)
		return;
	fprintf(stderr, "approximate: %s\n", err.text);
	exit(1);
}

static void to_unit(float *x, size_t n)
{
	float length = sqrtf(vectors_dot(x, x, n));

	for (size_t i = 0; i < n && length > 0; i++)
		x[i] /= length;
}

/* x: [dim]; about normal, of length `length` as expected */
static void add_noise(float *x, size_t dim, double length, uint64_t *random)
{
	double scale = length / sqrt((double)dim);

	for (size_t i = 0; i < dim; i++)
		x[i] += (float)(scale * (double)(test_uniform(random) + test_uniform(random) + test_uniform(random)));
}

/* x: [dim] */
static void draw(const struct base *base, uint64_t *random, float *x)
{
	const float *a = base->rows + test_random(random) % base->n * base->dim, *b = base->rows + test_random(random) % base->n * base->dim,
		    *c = base->rows + test_random(random) % base->n * base->dim;
	float along = base->model.id ? 0.5f * test_uniform(random) : 0;

	for (size_t i = 0; i < base->dim; i++)
		x[i] = a[i] + along * (b[i] - c[i]);
	add_noise(x, base->dim, base->spread, random);
	to_unit(x, base->dim);
}

static enum status keep_row(void *context, int64_t content, const float *embedding, struct err *e)
{
	struct base *base = context;
	float *rows = mem_resize(base->rows, (base->n + 1) * base->dim, sizeof *rows);

	(void)content;
	if (!rows)
		return err_memory(e, "embeddings");
	memcpy(rows + base->n * base->dim, embedding, base->dim * sizeof *rows);
	to_unit(rows + base->n * base->dim, base->dim);
	base->rows = rows;
	base->n++;
	return STATUS_OK;
}

static void load_base(const char *path, struct base *base)
{
	struct catalog *catalog;

	check(catalog_open(path, CATALOG_READ, &catalog, &err));
	check(last_model(path, &base->model, &err));
	base->dim = (size_t)base->model.dim;
	base->spread = 0.1;
	check(catalog_embeddings_each(catalog, base->model.id, base->dim, keep_row, base, &err));
	catalog_close(catalog);
	if (base->n < 100)
		check(err_set(&err, STATUS_USAGE, "'%s' has fewer than 100 embeddings", path));
}

static void make_base(size_t dim, struct base *base)
{
	uint64_t random = 5;

	base->dim = dim;
	base->n = CENTRES;
	base->spread = 1;
	base->rows = mem_floats(CENTRES * dim);
	if (!base->rows)
		check(err_memory(&err, "embeddings"));
	memset(base->rows, 0, CENTRES * dim * sizeof *base->rows);
	for (size_t i = 0; i < CENTRES; i++) {
		add_noise(base->rows + i * dim, dim, 1, &random);
		to_unit(base->rows + i * dim, dim);
	}
}

/* N photos, but for all that a search does not look at. */
static struct catalog *make_catalog(const struct base *base, size_t n, struct catalog_model *model)
{
	struct catalog *catalog;
	float *x = mem_floats(base->dim);
	uint64_t random = 6;
	int64_t root, content;
	char path[32];

	*model = (struct catalog_model){.config_digest = "c", .weights_digest = "w", .name = "m", .dim = (int64_t)base->dim};
	check(x ? STATUS_OK : err_memory(&err, "an embedding"));
	check(catalog_open(test_path(test_folder(), "library.db"), CATALOG_WRITE, &catalog, &err));
	check(catalog_model_put(catalog, model, &err));
	check(catalog_root_put(catalog, "/p", &root, &err));
	check(catalog_begin(catalog, &err));
	for (size_t i = 0; i < n; i++) {
		uint64_t hash[2] = {i};
		draw(base, &random, x);
		check(catalog_content_put(catalog, (const uint8_t *)hash, &content, &err));
		check(catalog_embedding_put(catalog, content, model->id, x, base->dim, &err));
		int size = snprintf(path, sizeof path, "/p/%zu", i);
		struct photo photo = {.root = root, .path = path, .path_size = (size_t)size, .content = content};
		check(catalog_photo_put(catalog, &photo, &err));
	}
	check(catalog_commit(catalog, &err));
	free(x);
	return catalog;
}

struct answers {
	float queries[QUERIES * 2048], scores[QUERIES * K];
	int64_t truth[QUERIES * K], found[QUERIES * K];
};

static double file_size(struct catalog *catalog)
{
	struct buffer path = {0};
	struct stat st = {0};

	buffer_format(&path, "%s-vectors-1.index", catalog_path(catalog));
	stat(path.data, &st);
	buffer_release(&path);
	return (double)st.st_size / 1e6;
}

static void measure(struct catalog *catalog, const struct catalog_model *model, const struct vectors_options *options, struct answers *a,
		    int64_t *found)
{
	struct vectors *v;
	size_t dim = (size_t)model->dim;
	double built = clock_now();

	check(vectors_open(catalog, model, options, &v, &err));
	built = clock_now() - built;
	vectors_close(v);
	double first = clock_now();
	check(vectors_open(catalog, model, options, &v, &err));
	check(vectors_search(v, a->queries, 1, K, a->scores, found, &err));
	first = clock_now() - first;
	double alone = clock_now();
	for (size_t q = 0; q < BATCH; q++)
		check(vectors_search(v, a->queries + q * dim, 1, K, a->scores, found, &err));
	alone = (clock_now() - alone) / BATCH;
	double batch = clock_now();
	check(vectors_search(v, a->queries, QUERIES, K, a->scores, found, &err));
	batch = (clock_now() - batch) / QUERIES;
	printf("%-26s %8.0f %8.1f %10.1f %8.2f %8.3f %8.4f\n", vectors_describe(v), file_size(catalog), built, 1e3 * first, 1e3 * alone,
	       1e3 * batch, vectors_share(found, a->truth, QUERIES, K));
	fflush(stdout);
	vectors_close(v);
}

int main(int argc, char **argv)
{
	struct base base = {0};
	struct catalog_model model;
	struct answers *answers = mem_array(1, sizeof *answers);
	uint64_t random = 7;

	blas_guard(argv, true);
	if (argc < 3 || argc > 4 || !answers) {
		fprintf(stderr, "usage: approximate CATALOG N [DIM]\n");
		return 2;
	}
	size_t n = strtoull(argv[2], NULL, 10), dim = argc == 4 ? strtoull(argv[3], NULL, 10) : 0;
	if (dim && dim <= 2048)
		make_base(dim, &base);
	else
		load_base(argv[1], &base);
	struct catalog *catalog = make_catalog(&base, n, &model);
	for (size_t q = 0; q < QUERIES; q++)
		draw(&base, &random, answers->queries + q * base.dim);
	printf("%zu x %zu\n%-26s %8s %8s %10s %8s %8s %8s\n", n, base.dim, "index", "file MB", "built s", "first ms", "alone ms", "batch ms",
	       "recall");
	measure(catalog, &model, &(struct vectors_options){.flat_most = n}, answers, answers->truth);
	measure(catalog, &model, &(struct vectors_options){.flat_most = 1}, answers, answers->found);
	catalog_close(catalog);
	free(base.rows);
	free(answers);
	test_folders_remove(NULL);
	return 0;
}
