/* salvage.c: what can still be read of a damaged catalog goes into a new one; the old one is kept beside it.
 *
 * A table is read from both ends until a damaged page stops each, then between these places in ever smaller steps: what is lost is
 * what lies on damaged pages, no more. Where an index holds a copy of what a table lost, that is taken. Embeddings are what is
 * dear: a photograph whose row is lost is found again by the next run, by its hash, and is not embedded again.
 */
#include "schema/catalog/maintenance.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "schema/catalog/internal.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { LOOKS_MOST = 20000 /* at gaps of one table */, LOST_NAMED = 20 };

struct salvage {
	struct catalog *old, *new;
	problem_reporter report;
	void *context;
	struct catalog_salvage *saved;
};

/* --- any table --- */

struct table {
	char name[64];
	bool rowless;             /* WITHOUT ROWID */
	struct buffer columns;    /* "a, b", of both versions */
	size_t column_count;
	sqlite3_stmt *insert;
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

/* Columns that both files have. An old table that cannot be found has none. */
static enum status find_columns(struct salvage *v, struct table *table, struct err *err)
{
	sqlite3_stmt *s = NULL, *known = NULL;
	struct buffer marks = {0};
	enum status status = prepare(v->new, &s, err, "SELECT name FROM pragma_table_info(%Q)", table->name);

	if (status == STATUS_OK)
		status = prepare(v->old, &known, err, "SELECT 1 FROM pragma_table_info(%Q) WHERE name = ?", table->name);
	while (status == STATUS_OK && sqlite3_step(s) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(s, 0);
		sqlite3_bind_text(known, 1, name, -1, SQLITE_TRANSIENT);
		if (sqlite3_step(known) == SQLITE_ROW) {
			buffer_format(&table->columns, "%s\"%s\"", table->column_count ? ", " : "", name);
			buffer_text(&marks, table->column_count++ ? ", ?" : "?");
		}
		sqlite3_reset(known);
	}
	sqlite3_finalize(s);
	sqlite3_finalize(known);
	if (status == STATUS_OK && (table->columns.failed || marks.failed))
		status = err_memory(err, "a statement");
	if (status == STATUS_OK && table->column_count)
		status = prepare(v->new, &table->insert, err, "INSERT OR IGNORE INTO %s (%s) VALUES (%s)", table->name, table->columns.data,
				 marks.data);
	buffer_release(&marks);
	return status;
}

/* Puts the rows that s yields, of which the first column is a row's number, into the table. *last: the number of the last one.
 * Damage ends it without an error: *whole is false then. A row that breaks a rule of the table is damaged, too. */
static enum status take_rows(struct salvage *v, struct table *table, sqlite3_stmt *s, int64_t *last, bool *whole, struct err *err)
{
	int code;

	while ((code = sqlite3_step(s)) == SQLITE_ROW) {
		*last = sqlite3_column_int64(s, 0);
		for (int i = 0; i < (int)table->column_count; i++)
			sqlite3_bind_value(table->insert, i + 1, sqlite3_column_value(s, i + 1));
		code = sqlite3_step(table->insert);
		sqlite3_reset(table->insert);
		if (code != SQLITE_DONE && code != SQLITE_CONSTRAINT)
			return catalog_failed(v->new, err);
	}
	*whole = code == SQLITE_DONE;
	sqlite3_reset(s);
	return code == SQLITE_NOMEM ? err_memory(err, "a row") : STATUS_OK;
}

struct gap {
	int64_t low, high;
};

static enum status read_end(struct salvage *v, struct table *table, sqlite3_stmt *s, struct gap gap, int64_t *last, bool *whole,
			    struct err *err)
{
	sqlite3_bind_int64(s, 1, gap.low);
	sqlite3_bind_int64(s, 2, gap.high);
	return take_rows(v, table, s, last, whole, err);
}

/* Widest gaps first: a queue. */
static enum status read_gaps(struct salvage *v, struct table *table, sqlite3_stmt *up, sqlite3_stmt *down, struct gap first,
			     struct err *err)
{
	struct gap *gaps = mem_array(LOOKS_MOST + 2, sizeof *gaps);
	size_t head = 0, count = 0;
	enum status status = gaps ? STATUS_OK : err_memory(err, "a table");

