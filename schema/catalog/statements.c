/* statements.c: see statements.h. */
#include "schema/catalog/internal.h"

#include <inttypes.h>
#include <stdlib.h>

#include "schema/base/banned.h"

bool catalog_in_transaction(const struct catalog *catalog)
{
	return !sqlite3_get_autocommit(catalog->db);
}

enum status catalog_failed(struct catalog *catalog, struct err *err)
{
	int code = sqlite3_errcode(catalog->db);
	const char *reason = sqlite3_errmsg(catalog->db);
	enum status status;

	switch (code) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return err_set(err, STATUS_BUSY, "the catalog '%s' is in use; hint: try again when the other coca has ended", catalog->path);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		status = err_set(err, STATUS_FORMAT, "the catalog '%s' is damaged: %s; hint: run `coca verify`", catalog->path, reason);
		break;
	case SQLITE_FULL:
		status = err_set(err, STATUS_IO, "cannot write the catalog '%s': the disk is full", catalog->path);
		break;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_NOLFS:
		status = err_set(err, STATUS_IO, "cannot use the catalog '%s': %s", catalog->path, reason);
		break;
	case SQLITE_NOMEM:
	case SQLITE_TOOBIG:
		status = err_set(err, STATUS_MEMORY, "cannot use the catalog '%s': %s", catalog->path, reason);
		break;
	case SQLITE_INTERRUPT:
		return err_set(err, STATUS_INTERRUPTED, "interrupted while using the catalog '%s'", catalog->path);
	default:
		return err_set(err, STATUS_FAILED, "cannot use the catalog '%s': %s", catalog->path, reason);
	}
	/* SQLite ends the transaction by itself after some of these; after the others half of a change might stay. */
	if (catalog_in_transaction(catalog))
		sqlite3_exec(catalog->db, "ROLLBACK", NULL, NULL, NULL);
	return status;
}

enum status catalog_prepare(struct catalog *catalog, const char *sql, sqlite3_stmt **statement, struct err *err)
{
	bool known = false;

	*statement = NULL;
	for (size_t i = 0; i < catalog->kept_count && !known; i++) {
		known = catalog->kept[i].sql == sql;
		if (known && !sqlite3_stmt_busy(catalog->kept[i].statement)) {
			*statement = catalog->kept[i].statement;
			return STATUS_OK;
		}
	}
	/* A visitor that calls the function which visits it gets a statement of its own. */
	bool keep = !known && catalog->kept_count < CATALOG_STATEMENTS_MOST;
	if (sqlite3_prepare_v3(catalog->db, sql, -1, keep ? SQLITE_PREPARE_PERSISTENT : 0, statement, NULL) != SQLITE_OK)
		return catalog_failed(catalog, err);
	if (keep) {
		catalog->kept[catalog->kept_count].sql = sql;
		catalog->kept[catalog->kept_count++].statement = *statement;
	}
	return STATUS_OK;
}

void catalog_done(struct catalog *catalog, sqlite3_stmt *statement)
{
	if (!statement)
		return;
	for (size_t i = 0; i < catalog->kept_count; i++) {
		if (catalog->kept[i].statement == statement) {
			sqlite3_reset(statement);
			sqlite3_clear_bindings(statement);
			return;
		}
	}
	sqlite3_finalize(statement);
}

enum status catalog_step(struct catalog *catalog, sqlite3_stmt *statement, bool *row, struct err *err)
{
	catalog->statements += !sqlite3_stmt_busy(statement);
	int code = sqlite3_step(statement);
	*row = code == SQLITE_ROW;
	return code == SQLITE_ROW || code == SQLITE_DONE ? STATUS_OK : catalog_failed(catalog, err);
}

enum status catalog_finish(struct catalog *catalog, sqlite3_stmt *statement, struct err *err)
{
	bool row;
	enum status status = catalog_step(catalog, statement, &row, err);

	catalog_done(catalog, statement);
	return status;
}

enum status catalog_execute(struct catalog *catalog, const char *sql, struct err *err)
{
	catalog->statements++;
	return sqlite3_exec(catalog->db, sql, NULL, NULL, NULL) == SQLITE_OK ? STATUS_OK : catalog_failed(catalog, err);
}

