/* shards.c: samples come out of tars as they were put in, and no archive breaks the reader. */
#include "tests/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "schema/base/shards.h"
#include "tests/scenes/shard_writer.h"

#include "schema/base/banned.h"

/* ---- archives made by hand ------------------------------------------------------------------------------------- */

enum { BLOCK = 512 };

static void seal(char *block)
{
	unsigned sum = 0;

	memset(block + 148, ' ', 8);
	for (int i = 0; i < BLOCK; i++)
		sum += (unsigned char)block[i];
	snprintf(block + 148, 8, "%06o", sum);
}

static void add_data(struct buffer *tar, const void *bytes, size_t size)
{
	static const char zeros[BLOCK];

	buffer_append(tar, bytes, size);
	buffer_append(tar, zeros, (BLOCK - size % BLOCK) % BLOCK);
}

/* A header alone. */
static char *add_header(struct buffer *tar, const char *name, char type, size_t size)
{
	char block[BLOCK] = {0};

	memcpy(block, name, strnlen(name, 100));
	snprintf(block + 100, 8, "%07o", 0644);
	snprintf(block + 124, 12, "%011o", (unsigned)size);
	block[156] = type;
	memcpy(block + 257, "ustar\0" "00", 8);
	seal(block);
	buffer_append(tar, block, BLOCK);
	return tar->data + tar->size - BLOCK;
}

static void add(struct buffer *tar, const char *name, char type, const char *bytes)
{
	add_header(tar, name, type, strlen(bytes));
	add_data(tar, bytes, strlen(bytes));
}

static void add_end(struct buffer *tar)
{
	static const char end[2 * BLOCK];
	buffer_append(tar, end, sizeof end);
}

/* What a shard yields, a line a sample: "key|image|caption/caption\n", then "(skipped)". */
static enum status list(const char *path, struct buffer *out, struct err *err)
{
	struct shard *shard;
	struct sample sample;
	enum status status = shard_open(path, &shard, err);

	if (status != STATUS_OK)
		return status;
	while ((status = shard_next(shard, &sample, err)) == STATUS_OK) {
		buffer_format(out, "%s|%.*s|", sample.key, (int)sample.image_size, (const char *)sample.image);
		for (size_t i = 0; i < sample.caption_count; i++)
			buffer_format(out, "%s%s", i ? "/" : "", sample.captions[i]);
		buffer_text(out, "\n");
	}
	buffer_format(out, "(%zu)", shard_skipped(shard));
	shard_close(shard);
	return status;
}

static enum status list_bytes(const void *bytes, size_t size, struct buffer *out, struct err *err)
{
	static const char *path;

	if (!path)
		path = test_path(test_folder(), "a.tar");
	test_write(path, bytes, size);
	return list(path, out, err);
}

static void assert_lists(struct buffer *tar, const char *expected)
{
	struct buffer out = {0};
	struct err err;
	enum status status = list_bytes(tar->data, tar->size, &out, &err);

	if (status != STATUS_NOT_FOUND)
		fail_msg("%s", err.text);
	assert_string_equal(out.data, expected);
	buffer_release(&out);
	buffer_release(tar);
}

static void assert_refused(struct buffer *tar, enum status expected, const char *why)
{
	struct buffer out = {0};
	struct err err = {0};

	assert_int_equal(list_bytes(tar->data ? tar->data : "", tar->size, &out, &err), expected);
	if (!strstr(err.text, why))
		fail_msg("'%s' does not say '%s'", err.text, why);
	buffer_release(&out);
	buffer_release(tar);
}

/* ---- samples ---------------------------------------------------------------------------------------------------- */

