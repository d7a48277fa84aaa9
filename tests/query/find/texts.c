/* Lines of text files: how they are read, which photograph they name, and that adding them again costs nothing. */
#include "tests/query/drawn.h"

#include "query/find/texts.h"
#include "schema/catalog/texts.h"

#include "schema/base/banned.h"

static void assert_line(const char *line, bool tsv, const char *key, const char *text, const char *reason)
{
	struct texts_line parsed;
	const char *why;

	assert_true(texts_parse(line, strlen(line), tsv, &parsed, &why));
	if (reason) {
		assert_string_equal(why, reason);
		return;
	}
	assert_null(why);
	assert_int_equal(parsed.text_size, strlen(text));
	assert_memory_equal(parsed.text, text, parsed.text_size);
	if (!key) {
		assert_null(parsed.key);
		return;
	}
	assert_int_equal(parsed.key_size, strlen(key));
	assert_memory_equal(parsed.key, key, parsed.key_size);
}

static void lines_are_read(void **state)
{
	(void)state;
	struct texts_line parsed;
	const char *why;

	assert_line("a dog", false, NULL, "a dog", NULL);
	assert_line(" \ta dog\t b \r", false, NULL, "a dog\t b", NULL);
	assert_line("a.jpg\ta dog\r", true, "a.jpg", "a dog", NULL);
	assert_line(" a b.jpg\t a\tdog ", true, " a b.jpg", "a\tdog", NULL);
	assert_line("a dog", true, NULL, NULL, "it has no TAB");
	assert_line("\ta dog", true, NULL, NULL, "it names no photo");
	assert_line("a.jpg\t \r", true, NULL, NULL, "it has no text");
	assert_false(texts_parse("", 0, true, &parsed, &why));
	assert_false(texts_parse(" \t\r", 3, true, &parsed, &why));
	assert_true(texts_parse("a\0b", 3, false, &parsed, &why));
	assert_string_equal(why, "it holds a NUL byte");
}

static void collection_is_the_name_of_the_file(void **state)
{
	(void)state;
	static const char *const names[][2] = {{"a/captions.tsv", "captions"}, {"captions", "captions"}, {"a/b.c.txt", "b.c"}, {"-", "notes"},
					       {"a/.txt", "notes"}};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char *name = texts_collection(names[i][0]);
		assert_string_equal(name, names[i][1]);
		free(name);
	}
}

static struct texts_report add(struct drawn *d, const char *folder, const char *name, const char *bytes)
{
	struct texts_report report;
	const char *path = test_path(folder, name);

	test_write(path, bytes, strlen(bytes));
	assert_ok(texts_add(&d->library, path, "c", &report, &err), &err);
	return report;
}

static void photo_is_named_by_path_number_or_hash(void **state)
{
	(void)state;
	struct drawn *d = drawn_new(3, 2);
	struct buffer file = {0};
	struct file_map map;
	XXH128_canonical_t hash;
	struct text_key *keys;
	const char *elsewhere = test_folder();
	size_t n;

	assert_ok(file_map_open(d->paths[1], &map, &err), &err);
	XXH128_canonicalFromHash(&hash, XXH3_128bits(map.data, map.size));
	file_map_close(&map);
	buffer_format(&file, "path\tcaption\n%s\tabsolute\n000001.jpg\tbelow a root\n%lld\tby number\n", d->paths[0], (long long)d->contents[1]);
	for (size_t i = 0; i < sizeof hash.digest; i++)
		buffer_format(&file, "%02X", hash.digest[i]);
	buffer_format(&file, "\tby hash\n000002.jpg\tnot indexed\n99\tno such number\n\nno tab");
	struct texts_report report = add(d, elsewhere, "a.tsv", file.data);
	assert_int_equal(report.added, 4);
	assert_int_equal(report.unknown, 2);
	assert_int_equal(report.malformed, 1);
	assert_string_equal(report.lines.data, "line 6: the catalog does not hold '000002.jpg'\n"
					       "line 7: the catalog does not hold '99'\nline 9: it has no TAB\n");
	texts_report_release(&report);
	assert_ok(catalog_text_keys(d->library.catalog, NULL, &keys, &n, &err), &err);
	assert_int_equal(n, 4);
	assert_int_equal(keys[0].content, d->contents[0]);
	for (size_t i = 1; i < 4; i++)
		assert_int_equal(keys[i].content, d->contents[1]);
	free(keys);
	report = add(d, d->folder, "b.TSV", "./000000.jpg\tbeside the file"); /* no line feed at the end */
	assert_int_equal(report.added, 1);
	texts_report_release(&report);
	buffer_release(&file);
	library_close(&d->library);
}

