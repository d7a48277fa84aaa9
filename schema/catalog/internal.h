/* internal.h: what the catalog's own files share; nobody else's business (schema/vectors borrows snapshots and rows of vectors). */
#ifndef SCHEMA_CATALOG_INTERNAL_H
#define SCHEMA_CATALOG_INTERNAL_H

#include <assert.h>

#include "schema/catalog/contents.h"
#include "schema/catalog/photos.h"
#include "schema/catalog/statements.h"

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
	uint64_t statements; /* that were begun, for tests that count them */
};

/* Several changes that succeed or fail as one, inside the caller's transaction or in one of their own. */
enum status catalog_scope_enter(struct catalog *catalog, bool *own, struct err *err);
enum status catalog_scope_leave(struct catalog *catalog, bool own, enum status status, struct err *err);

/* Reads between enter and leave see one state, whatever another process writes. */
enum status catalog_snapshot_enter(struct catalog *catalog, bool *own, struct err *err);
void catalog_snapshot_leave(struct catalog *catalog, bool own);

bool catalog_in_transaction(const struct catalog *catalog);
/* Whether changes may be pending that a rollback would undo: not so in a snapshot. */
bool catalog_is_changing(const struct catalog *catalog);

/* [v] leads from version v to v + 1; none from 0. */
extern const char *const catalog_steps[CATALOG_VERSION];
/* Makes or migrates the tables, in one transaction. */
enum status catalog_migrate(struct catalog *catalog, struct err *err);

/* Blobs of numbers. select: id, model, blob, and of a vector its length, of tokens N and W, NULL where only the blob knows them. */
enum { EMBEDDINGS, TEXT_EMBEDDINGS, IMAGE_TOKENS, ENCODER_TOKENS, CATALOG_BLOBS };
extern const struct catalog_blobs {
	const char *what; /* stands before an id */
	bool tokens;
	const char *select;
} catalog_blobs[CATALOG_BLOBS];
/* Those of a size that their model does not have, or with what is not a number; problem says so in a line. */
typedef enum status (*unsound_visitor)(void *context, int64_t id, int64_t model, const struct err *problem, struct err *err);
enum status catalog_unsound_each(struct catalog *catalog, const struct catalog_blobs *kind, unsound_visitor visit, void *context,
				 struct err *err);

/* However damaged, as long as it is a catalog: the writers' lock, and a lock on the file that no reader passes; its log is in it and gone. */
enum status catalog_open_alone(const char *path, struct catalog **catalog, struct err *err);
/* A new catalog in an empty file that nobody else knows of: no lock, no log, not synced, references not enforced. */
enum status catalog_open_fresh(const char *path, struct catalog **catalog, struct err *err);
/* Puts into a new catalog what embeddings are found anywhere in the file of an old one. */
enum status catalog_search_pages(struct catalog *old, struct catalog *new, struct err *err);

/* "A photo that is there", in SQL: of a row of photos ("" or "p." before its columns), and whether a content has one. */
#define THERE(row) row "state = 0 AND " row "gone_since = 0"
#define PHOTO_THERE(content) "EXISTS (SELECT 1 FROM photos p WHERE p.content = " content " AND " THERE("p.") ")"
static_assert(PHOTO_READY == 0 && PHOTO_FAILED == 1, "states are stored");

/* What photo_put writes, and what catalog_photos_visit reads of each row of a bound statement, which it closes. */
#define CATALOG_PHOTO_COLUMNS                                                                                          \
	"root, path, size, mtime_ns, content, state, error, gone_since, format, width, height, orientation, taken_at," \
	" taken_offset, latitude, longitude, camera, lens, ctime_ns"
#define CATALOG_PHOTO_ROW "photos.id, " CATALOG_PHOTO_COLUMNS
enum status catalog_photos_visit(struct catalog *catalog, sqlite3_stmt *s, photo_visitor visit, void *context, bool *any, struct err *err);

/* The words of a text, folded, each ended by a NUL and all by another, as coca_words wants them. */
enum status catalog_filter_words(const char *text, struct buffer *words, struct err *err);
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

/* A vector put by an INSERT of model, id, vector. */
enum status catalog_vector_put(struct catalog *catalog, const char *insert, int64_t id, int64_t model, const float *embedding, size_t dim,
			       struct err *err);
/* The vectors that a SELECT of place and vector, from json_each(?1) and model ?2, yields. */
enum status catalog_vectors_get(struct catalog *catalog, const char *select, const int64_t *ids, size_t n, int64_t model, float *embeddings,
				size_t dim, bool *found, struct err *err);
/* The F16 blob that a SELECT by model and id yields, as floats [dim]; *found false: no row. */
enum status catalog_vector_get(struct catalog *catalog, const char *select, int64_t id, int64_t model, float *embedding, size_t dim,
			       bool *found, struct err *err);

/* The F16 blob in a column as floats. embedding: [dim] */
enum status catalog_embedding_column(struct catalog *catalog, sqlite3_stmt *statement, int column, float *embedding, size_t dim,
				     struct err *err);

/* Length of a path without slashes at its end ("/" keeps its own). */
size_t catalog_path_size(const char *path);
/* Binds what a path range needs to three parameters from `first`: `path = ?1 OR (path >= ?2 AND path < ?3)` holds for the
 * path and all that lies below it. Paths are compared as bytes, so no wildcard can be smuggled in. */
void catalog_bind_below(sqlite3_stmt *statement, int first, const char *folder);

#endif
