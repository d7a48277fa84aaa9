/* samples.c: tables of photographs with texts, line by line, and which samples are held out. */
#include <string.h>

#include "model/data/samples.h"
#include "tests/support.h"

#include "schema/base/banned.h"

static struct err err;

static struct samples *open_table(const char *bytes, enum samples_kind kind)
{
	const char *path = test_path(test_folder(), "table.tsv");
	struct samples *samples;

	test_write(path, bytes, strlen(bytes));
	assert_ok(samples_open(path, kind, &samples, &err), &err);
	return samples;
}

static void expect(struct samples *samples, size_t number, const char *name, size_t count, const char *const *texts, const size_t *lines)
{
	struct sample sample;

	assert_ok(samples_next(samples, &sample, &err), &err);
	assert_int_equal(samples_number(samples), number);
	assert_string_equal(strrchr(sample.key, '/'), name);
	assert_null(sample.image);
	assert_int_equal(sample.caption_count, count);
	for (size_t i = 0; i < count; i++) {
		assert_string_equal(sample.captions[i], texts[i]);
		assert_int_equal(samples_line(samples, i), lines[i]);
	}
}

static void lines_of_one_path_that_follow_each_other_are_one_sample(void **state)
{
	struct sample sample;
	(void)state;
	struct samples *samples = open_table("\na.jpg\tone\n \t\r\n a.jpg \t two\t2 \r\n/far/b.jpg\tthree\na.jpg\tfour", SAMPLES_TABLE);

	expect(samples, 1, "/a.jpg", 2, (const char *[]){"one", "two\t2"}, (size_t[]){2, 4});
	expect(samples, 2, "/b.jpg", 1, (const char *[]){"three"}, (size_t[]){5});
	expect(samples, 3, "/a.jpg", 1, (const char *[]){"four"}, (size_t[]){6});
	assert_int_equal(samples_next(samples, &sample, &err), STATUS_NOT_FOUND);
	assert_int_equal(samples_skipped(samples), 0);
	samples_close(samples);
}

static void paths_are_relative_to_the_tables_folder(void **state)
{
	struct sample sample;
	(void)state;
	struct samples *samples = open_table("in/a.jpg\tone\n/far/b.jpg\ttwo\n", SAMPLES_TABLE);

	assert_ok(samples_next(samples, &sample, &err), &err);
	assert_int_equal(sample.key[0], '/');
	assert_string_equal(sample.key + strlen(sample.key) - strlen("/in/a.jpg"), "/in/a.jpg");
	assert_ok(samples_next(samples, &sample, &err), &err);
	assert_string_equal(sample.key, "/far/b.jpg");
	samples_close(samples);
}

static void a_line_that_is_none_is_named(void **state)
{
	static const char *const bad[] = {"a.jpg\tone\n\nb.jpg\n", "a.jpg\tone\n\n\ttwo\n"};
	struct sample sample;
	(void)state;

	for (size_t i = 0; i < 2; i++) {
		struct samples *samples = open_table(bad[i], SAMPLES_TABLE);
		enum status status = samples_next(samples, &sample, &err);
		if (status == STATUS_OK)
			status = samples_next(samples, &sample, &err);
		assert_int_equal(status, STATUS_FORMAT);
		assert_non_null(strstr(err.text, "line 3"));
		samples_close(samples);
	}
	struct samples *bare = open_table("a.jpg\nb.jpg\tone\n\ttwo\n", SAMPLES_BARE_TABLE);
	expect(bare, 1, "/a.jpg", 0, NULL, NULL);
	expect(bare, 2, "/b.jpg", 1, (const char *[]){"one"}, (size_t[]){2});
	assert_int_equal(samples_next(bare, &sample, &err), STATUS_FORMAT);
	assert_non_null(strstr(err.text, "line 3"));
	samples_close(bare);
	assert_int_equal(samples_open("no/such/table", SAMPLES_TABLE, &bare, &err), STATUS_NOT_FOUND);
	assert_null(bare);
}

static void every_tenth_sample_is_held_out_counted_from_one(void **state)
{
	size_t held = 0;
	(void)state;

	for (size_t number = 1; number <= 30; number++) {
		held += samples_hold_out(number, 10);
		assert_false(samples_hold_out(number, 0));
		assert_true(samples_hold_out(number, 1));
	}
	assert_int_equal(held, 3);
	assert_false(samples_hold_out(1, 10));
	assert_false(samples_hold_out(9, 10));
	assert_true(samples_hold_out(10, 10));
}

TEST_MAIN(cmocka_unit_test(lines_of_one_path_that_follow_each_other_are_one_sample), cmocka_unit_test(paths_are_relative_to_the_tables_folder),
	  cmocka_unit_test(a_line_that_is_none_is_named), cmocka_unit_test(every_tenth_sample_is_held_out_counted_from_one))
