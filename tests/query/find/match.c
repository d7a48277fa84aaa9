/* The texts for a photograph: the ranking against a plain twin that computes each text's every likelihood alone. */
#include "model/net/likelihood.h"
#include "tests/query/drawn.h"

#include <math.h>
#include <stdlib.h>

#include "query/find/match.h"
#include "query/find/texts.h"
#include "schema/catalog/texts.h"

#include "schema/base/banned.h"

enum { TEXTS = 14, LIMIT = 6, DEPTH = 3 };

static const char *const texts[TEXTS] = {
	"a red circle", "a dog on a beach", "two yellow fish", "a blue star above a house", "people in the street", "a plate of food",
	"a green tree in the snow", "the sea at night", "a cup", "a large purple balloon on a meadow", "a cat", "three boats", "a white house",
	"a room with a lamp",
};

static void add_texts(struct drawn *d)
{
	size_t n;

	for (size_t i = 0; i < TEXTS; i++)
		drawn_text(d, i % 2 ? d->contents[0] : 0, texts[i]);
	assert_ok(texts_embed(&d->listener, &d->library.engine, d->library.catalog, &d->library.row, &n, &err), &err);
	assert_int_equal(n, TEXTS);
}

struct photo_input {
	float *embedding, *tokens;
	int64_t content;
};

static struct photo_input load(struct drawn *d, const char *path)
{
	struct engine *engine = &d->library.engine;
	struct photo_input p = {mem_floats(engine->embed), mem_floats(engine->tokens * engine->width), 0};

	assert_ok(tokens_of_file(&d->library, path, TOKENS_IMAGE, p.tokens, p.embedding, &p.content, &err), &err);
	return p;
}

static void unload(struct photo_input *p)
{
	free(p->embedding);
	free(p->tokens);
}

/* ---- the twin --------------------------------------------------------------------------------------------------- */

static double likelihood(struct drawn *d, const char *text, const float *tokens)
{
	struct engine *engine = &d->library.engine;
	struct coca_text encoded;
	struct coca_pair pair = {0, 0};
	int32_t *ids;
	float sum;
	bool cut;

	assert_ok(engine_text_ids(engine, text, strlen(text), &ids, &encoded, &cut, &err), &err);
	assert_ok(coca_likelihood(engine->model, engine->state, tokens, 1, &encoded, 1, &pair, 1, &sum, NULL, &err), &err);
	free(ids);
	return (double)sum;
}

/* The mean of p(text) over the nulls: the other photographs by their hashes, and noise in the places left. */
static double prior(struct drawn *d, const char *text, int64_t content)
{
	size_t each = d->library.engine.tokens * d->library.engine.width, n, used = 0;
	int64_t sample[SCORE_NULLS + 1];
	float *tokens = mem_floats(each);
	double sum = 0;
	enum tokens_found found;

	assert_ok(catalog_contents_sample(d->library.catalog, SCORE_NULLS + 1, sample, &n, &err), &err);
	for (size_t i = 0; i < n && used < SCORE_NULLS; i++) {
		if (sample[i] == content)
			continue;
		assert_ok(tokens_of_content(&d->library, TOKENS_IMAGE, sample[i], tokens, &found, &err), &err);
		assert_true(found != TOKENS_AWAY);
		sum += exp(likelihood(d, text, tokens));
		used++;
	}
	for (size_t number = 1; used < SCORE_NULLS; number++, used++) {
		assert_ok(match_noise(&d->library.engine, number, tokens, &err), &err);
		sum += exp(likelihood(d, text, tokens));
	}
	free(tokens);
	return log(sum / SCORE_NULLS);
}

struct expected {
	size_t text;
	double similarity, score;
};

static int by_score(const void *a, const void *b)
{
	const struct expected *x = a, *y = b;
	return (x->score < y->score) - (x->score > y->score);
}

static void plain_match(struct drawn *d, const struct photo_input *p, size_t depth, struct expected *all /* [TEXTS] */)
{
	struct engine *engine = &d->library.engine;
	float *embedding = mem_floats(engine->embed);
	double scale = (double)coca_logit_scale(engine->model), mean = 0;
	bool found;

	for (size_t i = 0; i < TEXTS; i++) {
		assert_ok(catalog_text_embedding_get(d->library.catalog, (int64_t)i + 1, d->library.row.id, embedding, engine->embed, &found, &err), &err);
		all[i] = (struct expected){i, engine_dot(p->embedding, embedding, engine->embed), 0};
		all[i].score = all[i].similarity;
	}
	qsort(all, TEXTS, sizeof *all, by_score);
	for (size_t i = 0; i < depth; i++) {
		double x = likelihood(d, texts[all[i].text], p->tokens) - SCORE_TEXT_PRIOR * prior(d, texts[all[i].text], p->content);
		all[i].score = scale * all[i].similarity + SCORE_TEXT_WEIGHT * x;
		mean += SCORE_TEXT_WEIGHT * x / (double)depth;
	}
	for (size_t i = 0; i < depth; i++)
		all[i].score -= mean;
	for (size_t i = depth; depth && i < TEXTS; i++)
		all[i].score = scale * all[i].similarity;
	qsort(all, depth, sizeof *all, by_score);
	free(embedding);
}

