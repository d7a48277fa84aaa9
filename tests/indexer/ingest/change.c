/* change.c: what people and drives do to a library between two runs, and what each does to its rows. Whoever is moved,
 * copied or returned is not embedded again; nobody is lost or doubled. */
#include "tests/indexer/library.h"

#include <errno.h>
#include <limits.h>
#include <sys/mount.h>
#include <time.h>

#include "indexer/walk/path.h"
#include "indexer/walk/vanish.h"
#include "schema/base/clock.h"

#include "schema/catalog/photos.h"
#include "schema/catalog/tokens.h"
#include "schema/base/banned.h"

/* --- the system calls that tests bend --- */

static const char *caseless;  /* below this folder, lstat does not mind the case of a name, as on FAT */
static time_t clock_set;      /* not 0: what the clock says */

int lstat(const char *path, struct stat *st)
{
	if (fstatat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	char folded[PATH_MAX];
	size_t n = caseless && path_below(caseless, path) ? strlen(caseless) : strlen(path);
	snprintf(folded, sizeof folded, "%s", path);
	for (size_t i = n; folded[i]; i++)
		if (folded[i] >= 'A' && folded[i] <= 'Z')
			folded[i] = (char)(folded[i] - 'A' + 'a');
	return fstatat(AT_FDCWD, folded, st, AT_SYMLINK_NOFOLLOW);
}

time_t time(time_t *seconds)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (clock_set)
		now.tv_sec = clock_set;
	if (seconds)
		*seconds = now.tv_sec;
	return now.tv_sec;
}

/* --- helpers --- */

static void expect_report(struct library *l, size_t added, size_t changed, size_t moved, size_t back, size_t gone)
{
	run(l);
	assert_int_equal(l->report.counts.added, added);
	assert_int_equal(l->report.counts.changed, changed);
	assert_int_equal(l->report.counts.moved, moved);
	assert_int_equal(l->report.counts.back, back);
	assert_int_equal(l->report.gone, gone);
	expect_sound(l);
}

static void copy_file(const char *from, const char *to)
{
	uint8_t *bytes;
	size_t size;

	assert_ok(file_read(from, 1 << 20, &bytes, &size, &err), &err);
	test_write(to, bytes, size);
	free(bytes);
}

/* Another photograph's bytes, cut or filled to this one's size, and this one's times: only its ctime tells. */
static void replace_unnoticed(const struct library *l, const char *name, uint64_t seed)
{
	struct stat st;
	uint8_t *bytes;
	size_t size;

	assert_int_equal(stat(in(l, name), &st), 0);
	write_photo(in(l, "../other.jpg"), seed);
	assert_ok(file_read(in(l, "../other.jpg"), 1 << 20, &bytes, &size, &err), &err);
	uint8_t *same = mem_array((size_t)st.st_size, 1);
	memcpy(same, bytes, size < (size_t)st.st_size ? size : (size_t)st.st_size);
	test_write(in(l, "../other.jpg"), same, (size_t)st.st_size);
	struct timespec times[2] = {st.st_atim, st.st_mtim};
	assert_int_equal(utimensat(AT_FDCWD, in(l, "../other.jpg"), times, 0), 0);
	assert_int_equal(rename(in(l, "../other.jpg"), in(l, name)), 0);
	free(bytes);
	free(same);
}

/* --- one change each --- */

static void replaced_by_the_same_size_and_time_is_noticed(void **state)
{
	(void)state;
	struct library l;

	open_library(&l, 3);
	usleep(30000);
	run(&l);
	struct row before = row_of(&l, "01.jpg");
	replace_unnoticed(&l, "01.jpg", 99);
	run(&l);
	struct row after = row_of(&l, "01.jpg");
	assert_int_equal(l.report.counts.changed + l.report.counts.failed, 1); /* cut short, it may not decode */
	assert_int_equal(l.report.counts.unchanged, 2);
	assert_int_equal(after.id, before.id);
	assert_int_not_equal(after.content, before.content);
	close_library(&l);
}

static void a_file_younger_than_the_clocks_tick_is_read_twice(void **state)
{
	(void)state;
	struct library l;

	open_library(&l, 1);
	usleep(50000);
	write_photo(in(&l, "young.jpg"), 5);
	run(&l);
	usleep(50000);
	run(&l);
	assert_int_equal(l.report.counts.unchanged, 2);
	run(&l);
	assert_true(l.report.counts.busy.read == 0);
	close_library(&l);
}