static void members_of_one_key_are_a_sample(void **state)
{
	(void)state;
	struct buffer tar = {0};

	add(&tar, "./d/", '5', "");
	add(&tar, "./d/1.jpg", '0', "J1");
	add(&tar, "./d/1.cls", '0', "7");
	add(&tar, "./d/1.TXT", '0', "one\nuno\n");
	add(&tar, "./d/1.png", '0', "second image");
	add(&tar, "e/1.txt", '\0', "text first");
	add(&tar, "e/1.JPEG", '7', "J2");
	add(&tar, "2.x.txt", '0', "not a txt: the extension is x.txt");
	add(&tar, "3.webp", '0', "W");
	add(&tar, "3.txt", '0', "three");
	add_end(&tar);
	assert_lists(&tar, "d/1|J1|one/uno\ne/1|J2|text first\n3|W|three\n(0)");
}

static void samples_that_lack_something_are_skipped_and_counted(void **state)
{
	(void)state;
	struct buffer tar = {0};

	add(&tar, "README.md", '0', "not a sample");
	add(&tar, "1.jpg", '0', "J");
	add(&tar, "2.txt", '0', "t");
	add(&tar, "3.jpg", '0', "J");
	add(&tar, "3.txt", '0', " \r\n\t\n");
	add(&tar, "4.jpg", '0', "");
	add(&tar, "4.txt", '0', "t");
	add(&tar, "._5.jpg", '0', "a Mac's");
	add(&tar, "._5.txt", '0', "a Mac's");
	add(&tar, "5.jpg", '0', "J5");
	add(&tar, "5.txt", '0', "five");
	add(&tar, "6.jpg", '2', "");
	add_end(&tar);
	assert_lists(&tar, "5|J5|five\n(4)");
}

static void captions_are_lines_without_white_space_at_the_ends(void **state)
{
	(void)state;
	struct buffer tar = {0};

	add(&tar, "1.jpg", '0', "J");
	add(&tar, "1.txt", '0', "\xef\xbb\xbf one \r\n\r\n\ttwo  words\t\n\n\xc3\xa9t\xc3\xa9 \xff\nlast");
	add_end(&tar);
	assert_lists(&tar, "1|J|one/two  words/\xc3\xa9t\xc3\xa9 \xff/last\n(0)");
}

static void the_same_member_again_begins_another_sample(void **state)
{
	(void)state;
	struct buffer tar = {0};

	add(&tar, "1.jpg", '0', "A");
	add(&tar, "1.txt", '0', "a");
	add(&tar, "1.jpg", '0', "B");
	add(&tar, "1.txt", '0', "b");
	add_end(&tar);
	assert_lists(&tar, "1|A|a\n1|B|b\n(0)");
}

static void an_empty_archive_has_no_samples(void **state)
{
	(void)state;
	struct buffer tar = {0};

	add_end(&tar);
	assert_lists(&tar, "(0)");
}

/* ---- formats ---------------------------------------------------------------------------------------------------- */

static void long_names_and_sizes_are_read_in_all_three_ways(void **state)
{
	(void)state;
	struct buffer tar = {0};
	char *block;

	/* ustar's prefix, and a size in base 256 */
	block = add_header(&tar, "1.jpg", '0', 0);
	memcpy(block + 345, "folder", 6);
	memcpy(block + 124, "\x80\0\0\0\0\0\0\0\0\0\0\x02", 12);
	seal(block);
	add_data(&tar, "J1", 2);
	block = add_header(&tar, "1.txt", '0', 3);
	memcpy(block + 345, "folder", 6);
	memcpy(block + 124, "         3 \0", 12); /* as old writers pad */
	seal(block);
	add_data(&tar, "one", 3);
	/* GNU, whose header has other things where the prefix would be */
	add_header(&tar, "././@LongLink", 'L', 14);
	add_data(&tar, "gnu/long2.jpg", 14);
	block = add_header(&tar, "gnu/lo", '0', 2);
	memcpy(block + 257, "ustar  ", 8);
	memcpy(block + 345, "12345670123", 11);
	seal(block);
	add_data(&tar, "J2", 2);
	add(&tar, "././@LongLink", 'K', "a link's target");
	add(&tar, "gnu/long2.txt", '0', "two");
	/* pax; a global header does not matter */
	add(&tar, "pax_global_header", 'g', "19 comment=nothing\n");
	add(&tar, "x", 'x', "21 path=pax/\xc3\xa9.3.jpg\n9 size=2\n30 mtime=1700000000.123456789\n");
	add_header(&tar, "cut", '0', 0);
	add_data(&tar, "J3", 2);
	add(&tar, "x", 'x', "18 path=pax/3.jpg\n");
	add(&tar, "cut", '0', "J3");
	add(&tar, "pax/3.txt", '0', "three");
	add_end(&tar);
	assert_lists(&tar, "folder/1|J1|one\ngnu/long2|J2|two\npax/3|J3|three\n(0)");
}

