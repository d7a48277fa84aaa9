/* A store over a catalog: each call in arrays says what the single calls of the catalog say, in a few statements however many are asked
 * for; a question sees one state; what it leaves is written when it has ended. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"
#include "schema/base/packed.h"
#include "schema/catalog/contents.h"
#include "schema/catalog/facts.h"
#include "schema/catalog/internal.h"
#include "schema/catalog/tokens.h"
#include "schema/store/sqlite.h"
#include "schema/vectors/vectors.h"
#include "tests/support.h"

#include "schema/base/banned.h"

enum { DIM = 8, CONTENTS = 300, TOKENS = 2, WIDTH = 3, MANY = 40000 };

static struct err err;

struct fixture {
	const char *path;
	struct catalog *writer, *reader;
	struct catalog_model model;
	struct store *store; /* over the reader */
	int64_t root, contents[CONTENTS], texts[CONTENTS];
};

static void put_photo(struct fixture *f, const char *path, int64_t content, int64_t taken, const char *camera)
{
	struct photo photo = {.root = f->root, .path = path, .path_size = strlen(path), .size = 1, .mtime_ns = 1, .content = content, .format = "jpeg",
			      .width = 4, .height = 3, .orientation = 1, .has_taken = taken > 0, .taken_at = taken,
			      .taken_offset = CATALOG_NO_OFFSET, .camera = camera, .lens = camera ? "50 mm" : NULL};

	assert_ok(catalog_photo_put(f->writer, &photo, &err), &err);
	if (content % 11 == 0)
		assert_ok(catalog_photo_gone(f->writer, photo.id, 5, &err), &err);
}

/* Of every third content two photos, of every eleventh all gone, of every fifth no embedding, of every second tokens, of every fourth a text,
 * of every eighth two, of which the second has no embedding. */
static void put_content(struct fixture *f, int i, uint64_t *random)
{
	uint8_t hash[CATALOG_HASH] = {(uint8_t)test_random(random), (uint8_t)i, (uint8_t)(i >> 8)}, blob[12 + TOKENS * 4 + TOKENS * WIDTH];
	float embedding[DIM], tokens[TOKENS * WIDTH];
	char path[64], words[32];
	int64_t *content = &f->contents[i];

	for (int d = 0; d < DIM; d++)
		embedding[d] = roundf(test_uniform(random) * 64) / 64; /* exact as halves */
	for (int t = 0; t < TOKENS * WIDTH; t++)
		tokens[t] = test_uniform(random);
	packed_tokens_write(tokens, TOKENS, WIDTH, blob);
	assert_ok(catalog_content_put(f->writer, hash, content, &err), &err);
	if (i % 5)
		assert_ok(catalog_embedding_put(f->writer, *content, f->model.id, embedding, DIM, &err), &err);
	if (i % 7)
		assert_ok(catalog_hash_put(f->writer, *content, test_random(random), &err), &err);
	if (i % 2)
		assert_ok(catalog_tokens_put(f->writer, *content, f->model.id, blob, sizeof blob, &err), &err);
	else
		assert_ok(catalog_encoder_put(f->writer, *content, f->model.id, blob, sizeof blob, &err), &err);
	for (int copy = 0; copy <= (i % 3 == 0); copy++) {
		snprintf(path, sizeof path, "/photos/%s%d.jpg", copy ? "copy" : "", 1000 - i);
		put_photo(f, path, *content, i % 4 ? 1000 + (i * 37) % 100 : 0, i % 2 ? "Canon" : NULL);
	}
	for (int t = 0; t < (i % 4 == 0) + (i % 8 == 0); t++) {
		struct catalog_text text = {.collection = i % 3 ? "notes" : "captions", .photo_content = *content, .text = words};
		text.text_size = (size_t)snprintf(words, sizeof words, "words %d of %d", t, i);
		assert_ok(catalog_text_put(f->writer, &text, &err), &err);
		f->texts[i] = text.id;
		if (!t)
			assert_ok(catalog_text_embedding_put(f->writer, text.id, f->model.id, embedding, DIM, &err), &err);
	}
}

