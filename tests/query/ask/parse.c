/* Words, dates and places as people type them. */
#include "tests/support.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "query/ask/parse.h"

#include "schema/catalog/filter.h"
#include "schema/base/banned.h"

static struct err err;

static void assert_date(const char *text, int64_t from, int64_t to)
{
	int64_t f = -1, t = -1;

	if (parse_date(text, &f, &t, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	if (f != from || t != to)
		fail_msg("%s is %lld to %lld", text, (long long)f, (long long)t);
}

/* Figures from date -u -d ... +%s */
static void a_date_names_a_span(void **state)
{
	(void)state;
	assert_date("1970", 0, 31536000);
	assert_date("2024", 1704067200, 1735689600);
	assert_date("2024-02", 1706745600, 1709251200);
	assert_date("2024-12", 1733011200, 1735689600);
	assert_date("2024-02-29", 1709164800, 1709251200);
	assert_date("2000-02-29", 951782400, 951868800);
	assert_date("2024-05-31T18:30", 1717180200, 1717180260);
	assert_date("2024-05-31 18:30:59", 1717180259, 1717180260);
	assert_date("1900-03-01", -2203891200, -2203804800);
	assert_date("1969-12-31", -86400, 0);
}

static void what_is_no_date_is_refused(void **state)
{
	static const char *const wrong[] = {"", "24", "yesterday", "2024-", "2024-13", "2024-00", "2023-02-29", "1900-02-29", "2024-1-1",
					    "2024-05-31T", "2024-05-31T24:00", "2024-05-31T18", "2024-05-31T18:60", "2024-05-31T18:30:60",
					    "2024-05-31x", "20240531", "0000", "2024-05-00", " 2024", "2024 "};
	int64_t from, to;

	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		if (parse_date(wrong[i], &from, &to, &err) != STATUS_USAGE)
			fail_msg("'%s' is taken for a date", wrong[i]);
}

static void words_are_one_query(void **state)
{
	const char *words[] = {"  two", "dogs ", "in  snow\n"};
	char *text;

	(void)state;
	assert_ok(compose_words(words, 3, "query", &text, &err), &err);
	assert_string_equal(text, "two dogs  in  snow");
	free(text);
}

static void an_empty_query_is_refused(void **state)
{
	const char *blank[] = {" ", "\t\n"};
	char *text;

	(void)state;
	assert_int_equal(compose_words(NULL, 0, "query", &text, &err), STATUS_USAGE);
	assert_int_equal(compose_words(blank, 2, "query", &text, &err), STATUS_USAGE);
	assert_string_equal(err.text, "the query is empty");
}

static void a_place_is_latitude_longitude_kilometres(void **state)
{
	static const char *const wrong[] = {"", "48", "48,2", "48,2,5,6", "48;2;5", "91,0,1", "0,181,1",
					    "0,0,-1", "nan,0,1", "0,0,inf", "a,b,c"};
	struct photo_filter filter = {0};

	(void)state;
	assert_ok(parse_near("-33.86,151.21,2.5", &filter, &err), &err);
	assert_true(filter.has_near);
	assert_true(filter.latitude == -33.86 && filter.longitude == 151.21 && filter.km == 2.5);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		if (parse_near(wrong[i], &filter, &err) != STATUS_USAGE)
			fail_msg("'%s' is taken for a place", wrong[i]);
}

static void assert_folder(const char *path, const char *expected)
{
	char *folder = parse_folder(path);

	assert_non_null(folder);
	assert_string_equal(folder, expected);
	free(folder);
}

static void a_folder_that_is_away_is_made_absolute(void **state)
{
	char here[4096], expected[4200];

	(void)state;
	assert_folder("/no-such-drive//a/./b/../c/", "/no-such-drive/a/c");
	assert_folder("/..", "/");
	assert_non_null(getcwd(here, sizeof here));
	snprintf(expected, sizeof expected, "%s/no-such-folder", here);
	assert_folder("tests/../no-such-folder", expected);
}

static void a_folder_that_is_there_is_without_links(void **state)
{
	const char *folder = test_folder(), *link = test_path(folder, "link"), *real = test_path(folder, "real");
	char *expected;

	(void)state;
	test_write(real, "", 0);
	assert_int_equal(symlink("real", link), 0);
	expected = realpath(real, NULL);
	assert_folder(link, expected);
	free(expected);
}

static void since_after_until_is_refused(void **state)
{
	static const char *const words[] = {"a"};
	struct option_item right[] = {{FILTER_SINCE, "2024-05-31"}, {FILTER_UNTIL, "2024-05"}};
	struct option_item wrong[] = {{FILTER_SINCE, "2024-06"}, {FILTER_UNTIL, "2024-05"}};
	struct asked asked = {.count = 1, .words = words, .filters = {2, right}};
	struct query query;

	(void)state;
	assert_ok(query_parse(&asked, &query, &err), &err);
	assert_true(query.filter.has_since && query.filter.has_until && query.filter.until == 1717200000);
	query_release(&query);
	asked.filters.items = wrong;
	assert_int_equal(query_parse(&asked, &query, &err), STATUS_USAGE);
}

TEST_MAIN(cmocka_unit_test(a_date_names_a_span), cmocka_unit_test(what_is_no_date_is_refused), cmocka_unit_test(words_are_one_query),
	  cmocka_unit_test(an_empty_query_is_refused), cmocka_unit_test(a_place_is_latitude_longitude_kilometres),
	  cmocka_unit_test(a_folder_that_is_away_is_made_absolute), cmocka_unit_test(a_folder_that_is_there_is_without_links),
	  cmocka_unit_test(since_after_until_is_refused))