static void what_is_written_is_read_again(void **state)
{
	(void)state;
	static const char *const names[] = {"a.tar", "a.tar.gz"};
	const char *folder = test_folder();
	char name[300];
	size_t sizes[2];
	struct buffer expected = {0};
	struct err err;

	for (int i = 0; i < 2; i++) {
		struct shard_writer *writer;
		struct buffer out = {0};
		const char *path = test_path(folder, names[i]);
		expected.size = 0;
		assert_ok(shard_writer_open(path, &writer, &err), &err);
		for (int k = 0; k < 250; k += 7) { /* names around 100 bytes and far longer */
			char bytes[1030];
			size_t size = (size_t)(1 + k * 4);
			memset(bytes, 'A' + k % 26, sizeof bytes);
			memset(name, 'n', (size_t)k);
			snprintf(name + k, sizeof name - (size_t)k, "%04d.jpg", k);
			assert_ok(shard_writer_add(writer, name, bytes, size, &err), &err);
			snprintf(name + k, sizeof name - (size_t)k, "%04d.txt", k);
			assert_ok(shard_writer_add(writer, name, "a caption\n", 10, &err), &err);
			buffer_format(&expected, "%.*s|%.*s|a caption\n", k + 4, name, (int)size, bytes);
		}
		assert_ok(shard_writer_close(writer, &err), &err);
		buffer_text(&expected, "(0)");
		assert_int_equal(list(path, &out, &err), STATUS_NOT_FOUND);
		assert_string_equal(out.data, expected.data);
		buffer_release(&out);

		struct file_map map;
		assert_ok(file_map_open(path, &map, &err), &err);
		sizes[i] = map.size;
		assert_int_equal(map.data[0] == 0x1f, i);
		file_map_close(&map);
	}
	assert_true(sizes[1] < sizes[0] / 3);
	buffer_release(&expected);
}

static void an_existing_tool_reads_what_is_written(void **state)
{
	(void)state;
	const char *path = test_path(test_folder(), "a.tar.gz");
	struct shard_writer *writer;
	struct err err;
	char name[161], line[400], command[400];

	memset(name, 'n', 156);
	memcpy(name + 156, ".jpg", 5);
	assert_ok(shard_writer_open(path, &writer, &err), &err);
	assert_ok(shard_writer_add(writer, name, "J", 1, &err), &err);
	assert_ok(shard_writer_close(writer, &err), &err);
	snprintf(command, sizeof command, "tar tf '%s' 2>&1", path);
	FILE *tar = popen(command, "r");
	assert_non_null(tar);
	assert_non_null(fgets(line, sizeof line, tar));
	assert_int_equal(pclose(tar), 0);
	line[strcspn(line, "\n")] = '\0';
	assert_string_equal(line, name);
}

static void gzip_of_several_members_is_one_archive(void **state)
{
	(void)state;
	struct buffer tar = {0}, out = {0};
	const char *path = test_path(test_folder(), "compressed.tar"); /* by content, not by name */
	struct err err;

	add(&tar, "1.jpg", '0', "J");
	add(&tar, "1.txt", '0', "one");
	add_end(&tar);
	for (size_t at = 0, n = 700; at < tar.size; at += n) {
		gzFile f = gzopen(path, at ? "ab" : "wb");
		n = tar.size - at < n ? tar.size - at : n;
		assert_int_equal(gzwrite(f, tar.data + at, (unsigned)n), n);
		assert_int_equal(gzclose(f), Z_OK);
	}
	assert_int_equal(list(path, &out, &err), STATUS_NOT_FOUND);
	assert_string_equal(out.data, "1|J|one\n(0)");
	buffer_release(&tar);
	buffer_release(&out);
}

