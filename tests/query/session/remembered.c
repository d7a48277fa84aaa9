/* Remembered embeddings of queries: found again, never wrong, never in the way. */
#include "tests/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "query/session/library.h"
#include "query/session/remembered.h"
#include "schema/catalog/models.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { DIM = 24 };

static struct err err;

static struct remembered_key key_of(int32_t number)
{
	const struct catalog_model row = {.config_digest = "c", .weights_digest = "w"};
	const int32_t ids[] = {4094, number, 4095};
	const struct coca_text text = {ids, 3};

	return remembered_key(&row, PRECISION_FP32, &text);
}

static void fill(float *embedding, int32_t number)
{
	for (size_t i = 0; i < DIM; i++)
		embedding[i] = (float)number + (float)i / DIM;
}

static void put(const char *catalog, int32_t number)
{
	float embedding[DIM];
	struct remembered_key key = key_of(number);

	fill(embedding, number);
	remembered_put(catalog, &key, embedding, DIM);
}

/* Whether it is remembered; then it must be right. */
static bool known(const char *catalog, int32_t number)
{
	float embedding[DIM], expected[DIM];
	struct remembered_key key = key_of(number);

	if (!remembered_get(catalog, &key, embedding, DIM))
		return false;
	fill(expected, number);
	assert_memory_equal(embedding, expected, sizeof expected);
	return true;
}

static const char *file_of(const char *catalog)
{
	static char path[4096];

	snprintf(path, sizeof path, "%s-queries-%d.cache", catalog, DIM);
	return path;
}

static void what_was_put_is_found_until_many_others_came(void **state)
{
	(void)state;
	const char *catalog = test_path(test_folder(), "library.db");
	struct stat st;

	assert_false(known(catalog, 1));
	put(catalog, 1);
	assert_true(known(catalog, 1));
	for (int32_t i = 2; i <= 5000; i++) {
		put(catalog, i);
		assert_true(known(catalog, i));
		assert_true(known(catalog, 1)); /* it is used all the time */
	}
	size_t left = 0;
	for (int32_t i = 1; i <= 5000; i++)
		left += known(catalog, i);
	assert_in_range(left, REMEMBERED_MOST / 2, REMEMBERED_MOST);
	assert_int_equal(stat(file_of(catalog), &st), 0);
	assert_true(st.st_size <= REMEMBERED_MOST * (32 + DIM * 4));
}

static void another_model_precision_or_text_is_another_key(void **state)
{
	(void)state;
	const struct catalog_model row = {.config_digest = "c", .weights_digest = "w"}, other = {.config_digest = "c", .weights_digest = "v"},
				   third = {.config_digest = "d", .weights_digest = "w"};
	const int32_t ids[] = {1, 2, 3, 4}, swapped[] = {1, 3, 2, 4};
	const struct coca_text text = {ids, 4}, shorter = {ids, 3}, order = {swapped, 4};
	struct remembered_key keys[] = {
		remembered_key(&row, PRECISION_FP32, &text), remembered_key(&other, PRECISION_FP32, &text), remembered_key(&third, PRECISION_FP32, &text),
		remembered_key(&row, PRECISION_INT8, &text), remembered_key(&row, PRECISION_FP32, &shorter),
		remembered_key(&row, PRECISION_FP32, &order)};
	struct remembered_key again = remembered_key(&row, PRECISION_FP32, &text);

	assert_memory_equal(&keys[0], &again, sizeof again);
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(&keys[i], &keys[j], sizeof again);
}

static void damage_is_forgotten_not_answered(void **state)
{
	(void)state;
	const char *catalog = test_path(test_folder(), "library.db"), *path = file_of(catalog);
	size_t size, kept = 0;
	uint8_t *bytes;

	for (int32_t i = 0; i < 200; i++)
		put(catalog, i);
	assert_ok(file_read(path, 1 << 22, &bytes, &size, &err), &err);
	for (size_t i = 0; i < size; i += 150)
		bytes[i] ^= 0x10;
	test_write(path, bytes, size);
	for (int32_t i = 0; i < 200; i++)
		kept += known(catalog, i);
	assert_in_range(kept, 0, 199);
	test_write(path, bytes, size / 3 + 5);
	for (int32_t i = 0; i < 200; i++)
		known(catalog, i);
	put(catalog, 7);
	assert_true(known(catalog, 7));
	free(bytes);
	/* Noise that holds nothing, and what is no number though its sum is right. */
	test_write(path, "no cache at all", 15);
	assert_false(known(catalog, 7));
	float embedding[DIM] = {NAN};
	struct remembered_key key = key_of(7);
	remembered_put(catalog, &key, embedding, DIM);
	assert_false(remembered_get(catalog, &key, embedding, DIM));
}

