/* The vector index: equal to the plain scan of the catalog, rebuilt whenever its file is not exactly right, and honest about recall. */
#include "tests/support.h"

#include <grp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "schema/catalog/contents.h"
#include "schema/catalog/photos.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "schema/vectors/vectors.h"

#include "schema/base/banned.h"

enum { DIM = 40, K = 10, NOT_FOR_NOBODY = 77 };

struct library {
	const char *path;
	struct catalog *catalog;
	struct catalog_model model;
	int64_t root;
	uint64_t random;
};

static struct err err;

static struct library library_new(void)
{
	struct library l = {.path = test_path(test_folder(), "library.db"),
			    .model = {.name = "/models/tiny", .dim = DIM, .tokens = 1, .width = 1}};

	memset(l.model.config_digest, 'a', 32);
	memset(l.model.weights_digest, 'b', 32);
	assert_ok(catalog_open(l.path, CATALOG_WRITE, &l.catalog, &err), &err);
	assert_ok(catalog_model_put(l.catalog, &l.model, &err), &err);
	assert_ok(catalog_root_put(l.catalog, "/photos", &l.root, &err), &err);
	return l;
}

/* A photo with this embedding [DIM]; returns its id. */
static int64_t add(struct library *l, const float *embedding)
{
	uint64_t hash[2] = {test_random(&l->random), test_random(&l->random)};
	char path[64];
	int64_t content;

	assert_ok(catalog_content_put(l->catalog, (const uint8_t *)hash, &content, &err), &err);
	assert_ok(catalog_embedding_put(l->catalog, content, l->model.id, embedding, DIM, &err), &err);
	int n = snprintf(path, sizeof path, "/photos/%d.jpg", (int)content);
	struct photo photo = {.root = l->root, .path = path, .path_size = (size_t)n, .content = content};
	assert_ok(catalog_photo_put(l->catalog, &photo, &err), &err);
	return photo.id;
}

/* x: [n,DIM], each of length 1. */
static void random_units(uint64_t *random, float *x, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		float norm = 0;
		for (size_t j = 0; j < DIM; j++) {
			x[i * DIM + j] = test_uniform(random);
			norm += x[i * DIM + j] * x[i * DIM + j];
		}
		for (size_t j = 0; j < DIM; j++)
			x[i * DIM + j] /= sqrtf(norm);
	}
}

/* n photos around `centres` random directions (0: anywhere). */
static void add_many(struct library *l, size_t n, size_t centres)
{
	float *around = mem_floats((centres + 1) * DIM), x[DIM]; /* [centres,DIM] */

	random_units(&l->random, around, centres);
	assert_ok(catalog_begin(l->catalog, &err), &err);
	for (size_t i = 0; i < n; i++) {
		random_units(&l->random, x, 1);
		for (size_t j = 0; centres && j < DIM; j++)
			x[j] = 0.5f * x[j] + around[i % centres * DIM + j];
		add(l, x);
	}
	assert_ok(catalog_commit(l->catalog, &err), &err);
	free(around);
}

static struct vectors *open_with(struct library *l, const struct vectors_options *options)
{
	struct vectors *vectors;

	assert_ok(vectors_open(l->catalog, &l->model, options, &vectors, &err), &err);
	return vectors;
}

/* The answers of vectors to n random queries are those of the plain scan, scores bit by bit. */
static void assert_like_scan(struct library *l, struct vectors *vectors, size_t n, size_t k)
{
	float *queries = mem_floats(n * DIM), *scores = mem_floats(n * k), *expected = mem_floats(n * k);
	int64_t *found = mem_array(n * k, sizeof *found), *truth = mem_array(n * k, sizeof *truth);
	uint64_t random = 77;

	random_units(&random, queries, n);
	assert_ok(vectors_search(vectors, queries, n, k, scores, found, &err), &err);
	assert_ok(vectors_scan(l->catalog, &l->model, NULL, 0, queries, n, k, expected, truth, &err), &err);
	assert_memory_equal(found, truth, n * k * sizeof *found);
	assert_memory_equal(scores, expected, n * k * sizeof *scores);
	free(truth);
	free(found);
	free(expected);
	free(scores);
	free(queries);
}

