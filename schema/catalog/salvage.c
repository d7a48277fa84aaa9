/* salvage.c: what can still be read of a damaged catalog goes into a new one, which takes its place; the old one is kept beside it.
 *
 * Tables are copied row by row: by their numbers, or by what their key refers to. So what is lost is what lies on damaged pages, no more.
 * Where an index holds a copy of what a table lost, that is taken, and embeddings are looked for on every page (pages.c), being what is
 * dear: a photograph of which only the path is left is known again by the next run, by its hash, and is not embedded again.
 *
 * Meanwhile the old file is locked, its log emptied into it and gone; the new one is written without a log and synced before it is renamed.
 * So a name always leads to a whole catalog, and nobody has one open whose log would lie under the name of the other's.
 */
#include "schema/catalog/maintenance.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "schema/catalog/internal.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { MISSED_MOST = 300000 /* numbers in a row: more than an inner page leads to */ };

struct salvage {
	struct catalog *old, *new;
};

static enum status prepare(struct catalog *catalog, sqlite3_stmt **s, struct err *err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	char *sql = sqlite3_vmprintf(format, args);
	va_end(args);
	*s = NULL;
	if (!sql)
		return err_memory(err, "a statement");
	int code = sqlite3_prepare_v2(catalog->db, sql, -1, s, NULL);
	sqlite3_free(sql);
	return code == SQLITE_OK ? STATUS_OK : catalog_failed(catalog, err);
}

/* --- tables --- */

/* Puts the rows that s yields into the new catalog. *last: the first column of the last one. Damage ends it without an error: *whole is
 * false then. A row that breaks a rule of its table is damaged, too. */
static enum status take_rows(struct salvage *v, sqlite3_stmt *s, sqlite3_stmt *insert, int64_t *last, bool *whole, struct err *err)
{
	int code;

	while ((code = sqlite3_step(s)) == SQLITE_ROW) {
		*last = sqlite3_column_int64(s, 0);
		for (int i = 0; i < sqlite3_column_count(s); i++)
			sqlite3_bind_value(insert, i + 1, sqlite3_column_value(s, i));
		code = sqlite3_step(insert);
		sqlite3_reset(insert);
		if (code != SQLITE_DONE && code != SQLITE_CONSTRAINT)
			return catalog_failed(v->new, err);
	}
	*whole = code == SQLITE_DONE;
	sqlite3_reset(s);
	return code == SQLITE_NOMEM ? err_memory(err, "a row") : STATUS_OK;
}

/* s: rows from number ?1 on. Behind a damaged page it goes on at the next number that is found. */
static enum status take_numbered(struct salvage *v, sqlite3_stmt *s, sqlite3_stmt *insert, struct err *err)
{
	enum status status = STATUS_OK;
	bool whole = false;
	int missed = 0;

	for (int64_t at = 1, last; status == STATUS_OK && !whole && missed < MISSED_MOST;) {
		sqlite3_bind_int64(s, 1, at);
		last = at - 1;
		status = take_rows(v, s, insert, &last, &whole, err);
		missed = last < at ? missed + 1 : 0;
		at = last < at || last == INT64_MAX ? at + 1 : last + 1;
	}
	return status;
}

/* Of tables without numbers those that are not made again at once; each row is asked for by what the first columns of its key refer to. */
static const struct {
	const char *table, *keys, *where;
} keyed[] = {
	{"embeddings", "SELECT m.id, c.id FROM models m, contents c", "model = ?1 AND content = ?2"},
	{"captions", "SELECT m.id, c.id FROM models m, contents c", "model = ?1 AND content = ?2"},
	{"text_embeddings", "SELECT m.id, t.id FROM models m, texts t", "model = ?1 AND text = ?2"},
	{"text_nulls", "SELECT m.id, t.id FROM models m, texts t", "model = ?1 AND text = ?2"},
	{"photo_texts", "SELECT id, NULL FROM photos", "photo = ?1 AND ?2 IS NULL"},
};

static enum status take_keyed(struct salvage *v, const char *select, sqlite3_stmt *s, sqlite3_stmt *insert, struct err *err)
{
	sqlite3_stmt *keys;
	int64_t last;
	bool whole;
	enum status status = prepare(v->new, &keys, err, "%s", select);

	while (status == STATUS_OK && sqlite3_step(keys) == SQLITE_ROW) {
		sqlite3_bind_value(s, 1, sqlite3_column_value(keys, 0));
		sqlite3_bind_value(s, 2, sqlite3_column_value(keys, 1));
		status = take_rows(v, s, insert, &last, &whole, err);
	}
	sqlite3_finalize(keys);
	return status;
}

/* Columns are told by their places, as new ones come last; their names may be damaged. keys: NULL for a table with numbers. A table that an
 * old file has not, or that cannot be found in it, has nothing to give. */
