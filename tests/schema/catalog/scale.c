/* What questions to a large catalog cost, counted in what SQLite does for them, never in seconds. */
#include "tests/made_up.h"

#include <sqlite3.h>

#include "schema/catalog/models.h"
#include "schema/catalog/folders.h"
#include "schema/catalog/internal.h"

#include "schema/base/banned.h"

enum { PHOTOS = 5000, DIM = 16, YEAR = PHOTOS / MADE_UP_YEARS, PLACE = 200 /* photographs at one place */ };

static struct catalog *catalog;

static int make_library(void **state)
{
	struct catalog_model model;

	(void)state;
	return made_up_open(PHOTOS, DIM, &model, &catalog);
}

static int close_library(void **state)
{
	catalog_close(catalog);
	return test_folders_remove(state);
}

/* --- what it cost --- */

struct cost {
	char sql[4096]; /* with its values */
	int steps, scanned, sorted; /* instructions of SQLite's machine; rows that no index led to; sorts */
	size_t rows;
};

static int take_cost(unsigned kind, void *context, void *statement, void *unused)
{
	struct cost *cost = context;

	(void)unused;
	if (kind == SQLITE_TRACE_ROW) {
		cost->rows++;
		return 0;
	}
	char *sql = sqlite3_expanded_sql(statement);
	assert_non_null(sql);
	snprintf(cost->sql, sizeof cost->sql, "%s", sql);
	sqlite3_free(sql);
	cost->steps += sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_VM_STEP, 1);
	cost->scanned += sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_FULLSCAN_STEP, 1);
	cost->sorted += sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_SORT, 1);
	return 0;
}

static void watch(struct cost *cost)
{
	*cost = (struct cost){{0}, 0, 0, 0, 0};
	sqlite3_trace_v2(catalog->db, SQLITE_TRACE_ROW | SQLITE_TRACE_PROFILE, take_cost, cost);
}

static void unwatch(void)
{
	sqlite3_trace_v2(catalog->db, 0, NULL, NULL);
}

/* Lines of SQLite's plan for the statement that was watched last. */
static void plan_of(const struct cost *cost, struct buffer *plan)
{
	struct buffer sql = {0};
	sqlite3_stmt *s;

	buffer_format(&sql, "EXPLAIN QUERY PLAN %s", cost->sql);
	assert_int_equal(sqlite3_prepare_v2(catalog->db, sql.data, -1, &s, NULL), SQLITE_OK);
	while (sqlite3_step(s) == SQLITE_ROW)
		buffer_format(plan, "%s\n", (const char *)sqlite3_column_text(s, 3));
	sqlite3_finalize(s);
	buffer_release(&sql);
}

/* --- filters --- */

/* What passes when each photo is asked by itself. */
static size_t plain_filter(const struct photo_filter *filter, int64_t *contents)
{
	struct err err;
	sqlite3_stmt *s;
	size_t n = 0;

	assert_int_equal(sqlite3_prepare_v2(catalog->db, "SELECT id, content FROM photos ORDER BY content", -1, &s, NULL), SQLITE_OK);
	while (sqlite3_step(s) == SQLITE_ROW) {
		bool passes;
		assert_ok(catalog_filter_photo(catalog, filter, sqlite3_column_int64(s, 0), &passes, &err), &err);
		if (passes && !(n && contents[n - 1] == sqlite3_column_int64(s, 1)))
			contents[n++] = sqlite3_column_int64(s, 1);
	}
	sqlite3_finalize(s);
	return n;
}

/* scans: rows that it may go through without an index; looked: rows, of photos or texts, that an index leads to and that need not pass. */
static void expect_cost(const struct photo_filter *filter, bool some, int scans, int looked, const char *plan)
{
	struct err err;
	struct cost cost;
	struct buffer lines = {0};
	int64_t *contents, *plain = mem_array(PHOTOS, sizeof *plain);
	size_t n;

	watch(&cost);
	assert_ok(catalog_filter(catalog, filter, &contents, &n, &err), &err);
	unwatch();
	plan_of(&cost, &lines);
	print_message("%zu pass, %d scanned, %d steps\n%s", n, cost.scanned, cost.steps, lines.data);
	assert_int_equal(some, n > 0);
	assert_int_equal(n, plain_filter(filter, plain));
	assert_memory_equal(contents, plain, n * sizeof *plain);
	assert_true(cost.scanned <= scans);
	assert_true(cost.steps <= 400 + 30 * (scans + looked + (int)cost.rows));
	assert_int_equal(cost.sorted, 0);
	assert_non_null(strstr(lines.data, plan));
	buffer_release(&lines);
	free(contents);
	free(plain);
}