/* ---- damage ----------------------------------------------------------------------------------------------------- */

static void make_small(struct buffer *tar)
{
	add(tar, "1.jpg", '0', "J");
	add(tar, "1.txt", '0', "one");
	add(tar, "x", 'x', "14 path=2.jpg\n");
	add(tar, "cut", '0', "K");
	add(tar, "2.txt", '0', "two");
	add_end(tar);
}

static void an_archive_that_is_cut_off_anywhere_is_an_error(void **state)
{
	(void)state;
	struct buffer tar = {0}, out = {0};
	size_t n;
	uint8_t *gz;
	const char *path = test_path(test_folder(), "a.tar.gz");
	struct err err;

	make_small(&tar);
	for (size_t size = 0; size < tar.size - 2 * BLOCK; size += size % BLOCK ? 131 : 1) {
		out.size = 0;
		if (list_bytes(tar.data, size, &out, &err) != STATUS_FORMAT)
			fail_msg("cut to %zu bytes: %s", size, err.text);
	}
	gzFile f = gzopen(path, "wb");
	gzwrite(f, tar.data, (unsigned)tar.size);
	gzclose(f);
	assert_ok(file_read(path, 100000, &gz, &n, &err), &err);
	out.size = 0;
	assert_int_equal(list_bytes(gz, n, &out, &err), STATUS_NOT_FOUND);
	for (size_t size = 0; size < n; size++) {
		out.size = 0;
		if (list_bytes(gz, size, &out, &err) != STATUS_FORMAT)
			fail_msg("compressed, cut to %zu bytes: %s", size, err.text);
	}
	gz[n - 6] ^= 1; /* the checksum */
	assert_int_equal(list_bytes(gz, n, &out, &err), STATUS_FORMAT);
	free(gz);
	buffer_release(&tar);
	buffer_release(&out);
}

