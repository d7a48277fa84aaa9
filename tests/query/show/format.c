/* Results as JSON, text and a page: valid and harmless whatever bytes a path holds. */
#include "tests/support.h"

#include <cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "query/show/format.h"
#include "query/show/result.h"
#include "query/show/base64.h"
#include "query/show/page.h"
#include "schema/base/file.h"

#include "schema/base/banned.h"

static struct err err;

static const char hostile[] =
	"/photos/a\"b\\c\nd\te\x01\x7f<script>alert('1')&amp;</script>\xff\xfe\xc3(\xed\xa0\x80\xf4\x90\x80\x80 \xe2\x82\xac.jpg";

static struct result some_result(const char *path)
{
	return (struct result){
		.photo = {.path = path, .path_size = strlen(path), .width = 640, .height = 480, .format = "jpeg", .camera = "A\"B",
			  .has_taken = true, .taken_at = 1717180200, .taken_offset = 120},
		.rank = 1, .similarity = 0.25f, .reranked = true, .likelihood = -12.5f, .match = 0.5, .score = 3.75, .missing = true,
	};
}

static char *format_one(struct result *result, enum format format)
{
	struct results results = {.items = result, .count = 1};
	struct buffer out = {0};

	result_format(&results, 0, format, &out);
	assert_false(out.failed);
	return out.data;
}

static void json_is_valid_on_hostile_paths(void **state)
{
	struct result result = some_result(hostile);
	char *line = format_one(&result, FORMAT_JSON);
	const char *end;

	(void)state;
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
	for (const char *c = line; *c; c++)
		assert_true((unsigned char)*c >= 0x20 || c[1] == '\0');
	assert_non_null(strstr(line, "\\udcff\\udcfe\\udcc3("));
	assert_non_null(strstr(line, "\xe2\x82\xac.jpg"));
	/* cJSON takes no lone surrogates, which JSON's grammar allows: they are made letters for it. */
	for (char *at = line; (at = strstr(at, "\\udc")); at++)
		at[2] = '0';
	cJSON *object = cJSON_ParseWithOpts(line, &end, false);
	assert_non_null(object);
	assert_string_equal(cJSON_GetObjectItem(object, "taken_at")->valuestring, "2024-05-31T18:30:00+02:00");
	assert_string_equal(cJSON_GetObjectItem(object, "camera")->valuestring, "A\"B");
	assert_true(cJSON_GetObjectItem(object, "match")->valuedouble == 0.5);
	assert_true(cJSON_GetObjectItem(object, "caption_logprob")->valuedouble == -12.5);
	assert_true(cJSON_IsTrue(cJSON_GetObjectItem(object, "missing")));
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(object, "lens")));
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(object, "latitude")));
	assert_int_equal(cJSON_GetObjectItem(object, "width")->valueint, 640);
	cJSON_Delete(object);
	free(line);
}

static void what_is_not_a_number_is_null(void **state)
{
	struct result result = some_result("/a.jpg");
	char *line;

	(void)state;
	result.score = NAN;
	result.reranked = false;
	result.photo.has_taken = false;
	line = format_one(&result, FORMAT_JSON);
	assert_non_null(strstr(line, "\"score\":null"));
	assert_non_null(strstr(line, "\"caption_logprob\":null"));
	assert_non_null(strstr(line, "\"taken_at\":null"));
	free(line);
}

static void text_is_one_line_a_photo(void **state)
{
	struct result result = some_result(hostile);
	char *line = format_one(&result, FORMAT_TEXT);

	(void)state;
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
	assert_non_null(strstr(line, " 50%  "));
	assert_non_null(strstr(line, "c\\x0ad\\x09e\\x01\\x7f<script>"));
	assert_non_null(strstr(line, "(missing)"));
	free(line);
}

static void colour_frames_score_and_folder(void **state)
{
	struct result result = some_result("/a/b.jpg");
	char *line = format_one(&result, FORMAT_COLOURED);

	(void)state;
	assert_string_equal(line, "  1  \033[1m  3.7500\033[0m   50%  \033[2m/a/\033[0mb.jpg  (missing)\n");
	free(line);
}

static void colour_is_for_terminals(void **state)
{
	FILE *file = tmpfile();

	(void)state;
	setenv("TERM", "xterm", 1);
	assert_int_equal(format_for(FORMAT_TEXT, file), FORMAT_TEXT);
	assert_int_equal(format_for(FORMAT_JSON, file), FORMAT_JSON);
	fclose(file);
}

static void paths0_are_the_bytes(void **state)
{
	struct result result = some_result(hostile);
	struct results results = {.items = &result, .count = 1};
	struct buffer out = {0};

	(void)state;
	result_format(&results, 0, FORMAT_PATHS0, &out);
	assert_int_equal(out.size, sizeof hostile);
	assert_memory_equal(out.data, hostile, sizeof hostile);
	buffer_release(&out);
}

