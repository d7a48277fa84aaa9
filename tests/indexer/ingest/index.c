/* index.c: whole runs over small folders: what is new, changed, moved, deleted, broken or interrupted. */
#include "tests/indexer/library.h"

#include "schema/catalog/contents.h"
#include "schema/catalog/models.h"
#include "schema/catalog/photos.h"
#include "schema/base/banned.h"

static void new_photographs_become_rows_in_the_order_of_their_paths(void **state)
{
	(void)state;
	struct library l;

	open_library(&l, 9);
	run(&l);
	assert_int_equal(l.report.counts.added, 9);
	assert_int_equal(l.report.counts.failed, 0);
	assert_int_equal(counts(&l).embeddings, 9);
	assert_int_equal(counts(&l).token_rows, 9);
	int64_t before = 0;
	for (char name[] = "00.jpg"; name[1] < '9'; name[1]++) {
		struct row row = row_of(&l, name);
		assert_true(row.id > before);
		assert_int_equal(row.state, PHOTO_READY);
		assert_int_equal(row.width, 96);
		assert_int_equal(row.height, 80);
		before = row.id;
	}
	expect_sound(&l);
	close_library(&l);
}

static void an_unchanged_file_is_not_opened(void **state)
{
	(void)state;
	struct library l;

	open_library(&l, 3);
	usleep(50000); /* what is younger than a tick of the clock is read twice */
	run(&l);
	assert_true(l.report.counts.busy.read > 0);
	run(&l);
	assert_int_equal(l.report.counts.unchanged, 3);
	assert_true(l.report.counts.busy.read == 0);
	close_library(&l);
}

static void weights_wait_for_the_first_photograph(void **state)
{
	(void)state;
	struct coca *warm;
	struct library l;

	open_library(&l, 3);
	run(&l);
	warm = shared_model;
	assert_ok(coca_open("model/default", &shared_model, &err), &err);
	run(&l);
	assert_int_equal(l.report.counts.unchanged, 3);
	assert_false(coca_made(shared_model, WEIGHTS_IMAGE));
	write_photo(in(&l, "new.jpg"), 9);
	run(&l);
	assert_int_equal(l.report.counts.added, 1);
	assert_true(coca_made(shared_model, WEIGHTS_IMAGE));
	assert_false(coca_made(shared_model, WEIGHTS_TEXT));
	coca_close(shared_model);
	shared_model = warm;
	close_library(&l);
}

static void a_changed_file_keeps_its_id(void **state)
{
	(void)state;
	struct library l;

	open_library(&l, 3);
	run(&l);
	struct row before = row_of(&l, "01.jpg");
	write_photo(in(&l, "01.jpg"), 77);
	set_time(in(&l, "01.jpg"), 1000);
	run(&l);
	struct row after = row_of(&l, "01.jpg");
	assert_int_equal(l.report.counts.changed, 1);
	assert_int_equal(l.report.counts.unchanged, 2);
	assert_int_equal(after.id, before.id);
	assert_int_not_equal(after.content, before.content);
	expect_sound(&l);
	close_library(&l);
}

static void another_time_alone_changes_nothing(void **state)
{
	(void)state;
	struct library l;

	open_library(&l, 3);
	run(&l);
	int64_t before = generation(&l);
	set_time(in(&l, "01.jpg"), 1000);
	run(&l);
	assert_int_equal(l.report.counts.unchanged, 3);
	assert_int_equal(generation(&l), before);
	close_library(&l);
}

static void a_moved_file_keeps_its_embedding(void **state)
{
	(void)state;
	struct library l;

	open_library(&l, 3);
	run(&l);
	struct row before = row_of(&l, "01.jpg");
	assert_int_equal(mkdir(in(&l, "album"), 0700), 0);
	assert_int_equal(rename(in(&l, "01.jpg"), in(&l, "album/new name.jpg")), 0);
	run(&l);
	assert_int_equal(l.report.counts.moved, 1);
	assert_int_equal(l.report.counts.added + l.report.gone, 0);
	assert_int_equal(row_of(&l, "album/new name.jpg").content, before.content);
	assert_true(row_of(&l, "01.jpg").gone_since > 0);
	assert_int_equal(counts(&l).embeddings, 3);
	close_library(&l);
}