static void lying_headers_are_errors(void **state)
{
	(void)state;
	struct buffer tar = {0};
	char *block;

	buffer_text(&tar, "not a tar");
	assert_refused(&tar, STATUS_FORMAT, "inside a header");
	for (int i = 0; i < 100; i++)
		buffer_text(&tar, "not a tar ");
	assert_refused(&tar, STATUS_FORMAT, "not a tar archive");
	make_small(&tar);
	tar.data[2 * BLOCK + 3] ^= 1;
	assert_refused(&tar, STATUS_FORMAT, "checksum");
	block = add_header(&tar, "1.jpg", '0', 0);
	memcpy(block + 124, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf0", 12); /* negative */
	seal(block);
	assert_refused(&tar, STATUS_FORMAT, "impossible size");
	block = add_header(&tar, "1.jpg", '0', 0);
	memcpy(block + 124, "12x", 3);
	seal(block);
	assert_refused(&tar, STATUS_FORMAT, "impossible size");
	block = add_header(&tar, "1.jpg", '0', 0);
	memcpy(block + 124, "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12);
	seal(block);
	assert_refused(&tar, STATUS_MEMORY, "the limit is");
	add_header(&tar, "1.jpg", '0', (size_t)1 << 30); /* allowed, but not there */
	assert_refused(&tar, STATUS_FORMAT, "inside a member");
	add_header(&tar, "x", 'x', (size_t)1 << 30);
	assert_refused(&tar, STATUS_FORMAT, "too long");
	add_header(&tar, "1.jpg", 'S', 0);
	assert_refused(&tar, STATUS_UNSUPPORTED, "sparse");
}

static void malformed_pax_headers_are_errors(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"12 path=1.jpg\n", "15 path=1.jpg\n", "x", "14path=1.jpg\n", "99999999999999999999 path=1\n", "5 x\n\n",
		"10 size=x\n", "10 path=1",
		"32 size=99999999999999999999999\n", "0 =\n", "3 =\n",
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct buffer tar = {0}, out = {0};
		struct err err;
		add(&tar, "x", 'x', cases[i]);
		add(&tar, "1.jpg", '0', "J");
		add_end(&tar);
		if (list_bytes(tar.data, tar.size, &out, &err) != STATUS_FORMAT)
			fail_msg("'%s' is taken", cases[i]);
		buffer_release(&tar);
		buffer_release(&out);
	}
}

static void flipped_bytes_never_crash(void **state)
{
	(void)state;
	struct buffer tar = {0}, out = {0};
	uint64_t seed = 9;

	make_small(&tar);
	for (int i = 0; i < 1000; i++) {
		char *bytes = mem_copy(tar.data, tar.size);
		size_t header = test_random(&seed) % (tar.size / BLOCK - 2) * BLOCK;
		for (uint64_t flips = test_random(&seed) % 4; flips < 4; flips++)
			bytes[header + test_random(&seed) % BLOCK] = (char)test_random(&seed);
		if (i % 2) /* with a checksum that fits, so that what is behind it is reached */
			seal(bytes + header);
		out.size = 0;
		assert_int_not_equal(list_bytes(bytes, tar.size, &out, NULL), STATUS_OK);
		free(bytes);
	}
	buffer_release(&tar);
	buffer_release(&out);
}

static void what_cannot_be_opened_says_so(void **state)
{
	(void)state;
	const char *folder = test_folder();
	struct shard *shard;
	struct shard_writer *writer;
	struct err err;

	assert_int_equal(shard_open(test_path(folder, "none.tar"), &shard, &err), STATUS_NOT_FOUND);
	assert_null(shard);
	assert_int_equal(shard_open(folder, &shard, &err), STATUS_IO);
	assert_null(shard);
	assert_int_equal(shard_writer_open(test_path(folder, "no/folder.tar"), &writer, &err), STATUS_IO);
	assert_null(writer);
	shard_close(NULL);
}

static void a_published_shard_has_what_its_page_says(void **state)
{
	(void)state;
	const char *path = test_shared("data/photos/flickr8k_subset.tar.gz");
	struct shard *shard;
	struct sample sample;
	size_t photos = 0, captions = 0;
	struct err err;

	if (!path)
		skip();
	assert_ok(shard_open(path, &shard, &err), &err);
	while (shard_next(shard, &sample, &err) == STATUS_OK) {
		assert_memory_equal(sample.image, "\xff\xd8\xff", 3);
		photos++;
		captions += sample.caption_count;
	}
	assert_int_equal(err.status, STATUS_NOT_FOUND);
	assert_int_equal(photos, 887);
	assert_int_equal(captions, 4435);
	assert_int_equal(shard_skipped(shard), 0);
	shard_close(shard);
}

TEST_MAIN(
	cmocka_unit_test(members_of_one_key_are_a_sample),
	cmocka_unit_test(samples_that_lack_something_are_skipped_and_counted),
	cmocka_unit_test(captions_are_lines_without_white_space_at_the_ends),
	cmocka_unit_test(the_same_member_again_begins_another_sample),
	cmocka_unit_test(an_empty_archive_has_no_samples),
	cmocka_unit_test(long_names_and_sizes_are_read_in_all_three_ways),
	cmocka_unit_test(what_is_written_is_read_again),
	cmocka_unit_test(an_existing_tool_reads_what_is_written),
	cmocka_unit_test(gzip_of_several_members_is_one_archive),
	cmocka_unit_test(lying_headers_are_errors),
	cmocka_unit_test(malformed_pax_headers_are_errors),
	cmocka_unit_test(what_cannot_be_opened_says_so),
	cmocka_unit_test(an_archive_that_is_cut_off_anywhere_is_an_error),
	cmocka_unit_test(flipped_bytes_never_crash),
	cmocka_unit_test(a_published_shard_has_what_its_page_says))
