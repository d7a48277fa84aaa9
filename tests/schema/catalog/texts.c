/* The catalog's texts as sets: their embeddings, what ties them to photographs, null likelihoods and captions; and files of
 * version 1, which had none of it. */
#include <stdlib.h>
#include <string.h>

#include "schema/catalog/models.h"
#include "schema/catalog/internal.h"
#include "schema/catalog/texts.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "tests/support.h"

#include "schema/base/banned.h"

enum { DIM = 4 };

static struct err err;

struct fixture {
	struct catalog *catalog;
	struct catalog_model model;
	int64_t contents[3];
	int64_t texts[4]; /* 0 and 1 tied to contents 0 and 1, in "a"; 2 and 3 free, in "b" */
};

static int64_t put_photo(struct catalog *catalog, const char *path, uint8_t hash)
{
	uint8_t digest[CATALOG_HASH] = {hash};
	struct photo photo = {.path = path, .path_size = strlen(path), .width = 1, .height = 1, .orientation = 1};

	assert_ok(catalog_root_put(catalog, "/photos", &photo.root, &err), &err);
	assert_ok(catalog_content_put(catalog, digest, &photo.content, &err), &err);
	assert_ok(catalog_photo_put(catalog, &photo, &err), &err);
	return photo.content;
}

static int64_t put_text(struct catalog *catalog, const char *collection, int64_t content, const char *bytes)
{
	struct catalog_text text = {.collection = collection, .photo_content = content, .text = bytes, .text_size = strlen(bytes)};

	assert_ok(catalog_text_put(catalog, &text, &err), &err);
	return text.id;
}

static struct fixture fixture_new(void)
{
	struct fixture f = {.model = {.dim = DIM, .tokens = 1, .width = 1}};

	memset(f.model.config_digest, 'a', 32);
	memset(f.model.weights_digest, 'b', 32);
	assert_ok(catalog_open(test_path(test_folder(), "library.db"), CATALOG_WRITE, &f.catalog, &err), &err);
	assert_ok(catalog_model_put(f.catalog, &f.model, &err), &err);
	f.contents[0] = put_photo(f.catalog, "/photos/0.jpg", 30);
	f.contents[1] = put_photo(f.catalog, "/photos/1.jpg", 10);
	f.contents[2] = put_photo(f.catalog, "/photos/2.jpg", 20);
	f.texts[0] = put_text(f.catalog, "a", f.contents[0], "a dog");
	f.texts[1] = put_text(f.catalog, "a", f.contents[1], "a cat");
	f.texts[2] = put_text(f.catalog, "b", 0, "a dog");
	f.texts[3] = put_text(f.catalog, "b", 0, "rain");
	return f;
}

static int64_t generation(const struct fixture *f)
{
	int64_t number;
	assert_ok(catalog_text_generation(f->catalog, f->model.id, &number, &err), &err);
	return number;
}

static void embed(const struct fixture *f, int64_t text, float first)
{
	float embedding[DIM] = {first};
	assert_ok(catalog_text_embedding_put(f->catalog, text, f->model.id, embedding, DIM, &err), &err);
}

struct seen {
	int64_t ids[8];
	float first[8];
	size_t count;
};

static enum status see_embedding(void *context, int64_t id, const float *embedding, struct err *e)
{
	struct seen *seen = context;
	(void)e;
	seen->first[seen->count] = embedding[0];
	seen->ids[seen->count++] = id;
	return STATUS_OK;
}

static enum status see_text(void *context, const struct catalog_text *text, const float *embedding, struct err *e)
{
	struct seen *seen = context;
	(void)e;
	assert_null(embedding);
	seen->ids[seen->count++] = text->id;
	return STATUS_OK;
}

static void embeddings_are_visited_by_id(void **state)
{
	(void)state;
	struct fixture f = fixture_new();
	struct seen seen = {0};
	float embedding[DIM];
	bool found;
	size_t n;

	embed(&f, f.texts[2], 0.5f);
	embed(&f, f.texts[0], 0.25f);
	assert_ok(catalog_text_embeddings_each(f.catalog, f.model.id, DIM, see_embedding, &seen, &err), &err);
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.ids[0], f.texts[0]);
	assert_int_equal(seen.ids[1], f.texts[2]);
	assert_true(seen.first[0] == 0.25f && seen.first[1] == 0.5f);
	assert_ok(catalog_text_embeddings_count(f.catalog, f.model.id, &n, &err), &err);
	assert_int_equal(n, 2);
	assert_ok(catalog_text_embedding_get(f.catalog, f.texts[2], f.model.id, embedding, DIM, &found, &err), &err);
	assert_true(found && embedding[0] == 0.5f);
	assert_ok(catalog_text_embedding_get(f.catalog, f.texts[3], f.model.id, embedding, DIM, &found, &err), &err);
	assert_false(found);
	catalog_close(f.catalog);
}