/* A renamed folder is no lost drive, however much lies in it. */
static void a_moved_folder_is_not_held_back(void **state)
{
	(void)state;
	struct library l;
	char from[8], to[16];

	open_library(&l, 12);
	run(&l);
	assert_int_equal(mkdir(in(&l, "all"), 0700), 0);
	for (int i = 0; i < 12; i++) {
		snprintf(from, sizeof from, "%02d.jpg", i);
		snprintf(to, sizeof to, "all/%02d.jpg", i);
		assert_int_equal(rename(in(&l, from), in(&l, to)), 0);
	}
	run(&l);
	assert_int_equal(l.report.counts.moved, 12);
	assert_int_equal(l.report.warnings.size, 0);
	assert_true(row_of(&l, "00.jpg").gone_since > 0);
	close_library(&l);
}

static void copies_share_an_embedding(void **state)
{
	(void)state;
	struct library l;

	open_library(&l, 2);
	write_photo(in(&l, "copy of 00.jpg"), 0);
	run(&l);
	assert_int_equal(l.report.counts.added, 2);
	assert_int_equal(l.report.counts.moved, 1);
	assert_int_equal(row_of(&l, "copy of 00.jpg").content, row_of(&l, "00.jpg").content);
	assert_int_equal(counts(&l).embeddings, 2);
	write_photo(in(&l, "late copy.png"), 1);
	run(&l);
	assert_int_equal(l.report.counts.moved, 1);
	assert_int_equal(counts(&l).embeddings, 2);
	expect_sound(&l);
	close_library(&l);
}

static void a_deleted_file_is_gone_until_it_returns(void **state)
{
	(void)state;
	struct library l;

	open_library(&l, 10);
	run(&l);
	struct row before = row_of(&l, "04.jpg");
	assert_int_equal(rename(in(&l, "04.jpg"), in(&l, "../away.jpg")), 0);
	run(&l);
	assert_int_equal(l.report.gone, 1);
	assert_true(row_of(&l, "04.jpg").gone_since > 0);
	run(&l);
	assert_int_equal(l.report.gone, 0);
	assert_int_equal(rename(in(&l, "../away.jpg"), in(&l, "04.jpg")), 0);
	run(&l);
	assert_int_equal(l.report.counts.back, 1);
	assert_int_equal(l.report.counts.added, 0);
	assert_int_equal(row_of(&l, "04.jpg").id, before.id);
	assert_int_equal(row_of(&l, "04.jpg").gone_since, 0);
	close_library(&l);
}

static void prune_drops_what_is_gone(void **state)
{
	(void)state;
	struct library l;

	open_library(&l, 10);
	run(&l);
	assert_int_equal(unlink(in(&l, "04.jpg")), 0);
	run(&l);
	assert_int_equal(unlink(in(&l, "05.jpg")), 0);
	l.options.prune = true;
	run(&l);
	assert_int_equal(l.report.dropped, 2);
	assert_int_equal(l.report.gone, 1);
	assert_int_equal(row_of(&l, "04.jpg").id, 0);
	assert_int_equal(counts(&l).embeddings, 8);
	expect_sound(&l);
	close_library(&l);
}

static void what_vanishes_all_at_once_is_kept(void **state)
{
	(void)state;
	struct library l;
	char name[8];

	open_library(&l, 20);
	run(&l);
	for (int i = 0; i < 6; i++) {
		snprintf(name, sizeof name, "%02d.jpg", i);
		assert_int_equal(unlink(in(&l, name)), 0);
	}
	run(&l);
	assert_int_equal(l.report.gone, 0);
	assert_int_equal(l.report.kept, 6);
	assert_non_null(strstr(l.report.warnings.data, "6 of 20"));
	assert_non_null(strstr(l.report.warnings.data, "--prune"));
	assert_int_equal(row_of(&l, "03.jpg").gone_since, 0);
	l.options.prune = true;
	run(&l);
	assert_int_equal(l.report.dropped, 6);
	assert_int_equal(row_of(&l, "03.jpg").id, 0);
	close_library(&l);
}

