/* tokenizer.c: the ids are those of CLIP's tokenizer, whichever file holds the merges, and no file or text breaks it. */
#include "tests/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cJSON.h>
#include <zlib.h>

#include "model/words/entities.h"
#include "model/words/tokenizer.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

#define MERGES "model/default/merges.txt"
enum { V = 4096, START = 4094, END = 4095, CONTEXT = 76 };

static struct tokenizer *open_or_fail(const char *path, size_t vocab_size)
{
	struct tokenizer *t;
	struct err err;

	assert_ok(tokenizer_open(path, vocab_size, &t, &err), &err);
	return t;
}

/* Opens a file of these bytes; the status and the message. */
static enum status open_bytes(const void *bytes, size_t size, size_t vocab_size, struct tokenizer **t, struct err *err)
{
	const char *path = test_path(test_folder(), "merges");

	test_write(path, bytes, size);
	return tokenizer_open(path, vocab_size, t, err);
}

static void assert_refused(const char *text, size_t vocab_size, const char *why)
{
	struct tokenizer *t;
	struct err err = {0};
	enum status status = open_bytes(text, strlen(text), vocab_size, &t, &err);

	assert_int_not_equal(status, STATUS_OK);
	assert_null(t);
	if (!strstr(err.text, why))
		fail_msg("'%s' does not say '%s'", err.text, why);
}

static char *slurp(const char *path, size_t *size)
{
	uint8_t *bytes;
	struct err err;

	assert_ok(file_read(path, (size_t)1 << 24, &bytes, size, &err), &err);
	return (char *)bytes;
}

static cJSON *read_cases(const char *path)
{
	size_t size;
	char *text = slurp(path, &size);
	cJSON *json = cJSON_ParseWithLength(text, size);

	assert_non_null(json);
	free(text);
	return json;
}

static void case_text(const cJSON *item, struct buffer *text)
{
	const char *plain = cJSON_GetStringValue(cJSON_GetObjectItem(item, "text"));
	const char *hex = cJSON_GetStringValue(cJSON_GetObjectItem(item, "hex"));

	text->size = 0;
	if (plain)
		buffer_text(text, plain);
	for (; hex && *hex; hex += 2) {
		char pair[3] = {hex[0], hex[1], 0}, byte = (char)strtoul(pair, NULL, 16);
		buffer_append(text, &byte, 1);
	}
}

static void assert_ids(const char *what, const int32_t *ids, size_t n, const cJSON *expected)
{
	size_t m = (size_t)cJSON_GetArraySize(expected), i = 0;
	const cJSON *item;

	cJSON_ArrayForEach(item, expected) {
		if (i >= n || ids[i] != item->valueint)
			fail_msg("'%s': id %zu is %d, not %d", what, i, i < n ? ids[i] : -1, item->valueint);
		i++;
	}
	if (n != m)
		fail_msg("'%s': %zu ids, not %zu", what, n, m);
}

/* Every case: all ids, and cut to the context. */
static void check_cases(const struct tokenizer *t, const char *path)
{
	cJSON *json = read_cases(path);
	const cJSON *item;
	struct buffer text = {0};
	struct err err;
	size_t count = 0;

	cJSON_ArrayForEach(item, cJSON_GetObjectItem(json, "cases")) {
		const cJSON *expected = cJSON_GetObjectItem(item, "ids"), *padded = cJSON_GetObjectItem(item, "padded76");
		int32_t *all, cut[CONTEXT] = {0};
		size_t n, wanted = (size_t)cJSON_GetArraySize(expected);
		case_text(item, &text);
		assert_ok(tokenizer_encode_all(t, text.data, text.size, &all, &n, &err), &err);
		assert_ids(text.data, all, n, expected);
		n = tokenizer_encode(t, text.data, text.size, cut, CONTEXT);
		assert_int_equal(n, wanted + 2 < CONTEXT ? wanted + 2 : CONTEXT);
		assert_int_equal(cut[0], tokenizer_start(t));
		assert_int_equal(cut[n - 1], tokenizer_end(t));
		if (n > 2)
			assert_memory_equal(cut + 1, all, (n - 2) * sizeof *cut);
		if (padded)
			assert_ids(text.data, cut, CONTEXT, padded);
		free(all);
		count++;
	}
	assert_true(count >= 40);
	buffer_release(&text);
	cJSON_Delete(json);
}