static enum status copy_table(struct salvage *v, const char *table, const char *keys, const char *where, struct err *err)
{
	sqlite3_stmt *s, *all = NULL, *insert = NULL;
	struct buffer names = {0}, marks = {0};
	enum status status = prepare(v->old, &s, err, "SELECT * FROM %s WHERE %s", table, where);

	if (!s)
		return status == STATUS_MEMORY ? status : STATUS_OK;
	status = prepare(v->new, &all, err, "SELECT * FROM %s", table);
	for (int i = 0; i < sqlite3_column_count(s) && i < sqlite3_column_count(all); i++) {
		buffer_format(&names, "%s\"%s\"", i ? ", " : "", sqlite3_column_name(all, i));
		buffer_text(&marks, i ? ", ?" : "?");
	}
	if (status == STATUS_OK && (names.failed || marks.failed))
		status = err_memory(err, "a statement");
	if (status == STATUS_OK)
		status = prepare(v->new, &insert, err, "INSERT OR IGNORE INTO %s (%s) VALUES (%s)", table, names.data, marks.data);
	if (status == STATUS_OK)
		status = keys ? take_keyed(v, keys, s, insert, err) : take_numbered(v, s, insert, err);
	sqlite3_finalize(s);
	sqlite3_finalize(all);
	sqlite3_finalize(insert);
	buffer_release(&names);
	buffer_release(&marks);
	return status;
}

/* What unique indexes know of rows that a table lost. Other sizes of a model are set when it is next opened. */
static const struct {
	const char *select, *insert; /* which takes the columns that select yields, in either order */
} indexes[] = {
	{"SELECT id, hash FROM contents INDEXED BY sqlite_autoindex_contents_1 ORDER BY hash",
	 "INSERT OR IGNORE INTO contents (id, hash) VALUES (?, ?)"},
	{"SELECT id, config_digest, weights_digest, ifnull((SELECT length(vector) / 2 FROM embeddings e WHERE e.model = models.id), 1)"
	 " FROM models INDEXED BY sqlite_autoindex_models_1 ORDER BY config_digest",
	 "INSERT OR IGNORE INTO models (id, config_digest, weights_digest, name, dim, tokens, width) VALUES (?, ?, ?, 'recovered', ?, 0, 0)"},
	{"SELECT id, path FROM roots INDEXED BY sqlite_autoindex_roots_1 ORDER BY path", "INSERT OR IGNORE INTO roots (id, path) VALUES (?, ?)"},
	{"SELECT id, path FROM photos INDEXED BY sqlite_autoindex_photos_1 ORDER BY path",
	 "INSERT OR IGNORE INTO photos (id, root, path, size, mtime_ns, state, gone_since, width, height, orientation) SELECT ?1, id, ?2,"
	 " 0, 0, 0, 0, 0, 0, 1 FROM roots WHERE path = ?2 OR substr(?2, 1, length(path) + 1) = CAST(rtrim(path, '/') || '/' AS BLOB)"
	 " ORDER BY length(path) DESC LIMIT 1"},
};

static enum status copy_index(struct salvage *v, const char *select, const char *insert, struct err *err)
{
	static const char *const orders[] = {"ASC", "DESC"};
	sqlite3_stmt *s, *put;
	int64_t last;
	bool whole = false;
	enum status status = prepare(v->new, &put, err, "%s", insert);

	for (size_t i = 0; i < 2 && status == STATUS_OK && !whole; i++) {
		if (prepare(v->old, &s, NULL, "%s %s", select, orders[i]) == STATUS_OK)
			status = take_rows(v, s, put, &last, &whole, err);
		sqlite3_finalize(s);
	}
	sqlite3_finalize(put);
	return status;
}

/* meta stays new: with the old uuid, a vector file of the old catalog might pass for one of this. index_state is filled by triggers. */
static enum status copy_tables(struct salvage *v, struct err *err)
{
	sqlite3_stmt *s;
	enum status status = prepare(v->new, &s, err, "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND NOT wr"
						      " AND name NOT LIKE 'sqlite_%%' AND name <> 'index_state'");

	while (status == STATUS_OK && sqlite3_step(s) == SQLITE_ROW)
		status = copy_table(v, (const char *)sqlite3_column_text(s, 0), NULL, "rowid >= ? ORDER BY rowid", err);
	sqlite3_finalize(s);
	for (size_t i = 0; i < sizeof indexes / sizeof *indexes && status == STATUS_OK; i++)
		status = copy_index(v, indexes[i].select, indexes[i].insert, err);
	for (size_t i = 0; i < sizeof keyed / sizeof *keyed && status == STATUS_OK; i++)
		status = copy_table(v, keyed[i].table, keyed[i].keys, keyed[i].where, err);
	return status;
}

/* --- making it whole --- */

/* Rows that refer to what is lost go; a photograph whose content or embedding is lost stays, to be read again. Tables are made in an
 * order in which a row refers to earlier ones. */