/* A drive is away whose photographs have copies at hand. */
static void copies_that_were_there_before_are_no_move(void **state)
{
	(void)state;
	struct library l;
	char from[8], to[16];

	open_library(&l, 12);
	assert_int_equal(mkdir(in(&l, "copies"), 0700), 0);
	for (int i = 0; i < 12; i++) {
		snprintf(from, sizeof from, "%02d.jpg", i);
		snprintf(to, sizeof to, "copies/%02d.jpg", i);
		assert_int_equal(link(in(&l, from), in(&l, to)), 0);
	}
	run(&l);
	for (int i = 0; i < 12; i++) {
		snprintf(from, sizeof from, "%02d.jpg", i);
		assert_int_equal(unlink(in(&l, from)), 0);
	}
	run(&l);
	assert_int_equal(l.report.gone, 0);
	assert_int_equal(l.report.kept, 12);
	assert_non_null(strstr(l.report.warnings.data, "12 of 24"));
	assert_int_equal(row_of(&l, "00.jpg").gone_since, 0);
	/* And back: rows that were gone and return are a move again. */
	l.options.prune = true;
	run(&l);
	l.options.prune = false;
	for (int i = 0; i < 12; i++) {
		snprintf(from, sizeof from, "%02d.jpg", i);
		snprintf(to, sizeof to, "copies/%02d.jpg", i);
		assert_int_equal(rename(in(&l, to), in(&l, from)), 0);
	}
	run(&l);
	assert_int_equal(l.report.counts.moved, 12);
	assert_int_equal(l.report.warnings.size, 0);
	for (int i = 0; i < 12; i++) {
		snprintf(from, sizeof from, "%02d.jpg", i);
		snprintf(to, sizeof to, "copies/%02d.jpg", i);
		assert_int_equal(rename(in(&l, from), in(&l, to)), 0);
	}
	run(&l);
	assert_int_equal(l.report.warnings.size, 0);
	close_library(&l);
}

static void few_deletions_are_believed(void **state)
{
	(void)state;
	struct library l;

	open_library(&l, 4);
	run(&l);
	assert_int_equal(unlink(in(&l, "00.jpg")) | unlink(in(&l, "01.jpg")) | unlink(in(&l, "02.jpg")), 0);
	run(&l);
	assert_int_equal(l.report.gone, 3);
	assert_int_equal(l.report.warnings.size, 0);
	close_library(&l);
}

static void a_missing_folder_keeps_its_photographs(void **state)
{
	(void)state;
	struct library l;

	open_library(&l, 3);
	run(&l);
	assert_int_equal(rename(l.photos, test_path(l.photos, "../unplugged")), 0);
	run(&l);
	assert_int_equal(l.report.kept, 3);
	assert_false(l.report.unknown_folder);
	assert_non_null(strstr(l.report.warnings.data, "its 3 photographs are kept"));
	assert_int_equal(row_of(&l, "00.jpg").gone_since, 0);
	l.options.prune = true;
	run(&l);
	assert_int_equal(l.report.dropped, 3);
	assert_int_equal(counts(&l).photos, 0);
	close_library(&l);
}

static void a_folder_that_never_was_is_an_error(void **state)
{
	(void)state;
	struct library l;

	open_library(&l, 1);
	assert_ok(run_on(&l, "nothing here"), &err);
	assert_true(l.report.unknown_folder);
	assert_non_null(strstr(l.report.warnings.data, "nothing here"));
	close_library(&l);
}

static void an_unreadable_folder_keeps_its_photographs(void **state)
{
	(void)state;
	struct library l;
	uid_t user = geteuid();

	open_library(&l, 3);
	assert_int_equal(mkdir(in(&l, "closed"), 0755), 0);
	write_photo(in(&l, "closed/a.jpg"), 50);
	run(&l);
	assert_int_equal(chmod(in(&l, "closed"), 0), 0);
	assert_int_equal(chmod(in(&l, "../.."), 0755), 0);
	if (user == 0) /* who reads everything */
		assert_int_equal(seteuid(65534), 0);
	enum status status = run_on(&l, NULL);
	assert_int_equal(seteuid(user), 0);
	assert_int_equal(chmod(in(&l, "closed"), 0755), 0);
	assert_ok(status, &err);
	assert_int_equal(l.report.gone, 0);
	assert_int_equal(l.report.unreadable, 1);
	assert_int_equal(row_of(&l, "closed/a.jpg").gone_since, 0);
	close_library(&l);
}

