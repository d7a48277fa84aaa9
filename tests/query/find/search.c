/* Candidates, photos and reranking on a small library: a tiny model, random embeddings and tokens, real files and missing ones. */
#include "tests/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/net/plain.h"
#include "query/find/rerank.h"
#include "query/session/score.h"
#include "query/find/search.h"
#include "schema/catalog/contents.h"
#include "schema/catalog/filter.h"
#include "schema/catalog/photos.h"
#include "schema/catalog/tokens.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "schema/base/packed.h"
#include "schema/store/sqlite.h"
#include "schema/vectors/vectors.h"

#include "schema/base/banned.h"

enum {
	CONTENTS = 12,
	PHOTO_FILE = 10, /* its file is a photograph, its tokens are not stored */
	AWAY = 11,       /* neither tokens nor file */
};

static struct err err;
static const struct photo_filter all;

static struct library {
	struct engine engine;
	struct catalog *catalog;
	struct catalog_model row;
	struct store *store;
	const char *folder;
	char copies[4096];     /* folder of copies */
	float *embeddings;     /* [CONTENTS,E] */
	float *query;          /* [E] */
	float *tokens;         /* [CONTENTS,N,W] as they come out of storage */
	int64_t root;
	int32_t ids[6];
	struct coca_text text;
} lib;

/* ---- the library ------------------------------------------------------------------------------------------------ */

static void unit_vector(float *x, size_t n, uint64_t *seed)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++) {
		x[i] = test_uniform(seed);
		sum += (double)x[i] * (double)x[i];
	}
	for (size_t i = 0; i < n; i++)
		x[i] = (float)(x[i] / sqrt(sum));
}

static void put_photo(int64_t content, const char *path, bool there)
{
	struct photo photo = {.root = lib.root, .path = path, .path_size = strlen(path), .content = content, .state = PHOTO_READY,
			      .width = 4, .height = 3, .format = "jpeg"};
	struct stat st;

	if (there) {
		assert_int_equal(stat(path, &st), 0);
		photo.size = st.st_size;
		photo.mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	}
	assert_ok(catalog_photo_put(lib.catalog, &photo, &err), &err);
}

static const char *photo_path(size_t content)
{
	char name[32];

	snprintf(name, sizeof name, "photo-%zu.jpg", content);
	return test_path(lib.folder, name);
}

static void put_tokens(size_t c, uint64_t *seed)
{
	size_t n = lib.engine.tokens, w = lib.engine.width, size = packed_tokens_size(n, w);
	float *tokens = lib.tokens + c * n * w;
	void *blob = malloc(size);

	for (size_t i = 0; i < n * w; i++)
		tokens[i] = 2 * test_uniform(seed);
	packed_tokens_write(tokens, n, w, blob);
	assert_ok(packed_tokens_read(blob, size, n, w, tokens, &err), &err);
	if (c < PHOTO_FILE)
		assert_ok(catalog_tokens_put(lib.catalog, (int64_t)c + 1, lib.row.id, blob, size, &err), &err);
	free(blob);
}

static void put_content(size_t c, uint64_t *seed)
{
	uint8_t hash[CATALOG_HASH] = {(uint8_t)c};
	int64_t content;
	size_t dim = lib.engine.embed;

	assert_ok(catalog_content_put(lib.catalog, hash, &content, &err), &err);
	assert_int_equal(content, c + 1);
	unit_vector(lib.embeddings + c * dim, dim, seed);
	assert_ok(catalog_embedding_put(lib.catalog, content, lib.row.id, lib.embeddings + c * dim, dim, &err), &err);
	put_tokens(c, seed);
	if (c == PHOTO_FILE) {
		uint8_t *bytes;
		size_t size;
		assert_ok(file_read("tests/data/images/gray-320x240.jpg", 1 << 20, &bytes, &size, &err), &err);
		test_write(photo_path(c), bytes, size);
		free(bytes);
	} else if (c % 2 == 0) {
		test_write(photo_path(c), "x", 1);
	}
	put_photo(content, photo_path(c), c == PHOTO_FILE || c % 2 == 0);
}

