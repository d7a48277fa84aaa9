/* file.c: files are read whole or not at all, and replaced in one step. */
#include "tests/support.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

static void a_link_stays_and_what_it_leads_to_is_written(void **state)
{
	(void)state;
	const char *folder = test_folder(), *below = test_path(folder, "below"), *link = test_path(folder, "link");
	const char *target = test_path(folder, "below/a");
	struct file_writer w;
	struct stat st;
	struct err err;

	assert_int_equal(mkdir(below, 0700), 0);
	assert_int_equal(symlink("next", link), 0);
	assert_int_equal(symlink("below/a", test_path(folder, "next")), 0);
	for (int i = 0; i < 2; i++) { /* to nothing, and to a file */
		assert_ok(file_writer_open(link, &w, &err), &err);
		fputs(i ? "again" : "new", w.stream);
		assert_int_equal(access(target, F_OK), i - 1);
		assert_ok(file_writer_commit(&w, &err), &err);
		assert_content(target, i ? "again" : "new");
		assert_int_equal(lstat(link, &st), 0);
		assert_true(S_ISLNK(st.st_mode));
		assert_int_equal(files_in(below), 1);
		assert_int_equal(files_in(folder), 3);
	}
}

static void mode_and_owner_stay(void **state)
{
	(void)state;
	const char *path = test_path(test_folder(), "a");
	struct file_writer w;
	struct stat st;
	struct err err;

	test_write(path, "old", 3);
	assert_int_equal(chmod(path, 0600), 0);
	bool given = chown(path, 12345, 12346) == 0; /* root only */
	assert_ok(file_writer_open(path, &w, &err), &err);
	assert_ok(file_writer_commit(&w, &err), &err);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_uid, given ? 12345 : getuid());
	assert_int_equal(st.st_gid, given ? 12346 : getgid());
}

static void a_fifo_and_a_device_are_written_directly(void **state)
{
	(void)state;
	const char *folder = test_folder(), *fifo = test_path(folder, "fifo");
	struct file_writer w;
	struct stat st;
	struct err err;
	char got[8] = "", name[32];

	assert_int_equal(mkfifo(fifo, 0600), 0);
	int reader = open(fifo, O_RDONLY | O_NONBLOCK);
	assert_ok(file_writer_open(fifo, &w, &err), &err);
	fputs("new", w.stream);
	assert_ok(file_writer_commit(&w, &err), &err);
	assert_int_equal(read(reader, got, sizeof got), 3);
	assert_string_equal(got, "new");
	close(reader);
	assert_int_equal(lstat(fifo, &st), 0);
	assert_true(S_ISFIFO(st.st_mode));

	assert_ok(file_writer_open("/dev/null", &w, &err), &err);
	fputs("new", w.stream);
	assert_ok(file_writer_commit(&w, &err), &err);
	assert_int_equal(stat("/dev/null", &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_ok(file_writer_open("/dev/full", &w, &err), &err);
	fputs("new", w.stream);
	assert_int_equal(file_writer_commit(&w, &err), STATUS_IO);

	/* An open file by its number: where it stands, whatever its name leads to. */
	const char *path = test_path(folder, "a");
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "before ", 7), 7);
	snprintf(name, sizeof name, "/dev/fd/%d", fd);
	assert_ok(file_writer_open(name, &w, &err), &err);
	fputs("behind", w.stream);
	assert_ok(file_writer_commit(&w, &err), &err);
	close(fd);
	assert_content(path, "before behind");
	assert_int_equal(files_in(folder), 2);
}

static void two_writers_of_a_path_do_not_mix(void **state)
{
	(void)state;
	const char *folder = test_folder(), *path = test_path(folder, "a");
	struct file_writer one, two;
	struct err err;

	assert_ok(file_writer_open(path, &one, &err), &err);
	assert_ok(file_writer_open(path, &two, &err), &err); /* the first one's is held: it stays */
	fputs("one", one.stream);
	fputs("the other", two.stream);
	assert_ok(file_writer_commit(&two, &err), &err);
	assert_content(path, "the other");
	assert_ok(file_writer_commit(&one, &err), &err);
	assert_content(path, "one");
	assert_int_equal(files_in(folder), 1);
}

/* Ends a process in the midst of writing; how it ends is the caller's. */
static void write_and_end(const char *path, void (*end)(void))
{
	struct file_writer w;
	struct err err;
	pid_t child = fork();

	if (child == 0) {
		if (file_writer_open(path, &w, &err) != STATUS_OK || fputs("half", w.stream) < 0 || fflush(w.stream) != 0)
			_exit(9);
		end();
	}
	assert_int_equal(waitpid(child, &(int){0}, 0), child);
}

static void end_by_kill(void)
{
	raise(SIGKILL);
}

static void on_signal(int number)
{
	(void)number;
	file_writers_remove();
	_exit(0);
}

static void end_by_signal(void)
{
	signal(SIGTERM, on_signal);
	raise(SIGTERM);
}

static void end_by_exit(void)
{
	exit(0);
}

static void what_a_killed_process_left_is_swept(void **state)
{
	(void)state;
	const char *folder = test_folder(), *path = test_path(folder, "a");
	struct file_writer w;
	struct err err;

	test_write(path, "old", 3);
	write_and_end(path, end_by_exit);
	write_and_end(path, end_by_signal);
	assert_int_equal(files_in(folder), 1);
	write_and_end(path, end_by_kill);
	assert_int_equal(files_in(folder), 2);
	test_write(test_path(folder, "a.tmp.coca.2"), "another one", 11);
	test_write(test_path(folder, "a.tmp.mine"), "a user's", 8);
	test_write(test_path(folder, "ab.tmp.coca.0"), "another file's", 14);
	assert_int_equal(files_in(folder), 5);
	assert_ok(file_writer_open(path, &w, &err), &err);
	assert_int_equal(files_in(folder), 4); /* a, its new temporary, and the two that are none of it */
	write_and_end(path, end_by_kill); /* a child leaves alone what its parent holds */
	file_writer_abort(&w);
	assert_content(path, "old");
	assert_ok(file_writer_open(path, &w, &err), &err);
	assert_ok(file_writer_commit(&w, &err), &err);
	assert_int_equal(files_in(folder), 3);
}

static void what_came_to_stand_there_is_not_replaced(void **state)
{
	(void)state;
	const char *folder = test_folder(), *path = test_path(folder, "a");
	struct file_writer w;
	struct stat st;
	struct err err;

	assert_ok(file_writer_open(path, &w, &err), &err);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(file_writer_commit(&w, &err), STATUS_IO);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
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
	cmocka_unit_test(a_link_stays_and_what_it_leads_to_is_written),
	cmocka_unit_test(mode_and_owner_stay),
	cmocka_unit_test(a_fifo_and_a_device_are_written_directly),
	cmocka_unit_test(two_writers_of_a_path_do_not_mix),
	cmocka_unit_test(what_a_killed_process_left_is_swept),
	cmocka_unit_test(what_came_to_stand_there_is_not_replaced),
	cmocka_unit_test(paths_are_joined),
	cmocka_unit_test(folders_are_made_with_their_parents))