static void what_has_no_embedding_is_listed(void **state)
{
	(void)state;
	struct fixture f = fixture_new();
	struct seen seen = {0};
	size_t n;

	embed(&f, f.texts[1], 1);
	assert_ok(catalog_texts_unembedded_count(f.catalog, f.model.id, &n, &err), &err);
	assert_int_equal(n, 3);
	assert_ok(catalog_texts_unembedded(f.catalog, f.model.id, 0, 2, see_text, &seen, &err), &err);
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.ids[0], f.texts[0]);
	assert_int_equal(seen.ids[1], f.texts[2]);
	seen = (struct seen){0};
	assert_ok(catalog_texts_unembedded(f.catalog, f.model.id, f.texts[0], 2, see_text, &seen, &err), &err);
	assert_int_equal(seen.ids[0], f.texts[2]);
	assert_int_equal(seen.ids[1], f.texts[3]);
	catalog_close(f.catalog);
}

static void generation_follows_the_embedded_texts_alone(void **state)
{
	(void)state;
	struct fixture f = fixture_new();
	size_t n;
	int64_t photos, before = generation(&f);

	assert_int_equal(before, 0);
	put_text(f.catalog, "b", 0, "snow");
	assert_int_equal(generation(&f), before);
	assert_ok(catalog_generation(f.catalog, f.model.id, &photos, &err), &err);
	embed(&f, f.texts[3], 1);
	int64_t after = generation(&f);
	assert_true(after != before);
	embed(&f, f.texts[3], 0.5f);
	assert_true(generation(&f) != after);
	after = generation(&f);
	assert_ok(catalog_texts_forget(f.catalog, "a", &n, &err), &err);
	assert_int_equal(n, 2);
	assert_int_equal(generation(&f), after); /* none of them was embedded */
	assert_ok(catalog_texts_forget(f.catalog, "b", &n, &err), &err);
	assert_true(generation(&f) != after);
	int64_t unchanged;
	assert_ok(catalog_generation(f.catalog, f.model.id, &unchanged, &err), &err);
	assert_int_equal(unchanged, photos);
	catalog_close(f.catalog);
}

static void keys_can_be_limited_to_a_collection(void **state)
{
	(void)state;
	struct fixture f = fixture_new();
	struct text_key *keys;
	size_t n;
	bool any;

	assert_ok(catalog_text_keys(f.catalog, NULL, &keys, &n, &err), &err);
	assert_int_equal(n, 4);
	free(keys);
	assert_ok(catalog_text_keys(f.catalog, "b", &keys, &n, &err), &err);
	assert_int_equal(n, 2);
	assert_int_equal(keys[1].id, f.texts[3]);
	assert_int_equal(keys[1].content, 0);
	free(keys);
	assert_ok(catalog_texts_any_tied(f.catalog, &any, &err), &err);
	assert_true(any);
	assert_ok(catalog_texts_forget(f.catalog, "a", &n, &err), &err);
	assert_ok(catalog_texts_any_tied(f.catalog, &any, &err), &err);
	assert_false(any);
	catalog_close(f.catalog);
}

static void expect_tied(struct fixture *f, const int64_t *contents, size_t n, const int64_t *expected, size_t count)
{
	int64_t *texts;
	size_t found;

	assert_ok(catalog_texts_tied(f->catalog, contents, n, &texts, &found, &err), &err);
	assert_int_equal(found, count);
	if (count)
		assert_memory_equal(texts, expected, count * sizeof *texts);
	free(texts);
}

/* Of few contents they are looked up, of many found in one pass. */
static void tied_texts_of_contents_are_listed_by_id(void **state)
{
	enum { MANY = 3000 };
	(void)state;
	struct fixture f = fixture_new();
	int64_t many[MANY], late;
	struct catalog_text text = {.collection = "c", .photo_content = f.contents[0], .text = "late", .text_size = 4};

	assert_ok(catalog_text_put(f.catalog, &text, &err), &err);
	late = text.id;
	const int64_t all[] = {f.texts[0], f.texts[1], late}, first[] = {f.texts[0], late};
	expect_tied(&f, NULL, 0, all, 3);
	expect_tied(&f, f.contents, 2, all, 3);
	expect_tied(&f, f.contents, 1, first, 2);
	expect_tied(&f, f.contents + 1, 1, all + 1, 1);
	expect_tied(&f, f.contents, 0, NULL, 0);
	for (size_t i = 0; i < MANY; i++)
		many[i] = f.contents[0] + (int64_t)i;
	expect_tied(&f, many, MANY, all, 3);
	expect_tied(&f, many + 1, MANY - 1, all + 1, 1);
	for (size_t i = 0; i < MANY; i++)
		many[i] += f.contents[1] * (i > 0);
	expect_tied(&f, many, MANY, first, 2);
	catalog_close(f.catalog);
}