static int library_make(void **state)
{
	uint64_t seed = 7;

	(void)state;
	assert_ok(engine_open("tests/data/tiny", PRECISION_AUTO, &lib.engine, &err), &err);
	lib.folder = test_folder();
	snprintf(lib.copies, sizeof lib.copies, "%s/copies", lib.folder);
	assert_int_equal(mkdir(lib.copies, 0700), 0);
	assert_ok(catalog_open(test_path(lib.folder, "library.db"), CATALOG_WRITE, &lib.catalog, &err), &err);
	assert_ok(engine_identify(&lib.engine, lib.catalog, &lib.row, &err), &err);
	assert_ok(catalog_root_put(lib.catalog, lib.folder, &lib.root, &err), &err);
	lib.embeddings = mem_floats(CONTENTS * lib.engine.embed);
	lib.query = mem_floats(lib.engine.embed);
	lib.tokens = mem_floats(CONTENTS * lib.engine.tokens * lib.engine.width);
	for (size_t c = 0; c < CONTENTS; c++)
		put_content(c, &seed);
	unit_vector(lib.query, lib.engine.embed, &seed);
	/* Two copies of content 4 more, one of them there. */
	const char *copy = test_path(lib.copies, "copy.jpg");
	test_write(copy, "x", 1);
	put_photo(4, copy, true);
	put_photo(4, test_path(lib.copies, "copy-away.jpg"), false);
	assert_ok(sqlite_store_open(lib.catalog, &lib.row, &lib.store, &err), &err);
	int32_t vocabulary = (int32_t)coca_config(lib.engine.model)->vocab_size;
	const int32_t ids[6] = {vocabulary - 2, 17, 301, 5, 88, vocabulary - 1};
	memcpy(lib.ids, ids, sizeof ids);
	lib.text = (struct coca_text){lib.ids, 6};
	return 0;
}

static int library_drop(void **state)
{
	store_close(lib.store);
	catalog_close(lib.catalog);
	engine_close(&lib.engine);
	free(lib.embeddings);
	free(lib.query);
	free(lib.tokens);
	return test_folders_remove(state);
}

static size_t find(const struct photo_filter *filter, size_t k, struct candidate **candidates)
{
	int64_t *contents, found[CONTENTS];
	float scores[CONTENTS];
	size_t count, passing;

	assert_ok(search_candidates(lib.store, filter, lib.query, k, candidates, &count, &err), &err);
	if (photo_filter_empty(filter))
		return count;
	/* Without an index it is the same. */
	assert_ok(catalog_filter(lib.catalog, filter, &contents, &passing, &err), &err);
	assert_ok(vectors_scan(lib.catalog, &lib.row, contents, passing, lib.query, 1, count, scores, found, &err), &err);
	for (size_t i = 0; i < count; i++)
		assert_true(found[i] == (*candidates)[i].content && scores[i] == (*candidates)[i].similarity);
	free(contents);
	return count;
}

static struct reranker some_reranker(void)
{
	static const double weight = 1;

	return (struct reranker){.engine = &lib.engine, .store = lib.store, .logit_scale = 10,
				 .texts = &lib.text, .weights = &weight, .text_count = 1};
}

/* ---- finding ---------------------------------------------------------------------------------------------------- */

static void candidates_come_by_similarity(void **state)
{
	struct candidate *candidates;
	size_t count = find(&all, 100, &candidates);

	(void)state;
	assert_int_equal(count, CONTENTS);
	for (size_t i = 0; i < count; i++) {
		const float *own = lib.embeddings + (size_t)(candidates[i].content - 1) * lib.engine.embed;
		assert_float_equal(candidates[i].similarity, engine_dot(own, lib.query, lib.engine.embed), 2e-3);
		assert_true(i == 0 || candidates[i].similarity <= candidates[i - 1].similarity);
	}
	free(candidates);
}

static void every_copy_is_listed_and_what_is_away_is_said(void **state)
{
	struct candidate *candidates;
	struct results results;
	size_t count = find(&all, 100, &candidates), copies = 0;

	(void)state;
	assert_ok(search_photos(lib.store, &all, candidates, count, NULL, 1000, &results, &err), &err);
	assert_int_equal(results.count, CONTENTS + 2);
	for (size_t i = 0; i < results.count; i++) {
		const struct result *r = &results.items[i];
		struct stat st;
		assert_int_equal(r->rank, i + 1);
		assert_int_equal(r->missing, stat(r->photo.path, &st) != 0);
		copies += r->photo.content == 4;
	}
	assert_int_equal(copies, 3);
	results_release(&results);
	free(candidates);
}