static void texts_get_the_ids_of_the_twin(void **state)
{
	(void)state;
	struct tokenizer *t = open_or_fail(MERGES, 0);

	assert_int_equal(tokenizer_vocab_size(t), V);
	assert_int_equal(tokenizer_start(t), START);
	assert_int_equal(tokenizer_end(t), END);
	check_cases(t, "tests/data/tokenizer/cases.json");
	tokenizer_close(t);
}

static void texts_get_the_ids_of_the_reference(void **state)
{
	(void)state;
	const char *list = test_shared("reference/bpe_simple_vocab_16e6.txt.gz"), *cases = test_shared("reference/tokenizer-cases.json");

	if (!list || !cases)
		skip();
	struct tokenizer *t = open_or_fail(list, 0);
	assert_int_equal(tokenizer_vocab_size(t), 49408);
	check_cases(t, cases);
	tokenizer_close(t);
}

static void ids_become_text_again(void **state)
{
	(void)state;
	static const struct {
		const char *text, *back;
	} cases[] = {
		{"Two  dogs, running!", "two dogs , running !"},
		{"", ""},
		{"caf\xc3\xa9 \xe6\xbc\xa2\xe5\xad\x97", "caf\xc3\xa9 \xe6\xbc\xa2\xe5\xad\x97"},
	};
	struct tokenizer *t = open_or_fail(MERGES, V);

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int32_t ids[CONTEXT] = {0};
		tokenizer_encode(t, cases[i].text, strlen(cases[i].text), ids, CONTEXT);
		char *back = tokenizer_decode(t, ids, CONTEXT); /* with its padding */
		assert_string_equal(back, cases[i].back);
		free(back);
	}
	/* A lone byte of a longer character, and ids that no symbol has. */
	int32_t ids[] = {START, 0, 0xc3 - 0xae + 94 + 12, V, -1, END, 5};
	char *back = tokenizer_decode(t, ids, 7);
	assert_string_equal(back, "!\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	free(back);
	tokenizer_close(t);
}

static void a_text_that_is_too_long_keeps_its_end(void **state)
{
	(void)state;
	struct tokenizer *t = open_or_fail(MERGES, V);
	int32_t ids[5] = {-7, -7, -7, -7, -7};

	assert_int_equal(tokenizer_encode(t, "a b c d e", 9, ids, 4), 4);
	assert_int_equal(ids[0], START);
	assert_int_equal(ids[3], END);
	assert_int_equal(ids[4], -7);
	assert_int_equal(tokenizer_encode(t, "a b c d e", 9, ids, 2), 2);
	assert_int_equal(ids[1], END);
	tokenizer_close(t);
}

static void references_are_replaced_once(void **state)
{
	(void)state;
	static const struct {
		const char *text, *plain;
	} cases[] = {
		{"&amp;lt;", "&lt;"}, {"a&b", "a&b"}, {"&", "&"}, {"&#", "&#"}, {"&#x", "&#x"},
		{"&notin;&notinx", "\xe2\x88\x89\xc2\xacinx"},
		{"&eacute", "\xc3\xa9"}, {"&Eacute;", "\xc3\x89"}, {"&zwnj;", "\xe2\x80\x8c"},
		{"&CounterClockwiseContourIntegral;", "\xe2\x88\xb3"},
		{"&#x80;", "\xe2\x82\xac"}, {"&#x1F436", "\xf0\x9f\x90\xb6"}, {"&#xFFFE;", ""}, {"&#4294967361;", "\xef\xbf\xbd"},
		{"&aacut&aacute", "&aacut\xc3\xa1"}, {"&A", "&A"},
	};
	struct buffer plain = {0};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		plain.size = 0;
		entities_unescape(cases[i].text, strlen(cases[i].text), &plain);
		buffer_append(&plain, "", 0);
		assert_string_equal(plain.data, cases[i].plain);
	}
	buffer_release(&plain);
}