/* What every file that is not exactly right leads to. */
static void assert_rebuilt(struct library *l)
{
	struct vectors *vectors = open_with(l, NULL);

	assert_true(vectors_rebuilt(vectors));
	assert_like_scan(l, vectors, 3, K);
	vectors_close(vectors);
	vectors = open_with(l, NULL);
	assert_false(vectors_rebuilt(vectors));
	assert_like_scan(l, vectors, 3, K);
	vectors_close(vectors);
}

static const char *file_of(const struct library *l)
{
	struct buffer name = {0};

	buffer_format(&name, "%s-vectors-%d.index", strrchr(l->path, '/') + 1, (int)l->model.id);
	char *folder = mem_copy(l->path, (size_t)(strrchr(l->path, '/') - l->path));
	const char *path = test_path(folder, name.data);
	free(folder);
	buffer_release(&name);
	return path;
}

/* --- searching --- */

static void flat_search_equals_the_scan_for_few_and_many_queries(void **state)
{
	(void)state;
	struct library l = library_new();

	add_many(&l, 3000, 0);
	struct vectors *vectors = open_with(&l, NULL);
	assert_int_equal(vectors_count(vectors), 3000);
	assert_true(vectors_exact(vectors));
	assert_string_equal(vectors_describe(vectors), "Flat");
	assert_like_scan(&l, vectors, 1, K);
	assert_like_scan(&l, vectors, 5, 1);
	assert_like_scan(&l, vectors, 100, K);
	assert_like_scan(&l, vectors, 1100, 3);
	assert_like_scan(&l, vectors, 40, 2990);
	vectors_close(vectors);
	catalog_close(l.catalog);
}

static void answers_do_not_depend_on_threads(void **state)
{
	(void)state;
	struct library l = library_new();

	add_many(&l, 7000, 0);
	struct vectors *vectors = open_with(&l, NULL);
	for (int threads = 1; threads <= 5; threads++) {
		blas_set_threads(threads);
		assert_like_scan(&l, vectors, 2, K);
		assert_like_scan(&l, vectors, 50, K);
	}
	blas_set_threads(0);
	vectors_close(vectors);
	catalog_close(l.catalog);
}

static void ties_break_by_ascending_content(void **state)
{
	(void)state;
	struct library l = library_new();
	float same[DIM] = {0.6f, 0.8f}, queries[40 * DIM] = {0}, scores[40 * K];
	int64_t found[40 * K];

	add_many(&l, 100, 0);
	for (int i = 0; i < 200; i++)
		add(&l, same);
	for (int q = 0; q < 40; q++)
		memcpy(queries + q * DIM, same, sizeof same);
	struct vectors *vectors = open_with(&l, NULL);
	struct vectors *lists = open_with(&l, &(struct vectors_options){.flat_most = 50, .recall_wanted = 1, .memory_only = true});
	for (int i = 0; i < 3; i++) {
		assert_ok(vectors_search(i == 2 ? lists : vectors, queries, i == 1 ? 40 : 1, K, scores, found, &err), &err);
		for (int j = 0; j < (i == 1 ? 40 : 1) * K; j++) {
			assert_int_equal(found[j], 101 + j % K);
			assert_true(scores[j] == scores[0]);
		}
	}
	vectors_close(lists);
	vectors_close(vectors);
	catalog_close(l.catalog);
}

