/* A model whose embeddings find nothing is noticed without labels, and one that finds its own captions is left in peace. The photos
 * are image tokens drawn at random: what matters is whether their embeddings fit the captions that the model writes of them. */
#include "tests/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/net/generate.h"
#include "query/find/trust.h"
#include "schema/store/sqlite.h"
#include "schema/catalog/contents.h"
#include "schema/catalog/filter.h"
#include "schema/catalog/photos.h"
#include "schema/catalog/tokens.h"
#include "schema/base/memory.h"
#include "schema/base/packed.h"

#include "schema/base/banned.h"

enum { PHOTOS = 60 };

static struct err err;

struct library {
	struct engine engine;
	struct catalog *catalog;
	struct catalog_model row;
	struct store *store;
};

/* The embedding of the caption that the model writes for these tokens. */
static void embed_caption(struct engine *engine, const float *tokens, float *embedding)
{
	const struct tokenizer *tokenizer = coca_tokenizer(engine->model);
	struct caption caption;
	bool cut;

	assert_ok(generate_greedy(engine->model, engine->state, tokens, 1, tokenizer_start(tokenizer), tokenizer_end(tokenizer), 0,
				  &caption, &err), &err);
	char *text = tokenizer_decode(tokenizer, caption.ids, caption.count);
	assert_ok(engine_embed_text(engine, text, strlen(text), embedding, &cut, &err), &err);
	free(text);
	captions_release(&caption, 1);
}

static void put_photo(struct library *l, int64_t root, const char *folder, size_t i, bool fits, uint64_t *seed)
{
	size_t n = l->engine.tokens, w = l->engine.width, dim = l->engine.embed, size = packed_tokens_size(n, w);
	float *tokens = mem_floats(n * w), *embedding = mem_floats(dim);
	uint8_t hash[CATALOG_HASH] = {(uint8_t)i}, *blob = malloc(size);
	char name[32];
	double sum = 0;
	int64_t content;

	/* All tokens of a photo alike: attention would average unlike ones away, and every caption be the same. */
	for (size_t k = 0; k < n * w; k++)
		tokens[k] = k < w ? 3 * test_uniform(seed) : tokens[k - w];
	packed_tokens_write(tokens, n, w, blob);
	assert_ok(packed_tokens_read(blob, size, n, w, tokens, &err), &err);
	if (fits)
		embed_caption(&l->engine, tokens, embedding);
	else
		for (size_t k = 0; k < dim; k++)
			embedding[k] = test_uniform(seed);
	for (size_t k = 0; k < dim; k++)
		sum += (double)embedding[k] * (double)embedding[k];
	for (size_t k = 0; k < dim; k++)
		embedding[k] = (float)(embedding[k] / sqrt(sum));
	assert_ok(catalog_content_put(l->catalog, hash, &content, &err), &err);
	assert_ok(catalog_embedding_put(l->catalog, content, l->row.id, embedding, dim, &err), &err);
	assert_ok(catalog_tokens_put(l->catalog, content, l->row.id, blob, size, &err), &err);
	snprintf(name, sizeof name, "%zu.jpg", i);
	const char *path = test_path(folder, name);
	struct photo photo = {.root = root, .path = path, .path_size = strlen(path), .content = content, .state = PHOTO_READY};
	assert_ok(catalog_photo_put(l->catalog, &photo, &err), &err);
	free(tokens);
	free(embedding);
	free(blob);
}

static void library_make(struct library *l, bool fits)
{
	const char *folder = test_folder();
	uint64_t seed = 11;
	int64_t root;

	assert_ok(engine_open("model/default", PRECISION_AUTO, &l->engine, &err), &err);
	assert_ok(catalog_open(test_path(folder, "library.db"), CATALOG_WRITE, &l->catalog, &err), &err);
	assert_ok(engine_identify(&l->engine, l->catalog, &l->row, &err), &err);
	assert_ok(catalog_root_put(l->catalog, folder, &root, &err), &err);
	assert_ok(catalog_begin(l->catalog, &err), &err);
	for (size_t i = 0; i < PHOTOS; i++)
		put_photo(l, root, folder, i, fits, &seed);
	assert_ok(catalog_commit(l->catalog, &err), &err);
	assert_ok(sqlite_store_open(l->catalog, &l->row, &l->store, &err), &err);
}

static void library_drop(struct library *l)
{
	store_close(l->store);
	catalog_close(l->catalog);
	engine_close(&l->engine);
}

/* Whether a search for some words doubts the model. */
static bool doubts(struct library *l, const char *words)
{
	static const struct photo_filter all;
	static const double weight = 1;
	float *embedding = mem_floats(l->engine.embed);
	struct coca_text text;
	struct candidate *candidates;
	size_t count;
	int32_t *ids;
	bool cut, doubtful;

	assert_ok(engine_embed_text(&l->engine, words, strlen(words), embedding, &cut, &err), &err);
	assert_ok(engine_text_ids(&l->engine, words, strlen(words), &ids, &text, &cut, &err), &err);
	struct reranker reranker = {.engine = &l->engine, .store = l->store,
				    .logit_scale = (double)coca_logit_scale(l->engine.model),
				    .texts = &text, .weights = &weight, .text_count = 1};
	const struct trust trust = {&reranker, &l->engine, l->store, embedding};
	assert_ok(search_candidates(l->store, &all, embedding, 50, &candidates, &count, &err), &err);
	assert_ok(rerank_candidates(&reranker, candidates, count, 50, &err), &err);
	assert_ok(trust_check(&trust, candidates, count, &doubtful, &err), &err);
	free(candidates);
	free(ids);
	free(embedding);
	return doubtful;
}

static const char *const queries[] = {"two dogs running in the snow", "the", "a plate of food", "asdf"};

static void embeddings_that_find_nothing_are_doubted(void **state)
{
	struct library l = {0};
	size_t doubted = 0;

	(void)state;
	library_make(&l, false);
	for (size_t i = 0; i < sizeof queries / sizeof *queries; i++)
		doubted += doubts(&l, queries[i]);
	assert_int_equal(doubted, sizeof queries / sizeof *queries);
	library_drop(&l);
}

static void embeddings_that_find_the_models_own_captions_are_trusted(void **state)
{
	struct library l = {0};

	(void)state;
	library_make(&l, true);
	for (size_t i = 0; i < sizeof queries / sizeof *queries; i++)
		assert_false(doubts(&l, queries[i]));
	library_drop(&l);
}

TEST_MAIN(cmocka_unit_test(embeddings_that_find_nothing_are_doubted),
	  cmocka_unit_test(embeddings_that_find_the_models_own_captions_are_trusted))