/* One merge of the list as JSON strings: "a b" or "a","b". */
static void json_merge(struct buffer *json, const char *line, size_t size, bool pairs)
{
	for (size_t i = 0; i < size; i++) {
		if (line[i] == '"' || line[i] == '\\')
			buffer_text(json, "\\");
		if (line[i] == ' ' && pairs)
			buffer_text(json, "\",\"");
		else
			buffer_append(json, line + i, 1);
	}
}

/* A tokenizer.json of the starter's merges, its ids turned round: what has id i in the list has V-1-i. */
static void make_json(struct buffer *json, bool pairs, const char *type)
{
	size_t size, id = 0;
	char *list = slurp(MERGES, &size);

	buffer_format(json, "{\"added_tokens\":[{\"id\":%d,\"content\":\"<|startoftext|>\"},{\"id\":%d,\"content\":\"<|endoftext|>\"}],"
		      "\"model\":{%s\"end_of_word_suffix\":\"</w>\",\"continuing_subword_prefix\":\"\",\"vocab\":{",
		      V - 1 - START, V - 1 - END, type);
	for (int end = 0; end < 2; end++)
		for (int printed = 1; printed >= 0; printed--)
			for (int b = 0, other = 0x100; b < 256; b++) {
				bool prints = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
				int code = prints ? b : other++;
				if (prints != printed)
					continue;
				buffer_format(json, "\"\\u%04x%s\":%zu,", code, end ? "</w>" : "", V - 1 - id++);
			}
	char *from = strchr(list, '\n') + 1;
	for (char *line = from, *end; (end = strchr(line, '\n')); line = end + 1) {
		const char *blank = memchr(line, ' ', (size_t)(end - line));
		buffer_text(json, "\"");
		json_merge(json, line, (size_t)(blank - line), false);
		json_merge(json, blank + 1, (size_t)(end - blank - 1), false);
		buffer_format(json, "\":%zu,", V - 1 - id++);
	}
	assert_int_equal(id, V - 2);
	buffer_format(json, "\"<|startoftext|>\":%d,\"<|endoftext|>\":%d},\"merges\":[", V - 1 - START, V - 1 - END);
	for (char *line = from, *end; (end = strchr(line, '\n')); line = end + 1) {
		buffer_text(json, line == from ? "" : ",");
		buffer_text(json, pairs ? "[\"" : "\"");
		json_merge(json, line, (size_t)(end - line), pairs);
		buffer_text(json, pairs ? "\"]" : "\"");
	}
	buffer_text(json, "]}}");
	free(list);
}

static void a_tokenizer_json_says_which_ids_symbols_have(void **state)
{
	(void)state;
	static const char text[] = "A dog\xe2\x80\x99s caf\xc3\xa9 & two \"quoted\\\" "
		"na\xc3\xafve skateboarders, <end_of_text> 42 \xf0\x9f\x90\xb6";
	struct tokenizer *list = open_or_fail(MERGES, V), *t;
	int32_t expected[CONTEXT], ids[CONTEXT];
	size_t n = tokenizer_encode(list, text, strlen(text), expected, CONTEXT);
	struct err err;

	assert_true(n > 20);
	for (int pairs = 0; pairs < 2; pairs++) {
		struct buffer json = {0};
		make_json(&json, pairs, pairs ? "\"type\":\"BPE\"," : "");
		assert_ok(open_bytes(json.data, json.size, V, &t, &err), &err);
		assert_int_equal(tokenizer_start(t), V - 1 - START);
		assert_int_equal(tokenizer_encode(t, text, strlen(text), ids, CONTEXT), n);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(ids[i], V - 1 - expected[i]);
		tokenizer_close(t);
		assert_int_equal(open_bytes(json.data, json.size, V + 1, &t, &err), STATUS_FORMAT);
		assert_non_null(strstr(err.text, "4096"));
		assert_non_null(strstr(err.text, "4097"));
		buffer_release(&json);
	}
	tokenizer_close(list);
}