static void places_beyond_the_collection_are_empty(void **state)
{
	(void)state;
	struct library l = library_new();
	float *queries = mem_array(50 * DIM, sizeof *queries), *scores = mem_floats(50 * K);
	int64_t found[50 * K];

	for (size_t count = 0; count <= 4; count += 2) {
		struct vectors *vectors = open_with(&l, NULL);
		assert_int_equal(vectors_count(vectors), count);
		for (size_t n = 1; n <= 50; n += 49) {
			assert_ok(vectors_search(vectors, queries, n, K, scores, found, &err), &err);
			for (size_t i = 0; i < n * K; i++) {
				assert_int_equal(found[i], i % K < count ? (int64_t)(i % K + 1) : 0);
				assert_true(i % K < count ? scores[i] == 0 : scores[i] == -INFINITY);
			}
		}
		vectors_close(vectors);
		vectors_close(NULL);
		add_many(&l, 2, 0);
	}
	free(scores);
	free(queries);
	catalog_close(l.catalog);
}

static void query_that_is_no_number_is_refused(void **state)
{
	(void)state;
	struct library l = library_new();
	float query[DIM] = {0}, score;
	int64_t found;

	add_many(&l, 5, 0);
	struct vectors *vectors = open_with(&l, NULL);
	for (int i = 0; i < 2; i++) {
		query[DIM - 1] = i ? INFINITY : NAN;
		assert_int_equal(vectors_search(vectors, query, 1, 1, &score, &found, &err), STATUS_USAGE);
		assert_int_equal(vectors_scan(l.catalog, &l.model, NULL, 0, query, 1, 1, &score, &found, &err), STATUS_USAGE);
	}
	vectors_close(vectors);
	catalog_close(l.catalog);
}

/* Both ways of searching some contents only. */
static void search_some(struct library *l, const int64_t *some, size_t n, const float *query, size_t k, float *scores, int64_t *found)
{
	float again[K];
	int64_t also[K];
	struct vectors *vectors = open_with(l, NULL);

	assert_ok(vectors_scan(l->catalog, &l->model, some, n, query, 1, k, scores, found, &err), &err);
	assert_ok(vectors_search_some(vectors, some, n, query, 1, k, again, also, &err), &err);
	assert_memory_equal(found, also, k * sizeof *found);
	assert_memory_equal(scores, again, k * sizeof *scores);
	vectors_close(vectors);
}

static void search_of_some_contents_finds_only_those_that_can_be_searched(void **state)
{
	(void)state;
	struct library l = library_new();
	float query[DIM] = {1}, scores[3];
	int64_t found[3], some[] = {3, 5, 9, 4000}, photo = 0;
	enum { MANY = 20000 };
	static int64_t even[MANY];

	add_many(&l, 30, 0);
	photo = add(&l, query);
	assert_int_equal(photo, 31);
	search_some(&l, some, 4, query, 3, scores, found);
	assert_int_equal(found[0] + found[1] + found[2], 17);
	assert_true(scores[0] >= scores[1] && scores[1] >= scores[2]);
	assert_ok(catalog_photo_gone(l.catalog, 5, 1, &err), &err);
	search_some(&l, some, 4, query, 3, scores, found);
	assert_int_equal(found[0] + found[1], 12);
	assert_int_equal(found[2], 0);
	/* So many that they are merged with a pass over all. */
	for (size_t i = 0; i < MANY; i++)
		even[i] = 2 * (int64_t)(i + 1);
	search_some(&l, even, MANY, query, 3, scores, found);
	assert_true(found[0] % 2 == 0 && found[1] % 2 == 0 && found[2] % 2 == 0 && found[2]);
	search_some(&l, some, 0, query, 3, scores, found);
	assert_int_equal(found[0], 0);
	catalog_close(l.catalog);
}

/* Blocks of which all, some, few, or none are asked for. */
static void search_of_some_contents_equals_the_scan(void **state)
{
	(void)state;
	struct library l = library_new();
	enum { N = 5000 };
	static int64_t some[N];

	add_many(&l, N, 20);
	for (size_t share = 1; share <= 3000; share *= share < 3 ? 2 : 5) {
		float query[DIM], scores[K];
		int64_t found[K];
		size_t n = 0;
		random_units(&l.random, query, 1);
		for (int64_t id = share == 20 ? 2000 : 1; id <= N; id++)
			if (test_random(&l.random) % share == 0)
				some[n++] = id;
		search_some(&l, some, n, query, K, scores, found);
		assert_true(n < K || found[K - 1] != 0);
	}
	catalog_close(l.catalog);
}