static struct fixture *fixture_new(void)
{
	static struct fixture f;
	uint64_t random = 3;

	f = (struct fixture){.path = test_path(test_folder(), "library.db"), .model = {.dim = DIM, .tokens = TOKENS, .width = WIDTH}};
	memset(f.model.config_digest, 'a', 32);
	memset(f.model.weights_digest, 'b', 32);
	assert_ok(catalog_open(f.path, CATALOG_WRITE, &f.writer, &err), &err);
	assert_ok(catalog_begin(f.writer, &err), &err);
	assert_ok(catalog_model_put(f.writer, &f.model, &err), &err);
	assert_ok(catalog_root_put(f.writer, "/photos", &f.root, &err), &err);
	for (int i = 0; i < CONTENTS; i++)
		put_content(&f, i, &random);
	assert_ok(catalog_commit(f.writer, &err), &err);
	assert_ok(catalog_open(f.path, CATALOG_READ, &f.reader, &err), &err);
	assert_ok(sqlite_store_open(f.reader, &f.model, &f.store, &err), &err);
	return &f;
}

static void fixture_free(struct fixture *f)
{
	store_close(f->store);
	catalog_close(f->reader);
	catalog_close(f->writer);
}

/* Contents in an order that is not theirs, one twice, one that is unknown. */
static size_t some_contents(const struct fixture *f, int64_t *some)
{
	size_t n = 0;

	for (int i = 0; i < CONTENTS; i++)
		some[n++] = f->contents[i * 7 % CONTENTS];
	some[n++] = f->contents[3];
	some[n++] = 123456;
	return n;
}

/* --- the plain twins --- */

static void embeddings_are_those_of_single_calls(void **state)
{
	(void)state;
	static float embeddings[(CONTENTS + 2) * DIM];
	struct fixture *f = fixture_new();
	int64_t some[CONTENTS + 2];
	bool found[CONTENTS + 2], known;
	float one[DIM];
	size_t n = some_contents(f, some), there = 0;
	uint64_t before = store_statements(f->store);

	assert_ok(store_embeddings(f->store, STORE_PHOTOS, some, n, embeddings, found, &err), &err);
	assert_int_equal(store_statements(f->store) - before, 1);
	for (size_t i = 0; i < n; i++) {
		assert_ok(catalog_embedding_get(f->reader, some[i], f->model.id, one, DIM, &known, &err), &err);
		assert_int_equal(found[i], known);
		if (known)
			assert_memory_equal(embeddings + i * DIM, one, sizeof one);
		there += known;
	}
	assert_int_equal(there, CONTENTS - CONTENTS / 5 + 1);
	for (int i = 0; i < CONTENTS; i++)
		some[i] = f->texts[i];
	assert_ok(store_embeddings(f->store, STORE_TEXTS, some, CONTENTS, embeddings, found, &err), &err);
	for (int i = 0; i < CONTENTS; i++) {
		assert_ok(catalog_text_embedding_get(f->reader, some[i], f->model.id, one, DIM, &known, &err), &err);
		assert_int_equal(found[i], known);
		if (known)
			assert_memory_equal(embeddings + i * DIM, one, sizeof one);
	}
	fixture_free(f);
}

struct expected {
	struct fixture *f;
	const struct photo_filter *filter;
	const struct store_photos *photos;
	size_t at;
};

static void assert_same_string(const char *a, const char *b)
{
	assert_int_equal(a == NULL, b == NULL);
	if (a)
		assert_string_equal(a, b);
}

static enum status expect_photo(void *context, const struct photo *photo, struct err *e)
{
	struct expected *x = context;
	bool passes = true;

	if (photo->state != PHOTO_READY)
		return STATUS_OK;
	if (x->filter)
		assert_ok(catalog_filter_photo(x->f->reader, x->filter, photo->id, &passes, e), e);
	if (!passes)
		return STATUS_OK;
	assert_in_range(x->at, 0, x->photos->count - 1);
	struct photo got = x->photos->rows[x->at++], same = *photo;
	assert_string_equal(got.path, photo->path);
	assert_same_string(got.error, photo->error);
	assert_same_string(got.format, photo->format);
	assert_same_string(got.camera, photo->camera);
	assert_same_string(got.lens, photo->lens);
	same.path = got.path;
	same.error = got.error;
	same.format = got.format;
	same.camera = got.camera;
	same.lens = got.lens;
	assert_int_equal(got.id, same.id);
	assert_int_equal(got.content, same.content);
	assert_int_equal(got.taken_at, same.taken_at);
	assert_int_equal(got.width, same.width);
	return STATUS_OK;
}

