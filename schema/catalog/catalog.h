/* catalog.h: the library's truth, one SQLite file (WAL): roots, photographs, embeddings, image tokens, texts.
 *
 *     struct catalog *catalog;
 *     catalog_open(path, CATALOG_WRITE, &catalog, err);        // one writer at a time; readers never wait
 *     catalog_begin(catalog, err);
 *     catalog_content_put(catalog, hash, &content, err);
 *     catalog_embedding_put(catalog, content, model, embedding, err);
 *     catalog_photo_put(catalog, &photo, err);
 *     catalog_commit(catalog, err);
 *
 * A photo's identity is its content: `contents` has a row for each distinct file content, by hash; `photos` has a row for
 * each path and points to its content; embeddings and image tokens belong to (content, model). So copies share an embedding,
 * and a file that is moved, renamed or comes back is not embedded again.
 *
 * Paths are absolute, bytes without NUL. Times of files are ns since 1970; taken_at is local wall time as seconds since 1970
 * as if it were UTC, with its offset in minutes where known.
 *
 * Of all headers of this room:
 * - A struct catalog is used by one thread at a time; threads that read at once open one each.
 * - What writes commits at once, or with catalog_commit where a transaction is open; a call changes all that it names or nothing.
 * - A visitor may call back, also the function that visits it, but not write the rows that are visited. Strings and vectors end with its
 *   visit. What it returns but STATUS_OK ends the visits and is returned.
 * - What is not found is no error unless a comment says STATUS_NOT_FOUND. Then ids are 0 and lists empty; arrays and structs are untouched
 *   where a `found` tells.
 */
#ifndef SCHEMA_CATALOG_CATALOG_H
#define SCHEMA_CATALOG_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/status.h"

enum { CATALOG_VERSION = 7, CATALOG_HASH = 16 };
#define CATALOG_NO_OFFSET INT32_MIN

struct catalog;

enum catalog_mode {
	CATALOG_READ,  /* STATUS_NOT_FOUND if there is no file */
	CATALOG_WRITE, /* makes or migrates it; STATUS_BUSY while another process writes (a lock file beside it) */
};

/* A file of a newer version is refused (STATUS_UNSUPPORTED), a damaged one is STATUS_FORMAT with a hint at `coca verify`. */
enum status catalog_open(const char *path, enum catalog_mode mode, struct catalog **catalog, struct err *err);
void catalog_close(struct catalog *catalog); /* rolls back an open transaction; takes NULL */
const char *catalog_path(const struct catalog *catalog);
/* 32 hex digits made when the file was made: a vector cache names the catalog it belongs to. */
const char *catalog_uuid(const struct catalog *catalog);

enum status catalog_begin(struct catalog *catalog, struct err *err);
enum status catalog_commit(struct catalog *catalog, struct err *err);
void catalog_rollback(struct catalog *catalog);

#endif