static void a_tokenizer_json_that_is_not_clips_is_refused(void **state)
{
	(void)state;
	struct buffer json = {0};

	make_json(&json, false, "\"type\":\"WordPiece\",");
	assert_refused(json.data, 0, "WordPiece");
	buffer_release(&json);
	make_json(&json, false, "\"ignore_merges\":true,");
	assert_refused(json.data, 0, "ignore_merges");
	buffer_release(&json);
	assert_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}", 0, "'</w>'");
	assert_refused("{\"model\":{\"end_of_word_suffix\":\"</w>\",\"vocab\":{\"a\":0},\"merges\":[]}}", 0, "no start and end");
	assert_refused("{\"model\":{\"end_of_word_suffix\":\"</w>\",\"vocab\":{\"a\":16000000},\"merges\":[]}}", 0, "gaps");
	assert_refused("{\"model\":{\"end_of_word_suffix\":\"</w>\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}", 0, "another symbol");
	assert_refused("{\"model\":{\"end_of_word_suffix\":\"</w>\",\"vocab\":{\"a b\":0},\"merges\":[]}}", 0, "'a b'");
	assert_refused("{\"model\":{\"end_of_word_suffix\":\"</w>\",\"vocab\":{\"<|startoftext|>\":0,\"<|endoftext|>\":1},"
		       "\"merges\":[]}}", 0, "single bytes");
	assert_refused("{\"model\":", 0, "not valid JSON");
	assert_refused("{}", 0, "\"model\"");
}

static void compressed_merges_are_the_same(void **state)
{
	(void)state;
	size_t size;
	char *list = slurp(MERGES, &size);
	const char *folder = test_folder(), *path = test_path(folder, "bpe_simple_vocab_16e6.txt.gz");
	struct err err;

	/* two gzip members, cut inside a line; opened by the folder's name */
	gzFile f = gzopen(path, "wb");
	assert_int_equal(gzwrite(f, list, 10001), 10001);
	assert_int_equal(gzclose(f), Z_OK);
	f = gzopen(path, "ab");
	assert_int_equal(gzwrite(f, list + 10001, (unsigned)size - 10001), size - 10001);
	assert_int_equal(gzclose(f), Z_OK);
	struct tokenizer *t = open_or_fail(folder, V);
	check_cases(t, "tests/data/tokenizer/cases.json");
	tokenizer_close(t);
	free(list);

	char *bytes = slurp(path, &size);
	assert_int_equal(open_bytes(bytes, size - 9, V, &t, &err), STATUS_FORMAT);
	bytes[size / 4] ^= 0x10;
	assert_int_equal(open_bytes(bytes, size, V, &t, &err), STATUS_FORMAT);
	free(bytes);
}

static void a_long_list_is_cut_and_a_short_one_refused(void **state)
{
	(void)state;
	struct tokenizer *t = open_or_fail(MERGES, 1000), *none;
	struct err err;
	int32_t ids[3];

	assert_int_equal(tokenizer_vocab_size(t), 1000);
	assert_int_equal(tokenizer_end(t), 999);
	assert_int_equal(tokenizer_encode(t, "of", 2, ids, 3), 3);
	assert_int_equal(ids[1], 512);
	tokenizer_close(t);
	assert_int_equal(tokenizer_open(MERGES, 49408, &none, &err), STATUS_FORMAT);
	assert_non_null(strstr(err.text, "4096"));
	assert_non_null(strstr(err.text, "49408"));
	assert_int_equal(tokenizer_open(MERGES, 100, &none, &err), STATUS_FORMAT);
	assert_int_equal(tokenizer_open(test_folder(), 0, &none, &err), STATUS_NOT_FOUND);
	assert_int_equal(tokenizer_open(test_path(test_folder(), "none"), 0, &none, &err), STATUS_NOT_FOUND);
}

