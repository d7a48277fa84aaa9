/* options.c: the option parser and the numbers people read. */
#include <string.h>

#include "schema/cli/options.h"
#include "tests/support.h"

#include "schema/base/banned.h"

static const struct option_spec options[] = {
	{"limit", 'n', "N", OPTION_NUMBER, "a number"},
	{"exclude", 0, "GLOB", OPTION_TEXT | OPTION_MANY, "many"},
	{"rerank", 0, "N", OPTION_OPTIONAL, "an optional value"},
	{"budget", 0, "SIZE", OPTION_SIZE, "a size"},
	{"weight", 'w', "X", OPTION_REAL, "a real"},
	{"all", 'a', NULL, OPTION_FLAG, "a flag"},
	{0},
};
static const struct command command = {.name = "try", .options = options};

#define PARSE(args, err, ...) \
	arguments_parse(&command, sizeof((char *[]){__VA_ARGS__}) / sizeof(char *), (char *[]){__VA_ARGS__}, args, err)

static void options_may_stand_anywhere_and_in_every_spelling(void **state)
{
	struct arguments args;
	struct err err;
	size_t n;
	(void)state;

	assert_ok(PARSE(&args, &err, "one", "-n", "3", "two", "--exclude=a", "--exclude", "b", "-aw0.5", "three"), &err);
	assert_int_equal(args.count, 3);
	assert_string_equal(args.words[2], "three");
	assert_ok(arguments_number(&args, "limit", 10, 1, 100, &n, &err), &err);
	assert_int_equal(n, 3);
	assert_int_equal(args.given_count, 5);
	assert_string_equal(args.given[1].value, "a");
	assert_string_equal(args.given[2].value, "b");
	assert_true(arguments_flag(&args, "all"));
	double w;
	assert_ok(arguments_real(&args, "weight", 0, &w, &err), &err);
	assert_true(w > 0.49 && w < 0.51);
	arguments_release(&args);

	assert_ok(PARSE(&args, &err, "-n12"), &err);
	assert_string_equal(arguments_text(&args, "limit", ""), "12");
	arguments_release(&args);
}

static void two_dashes_end_the_options(void **state)
{
	struct arguments args;
	struct err err;
	(void)state;

	assert_ok(PARSE(&args, &err, "-a", "--", "-n", "--exclude"), &err);
	assert_int_equal(args.count, 2);
	assert_string_equal(args.words[1], "--exclude");
	arguments_release(&args);
}

static void an_optional_value_is_taken_only_behind_an_equals_sign(void **state)
{
	struct arguments args;
	struct err err;
	size_t n;
	(void)state;

	assert_ok(PARSE(&args, &err, "--rerank", "20"), &err);
	assert_int_equal(args.count, 1);
	assert_ok(arguments_number(&args, "rerank", 50, 1, 1000, &n, &err), &err);
	assert_int_equal(n, 50);
	arguments_release(&args);
	assert_ok(PARSE(&args, &err, "--rerank=20"), &err);
	assert_ok(arguments_number(&args, "rerank", 50, 1, 1000, &n, &err), &err);
	assert_int_equal(n, 20);
	arguments_release(&args);
}

static void wrong_words_are_usage_errors_that_name_them(void **state)
{
	struct arguments args;
	struct err err;
	(void)state;

	assert_int_equal(PARSE(&args, &err, "--limt", "3"), STATUS_USAGE);
	assert_non_null(strstr(err.text, "--limt"));
	assert_int_equal(PARSE(&args, &err, "-z"), STATUS_USAGE);
	assert_int_equal(PARSE(&args, &err, "--limit"), STATUS_USAGE);
	assert_int_equal(PARSE(&args, &err, "--all=yes"), STATUS_USAGE);
	assert_int_equal(PARSE(&args, &err, "--limit", "1", "--limit", "2"), STATUS_USAGE);
	assert_non_null(strstr(err.text, "twice"));
}

static void numbers_and_sizes_are_checked(void **state)
{
	static const char *const bad_numbers[] = {"", "x", "3x", "-1", "0", "101", "99999999999999999999", " 3"};
	static const char *const bad_sizes[] = {"", "G", "2X", "2GG", "-1", "1e400", "nan"};
	struct arguments args;
	struct err err;
	size_t n;
	(void)state;

	for (size_t i = 0; i < sizeof bad_numbers / sizeof *bad_numbers; i++) {
		assert_ok(PARSE(&args, &err, "--limit", (char *)bad_numbers[i]), &err);
		assert_int_equal(arguments_number(&args, "limit", 1, 1, 100, &n, &err), STATUS_USAGE);
		arguments_release(&args);
	}
	for (size_t i = 0; i < sizeof bad_sizes / sizeof *bad_sizes; i++) {
		assert_ok(PARSE(&args, &err, "--budget", (char *)bad_sizes[i]), &err);
		assert_int_equal(arguments_size(&args, "budget", 1, &n, &err), STATUS_USAGE);
		arguments_release(&args);
	}
	assert_ok(PARSE(&args, &err, "--budget", "1.5G"), &err);
	assert_ok(arguments_size(&args, "budget", 1, &n, &err), &err);
	assert_int_equal(n, (size_t)3 << 29);
	arguments_release(&args);
}

static void times_and_sizes_read_as_people_write_them(void **state)
{
	char text[16];
	(void)state;

	assert_string_equal(cli_duration(0, text), "0:00");
	assert_string_equal(cli_duration(59.6, text), "1:00");
	assert_string_equal(cli_duration(3723, text), "1:02:03");
	assert_string_equal(cli_bytes(12, text), "12 bytes");
	assert_string_equal(cli_bytes(999999, text), "1.0 MB");
	assert_string_equal(cli_bytes(12.3e6, text), "12 MB");
}

static void an_error_quotes_without_forging_lines(void **state)
{
	struct err err;
	(void)state;

	assert_int_equal(err_set(&err, STATUS_IO, "cannot open '%s'", "a\nb\x1b[31m"), STATUS_IO);
	assert_string_equal(err.text, "cannot open 'a\\x0ab\\x1b[31m'");
	assert_int_equal(err_prefix(&err, "photo %d", 3), STATUS_IO);
	assert_string_equal(err.text, "photo 3: cannot open 'a\\x0ab\\x1b[31m'");
}

TEST_MAIN(cmocka_unit_test(options_may_stand_anywhere_and_in_every_spelling), cmocka_unit_test(two_dashes_end_the_options),
	  cmocka_unit_test(an_optional_value_is_taken_only_behind_an_equals_sign),
	  cmocka_unit_test(wrong_words_are_usage_errors_that_name_them), cmocka_unit_test(numbers_and_sizes_are_checked),
	  cmocka_unit_test(times_and_sizes_read_as_people_write_them), cmocka_unit_test(an_error_quotes_without_forging_lines))