static enum status see_collection(void *context, const struct text_collection *c, struct err *e)
{
	struct buffer *line = context;
	(void)e;
	buffer_format(line, "%s %d %d %d;", c->name, (int)c->texts, (int)c->tied, (int)c->embedded);
	return STATUS_OK;
}

static void collections_are_counted(void **state)
{
	(void)state;
	struct fixture f = fixture_new();
	struct buffer line = {0};

	embed(&f, f.texts[2], 1);
	put_text(f.catalog, "b", f.contents[2], "tied");
	assert_ok(catalog_collections_each(f.catalog, f.model.id, see_collection, &line, &err), &err);
	assert_string_equal(line.data, "a 2 2 0;b 3 1 1;");
	buffer_release(&line);
	catalog_close(f.catalog);
}

/* Hashes 10, 20, 30 belong to contents 1, 2, 0. */
static void sample_is_by_hash_and_of_photographs_that_are_there(void **state)
{
	(void)state;
	struct fixture f = fixture_new();
	int64_t sample[4];
	size_t n;

	assert_ok(catalog_contents_sample(f.catalog, 2, sample, &n, &err), &err);
	assert_int_equal(n, 2);
	assert_int_equal(sample[0], f.contents[1]);
	assert_int_equal(sample[1], f.contents[2]);
	assert_ok(catalog_photo_gone(f.catalog, 2, 1, &err), &err);
	assert_ok(catalog_contents_sample(f.catalog, 4, sample, &n, &err), &err);
	assert_int_equal(n, 2);
	assert_int_equal(sample[0], f.contents[2]);
	assert_int_equal(sample[1], f.contents[0]);
	assert_ok(catalog_contents_any(f.catalog, 2, sample, &n, &err), &err);
	assert_int_equal(n, 2);
	assert_int_equal(sample[0], f.contents[1]); /* though its photograph is gone */
	assert_int_equal(sample[1], f.contents[2]);
	catalog_close(f.catalog);
}

static void null_likelihoods_are_kept_and_go_with_their_text(void **state)
{
	(void)state;
	struct fixture f = fixture_new();
	struct text_null kept[] = {{f.texts[2], -1, -3.5f}, {f.texts[2], f.contents[0], -4.5f}}, entry = {f.texts[2], -1, 0};
	bool found;
	size_t n;

	catalog_nulls_keep(f.catalog, f.model.id, kept, 2);
	assert_ok(catalog_null_get(f.catalog, f.model.id, &entry, &found, &err), &err);
	assert_true(found && entry.likelihood == -3.5f);
	entry.null = f.contents[0];
	assert_ok(catalog_null_get(f.catalog, f.model.id, &entry, &found, &err), &err);
	assert_true(found && entry.likelihood == -4.5f);
	entry.text = f.texts[3];
	assert_ok(catalog_null_get(f.catalog, f.model.id, &entry, &found, &err), &err);
	assert_false(found);
	assert_ok(catalog_texts_forget(f.catalog, "b", &n, &err), &err);
	entry.text = f.texts[2];
	assert_ok(catalog_null_get(f.catalog, f.model.id, &entry, &found, &err), &err);
	assert_false(found);
	catalog_close(f.catalog);
}

static void tied_texts_are_sampled_evenly_and_found_by_content(void **state)
{
	(void)state;
	struct fixture f = fixture_new();
	struct seen seen = {0};
	int64_t sample[4];
	size_t n;

	assert_ok(catalog_texts_tied_sample(f.catalog, 4, sample, &n, &err), &err);
	assert_int_equal(n, 2);
	assert_int_equal(sample[0], f.texts[0]);
	assert_int_equal(sample[1], f.texts[1]);
	int64_t third = put_text(f.catalog, "b", f.contents[1], "tied"), fourth = put_text(f.catalog, "b", f.contents[2], "tied");
	assert_ok(catalog_texts_tied_sample(f.catalog, 2, sample, &n, &err), &err);
	assert_int_equal(n, 2);
	assert_int_equal(sample[0], f.texts[1]);
	assert_int_equal(sample[1], fourth);
	assert_ok(catalog_texts_of_content(f.catalog, f.contents[1], f.model.id, DIM, see_text, &seen, &err), &err);
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.ids[0], f.texts[1]);
	assert_int_equal(seen.ids[1], third);
	catalog_close(f.catalog);
}

