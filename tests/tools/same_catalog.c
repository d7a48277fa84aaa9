/* same_catalog.c: whether two catalogs hold the same: same_catalog A.db B.db
 *
 * Rows are compared by path, contents by which paths share them, embeddings and image tokens by value: numbers may differ
 * as far as rounding goes when photographs were embedded in other company. Row numbers and times of runs do not count.
 * Prints the first differences and exits 1, or prints what was compared and exits 0. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/last_model.h"
#include "schema/catalog/catalog.h"
#include "schema/catalog/contents.h"
#include "schema/catalog/maintenance.h"
#include "schema/catalog/models.h"
#include "schema/catalog/photos.h"
#include "schema/catalog/tokens.h"
#include "schema/base/memory.h"
#include "schema/base/packed.h"

#include "schema/base/banned.h"

static const float embedding_tolerance = 1e-3f, token_tolerance = 0.02f; /* of unit vectors; of the largest value */

struct row {
	char *line;     /* all that can be compared as text */
	char *path;
	int64_t content;
};

struct side {
	struct catalog *catalog;
	struct catalog_model model;
	struct row *rows;
	size_t count;
};

static size_t differences;

static void differ(const char *what, const char *path)
{
	if (differences++ < 10)
		printf("%s differs: '%s'\n", what, path);
}

static enum status add_row(void *context, const struct photo *p, struct err *err)
{
	struct side *side = context;
	struct buffer line = {0};
	struct row *rows = mem_resize(side->rows, side->count + 1, sizeof *rows);

	if (!rows)
		return err_memory(err, "rows");
	side->rows = rows;
	buffer_format(&line, "%s|%lld|%lld|%d|%s|%d|%s|%lldx%lld|%d|", p->path, (long long)p->size, (long long)p->mtime_ns, (int)p->state,
		      p->error ? p->error : "", p->gone_since != 0, p->format ? p->format : "", (long long)p->width,
		      (long long)p->height, p->orientation);
	buffer_format(&line, "%d %lld %d|%d %.9f %.9f|%s|%s", p->has_taken, (long long)p->taken_at, (int)p->taken_offset, p->has_position,
		      p->latitude, p->longitude, p->camera ? p->camera : "", p->lens ? p->lens : "");
	rows[side->count++] = (struct row){line.data, mem_copy(p->path, p->path_size), p->content};
	return STATUS_OK;
}

static enum status add_root(void *context, const struct catalog_root *root, struct err *err)
{
	struct side *side = context;
	return catalog_photos_of_root(side->catalog, root->id, add_row, side, err);
}

static int compare_rows(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->path, ((const struct row *)b)->path);
}

static enum status side_open(struct side *side, const char *path, struct err *err)
{
	enum status status = catalog_open(path, CATALOG_READ, &side->catalog, err);

	if (status == STATUS_OK)
		status = last_model(path, &side->model, err);
	if (status == STATUS_OK)
		status = catalog_roots_each(side->catalog, add_root, side, err);
	if (side->count)
		qsort(side->rows, side->count, sizeof *side->rows, compare_rows);
	return status;
}

static void side_release(struct side *side)
{
	for (size_t i = 0; i < side->count; i++) {
		free(side->rows[i].line);
		free(side->rows[i].path);
	}
	free(side->rows);
	catalog_close(side->catalog);
}

/* a[n], b[n] */
static bool close_to(const float *a, const float *b, size_t n, float tolerance)
{
	for (size_t i = 0; i < n; i++)
		if (!(fabsf(a[i] - b[i]) <= tolerance))
			return false;
	return true;
}

static enum status compare_embedding(const struct side *a, const struct side *b, size_t i, float *x, float *y, struct err *err)
{
	size_t dim = (size_t)a->model.dim;
	bool in_a, in_b;
	enum status status = catalog_embedding_get(a->catalog, a->rows[i].content, a->model.id, x, dim, &in_a, err);

	if (status == STATUS_OK)
		status = catalog_embedding_get(b->catalog, b->rows[i].content, b->model.id, y, dim, &in_b, err);
	if (status == STATUS_OK && (in_a != in_b || (in_a && !close_to(x, y, dim, embedding_tolerance))))
		differ("embedding", a->rows[i].path);
	return status;
}