static void a_row_of_an_older_version_learns_its_ctime(void **state)
{
	(void)state;
	struct library l;
	struct photo_known stamp;
	bool found;

	open_library(&l, 2);
	usleep(30000);
	run(&l);
	const char *path = in(&l, "00.jpg");
	assert_ok(catalog_photo_ctime(l.catalog, row_of(&l, "00.jpg").id, 0, &err), &err);
	run(&l);
	assert_int_equal(l.report.counts.unchanged, 2);
	assert_true(l.report.counts.busy.read == 0);
	assert_ok(catalog_photo_known(l.catalog, path, strlen(path), l.model.id, &stamp, &found, &err), &err);
	assert_true(stamp.ctime_ns > 0);
	close_library(&l);
}

static void another_owner_or_mode_embeds_nothing_again(void **state)
{
	(void)state;
	struct library l;

	open_library(&l, 2);
	run(&l);
	int64_t before = generation(&l);
	assert_int_equal(chmod(in(&l, "00.jpg"), 0600), 0);
	expect_report(&l, 0, 0, 0, 0, 0);
	assert_int_equal(l.report.counts.unchanged, 2);
	assert_int_equal(generation(&l), before);
	close_library(&l);
}

static void returned_with_its_size_and_time_is_back(void **state)
{
	(void)state;
	struct library l;
	struct stat st;

	open_library(&l, 8);
	run(&l);
	struct row before = row_of(&l, "04.jpg");
	assert_int_equal(stat(in(&l, "04.jpg"), &st), 0);
	copy_file(in(&l, "04.jpg"), in(&l, "../backup.jpg"));
	unlink(in(&l, "04.jpg"));
	expect_report(&l, 0, 0, 0, 0, 1);
	/* As a backup restores it: another inode with the old times. */
	copy_file(in(&l, "../backup.jpg"), in(&l, "04.jpg"));
	struct timespec times[2] = {st.st_atim, st.st_mtim};
	assert_int_equal(utimensat(AT_FDCWD, in(&l, "04.jpg"), times, 0), 0);
	expect_report(&l, 0, 0, 0, 1, 0);
	struct row after = row_of(&l, "04.jpg");
	assert_int_equal(after.id, before.id);
	assert_int_equal(after.content, before.content);
	assert_int_equal(counts(&l).photos, 8);
	close_library(&l);
}

static void two_files_that_swap_names_swap_contents(void **state)
{
	(void)state;
	struct library l;

	open_library(&l, 3);
	run(&l);
	struct row a = row_of(&l, "00.jpg"), b = row_of(&l, "01.jpg");
	assert_int_equal(rename(in(&l, "00.jpg"), in(&l, "../t")), 0);
	assert_int_equal(rename(in(&l, "01.jpg"), in(&l, "00.jpg")), 0);
	assert_int_equal(rename(in(&l, "../t"), in(&l, "01.jpg")), 0);
	expect_report(&l, 0, 2, 0, 0, 0);
	assert_int_equal(row_of(&l, "00.jpg").content, b.content);
	assert_int_equal(row_of(&l, "01.jpg").content, a.content);
	assert_int_equal(counts(&l).embeddings, 3);
	close_library(&l);
}

static void renamed_only_in_case_is_one_photograph(void **state)
{
	(void)state;
	struct library l;

	/* Once on a file system that tells case apart, once on one that still finds the old name. */
	for (int fold = 0; fold < 2; fold++) {
		open_library(&l, 8);
		assert_int_equal(rename(in(&l, "00.jpg"), in(&l, "HOLIDAY.JPG")), 0);
		run(&l);
		caseless = fold ? l.photos : NULL;
		assert_int_equal(rename(in(&l, "HOLIDAY.JPG"), in(&l, "holiday.jpg")), 0);
		expect_report(&l, 0, 0, 1, 0, 0);
		assert_int_equal(l.report.kept, 0);
		assert_int_equal(row_of(&l, "holiday.jpg").gone_since, 0);
		assert_true(row_of(&l, "HOLIDAY.JPG").gone_since > 0);
		assert_int_equal(counts(&l).embeddings, 8);
		caseless = NULL;
		close_library(&l);
	}
}