/* Not even --prune takes a closed door for an empty room. */
static void an_unreadable_root_keeps_its_photographs(void **state)
{
	(void)state;
	struct library l;
	uid_t user = geteuid();

	open_library(&l, 3);
	run(&l);
	l.options.prune = true;
	assert_int_equal(chmod(l.photos, 0), 0);
	assert_int_equal(chmod(in(&l, "../.."), 0755), 0);
	if (user == 0)
		assert_int_equal(seteuid(65534), 0);
	enum status status = run_on(&l, NULL);
	assert_int_equal(seteuid(user), 0);
	assert_int_equal(chmod(l.photos, 0755), 0);
	assert_ok(status, &err);
	assert_int_equal(l.report.kept, 3);
	assert_int_equal(l.report.dropped + l.report.gone, 0);
	assert_non_null(strstr(l.report.warnings.data, "its 3 photographs are kept"));
	close_library(&l);
}

static void broken_files_become_rows_and_hide_no_neighbour(void **state)
{
	(void)state;
	struct library l;
	uint8_t *bytes;
	size_t size;

	open_library(&l, 4);
	assert_ok(file_read(in(&l, "00.jpg"), 1 << 20, &bytes, &size, &err), &err);
	test_write(in(&l, "01 cut.jpg"), bytes, size / 2);
	test_write(in(&l, "01 text.jpg"), "This is no photograph.\n", 23);
	test_write(in(&l, "01 empty.png"), "", 0);
	free(bytes);
	assert_int_equal(mkfifo(in(&l, "01 pipe.jpg"), 0600), 0);
	assert_int_equal(mkdir(in(&l, "01 folder.jpg"), 0700), 0);
	run(&l);
	assert_int_equal(l.report.counts.added, 4);
	assert_int_equal(l.report.counts.failed, 4);
	assert_non_null(strstr(l.report.counts.failures.data, "01 cut.jpg': damaged JPEG"));
	assert_int_equal(row_of(&l, "01 cut.jpg").state, PHOTO_FAILED);
	assert_non_null(strstr(row_of(&l, "01 text.jpg").error, "not a JPEG"));
	assert_non_null(strstr(row_of(&l, "01 empty.png").error, "empty"));
	assert_non_null(strstr(row_of(&l, "01 pipe.jpg").error, "not a regular file"));
	assert_int_equal(row_of(&l, "01 folder.jpg").id, 0);
	assert_int_equal(row_of(&l, "03.jpg").state, PHOTO_READY);
	expect_sound(&l);
	close_library(&l);
}

static void a_broken_file_is_tried_again_when_it_changes(void **state)
{
	(void)state;
	struct library l;

	open_library(&l, 1);
	test_write(in(&l, "b.jpg"), "half a photograph", 17);
	run(&l);
	run(&l);
	assert_int_equal(l.report.counts.failed, 1);
	assert_int_equal(l.report.counts.unchanged, 1);
	assert_non_null(strstr(l.report.counts.failures.data, "b.jpg"));
	write_photo(in(&l, "b.jpg"), 5);
	run(&l);
	assert_int_equal(l.report.counts.failed, 0);
	assert_int_equal(l.report.counts.changed, 1);
	assert_int_equal(row_of(&l, "b.jpg").state, PHOTO_READY);
	expect_sound(&l);
	close_library(&l);
}

/* Rights can change without size and time. */
static void an_unreadable_file_is_tried_again(void **state)
{
	(void)state;
	struct library l;

	open_library(&l, 2);
	/* A link that is not followed cannot be opened either, by anyone; it takes the place of the file behind the walk's back. */
	assert_int_equal(symlink("nowhere", in(&l, "b.jpg")), 0);
	l.options.rules.follow = true;
	run(&l);
	assert_int_equal(l.report.counts.added, 2);
	assert_int_equal(unlink(in(&l, "b.jpg")), 0);
	assert_int_equal(mkfifo(in(&l, "b.jpg"), 0600), 0);
	set_time(in(&l, "b.jpg"), 1000);
	run(&l);
	assert_int_equal(l.report.counts.failed, 1);
	assert_int_equal(unlink(in(&l, "b.jpg")), 0);
	write_photo(in(&l, "b.jpg"), 5);
	set_time(in(&l, "b.jpg"), 1000);
	run(&l);
	assert_int_equal(l.report.counts.failed, 0);
	close_library(&l);
}

