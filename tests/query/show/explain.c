/* Why a photo ranks where it does, and how likely it matches: ids become words, figures add up, the scale is one scale. */
#include "tests/support.h"

#include <cJSON.h>
#include <math.h>
#include <string.h>

#include "query/show/explain.h"

#include "schema/base/banned.h"

static struct err err;

static void ids_become_the_words_they_spell(void **state)
{
	static const char text[] = "two dogs, xylophonically asleep";
	static const char *const expected[] = {"two", "dogs", ",", "xylophonically", "asleep", "(end)"};
	struct tokenizer *tokenizer;
	struct explanation why = {0};
	int32_t ids[64];
	size_t next = 0;

	(void)state;
	assert_ok(tokenizer_open("model/default/merges.txt", 0, &tokenizer, &err), &err);
	struct coca_text encoded = {ids, tokenizer_encode(tokenizer, text, strlen(text), ids, 64)};
	assert_ok(explain_words(tokenizer, encoded, 3, &why, &err), &err);
	assert_int_equal(why.word_count, 6);
	for (size_t i = 0; i < why.word_count; i++) {
		assert_string_equal(why.words[i].text, expected[i]);
		assert_int_equal(why.words[i].term, 3);
		assert_int_equal(why.words[i].first, next); /* no id is left out or counted twice */
		next += why.words[i].count;
	}
	assert_int_equal(next, encoded.count - 1);
	assert_true(why.words[3].count > 1);
	explain_release(&why);
	tokenizer_close(tokenizer);
}

/* Two photos, two texts of two words: figures are weighted, and count from the mean of the photos. */
static void figures_count_from_the_mean(void **state)
{
	float each[2 * 2 * 3] = {-1, -2, 0, -3, -4, 0, /* slot 0 */ -2, -2, 0, -5, -8, 0 /* slot 1 */};
	const double weights[2] = {1, 0.5};
	struct explained_word words[] = {{"a", 0, 0, 1, -1.5}, {"b", 0, 1, 1, -2}, {"cd", 1, 0, 2, -5}};
	struct background background = {.known = true, .mean = 0.1, .deviation = 0.05, .likelihoods = true, .prior = -9, .trust = 0.75};
	struct reranker reranker = {.each = each, .weights = weights, .text_count = 2};
	struct explanation why = {&background, &reranker, words, 3, 3, 3};
	struct result result = {.rank = 1, .similarity = 0.2f, .reranked = true, .likelihood = -6.5f, .slot = 0};
	struct buffer out = {0};

	(void)state;
	assert_true(fabs(explain_word(&why, &words[0], 0) - 0.5) < 1e-6);
	assert_true(fabs(explain_word(&why, &words[0], 1) + 0.5) < 1e-6);
	assert_true(fabs(explain_word(&why, &words[1], 0)) < 1e-6);
	assert_true(fabs(explain_word(&why, &words[2], 0) - 1.5) < 1e-6);
	explain_text(&why, &result, &out);
	assert_non_null(strstr(out.data, "z +2.0"));
	assert_non_null(strstr(out.data, "a +0.50  b +0.00 |  cd +1.50\n"));
	buffer_release(&out);
	buffer_text(&out, "{\"rank\":1");
	explain_json(&why, &result, &out);
	buffer_text(&out, "}");
	cJSON *object = cJSON_Parse(out.data), *explain = cJSON_GetObjectItem(object, "explain");
	assert_int_equal(cJSON_GetObjectItem(explain, "rank_by_similarity")->valueint, 1);
	cJSON *word = cJSON_GetArrayItem(cJSON_GetObjectItem(explain, "words"), 2);
	assert_string_equal(cJSON_GetObjectItem(word, "word")->valuestring, "cd");
	assert_true(fabs(cJSON_GetObjectItem(word, "above_mean")->valuedouble - 1.5) < 1e-6);
	assert_true(fabs(cJSON_GetObjectItem(word, "logprob")->valuedouble + 3.5) < 1e-6);
	cJSON_Delete(object);
	buffer_release(&out);
}

static void a_match_rises_with_each_piece_of_evidence(void **state)
{
	struct background known = {.known = true, .mean = 0.2, .deviation = 0.1, .likelihoods = true, .prior = -20, .trust = 0.9};
	struct background nonsense = known, alone = {.known = true, .mean = 0.2, .deviation = 0.1};
	struct candidate photo = {.similarity = 0.4f, .reranked = true, .likelihood = -19}, better = photo, nearer = photo;

	(void)state;
	nonsense.trust = 0.1;
	better.likelihood = -18;
	nearer.similarity = 0.45f;
	assert_true(background_match(&known, &better) > background_match(&known, &photo));
	assert_true(background_match(&known, &nearer) > background_match(&known, &photo));
	assert_true(background_match(&nonsense, &nearer) < 0.1);
	assert_true(background_match(&alone, &nearer) > background_match(&alone, &photo));
	assert_true(background_match(&known, &nearer) < 0.9); /* no surer than the query is understood */
	assert_true(background_trust(0.8, 0.5) > background_trust(0.1, 0.5));
	assert_true(background_trust(0.8, 0.5) > background_trust(0.8, 0.1));
}

static void a_library_too_small_for_a_background_has_no_match(void **state)
{
	struct background none = {0};
	struct candidate photo = {.similarity = 0.4f};

	(void)state;
	assert_true(isnan(background_match(&none, &photo)));
}

static void correlation_is_pearsons(void **state)
{
	const double x[] = {1, 2, 3, 4}, up[] = {2, 4, 6, 8}, down[] = {3, 2, 1, 0}, flat[] = {1, 1, 1, 1}, some[] = {1, 3, 2, 4};

	(void)state;
	assert_true(fabs(background_correlation(x, up, 4) - 1) < 1e-12);
	assert_true(fabs(background_correlation(x, down, 4) + 1) < 1e-12);
	assert_true(fabs(background_correlation(x, some, 4) - 0.8) < 1e-12);
	assert_true(background_correlation(x, flat, 4) == 0);
}

TEST_MAIN(cmocka_unit_test(ids_become_the_words_they_spell), cmocka_unit_test(figures_count_from_the_mean),
	  cmocka_unit_test(a_match_rises_with_each_piece_of_evidence), cmocka_unit_test(a_library_too_small_for_a_background_has_no_match),
	  cmocka_unit_test(correlation_is_pearsons))