/* The codes cannot tell them apart: all must be scored. */
static void nearly_equal_embeddings_are_told_apart(void **state)
{
	(void)state;
	struct library l = library_new();
	float x[DIM];

	random_units(&l.random, x, 1);
	assert_ok(catalog_begin(l.catalog, &err), &err);
	for (int i = 0; i < 4000; i++) {
		float y[DIM];
		for (size_t j = 0; j < DIM; j++)
			y[j] = x[j] + 0.0004f * test_uniform(&l.random);
		add(&l, y);
	}
	assert_ok(catalog_commit(l.catalog, &err), &err);
	struct vectors *vectors = open_with(&l, NULL);
	assert_like_scan(&l, vectors, 1, K);
	assert_like_scan(&l, vectors, 40, 3);
	vectors_close(vectors);
	catalog_close(l.catalog);
}

/* --- the file --- */

static void file_is_used_until_the_collection_changes(void **state)
{
	(void)state;
	struct library l = library_new();

	add_many(&l, 300, 0);
	assert_rebuilt(&l);
	assert_ok(catalog_root_finished(l.catalog, l.root, 5, &err), &err);
	struct vectors *vectors = open_with(&l, NULL);
	assert_false(vectors_rebuilt(vectors));
	vectors_close(vectors);
	assert_ok(catalog_photo_gone(l.catalog, 7, 1, &err), &err);
	vectors = open_with(&l, NULL);
	assert_true(vectors_rebuilt(vectors));
	assert_int_equal(vectors_count(vectors), 299);
	vectors_close(vectors);
	assert_ok(catalog_photo_gone(l.catalog, 7, 0, &err), &err);
	assert_rebuilt(&l);
	catalog_close(l.catalog);
}

/* A check finds it at once, a search when it comes upon it; without one it does not matter. */
static void assert_damage_found(struct library *l, const char *path, const uint8_t *bytes, size_t size)
{
	const struct vectors_options check = {.check = true};

	test_write(path, bytes, size);
	struct vectors *vectors = open_with(l, NULL);
	assert_like_scan(l, vectors, 3, K);
	vectors_close(vectors);
	test_write(path, bytes, size);
	vectors = open_with(l, &check);
	assert_true(vectors_rebuilt(vectors));
	vectors_close(vectors);
	vectors = open_with(l, &check);
	assert_false(vectors_rebuilt(vectors));
	assert_like_scan(l, vectors, 3, K);
	vectors_close(vectors);
}

static void damaged_file_is_rebuilt(void **state)
{
	(void)state;
	struct library l = library_new();
	const char *path = file_of(&l);
	size_t size;
	uint8_t *bytes;

	add_many(&l, 320, 0);
	vectors_close(open_with(&l, NULL));
	assert_ok(file_read(path, 1 << 24, &bytes, &size, &err), &err);
	const size_t cuts[] = {0, 1, 100, 255, 256, 257, 300, 320, 320 + 5120, size / 2, size - 1};
	for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
		test_write(path, bytes, cuts[i]);
		assert_rebuilt(&l);
	}
	for (size_t i = 0; i < size; i += i < 320 ? 13 : 4201) {
		bytes[i] ^= 0x40;
		assert_damage_found(&l, path, bytes, size);
		bytes[i] ^= 0x40;
	}
	test_write(path, bytes, size);
	struct vectors *vectors = open_with(&l, NULL);
	assert_false(vectors_rebuilt(vectors));
	vectors_close(vectors);
	uint8_t *longer = mem_array(size + 1, 1);
	memcpy(longer, bytes, size);
	test_write(path, longer, size + 1);
	assert_rebuilt(&l);
	free(longer);
	free(bytes);
	catalog_close(l.catalog);
}

