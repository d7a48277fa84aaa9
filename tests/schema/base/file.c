/* file.c: files are read whole or not at all, and replaced in one step. */
#include "tests/support.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/base/file.h"

#include "schema/base/banned.h"

static size_t files_in(const char *folder)
{
	DIR *dir = opendir(folder);
	size_t n = 0;

	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir));)
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

static void assert_content(const char *path, const char *expected)
{
	uint8_t *bytes;
	size_t size;
	struct err err;

	assert_ok(file_read(path, 1000, &bytes, &size, &err), &err);
	assert_int_equal(size, strlen(expected));
	assert_string_equal((char *)bytes, expected);
	free(bytes);
}

static void a_file_is_read_and_mapped(void **state)
{
	(void)state;
	const char *folder = test_folder(), *path = test_path(folder, "a"), *empty = test_path(folder, "b");
	struct file_map map;
	struct err err;

	test_write(path, "bytes", 5);
	test_write(empty, "", 0);
	assert_content(path, "bytes");
	assert_content(empty, "");
	assert_ok(file_map_open(path, &map, &err), &err);
	assert_int_equal(map.size, 5);
	assert_memory_equal(map.data, "bytes", 5);
	file_map_close(&map);
	assert_null(map.data);
	file_map_close(&map);
	assert_ok(file_map_open(empty, &map, &err), &err);
	assert_null(map.data);
	assert_int_equal(map.size, 0);
	file_map_close(&map);
}

static void what_is_no_regular_file_is_refused_at_once(void **state)
{
	(void)state;
	const char *folder = test_folder(), *fifo = test_path(folder, "fifo");
	struct file_map map;
	uint8_t *bytes;
	size_t size;
	struct err err;

	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(file_read(fifo, 10, &bytes, &size, &err), STATUS_IO);
	assert_null(bytes);
	assert_int_equal(file_map_open(fifo, &map, &err), STATUS_IO);
	assert_int_equal(file_map_open(folder, &map, &err), STATUS_IO);
	assert_int_equal(file_map_open(test_path(folder, "none"), &map, &err), STATUS_NOT_FOUND);
	assert_non_null(strstr(err.text, "none'"));
	assert_int_equal(file_map_open(test_path(fifo, "below"), &map, &err), STATUS_NOT_FOUND);
}

static void a_file_over_the_limit_is_refused(void **state)
{
	(void)state;
	const char *path = test_path(test_folder(), "a");
	uint8_t *bytes;
	size_t size;
	struct err err;

	test_write(path, "bytes", 5);
	assert_int_equal(file_read(path, 4, &bytes, &size, &err), STATUS_MEMORY);
	assert_null(bytes);
	assert_ok(file_read(path, 5, &bytes, &size, &err), &err);
	free(bytes);
}

static void a_text_has_no_nul_byte(void **state)
{
	(void)state;
	const char *path = test_path(test_folder(), "a");
	char *text;
	size_t size;
	struct err err;

	test_write(path, "a\0b", 3);
	assert_int_equal(file_read_text(path, 10, &text, &size, &err), STATUS_FORMAT);
	assert_null(text);
	test_write(path, "a\nb", 3);
	assert_int_equal(file_read_text(path, 2, &text, &size, &err), STATUS_MEMORY);
	assert_null(text);
	assert_ok(file_read_text(path, 3, &text, &size, &err), &err);
	assert_int_equal(size, 3);
	assert_string_equal(text, "a\nb");
	free(text);
}

static void a_writer_leaves_the_old_file_until_commit(void **state)
{
	(void)state;
	const char *folder = test_folder(), *path = test_path(folder, "a");
	struct file_writer w;
	struct err err;

	test_write(path, "old", 3);
	assert_ok(file_writer_open(path, &w, &err), &err);
	fputs("new", w.stream);
	fflush(w.stream);
	assert_content(path, "old");
	assert_int_equal(files_in(folder), 2);
	assert_ok(file_writer_commit(&w, &err), &err);
	assert_content(path, "new");
	assert_int_equal(files_in(folder), 1);
	file_writer_abort(&w); /* of a finished one: nothing */
	assert_content(path, "new");
}

static void an_aborted_writer_leaves_nothing(void **state)
{
	(void)state;
	const char *folder = test_folder(), *path = test_path(folder, "a");
	struct file_writer w;
	struct err err;

	test_write(path, "old", 3);
	assert_ok(file_writer_open(path, &w, &err), &err);
	fputs("new", w.stream);
	file_writer_abort(&w);
	assert_content(path, "old");
	assert_int_equal(files_in(folder), 1);
	assert_int_equal(file_writer_open(test_path(path, "below"), &w, &err), STATUS_IO);
	file_writer_abort(&w);
}

static void a_commit_that_fails_leaves_nothing(void **state)
{
	(void)state;
	const char *folder = test_folder(), *path = test_path(folder, "a");
	struct file_writer w;
	struct err err;

	assert_ok(file_writer_open(path, &w, &err), &err);
	assert_int_equal(mkdir(path, 0700), 0); /* in the way of the rename */
	assert_int_equal(file_writer_commit(&w, &err), STATUS_IO);
	assert_non_null(strstr(err.text, "cannot write"));
	assert_int_equal(files_in(folder), 1);
}

static void paths_are_joined(void **state)
{
	(void)state;
	static const char *const cases[][3] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"/", "b", "/b"}, {"", "b", "b"}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char *path = path_join(cases[i][0], cases[i][1]);
		assert_string_equal(path, cases[i][2]);
		free(path);
	}
}

static void folders_are_made_with_their_parents(void **state)
{
	(void)state;
	const char *folder = test_folder(), *deep = test_path(folder, "a//b/c/"), *file = test_path(folder, "file");
	struct stat st;
	struct err err;

	assert_ok(path_make_folder(deep, &err), &err);
	assert_int_equal(stat(deep, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_ok(path_make_folder(deep, &err), &err);
	test_write(file, "", 0);
	assert_int_equal(path_make_folder(test_path(file, "below"), &err), STATUS_IO);
}

TEST_MAIN(
	cmocka_unit_test(a_file_is_read_and_mapped),
	cmocka_unit_test(what_is_no_regular_file_is_refused_at_once),
	cmocka_unit_test(a_file_over_the_limit_is_refused),
	cmocka_unit_test(a_text_has_no_nul_byte),
	cmocka_unit_test(a_writer_leaves_the_old_file_until_commit),
	cmocka_unit_test(an_aborted_writer_leaves_nothing),
	cmocka_unit_test(a_commit_that_fails_leaves_nothing),
	cmocka_unit_test(paths_are_joined),
	cmocka_unit_test(folders_are_made_with_their_parents))