static void photos_are_those_of_single_calls_that_pass(void **state)
{
	(void)state;
	struct fixture *f = fixture_new();
	const struct photo_filter copies = {.in = "/photos/copy1.jpg"}, canon = {.camera = "canon"}, words = {.text = "words"},
				  not_canon = {.except = &canon}, early = {.has_until = true, .until = 1050, .except = &words};
	const struct photo_filter *filters[] = {NULL, &copies, &canon, &words, &not_canon, &early};
	int64_t some[CONTENTS + 2];
	size_t n = some_contents(f, some);

	for (size_t k = 0; k < sizeof filters / sizeof *filters; k++) {
		struct store_photos photos;
		struct expected x = {f, filters[k], &photos, 0};
		uint64_t before = store_statements(f->store);
		assert_ok(store_photos(f->store, some, n, filters[k], &photos, &err), &err);
		assert_int_equal(store_statements(f->store) - before, 1);
		for (size_t i = 0; i < n; i++)
			assert_ok(catalog_photos_of_content(f->reader, some[i], false, expect_photo, &x, &err), &err);
		assert_int_equal(x.at, photos.count);
		store_photos_release(&photos);
		assert_null(photos.rows);
	}
	fixture_free(f);
}

static void newest_photos_are_those_that_the_filter_lists(void **state)
{
	(void)state;
	struct fixture *f = fixture_new();
	const struct photo_filter all = {0}, canon = {.camera = "canon"};
	const struct photo_filter *filters[] = {&all, &canon};

	for (size_t k = 0; k < 2; k++)
		for (size_t limit = 10; limit; limit = limit == 10 ? SIZE_MAX : 0) {
			struct store_photos photos;
			int64_t *ids;
			size_t n;
			assert_ok(store_newest(f->store, filters[k], limit, &photos, &err), &err);
			assert_ok(catalog_filter_newest(f->reader, filters[k], limit, &ids, &n, &err), &err);
			assert_int_equal(n, photos.count);
			for (size_t i = 0; i < n; i++)
				assert_int_equal(photos.rows[i].id, ids[i]);
			free(ids);
			store_photos_release(&photos);
		}
	fixture_free(f);
}

static void tokens_and_hashes_are_those_of_single_calls(void **state)
{
	(void)state;
	struct fixture *f = fixture_new();
	void *blobs[CONTENTS], *blob;
	size_t sizes[CONTENTS], size;
	uint64_t hashes[CONTENTS], hash = 0, before = store_statements(f->store);
	bool found[CONTENTS], known;

	for (int kind = STORE_IMAGE_TOKENS; kind <= STORE_ENCODER_TOKENS; kind++) {
		assert_ok(store_tokens(f->store, kind, f->contents, CONTENTS, blobs, sizes, &err), &err);
		for (int i = 0; i < CONTENTS; i++) {
			assert_int_equal(blobs[i] != NULL, i % 2 == (kind == STORE_IMAGE_TOKENS));
			assert_ok((kind == STORE_IMAGE_TOKENS ? catalog_tokens_get : catalog_encoder_get)(f->writer, f->contents[i], f->model.id,
													 &blob, &size, &err), &err);
			assert_int_equal(size, sizes[i]);
			if (blob)
				assert_memory_equal(blob, blobs[i], size);
			free(blob);
			free(blobs[i]);
		}
	}
	assert_ok(store_hashes(f->store, f->contents, CONTENTS, hashes, found, &err), &err);
	assert_int_equal(store_statements(f->store) - before, 3);
	for (int i = 0; i < CONTENTS; i++) {
		assert_ok(catalog_hash_get(f->writer, f->contents[i], &hash, &known, &err), &err);
		assert_int_equal(found[i], known);
		assert_int_equal(known, i % 7 != 0);
		assert_true(!known || hashes[i] == hash);
	}
	fixture_free(f);
}

