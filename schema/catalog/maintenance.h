/* maintenance.h: a catalog as a whole: counted, checked, repaired, salvaged.
 *
 *     catalog_check(catalog, print_line, context, &problems, err);      // changes nothing
 *     catalog_repair(catalog, &done, err);                              // drops what can be made again
 *     catalog_salvage(path, &saved, err);                               // of a file that SQLite itself finds damaged
 */
#ifndef SCHEMA_CATALOG_MAINTENANCE_H
#define SCHEMA_CATALOG_MAINTENANCE_H

#include "schema/catalog/catalog.h"

/* photos: every row; failed: those that are there and cannot be decoded; gone: those that are not there. */
struct catalog_counts {
	int64_t photos, failed, gone, contents, embeddings, token_rows, token_bytes, encoder_rows, encoder_bytes, texts, roots;
};
enum status catalog_count(struct catalog *catalog, int64_t model /* 0: all models */, struct catalog_counts *counts, struct err *err);

/* SQLite's integrity check, foreign keys, and our own rules (every READY photo has a content with an embedding; blobs have
 * the size their model says; no NaN). report gets each problem in a line; *problems their number. */
typedef void (*problem_reporter)(void *context, const char *problem);
enum status catalog_check(struct catalog *catalog, problem_reporter report, void *context, size_t *problems, struct err *err);

/* Deletes embeddings and image tokens whose blob is damaged (a size their model does not have, NaN), so that the next run of
 * `coca index` makes them again, and raises every model's generation, so that vector indexes are built anew. */
struct catalog_repairs {
	size_t embeddings, text_embeddings, tokens; /* tokens: of both kinds */
};
enum status catalog_repair(struct catalog *catalog, struct catalog_repairs *done, struct err *err);

/* Whether SQLite itself finds the file sound. */
enum status catalog_intact(struct catalog *catalog, bool *intact, struct err *err);

/* Makes a new catalog of what can still be read of a damaged one, and puts it in its place; the damaged one is kept beside it.
 * STATUS_BUSY: somebody has it open. STATUS_FORMAT: nothing can be read at all. Whatever fails, nothing was changed. */
struct catalog_salvage {
	size_t photos, embeddings, texts; /* saved */
	size_t unread;                    /* of the photos: to be read again, as they are lost but for their path, or never could be */
	char kept[4096];                  /* what the damaged file is called now */
};
enum status catalog_salvage(const char *path, struct catalog_salvage *saved, struct err *err);

#endif
