/* options.c: the option parser and the numbers people read. */
#include <string.h>

#include "schema/cli/options.h"
#include "schema/cli/progress.h"
#include "tests/support.h"

#include "schema/base/banned.h"

enum { BANANA = 1, CHERRY };
static const char *const fruits[] = {"apple", "banana", "cherry", NULL};

struct options {
	size_t limit, rerank, budget;
	double weight;
	const char *file;
	int fruit;
	bool all;
	struct option_list terms, others;
};
static const struct option_spec options[] = {
	OPTION_NUMBER(struct options, limit, "limit", 'n', "N", 1, 100, 10, "a number (default %)"),
	OPTION_LIST(struct options, terms, "exclude", 0, "GLOB", OPTION_MANY, 7, "many"),
	OPTION_LIST(struct options, terms, "only", 0, "GLOB", 0, 8, "one, in order among the others"),
	OPTION_LIST(struct options, others, "other", 0, "GLOB", OPTION_MANY, 0, "many of another list"),
	OPTION_BARE_NUMBER(struct options, rerank, "rerank", 0, "N", 1, 1000, 0, 50, "an optional value (default, N = %)"),
	OPTION_SIZE(struct options, budget, "budget", 0, "SIZE", (size_t)1 << 31, "a size (default %; 0: none)"),
	OPTION_REAL(struct options, weight, "weight", 'w', "X", 0, 10, 1e-3, "a real (default %)"),
	OPTION_TEXT(struct options, file, "file", 0, "FILE", OPTION_FILE, "a path"),
	OPTION_CHOICE(struct options, fruit, "fruit", 0, "FRUIT", fruits, BANANA, 0, "apple or banana"),
	OPTION_FLAG(struct options, all, "all", 'a', "a flag"),
	{0},
};
static const struct command command = {.name = "try", .options = options, .options_size = sizeof(struct options)};

#define PARSE(args, err, ...) \
	arguments_parse(&command, sizeof((char *[]){__VA_ARGS__}) / sizeof(char *), (char *[]){__VA_ARGS__}, args, err)

static void options_may_stand_anywhere_and_in_every_spelling(void **state)
{
	struct arguments args;
	struct err err;
	const struct options *o;
	(void)state;

	assert_ok(PARSE(&args, &err, "one", "-n", "3", "two", "--exclude=a", "--exclude", "b", "-aw0.5", "three"), &err);
	assert_int_equal(args.count, 3);
	assert_string_equal(args.words[2], "three");
	o = args.options;
	assert_int_equal(o->limit, 3);
	assert_int_equal(args.given_count, 5);
	assert_string_equal(args.given[1].value, "a");
	assert_string_equal(args.given[2].value, "b");
	assert_true(o->all);
	assert_true(o->weight > 0.49 && o->weight < 0.51);
	arguments_release(&args);

	assert_ok(PARSE(&args, &err, "-n12"), &err);
	o = args.options;
	assert_int_equal(o->limit, 12);
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
	const struct options *o;
	(void)state;

	assert_ok(PARSE(&args, &err, "--rerank", "20"), &err);
	assert_int_equal(args.count, 1);
	o = args.options;
	assert_int_equal(o->rerank, 50);
	arguments_release(&args);
	assert_ok(PARSE(&args, &err, "--rerank=20"), &err);
	o = args.options;
	assert_int_equal(o->rerank, 20);
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
	const struct options *o;
	(void)state;

	for (size_t i = 0; i < sizeof bad_numbers / sizeof *bad_numbers; i++)
		assert_int_equal(PARSE(&args, &err, "--limit", (char *)bad_numbers[i]), STATUS_USAGE);
	for (size_t i = 0; i < sizeof bad_sizes / sizeof *bad_sizes; i++)
		assert_int_equal(PARSE(&args, &err, "--budget", (char *)bad_sizes[i]), STATUS_USAGE);
	assert_ok(PARSE(&args, &err, "--budget", "1.5G"), &err);
	o = args.options;
	assert_int_equal(o->budget, (size_t)3 << 29);
	arguments_release(&args);
	static const struct {
		char *text;
		size_t size;
	} sizes[] = {{"0", 0}, {"7", 7}, {"2k", 2048}, {"3mb", (size_t)3 << 20}, {"1TB", (size_t)1 << 40}};
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		assert_ok(PARSE(&args, &err, "--budget", sizes[i].text), &err);
		assert_int_equal(((const struct options *)args.options)->budget, sizes[i].size);
		arguments_release(&args);
	}
}