struct told {
	const struct store_texts *texts;
	size_t at;
};

static enum status expect_text(void *context, const struct catalog_text *text, const float *embedding, struct err *e)
{
	struct told *told = context;
	const struct catalog_text *got = &told->texts->rows[told->at];

	(void)e;
	assert_in_range(told->at, 0, told->texts->count - 1);
	assert_int_equal(got->id, text->id);
	assert_int_equal(got->photo_content, text->photo_content);
	assert_int_equal(got->text_size, text->text_size);
	assert_memory_equal(got->text, text->text, text->text_size);
	assert_string_equal(got->collection, text->collection);
	if (told->texts->embeddings) {
		assert_int_equal(told->texts->embedded[told->at], embedding != NULL);
		if (embedding)
			assert_memory_equal(told->texts->embeddings + told->at * DIM, embedding, DIM * sizeof *embedding);
	}
	told->at++;
	return STATUS_OK;
}

static void texts_are_those_of_single_calls(void **state)
{
	(void)state;
	struct fixture *f = fixture_new();
	struct store_texts texts;
	int64_t some[CONTENTS + 2], *tied, *all;
	size_t n = some_contents(f, some), tied_n, all_n;
	struct told told = {&texts, 0};
	uint64_t before = store_statements(f->store);

	assert_ok(store_texts_of(f->store, some, n, true, &texts, &err), &err);
	assert_int_equal(store_statements(f->store) - before, 1);
	for (size_t i = 0; i < n; i++)
		assert_ok(catalog_texts_of_content(f->reader, some[i], f->model.id, DIM, expect_text, &told, &err), &err);
	assert_int_equal(told.at, texts.count);
	assert_true(texts.count > CONTENTS / 4);
	store_texts_release(&texts);

	for (int i = 0; i < CONTENTS; i++)
		some[i] = f->texts[CONTENTS - 1 - i]; /* 0 where there is none */
	assert_ok(store_texts(f->store, some, CONTENTS, &texts, &err), &err);
	told.at = 0;
	for (int i = 0; i < CONTENTS; i++)
		if (some[i])
			assert_ok(catalog_text_get(f->reader, some[i], expect_text, &told, &err), &err);
	assert_int_equal(told.at, texts.count);
	assert_null(texts.embeddings);
	store_texts_release(&texts);

	assert_ok(store_texts_tied(f->store, f->contents, CONTENTS, &tied, &tied_n, &err), &err);
	assert_ok(store_texts_tied(f->store, NULL, 0, &all, &all_n, &err), &err);
	assert_int_equal(tied_n, all_n);
	assert_memory_equal(tied, all, all_n * sizeof *all);
	free(tied);
	free(all);
	assert_ok(store_texts_in(f->store, "captions", &tied, &tied_n, &err), &err);
	assert_in_range(tied_n, 1, all_n - 1);
	free(tied);
	fixture_free(f);
}

static void nearest_are_those_of_the_plain_scan(void **state)
{
	(void)state;
	struct fixture *f = fixture_new();
	float query[DIM], scores[10], plain_scores[10];
	int64_t ids[10], plain_ids[10];
	size_t n;
	uint64_t random = 8;

	for (int d = 0; d < DIM; d++)
		query[d] = test_uniform(&random);
	for (int set = STORE_PHOTOS; set <= STORE_TEXTS; set++)
		for (int some = 0; some < 2; some++) {
			const int64_t *among = !some ? NULL : set == STORE_PHOTOS ? f->contents : (const int64_t[]){1, 5, 9, 12};
			size_t among_n = set == STORE_PHOTOS ? 50 : 4;
			assert_ok(store_nearest(f->store, set, query, among, among_n, 10, scores, ids, &err), &err);
			assert_ok(vectors_scan_set(f->reader, &f->model, set == STORE_PHOTOS ? VECTORS_PHOTOS : VECTORS_TEXTS, among, among_n, query, 1,
						   10, plain_scores, plain_ids, &err), &err);
			assert_memory_equal(ids, plain_ids, sizeof ids);
			for (int i = 0; i < 10; i++)
				assert_true(scores[i] == plain_scores[i]);
		}
	assert_ok(store_count(f->store, STORE_PHOTOS, &n, &err), &err);
	assert_int_equal(n, 219); /* 240 are embedded, of 21 the photos are gone */
	fixture_free(f);
}

