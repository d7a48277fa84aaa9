/* Ranks and recall on score matrices made by hand, and the names of classes. */
#include "tests/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/data/recall.h"
#include "model/words/names.h"
#include "model/words/prompts.h"

#include "schema/base/banned.h"

static struct err err;

/* Query q has the scores of row q: items are unit vectors. */
enum { ITEMS = 12 };
static float unit[ITEMS * ITEMS];

static int make_unit(void **state)
{
	(void)state;
	for (size_t i = 0; i < ITEMS; i++)
		unit[i * ITEMS + i] = 1;
	return 0;
}

static const uint32_t each[ITEMS] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};

static void places_count_what_is_better(void **state)
{
	static const float scores[4][ITEMS] = {
		{9, 8, 7, 6, 5, 4, 3, 2, 1, 0, -1, -2},
		{9, 8, 7, 6, 5, 4, 3, 2, 1, 0, -1, -2},
		{9, 8, 7, 6, 5, 4, 3, 2, 1, 0, -1, -2},
		{9, 8, 7, 6, 5, 4, 3, 2, 1, 0, -1, -2},
	};
	static const uint32_t owner[4] = {0, 4, 9, 10};
	struct ranking ranking;

	(void)state;
	assert_ok(ranking_make(scores[0], owner, 4, unit, each, ITEMS, ITEMS, 3, &ranking, &err), &err);
	for (size_t q = 0; q < 4; q++)
		assert_int_equal(ranking.place[q], owner[q]);
	struct recall r = recall_of(ranking.place, 4);
	assert_true(r.r1 == 25 && r.r5 == 50 && r.r10 == 75);
	ranking_release(&ranking);
}

static void ties_go_by_item(void **state)
{
	static const float scores[2][ITEMS] = {{0}, {0}};
	static const uint32_t owner[2] = {0, 3};
	struct ranking ranking;

	(void)state;
	assert_ok(ranking_make(scores[0], owner, 2, unit, each, ITEMS, ITEMS, 5, &ranking, &err), &err);
	assert_int_equal(ranking.place[0], 0);
	assert_int_equal(ranking.place[1], 3);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(ranking.short_list[5 + i].item, i);
	ranking_release(&ranking);
}

static void any_own_caption_counts(void **state)
{
	static const float scores[1][ITEMS] = {{1, 5, 2, 4, 3}};
	static const uint32_t owner_of_query[1] = {7}, owner_of_item[ITEMS] = {7, 0, 7, 1, 2};
	struct ranking ranking;

	(void)state;
	assert_ok(ranking_make(scores[0], owner_of_query, 1, unit, owner_of_item, 5, ITEMS, 5, &ranking, &err), &err);
	assert_int_equal(ranking.place[0], 3);
	assert_int_equal(ranking.short_list[3].item, 2);
	assert_true(ranking.short_list[3].right && ranking.short_list[4].right && !ranking.short_list[0].right);
	ranking_release(&ranking);
}

static void numbers_that_are_none_find_nothing(void **state)
{
	static const uint32_t owner[1] = {0};
	float scores[ITEMS];
	struct ranking ranking;

	(void)state;
	for (size_t i = 0; i < ITEMS; i++)
		scores[i] = NAN;
	assert_ok(ranking_make(scores, owner, 1, unit, each, ITEMS, ITEMS, 0, &ranking, &err), &err);
	assert_int_equal(ranking.place[0], ITEMS);
	ranking_release(&ranking);
}

static void shortlists_are_the_best_whatever_the_order(void **state)
{
	enum { QUERIES = 200, MANY = 97, DEPTH = 10, WIDTH = 5 };
	float queries[QUERIES * WIDTH], items[MANY * WIDTH];
	uint32_t owner_of_query[QUERIES], owner_of_item[MANY];
	uint64_t seed = 3;
	struct ranking ranking;

	(void)state;
	for (size_t i = 0; i < QUERIES * WIDTH; i++)
		queries[i] = rintf(2 * test_uniform(&seed)); /* so that there are ties */
	for (size_t i = 0; i < MANY * WIDTH; i++)
		items[i] = rintf(2 * test_uniform(&seed));
	for (uint32_t i = 0; i < QUERIES; i++)
		owner_of_query[i] = i % MANY;
	for (uint32_t i = 0; i < MANY; i++)
		owner_of_item[i] = i;
	assert_ok(ranking_make(queries, owner_of_query, QUERIES, items, owner_of_item, MANY, WIDTH, DEPTH, &ranking, &err), &err);
	for (size_t q = 0; q < QUERIES; q++)
		for (size_t i = 0; i < MANY; i++) {
			float mine = 0;
			size_t place = 0;
			for (size_t k = 0; k < WIDTH; k++)
				mine += queries[q * WIDTH + k] * items[i * WIDTH + k];
			for (size_t j = 0; j < MANY; j++) {
				float other = 0;
				for (size_t k = 0; k < WIDTH; k++)
					other += queries[q * WIDTH + k] * items[j * WIDTH + k];
				place += other > mine || (other == mine && j < i);
			}
			if (place < DEPTH)
				assert_int_equal(ranking.short_list[q * DEPTH + place].item, i);
			if (owner_of_query[q] == i)
				assert_int_equal(ranking.place[q], place);
		}
	ranking_release(&ranking);
}

