/* Queries of words and photographs: how values are read, and that signs, weights and order come out as typed. */
#include "tests/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "query/ask/compose.h"

#include "schema/base/banned.h"

static struct err err;

struct options {
	struct option_list terms;
};
static const struct option_spec options[] = {TERM_OPTIONS(struct options, terms), {0}};
static const struct command command = {.name = "try", .options = options, .options_size = sizeof(struct options)};

static enum status parse(struct composition *query, int argc, char **argv)
{
	struct arguments args;

	assert_ok(arguments_parse(&command, argc, argv, &args, &err), &err);
	enum status status = compose_parse(args.words, args.count, &((const struct options *)args.options)->terms, query, &err);
	arguments_release(&args);
	return status;
}

#define PARSE(query, ...) parse(query, sizeof((char *[]){__VA_ARGS__}) / sizeof(char *), (char *[]){__VA_ARGS__})

#define ASSERT_TITLE(expected, ...)                                  \
	do {                                                         \
		struct composition query_;                           \
		assert_ok(PARSE(&query_, __VA_ARGS__), &err);        \
		char *title_ = compose_title(&query_);               \
		assert_string_equal(title_, expected);               \
		free(title_);                                        \
		compose_release(&query_);                            \
	} while (0)

static void words_are_one_term(void **state)
{
	(void)state;
	ASSERT_TITLE("two dogs in the snow", "two", "dogs in", "the snow ");
}

static void signs_and_options_keep_their_order(void **state)
{
	(void)state;
	ASSERT_TITLE("beach + 2:sunset - people + 0.5:red sky", "beach", "--add", "2:sunset", "--sub", "people", "--add=0.5:red sky");
	ASSERT_TITLE("big beach + 2:sunset - many people", "big", "beach", "+", "2:sunset", "-", "many", "people");
	ASSERT_TITLE("- people + beach", "--sub", "people", "--add", "beach");
	ASSERT_TITLE("- people + beach", "-", "people", "+", "beach");
}

static void a_time_is_no_weight_and_a_prefix_forces(void **state)
{
	struct composition query;

	(void)state;
	assert_ok(PARSE(&query, "10:30", "train", "--add", "2:text:10:30", "--add", "text:3:dogs", "--add", ".5:hat"), &err);
	assert_string_equal(query.terms[0].value, "10:30 train");
	assert_true(query.terms[0].weight == 1);
	assert_string_equal(query.terms[1].value, "10:30");
	assert_true(query.terms[1].weight == 2);
	assert_string_equal(query.terms[2].value, "3:dogs");
	assert_true(query.terms[2].weight == 1);
	assert_true(query.terms[3].weight == 0.5);
	compose_release(&query);
}

static void a_value_that_names_a_file_is_a_photo(void **state)
{
	const char *folder = test_folder(), *plain = test_path(folder, "sunset"), *odd_name = test_path(folder, "2:odd");
	char odd[4096], weighted[4096], forced[4096], spelt[4096];
	struct composition query;

	(void)state;
	test_write(plain, "x", 1);
	test_write(odd_name, "x", 1);
	snprintf(odd, sizeof odd, "%s", odd_name);
	snprintf(weighted, sizeof weighted, "3:%s", plain);
	snprintf(forced, sizeof forced, "text:%s", plain);
	snprintf(spelt, sizeof spelt, "2:photo:%s", plain);
	assert_ok(PARSE(&query, "a", "--add", weighted, "--sub", odd, "--add", forced, "--sub", spelt, "--add", "black/white"), &err);
	assert_true(query.terms[1].photo && query.terms[1].weight == 3);
	assert_string_equal(query.terms[1].value, plain);
	assert_true(query.terms[2].photo && query.terms[2].weight == -1);
	assert_false(query.terms[3].photo);
	assert_true(query.terms[4].photo && query.terms[4].weight == -2);
	assert_false(query.terms[5].photo);
	compose_release(&query);
}

/* In the words of a query a name in the working folder stays a word; in an option it is the file, and said to be guessed. */
static void a_bare_name_is_a_photo_in_options_alone(void **state)
{
	char *here = getcwd(NULL, 0);
	const char *folder = test_folder();
	struct composition query;

	(void)state;
	test_write(test_path(folder, "sunset"), "x", 1);
	assert_int_equal(chdir(folder), 0);
	assert_ok(PARSE(&query, "sunset", "--add", "sunset", "--add", "./sunset"), &err);
	assert_int_equal(chdir(here), 0);
	free(here);
	assert_false(query.terms[0].photo);
	assert_true(query.terms[1].photo && query.terms[1].guessed);
	assert_true(query.terms[2].photo && !query.terms[2].guessed);
	compose_release(&query);
}

static void what_makes_no_query_is_wrong_usage(void **state)
{
	struct composition query;

	(void)state;
	assert_int_equal(parse(&query, 0, (char *[]){NULL}), STATUS_USAGE);
	assert_int_equal(PARSE(&query, "--sub", "people"), STATUS_USAGE);
	assert_non_null(strstr(err.text, "only subtracts"));
	assert_int_equal(PARSE(&query, "beach", "-"), STATUS_USAGE);
	assert_int_equal(PARSE(&query, "beach", "+", "-", "sea"), STATUS_USAGE);
	assert_int_equal(PARSE(&query, "beach", "--add", " "), STATUS_USAGE);
	assert_int_equal(PARSE(&query, "beach", "--add", "0:sea"), STATUS_USAGE);
	assert_int_equal(PARSE(&query, "./no-such-photo"), STATUS_USAGE);
	assert_non_null(strstr(err.text, "text:"));
	assert_int_equal(PARSE(&query, "beach", "--add", "no-such.JPG"), STATUS_USAGE);
}

/* Weights of likelihoods are the shares of the similarity; photos and what is subtracted have none. */
static void added_words_alone_rerank(void **state)
{
	struct term terms[] = {
		{.value = "a", .weight = 1, .share = 0.5},
		{.value = "b", .weight = -1, .share = -0.5},
		{.value = "c", .weight = 1, .share = 0.5, .photo = true},
		{.value = "d", .weight = 2, .share = 1},
	};
	struct composition query = {terms, 4};
	size_t which[4];
	double weights[4];

	(void)state;
	assert_int_equal(compose_texts(&query, which, weights), 2);
	assert_int_equal(which[0], 0);
	assert_int_equal(which[1], 3);
	assert_true(weights[0] == 0.5 && weights[1] == 1);
}

TEST_MAIN(cmocka_unit_test(words_are_one_term), cmocka_unit_test(signs_and_options_keep_their_order),
	  cmocka_unit_test(a_time_is_no_weight_and_a_prefix_forces), cmocka_unit_test(a_value_that_names_a_file_is_a_photo),
	  cmocka_unit_test(a_bare_name_is_a_photo_in_options_alone), cmocka_unit_test(what_makes_no_query_is_wrong_usage),
	  cmocka_unit_test(added_words_alone_rerank))