static void the_limit_counts_photos(void **state)
{
	const struct candidate only = {.content = 4};
	struct results results;

	(void)state;
	assert_ok(search_photos(lib.store, &all, &only, 1, NULL, 2, &results, &err), &err);
	assert_int_equal(results.count, 2);
	assert_true(results.items[0].photo.id < results.items[1].photo.id);
	results_release(&results);
}

static void one_path_can_be_left_out(void **state)
{
	const struct candidate only = {.content = 4};
	struct results results;
	const char *copy = test_path(lib.copies, "copy.jpg");

	(void)state;
	assert_ok(search_photos(lib.store, &all, &only, 1, copy, 10, &results, &err), &err);
	assert_int_equal(results.count, 2);
	for (size_t i = 0; i < 2; i++)
		assert_string_not_equal(results.items[i].photo.path, copy);
	results_release(&results);
}

static void a_filter_holds_for_each_copy(void **state)
{
	const struct photo_filter filter = {.in = lib.copies};
	struct candidate *candidates;
	struct results results;
	size_t count = find(&filter, 100, &candidates);

	(void)state;
	assert_int_equal(count, 1);
	assert_int_equal(candidates[0].content, 4);
	assert_ok(search_photos(lib.store, &filter, candidates, count, NULL, 100, &results, &err), &err);
	assert_int_equal(results.count, 2);
	for (size_t i = 0; i < 2; i++)
		assert_non_null(strstr(results.items[i].photo.path, "/copies/"));
	results_release(&results);
	free(candidates);
}

static void a_filter_that_nothing_passes_finds_nothing(void **state)
{
	const struct photo_filter filter = {.in = "/no-such-drive"};
	struct candidate *candidates;

	(void)state;
	assert_int_equal(find(&filter, 100, &candidates), 0);
	free(candidates);
}

/* ---- reranking -------------------------------------------------------------------------------------------------- */

/* log p(text | tokens) by the plain twin: every position, sums of doubles. */
static double plain_likelihood(const float *tokens)
{
	const struct config *config = coca_config(lib.engine.model);
	size_t C = config->context_length, V = config->vocab_size;
	int32_t *ids = mem_array(C, sizeof *ids);
	float *features = mem_floats(config->embed_dim), *text = mem_floats(C * lib.engine.width), *logits = mem_floats(C * V);
	double sum = 0;

	memcpy(ids, lib.ids, sizeof lib.ids);
	assert_ok(coca_plain_texts(lib.engine.model, ids, 1, features, text, &err), &err);
	assert_ok(coca_plain_logits(lib.engine.model, tokens, text, 1, logits, &err), &err);
	for (size_t j = 1; j < lib.text.count; j++) {
		const float *row = logits + (j - 1) * V;
		double total = 0;
		for (size_t v = 0; v < V; v++)
			total += exp((double)row[v]);
		sum += (double)row[ids[j]] - log(total);
	}
	free(ids);
	free(features);
	free(text);
	free(logits);
	return sum;
}

static void reranking_is_what_a_plain_recomputation_says(void **state)
{
	enum { DEPTH = 10 };
	struct reranker reranker = some_reranker();
	struct candidate *found, candidates[DEPTH];
	double scores[CONTENTS + 1] = {0}, mean = 0;
	size_t count = find(&all, 100, &found), n = 0, each = lib.engine.tokens * lib.engine.width;

	(void)state;
	for (size_t i = 0; i < count; i++)
		if (found[i].content <= DEPTH)
			candidates[n++] = found[i];
	assert_ok(rerank_candidates(&reranker, candidates, n, n, &err), &err);
	assert_int_equal(reranker.encoded + reranker.kept, 0);
	for (size_t i = 0; i < n; i++) {
		double expected = plain_likelihood(lib.tokens + (size_t)(candidates[i].content - 1) * each);
		assert_true(candidates[i].reranked);
		assert_float_equal(candidates[i].likelihood, expected, 2e-3);
		scores[candidates[i].content] = 10 * (double)candidates[i].similarity + SCORE_IMAGE_WEIGHT * expected;
		mean += expected / (double)n;
	}
	for (size_t i = 0; i < n; i++) {
		assert_float_equal(candidates[i].score, scores[candidates[i].content] - SCORE_IMAGE_WEIGHT * mean, 2e-3);
		assert_true(i == 0 || candidates[i].score <= candidates[i - 1].score);
	}
	free(found);
}