/* The catalog may have been emptied meanwhile, or be gone. */
static void damage_without_a_catalog_is_an_error(void **state)
{
	(void)state;
	struct library l = library_new();
	float query[DIM] = {1}, score;
	int64_t found;
	size_t size;
	uint8_t *bytes;

	add_many(&l, 20, 0);
	vectors_close(open_with(&l, NULL));
	assert_ok(file_read(file_of(&l), 1 << 24, &bytes, &size, &err), &err);
	bytes[size - 1] ^= 1; /* the last row */
	bytes[320] ^= 1;      /* the first id */
	test_write(file_of(&l), bytes, size);
	free(bytes);
	struct vectors *vectors = open_with(&l, NULL);
	catalog_close(l.catalog);
	assert_int_equal(unlink(l.path), 0);
	assert_int_equal(vectors_search(vectors, query, 1, 1, &score, &found, &err), STATUS_NOT_FOUND);
	assert_int_equal(vectors_count(vectors), 0);
	assert_ok(vectors_search(vectors, query, 1, 1, &score, &found, &err), &err);
	assert_int_equal(found, 0);
	vectors_close(vectors);
}

static void file_of_another_catalog_is_rebuilt(void **state)
{
	(void)state;
	struct library l = library_new(), other = library_new();
	uint8_t *bytes;
	size_t size;

	add_many(&l, 60, 0);
	other.random = 5;
	add_many(&other, 60, 0);
	vectors_close(open_with(&l, NULL));
	vectors_close(open_with(&other, NULL));
	assert_ok(file_read(file_of(&other), 1 << 24, &bytes, &size, &err), &err);
	test_write(file_of(&l), bytes, size);
	free(bytes);
	assert_rebuilt(&l);
	catalog_close(other.catalog);
	catalog_close(l.catalog);
}

static void uncommitted_embeddings_go_to_no_file(void **state)
{
	(void)state;
	struct library l = library_new();
	float x[DIM] = {1};

	assert_ok(catalog_begin(l.catalog, &err), &err);
	add(&l, x);
	struct vectors *vectors = open_with(&l, NULL);
	assert_int_equal(vectors_count(vectors), 1);
	vectors_close(vectors);
	catalog_rollback(l.catalog);
	assert_int_not_equal(access(file_of(&l), F_OK), 0);
	vectors = open_with(&l, &(struct vectors_options){.memory_only = true});
	assert_int_equal(vectors_count(vectors), 0);
	assert_int_not_equal(access(file_of(&l), F_OK), 0);
	vectors_close(vectors);
	catalog_close(l.catalog);
}

/* Root may write everywhere, so the child becomes nobody. It forks before any thread was started. */
static void read_only_folder_is_searched_from_memory(void **state)
{
	(void)state;
	struct library l = library_new();
	char *folder = mem_copy(l.path, (size_t)(strrchr(l.path, '/') - l.path));

	add_many(&l, 20, 0);
	catalog_close(l.catalog);
	assert_int_equal(chmod(folder, 0555), 0);
	pid_t child = fork();
	if (child == 0) {
		float query[DIM] = {1}, score;
		int64_t found = 0;
		struct vectors *vectors;
		if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0))
			_exit(3);
		if (access(l.path, R_OK) != 0)
			_exit(NOT_FOR_NOBODY);
		bool done = catalog_open(l.path, CATALOG_READ, &l.catalog, &err) == STATUS_OK &&
			    vectors_open(l.catalog, &l.model, NULL, &vectors, &err) == STATUS_OK && vectors_rebuilt(vectors) &&
			    vectors_search(vectors, query, 1, 1, &score, &found, &err) == STATUS_OK && found > 0;
		_exit(done ? 0 : 1);
	}
	int code;
	assert_int_equal(waitpid(child, &code, 0), child);
	assert_int_equal(chmod(folder, 0700), 0);
	free(folder);
	assert_true(WIFEXITED(code));
	if (WEXITSTATUS(code) == NOT_FOR_NOBODY)
		skip(); /* the folder for temporary files is root's own */
	assert_int_equal(WEXITSTATUS(code), 0);
	assert_int_not_equal(access(file_of(&l), F_OK), 0);
}