static double by_likelihood(void *context, size_t query, const struct shortlisted *item)
{
	(void)context;
	(void)query;
	return (double)item->likelihood;
}

static void only_the_shortlist_is_reordered(void **state)
{
	static const float scores[3][ITEMS] = {{9, 8, 7, 6, 5}, {9, 8, 7, 6, 5}, {9, 8, 7, 6, 5}};
	static const uint32_t owner[3] = {2, 3, 0};
	static const float likelihoods[3][3] = {{1, 2, 3}, {1, 2, 3}, {5, 5, 5}};
	struct ranking ranking;
	uint32_t place[3];

	(void)state;
	assert_ok(ranking_make(scores[0], owner, 3, unit, each, 5, ITEMS, 3, &ranking, &err), &err);
	for (size_t i = 0; i < 9; i++)
		ranking.short_list[i].likelihood = likelihoods[i / 3][i % 3];
	ranking_reorder(&ranking, by_likelihood, NULL, place);
	assert_int_equal(place[0], 0); /* from third to first */
	assert_int_equal(place[1], 3); /* behind the shortlist: stays */
	assert_int_equal(place[2], 0); /* a tie: by item */
	ranking_release(&ranking);
}

static void classes_are_numbered_by_first_appearance(void **state)
{
	static const char *const names[] = {"zebra", "ant", "zebra", "bee", "ant", "zebra"};
	static const uint32_t expected[] = {0, 1, 0, 2, 1, 0};
	uint32_t owner[6], first[6];
	size_t classes;

	(void)state;
	assert_ok(names_number(names, 6, owner, first, &classes, &err), &err);
	assert_int_equal(classes, 3);
	assert_memory_equal(owner, expected, sizeof expected);
	assert_int_equal(first[0], 0);
	assert_int_equal(first[1], 1);
	assert_int_equal(first[2], 3);
}

static void prompts_take_the_name_where_the_braces_are(void **state)
{
	char *prompt = prompts_fill("a {} and {}.", "cat");

	(void)state;
	assert_string_equal(prompt, "a cat and cat.");
	free(prompt);
	prompt = prompts_fill("{}", "{}");
	assert_string_equal(prompt, "{}");
	free(prompt);
}

static void names_stand_behind_a_photo_of_a(void **state)
{
	static const char *const captions[][2] = {
		{"a photo of a tusker", "tusker"}, {"a photo of an ox", "ox"}, {"A photo of the dam", "dam"}, {"a photo of pants", "pants"},
		{"an axe", "axe"}, {"anaconda", "anaconda"}, {"a photo of ", "photo of "}, {"a ", "a "}, {"", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof captions / sizeof *captions; i++)
		assert_string_equal(prompts_name(captions[i][0]), captions[i][1]);
}

int main(int argc, char **argv)
{
	(void)argc;
	blas_guard(argv, false);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places_count_what_is_better),
		cmocka_unit_test(names_stand_behind_a_photo_of_a),
		cmocka_unit_test(ties_go_by_item),
		cmocka_unit_test(any_own_caption_counts),
		cmocka_unit_test(numbers_that_are_none_find_nothing),
		cmocka_unit_test(shortlists_are_the_best_whatever_the_order),
		cmocka_unit_test(only_the_shortlist_is_reordered),
		cmocka_unit_test(classes_are_numbered_by_first_appearance),
		cmocka_unit_test(prompts_take_the_name_where_the_braces_are),
	};
	return cmocka_run_group_tests(tests, make_unit, test_folders_remove) ? 1 : 0;
}