static void hard_links_are_photographs_of_one_content(void **state)
{
	(void)state;
	struct library l;

	open_library(&l, 3);
	run(&l);
	assert_int_equal(link(in(&l, "00.jpg"), in(&l, "link.jpg")), 0);
	expect_report(&l, 0, 0, 1, 0, 0);
	assert_int_equal(row_of(&l, "link.jpg").content, row_of(&l, "00.jpg").content);
	assert_int_equal(unlink(in(&l, "00.jpg")), 0);
	expect_report(&l, 0, 0, 0, 0, 1); /* the other was there before: no move */
	assert_true(row_of(&l, "00.jpg").gone_since > 0);
	assert_int_equal(row_of(&l, "link.jpg").gone_since, 0);
	assert_int_equal(counts(&l).embeddings, 3);
	close_library(&l);
}

static void a_bind_mount_is_a_copy_and_no_loop(void **state)
{
	(void)state;
	struct library l;

	open_library(&l, 3);
	assert_int_equal(mkdir(in(&l, "again"), 0700), 0);
	if (mount(l.photos, in(&l, "again"), NULL, MS_BIND, NULL) != 0) {
		print_message("not tested: a bind mount (%s)\n", strerror(errno));
		close_library(&l);
		skip();
	}
	for (int follow = 0; follow < 2; follow++) {
		l.options.rules.follow = follow;
		run(&l);
		assert_int_equal(l.report.counts.failed, 0);
		assert_int_equal(counts(&l).embeddings, 3);
	}
	assert_int_equal(umount(in(&l, "again")), 0);
	l.options.rules.follow = false;
	run(&l);
	assert_int_equal(l.report.counts.added, 0);
	assert_int_equal(row_of(&l, "00.jpg").gone_since, 0);
	expect_sound(&l);
	close_library(&l);
}

static void odd_names_are_indexed_as_they_are(void **state)
{
	(void)state;
	static const char *const names[] = {"\xff\xfe.jpg", "a\nb.jpg", "a\tb\x01.jpg", " .jpg", "-n.jpg", "caf\xe9.jpg", "cafe\xcc\x81.jpg",
					    "caf\xc3\xa9.jpg", "'\"`$(x);%s%n.jpg", "\xf0\x9f\x8c\x85.jpg"};
	enum { NAMES = sizeof names / sizeof *names };
	struct library l;

	open_library(&l, 0);
	for (size_t i = 0; i < NAMES; i++)
		write_photo(in(&l, names[i]), 50 + i);
	expect_report(&l, NAMES, 0, 0, 0, 0);
	run(&l);
	assert_int_equal(l.report.counts.unchanged, NAMES);
	for (size_t i = 0; i < NAMES; i++)
		assert_true(row_of(&l, names[i]).id > 0);
	close_library(&l);
}

