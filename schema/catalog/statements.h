/* statements.h: how this room's files ask SQLite. Statements are prepared once and kept, by the address of their SQL: only literals
 * are handed in.
 *
 *     catalog_change(catalog, "UPDATE photos SET gone_since = ? WHERE id = ?", VALUES(ID(since), ID(id)), err);
 *     catalog_number(catalog, "SELECT count(*) FROM texts", NO_VALUES, &number, err);
 *
 *     sqlite3_stmt *s;
 *     enum status status = catalog_ask(catalog, "SELECT id, path FROM roots WHERE path >= ?", VALUES(NAME(path)), &s, err);
 *     while (status == STATUS_OK && (status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row)
 *             ... sqlite3_column_int64(s, 0) ...
 *     catalog_done(catalog, s);
 */
#ifndef SCHEMA_CATALOG_STATEMENTS_H
#define SCHEMA_CATALOG_STATEMENTS_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/memory.h"
#include "schema/base/status.h"

struct catalog;

/* A parameter's value. Bytes must stay until the statement is done. */
struct value {
	enum { VALUE_NULL, VALUE_ID, VALUE_REAL, VALUE_BYTES, VALUE_TEXT } kind;
	int64_t id;
	double real;
	const void *bytes;
	size_t size;
};
#define NOTHING {.kind = VALUE_NULL}
#define ID(number) {.kind = VALUE_ID, .id = (number)}
#define REAL(number) {.kind = VALUE_REAL, .real = (number)}
#define BYTES(at, n) {.kind = VALUE_BYTES, .bytes = (at), .size = (n)}
#define TEXT(string) {.kind = VALUE_TEXT, .bytes = (string)} /* NULL: as NOTHING */
#define NAME(string) BYTES((string), strlen(string))         /* the kind of most names: compared as bytes */
#define OPTIONAL(string) {.kind = (string) ? VALUE_BYTES : VALUE_NULL, .bytes = (string), .size = (string) ? strlen(string) : 0}
/* What stands for a statement's parameters ?1, ?2, ... in the calls below. */
#define VALUES(...) (const struct value[]){__VA_ARGS__}, sizeof((const struct value[]){__VA_ARGS__}) / sizeof(struct value)
#define NO_VALUES NULL, 0

/* A statement with its values, to be stepped. After an error *s is NULL, which catalog_step must not get and catalog_done takes. */
enum status catalog_ask(struct catalog *catalog, const char *sql, const struct value *values, size_t n, sqlite3_stmt **s, struct err *err);
/* One that yields no row. */
enum status catalog_change(struct catalog *catalog, const char *sql, const struct value *values, size_t n, struct err *err);
/* Its first row's first column; 0: no row, or NULL. */
enum status catalog_number(struct catalog *catalog, const char *sql, const struct value *values, size_t n, int64_t *number,
			   struct err *err);
/* One with ?1 as a table json_each(?1) of ids (its columns `key`, a place in ids, and `value`), and with values from ?2 on. */
enum status catalog_ask_of(struct catalog *catalog, const char *sql, const int64_t *ids, size_t count, const struct value *values, size_t n,
			   sqlite3_stmt **s, struct err *err);
/* The numbers in the first column, as int64_t behind what is in the buffer; done with the statement then. */
enum status catalog_numbers(struct catalog *catalog, sqlite3_stmt *s, struct buffer *numbers, struct err *err);
/* What a buffer gathered becomes the caller's: no row is an array, too. NULL if *status says that gathering failed, or it did now. */
void *catalog_hand_over(struct buffer *gathered, enum status *status, const char *what, struct err *err);
/* The same table for another parameter. */
enum status catalog_bind_ids(sqlite3_stmt *s, int parameter, const int64_t *ids, size_t count, struct err *err);

enum status catalog_prepare(struct catalog *catalog, const char *sql, sqlite3_stmt **statement, struct err *err);
enum status catalog_step(struct catalog *catalog, sqlite3_stmt *statement, bool *row, struct err *err);
void catalog_done(struct catalog *catalog, sqlite3_stmt *statement); /* takes NULL */
/* One step of a statement that returns no row, then done. */
enum status catalog_finish(struct catalog *catalog, sqlite3_stmt *statement, struct err *err);
/* SQL without parameters, any number of statements. */
enum status catalog_execute(struct catalog *catalog, const char *sql, struct err *err);

/* Fills err from the connection's last error; a disk that is full or fails also ends the open transaction. */
enum status catalog_failed(struct catalog *catalog, struct err *err);

#endif
