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
 * A struct catalog is used by one thread at a time; threads that read at once open one each.
 */
#ifndef SCHEMA_CATALOG_CATALOG_H
#define SCHEMA_CATALOG_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/status.h"

enum { CATALOG_VERSION = 6, CATALOG_HASH = 16 };
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
typedef enum status (*catalog_model_visitor)(void *context, const struct catalog_model *model, struct err *err);
enum status catalog_models_each(struct catalog *catalog, catalog_model_visitor visit, void *context, struct err *err);

/* The digest of a weights file, remembered by path, size and time, so that a large one is read once. *found false: unknown.
 * The put is best effort (a reader's catalog cannot). */
enum status catalog_digest_get(struct catalog *catalog, const char *path, int64_t size, int64_t mtime_ns, char digest[33],
			       bool *found, struct err *err);
enum status catalog_digest_put(struct catalog *catalog, const char *path, int64_t size, int64_t mtime_ns, const char *digest,
			       struct err *err);

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

/* --- photographs --- */

enum photo_state {
	PHOTO_READY,   /* decoded; its content has an embedding of at least one model */
	PHOTO_FAILED,  /* cannot be decoded: error says why; tried again when size or time change */
};

struct photo {
	int64_t id;            /* 0 before it is put */
	int64_t root;
	const char *path;
	size_t path_size;
	int64_t size, mtime_ns;
	int64_t ctime_ns;      /* 0: not known; less: the file was too young to be told from a later state of it */
	int64_t content;       /* 0: none (a file that cannot be read) */
	enum photo_state state;
	const char *error;     /* NULL unless PHOTO_FAILED */
	int64_t gone_since;    /* seconds; 0: there. A file seen to be deleted: kept for its return, not searched, until --prune */
	const char *format;    /* "jpeg", ...; NULL unknown */
	int64_t width, height; /* upright */
	int orientation;
	bool has_taken;
	int64_t taken_at;
	int32_t taken_offset;  /* minutes east of UTC or CATALOG_NO_OFFSET */
	bool has_position;
	double latitude, longitude;
	const char *camera, *lens; /* NULL: unknown */
};

/* Inserts, or replaces the row of that path; sets photo->id (a path keeps its id). */
enum status catalog_photo_put(struct catalog *catalog, struct photo *photo, struct err *err);
/* Only what an unchanged-file check needs, by path. *found false: unknown path. content and model: whether the content has
 * an embedding of that model is in *embedded. */
struct photo_stamp {
	int64_t id, size, mtime_ns, ctime_ns, content, gone_since;
	int64_t facts;         /* facts.h's stamp; 0: never read */
	enum photo_state state;
	bool embedded;
};
enum status catalog_photo_stamp(struct catalog *catalog, const char *path, size_t path_size, int64_t model,
				struct photo_stamp *stamp, bool *found, struct err *err);
enum status catalog_photo_gone(struct catalog *catalog, int64_t id, int64_t gone_since /* 0: back */, struct err *err);
/* For a row from a version that did not know it. */
enum status catalog_photo_ctime(struct catalog *catalog, int64_t id, int64_t ctime_ns, struct err *err);
enum status catalog_photo_delete(struct catalog *catalog, int64_t id, struct err *err);

/* Strings of photo are valid during the visit. Order: by id. */
typedef enum status (*photo_visitor)(void *context, const struct photo *photo, struct err *err);
enum status catalog_photos_of_root(struct catalog *catalog, int64_t root, photo_visitor visit, void *context, struct err *err);
enum status catalog_photos_of_content(struct catalog *catalog, int64_t content, bool gone_too, photo_visitor visit, void *context, struct err *err);
enum status catalog_photo_by_path(struct catalog *catalog, const char *path, photo_visitor visit, void *context, struct err *err); /* STATUS_NOT_FOUND */
/* STATUS_NOT_FOUND */
enum status catalog_photo_by_id(struct catalog *catalog, int64_t id, photo_visitor visit, void *context, struct err *err);
enum status catalog_photos_failed(struct catalog *catalog, photo_visitor visit, void *context, struct err *err);

/* Deletes the rows of a root (and the root), or of every path below a folder of one; contents stay until catalog_purge.
 * *photos: how many rows went. STATUS_NOT_FOUND if no row lies there. */
enum status catalog_forget(struct catalog *catalog, const char *folder, size_t *photos, struct err *err);

/* --- contents, embeddings, image tokens --- */

enum status catalog_content_put(struct catalog *catalog, const uint8_t hash[CATALOG_HASH], int64_t *content, struct err *err);
/* *content 0: no file of that hash is known. */
enum status catalog_content_find(struct catalog *catalog, const uint8_t hash[CATALOG_HASH], int64_t *content, struct err *err);
/* Deletes gone photos that vanished before `before` and then contents, embeddings and tokens that no photo has. */
enum status catalog_purge(struct catalog *catalog, int64_t before, size_t *photos, size_t *contents, struct err *err);