/* --- approximate --- */

static void inverted_file_reaches_the_recall_it_was_tuned_to(void **state)
{
	(void)state;
	struct library l = library_new();
	struct vectors_options options = {.flat_most = 1000, .recall_wanted = 0.97};
	double recall;

	add_many(&l, 8000, 100);
	for (int i = 0; i < 2; i++) {
		struct vectors *vectors = open_with(&l, &options);
		unsigned lists = 0, probes = 0;
		assert_int_equal(vectors_rebuilt(vectors), i == 0);
		assert_int_equal(vectors_count(vectors), 8000);
		assert_false(vectors_exact(vectors));
		assert_int_equal(sscanf(vectors_describe(vectors), "IVF%u,SQ8 nprobe %u", &lists, &probes), 2);
		assert_true(lists > 50 && probes >= 1 && probes < lists);
		assert_ok(vectors_recall(vectors, l.catalog, &l.model, 300, K, &recall, &err), &err);
		printf("%s: recall at 10 is %.4f\n", vectors_describe(vectors), recall);
		assert_true(recall >= 0.95 && recall <= 1);
		vectors_close(vectors);
	}
	/* Every list looked into is the exact answer. */
	options.recall_wanted = 1;
	struct vectors *vectors = open_with(&l, &options);
	assert_true(vectors_rebuilt(vectors));
	vectors_close(vectors);
	vectors = open_with(&l, NULL);
	assert_true(!vectors_rebuilt(vectors) && vectors_exact(vectors));
	assert_like_scan(&l, vectors, 3, K);
	assert_ok(vectors_recall(vectors, l.catalog, &l.model, 300, K, &recall, &err), &err);
	assert_true(recall == 1);
	vectors_close(vectors);
	catalog_close(l.catalog);
}

static void inverted_file_of_few_and_of_equal_vectors_works(void **state)
{
	(void)state;
	struct library l = library_new();
	float same[DIM] = {1}, scores[K];
	int64_t found[K];

	for (int i = 0; i < 200; i++)
		add(&l, same);
	for (size_t most = 1; most <= 199; most += 198) {
		struct vectors *vectors = open_with(&l, &(struct vectors_options){.flat_most = most});
		assert_false(vectors_exact(vectors));
		assert_ok(vectors_search(vectors, same, 1, K, scores, found, &err), &err);
		for (int i = 0; i < K; i++)
			assert_true(scores[i] == 1);
		vectors_close(vectors);
	}
	catalog_close(l.catalog);
}

TEST_MAIN(cmocka_unit_test(read_only_folder_is_searched_from_memory), cmocka_unit_test(places_beyond_the_collection_are_empty),
	  cmocka_unit_test(query_that_is_no_number_is_refused), cmocka_unit_test(ties_break_by_ascending_content),
	  cmocka_unit_test(search_of_some_contents_finds_only_those_that_can_be_searched),
	  cmocka_unit_test(search_of_some_contents_equals_the_scan), cmocka_unit_test(nearly_equal_embeddings_are_told_apart),
	  cmocka_unit_test(uncommitted_embeddings_go_to_no_file), cmocka_unit_test(file_is_used_until_the_collection_changes),
	  cmocka_unit_test(file_of_another_catalog_is_rebuilt),
	  cmocka_unit_test(damage_without_a_catalog_is_an_error), cmocka_unit_test(flat_search_equals_the_scan_for_few_and_many_queries),
	  cmocka_unit_test(answers_do_not_depend_on_threads), cmocka_unit_test(inverted_file_of_few_and_of_equal_vectors_works),
	  cmocka_unit_test(inverted_file_reaches_the_recall_it_was_tuned_to), cmocka_unit_test(damaged_file_is_rebuilt))