static int64_t day_of(int year, int day)
{
	return (int64_t)(year - 1970) * 31556952 + (int64_t)day * 86400;
}

static struct photo_filter near_somewhere(void)
{
	uint64_t place = made_up_seed(5, made_up_seed(6, 0) % MADE_UP_PLACES);
	return (struct photo_filter){.has_near = true, .latitude = -50 + (double)(place % 11000) / 100,
				     .longitude = -180 + (double)(place / 11000 % 36000) / 100, .km = 20};
}

static void a_folder_is_found_by_its_path(void **state)
{
	(void)state;
	expect_cost(&(struct photo_filter){.in = "/photos/2014"}, true, 0, 0, "INDEX sqlite_autoindex_photos_1 (path>? AND path<?)");
	expect_cost(&(struct photo_filter){.in = "/photos/201"}, false, 0, 0, "INDEX sqlite_autoindex_photos_1 (path>? AND path<?)");
}

static void a_time_is_found_without_a_look_at_rows(void **state)
{
	struct photo_filter year = {.has_since = true, .has_until = true, .since = day_of(2014, 0), .until = day_of(2015, 0)};
	struct photo_filter late = {.has_since = true, .since = day_of(2010, 0)}, never = {.has_since = true, .since = day_of(2090, 0)};

	(void)state;
	expect_cost(&year, true, 0, 0, "COVERING INDEX photos_taken (taken_at>? AND taken_at<?)");
	expect_cost(&late, true, 0, 0, "COVERING INDEX photos_taken (taken_at>?)");
	expect_cost(&never, false, 0, 0, "COVERING INDEX photos_taken (taken_at>?)");
}

static void a_place_is_found_without_a_look_at_rows(void **state)
{
	struct photo_filter filter = near_somewhere();

	(void)state;
	expect_cost(&filter, true, 0, 0, "COVERING INDEX photos_place (latitude>? AND latitude<?)");
}

static void a_camera_is_found_in_an_index_of_cameras(void **state)
{
	(void)state;
	expect_cost(&(struct photo_filter){.camera = "nikon"}, true, PHOTOS, 0, "COVERING INDEX photos_camera");
	expect_cost(&(struct photo_filter){.camera = "no such"}, false, PHOTOS, 0, "COVERING INDEX photos_camera");
}

static void words_are_looked_for_once_in_each_text(void **state)
{
	(void)state;
	expect_cost(&(struct photo_filter){.text = "dog"}, true, 0, PHOTOS / 8, "SEARCH photos USING INDEX photos_content (content=?)");
}

static void of_several_conditions_the_narrow_one_leads(void **state)
{
	struct photo_filter near = near_somewhere(), all = {.in = "/photos/2014", .camera = "canon", .text = "dog"};

	(void)state;
	near.in = "/photos/2005";
	near.camera = "a";
	expect_cost(&near, true, 0, PLACE, "INDEX photos_place (latitude>? AND latitude<?)");
	expect_cost(&all, true, 0, YEAR, "INDEX sqlite_autoindex_photos_1 (path>? AND path<?)");
}

/* But for cameras, whose index is gone through, no row is scanned, and none of photos is looked at. */
static void a_negation_is_answered_from_indexes(void **state)
{
	const struct photo_filter nots[] = {{.in = "/photos/2014"}, {.camera = "apple"}, {.text = "dog"},
					    {.has_since = true, .since = day_of(2010, 0)}, {.in = "/photos/2014", .except = &nots[2]},
					    {.in = "/photos", .camera = "nikon"}, {.except = &nots[0]}};

	(void)state;
	for (size_t i = 0; i < sizeof nots / sizeof *nots; i++)
		expect_cost(&(struct photo_filter){.except = &nots[i]}, true, nots[i].camera ? PHOTOS : 0, PHOTOS / 8,
			    "COVERING INDEX photos_content (content>?)");
	expect_cost(&(struct photo_filter){.except = &(struct photo_filter){.in = "/photos"}}, false, 0, 0, "COVERING INDEX photos_content");
	expect_cost(&(struct photo_filter){.in = "/photos/2014", .except = &nots[1]}, true, 0, YEAR, "(path>? AND path<?)");
}