/* The longest path that the system opens is indexed; one that can only be reached step by step is reported. */
static void paths_up_to_the_limit_are_indexed(void **state)
{
	(void)state;
	struct library l;
	char name[201], path[PATH_MAX + 256];

	open_library(&l, 1);
	memset(name, 'd', 200);
	name[200] = '\0';
	size_t n = (size_t)snprintf(path, sizeof path, "%s", l.photos);
	while (n + 201 + 6 < PATH_MAX) {
		n += (size_t)snprintf(path + n, sizeof path - n, "/%s", name);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	/* Exactly PATH_MAX - 1 bytes. */
	size_t left = PATH_MAX - 1 - n - 5;
	snprintf(path + n, sizeof path - n, "/%.*s.jpg", (int)left, name);
	assert_int_equal(strlen(path), PATH_MAX - 1);
	write_photo(path, 7);
	path[n] = '\0';
	int folder = open(path, O_RDONLY | O_DIRECTORY);
	assert_int_equal(mkdirat(folder, name, 0700), 0);
	int deep = openat(folder, name, O_RDONLY | O_DIRECTORY);
	int file = openat(deep, "beyond.jpg", O_WRONLY | O_CREAT, 0600);
	assert_true(file >= 0);
	close(file);
	run(&l);
	assert_int_equal(l.report.counts.added, 2);
	assert_true(l.report.unreadable > 0);
	assert_non_null(strstr(l.report.warnings.data, "too long"));
	run(&l);
	assert_int_equal(l.report.counts.unchanged, 2);
	assert_int_equal(unlinkat(deep, "beyond.jpg", 0), 0);
	assert_int_equal(unlinkat(folder, name, AT_REMOVEDIR), 0);
	close(deep);
	close(folder);
	close_library(&l);
}

/* Empty files: what is measured is our own work on names and rows. */
static void a_folder_of_a_hundred_thousand_takes_seconds(void **state)
{
	(void)state;
	enum { N = 100000 };
	struct library l;
	char name[32];

	open_library(&l, 1);
	int folder = open(l.photos, O_RDONLY | O_DIRECTORY);
	for (size_t i = 0; i < N; i++) {
		snprintf(name, sizeof name, "%06zu.png", i);
		int fd = openat(folder, name, O_WRONLY | O_CREAT, 0600);
		assert_true(fd >= 0);
		close(fd);
	}
	double start = clock_now();
	run(&l);
	double first = clock_now() - start;
	assert_int_equal(l.report.counts.failed, N);
	assert_int_equal(l.report.counts.added, 1);
	start = clock_now();
	run(&l);
	double second = clock_now() - start;
	print_message("100,000 files: %.2f s, again %.2f s\n", first, second);
	assert_int_equal(l.report.counts.unchanged, 1);
	assert_true(second < 10 && first < 60);
	for (size_t i = 0; i < N; i++) {
		snprintf(name, sizeof name, "%06zu.png", i);
		unlinkat(folder, name, 0);
	}
	close(folder);
	close_library(&l);
}

/* --- a clock that runs backwards --- */

static void a_clock_that_goes_back_loses_nothing(void **state)
{
	(void)state;
	struct library l;
	static const time_t clocks[] = {2000000000, 1000, 1, -5};

	open_library(&l, 8);
	run(&l);
	for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++) {
		clock_set = clocks[i];
		assert_int_equal(rename(in(&l, "04.jpg"), in(&l, "../away.jpg")), 0);
		expect_report(&l, 0, 0, 0, 0, 1);
		assert_true(row_of(&l, "04.jpg").gone_since > 0);
		assert_int_equal(rename(in(&l, "../away.jpg"), in(&l, "04.jpg")), 0);
		expect_report(&l, 0, 0, 0, 1, 0);
		assert_int_equal(row_of(&l, "04.jpg").gone_since, 0);
	}
	clock_set = 0;
	/* A file from the future, or from before 1970, is a file. */
	set_time(in(&l, "00.jpg"), 4000000000);
	set_time(in(&l, "01.jpg"), -4000000);
	usleep(50000);
	expect_report(&l, 0, 0, 0, 0, 0);
	run(&l);
	assert_int_equal(l.report.counts.unchanged, 8);
	assert_true(l.report.counts.busy.read == 0);
	close_library(&l);
}

/* What was used last stays, whatever the clock says: uses are counted, not timed. */
static void tokens_are_trimmed_by_use_not_by_the_clock(void **state)
{
	(void)state;
	struct library l;
	size_t left, size;
	void *blob;

	open_library(&l, 4);
	clock_set = 2000000000;
	run(&l);
	int64_t used = row_of(&l, "02.jpg").content;
	clock_set = 1000;
	catalog_tokens_touch(l.catalog, &used, 1, l.model.id);
	assert_ok(catalog_tokens_trim(l.catalog, (size_t)counts(&l).token_bytes / 4, &left, &err), &err);
	assert_ok(catalog_tokens_get(l.catalog, used, l.model.id, &blob, &size, &err), &err);
	assert_non_null(blob);
	free(blob);
	clock_set = 0;
	close_library(&l);
}

TEST_MAIN(cmocka_unit_test(replaced_by_the_same_size_and_time_is_noticed),
	  cmocka_unit_test(a_file_younger_than_the_clocks_tick_is_read_twice), cmocka_unit_test(a_row_of_an_older_version_learns_its_ctime),
	  cmocka_unit_test(another_owner_or_mode_embeds_nothing_again), cmocka_unit_test(returned_with_its_size_and_time_is_back),
	  cmocka_unit_test(two_files_that_swap_names_swap_contents), cmocka_unit_test(renamed_only_in_case_is_one_photograph),
	  cmocka_unit_test(hard_links_are_photographs_of_one_content), cmocka_unit_test(a_bind_mount_is_a_copy_and_no_loop),
	  cmocka_unit_test(odd_names_are_indexed_as_they_are), cmocka_unit_test(paths_up_to_the_limit_are_indexed),
	  cmocka_unit_test(a_clock_that_goes_back_loses_nothing), cmocka_unit_test(tokens_are_trimmed_by_use_not_by_the_clock),
	  cmocka_unit_test(a_folder_of_a_hundred_thousand_takes_seconds))
