/* memory.c: sizes that overflow are refused, buffers grow, messages stay one line. */
#include "tests/support.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"

#include "schema/base/banned.h"

static void a_product_that_overflows_cannot_be_allocated(void **state)
{
	(void)state;
	assert_int_equal(mem_product(6, 7), 42);
	assert_int_equal(mem_product(0, SIZE_MAX), 0);
	assert_true(mem_product(SIZE_MAX / 2, 3) == SIZE_MAX);
	assert_true(mem_product(mem_product((size_t)1 << 40, (size_t)1 << 40), 2) == SIZE_MAX);
	assert_null(mem_array(SIZE_MAX / 4, 8));
	assert_null(mem_floats(SIZE_MAX));
	assert_null(mem_floats(SIZE_MAX / sizeof(float)));
	assert_null(mem_copy("", SIZE_MAX));
	void *old = mem_array(1, 1);
	assert_null(mem_resize(old, SIZE_MAX, 2));
	free(old); /* still valid */
}

static void arrays_are_zeroed_and_floats_aligned(void **state)
{
	(void)state;
	char *bytes = mem_array(100, 3), *none = mem_array(0, 8);

	assert_non_null(none);
	for (int i = 0; i < 300; i++)
		assert_int_equal(bytes[i], 0);
	free(bytes);
	free(none);
	for (size_t n = 0; n < 40; n++) {
		float *x = mem_floats(n);
		assert_non_null(x);
		assert_int_equal((uintptr_t)x % 64, 0);
		for (size_t i = 0; i < n; i++)
			x[i] = 1;
		free(x);
	}
}

static void a_copy_ends_in_nul(void **state)
{
	(void)state;
	char *copy = mem_copy("a\0b", 3), *empty = mem_copy(NULL, 0);

	assert_memory_equal(copy, "a\0b", 4);
	assert_string_equal(empty, "");
	free(copy);
	free(empty);
}

static void a_buffer_grows_over_any_border(void **state)
{
	(void)state;
	char part[300];
	size_t wanted = 0;

	memset(part, 'x', sizeof part);
	for (size_t step = 1; step <= sizeof part; step++) {
		struct buffer b = {0};
		wanted = 0;
		while (wanted < 1200) {
			buffer_append(&b, part, step);
			wanted += step;
			assert_int_equal(b.size, wanted);
			assert_int_equal(b.data[b.size], '\0');
			assert_true(b.capacity > b.size);
		}
		assert_int_equal(strlen(b.data), wanted);
		buffer_release(&b);
	}
}

static void a_buffer_takes_text_and_formats(void **state)
{
	(void)state;
	struct buffer b = {0};
	char name[600];

	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	buffer_text(&b, "a");
	buffer_format(&b, "%d-%s", 7, name);
	buffer_append(&b, NULL, 0);
	assert_int_equal(b.size, 3 + strlen(name));
	assert_memory_equal(b.data, "a7-nnn", 6);
	buffer_release(&b);
	assert_null(b.data);
	buffer_append(&b, "", 0);
	assert_string_equal(b.data, ""); /* a string as soon as something was appended */
	buffer_release(&b);
}

static void a_buffer_that_failed_stays_as_it_was(void **state)
{
	(void)state;
	struct buffer b = {0};

	buffer_text(&b, "kept");
	buffer_append(&b, "x", SIZE_MAX - 100); /* refused before a byte is read */
	assert_true(b.failed);
	buffer_text(&b, " lost");
	assert_string_equal(b.data, "kept");
	buffer_release(&b);
	assert_false(b.failed);
}

static void a_message_is_one_line(void **state)
{
	(void)state;
	struct err err;

	assert_int_equal(err_set(&err, STATUS_IO, "cannot open '%s'", "a\nb\x1b[2J\x7f\xc3\xa9"), STATUS_IO);
	assert_int_equal(err.status, STATUS_IO);
	assert_string_equal(err.text, "cannot open 'a\\x0ab\\x1b[2J\\x7f\xc3\xa9'");
	assert_int_equal(err_prefix(&err, "in '%s'", "c\rd"), STATUS_IO);
	assert_string_equal(err.text, "in 'c\\x0dd': cannot open 'a\\x0ab\\x1b[2J\\x7f\xc3\xa9'");
	assert_int_equal(err_set(NULL, STATUS_FORMAT, "x"), STATUS_FORMAT);
	assert_int_equal(err_memory(&err, "activations"), STATUS_MEMORY);
	assert_non_null(strstr(err.text, "activations"));
}

static void a_message_that_is_too_long_is_cut(void **state)
{
	(void)state;
	static char name[3000];
	struct err err;

	for (int fill = 0; fill < 2; fill++) {
		memset(name, fill ? '\n' : 'n', sizeof name - 1);
		err_set(&err, STATUS_IO, "%s", name);
		assert_true(strlen(err.text) < sizeof err.text && strlen(err.text) > sizeof err.text - 16);
		for (int i = 0; i < 4; i++)
			err_prefix(&err, "%s", name);
		assert_true(strlen(err.text) < sizeof err.text);
		assert_int_equal(err.status, STATUS_IO);
	}
}

TEST_MAIN(
	cmocka_unit_test(a_product_that_overflows_cannot_be_allocated),
	cmocka_unit_test(arrays_are_zeroed_and_floats_aligned),
	cmocka_unit_test(a_copy_ends_in_nul),
	cmocka_unit_test(a_buffer_grows_over_any_border),
	cmocka_unit_test(a_buffer_takes_text_and_formats),
	cmocka_unit_test(a_buffer_that_failed_stays_as_it_was),
	cmocka_unit_test(a_message_is_one_line),
	cmocka_unit_test(a_message_that_is_too_long_is_cut))