/* --- folders --- */

static enum status count_photo(void *context, const struct photo *photo, struct err *err)
{
	(void)photo;
	(void)err;
	++*(size_t *)context;
	return STATUS_OK;
}

static void the_photos_of_a_folder_are_read_without_those_of_its_folders(void **state)
{
	struct err err;
	struct cost cost;
	size_t n = 0;

	(void)state;
	watch(&cost);
	assert_ok(catalog_photos_of_folder(catalog, "/photos/2014", count_photo, &n, &err), &err);
	assert_ok(catalog_photos_of_folder(catalog, "/photos", count_photo, &n, &err), &err);
	unwatch();
	assert_int_equal(n, 0);
	assert_true(cost.rows <= MADE_UP_YEARS + PHOTOS / MADE_UP_FOLDER);
	assert_ok(catalog_photos_of_folder(catalog, "/", count_photo, &n, &err), &err);
	assert_int_equal(n, 0);
}

static void a_photo_that_changes_makes_no_walk_whole(void **state)
{
	struct err err;
	bool whole;

	(void)state;
	assert_ok(catalog_walk_put(catalog, 1, "/photos", &err), &err);
	assert_ok(catalog_walk_whole(catalog, 1, "/photos/2014", &whole, &err), &err);
	assert_true(whole);
	assert_ok(catalog_walk_whole(catalog, 1, "/photo", &whole, &err), &err);
	assert_false(whole);
	assert_ok(catalog_walk_whole(catalog, 2, "/photos", &whole, &err), &err);
	assert_false(whole);
	assert_int_equal(sqlite3_exec(catalog->db, "UPDATE photos SET size = size, camera = 'another' WHERE id = 1", NULL, NULL, NULL), SQLITE_OK);
	assert_ok(catalog_walk_whole(catalog, 1, "/photos", &whole, &err), &err);
	assert_true(whole);
	assert_int_equal(sqlite3_exec(catalog->db, "UPDATE photos SET size = size + 1 WHERE id = 1", NULL, NULL, NULL), SQLITE_OK);
	assert_ok(catalog_walk_whole(catalog, 1, "/photos", &whole, &err), &err);
	assert_false(whole);
}

static void folders_are_listed_below_a_path(void **state)
{
	static const char *const paths[] = {"/x/a", "/x/a/b", "/x/a b", "/x"};
	struct err err;
	size_t n = 0;
	struct catalog_folder folder = {.stamped = true, .stamp = {1, 2}, .photos = 3};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		folder.path = paths[i];
		assert_ok(catalog_folder_put(catalog, 1, &folder, &err), &err);
	}
	assert_ok(catalog_folders_each(catalog, 1, "/x/a", (folder_visitor)count_photo, &n, &err), &err);
	assert_int_equal(n, 2);
	assert_ok(catalog_folder_delete(catalog, 1, "/x/a", &err), &err);
	assert_ok(catalog_folders_each(catalog, 1, "/x/", (folder_visitor)count_photo, &n, &err), &err);
	assert_int_equal(n, 5);
	assert_ok(catalog_folders_delete(catalog, 1, "/x", &err), &err);
	assert_ok(catalog_folders_each(catalog, 1, "/", (folder_visitor)count_photo, &n, &err), &err);
	assert_int_equal(n, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_folder_is_found_by_its_path),
		cmocka_unit_test(a_time_is_found_without_a_look_at_rows),
		cmocka_unit_test(a_place_is_found_without_a_look_at_rows),
		cmocka_unit_test(a_camera_is_found_in_an_index_of_cameras),
		cmocka_unit_test(words_are_looked_for_once_in_each_text),
		cmocka_unit_test(of_several_conditions_the_narrow_one_leads),
		cmocka_unit_test(a_negation_is_answered_from_indexes),
		cmocka_unit_test(the_photos_of_a_folder_are_read_without_those_of_its_folders),
		cmocka_unit_test(a_photo_that_changes_makes_no_walk_whole),
		cmocka_unit_test(folders_are_listed_below_a_path),
	};

	return cmocka_run_group_tests(tests, make_library, close_library) ? 1 : 0;
}