static void assert_matches(struct drawn *d, struct matcher *m, const char *path, size_t depth)
{
	struct photo_input p = load(d, path);
	struct expected expected[TEXTS];
	struct match *matches;
	size_t n;

	plain_match(d, &p, depth, expected);
	assert_ok(match_find(m, p.embedding, p.tokens, p.content, LIMIT, depth, &matches, &n, &err), &err);
	assert_int_equal(n, LIMIT);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(matches[i].id, expected[i].text + 1);
		assert_string_equal(matches[i].text, texts[expected[i].text]);
		assert_true(fabs(matches[i].score - expected[i].score) < 1e-3);
		assert_int_equal(matches[i].reranked, i < depth);
		assert_int_equal(matches[i].content, expected[i].text % 2 ? d->contents[0] : 0);
	}
	matches_free(matches, n);
	unload(&p);
}

/* ---- tests ------------------------------------------------------------------------------------------------------ */

/* Of what is compared with the twin: in 8 bits the decoder's codes of near ties, and so likelihoods by some thousandths, depend on what
 * else is scored at the same time. */
static struct drawn *drawn_in_fp32(size_t count, size_t indexed)
{
	struct drawn *d = drawn_new(count, indexed);

	coca_set_precision(d->library.engine.model, PRECISION_FP32);
	return d;
}

/* The first is indexed, and so a photograph that must not be its own null; the last is not. */
static void ranking_is_that_of_the_plain_twin(void **state)
{
	(void)state;
	struct drawn *d = drawn_in_fp32(7, 6);
	struct matcher m;

	add_texts(d);
	assert_ok(match_open(&d->library, NULL, &m, &err), &err);
	assert_matches(d, &m, d->paths[0], 0);
	assert_matches(d, &m, d->paths[0], DEPTH);
	assert_matches(d, &m, d->paths[6], DEPTH);
	assert_matches(d, &m, d->paths[0], DEPTH); /* from what was kept */
	match_close(&m);
	library_close(&d->library);
}

/* With more photographs than nulls the places of some change hands as the question moves on. */
static void nulls_are_exchanged_from_photo_to_photo(void **state)
{
	(void)state;
	struct drawn *d = drawn_in_fp32(SCORE_NULLS + 2, SCORE_NULLS + 2);
	struct matcher m;

	add_texts(d);
	assert_ok(match_open(&d->library, NULL, &m, &err), &err);
	int64_t sample[2];
	size_t n, first = 0;
	assert_ok(catalog_contents_sample(d->library.catalog, 2, sample, &n, &err), &err);
	while (d->contents[first] != sample[0])
		first++;
	size_t other = first ? 0 : 1;
	assert_matches(d, &m, d->paths[other], 2);
	assert_matches(d, &m, d->paths[first], 2); /* its own null makes room for one more */
	assert_matches(d, &m, d->paths[other], 4);
	match_close(&m);
	library_close(&d->library);
}

static void priors_are_computed_once(void **state)
{
	(void)state;
	struct drawn *d = drawn_new(3, 3);
	struct matcher m;
	struct match *matches;
	size_t n;
	bool found;

	add_texts(d);
	struct photo_input p = load(d, d->paths[0]);
	assert_ok(match_open(&d->library, NULL, &m, &err), &err);
	assert_ok(match_find(&m, p.embedding, p.tokens, p.content, 1, TEXTS, &matches, &n, &err), &err);
	struct text_null entry = {matches[0].id, d->contents[1], 0};
	assert_ok(catalog_null_get(d->library.catalog, d->library.row.id, &entry, &found, &err), &err);
	assert_true(found);
	entry.null = d->contents[0];
	assert_ok(catalog_null_get(d->library.catalog, d->library.row.id, &entry, &found, &err), &err);
	assert_false(found); /* the photograph itself */
	entry.null = -1;
	assert_ok(catalog_null_get(d->library.catalog, d->library.row.id, &entry, &found, &err), &err);
	assert_true(found); /* noise fills up */
	/* What is kept is what is used: another figure there changes the prior. */
	double before = matches[0].prior;
	int64_t id = matches[0].id;
	entry.likelihood += 20;
	catalog_nulls_keep(d->library.catalog, d->library.row.id, &entry, 1);
	matches_free(matches, n);
	assert_ok(match_find(&m, p.embedding, p.tokens, p.content, TEXTS, TEXTS, &matches, &n, &err), &err);
	for (size_t i = 0; i < n; i++)
		if (matches[i].id == id)
			assert_true(matches[i].prior > before + 1);
	matches_free(matches, n);
	unload(&p);
	match_close(&m);
	library_close(&d->library);
}