static void copies_of_a_broken_file_all_fail(void **state)
{
	(void)state;
	struct library l;
	uint8_t *bytes;
	size_t size;

	open_library(&l, 2);
	assert_ok(file_read(in(&l, "00.jpg"), 1 << 20, &bytes, &size, &err), &err);
	for (char name[] = "a.jpg"; name[0] <= 'c'; name[0]++)
		test_write(in(&l, name), bytes, size / 2);
	free(bytes);
	run(&l);
	assert_int_equal(l.report.counts.failed, 3);
	assert_int_equal(l.report.counts.added, 2);
	assert_string_equal(row_of(&l, "c.jpg").error, row_of(&l, "a.jpg").error);
	assert_int_equal(row_of(&l, "b.jpg").state, PHOTO_FAILED);
	expect_sound(&l);
	close_library(&l);
}

static void only_the_first_failures_are_named(void **state)
{
	(void)state;
	struct library l;
	char name[16];
	size_t lines = 0;

	open_library(&l, 0);
	for (int i = 0; i < 25; i++) {
		snprintf(name, sizeof name, "%02d.jpg", i);
		test_write(in(&l, name), name, 6);
	}
	run(&l);
	assert_int_equal(l.report.counts.failed, 25);
	for (const char *c = l.report.counts.failures.data; *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, INGEST_NAMED_MOST);
	close_library(&l);
}

static void a_path_cannot_forge_a_line(void **state)
{
	(void)state;
	struct library l;

	open_library(&l, 0);
	test_write(in(&l, "a\nb.jpg"), "x", 1);
	run(&l);
	assert_non_null(strstr(l.report.counts.failures.data, "a\\x0ab.jpg"));
	close_library(&l);
}

static void what_is_excluded_later_is_gone(void **state)
{
	(void)state;
	struct library l;
	const char *glob = "shots/";

	open_library(&l, 3);
	assert_int_equal(mkdir(in(&l, "shots"), 0700), 0);
	for (char name[] = "shots/a.jpg"; name[6] <= 'h'; name[6]++)
		write_photo(in(&l, name), (uint64_t)name[6]);
	run(&l);
	l.options.rules.excludes = &glob;
	l.options.rules.exclude_count = 1;
	run(&l);
	assert_int_equal(l.report.gone, 8);
	assert_int_equal(l.report.warnings.size, 0);
	l.options.rules.exclude_count = 0;
	run(&l);
	assert_int_equal(l.report.counts.back, 8);
	close_library(&l);
}

static void a_part_of_a_root_is_indexed_as_part_of_it(void **state)
{
	(void)state;
	struct library l;

	open_library(&l, 3);
	assert_int_equal(mkdir(in(&l, "part"), 0700), 0);
	write_photo(in(&l, "part/a.jpg"), 50);
	run(&l);
	assert_int_equal(unlink(in(&l, "part/a.jpg")) | unlink(in(&l, "00.jpg")), 0);
	write_photo(in(&l, "part/b.jpg"), 51);
	assert_ok(run_on(&l, "part"), &err);
	assert_int_equal(l.report.counts.added, 1);
	assert_int_equal(l.report.gone, 1);
	assert_true(row_of(&l, "part/a.jpg").gone_since > 0);
	assert_int_equal(row_of(&l, "00.jpg").gone_since, 0);
	assert_int_equal(counts(&l).roots, 1);
	close_library(&l);
}

static void a_hidden_folder_that_was_named_stays(void **state)
{
	(void)state;
	struct library l;

	open_library(&l, 1);
	assert_int_equal(mkdir(in(&l, ".private"), 0700), 0);
	write_photo(in(&l, ".private/a.jpg"), 50);
	run(&l);
	assert_ok(run_on(&l, ".private"), &err);
	assert_int_equal(l.report.counts.added, 1);
	run(&l);
	assert_int_equal(l.report.gone, 0);
	assert_int_equal(row_of(&l, ".private/a.jpg").gone_since, 0);
	close_library(&l);
}

