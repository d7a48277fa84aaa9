/* photos.h: the rows of photographs, one for each path.
 *
 *     struct photo photo = {.root = root, .path = path, .path_size = n, .content = content, .state = PHOTO_READY, ...};
 *     catalog_photo_put(catalog, &photo, err);
 *     catalog_photos_of_contents(catalog, contents, n, &filter, visit, context, err);   // one statement for all
 *
 * "There" is a photo that is READY and not gone.
 */
#ifndef SCHEMA_CATALOG_PHOTOS_H
#define SCHEMA_CATALOG_PHOTOS_H

#include "schema/catalog/catalog.h"
#include "schema/catalog/filter.h"

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
/* What a run needs to know that a file is unchanged, by path. *found false: unknown path, *known is untouched. */
struct photo_known {
	int64_t id, size, mtime_ns, ctime_ns, content, gone_since;
	int64_t facts;         /* of the files beside it (facts.h); 0: never read */
	enum photo_state state;
	bool embedded;         /* its content, by the model that was asked for */
};
enum status catalog_photo_known(struct catalog *catalog, const char *path, size_t path_size, int64_t model,
				struct photo_known *known, bool *found, struct err *err);
enum status catalog_photo_gone(struct catalog *catalog, int64_t id, int64_t gone_since /* 0: back */, struct err *err);
/* For a row from a version that did not know it. */
enum status catalog_photo_ctime(struct catalog *catalog, int64_t id, int64_t ctime_ns, struct err *err);
enum status catalog_photo_delete(struct catalog *catalog, int64_t id, struct err *err);

/* In the order of ids. */
typedef enum status (*photo_visitor)(void *context, const struct photo *photo, struct err *err);
enum status catalog_photos_of_root(struct catalog *catalog, int64_t root, photo_visitor visit, void *context, struct err *err);
enum status catalog_photos_of_content(struct catalog *catalog, int64_t content, bool gone_too, photo_visitor visit, void *context,
				      struct err *err);
/* STATUS_NOT_FOUND */
enum status catalog_photo_by_path(struct catalog *catalog, const char *path, photo_visitor visit, void *context, struct err *err);
/* Photos of n contents that are there and pass the filter, in the order of the contents, copies by id. */
enum status catalog_photos_of_contents(struct catalog *catalog, const int64_t *contents, size_t n, const struct photo_filter *filter,
				       photo_visitor visit, void *context, struct err *err);
/* Photos that are there and pass, newest first by taken_at, those without a date last, ties by path; at most `limit`. */
enum status catalog_photos_newest(struct catalog *catalog, const struct photo_filter *filter, size_t limit, photo_visitor visit,
				  void *context, struct err *err);
/* STATUS_NOT_FOUND */
enum status catalog_photo_by_id(struct catalog *catalog, int64_t id, photo_visitor visit, void *context, struct err *err);
/* What tells later whether a photo came since: the largest id (0: none), and the ids of those that are gone, ascending; the caller frees. */
enum status catalog_photos_before(struct catalog *catalog, int64_t *newest, int64_t **gone, size_t *count, struct err *err);
enum status catalog_photos_failed(struct catalog *catalog, photo_visitor visit, void *context, struct err *err);

/* Deletes the rows of a root (and the root), or of every path below a folder of one; contents stay until catalog_purge.
 * *photos: how many rows went. STATUS_NOT_FOUND if no row lies there. */
enum status catalog_forget(struct catalog *catalog, const char *folder, size_t *photos, struct err *err);

#endif