static void the_ends_of_a_range_are_in_it(void **state)
{
	static char *const numbers[] = {"1", "100"}, *const reals[] = {"0", "10"};
	struct arguments args;
	struct err err;
	(void)state;

	for (size_t i = 0; i < 2; i++) {
		assert_ok(PARSE(&args, &err, "--limit", numbers[i], "--weight", reals[i]), &err);
		assert_int_equal(((const struct options *)args.options)->limit, i ? 100 : 1);
		assert_true(((const struct options *)args.options)->weight == (i ? 10 : 0));
		arguments_release(&args);
	}
	assert_int_equal(PARSE(&args, &err, "--weight=-0.001"), STATUS_USAGE);
}

/* Offsets of common options are those of another struct. */
static void a_common_option_is_none_of_the_commands(void **state)
{
	struct arguments args;
	struct err err;
	(void)state;

	_Static_assert(offsetof(struct options, limit) == offsetof(struct common_options, database), "the same place");
	assert_ok(PARSE(&args, &err, "--db=x"), &err);
	assert_string_equal(args.common.database, "x");
	assert_false(OPTION_GIVEN(&args, struct options, limit));
	arguments_release(&args);
}

static void words_may_begin_with_a_dash(void **state)
{
	struct arguments args;
	struct err err;
	(void)state;

	assert_ok(PARSE(&args, &err, "-", "-file:x", "-aqa"), &err);
	assert_int_equal(args.count, 2);
	assert_string_equal(args.words[0], "-");
	assert_string_equal(args.words[1], "-file:x");
	assert_true(((const struct options *)args.options)->all && args.common.quiet);
	arguments_release(&args);
	assert_int_equal(PARSE(&args, &err, "-nothing:x"), STATUS_USAGE);
	assert_int_equal(PARSE(&args, &err, "-n"), STATUS_USAGE);
	assert_string_equal(err.text, "-n needs a value: -n N");
}

/* --quiet takes notes away, never faults; progress is drawn on a terminal alone. */
static void what_is_quiet_still_tells_faults(void **state)
{
	(void)state;
	for (int k = 0; k < 4; k++) {
		struct cli cli = {.quiet = k & 1, .progress = k & 2};
		cli_listen(&cli);
		assert_int_equal(cli.listener.note == NULL, cli.quiet);
		assert_non_null(cli.listener.fault);
		assert_int_equal(cli.listener.progress != NULL, cli.progress);
		assert_ptr_equal(cli.listener.context, &cli);
	}
}

static void reals_stay_in_their_range(void **state)
{
	struct arguments args;
	struct err err;
	(void)state;

	assert_int_equal(PARSE(&args, &err, "--weight=10.5"), STATUS_USAGE);
	assert_string_equal(err.text, "--weight takes a number from 0 to 10, not 10.5");
	assert_int_equal(PARSE(&args, &err, "--weight=x"), STATUS_USAGE);
	assert_string_equal(err.text, "--weight takes a number, not 'x'");
	assert_int_equal(PARSE(&args, &err, "--weight=inf"), STATUS_USAGE);
}