static void nulls_are_found_by_text_and_null(void **state)
{
	(void)state;
	struct fixture *f = fixture_new();
	const struct text_null kept[] = {{1, -1, -1.5f}, {1, 7, -2.25f}, {2, 7, -3.1f}, {3, 9, -4}};
	float likelihoods[3 * 3];

	store_close(f->store);
	assert_ok(sqlite_store_open(f->writer, &f->model, &f->store, &err), &err);
	store_nulls_keep(f->store, kept, 4);
	uint64_t before = store_statements(f->store);
	assert_ok(store_nulls(f->store, (int64_t[]){2, 1, 4}, 3, (int64_t[]){7, 8, -1}, 3, likelihoods, &err), &err);
	assert_int_equal(store_statements(f->store) - before, 1);
	const float expected[] = {-3.1f, NAN, NAN, -2.25f, NAN, -1.5f, NAN, NAN, NAN};
	for (int i = 0; i < 9; i++)
		assert_true(isnan(expected[i]) ? isnan(likelihoods[i]) : likelihoods[i] == expected[i]);
	fixture_free(f);
}

/* --- questions --- */

static void a_question_sees_one_state(void **state)
{
	(void)state;
	struct fixture *f = fixture_new();
	struct photo_filter all = {0};
	float query[DIM] = {1}, score;
	int64_t *contents, id, fresh;
	size_t before, during, n;
	bool found;

	assert_ok(store_begin(f->store, &err), &err);
	assert_ok(store_filter(f->store, &all, &contents, &before, &err), &err);
	free(contents);
	assert_ok(store_nearest(f->store, STORE_PHOTOS, query, NULL, 0, 1, &score, &id, &err), &err);
	assert_ok(catalog_content_put(f->writer, (const uint8_t[CATALOG_HASH]){9, 9, 9}, &fresh, &err), &err);
	assert_ok(catalog_embedding_put(f->writer, fresh, f->model.id, (const float[DIM]){60}, DIM, &err), &err);
	put_photo(f, "/photos/fresh.jpg", fresh, 1, NULL);
	assert_ok(store_filter(f->store, &all, &contents, &during, &err), &err);
	free(contents);
	assert_int_equal(before, during);
	assert_ok(store_nearest(f->store, STORE_PHOTOS, query, NULL, 0, 1, &score, &id, &err), &err);
	assert_int_not_equal(id, fresh);
	assert_ok(store_embeddings(f->store, STORE_PHOTOS, &fresh, 1, query, &found, &err), &err);
	assert_false(found);
	store_end(f->store);
	assert_ok(store_filter(f->store, &all, &contents, &n, &err), &err);
	free(contents);
	assert_int_equal(n, before + 1);
	assert_ok(store_nearest(f->store, STORE_PHOTOS, query, NULL, 0, 1, &score, &id, &err), &err);
	assert_int_equal(id, fresh);
	fixture_free(f);
}

static void what_a_question_leaves_is_written_when_it_has_ended(void **state)
{
	(void)state;
	struct fixture *f = fixture_new();
	int64_t used[2] = {f->contents[1], f->contents[3]};
	size_t left;
	void *blob;

	catalog_close(f->writer);
	assert_ok(store_begin(f->store, &err), &err);
	store_tokens_used(f->store, used, 2);
	store_nulls_keep(f->store, &(struct text_null){1, 5, -2}, 1);
	float likelihood;
	assert_ok(store_nulls(f->store, (int64_t[]){1}, 1, (int64_t[]){5}, 1, &likelihood, &err), &err);
	assert_true(isnan(likelihood));
	store_end(f->store);
	assert_ok(store_nulls(f->store, (int64_t[]){1}, 1, (int64_t[]){5}, 1, &likelihood, &err), &err);
	assert_true(likelihood == -2);
	assert_ok(catalog_open(f->path, CATALOG_WRITE, &f->writer, &err), &err);
	assert_ok(catalog_tokens_trim(f->writer, 2 * (12 + TOKENS * 4 + TOKENS * WIDTH), &left, &err), &err);
	for (int i = 0; i < 2; i++) {
		assert_ok(catalog_tokens_get(f->writer, used[i], f->model.id, &blob, &left, &err), &err);
		assert_non_null(blob);
		free(blob);
	}
	fixture_free(f);
}

