/* models.h: whose embeddings and tokens a catalog holds, the digests of their files, and the roots that were indexed.
 *
 *     struct catalog_model model = {.config_digest = "...", .weights_digest = "...", .name = "/models/b32", .dim = 512, ...};
 *     catalog_model_put(catalog, &model, err);                           // sets model.id
 *     catalog_root_put(catalog, "/photos", &root, err);
 */
#ifndef SCHEMA_CATALOG_MODELS_H
#define SCHEMA_CATALOG_MODELS_H

#include "schema/catalog/catalog.h"

/* --- models: by digest of configuration and weights --- */

struct catalog_model {
	int64_t id;
	char config_digest[33], weights_digest[33];
	char name[256];        /* folder it was last opened from, for messages */
	int64_t dim;           /* of its embeddings */
	int64_t tokens, width; /* of its image tokens, N x W */
};

/* Finds by both digests, or adds (CATALOG_WRITE) and sets model->id. STATUS_NOT_FOUND in CATALOG_READ. */
enum status catalog_model_put(struct catalog *catalog, struct catalog_model *model, struct err *err);

/* The digest of a weights file, remembered by what tells that a file is the same, so that a large one is read once: a copy of another one's
 * size and time has another inode or change time. *found false: unknown. The put is best effort (a reader's catalog cannot). */
struct digested_file {
	const char *path;
	int64_t size, mtime_ns, ctime_ns, inode;
};
enum status catalog_digest_get(struct catalog *catalog, const struct digested_file *file, char digest[33], bool *found, struct err *err);
enum status catalog_digest_put(struct catalog *catalog, const struct digested_file *file, const char *digest, struct err *err);

/* --- roots: the folders that were indexed --- */

struct catalog_root {
	int64_t id;
	const char *path;      /* absolute; valid during the visit */
	int64_t indexed_at;    /* seconds since 1970 of the last finished run; 0: never */
};

enum status catalog_root_put(struct catalog *catalog, const char *path, int64_t *id, struct err *err);
enum status catalog_root_finished(struct catalog *catalog, int64_t root, int64_t when, struct err *err);
typedef enum status (*catalog_root_visitor)(void *context, const struct catalog_root *root, struct err *err);
enum status catalog_roots_each(struct catalog *catalog, catalog_root_visitor visit, void *context, struct err *err);

#endif
