/* internal.h: what the catalog's own files share; nobody else's business (vectors.c borrows the snapshot).
 *
 * Statements are prepared once and kept, found again by the address of their SQL, which must therefore be a constant:
 *
 *     sqlite3_stmt *s;
 *     if (catalog_prepare(catalog, "SELECT id FROM roots WHERE path = ?", &s, err) != STATUS_OK) ...
 *     sqlite3_bind_blob(s, 1, path, n, SQLITE_STATIC);
 *     status = catalog_step(catalog, s, &row, err);
 *     catalog_done(catalog, s);
 */
#ifndef SCHEMA_CATALOG_INTERNAL_H
#define SCHEMA_CATALOG_INTERNAL_H

#include <sqlite3.h>

#include "schema/catalog/catalog.h"

enum { CATALOG_APPLICATION = 0x434f4341 /* "COCA", in SQLite's header */, CATALOG_STATEMENTS_MOST = 96,
       CATALOG_PATIENCE_MS = 10000 /* for a lock within SQLite */ };

struct catalog {
	sqlite3 *db;
	char *path;
	char uuid[33];
	int lock; /* descriptor that holds the writers' lock; -1 in a reader */
	struct {
		const char *sql;
		sqlite3_stmt *statement;
	} kept[CATALOG_STATEMENTS_MOST];
	size_t kept_count;
};

/* Fills err from the connection's last error; a disk that is full or fails also ends the open transaction. */
enum status catalog_failed(struct catalog *catalog, struct err *err);

enum status catalog_prepare(struct catalog *catalog, const char *sql, sqlite3_stmt **statement, struct err *err);
enum status catalog_step(struct catalog *catalog, sqlite3_stmt *statement, bool *row, struct err *err);
void catalog_done(struct catalog *catalog, sqlite3_stmt *statement); /* takes NULL */
/* One step of a statement that returns no row, then done. */
enum status catalog_finish(struct catalog *catalog, sqlite3_stmt *statement, struct err *err);
/* SQL without parameters, any number of statements. */
enum status catalog_execute(struct catalog *catalog, const char *sql, struct err *err);

/* Several changes that succeed or fail as one, inside the caller's transaction or in one of their own. */
enum status catalog_scope_enter(struct catalog *catalog, bool *own, struct err *err);
enum status catalog_scope_leave(struct catalog *catalog, bool own, enum status status, struct err *err);

/* Reads between enter and leave see one state, whatever another process writes. */
enum status catalog_snapshot_enter(struct catalog *catalog, bool *own, struct err *err);
void catalog_snapshot_leave(struct catalog *catalog, bool own);

/* Whether changes are pending that a rollback would undo. */
bool catalog_in_transaction(const struct catalog *catalog);

/* Makes or migrates the tables, in one transaction. */
enum status catalog_migrate(struct catalog *catalog, struct err *err);

/* The writers' lock and a connection, whatever is in the file. */
enum status catalog_open_damaged(const char *path, struct catalog **catalog, struct err *err);
/* Closes the connection, but keeps the lock until catalog_close. */
void catalog_disconnect(struct catalog *catalog);

/* The SQL functions that filters use. */
enum status catalog_filter_register(struct catalog *catalog, struct err *err);

/* How many rows catalog_embeddings_each visits. */
enum status catalog_embeddings_count(struct catalog *catalog, int64_t model, size_t *n, struct err *err);
/* catalog_embedding_get for contents that catalog_embeddings_each visits. */
enum status catalog_embedding_get_live(struct catalog *catalog, int64_t content, int64_t model, float *embedding, size_t dim,
				       bool *found, struct err *err);

/* Visits (id, F16 blob) rows of a SELECT whose one parameter is the model; the float vector [dim] is valid during the visit. */
enum status catalog_vectors_each(struct catalog *catalog, const char *select, int64_t model, size_t dim, embedding_visitor visit,
				 void *context, struct err *err);

/* The F16 blob that a SELECT by model and id yields, as floats [dim]; *found false: no row. */
enum status catalog_vector_get(struct catalog *catalog, const char *select, int64_t id, int64_t model, float *embedding, size_t dim,
			       bool *found, struct err *err);

/* The F16 blob in a column as floats. embedding: [dim] */
enum status catalog_embedding_column(struct catalog *catalog, sqlite3_stmt *statement, int column, float *embedding, size_t dim,
				     struct err *err);
/* The reverse, the caller's to free. */
enum status catalog_embedding_blob(const float *embedding, size_t dim, void **blob, struct err *err);

/* Length of a path without slashes at its end ("/" keeps its own). */
size_t catalog_path_size(const char *path);
/* Binds what a path range needs to three parameters from `first`: `path = ?1 OR (path >= ?2 AND path < ?3)` holds for the
 * path and all that lies below it. Paths are compared as bytes, so no wildcard can be smuggled in. */
void catalog_bind_below(sqlite3_stmt *statement, int first, const char *folder);

#endif