static void behind_the_depth_nothing_moves(void **state)
{
	struct reranker reranker = some_reranker();
	struct candidate *before, *after;
	size_t count = find(&all, 100, &before);

	(void)state;
	find(&all, 100, &after);
	assert_ok(rerank_candidates(&reranker, after, count, 4, &err), &err);
	for (size_t i = 4; i < count; i++) {
		assert_int_equal(after[i].content, before[i].content);
		assert_false(after[i].reranked);
	}
	free(before);
	free(after);
}

static void without_stored_tokens_the_file_is_encoded_again(void **state)
{
	struct reranker reranker = some_reranker();
	struct candidate candidate = {.content = PHOTO_FILE + 1};
	size_t n = lib.engine.tokens, w = lib.engine.width, size = packed_tokens_size(n, w);
	float *tokens = mem_floats(n * w), *embedding = mem_floats(lib.engine.embed);
	void *blob = malloc(size);

	(void)state;
	assert_ok(rerank_candidates(&reranker, &candidate, 1, 1, &err), &err);
	assert_true(candidate.reranked);
	assert_int_equal(reranker.encoded, 1);
	/* Through the 8 bits of storage, so that the answer is the same as with stored tokens. */
	assert_ok(engine_encode_file(&lib.engine, photo_path(PHOTO_FILE), ENGINE_LEAST(&lib.engine), embedding, tokens, &err), &err);
	packed_tokens_write(tokens, n, w, blob);
	assert_ok(packed_tokens_read(blob, size, n, w, tokens, &err), &err);
	assert_float_equal(candidate.likelihood, plain_likelihood(tokens), 2e-3);
	free(tokens);
	free(embedding);
	free(blob);
}

static void a_photo_that_is_away_keeps_its_similarity(void **state)
{
	struct reranker reranker = some_reranker();
	struct candidate candidates[3] = {{.content = 1, .similarity = 0.5f}, {.content = AWAY + 1, .similarity = 0.4f},
					  {.content = 2, .similarity = 0.3f}};

	(void)state;
	assert_ok(rerank_candidates(&reranker, candidates, 3, 3, &err), &err);
	assert_int_equal(reranker.kept, 1);
	for (size_t i = 0; i < 3; i++)
		if (candidates[i].content == AWAY + 1) {
			assert_false(candidates[i].reranked);
			assert_float_equal(candidates[i].score, 10 * 0.4, 1e-6);
		} else {
			assert_true(candidates[i].reranked);
		}
}

static void a_file_that_changed_is_another_photograph(void **state)
{
	struct reranker reranker = some_reranker();
	struct candidate candidate = {.content = PHOTO_FILE + 1};
	FILE *f = fopen(photo_path(PHOTO_FILE), "ab");

	(void)state;
	assert_non_null(f);
	fputc(0, f);
	fclose(f);
	assert_ok(rerank_candidates(&reranker, &candidate, 1, 1, &err), &err);
	assert_false(candidate.reranked);
	assert_int_equal(reranker.kept, 1);
}

int main(int argc, char **argv)
{
	(void)argc;
	blas_guard(argv, false);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(candidates_come_by_similarity),
		cmocka_unit_test(every_copy_is_listed_and_what_is_away_is_said),
		cmocka_unit_test(the_limit_counts_photos),
		cmocka_unit_test(one_path_can_be_left_out),
		cmocka_unit_test(a_filter_holds_for_each_copy),
		cmocka_unit_test(a_filter_that_nothing_passes_finds_nothing),
		cmocka_unit_test(reranking_is_what_a_plain_recomputation_says),
		cmocka_unit_test(behind_the_depth_nothing_moves),
		cmocka_unit_test(without_stored_tokens_the_file_is_encoded_again),
		cmocka_unit_test(a_photo_that_is_away_keeps_its_similarity),
		cmocka_unit_test(a_file_that_changed_is_another_photograph),
	};
	return cmocka_run_group_tests(tests, library_make, library_drop) ? 1 : 0;
}