static void a_single_photograph_can_be_indexed(void **state)
{
	(void)state;
	struct library l;

	open_library(&l, 2);
	assert_ok(run_on(&l, "01.jpg"), &err);
	assert_int_equal(l.report.counts.added, 1);
	assert_int_equal(row_of(&l, "00.jpg").id, 0);
	run(&l);
	assert_int_equal(l.report.counts.added, 1);
	assert_int_equal(l.report.counts.unchanged, 1);
	close_library(&l);
}

static void on_alarm(int signal_number)
{
	(void)signal_number;
	interrupted = 1;
}

static void an_interrupted_run_is_taken_up_again(void **state)
{
	(void)state;
	struct library l;
	struct itimerval timer = {.it_value = {.tv_usec = 40000}};

	open_library(&l, 99);
	l.options.ingest.batch = 1;
	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &timer, NULL);
	enum status status = run_on(&l, NULL);
	interrupted = 0;
	assert_int_equal(status, STATUS_INTERRUPTED);
	int64_t done = counts(&l).photos;
	print_message("%d of 99 photographs when interrupted\n", (int)done);
	assert_true(done < 99);
	expect_sound(&l);
	run(&l);
	assert_int_equal(l.report.counts.unchanged, done);
	assert_int_equal(l.report.counts.added, 99 - done);
	expect_sound(&l);
	close_library(&l);
}

static void all_embeddings(const struct library *l, size_t n, float *all)
{
	size_t dim = (size_t)l->model.dim;
	char name[8];
	bool found;

	for (size_t i = 0; i < n; i++) {
		snprintf(name, sizeof name, "%02zu.jpg", i);
		assert_ok(catalog_embedding_get(l->catalog, row_of(l, name).content, l->model.id, all + i * dim, dim, &found, &err), &err);
		assert_true(found);
	}
}

static void the_result_depends_on_neither_jobs_nor_batch(void **state)
{
	(void)state;
	enum { N = 40 };
	static const struct {
		size_t jobs, batch;
	} cases[] = {{1, 1}, {3, 7}, {2, 64}};
	/* Sums in another order may move an activation to the next of 128 steps. */
	static const struct {
		enum precision precision;
		float tolerance;
	} forms[] = {{PRECISION_FP32, 2e-4f}, {PRECISION_INT8, 5e-3f}};
	static float first[N * E_MOST], other[N * E_MOST];

	for (size_t n = 0; n < 2 * (sizeof cases / sizeof *cases); n++) {
		size_t form = n / (sizeof cases / sizeof *cases), i = n % (sizeof cases / sizeof *cases);
		struct library l;
		open_library(&l, N);
		coca_set_precision(shared_model, forms[form].precision);
		write_photo(in(&l, "05 copy.jpg"), 5);
		test_write(in(&l, "07 broken.jpg"), "x", 1);
		assert_true((size_t)l.model.dim <= E_MOST);
		l.options.ingest.jobs = cases[i].jobs;
		l.options.ingest.batch = cases[i].batch;
		run(&l);
		all_embeddings(&l, N, i ? other : first);
		assert_int_equal(row_of(&l, "39.jpg").id, row_of(&l, "00.jpg").id + N + 1);
		if (i)
			assert_true(test_close("embeddings", first, other, N * (size_t)l.model.dim, forms[form].tolerance));
		close_library(&l);
	}
	coca_set_precision(shared_model, PRECISION_AUTO);
}

static void the_token_budget_is_kept(void **state)
{
	(void)state;
	struct library l;

	open_library(&l, 10);
	l.options.ingest.token_budget = 0;
	run(&l);
	assert_int_equal(counts(&l).embeddings, 10);
	assert_int_equal(counts(&l).token_rows, 0);
	close_library(&l);
	open_library(&l, 10);
	run(&l);
	int64_t each = counts(&l).token_bytes / 10;
	assert_int_equal(counts(&l).token_rows, 10);
	l.options.ingest.token_budget = (size_t)(4 * each);
	run(&l);
	assert_int_equal(counts(&l).token_rows, 4);
	write_photo(in(&l, "new.jpg"), 90);
	run(&l);
	assert_int_equal(counts(&l).token_rows, 4);
	close_library(&l);
}