static void equal_texts_are_one_match(void **state)
{
	(void)state;
	struct drawn *d = drawn_new(2, 2);
	struct matcher m;
	struct match *matches;
	size_t n, embedded;

	drawn_text(d, 0, "a cat");
	for (int i = 0; i < 2; i++) {
		drawn_text(d, d->contents[i], "a red circle");
		drawn_text(d, d->contents[i], "a dog");
	}
	assert_ok(texts_embed(&d->listener, &d->library.engine, d->library.catalog, &d->library.row, &embedded, &err), &err);
	struct photo_input p = load(d, d->paths[0]);
	assert_ok(match_open(&d->library, NULL, &m, &err), &err);
	assert_ok(match_find(&m, p.embedding, NULL, p.content, 10, 0, &matches, &n, &err), &err);
	assert_int_equal(n, 3);
	matches_free(matches, n);
	assert_ok(match_find(&m, p.embedding, NULL, p.content, 2, 0, &matches, &n, &err), &err);
	assert_int_equal(n, 2);
	assert_string_not_equal(matches[0].text, matches[1].text);
	matches_free(matches, n);
	unload(&p);
	match_close(&m);
	library_close(&d->library);
}

static void collection_is_searched_alone(void **state)
{
	(void)state;
	struct drawn *d = drawn_new(1, 1);
	struct catalog_text other = {.collection = "other", .text = "a lamp", .text_size = 6};
	struct matcher m;
	struct match *matches;
	size_t n;

	add_texts(d);
	assert_ok(catalog_text_put(d->library.catalog, &other, &err), &err);
	struct photo_input p = load(d, d->paths[0]);
	assert_ok(match_open(&d->library, "other", &m, &err), &err);
	assert_ok(match_find(&m, p.embedding, p.tokens, p.content, 10, DEPTH, &matches, &n, &err), &err);
	assert_int_equal(n, 0); /* there is a writer, this one: the text waits for its embedding */
	matches_free(matches, n);
	match_close(&m);
	assert_ok(texts_embed(&d->listener, &d->library.engine, d->library.catalog, &d->library.row, &n, &err), &err);
	assert_ok(match_open(&d->library, "other", &m, &err), &err);
	assert_ok(match_find(&m, p.embedding, p.tokens, p.content, 10, DEPTH, &matches, &n, &err), &err);
	assert_int_equal(n, 1);
	assert_string_equal(matches[0].text, "a lamp");
	assert_string_equal(matches[0].collection, "other");
	matches_free(matches, n);
	match_close(&m);
	assert_ok(match_open(&d->library, "none", &m, &err), &err);
	assert_int_equal(m.count, 0);
	match_close(&m);
	unload(&p);
	library_close(&d->library);
}

static void noise_is_the_same_every_time_and_another_for_each_number(void **state)
{
	(void)state;
	struct drawn *d = drawn_new(0, 0);
	size_t n = d->library.engine.tokens * d->library.engine.width;
	float *a = mem_floats(n), *b = mem_floats(n);

	assert_ok(match_noise(&d->library.engine, 1, a, &err), &err);
	assert_ok(match_noise(&d->library.engine, 1, b, &err), &err);
	assert_memory_equal(a, b, n * sizeof *a);
	assert_ok(match_noise(&d->library.engine, 2, b, &err), &err);
	assert_memory_not_equal(a, b, n * sizeof *a);
	free(a);
	free(b);
	library_close(&d->library);
}

TEST_MAIN(cmocka_unit_test(noise_is_the_same_every_time_and_another_for_each_number), cmocka_unit_test(equal_texts_are_one_match),
	  cmocka_unit_test(collection_is_searched_alone), cmocka_unit_test(priors_are_computed_once),
	  cmocka_unit_test(ranking_is_that_of_the_plain_twin), cmocka_unit_test(nulls_are_exchanged_from_photo_to_photo))
