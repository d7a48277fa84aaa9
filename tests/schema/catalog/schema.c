/* The tables: a new catalog, made from schema.sql, and one that came from any older version by migrate.c's steps are the same. */
#include "tests/support.h"

#include <ctype.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "schema/catalog/internal.h"

#include "schema/base/banned.h"

static struct err err;

/* Comments and white space do not count: one space between words, none beside punctuation. */
static void append_plain(struct buffer *all, const char *sql)
{
	bool space = false;

	for (const char *p = sql; *p; p++) {
		if (p[0] == '-' && p[1] == '-')
			p += strcspn(p, "\n");
		if (isspace((unsigned char)*p) || !*p) {
			space = true;
			if (!*p)
				break;
			continue;
		}
		bool punctuation = strchr("(),;", *p), behind = all->size && strchr("(),;\n", all->data[all->size - 1]);
		if (space && !punctuation && !behind)
			buffer_text(all, " ");
		buffer_append(all, p, 1);
		space = false;
	}
	buffer_text(all, "\n");
}

/* Every table, index and trigger, by name; the caller's to free. */
static char *schema_of(const char *path)
{
	struct buffer all = {0};
	sqlite3 *db;
	sqlite3_stmt *s;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type, name",
					    -1, &s, NULL), SQLITE_OK);
	while (sqlite3_step(s) == SQLITE_ROW)
		append_plain(&all, (const char *)sqlite3_column_text(s, 0));
	sqlite3_finalize(s);
	sqlite3_close(db);
	assert_false(all.failed);
	return all.data;
}

static char *fresh_schema(void)
{
	const char *path = test_path(test_folder(), "fresh.db");
	struct catalog *catalog;

	assert_ok(catalog_open(path, CATALOG_WRITE, &catalog, &err), &err);
	catalog_close(catalog);
	return schema_of(path);
}

/* tests/data/catalog-v1.db as the program of a version would have left it. */
static const char *old_catalog(int version)
{
	char name[32], pragma[64];
	unsigned char *bytes;
	size_t size;
	sqlite3 *db;

	snprintf(name, sizeof name, "v%d.db", version);
	const char *path = test_path(test_folder(), name);
	assert_ok(file_read("tests/data/catalog-v1.db", 1 << 20, &bytes, &size, &err), &err);
	test_write(path, bytes, size);
	free(bytes);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	for (int v = 1; v < version; v++)
		assert_int_equal(sqlite3_exec(db, catalog_steps[v], NULL, NULL, NULL), SQLITE_OK);
	snprintf(pragma, sizeof pragma, "PRAGMA user_version = %d", version);
	assert_int_equal(sqlite3_exec(db, pragma, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	return path;
}

static void catalog_of_any_version_becomes_what_a_new_one_is(void **state)
{
	(void)state;
	char *fresh = fresh_schema();

	assert_non_null(strstr(fresh, "CREATE TRIGGER photos_walk_changed"));
	for (int version = 1; version <= CATALOG_VERSION; version++) {
		const char *path = old_catalog(version);
		struct catalog *catalog;
		assert_ok(catalog_open(path, CATALOG_WRITE, &catalog, &err), &err);
		catalog_close(catalog);
		char *migrated = schema_of(path);
		assert_string_equal(migrated, fresh);
		free(migrated);
	}
	free(fresh);
}

static void comments_and_white_space_do_not_count(void **state)
{
	(void)state;
	struct buffer all = {0};

	append_plain(&all, "CREATE  TABLE t (\n\ta INTEGER, -- number\n\tb TEXT\n)");
	assert_string_equal(all.data, "CREATE TABLE t(a INTEGER,b TEXT)\n");
	buffer_release(&all);
}

TEST_MAIN(cmocka_unit_test(comments_and_white_space_do_not_count), cmocka_unit_test(catalog_of_any_version_becomes_what_a_new_one_is))