	if (gaps)
		gaps[count++] = first;
	while (head < count && status == STATUS_OK) {
		struct gap gap = gaps[head++];
		int64_t low = gap.low - 1, high = gap.high;
		bool whole;
		status = read_end(v, table, up, gap, &low, &whole, err);
		if (status != STATUS_OK || whole)
			continue;
		high = gap.high + 1;
		gap.low = low + 1;
		status = read_end(v, table, down, gap, &high, &whole, err);
		gap.high = high - 1;
		if (status != STATUS_OK || whole || gap.low >= gap.high || count + 2 > LOOKS_MOST)
			continue;
		int64_t middle = gap.low + (gap.high - gap.low) / 2;
		gaps[count++] = (struct gap){gap.low, middle};
		gaps[count++] = (struct gap){middle + 1, gap.high};
	}
	free(gaps);
	return status;
}

static int64_t number(struct catalog *catalog, const char *format, const char *name, int64_t fallback)
{
	sqlite3_stmt *s;
	int64_t value = fallback;

	if (prepare(catalog, &s, NULL, format, name) == STATUS_OK && sqlite3_step(s) == SQLITE_ROW && sqlite3_column_type(s, 0) != SQLITE_NULL)
		value = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return value;
}

static enum status copy_numbered(struct salvage *v, struct table *table, struct err *err)
{
	sqlite3_stmt *up = NULL, *down = NULL;
	int64_t most = number(v->old, "SELECT seq FROM sqlite_sequence WHERE name = %Q", table->name, (int64_t)1 << 32);
	struct gap all = {1, number(v->old, "SELECT max(rowid) FROM %s NOT INDEXED", table->name, most)};
	enum status status = prepare(v->old, &up, err, "SELECT rowid, %s FROM %s NOT INDEXED WHERE rowid BETWEEN ? AND ? ORDER BY rowid",
				     table->columns.data, table->name);

	if (status == STATUS_OK)
		status = prepare(v->old, &down, err, "SELECT rowid, %s FROM %s NOT INDEXED WHERE rowid BETWEEN ? AND ? ORDER BY rowid DESC",
				 table->columns.data, table->name);
	if (status == STATUS_OK)
		status = read_gaps(v, table, up, down, all, err);
	sqlite3_finalize(up);
	sqlite3_finalize(down);
	return status;
}

/* The rows that both ends do not reach are asked for one by one: every table of this kind that matters is keyed by a model and a
 * content or a text. */
static enum status ask_for_rows(struct salvage *v, struct table *table, const char *column, struct err *err)
{
	const char *parent = strcmp(column, "content") == 0 ? "contents" : "texts";
	sqlite3_stmt *keys = NULL, *one = NULL;
	int64_t last;
	bool whole;
	enum status status = prepare(v->new, &keys, err, "SELECT m.id, p.id FROM models m, %s p", parent);

	if (status == STATUS_OK)
		status = prepare(v->old, &one, err, "SELECT 0, %s FROM %s WHERE model = ? AND %s = ?", table->columns.data, table->name, column);
	while (status == STATUS_OK && sqlite3_step(keys) == SQLITE_ROW) {
		sqlite3_bind_int64(one, 1, sqlite3_column_int64(keys, 0));
		sqlite3_bind_int64(one, 2, sqlite3_column_int64(keys, 1));
		status = take_rows(v, table, one, &last, &whole, err);
	}
	sqlite3_finalize(keys);
	sqlite3_finalize(one);
	return status;
}

/* Both ends of what select yields, "%s" in it being the order. Where nothing can be had that is no error. */
static enum status read_both_ways(struct salvage *v, struct table *table, const char *select, bool *whole, struct err *err)
{
	static const char *const orders[] = {"ASC", "DESC"};
	sqlite3_stmt *s;
	int64_t last;
	enum status status = STATUS_OK;

	*whole = false;
	for (size_t i = 0; i < 2 && status == STATUS_OK && !*whole; i++) {
		/* Of a key there are at most four columns. */
		if (prepare(v->old, &s, NULL, select, orders[i], orders[i], orders[i], orders[i]) == STATUS_OK)
			status = take_rows(v, table, s, &last, whole, err);
		sqlite3_finalize(s);
	}
	return status;
}

static enum status copy_keyed(struct salvage *v, struct table *table, struct err *err)
{
	sqlite3_stmt *s = NULL;
	struct buffer select = {0};
	bool whole = false, model = false, first = true;
	char column[32] = "";
	enum status status = prepare(v->new, &s, err, "SELECT name FROM pragma_table_info(%Q) WHERE pk > 0 ORDER BY pk", table->name);