static enum status mend(struct salvage *v, struct err *err)
{
	sqlite3_stmt *s = NULL;
	enum status status = catalog_execute(v->new,
		"UPDATE photos SET content = NULL, state = 1, error = 'what was known of it is lost; hint: coca index' WHERE state = 0 AND"
		" (content IS NULL OR content NOT IN (SELECT content FROM embeddings));"
		"UPDATE photos SET content = NULL WHERE content NOT IN (SELECT id FROM contents);"
		"UPDATE photos SET error = 'not known' WHERE state = 1 AND ifnull(error, '') = '';"
		"UPDATE OR IGNORE texts SET content = NULL WHERE content NOT IN (SELECT id FROM contents);"
		"DELETE FROM image_tokens WHERE id NOT IN (SELECT id FROM token_blobs)"
		" OR model NOT IN (SELECT id FROM models WHERE tokens > 0);"
		"DELETE FROM encoder_tokens WHERE id NOT IN (SELECT id FROM encoder_blobs);"
		/* A label without its head, or a head that lost one, is no head. */
		"DELETE FROM heads WHERE id NOT IN (SELECT head FROM labels)", err);

	if (status == STATUS_OK)
		status = prepare(v->new, &s, err, "SELECT printf('DELETE FROM \"%%w\" WHERE \"%%w\" NOT IN (SELECT \"%%w\" FROM \"%%w\")', t.name, f.\"from\","
						  " f.\"to\", f.\"table\") FROM sqlite_schema t, pragma_foreign_key_list(t.name) f"
						  " WHERE t.type = 'table' ORDER BY t.rowid");
	while (status == STATUS_OK && sqlite3_step(s) == SQLITE_ROW)
		status = catalog_execute(v->new, (const char *)sqlite3_column_text(s, 0), err);
	sqlite3_finalize(s);
	return status;
}

static enum status fill(struct salvage *v, struct catalog_salvage *saved, struct err *err)
{
	struct catalog_counts counts;
	int64_t unread;
	enum status status = catalog_begin(v->new, err);

	if (status == STATUS_OK)
		status = copy_tables(v, err);
	if (status == STATUS_OK)
		status = catalog_search_pages(v->old, v->new, err);
	if (status == STATUS_OK)
		status = mend(v, err);
	if (status == STATUS_OK)
		status = catalog_count(v->new, 0, &counts, err);
	if (status == STATUS_OK)
		status = catalog_number(v->new, "SELECT count(*) FROM photos WHERE state = 1 AND content IS NULL", NO_VALUES, &unread, err);
	if (status == STATUS_OK && !(counts.photos + counts.embeddings + counts.texts))
		status = err_set(err, STATUS_FORMAT, "nothing in the catalog '%s' can be read", v->old->path);
	if (status != STATUS_OK)
		return status;
	saved->photos = (size_t)counts.photos;
	saved->embeddings = (size_t)counts.embeddings;
	saved->texts = (size_t)counts.texts;
	saved->unread = (size_t)unread;
	return catalog_commit(v->new, err);
}

/* --- files --- */

/* With a second name the old catalog is there until the new one is; file systems without second names have an instant with none. */
static enum status put_in_place(const char *path, struct file_writer *w, struct catalog_salvage *saved, struct err *err)
{
	time_t now = time(NULL);
	struct tm date = {0};
	char when[32];
	bool linked, moved = false;

	gmtime_r(&now, &date);
	strftime(when, sizeof when, "%Y%m%d-%H%M%S", &date);
	snprintf(saved->kept, sizeof saved->kept, "%s.damaged-%s", path, when);
	for (int i = 2; !(linked = link(path, saved->kept) == 0) && errno == EEXIST && i < 100; i++)
		snprintf(saved->kept, sizeof saved->kept, "%s.damaged-%s-%d", path, when, i);
	if (!linked && (errno == EEXIST || !(moved = rename(path, saved->kept) == 0)))
		return err_set(err, STATUS_IO, "cannot keep the damaged catalog as '%s': %s", saved->kept, strerror(errno));
	enum status status = file_writer_commit(w, err);
	if (status != STATUS_OK && (moved ? rename(saved->kept, path) : unlink(saved->kept)) != 0)
		err_prefix(err, "the damaged catalog is now '%s'", saved->kept);
	return status;
}

enum status catalog_salvage(const char *path, struct catalog_salvage *saved, struct err *err)
{
	struct salvage v = {0};
	struct file_writer w = {0};
	enum status status = catalog_open_alone(path, &v.old, err);

	*saved = (struct catalog_salvage){0};
	if (status == STATUS_OK)
		status = file_writer_open(v.old->path, &w, err);
	if (status == STATUS_OK)
		status = catalog_open_fresh(w.temporary, &v.new, err);
	if (status == STATUS_OK)
		status = fill(&v, saved, err);
	catalog_close(v.new);
	if (status == STATUS_OK)
		status = put_in_place(v.old->path, &w, saved, err);
	if (status != STATUS_OK)
		file_writer_abort(&w);
	catalog_close(v.old);
	return status;
}