static void times_show_their_offset(void **state)
{
	struct buffer out = {0};

	(void)state;
	format_time(-1, CATALOG_NO_OFFSET, &out);
	buffer_text(&out, " ");
	format_time(0, -570, &out);
	assert_string_equal(out.data, "1969-12-31T23:59:59 1970-01-01T00:00:00-09:30");
	buffer_release(&out);
}

struct options {
	enum format format;
};

static void an_unknown_format_is_refused(void **state)
{
	static const struct option_spec options[] = {
		OPTION_CHOICE(struct options, format, "format", 0, "FORMAT", format_names, FORMAT_PATHS0, FORMAT_TEXT, ""), {0}};
	static const struct command command = {.name = "t", .options = options, .options_size = sizeof(struct options)};
	struct arguments args;

	(void)state;
	assert_int_equal(arguments_parse(&command, 1, (char *[]){"--format=xml"}, &args, &err), STATUS_USAGE);
	assert_ok(arguments_parse(&command, 1, (char *[]){"--format=paths0"}, &args, &err), &err);
	assert_int_equal(((const struct options *)args.options)->format, FORMAT_PATHS0);
	arguments_release(&args);
}

static void markup_is_escaped(void **state)
{
	struct buffer out = {0};

	(void)state;
	page_escape("<a href=\"x\">'&\n\xff\xe2\x82\xac", 19, &out);
	assert_string_equal(out.data, "&lt;a href=&quot;x&quot;&gt;&#39;&amp;\\x0a\xef\xbf\xbd\xe2\x82\xac");
	buffer_release(&out);
}

static void addresses_are_percent_encoded(void **state)
{
	struct buffer out = {0};

	(void)state;
	page_address("/a b/\"\xff'<%.jpg", 14, &out);
	assert_string_equal(out.data, "file:///a%20b/%22%FF%27%3C%25.jpg");
	buffer_release(&out);
}

/* RFC 4648, section 10 */
static void base64_is_padded(void **state)
{
	static const char *const cases[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
					  {"foob", "Zm9vYg=="}, {"foobar", "Zm9vYmFy"}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct buffer out = {0};
		buffer_text(&out, "");
		base64_append((const uint8_t *)cases[i][0], strlen(cases[i][0]), &out);
		assert_string_equal(out.data, cases[i][1]);
		buffer_release(&out);
	}
}

static void a_page_holds_its_pictures_and_no_foreign_markup(void **state)
{
	struct result items[3] = {some_result(hostile), some_result("tests/data/images/gray-320x240.jpg"), some_result("/proc/version")};
	struct results results = {.items = items, .count = 3};
	const char *path = test_path(test_folder(), "page.html");
	uint8_t *bytes;
	size_t size;

	(void)state;
	items[1].missing = items[2].missing = false;
	items[1].caption = "a <dog>";
	items[1].match = 0.834;
	items[2].match = NAN;
	assert_ok(page_write(path, "<b>dogs</b> & \"cats\"", &results, &err), &err);
	assert_ok(file_read(path, 1 << 20, &bytes, &size, &err), &err);
	const char *page = (const char *)bytes;
	assert_int_equal(strlen(page), size);
	assert_null(strstr(page, "<script"));
	assert_null(strstr(page, "<b>"));
	assert_non_null(strstr(page, "<title>&lt;b&gt;dogs&lt;/b&gt; &amp; &quot;cats&quot;"));
	assert_non_null(strstr(page, "src=\"data:image/jpeg;base64,/9j/"));
	assert_non_null(strstr(page, "not there now"));
	assert_non_null(strstr(page, "cannot be read"));
	assert_non_null(strstr(page, "a &lt;dog&gt;"));
	assert_non_null(strstr(page, "match 83 %"));
	assert_null(strstr(page, "nan"));
	assert_null(strstr(page, "http"));
	free(bytes);
}

TEST_MAIN(cmocka_unit_test(json_is_valid_on_hostile_paths), cmocka_unit_test(what_is_not_a_number_is_null),
	  cmocka_unit_test(text_is_one_line_a_photo),
	  cmocka_unit_test(colour_frames_score_and_folder), cmocka_unit_test(colour_is_for_terminals),
	  cmocka_unit_test(paths0_are_the_bytes), cmocka_unit_test(times_show_their_offset),
	  cmocka_unit_test(an_unknown_format_is_refused), cmocka_unit_test(markup_is_escaped),
	  cmocka_unit_test(addresses_are_percent_encoded), cmocka_unit_test(base64_is_padded),
	  cmocka_unit_test(a_page_holds_its_pictures_and_no_foreign_markup))
