/* What a run leaves for the next one: an unchanged library costs its stat calls and no look at its rows; whatever changes is found as
 * if nothing had been left. */
#include "tests/made_up.h"
#include "tests/indexer/library.h"

#include <limits.h>
#include <sqlite3.h>

#include "schema/catalog/models.h"
#include "schema/catalog/folders.h"
#include "schema/catalog/internal.h"

#include "schema/base/banned.h"

/* --- costs --- */

struct cost {
	size_t rows; /* that SQLite handed out */
};

static int count_row(unsigned kind, void *context, void *statement, void *unused)
{
	(void)kind;
	(void)statement;
	(void)unused;
	((struct cost *)context)->rows++;
	return 0;
}

static struct cost cost_of_run(struct library *l, const char *folder)
{
	struct cost cost = {0};

	sqlite3_trace_v2(l->catalog->db, SQLITE_TRACE_ROW, count_row, &cost);
	assert_ok(run_on(l, folder), &err);
	sqlite3_trace_v2(l->catalog->db, 0, NULL, NULL);
	return cost;
}

/* n photographs that never were, in folders of MADE_UP_FOLDER, with their rows. */
static void open_made_up(struct library *l, size_t n)
{
	struct made_up m = {.files = true, .photos = n};

	open_library(l, 0);
	m.database = catalog_path(l->catalog);
	m.folder = l->photos;
	char *path = mem_copy(m.database, strlen(m.database));
	assert_non_null(path);
	m.database = path;
	catalog_close(l->catalog);
	assert_ok(made_up_make(&m, &l->model, &err), &err);
	assert_ok(catalog_open(path, CATALOG_WRITE, &l->catalog, &err), &err);
	free(path);
}

static size_t stats_of_walk(const struct library *l)
{
	struct walk walk = {0};
	const struct walk_options options = {0};

	assert_ok(walk_root(&walk, l->photos, 0, &options, &err), &err);
	size_t stats = walk.stats;
	walk_release(&walk);
	return stats;
}

static void an_unchanged_library_costs_a_row_for_each_folder(void **state)
{
	struct library l;
	size_t rows[2];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		size_t n = i ? 3000 : 1000, folders = n / MADE_UP_FOLDER;
		open_made_up(&l, n);
		assert_true(cost_of_run(&l, NULL).rows >= n); /* nothing was left yet */
		assert_int_equal(l.report.counts.unchanged, n);
		rows[i] = cost_of_run(&l, NULL).rows;
		assert_int_equal(l.report.photos, n);
		assert_int_equal(l.report.counts.unchanged, n);
		assert_true(rows[i] <= folders + 40);
		assert_int_equal(stats_of_walk(&l), n); /* none for folders */
		close_library(&l);
	}
	assert_true(rows[1] - rows[0] <= 2000 / MADE_UP_FOLDER);
}

static enum status first_path(void *context, const struct photo *photo, struct err *e)
{
	char *path = context;

	(void)e;
	if (!*path)
		snprintf(path, PATH_MAX, "%s", photo->path);
	return STATUS_OK;
}

static void a_change_costs_the_rows_of_its_folder(void **state)
{
	struct library l;
	char path[PATH_MAX] = "";

	(void)state;
	open_made_up(&l, 2000);
	run(&l);
	assert_ok(catalog_photos_of_root(l.catalog, 1, first_path, path, &err), &err);
	assert_int_equal(unlink(path), 0);
	size_t rows = cost_of_run(&l, NULL).rows;
	assert_int_equal(l.report.gone, 1);
	assert_int_equal(l.report.counts.unchanged, 1999);
	assert_in_range(rows, 1, 3 * MADE_UP_FOLDER);
	/* The folder was settled again at once. */
	assert_true(cost_of_run(&l, NULL).rows <= 50);
	assert_int_equal(l.report.counts.unchanged, 1999);
	close_library(&l);
}

static void a_folder_inside_is_trusted_too(void **state)
{
	struct library l;

	(void)state;
	open_made_up(&l, 2000);
	run(&l);
	assert_true(cost_of_run(&l, "2005").rows <= 50);
	assert_true(l.report.counts.unchanged > 0);
	close_library(&l);
}