/* --- with values --- */

static void bind_value(sqlite3_stmt *s, int parameter, const struct value *value)
{
	switch (value->kind) {
	case VALUE_NULL:
		break; /* what is not bound is NULL */
	case VALUE_ID:
		sqlite3_bind_int64(s, parameter, value->id);
		break;
	case VALUE_REAL:
		sqlite3_bind_double(s, parameter, value->real);
		break;
	case VALUE_BYTES: /* none of them are an empty blob, never NULL */
		sqlite3_bind_blob64(s, parameter, value->size ? value->bytes : "", value->size, SQLITE_STATIC);
		break;
	case VALUE_TEXT:
		sqlite3_bind_text(s, parameter, value->bytes, -1, SQLITE_STATIC);
		break;
	}
}

enum status catalog_ask(struct catalog *catalog, const char *sql, const struct value *values, size_t n, sqlite3_stmt **s, struct err *err)
{
	enum status status = catalog_prepare(catalog, sql, s, err);

	for (size_t i = 0; status == STATUS_OK && i < n; i++)
		bind_value(*s, (int)i + 1, &values[i]);
	return status;
}

enum status catalog_change(struct catalog *catalog, const char *sql, const struct value *values, size_t n, struct err *err)
{
	sqlite3_stmt *s;
	enum status status = catalog_ask(catalog, sql, values, n, &s, err);

	return status == STATUS_OK ? catalog_finish(catalog, s, err) : status;
}

enum status catalog_number(struct catalog *catalog, const char *sql, const struct value *values, size_t n, int64_t *number, struct err *err)
{
	sqlite3_stmt *s;
	bool row = false;
	enum status status = catalog_ask(catalog, sql, values, n, &s, err);

	if (status == STATUS_OK)
		status = catalog_step(catalog, s, &row, err);
	*number = row ? sqlite3_column_int64(s, 0) : 0;
	catalog_done(catalog, s);
	return status;
}

enum status catalog_bind_ids(sqlite3_stmt *s, int parameter, const int64_t *ids, size_t count, struct err *err)
{
	struct buffer json = {0};

	buffer_text(&json, "[");
	for (size_t i = 0; i < count; i++)
		buffer_format(&json, "%s%" PRId64, i ? "," : "", ids[i]);
	buffer_text(&json, "]");
	if (json.failed) {
		buffer_release(&json);
		return err_memory(err, "a list of numbers");
	}
	int code = sqlite3_bind_text64(s, parameter, json.data, json.size, free, SQLITE_UTF8);
	return code == SQLITE_OK ? STATUS_OK : err_memory(err, "a list of numbers");
}

enum status catalog_ask_of(struct catalog *catalog, const char *sql, const int64_t *ids, size_t count, const struct value *values, size_t n,
			   sqlite3_stmt **s, struct err *err)
{
	enum status status = catalog_prepare(catalog, sql, s, err);

	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < n; i++)
		bind_value(*s, (int)i + 2, &values[i]);
	status = catalog_bind_ids(*s, 1, ids, count, err);
	if (status != STATUS_OK) {
		catalog_done(catalog, *s);
		*s = NULL;
	}
	return status;
}

enum status catalog_numbers(struct catalog *catalog, sqlite3_stmt *s, struct buffer *numbers, struct err *err)
{
	enum status status;
	bool row;

	while ((status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
		int64_t number = sqlite3_column_int64(s, 0);
		buffer_append(numbers, &number, sizeof number);
	}
	catalog_done(catalog, s);
	return status;
}

void *catalog_hand_over(struct buffer *gathered, enum status *status, const char *what, struct err *err)
{
	void *data = NULL;

	buffer_append(gathered, "", 0);
	if (*status == STATUS_OK && gathered->failed)
		*status = err_memory(err, what);
	if (*status == STATUS_OK) {
		data = gathered->data;
		*gathered = (struct buffer){0};
	}
	buffer_release(gathered);
	return data;
}