static void caption_that_is_replaced_goes_unless_another_model_wrote_it(void **state)
{
	(void)state;
	struct fixture f = fixture_new();
	struct catalog_model other = f.model;
	int64_t text;
	double likelihood;
	struct seen seen = {0};

	memset(other.weights_digest, 'c', 32);
	assert_ok(catalog_model_put(f.catalog, &other, &err), &err);
	int64_t first = put_text(f.catalog, "captions", f.contents[0], "first"), second = put_text(f.catalog, "captions", f.contents[0], "second");
	assert_ok(catalog_caption_put(f.catalog, f.contents[0], f.model.id, first, -1, &err), &err);
	assert_ok(catalog_caption_put(f.catalog, f.contents[0], other.id, first, -2, &err), &err);
	assert_ok(catalog_caption_put(f.catalog, f.contents[0], f.model.id, second, -3, &err), &err);
	assert_ok(catalog_caption_get(f.catalog, f.contents[0], f.model.id, &text, &likelihood, &err), &err);
	assert_int_equal(text, second);
	assert_true(likelihood == -3);
	assert_ok(catalog_text_get(f.catalog, first, see_text, &seen, &err), &err);
	assert_ok(catalog_caption_put(f.catalog, f.contents[0], other.id, second, -2, &err), &err);
	assert_int_equal(catalog_text_get(f.catalog, first, see_text, &seen, &err), STATUS_NOT_FOUND);
	assert_ok(catalog_caption_put(f.catalog, f.contents[0], other.id, second, -4, &err), &err);
	assert_ok(catalog_text_get(f.catalog, second, see_text, &seen, &err), &err);
	assert_ok(catalog_caption_get(f.catalog, f.contents[1], other.id, &text, &likelihood, &err), &err);
	assert_int_equal(text, 0);
	catalog_close(f.catalog);
}

/* tests/data/catalog-v1.db was written by version 1. */
static void file_of_version_1_gains_what_texts_need(void **state)
{
	(void)state;
	const char *path = test_path(test_folder(), "old.db");
	struct fixture f = {.model = {.dim = DIM, .tokens = 1, .width = 1}};
	struct text_key *keys;
	uint8_t *bytes;
	size_t size, n;

	assert_ok(file_read("tests/data/catalog-v1.db", 1 << 20, &bytes, &size, &err), &err);
	test_write(path, bytes, size);
	free(bytes);
	assert_int_equal(catalog_open(path, CATALOG_READ, &f.catalog, &err), STATUS_UNSUPPORTED);
	assert_ok(catalog_open(path, CATALOG_WRITE, &f.catalog, &err), &err);
	f.model.id = 1;
	assert_int_equal(generation(&f), 0);
	assert_ok(catalog_text_keys(f.catalog, NULL, &keys, &n, &err), &err);
	assert_int_equal(n, 1);
	embed(&f, keys[0].id, 1);
	assert_true(generation(&f) != 0);
	memset(f.model.config_digest, 'x', 32);
	memset(f.model.weights_digest, 'x', 32);
	assert_ok(catalog_model_put(f.catalog, &f.model, &err), &err); /* a new model has its generations, too */
	assert_int_not_equal(f.model.id, 1);
	embed(&f, keys[0].id, 1);
	assert_true(generation(&f) != 0);
	free(keys);
	catalog_close(f.catalog);
	assert_ok(catalog_open(path, CATALOG_READ, &f.catalog, &err), &err);
	catalog_close(f.catalog);
}

TEST_MAIN(cmocka_unit_test(embeddings_are_visited_by_id), cmocka_unit_test(what_has_no_embedding_is_listed),
	  cmocka_unit_test(generation_follows_the_embedded_texts_alone),
	  cmocka_unit_test(keys_can_be_limited_to_a_collection), cmocka_unit_test(tied_texts_of_contents_are_listed_by_id), cmocka_unit_test(collections_are_counted),
	  cmocka_unit_test(sample_is_by_hash_and_of_photographs_that_are_there),
	  cmocka_unit_test(null_likelihoods_are_kept_and_go_with_their_text),
	  cmocka_unit_test(tied_texts_are_sampled_evenly_and_found_by_content),
	  cmocka_unit_test(caption_that_is_replaced_goes_unless_another_model_wrote_it),
	  cmocka_unit_test(file_of_version_1_gains_what_texts_need))