static void a_vector_index_is_opened_once_and_again_when_the_catalog_moved_on(void **state)
{
	(void)state;
	struct fixture *f = fixture_new();
	float query[DIM] = {1}, score;
	int64_t id;

	assert_ok(store_nearest(f->store, STORE_PHOTOS, query, NULL, 0, 1, &score, &id, &err), &err);
	uint64_t before = store_statements(f->store);
	for (int i = 0; i < 10; i++)
		assert_ok(store_nearest(f->store, STORE_PHOTOS, query, NULL, 0, 1, &score, &id, &err), &err);
	assert_int_equal(store_statements(f->store) - before, 10); /* the generation, each time */
	assert_ok(store_begin(f->store, &err), &err);
	before = store_statements(f->store);
	for (int i = 0; i < 10; i++)
		assert_ok(store_nearest(f->store, STORE_PHOTOS, query, NULL, 0, 1, &score, &id, &err), &err);
	assert_int_equal(store_statements(f->store) - before, 1); /* once a question */
	store_end(f->store);
	fixture_free(f);
}

/* More than SQLite has parameters for. */
static void any_number_of_ids_takes_one_statement(void **state)
{
	(void)state;
	struct fixture *f = fixture_new();
	int64_t *many = mem_array(MANY, sizeof *many);
	float *embeddings = mem_floats((size_t)MANY * DIM);
	bool *found = mem_array(MANY, sizeof *found);
	struct store_photos photos;

	assert_true(many && embeddings && found);
	for (int i = 0; i < MANY; i++)
		many[i] = f->contents[i % CONTENTS];
	uint64_t before = store_statements(f->store);
	assert_ok(store_embeddings(f->store, STORE_PHOTOS, many, MANY, embeddings, found, &err), &err);
	assert_ok(store_photos(f->store, many, MANY, NULL, &photos, &err), &err);
	assert_int_equal(store_statements(f->store) - before, 2);
	for (int i = CONTENTS; i < MANY; i++)
		assert_memory_equal(embeddings + i * DIM, embeddings + i % CONTENTS * DIM, found[i] ? DIM * sizeof *embeddings : 0);
	assert_true(photos.count > MANY);
	store_photos_release(&photos);
	free(many);
	free(embeddings);
	free(found);
	fixture_free(f);
}

static void a_store_of_no_model_finds_photos_but_no_vectors(void **state)
{
	(void)state;
	struct fixture *f = fixture_new();
	float query[DIM] = {1}, score;
	int64_t id = 1;
	size_t n = 1;
	struct store_photos photos;

	store_close(f->store);
	assert_ok(sqlite_store_open(f->reader, NULL, &f->store, &err), &err);
	assert_ok(store_nearest(f->store, STORE_PHOTOS, query, NULL, 0, 1, &score, &id, &err), &err);
	assert_int_equal(id, 0);
	assert_ok(store_count(f->store, STORE_TEXTS, &n, &err), &err);
	assert_int_equal(n, 0);
	assert_ok(store_newest(f->store, &(struct photo_filter){0}, 3, &photos, &err), &err);
	assert_int_equal(photos.count, 3);
	store_photos_release(&photos);
	assert_ok(store_photos(f->store, NULL, 0, NULL, &photos, &err), &err);
	assert_int_equal(photos.count, 0);
	store_photos_release(&photos);
	fixture_free(f);
}

