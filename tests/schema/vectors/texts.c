/* The texts of a catalog as a vector index: a set, a file and a generation of their own. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "schema/catalog/texts.h"
#include "schema/vectors/vectors.h"
#include "tests/support.h"

#include "schema/base/banned.h"

enum { DIM = 8, TEXTS = 300, K = 5 };

static struct err err;

struct fixture {
	const char *path;
	struct catalog *catalog;
	struct catalog_model model;
	float embeddings[TEXTS][DIM]; /* by id - 1, as stored */
};

static struct fixture *fixture_new(void)
{
	static struct fixture f;
	uint64_t random = 5;

	f = (struct fixture){.path = test_path(test_folder(), "library.db"), .model = {.dim = DIM, .tokens = 1, .width = 1}};
	memset(f.model.config_digest, 'a', 32);
	memset(f.model.weights_digest, 'b', 32);
	assert_ok(catalog_open(f.path, CATALOG_WRITE, &f.catalog, &err), &err);
	assert_ok(catalog_model_put(f.catalog, &f.model, &err), &err);
	assert_ok(catalog_begin(f.catalog, &err), &err);
	for (int i = 0; i < TEXTS; i++) {
		char bytes[16];
		struct catalog_text text = {.collection = i % 3 ? "a" : "b", .text = bytes};
		text.text_size = (size_t)snprintf(bytes, sizeof bytes, "text %d", i);
		for (int d = 0; d < DIM; d++) /* exact as halves */
			f.embeddings[i][d] = roundf(test_uniform(&random) * 64) / 64;
		assert_ok(catalog_text_put(f.catalog, &text, &err), &err);
		assert_int_equal(text.id, i + 1);
		assert_ok(catalog_text_embedding_put(f.catalog, text.id, f.model.id, f.embeddings[i], DIM, &err), &err);
	}
	assert_ok(catalog_commit(f.catalog, &err), &err);
	return &f;
}

static struct vectors *open_texts(struct fixture *f)
{
	struct vectors_options options = {.set = VECTORS_TEXTS};
	struct vectors *vectors;

	assert_ok(vectors_open(f->catalog, &f->model, &options, &vectors, &err), &err);
	return vectors;
}

/* The twin: all inner products, the best picked one after the other, ties by id. */
static void plain_search(const struct fixture *f, const float *query, const int64_t *allowed, size_t count, int64_t *ids)
{
	bool taken[TEXTS] = {false};

	for (int k = 0; k < K; k++) {
		double best = -INFINITY;
		ids[k] = 0;
		for (int i = 0; i < TEXTS; i++) {
			double score = 0;
			bool in = !allowed;
			for (size_t a = 0; a < count; a++)
				in = in || allowed[a] == i + 1;
			for (int d = 0; d < DIM; d++)
				score += (double)query[d] * (double)f->embeddings[i][d];
			if (in && !taken[i] && score > best) {
				best = score;
				ids[k] = i + 1;
			}
		}
		if (ids[k])
			taken[ids[k] - 1] = true;
	}
}

static void index_and_scan_find_the_nearest_texts(void **state)
{
	(void)state;
	struct fixture *f = fixture_new();
	struct vectors *vectors = open_texts(f);
	float scores[K];
	int64_t found[K], expected[K], allowed[] = {3, 7, 150, 299};

	assert_int_equal(vectors_count(vectors), TEXTS);
	for (int q = 0; q < 20; q++) {
		plain_search(f, f->embeddings[q], NULL, 0, expected);
		assert_ok(vectors_search(vectors, f->embeddings[q], 1, K, scores, found, &err), &err);
		assert_memory_equal(found, expected, sizeof found);
		assert_ok(vectors_scan_set(f->catalog, &f->model, VECTORS_TEXTS, NULL, 0, f->embeddings[q], 1, K, scores, found, &err), &err);
		assert_memory_equal(found, expected, sizeof found);
		plain_search(f, f->embeddings[q], allowed, 4, expected);
		assert_ok(vectors_scan_set(f->catalog, &f->model, VECTORS_TEXTS, allowed, 4, f->embeddings[q], 1, K, scores, found, &err), &err);
		assert_memory_equal(found, expected, sizeof found);
	}
	vectors_close(vectors);
	catalog_close(f->catalog);
}

static void file_is_kept_until_a_text_changes(void **state)
{
	(void)state;
	struct fixture *f = fixture_new();
	struct vectors *vectors = open_texts(f), *photos;
	size_t n;

	assert_true(vectors_rebuilt(vectors));
	vectors_close(vectors);
	assert_ok(vectors_open(f->catalog, &f->model, NULL, &photos, &err), &err);
	assert_int_equal(vectors_count(photos), 0);
	vectors_close(photos);
	vectors = open_texts(f);
	assert_false(vectors_rebuilt(vectors));
	vectors_close(vectors);
	assert_ok(catalog_texts_forget(f->catalog, "b", &n, &err), &err);
	vectors = open_texts(f);
	assert_true(vectors_rebuilt(vectors));
	assert_int_equal(vectors_count(vectors), TEXTS - n);
	vectors_close(vectors);
	catalog_close(f->catalog);
}

/* Even a file of the photographs that bears the texts' name is none of the texts'. */
static void file_of_the_other_set_is_not_taken(void **state)
{
	(void)state;
	struct fixture *f = fixture_new();
	struct vectors *vectors;
	const char *folder = test_folder();
	size_t n;

	catalog_close(f->catalog);
	f->path = test_path(folder, "other.db");
	assert_ok(catalog_open(f->path, CATALOG_WRITE, &f->catalog, &err), &err);
	assert_ok(catalog_model_put(f->catalog, &f->model, &err), &err); /* both sets empty, both generations 0 */
	assert_ok(vectors_open(f->catalog, &f->model, NULL, &vectors, &err), &err);
	vectors_close(vectors);
	assert_int_equal(rename(test_path(folder, "other.db-vectors-1.index"), test_path(folder, "other.db-texts-1.index")), 0);
	vectors = open_texts(f);
	assert_true(vectors_rebuilt(vectors));
	n = vectors_count(vectors);
	assert_int_equal(n, 0);
	vectors_close(vectors);
	catalog_close(f->catalog);
}

TEST_MAIN(cmocka_unit_test(file_of_the_other_set_is_not_taken), cmocka_unit_test(file_is_kept_until_a_text_changes),
	  cmocka_unit_test(index_and_scan_find_the_nearest_texts))