static void what_is_not_given_is_the_tables_default(void **state)
{
	struct arguments args;
	struct err err;
	const struct options *o;
	(void)state;

	assert_ok(PARSE(&args, &err, "-q"), &err);
	o = args.options;
	assert_int_equal(o->limit, 10);
	assert_int_equal(o->rerank, 0);
	assert_int_equal(o->budget, (size_t)1 << 31);
	assert_true(o->weight > 0.0009 && o->weight < 0.0011);
	assert_null(o->file);
	assert_false(o->all);
	assert_int_equal(o->fruit, 0);
	assert_int_equal(o->terms.count, 0);
	assert_false(OPTION_GIVEN(&args, struct options, limit));
	assert_true(args.common.quiet);
	assert_int_equal(args.common.precision, -1);
	arguments_release(&args);
	assert_ok(PARSE(&args, &err, "--limit=10"), &err);
	assert_true(OPTION_GIVEN(&args, struct options, limit));
	arguments_release(&args);
}

static void lists_keep_the_order_of_the_command_line(void **state)
{
	struct arguments args;
	struct err err;
	const struct options *o;
	(void)state;

	assert_ok(PARSE(&args, &err, "--exclude=a", "--other=b", "-a", "--only=c", "--exclude=d", "--other=e"), &err);
	o = args.options;
	assert_int_equal(o->terms.count, 3);
	assert_int_equal(o->terms.items[1].tag, 8);
	assert_string_equal(o->terms.items[1].value, "c");
	assert_int_equal(o->terms.items[2].tag, 7);
	assert_string_equal(o->terms.items[2].value, "d");
	assert_int_equal(o->others.count, 2);
	assert_string_equal(o->others.items[1].value, "e");
	arguments_release(&args);
	assert_int_equal(PARSE(&args, &err, "--only=a", "--only=b"), STATUS_USAGE);
}

static void a_choice_is_one_of_its_words(void **state)
{
	struct arguments args;
	struct err err;
	(void)state;

	assert_ok(PARSE(&args, &err, "--fruit", "banana", "--precision=int8"), &err);
	assert_int_equal(((const struct options *)args.options)->fruit, BANANA);
	assert_int_equal(args.common.precision, 1);
	arguments_release(&args);
	assert_int_equal(PARSE(&args, &err, "--fruit=plum"), STATUS_USAGE);
	assert_string_equal(err.text, "--fruit takes apple, banana or cherry, not 'plum'");
	assert_int_equal(PARSE(&args, &err, "--fruit=cherry"), STATUS_USAGE);
	assert_string_equal(err.text, "--fruit takes apple or banana here");
	assert_int_equal(PARSE(&args, &err, "--precision=8"), STATUS_USAGE);
	assert_string_equal(err.text, "--precision takes fp32 or int8, not '8'");
	assert_ok(PARSE(&args, &err, "--fruit=plum", "-h"), &err);
	assert_true(args.common.help);
	arguments_release(&args);
}

static void help_prints_the_tables_defaults(void **state)
{
	static const char *const printed[] = {"a number (default 10)", "many", "one, in order among the others", "many of another list",
					      "an optional value (default, N = 50)", "a size (default 2G; 0: none)", "a real (default 1e-3)"};
	(void)state;

	for (size_t i = 0; i < sizeof printed / sizeof *printed; i++) {
		struct buffer help = {0};
		option_help(&options[i], &help);
		assert_string_equal(help.data, printed[i]);
		buffer_release(&help);
	}
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
	  cmocka_unit_test(the_ends_of_a_range_are_in_it), cmocka_unit_test(a_common_option_is_none_of_the_commands),
	  cmocka_unit_test(words_may_begin_with_a_dash), cmocka_unit_test(what_is_quiet_still_tells_faults),
	  cmocka_unit_test(reals_stay_in_their_range), cmocka_unit_test(what_is_not_given_is_the_tables_default), cmocka_unit_test(lists_keep_the_order_of_the_command_line),
	  cmocka_unit_test(a_choice_is_one_of_its_words), cmocka_unit_test(help_prints_the_tables_defaults),
	  cmocka_unit_test(times_and_sizes_read_as_people_write_them), cmocka_unit_test(an_error_quotes_without_forging_lines))