/* F16 blob. Raises the model's generation. */
enum status catalog_embedding_put(struct catalog *catalog, int64_t content, int64_t model, const float *embedding, size_t dim, struct err *err);
/* *found false: none. */
enum status catalog_embedding_get(struct catalog *catalog, int64_t content, int64_t model, float *embedding, size_t dim, bool *found, struct err *err);
/* Every content that has a photo which is there and READY, ascending by content. embedding: [dim] F32, valid during the visit. */
typedef enum status (*embedding_visitor)(void *context, int64_t content, const float *embedding, struct err *err);
enum status catalog_embeddings_each(struct catalog *catalog, int64_t model, size_t dim, embedding_visitor visit, void *context, struct err *err);
/* A number that changes whenever the set that catalog_embeddings_each yields changes, for that model; 0 before the first. */
enum status catalog_generation(struct catalog *catalog, int64_t model, int64_t *generation, struct err *err);

/* blob as schema/base/packed.h writes it. */
enum status catalog_tokens_put(struct catalog *catalog, int64_t content, int64_t model, const void *blob, size_t size, struct err *err);
/* *blob is the caller's to free; NULL if there is none. */
enum status catalog_tokens_get(struct catalog *catalog, int64_t content, int64_t model, void **blob, size_t *size, struct err *err);
/* Marks as used now (best effort; a locked or read-only catalog is no error). */
void catalog_tokens_touch(struct catalog *catalog, const int64_t *contents, size_t n, int64_t model);
/* Deletes least recently used tokens, of all models, until at most budget bytes are left. */
enum status catalog_tokens_trim(struct catalog *catalog, size_t budget, size_t *left, struct err *err);

/* The same for the encoder's tokens, which heads read (model/net/vision.h). room: bytes that are free of a budget. */
enum status catalog_encoder_put(struct catalog *catalog, int64_t content, int64_t model, const void *blob, size_t size, struct err *err);
enum status catalog_encoder_get(struct catalog *catalog, int64_t content, int64_t model, void **blob, size_t *size, struct err *err);
enum status catalog_encoder_trim(struct catalog *catalog, size_t budget, size_t *left, struct err *err);
enum status catalog_encoder_room(struct catalog *catalog, size_t budget, size_t *room, struct err *err);

/* --- filters --- */

enum { PHOTO_LABELS_MOST = 4 };
struct photo_filter {
	const char *in;              /* path prefix at a component's border; NULL: any */
	bool has_since, has_until;
	int64_t since, until;        /* taken_at local seconds, since <= t < until; photos without a date do not pass */
	const char *camera;          /* substring of camera or lens, ASCII case folded */
	bool has_near;
	double latitude, longitude, km;
	const char *text;            /* words that a text tied to the photo contains */
	struct photo_label {
		const char *name;    /* as the user wrote it (heads.h) */
		int64_t id;          /* what catalog_label_find makes of it */
		double least;        /* a probability; 0: the label is what the head says of the photo */
	} labels[PHOTO_LABELS_MOST];
	size_t label_count;          /* all of them must hold */
	const struct photo_filter *except; /* what passes this one (and no further `except`) does not pass; nor what passes its `except`, ... */
};
bool photo_filter_empty(const struct photo_filter *filter);
/* Contents with a photo that passes and is there, READY; ascending, the caller's to free. */
enum status catalog_filter(struct catalog *catalog, const struct photo_filter *filter, int64_t **contents, size_t *n, struct err *err);
/* The ids of the photos that pass, READY and there, newest first by taken_at, those without a date last; at most limit; the
 * caller's to free. */
enum status catalog_filter_newest(struct catalog *catalog, const struct photo_filter *filter, size_t limit, int64_t **photos, size_t *n,
				  struct err *err);
/* Whether one photo row passes (a copy elsewhere may not), whatever its state. */
enum status catalog_filter_photo(struct catalog *catalog, const struct photo_filter *filter, int64_t photo, bool *passes, struct err *err);

/* --- texts: captions, notes, any collection of sentences --- */

struct catalog_text {
	int64_t id;
	const char *collection;      /* name of the collection: the file it came from, "captions", ... */
	int64_t photo_content;       /* 0: tied to no photo */
	const char *text;            /* bytes as given */
	size_t text_size;
	bool added;                  /* set by catalog_text_put: it was not there before */
};
enum status catalog_text_put(struct catalog *catalog, struct catalog_text *text, struct err *err); /* the same (collection, content, text) keeps its id */
enum status catalog_text_embedding_put(struct catalog *catalog, int64_t text, int64_t model, const float *embedding, size_t dim, struct err *err);
typedef enum status (*text_visitor)(void *context, const struct catalog_text *text, const float *embedding /* NULL: none yet */, struct err *err);
enum status catalog_texts_each(struct catalog *catalog, int64_t model, size_t dim, const char *collection /* NULL: all */, text_visitor visit, void *context, struct err *err);
enum status catalog_texts_forget(struct catalog *catalog, const char *collection, size_t *n, struct err *err);

/* --- the whole --- */

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

/* Makes a new catalog of what can still be read of a damaged one, which nobody may have open, and puts it in its place; the
 * damaged one is kept beside it. report gets a line for each of the first rows of photos that are lost. STATUS_FORMAT: nothing can be
 * read at all, and nothing was changed. */
struct catalog_salvage {
	size_t photos, embeddings, texts; /* saved */
	size_t photos_lost;               /* the next run finds them again */
	size_t unread;                    /* kept, but to be read again: their embedding is lost, or they never could be */
	char kept[4096];                  /* what the damaged file is called now */
};
enum status catalog_salvage(const char *path, problem_reporter report, void *context, struct catalog_salvage *saved, struct err *err);

#endif