	buffer_format(&select, "SELECT 0, %s FROM %s NOT INDEXED ORDER BY ", table->columns.data, table->name);
	for (; status == STATUS_OK && sqlite3_step(s) == SQLITE_ROW; first = false) {
		const char *name = (const char *)sqlite3_column_text(s, 0);
		buffer_format(&select, "%s\"%s\" %%s", first ? "" : ", ", name);
		if (strcmp(name, "model") == 0)
			model = true;
		else if (strcmp(name, "content") == 0 || strcmp(name, "text") == 0)
			snprintf(column, sizeof column, "%s", name);
	}
	sqlite3_finalize(s);
	if (select.failed)
		status = err_memory(err, "a statement");
	if (status == STATUS_OK)
		status = read_both_ways(v, table, select.data, &whole, err);
	buffer_release(&select);
	return status == STATUS_OK && !whole && model && *column ? ask_for_rows(v, table, column, err) : status;
}

static enum status copy_table(struct salvage *v, struct table *table, struct err *err)
{
	enum status status = find_columns(v, table, err);

	if (status == STATUS_OK && table->column_count)
		status = table->rowless ? copy_keyed(v, table, err) : copy_numbered(v, table, err);
	sqlite3_finalize(table->insert);
	buffer_release(&table->columns);
	/* Of a table that is damaged at its root nothing can be had; the others can. */
	return status == STATUS_FORMAT ? STATUS_OK : status;
}

/* Tables with numbered rows come first: what is keyed is asked for by their numbers. meta stays new: with the old uuid, a vector
 * file of the old catalog might pass for one of this. index_state is filled by triggers. */
static enum status copy_tables(struct salvage *v, struct err *err)
{
	sqlite3_stmt *s;
	enum status status = prepare(v->new, &s, err, "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
						      " AND name NOT LIKE 'sqlite_%%' AND name NOT IN ('meta', 'index_state')"
						      " ORDER BY wr, name");

	while (status == STATUS_OK && sqlite3_step(s) == SQLITE_ROW) {
		struct table table = {.rowless = sqlite3_column_int(s, 1)};
		snprintf(table.name, sizeof table.name, "%s", sqlite3_column_text(s, 0));
		status = copy_table(v, &table, err);
	}
	sqlite3_finalize(s);
	return status;
}

/* --- what indexes know --- */

/* insert takes the `columns` that select yields behind a 0. An old file without that index has nothing to give. */
static enum status copy_index(struct salvage *v, const char *select, const char *insert, size_t columns, struct err *err)
{
	struct table table = {.column_count = columns};
	bool whole;
	enum status status = prepare(v->new, &table.insert, err, "%s", insert);

	if (status == STATUS_OK)
		status = read_both_ways(v, &table, select, &whole, err);
	sqlite3_finalize(table.insert);
	return status;
}

static enum status copy_indexes(struct salvage *v, struct err *err)
{
	enum status status = copy_index(v, "SELECT 0, id, hash FROM contents INDEXED BY sqlite_autoindex_contents_1 ORDER BY hash %s",
					"INSERT OR IGNORE INTO contents (id, hash) VALUES (?, ?)", 2, err);

	/* Its sizes are set when it is next opened. */
	if (status == STATUS_OK)
		status = copy_index(v, "SELECT 0, id, config_digest, weights_digest FROM models INDEXED BY sqlite_autoindex_models_1"
				       " ORDER BY config_digest %s",
				    "INSERT OR IGNORE INTO models (id, config_digest, weights_digest, name, dim, tokens, width)"
				    " VALUES (?, ?, ?, 'recovered', ifnull((SELECT length(vector) / 2 FROM embeddings WHERE model = ?1), 1), 0, 0)", 3, err);
	if (status == STATUS_OK)
		status = copy_index(v, "SELECT 0, id, path FROM roots INDEXED BY sqlite_autoindex_roots_1 ORDER BY path %s",
				    "INSERT OR IGNORE INTO roots (id, path) VALUES (?, ?)", 2, err);
	return status;
}

static enum status report_lost(struct salvage *v, struct err *err)
{
	struct err line;
	sqlite3_stmt *s = NULL, *known = NULL;
	size_t lost = 0;
	enum status status = prepare(v->new, &known, err, "SELECT 1 FROM photos WHERE path = ?");