static void a_question_is_not_asked_while_the_catalog_is_written_and_ends_with_its_store(void **state)
{
	(void)state;
	struct fixture *f = fixture_new();

	store_close(f->store);
	assert_ok(sqlite_store_open(f->writer, &f->model, &f->store, &err), &err);
	store_end(f->store); /* nothing was begun */
	assert_ok(catalog_begin(f->writer, &err), &err);
	assert_int_equal(store_begin(f->store, &err), STATUS_FAILED);
	store_end(f->store);
	assert_true(catalog_in_transaction(f->writer)); /* the writer's own */
	assert_ok(catalog_commit(f->writer, &err), &err);
	store_close(f->store);
	assert_ok(sqlite_store_open(f->reader, &f->model, &f->store, &err), &err);
	assert_ok(store_begin(f->store, &err), &err);
	assert_true(catalog_in_transaction(f->reader));
	store_close(f->store);
	f->store = NULL;
	assert_false(catalog_in_transaction(f->reader));
	fixture_free(f);
}

static void samples_are_of_their_kind(void **state)
{
	(void)state;
	struct fixture *f = fixture_new();
	int64_t ids[CONTENTS * 2], *tied;
	size_t n, tied_n, gone = 0;

	assert_ok(store_sample(f->store, STORE_ANY, CONTENTS * 2, ids, &n, &err), &err);
	assert_int_equal(n, CONTENTS);
	assert_ok(store_sample(f->store, STORE_THERE, CONTENTS * 2, ids, &n, &err), &err);
	for (int i = 0; i < CONTENTS; i++)
		gone += f->contents[i] % 11 == 0;
	assert_int_equal(n, CONTENTS - gone);
	for (size_t i = 0; i < n; i++)
		assert_int_not_equal(ids[i] % 11, 0);
	assert_ok(store_sample(f->store, STORE_TIED, CONTENTS * 2, ids, &n, &err), &err);
	assert_ok(store_texts_tied(f->store, NULL, 0, &tied, &tied_n, &err), &err);
	assert_int_equal(n, tied_n);
	free(tied);
	for (int kind = STORE_THERE; kind <= STORE_TIED; kind++) {
		assert_ok(store_sample(f->store, kind, 20, ids, &n, &err), &err);
		assert_int_equal(n, 20);
	}
	fixture_free(f);
}

static void a_content_is_found_by_its_hash(void **state)
{
	(void)state;
	struct fixture *f = fixture_new();
	const uint8_t hash[CATALOG_HASH] = {9, 8, 7}, other[CATALOG_HASH] = {9, 8, 6};
	int64_t content, found;
	bool any;

	assert_ok(catalog_content_put(f->writer, hash, &content, &err), &err);
	assert_ok(store_content(f->store, hash, &found, &err), &err);
	assert_int_equal(found, content);
	assert_ok(store_content(f->store, other, &found, &err), &err);
	assert_int_equal(found, 0);
	assert_ok(store_any_tied(f->store, &any, &err), &err);
	assert_true(any);
	fixture_free(f);
}

TEST_MAIN(
	cmocka_unit_test(a_question_is_not_asked_while_the_catalog_is_written_and_ends_with_its_store),
	cmocka_unit_test(samples_are_of_their_kind),
	cmocka_unit_test(a_content_is_found_by_its_hash),
	cmocka_unit_test(embeddings_are_those_of_single_calls),
	cmocka_unit_test(photos_are_those_of_single_calls_that_pass),
	cmocka_unit_test(newest_photos_are_those_that_the_filter_lists),
	cmocka_unit_test(tokens_and_hashes_are_those_of_single_calls),
	cmocka_unit_test(texts_are_those_of_single_calls),
	cmocka_unit_test(nearest_are_those_of_the_plain_scan),
	cmocka_unit_test(nulls_are_found_by_text_and_null),
	cmocka_unit_test(a_question_sees_one_state),
	cmocka_unit_test(what_a_question_leaves_is_written_when_it_has_ended),
	cmocka_unit_test(a_vector_index_is_opened_once_and_again_when_the_catalog_moved_on),
	cmocka_unit_test(any_number_of_ids_takes_one_statement),
	cmocka_unit_test(a_store_of_no_model_finds_photos_but_no_vectors))
