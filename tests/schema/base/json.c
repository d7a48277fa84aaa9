/* json.c: whatever bytes go in, JSON comes out, and the bytes can be had back from it. */
#include "tests/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cJSON.h>

#include "schema/base/json.h"
#include "schema/base/utf8.h"

#include "schema/base/banned.h"

static void assert_string(const char *bytes, size_t size, const char *expected)
{
	struct buffer b = {0};

	json_string(&b, bytes, size);
	assert_string_equal(b.data, expected);
	buffer_release(&b);
}

static void strings_are_escaped_as_json_requires(void **state)
{
	(void)state;
	assert_string("", 0, "\"\"");
	assert_string(NULL, 0, "\"\"");
	assert_string("a/b.jpg", 7, "\"a/b.jpg\"");
	assert_string("\"\\\b\f\n\r\t", 7, "\"\\\"\\\\\\b\\f\\n\\r\\t\"");
	assert_string("\0\x01\x1f\x7f", 4, "\"\\u0000\\u0001\\u001f\x7f\"");
	assert_string("\xc3\xa9\xe6\xbc\xa2\xf0\x9f\x90\xb6", 9, "\"\xc3\xa9\xe6\xbc\xa2\xf0\x9f\x90\xb6\"");
}

static void bytes_that_are_not_utf8_become_lone_surrogates(void **state)
{
	(void)state;
	assert_string("caf\xe9.jpg", 8, "\"caf\\udce9.jpg\"");
	assert_string("\xc0\xaf", 2, "\"\\udcc0\\udcaf\"");                         /* overlong */
	assert_string("\xe0\x80\xaf", 3, "\"\\udce0\\udc80\\udcaf\"");
	assert_string("\xf0\x8f\xbf\xbf", 4, "\"\\udcf0\\udc8f\\udcbf\\udcbf\"");
	assert_string("\xed\xa0\x80", 3, "\"\\udced\\udca0\\udc80\"");              /* a surrogate */
	assert_string("\xf4\x90\x80\x80", 4, "\"\\udcf4\\udc90\\udc80\\udc80\"");   /* above U+10FFFF */
	assert_string("\xf8\x88\x80\x80\x80", 5, "\"\\udcf8\\udc88\\udc80\\udc80\\udc80\"");
	assert_string("\x80" "a\xbf", 3, "\"\\udc80a\\udcbf\"");
	assert_string("\xe6\xbc", 2, "\"\\udce6\\udcbc\"");                         /* cut off */
	assert_string("\xe6\xbc\xe6\xbc\xa2", 5, "\"\\udce6\\udcbc\xe6\xbc\xa2\"");
	assert_string("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", 10, "\"\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf\"");
}

/* Undoes json_string as json.h documents it. */
static size_t unescape(const char *json, char *bytes)
{
	static const char shorts[] = "\"\"\\\\b\bf\fn\nr\rt\t";
	size_t n = 0;

	for (json++; *json != '"'; json++) {
		unsigned code;
		if (*json != '\\') {
			bytes[n++] = *json;
		} else if (*++json == 'u') {
			assert_int_equal(sscanf(json + 1, "%4x", &code), 1);
			json += 4;
			assert_true(code < 0x20 || (code >= 0xdc80 && code <= 0xdcff));
			bytes[n++] = (char)code;
		} else {
			const char *known = shorts;
			while (*known != *json)
				known += 2;
			bytes[n++] = known[1];
		}
	}
	assert_int_equal(json[1], '\0');
	return n;
}

static void any_bytes_come_back(void **state)
{
	(void)state;
	uint64_t seed = 7;
	char bytes[64], back[64];
	size_t n;

	for (int i = 0; i < 5000; i++) {
		struct buffer b = {0};
		size_t size = test_random(&seed) % sizeof bytes;
		for (size_t k = 0; k < size; k++)
			bytes[k] = (char)(test_random(&seed) >> (i % 2 ? 0 : 57)); /* all bytes, or ASCII */
		json_string(&b, bytes, size);
		for (size_t k = 0; k < b.size; k += n)
			assert_true(utf8_next(b.data + k, b.size - k, &n));
		assert_int_equal(unescape(b.data, back), size);
		assert_memory_equal(back, bytes, size);
		buffer_release(&b);
	}
}

static void assert_number(double value, const char *expected)
{
	struct buffer b = {0};

	json_number(&b, value);
	assert_string_equal(b.data, expected);
	buffer_release(&b);
}

static void numbers_have_the_fewest_digits(void **state)
{
	(void)state;
	assert_number(0, "0");
	assert_number(-3, "-3");
	assert_number(0.1f, "0.1");
	assert_number(0.1, "0.1");
	assert_number(1.0 / 3, "0.3333333333333333");
	assert_number((double)(1.0f / 3), "0.33333334");
	assert_number(2147483648.0, "2147483648");
	assert_number(1234567890123.0, "1234567890123");
	assert_number(-23.5, "-23.5");
	assert_number(1e-7f, "1e-07");
	assert_number((double)NAN, "null");
	assert_number(-(double)INFINITY, "null");
}

static void numbers_read_back_as_the_same(void **state)
{
	(void)state;
	uint64_t seed = 11;

	for (int i = 0; i < 5000; i++) {
		uint64_t bits = test_random(&seed);
		double value;
		struct buffer b = {0};
		memcpy(&value, &bits, sizeof value);
		if (i % 2)
			value = (double)test_uniform(&seed);
		if (!isfinite(value))
			continue;
		json_number(&b, value);
		cJSON *json = cJSON_ParseWithLength(b.data, b.size);
		assert_non_null(json);
		if (i % 2)
			assert_true(strtof(b.data, NULL) == (float)value && strlen(b.data) <= 15);
		else
			assert_true(json->valuedouble == value);
		cJSON_Delete(json);
		buffer_release(&b);
	}
}

TEST_MAIN(
	cmocka_unit_test(strings_are_escaped_as_json_requires),
	cmocka_unit_test(bytes_that_are_not_utf8_become_lone_surrogates),
	cmocka_unit_test(numbers_have_the_fewest_digits),
	cmocka_unit_test(numbers_read_back_as_the_same),
	cmocka_unit_test(any_bytes_come_back))