	if (status == STATUS_OK &&
	    prepare(v->old, &s, NULL, "SELECT path FROM photos INDEXED BY sqlite_autoindex_photos_1 ORDER BY path") == STATUS_OK) {
		while (sqlite3_step(s) == SQLITE_ROW) {
			sqlite3_bind_value(known, 1, sqlite3_column_value(s, 0));
			bool there = sqlite3_step(known) == SQLITE_ROW;
			sqlite3_reset(known);
			if (there || lost++ >= LOST_NAMED)
				continue;
			err_set(&line, STATUS_FORMAT, "the row of '%.*s' is lost", sqlite3_column_bytes(s, 0), (const char *)sqlite3_column_blob(s, 0));
			v->report(v->context, line.text);
		}
	}
	sqlite3_finalize(s);
	sqlite3_finalize(known);
	v->saved->photos_lost = lost;
	return status;
}

/* --- making it whole --- */

/* Rows that refer to what is lost go; a photograph whose content or embedding is lost stays, to be read again. */
static enum status mend(struct salvage *v, struct err *err)
{
	sqlite3_stmt *s;
	enum status status = catalog_execute(v->new,
		"DELETE FROM photos WHERE root NOT IN (SELECT id FROM roots);"
		"DELETE FROM embeddings WHERE content NOT IN (SELECT id FROM contents) OR model NOT IN (SELECT id FROM models);"
		"UPDATE photos SET content = NULL, state = 1, error = 'what was known of it is lost; hint: coca index' WHERE state = 0 AND"
		" (content IS NULL OR content NOT IN (SELECT content FROM embeddings));"
		"UPDATE photos SET content = NULL WHERE content NOT IN (SELECT id FROM contents);"
		"UPDATE photos SET error = 'not known' WHERE state = 1 AND ifnull(error, '') = '';"
		"UPDATE OR IGNORE texts SET content = NULL WHERE content NOT IN (SELECT id FROM contents);"
		"DELETE FROM image_tokens WHERE id NOT IN (SELECT id FROM token_blobs)"
		" OR model NOT IN (SELECT id FROM models WHERE tokens > 0);"
		"DELETE FROM encoder_tokens WHERE id NOT IN (SELECT id FROM encoder_blobs);"
		/* A label without its head, or a head that lost one, is no head. */
		"DELETE FROM heads WHERE id NOT IN (SELECT head FROM labels);"
		/* Half of what a head said of a photograph would pass for all of it. */
		"DELETE FROM scored; DELETE FROM label_scores", err);

	/* A row that goes may be what another one refers to. */
	for (int depth = 0; depth < 4 && status == STATUS_OK; depth++) {
		status = prepare(v->new, &s, err,
				 "SELECT t.name, f.\"from\", f.\"table\", f.\"to\" FROM pragma_table_list t, pragma_foreign_key_list(t.name) f"
				 " WHERE t.schema = 'main' AND t.type = 'table'");
		while (status == STATUS_OK && sqlite3_step(s) == SQLITE_ROW) {
			sqlite3_stmt *orphans;
			status = prepare(v->new, &orphans, err, "DELETE FROM \"%w\" WHERE \"%w\" IS NOT NULL AND \"%w\" NOT IN (SELECT \"%w\" FROM \"%w\")",
					 sqlite3_column_text(s, 0), sqlite3_column_text(s, 1), sqlite3_column_text(s, 1), sqlite3_column_text(s, 3),
					 sqlite3_column_text(s, 2));
			if (status == STATUS_OK && sqlite3_step(orphans) != SQLITE_DONE)
				status = catalog_failed(v->new, err);
			sqlite3_finalize(orphans);
		}
		sqlite3_finalize(s);
	}
	return status;
}

static enum status fill(struct salvage *v, struct err *err)
{
	enum status status = catalog_execute(v->new, "PRAGMA foreign_keys = OFF", err);