/* --- nothing is missed --- */

static void delete_row(const struct library *l, const char *sql)
{
	assert_int_equal(sqlite3_exec(l->catalog->db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static void whatever_else_changes_rows_is_noticed(void **state)
{
	struct library l;

	(void)state;
	open_library(&l, 4);
	usleep(30000);
	run(&l);
	run(&l);
	assert_int_equal(l.report.counts.unchanged, 4);
	delete_row(&l, "DELETE FROM photos WHERE id = (SELECT min(id) FROM photos)");
	run(&l);
	assert_int_equal(l.report.counts.moved, 1); /* its content was kept */
	delete_row(&l, "UPDATE photos SET gone_since = 5 WHERE id = (SELECT min(id) FROM photos)");
	run(&l);
	assert_int_equal(l.report.counts.back, 1);
	delete_row(&l, "DELETE FROM embeddings WHERE content = (SELECT min(content) FROM photos)");
	run(&l);
	assert_int_equal(l.report.counts.again, 1);
	delete_row(&l, "UPDATE photos SET facts = 3 WHERE id = (SELECT min(id) FROM photos)");
	run(&l);
	assert_int_equal(l.report.counts.noted, 1);
	run(&l);
	assert_int_equal(l.report.counts.unchanged, 4);
	close_library(&l);
}

static void what_failed_is_named_again_in_an_unchanged_folder(void **state)
{
	struct library l;

	(void)state;
	open_library(&l, 3);
	test_write(in(&l, "broken.jpg"), "no picture at all", 17);
	usleep(30000);
	for (size_t i = 0; i < 3; i++) {
		run(&l);
		assert_int_equal(l.report.counts.failed, 1);
		assert_int_equal(l.report.photos, 4);
		assert_int_equal(l.report.counts.unchanged, i ? 3 : 0);
		assert_non_null(strstr(l.report.counts.failures.data, "broken.jpg"));
	}
	close_library(&l);
}

static void another_model_trusts_nothing_of_this_one(void **state)
{
	struct library l;

	(void)state;
	open_library(&l, 3);
	usleep(30000);
	run(&l);
	struct catalog_model first = l.model;
	memset(l.model.weights_digest, 'e', 32);
	assert_ok(catalog_model_put(l.catalog, &l.model, &err), &err);
	run(&l);
	assert_int_equal(l.report.counts.again, 3);
	l.model = first;
	run(&l);
	assert_int_equal(l.report.counts.unchanged, 3);
	close_library(&l);
}

/* --- the twin: a catalog that never trusts what a run left --- */

enum { FOLDERS = 5, FILES = 7, STEPS = 40 };

static void name_of(uint64_t number, char name[32])
{
	static const char *const folders[FOLDERS] = {"a", "a/b", "a-b", "c", "c/d e"};

	snprintf(name, 32, "%s/%02u.jpg", folders[number % FOLDERS], (unsigned)(number / FOLDERS % FILES));
}

/* One change of the photographs, chosen by state. */
static void change(const struct library *l, uint64_t *state)
{
	char name[32], other[32];
	uint64_t kind = test_random(state) % 8;

	name_of(test_random(state), name);
	name_of(test_random(state), other);
	if (*name == 'c' && kind != 6 && access(in(l, "c"), F_OK) != 0)
		return;
	switch (kind) {
	case 0:
	case 1:
		write_photo(in(l, name), test_random(state) % 12);
		break;
	case 2:
		unlink(in(l, name));
		break;
	case 3:
		(void)!rename(in(l, name), in(l, other));
		break;
	case 4:
		test_write(in(l, name), "broken", 6);
		break;
	case 5:
		snprintf(strrchr(name, '.'), 5, ".txt");
		test_write(in(l, name), "some words", test_random(state) % 10);
		break;
	case 6: /* a folder goes, and comes back at the next of these */
		(void)!(rename(in(l, "c"), in(l, "../away")) == 0 || rename(in(l, "../away"), in(l, "c")) == 0);
		break;
	case 7:
		(void)!truncate(in(l, name), 300);
		break;
	}
}

static void dump(const struct library *l, struct buffer *rows)
{
	sqlite3_stmt *s;

	*rows = (struct buffer){0};
	assert_int_equal(sqlite3_prepare_v2(l->catalog->db,
					    "SELECT path || '|' || size || '|' || mtime_ns || '|' || state || '|' || (gone_since <> 0) || '|' ||"
					    " facts || '|' || ifnull(hex((SELECT hash FROM contents WHERE id = content)), '') FROM photos ORDER BY path",
					    -1, &s, NULL), SQLITE_OK);
	while (sqlite3_step(s) == SQLITE_ROW)
		buffer_format(rows, "%s\n", (const char *)sqlite3_column_text(s, 0));
	sqlite3_finalize(s);
	buffer_text(rows, "");
}

static void compare(const struct library *a, const struct library *b)
{
	const struct index_report *x = &a->report, *y = &b->report;
	struct buffer rows, others;

	assert_int_equal(x->photos, y->photos);
	assert_int_equal(x->counts.added, y->counts.added);
	assert_int_equal(x->counts.changed, y->counts.changed);
	assert_int_equal(x->counts.unchanged, y->counts.unchanged);
	assert_int_equal(x->counts.moved, y->counts.moved);
	assert_int_equal(x->counts.back, y->counts.back);
	assert_int_equal(x->counts.noted, y->counts.noted);
	assert_int_equal(x->gone, y->gone);
	assert_int_equal(x->kept, y->kept);
	assert_int_equal(x->dropped, y->dropped);
	assert_int_equal(x->counts.failed, y->counts.failed);
	dump(a, &rows);
	dump(b, &others);
	assert_string_equal(rows.data, others.data);
	buffer_release(&rows);
	buffer_release(&others);
}

static void runs_that_trust_find_what_runs_find_that_compare_every_row(void **state)
{
	struct library trusting, plain;
	uint64_t random = 8;

	(void)state;
	open_library(&trusting, 0);
	plain = trusting;
	plain.report = (struct index_report){0};
	assert_ok(catalog_open(in(&plain, "../plain.db"), CATALOG_WRITE, &plain.catalog, &err), &err);
	assert_ok(catalog_model_put(plain.catalog, &plain.model, &err), &err);
	for (size_t i = 0; i < FOLDERS; i++) {
		char name[32];
		name_of(i, name);
		*strrchr(name, '/') = '\0';
		assert_ok(path_make_folder(in(&trusting, name), &err), &err);
	}
	for (size_t step = 0; step < STEPS; step++) {
		for (uint64_t n = step ? test_random(&random) % 4 : 30; n > 0; n--)
			change(&trusting, &random);
		usleep(20000);
		trusting.options.prune = plain.options.prune = step % 13 == 12;
		trusting.options.retry = plain.options.retry = step % 7 == 6;
		delete_row(&plain, "UPDATE walks SET whole = 0");
		const char *folder = step % 5 == 4 && access(in(&trusting, "c"), F_OK) == 0 ? "c" : NULL;
		assert_ok(run_on(&trusting, folder), &err);
		assert_ok(run_on(&plain, folder), &err);
		compare(&trusting, &plain);
	}
	expect_sound(&trusting);
	close_library(&trusting);
	close_library(&plain);
}

TEST_MAIN(cmocka_unit_test(an_unchanged_library_costs_a_row_for_each_folder), cmocka_unit_test(a_change_costs_the_rows_of_its_folder),
	  cmocka_unit_test(a_folder_inside_is_trusted_too), cmocka_unit_test(whatever_else_changes_rows_is_noticed),
	  cmocka_unit_test(what_failed_is_named_again_in_an_unchanged_folder), cmocka_unit_test(another_model_trusts_nothing_of_this_one),
	  cmocka_unit_test(runs_that_trust_find_what_runs_find_that_compare_every_row))