static void same_text_again_costs_nothing(void **state)
{
	(void)state;
	struct drawn *d = drawn_new(1, 1);
	const char *folder = test_folder();
	size_t n;
	int64_t before, after;
	struct texts_report report = add(d, folder, "a.txt", "\xef\xbb\xbf" "a dog\na cat\n\na dog\n");

	assert_int_equal(report.added, 2);
	assert_int_equal(report.known, 1);
	texts_report_release(&report);
	assert_ok(texts_embed(&d->listener, &d->library.engine, d->library.catalog, &d->library.row, &n, &err), &err);
	assert_int_equal(n, 2);
	assert_ok(catalog_text_generation(d->library.catalog, d->library.row.id, &before, &err), &err);
	report = add(d, folder, "b.txt", "a dog\na cat");
	assert_int_equal(report.added, 0);
	texts_report_release(&report);
	assert_ok(texts_embed(&d->listener, &d->library.engine, d->library.catalog, &d->library.row, &n, &err), &err);
	assert_int_equal(n, 0);
	assert_ok(catalog_text_generation(d->library.catalog, d->library.row.id, &after, &err), &err);
	assert_int_equal(before, after);
	library_close(&d->library);
}

/* In batches, as each alone. */
static void embeddings_are_those_of_each_text_alone(void **state)
{
	(void)state;
	struct drawn *d = drawn_new(0, 0);
	size_t E = d->library.engine.embed, n;
	float *stored = mem_floats(E), *alone = mem_floats(E);
	bool found, cut;

	for (int i = 0; i < 150; i++) {
		char text[32];
		snprintf(text, sizeof text, "%d red circles", i);
		assert_int_equal(drawn_text(d, 0, text), i + 1);
	}
	assert_ok(texts_embed(&d->listener, &d->library.engine, d->library.catalog, &d->library.row, &n, &err), &err);
	assert_int_equal(n, 150);
	for (int i = 0; i < 150; i += 37) {
		char text[32];
		int size = snprintf(text, sizeof text, "%d red circles", i);
		assert_ok(catalog_text_embedding_get(d->library.catalog, i + 1, d->library.row.id, stored, E, &found, &err), &err);
		assert_true(found);
		assert_ok(engine_embed_text(&d->library.engine, text, (size_t)size, alone, &cut, &err), &err);
		assert_true(test_close("embedding", stored, alone, E, 1e-3f));
	}
	free(stored);
	free(alone);
	library_close(&d->library);
}

static void interrupted_embedding_goes_on_later(void **state)
{
	(void)state;
	struct drawn *d = drawn_new(0, 0);
	size_t n, left;

	for (int i = 0; i < 100; i++) {
		char text[32];
		snprintf(text, sizeof text, "text %d", i);
		drawn_text(d, 0, text);
	}
	d->interrupted = 1;
	assert_int_equal(texts_embed(&d->listener, &d->library.engine, d->library.catalog, &d->library.row, &n, &err), STATUS_INTERRUPTED);
	d->interrupted = 0;
	assert_ok(catalog_texts_unembedded_count(d->library.catalog, d->library.row.id, &left, &err), &err);
	assert_true(n > 0 && left == 100 - n);
	assert_ok(texts_embed(&d->listener, &d->library.engine, d->library.catalog, &d->library.row, &n, &err), &err);
	assert_int_equal(n, left);
	library_close(&d->library);
}

TEST_MAIN(cmocka_unit_test(lines_are_read), cmocka_unit_test(collection_is_the_name_of_the_file),
	  cmocka_unit_test(same_text_again_costs_nothing), cmocka_unit_test(photo_is_named_by_path_number_or_hash),
	  cmocka_unit_test(interrupted_embedding_goes_on_later), cmocka_unit_test(embeddings_are_those_of_each_text_alone))