	if (status == STATUS_OK)
		status = catalog_begin(v->new, err);
	if (status == STATUS_OK)
		status = copy_tables(v, err);
	if (status == STATUS_OK)
		status = copy_indexes(v, err);
	if (status == STATUS_OK)
		status = catalog_search_pages(v->old, v->new, err);
	if (status == STATUS_OK)
		status = mend(v, err);
	if (status == STATUS_OK)
		status = report_lost(v, err);
	if (status == STATUS_OK)
		status = catalog_commit(v->new, err);
	if (status == STATUS_OK)
		status = catalog_execute(v->new, "PRAGMA foreign_keys = ON", err);
	if (status == STATUS_OK) {
		v->saved->photos = (size_t)number(v->new, "SELECT count(*) FROM %s", "photos", 0);
		v->saved->embeddings = (size_t)number(v->new, "SELECT count(*) FROM %s", "embeddings", 0);
		v->saved->texts = (size_t)number(v->new, "SELECT count(*) FROM %s", "texts", 0);
		v->saved->unread = (size_t)number(v->new, "SELECT count(*) FROM %s WHERE state = 1 AND content IS NULL", "photos", 0);
	}
	return status;
}

/* --- files --- */

static enum status move(const char *from, const char *to, bool missing, struct err *err)
{
	if (rename(from, to) == 0 || (missing && errno == ENOENT))
		return STATUS_OK;
	return err_set(err, STATUS_IO, "cannot rename '%s' to '%s': %s", from, to, strerror(errno));
}

/* The log goes first: a new catalog beside the old one's log would be taken for a half-written one. */
static enum status put_in_place(const char *path, const char *fresh, const char *kept, struct err *err)
{
	struct buffer wal = {0}, shm = {0}, kept_wal = {0};
	enum status status = STATUS_OK;

	buffer_format(&wal, "%s-wal", path);
	buffer_format(&shm, "%s-shm", path);
	buffer_format(&kept_wal, "%s-wal", kept);
	if (wal.failed || shm.failed || kept_wal.failed)
		status = err_memory(err, "a file name");
	if (status == STATUS_OK)
		status = move(wal.data, kept_wal.data, true, err);
	if (status == STATUS_OK) {
		unlink(shm.data);
		/* With a second name there is a catalog at every instant; some file systems have none. */
		if (link(path, kept) != 0)
			status = move(path, kept, false, err);
	}
	if (status == STATUS_OK)
		status = move(fresh, path, false, err);
	buffer_release(&wal);
	buffer_release(&shm);
	buffer_release(&kept_wal);
	return status;
}

static void remove_fresh(const char *fresh)
{
	static const char *const ends[] = {"", "-wal", "-shm", ".lock"};

	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		struct buffer name = {0};
		buffer_format(&name, "%s%s", fresh, ends[i]);
		if (!name.failed)
			unlink(name.data);
		buffer_release(&name);
	}
}

enum status catalog_salvage(const char *path, problem_reporter report, void *context, struct catalog_salvage *saved, struct err *err)
{
	struct salvage v = {.report = report, .context = context, .saved = saved};
	struct buffer fresh = {0};
	time_t now = time(NULL);
	struct tm date = {0};
	char when[32];

	*saved = (struct catalog_salvage){0};
	gmtime_r(&now, &date);
	strftime(when, sizeof when, "%Y%m%d-%H%M%S", &date);
	snprintf(saved->kept, sizeof saved->kept, "%s.damaged-%s", path, when);
	buffer_format(&fresh, "%s.tmp.salvage", path);
	enum status status = fresh.failed ? err_memory(err, "a file name") : catalog_open_damaged(path, &v.old, err);
	if (status == STATUS_OK) {
		remove_fresh(fresh.data);
		status = catalog_open(fresh.data, CATALOG_WRITE, &v.new, err);
	}
	if (status == STATUS_OK)
		status = fill(&v, err);
	catalog_close(v.new);
	if (status == STATUS_OK) {
		catalog_disconnect(v.old); /* and still no other writer */
		status = put_in_place(path, fresh.data, saved->kept, err);
	}
	if (fresh.data)
		remove_fresh(fresh.data);
	catalog_close(v.old);
	buffer_release(&fresh);
	return status;
}