static void another_model_embeds_again(void **state)
{
	(void)state;
	struct library l;

	open_library(&l, 3);
	run(&l);
	l.model.id = 0;
	l.model.weights_digest[0] = 'f';
	assert_ok(catalog_model_put(l.catalog, &l.model, &err), &err);
	run(&l);
	assert_int_equal(l.report.counts.again, 3);
	assert_int_equal(counts(&l).embeddings, 3);
	run(&l);
	assert_int_equal(l.report.counts.unchanged, 3);
	close_library(&l);
}

static void what_a_photograph_knows_is_kept(void **state)
{
	(void)state;
	static const uint8_t app1[] = "\xff\xe1\x00\x4a" "Exif\0\0" "MM\0\x2a\0\0\0\x08" "\0\x02"
		"\x01\x10\0\x02\0\0\0\x08\0\0\0\x26" "\x01\x32\0\x02\0\0\0\x14\0\0\0\x2e" "\0\0\0\0"
		"Brownie\0" "2024:07:31 18:05:09";
	struct library l;
	uint8_t *bytes;
	size_t size;
	struct buffer photo = {0};

	assert_int_equal(sizeof app1, 2 + 0x4a);
	open_library(&l, 1);
	assert_ok(file_read(in(&l, "00.jpg"), 1 << 20, &bytes, &size, &err), &err);
	buffer_append(&photo, bytes, 2);
	buffer_append(&photo, app1, sizeof app1);
	buffer_append(&photo, bytes + 2, size - 2);
	test_write(in(&l, "exif.jpg"), photo.data, photo.size);
	buffer_release(&photo);
	free(bytes);
	run(&l);
	struct row row = row_of(&l, "exif.jpg");
	assert_int_equal(row.state, PHOTO_READY);
	assert_true(row.has_taken);
	assert_int_equal(row.taken_at, 1722449109);
	assert_string_equal(row.camera, "Brownie");
	close_library(&l);
}

TEST_MAIN(cmocka_unit_test(a_folder_that_never_was_is_an_error), cmocka_unit_test(a_path_cannot_forge_a_line),
	  cmocka_unit_test(new_photographs_become_rows_in_the_order_of_their_paths), cmocka_unit_test(an_unchanged_file_is_not_opened),
	  cmocka_unit_test(weights_wait_for_the_first_photograph),
	  cmocka_unit_test(a_changed_file_keeps_its_id), cmocka_unit_test(another_time_alone_changes_nothing),
	  cmocka_unit_test(a_moved_file_keeps_its_embedding), cmocka_unit_test(a_moved_folder_is_not_held_back),
	  cmocka_unit_test(copies_share_an_embedding), cmocka_unit_test(a_deleted_file_is_gone_until_it_returns),
	  cmocka_unit_test(prune_drops_what_is_gone), cmocka_unit_test(what_vanishes_all_at_once_is_kept), cmocka_unit_test(copies_that_were_there_before_are_no_move),
	  cmocka_unit_test(few_deletions_are_believed), cmocka_unit_test(a_missing_folder_keeps_its_photographs),
	  cmocka_unit_test(an_unreadable_folder_keeps_its_photographs), cmocka_unit_test(an_unreadable_root_keeps_its_photographs),
	  cmocka_unit_test(broken_files_become_rows_and_hide_no_neighbour),
	  cmocka_unit_test(a_broken_file_is_tried_again_when_it_changes), cmocka_unit_test(an_unreadable_file_is_tried_again),
	  cmocka_unit_test(copies_of_a_broken_file_all_fail), cmocka_unit_test(only_the_first_failures_are_named),
	  cmocka_unit_test(what_is_excluded_later_is_gone), cmocka_unit_test(a_part_of_a_root_is_indexed_as_part_of_it),
	  cmocka_unit_test(a_hidden_folder_that_was_named_stays), cmocka_unit_test(a_single_photograph_can_be_indexed),
	  cmocka_unit_test(what_a_photograph_knows_is_kept), cmocka_unit_test(another_model_embeds_again),
	  cmocka_unit_test(the_token_budget_is_kept), cmocka_unit_test(the_result_depends_on_neither_jobs_nor_batch),
	  cmocka_unit_test(an_interrupted_run_is_taken_up_again))
