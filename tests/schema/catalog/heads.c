/* heads.c: heads and what they say of photographs, the encoder's tokens beside the image tokens, and a file of version 1, which
 * had neither. */
#include "schema/catalog/contents.h"
#include "schema/catalog/filter.h"
#include "schema/catalog/maintenance.h"
#include "schema/catalog/models.h"
#include "schema/catalog/photos.h"
#include "schema/catalog/tokens.h"
#include "schema/catalog/heads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "schema/base/file.h"
#include "schema/base/packed.h"
#include "tests/support.h"

#include "schema/base/banned.h"

enum { DIM = 4, PHOTOS = 6 };

static struct err err;

struct fixture {
	const char *path;
	struct catalog *catalog;
	struct catalog_model model;
	int64_t contents[PHOTOS];
};

static void sql(const struct fixture *f, const char *statement)
{
	sqlite3 *db;
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, statement, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* PHOTOS photographs, all embedded; the last one is gone. */
static void fill(struct fixture *f)
{
	const float embedding[DIM] = {0.5f, 0.5f, 0.5f, 0.5f};
	int64_t root;

	assert_ok(catalog_root_put(f->catalog, "/photos", &root, &err), &err);
	for (int i = 0; i < PHOTOS; i++) {
		uint8_t hash[CATALOG_HASH] = {(uint8_t)(i + 100), 77};
		char path[32];
		int n = snprintf(path, sizeof path, "/photos/new-%d.jpg", i);
		assert_ok(catalog_content_put(f->catalog, hash, &f->contents[i], &err), &err);
		assert_ok(catalog_embedding_put(f->catalog, f->contents[i], f->model.id, embedding, DIM, &err), &err);
		struct photo photo = {.root = root, .path = path, .path_size = (size_t)n, .content = f->contents[i], .format = "jpeg",
				      .gone_since = i == PHOTOS - 1 ? 1 : 0, .orientation = 1, .taken_offset = CATALOG_NO_OFFSET};
		assert_ok(catalog_photo_put(f->catalog, &photo, &err), &err);
	}
}

static struct fixture fixture_new(void)
{
	struct fixture f = {.path = test_path(test_folder(), "library.db"), .model = {.dim = DIM, .tokens = 2, .width = 3}};

	memset(f.model.config_digest, 'c', 32);
	memset(f.model.weights_digest, 'w', 32);
	assert_ok(catalog_open(f.path, CATALOG_WRITE, &f.catalog, &err), &err);
	assert_ok(catalog_model_put(f.catalog, &f.model, &err), &err);
	fill(&f);
	return f;
}

static const char *const pets[] = {"cat", "dog"};

static int64_t put_head(struct fixture *f, const char *name, const char *const *labels, size_t n)
{
	struct catalog_head head = {.model = f->model.id, .name = name, .bytes = name, .size = strlen(name)};
	assert_ok(catalog_head_put(f->catalog, &head, labels, n, &err), &err);
	return head.id;
}

static size_t unscored(struct fixture *f, int64_t head)
{
	int64_t *contents;
	size_t n, counted;

	assert_ok(catalog_unscored(f->catalog, head, f->model.id, &contents, &n, &err), &err);
	assert_ok(catalog_unscored_count(f->catalog, head, f->model.id, &counted, &err), &err);
	assert_int_equal(n, counted);
	free(contents);
	return n;
}

/* Photo i is a cat with a probability of i / 10, a dog else. */
static void score_all(struct fixture *f, int64_t head)
{
	for (int i = 0; i < PHOTOS; i++) {
		const float p[] = {(float)(i / 10.0), (float)(1 - i / 10.0)};
		const bool has[] = {i >= 3, i < 3};
		assert_ok(catalog_scores_put(f->catalog, head, f->contents[i], p, has, 2, &err), &err);
	}
}

static int64_t label_of(struct fixture *f, const char *name)
{
	struct catalog_label label;
	assert_ok(catalog_label_find(f->catalog, name, &label, &err), &err);
	return label.id;
}

static size_t passing(struct fixture *f, const struct photo_filter *filter)
{
	int64_t *contents;
	size_t n;

	assert_ok(catalog_filter(f->catalog, filter, &contents, &n, &err), &err);
	free(contents);
	return n;
}

static void only_what_is_searched_is_asked_about_and_once(void **state)
{
	(void)state;
	struct fixture f = fixture_new();
	int64_t head = put_head(&f, "pets", pets, 2);

	assert_int_equal(unscored(&f, head), PHOTOS - 1);
	assert_ok(catalog_scores_put(f.catalog, head, f.contents[0], NULL, NULL, 0, &err), &err);
	assert_int_equal(unscored(&f, head), PHOTOS - 2);
	score_all(&f, head);
	assert_int_equal(unscored(&f, head), 0);
	catalog_close(f.catalog);
}

static void labels_filter_and_their_negation_lets_through_the_rest(void **state)
{
	(void)state;
	struct fixture f = fixture_new();

	score_all(&f, put_head(&f, "pets", pets, 2));
	struct photo_filter cat = {.labels = {{"cat", label_of(&f, "cat"), 0}}, .label_count = 1};
	struct photo_filter likely = {.labels = {{"cat", label_of(&f, "cat"), 0.15}}, .label_count = 1};
	struct photo_filter not_cat = {.except = &cat};
	struct photo_filter neither = {.labels = {{"dog", label_of(&f, "dog"), 0}}, .label_count = 1, .except = &likely};
	struct photo_filter both = {.labels = {cat.labels[0], {"dog", label_of(&f, "dog"), 0.65}}, .label_count = 2};
	bool passes;
	assert_false(photo_filter_empty(&cat));
	assert_int_equal(passing(&f, &cat), 2);     /* 3 and 4; 5 is gone */
	assert_int_equal(passing(&f, &likely), 3);
	assert_int_equal(passing(&f, &not_cat), 3);
	assert_int_equal(passing(&f, &neither), 2); /* 0 and 1 */
	assert_int_equal(passing(&f, &both), 1);    /* 3 */
	assert_ok(catalog_filter_photo(f.catalog, &cat, 4, &passes, &err), &err);
	assert_true(passes);
	assert_ok(catalog_filter_photo(f.catalog, &cat, 1, &passes, &err), &err);
	assert_false(passes);
	catalog_close(f.catalog);
}

static void contents_of_a_label_come_by_probability(void **state)
{
	(void)state;
	struct fixture f = fixture_new();
	int64_t head = put_head(&f, "pets", pets, 2), *contents;
	double *probabilities;
	size_t n;

	score_all(&f, head);
	assert_ok(catalog_label_contents(f.catalog, label_of(&f, "cat"), 0, &contents, &probabilities, &n, &err), &err);
	assert_int_equal(n, 3);
	assert_int_equal(contents[0], f.contents[5]);
	assert_int_equal(contents[2], f.contents[3]);
	assert_true(probabilities[0] == 0.5);
	free(contents);
	free(probabilities);
	assert_ok(catalog_label_count(f.catalog, head, 0, &n, &err), &err);
	assert_int_equal(n, 2); /* what is gone is not counted */
	catalog_close(f.catalog);
}

static void names_of_labels_are_resolved_or_explained(void **state)
{
	(void)state;
	static const char *const others[] = {"cat", "a/b"};
	struct fixture f = fixture_new();
	struct catalog_label label;

	assert_int_equal(catalog_label_find(f.catalog, "cat", &label, &err), STATUS_USAGE);
	assert_non_null(strstr(err.text, "coca tune labels"));
	int64_t first = put_head(&f, "pets", pets, 2), second = put_head(&f, "farm", others, 2);
	assert_ok(catalog_label_find(f.catalog, "dog", &label, &err), &err);
	assert_int_equal(label.head, first);
	assert_ok(catalog_label_find(f.catalog, "farm/cat", &label, &err), &err);
	assert_int_equal(label.head, second);
	assert_ok(catalog_label_find(f.catalog, "a/b", &label, &err), &err);
	assert_ok(catalog_label_find(f.catalog, "farm/a/b", &label, &err), &err);
	assert_int_equal(catalog_label_find(f.catalog, "cat", &label, &err), STATUS_USAGE);
	assert_non_null(strstr(err.text, "farm, pets"));
	assert_int_equal(catalog_label_find(f.catalog, "cow", &label, &err), STATUS_USAGE);
	assert_non_null(strstr(err.text, "a/b, cat, dog"));
	catalog_close(f.catalog);
}

static enum status see_head(void *context, const struct catalog_head *head, struct err *error)
{
	(void)error;
	snprintf(context, 64, "%s=%.*s", head->name, (int)head->size, (const char *)head->bytes);
	return STATUS_OK;
}

static void head_of_the_same_name_replaces_what_the_old_one_said(void **state)
{
	(void)state;
	struct fixture f = fixture_new();
	char seen[64] = "";
	int64_t head = put_head(&f, "pets", pets, 2);

	score_all(&f, head);
	int64_t old = label_of(&f, "cat");
	head = put_head(&f, "pets", pets, 2);
	assert_int_equal(unscored(&f, head), PHOTOS - 1);
	assert_true(label_of(&f, "cat") != old);
	assert_ok(catalog_heads_each(f.catalog, "pets", see_head, seen, &err), &err);
	assert_string_equal(seen, "pets=pets");
	assert_ok(catalog_head_forget(f.catalog, "pets", &err), &err);
	assert_int_equal(catalog_head_forget(f.catalog, "pets", &err), STATUS_NOT_FOUND);
	assert_int_equal(catalog_heads_each(f.catalog, "pets", see_head, seen, &err), STATUS_NOT_FOUND);
	catalog_close(f.catalog);
}

/* --- the encoder's tokens --- */

static const float tokens[6] = {1, 2, 3, -1, -2, -3};

static void put_tokens(struct fixture *f, int i, bool encoder)
{
	uint8_t blob[64];

	packed_tokens_write(tokens, 2, 3, blob);
	assert_ok((encoder ? catalog_encoder_put : catalog_tokens_put)(f->catalog, f->contents[i], f->model.id, blob, packed_tokens_size(2, 3),
								       &err), &err);
}

static void encoder_tokens_have_a_budget_of_their_own(void **state)
{
	(void)state;
	struct fixture f = fixture_new();
	struct catalog_counts counts;
	size_t left, room, each = packed_tokens_size(2, 3), size;
	void *blob;

	for (int i = 0; i < 4; i++)
		put_tokens(&f, i, true);
	put_tokens(&f, 0, false);
	assert_ok(catalog_encoder_room(f.catalog, 5 * each, &room, &err), &err);
	assert_int_equal(room, each);
	assert_ok(catalog_encoder_trim(f.catalog, 2 * each, &left, &err), &err);
	assert_int_equal(left, 2 * each);
	assert_ok(catalog_encoder_room(f.catalog, each, &room, &err), &err);
	assert_int_equal(room, 0);
	assert_ok(catalog_count(f.catalog, f.model.id, &counts, &err), &err);
	assert_int_equal(counts.encoder_rows, 2);
	assert_int_equal(counts.encoder_bytes, (int64_t)(2 * each));
	assert_int_equal(counts.token_rows, 1);
	assert_ok(catalog_encoder_get(f.catalog, f.contents[0], f.model.id, &blob, &size, &err), &err);
	assert_null(blob); /* the oldest went */
	assert_ok(catalog_encoder_get(f.catalog, f.contents[3], f.model.id, &blob, &size, &err), &err);
	assert_int_equal(size, each);
	free(blob);
	catalog_close(f.catalog);
}

static void count_problem(void *context, const char *problem)
{
	(void)problem;
	++*(size_t *)context;
}

static size_t problems(struct fixture *f)
{
	size_t reported = 0, n;
	assert_ok(catalog_check(f->catalog, count_problem, &reported, &n, &err), &err);
	assert_int_equal(reported, n);
	return n;
}

static void damaged_encoder_tokens_are_found_and_dropped(void **state)
{
	(void)state;
	struct fixture f = fixture_new();
	struct catalog_repairs done;
	int64_t head = put_head(&f, "pets", pets, 2);

	score_all(&f, head);
	for (int i = 0; i < 3; i++)
		put_tokens(&f, i, true);
	assert_int_equal(problems(&f), 0);
	sql(&f, "UPDATE encoder_blobs SET blob = CAST(replace(CAST(blob AS TEXT), 'CTK1', 'CTK9') AS BLOB) WHERE id = 1;"
		"UPDATE encoder_blobs SET blob = substr(blob, 1, length(blob) - 1) WHERE id = 2");
	assert_true(problems(&f) >= 2);
	assert_ok(catalog_repair(f.catalog, &done, &err), &err);
	assert_int_equal(done.tokens, 2);
	assert_int_equal(problems(&f), 0);
	assert_int_equal(unscored(&f, head), PHOTOS - 1);
	catalog_close(f.catalog);
}

static void file_of_version_1_gains_heads(void **state)
{
	(void)state;
	struct fixture f = {.path = test_path(test_folder(), "old.db"), .model = {.dim = DIM, .tokens = 2, .width = 3}};
	uint8_t *bytes;
	size_t size;

	assert_ok(file_read("tests/data/catalog-v1.db", 1 << 20, &bytes, &size, &err), &err);
	test_write(f.path, bytes, size);
	free(bytes);
	assert_ok(catalog_open(f.path, CATALOG_WRITE, &f.catalog, &err), &err);
	memset(f.model.config_digest, 'c', 32);
	memset(f.model.weights_digest, 'w', 32);
	assert_ok(catalog_model_put(f.catalog, &f.model, &err), &err);
	fill(&f);
	int64_t head = put_head(&f, "pets", pets, 2);
	score_all(&f, head);
	put_tokens(&f, 0, true);
	assert_int_equal(unscored(&f, head), 0);
	assert_int_equal(problems(&f), 0);
	catalog_close(f.catalog);
}

TEST_MAIN(cmocka_unit_test(only_what_is_searched_is_asked_about_and_once),
	  cmocka_unit_test(labels_filter_and_their_negation_lets_through_the_rest), cmocka_unit_test(contents_of_a_label_come_by_probability),
	  cmocka_unit_test(names_of_labels_are_resolved_or_explained),
	  cmocka_unit_test(head_of_the_same_name_replaces_what_the_old_one_said),
	  cmocka_unit_test(encoder_tokens_have_a_budget_of_their_own), cmocka_unit_test(damaged_encoder_tokens_are_found_and_dropped),
	  cmocka_unit_test(file_of_version_1_gains_heads))