static enum status read_tokens(const struct side *side, size_t i, float *tokens, bool *found, struct err *err)
{
	void *blob;
	size_t size;
	enum status status = catalog_tokens_get(side->catalog, side->rows[i].content, side->model.id, &blob, &size, err);

	*found = status == STATUS_OK && blob;
	if (*found)
		status = packed_tokens_read(blob, size, (size_t)side->model.tokens, (size_t)side->model.width, tokens, err);
	if (status == STATUS_OK)
		free(blob);
	return status;
}

static enum status compare_tokens(const struct side *a, const struct side *b, size_t i, float *x, float *y, struct err *err)
{
	size_t n = (size_t)(a->model.tokens * a->model.width);
	bool in_a, in_b;
	float largest = 0;
	enum status status = read_tokens(a, i, x, &in_a, err);

	if (status == STATUS_OK)
		status = read_tokens(b, i, y, &in_b, err);
	for (size_t k = 0; status == STATUS_OK && in_a && k < n; k++)
		largest = fmaxf(largest, fabsf(x[k]));
	if (status == STATUS_OK && (in_a != in_b || (in_a && !close_to(x, y, n, token_tolerance * largest))))
		differ("image tokens", a->rows[i].path);
	return status;
}

/* Rows that share a content in one must share it in the other. first[content's first row] is found by a plain search. */
static void compare_sharing(const struct side *a, const struct side *b)
{
	for (size_t i = 0; i < a->count; i++) {
		size_t j = 0, k = 0;
		while (a->rows[j].content != a->rows[i].content)
			j++;
		while (b->rows[k].content != b->rows[i].content)
			k++;
		if (j != k)
			differ("sharing of contents", a->rows[i].path);
	}
}

static enum status compare(const struct side *a, const struct side *b, struct err *err)
{
	size_t tokens = (size_t)(a->model.tokens * a->model.width), dim = (size_t)a->model.dim;
	size_t most = tokens > dim ? tokens : dim;
	float *x = mem_floats(most), *y = mem_floats(most);
	struct catalog_counts in_a, in_b;
	enum status status = x && y ? STATUS_OK : err_memory(err, "tokens");

	if (a->count != b->count || strcmp(a->model.weights_digest, b->model.weights_digest) != 0 || a->model.dim != b->model.dim) {
		printf("%zu photographs of model %s, and %zu of %s\n", a->count, a->model.weights_digest, b->count,
		        b->model.weights_digest);
		differences++;
		goto out;
	}
	for (size_t i = 0; i < a->count && status == STATUS_OK; i++) {
		if (strcmp(a->rows[i].line, b->rows[i].line) != 0)
			differ("row", a->rows[i].line);
		status = compare_embedding(a, b, i, x, y, err);
		if (status == STATUS_OK)
			status = compare_tokens(a, b, i, x, y, err);
	}
	compare_sharing(a, b);
	if (status == STATUS_OK)
		status = catalog_count(a->catalog, 0, &in_a, err);
	if (status == STATUS_OK)
		status = catalog_count(b->catalog, 0, &in_b, err);
	if (status == STATUS_OK && memcmp(&in_a, &in_b, sizeof in_a) != 0)
		differ("a count", "the whole");
	if (status == STATUS_OK && !differences)
		printf("same: %lld photographs, %lld contents, %lld embeddings, %lld with image tokens\n", (long long)in_a.photos,
		       (long long)in_a.contents, (long long)in_a.embeddings, (long long)in_a.token_rows);
out:
	free(x);
	free(y);
	return status;
}

int main(int argc, char **argv)
{
	struct side a = {0}, b = {0};
	struct err err;

	if (argc != 3) {
		fprintf(stderr, "usage: same_catalog A.db B.db\n");
		return 2;
	}
	enum status status = side_open(&a, argv[1], &err);
	if (status == STATUS_OK)
		status = side_open(&b, argv[2], &err);
	if (status == STATUS_OK)
		status = compare(&a, &b, &err);
	if (status != STATUS_OK)
		fprintf(stderr, "same_catalog: %s\n", err.text);
	side_release(&a);
	side_release(&b);
	return status != STATUS_OK || differences ? 1 : 0;
}