static void a_place_that_cannot_be_written_is_no_failure(void **state)
{
	(void)state;
	const char *folder = test_folder(), *catalog = test_path(folder, "library.db");

	put(test_path(folder, "nowhere/library.db"), 1);
	assert_false(known(test_path(folder, "nowhere/library.db"), 1));
	assert_int_equal(mkdir(file_of(catalog), 0700), 0);
	put(catalog, 1);
	assert_false(known(catalog, 1));
	assert_int_equal(rmdir(file_of(catalog)), 0);
	assert_int_equal(mkfifo(file_of(catalog), 0600), 0);
	put(catalog, 1); /* and does not wait for a writer */
	assert_false(known(catalog, 1));
}

static void processes_may_write_at_once(void **state)
{
	(void)state;
	enum { PROCESSES = 4 };
	const char *catalog = test_path(test_folder(), "library.db");
	pid_t children[PROCESSES];
	int code;

	for (int p = 0; p < PROCESSES; p++) {
		children[p] = fork();
		if (children[p] == 0) {
			for (int32_t i = 0; i < 3000; i++) {
				put(catalog, i % 40);
				known(catalog, (i * 7) % 40);
			}
			_exit(0);
		}
	}
	for (int p = 0; p < PROCESSES; p++) {
		assert_int_equal(waitpid(children[p], &code, 0), children[p]);
		assert_int_equal(code, 0);
	}
	size_t left = 0;
	for (int32_t i = 0; i < 40; i++)
		left += known(catalog, i);
	assert_in_range(left, 30, 40);
}

/* The second time the text tower is not asked: what is put in its place is what is answered. */
static void words_asked_again_need_no_text_tower(void **state)
{
	(void)state;
	struct library library = {.row = {.config_digest = "c", .weights_digest = "w"}};
	float first[1024], second[1024];
	int32_t *ids;
	struct coca_text text;
	bool cut;

	assert_ok(catalog_open(test_path(test_folder(), "library.db"), CATALOG_WRITE, &library.catalog, &err), &err);
	assert_ok(engine_open("model/default", PRECISION_AUTO, &library.engine, &err), &err);
	size_t E = library.engine.embed;
	assert_in_range(E, 1, 1024);
	assert_ok(library_embed_text(&library, "a dog", 5, first, &cut, &err), &err);
	assert_ok(engine_embed_text(&library.engine, "a dog", 5, second, &cut, &err), &err);
	assert_memory_equal(first, second, E * sizeof *first);
	assert_ok(engine_text_ids(&library.engine, "a dog", 5, &ids, &text, &cut, &err), &err);
	struct remembered_key key = remembered_key(&library.row, coca_precision(library.engine.model), &text);
	free(ids);
	assert_true(remembered_get(catalog_path(library.catalog), &key, second, E));
	assert_memory_equal(first, second, E * sizeof *first);
	second[0] = 42;
	remembered_put(catalog_path(library.catalog), &key, second, E);
	assert_ok(library_embed_text(&library, "a dog", 5, first, &cut, &err), &err);
	assert_true(first[0] == 42);
	assert_ok(library_embed_text(&library, "a cat", 5, first, &cut, &err), &err);
	assert_true(first[0] != 42);
	library_close(&library);
}

/* The first forks before any thread was started. */
TEST_MAIN(cmocka_unit_test(processes_may_write_at_once), cmocka_unit_test(another_model_precision_or_text_is_another_key),
	  cmocka_unit_test(a_place_that_cannot_be_written_is_no_failure), cmocka_unit_test(damage_is_forgotten_not_answered),
	  cmocka_unit_test(what_was_put_is_found_until_many_others_came), cmocka_unit_test(words_asked_again_need_no_text_tower))