static void lists_that_join_nothing_are_refused(void **state)
{
	(void)state;
	assert_refused("", 0, "#version");
	assert_refused("o f\nh o\n", 0, "#version");
	assert_refused("#version: 0.2\no f</w>\nab c\n", 0, "line 3");
	assert_refused("#version: 0.2\no\n", 0, "line 2");
	assert_refused("#version: 0.2\n\no f\n", 0, "line 2");
	assert_refused("#version: 0.2\no f x\n", 0, "line 2");
	assert_refused("#version: 0.2\no</w> f\n", 0, "line 2");
	assert_refused("#version: 0.2\n\xff\xfe f\n", 0, "line 2");
}

static void flipped_bytes_never_crash(void **state)
{
	(void)state;
	struct buffer json = {0};
	uint64_t seed = 1;
	size_t list_size, refused = 0;
	char *list = slurp(MERGES, &list_size);
	const char *path = test_path(test_folder(), "flipped");

	make_json(&json, true, "");
	for (int i = 0; i < 60; i++) {
		bool is_json = i % 2;
		size_t size = is_json ? json.size : list_size;
		char *bytes = mem_copy(is_json ? json.data : list, size);
		for (uint64_t flips = test_random(&seed) % 4; flips < 4; flips++)
			bytes[test_random(&seed) % size] ^= (char)(1 << test_random(&seed) % 8);
		if (i % 5 == 0)
			size = test_random(&seed) % size;
		struct tokenizer *t;
		int32_t ids[CONTEXT];
		test_write(path, bytes, size);
		if (tokenizer_open(path, V, &t, NULL) == STATUS_OK)
			assert_true(tokenizer_encode(t, list, 3000, ids, CONTEXT) >= 2);
		else
			refused++;
		tokenizer_close(t);
		free(bytes);
	}
	assert_true(refused >= 12); /* at least those that were cut */
	buffer_release(&json);
	free(list);
}

static void a_huge_word_takes_no_quadratic_time(void **state)
{
	(void)state;
	struct tokenizer *t = open_or_fail(MERGES, V);
	size_t size = 1 << 20, n;
	char *text = malloc(size);
	uint64_t seed = 3;
	int32_t *ids;
	struct err err;

	assert_non_null(text);
	for (size_t i = 0; i < size; i++)
		text[i] = (char)('a' + test_random(&seed) % 26);
	assert_ok(tokenizer_encode_all(t, text, size, &ids, &n, &err), &err);
	char *back = tokenizer_decode(t, ids, n);
	assert_int_equal(strlen(back), size);
	assert_memory_equal(back, text, size);
	free(back);
	free(ids);
	free(text);
	tokenizer_close(t);
}

TEST_MAIN(
	cmocka_unit_test(references_are_replaced_once),
	cmocka_unit_test(lists_that_join_nothing_are_refused),
	cmocka_unit_test(texts_get_the_ids_of_the_twin),
	cmocka_unit_test(ids_become_text_again),
	cmocka_unit_test(a_text_that_is_too_long_keeps_its_end),
	cmocka_unit_test(a_tokenizer_json_says_which_ids_symbols_have),
	cmocka_unit_test(a_tokenizer_json_that_is_not_clips_is_refused),
	cmocka_unit_test(compressed_merges_are_the_same),
	cmocka_unit_test(a_long_list_is_cut_and_a_short_one_refused),
	cmocka_unit_test(flipped_bytes_never_crash),
	cmocka_unit_test(a_huge_word_takes_no_quadratic_time),
	cmocka_unit_test(texts_get_the_ids_of_the_reference))
