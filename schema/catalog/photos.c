/* photos.c: the catalog's rows of photographs, one for each path: put, looked up, gone and back, forgotten. */
#include "schema/catalog/photos.h"

#include <inttypes.h>
#include <string.h>

#include "schema/catalog/contents.h"
#include "schema/catalog/folders.h"
#include "schema/catalog/internal.h"

#include "schema/base/banned.h"

#define SELECT_PHOTOS "SELECT " CATALOG_PHOTO_ROW " FROM photos "

/* --- writing --- */

static const char put_sql[] =
	"INSERT INTO photos (" CATALOG_PHOTO_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)"
	" ON CONFLICT (path) DO UPDATE SET root = ?1, size = ?3, mtime_ns = ?4, content = ?5, state = ?6, error = ?7, gone_since = ?8,"
	" format = ?9, width = ?10, height = ?11, orientation = ?12, taken_at = ?13, taken_offset = ?14, latitude = ?15,"
	" longitude = ?16, camera = ?17, lens = ?18, ctime_ns = ?19 RETURNING id";

/* Parameters that are not bound are NULL. */
static void bind_photo(sqlite3_stmt *s, const struct photo *photo)
{
	sqlite3_bind_int64(s, 1, photo->root);
	sqlite3_bind_blob(s, 2, photo->path, (int)photo->path_size, SQLITE_STATIC);
	sqlite3_bind_int64(s, 3, photo->size);
	sqlite3_bind_int64(s, 4, photo->mtime_ns);
	if (photo->content)
		sqlite3_bind_int64(s, 5, photo->content);
	sqlite3_bind_int(s, 6, photo->state);
	sqlite3_bind_text(s, 7, photo->error, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 8, photo->gone_since);
	sqlite3_bind_text(s, 9, photo->format, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 10, photo->width);
	sqlite3_bind_int64(s, 11, photo->height);
	sqlite3_bind_int(s, 12, photo->orientation);
	if (photo->has_taken)
		sqlite3_bind_int64(s, 13, photo->taken_at);
	if (photo->has_taken && photo->taken_offset != CATALOG_NO_OFFSET)
		sqlite3_bind_int(s, 14, photo->taken_offset);
	if (photo->has_position) {
		sqlite3_bind_double(s, 15, photo->latitude);
		sqlite3_bind_double(s, 16, photo->longitude);
	}
	sqlite3_bind_text(s, 17, photo->camera, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 18, photo->lens, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 19, photo->ctime_ns);
}

enum status catalog_photo_put(struct catalog *catalog, struct photo *photo, struct err *err)
{
	sqlite3_stmt *s;
	bool row = false;
	enum status status = catalog_prepare(catalog, put_sql, &s, err);

	if (status != STATUS_OK)
		return status;
	bind_photo(s, photo);
	status = catalog_step(catalog, s, &row, err);
	if (row)
		photo->id = sqlite3_column_int64(s, 0);
	catalog_done(catalog, s);
	return status;
}

enum status catalog_photo_gone(struct catalog *catalog, int64_t id, int64_t gone_since, struct err *err)
{
	return catalog_change(catalog, "UPDATE photos SET gone_since = ? WHERE id = ?", VALUES(ID(gone_since), ID(id)), err);
}

enum status catalog_photo_ctime(struct catalog *catalog, int64_t id, int64_t ctime_ns, struct err *err)
{
	return catalog_change(catalog, "UPDATE photos SET ctime_ns = ? WHERE id = ?", VALUES(ID(ctime_ns), ID(id)), err);
}

enum status catalog_photo_delete(struct catalog *catalog, int64_t id, struct err *err)
{
	return catalog_change(catalog, "DELETE FROM photos WHERE id = ?", VALUES(ID(id)), err);
}

/* --- reading --- */

enum status catalog_photo_known(struct catalog *catalog, const char *path, size_t path_size, int64_t model, struct photo_known *known,
				bool *found, struct err *err)
{
	sqlite3_stmt *s;
	enum status status = catalog_ask(catalog, "SELECT id, size, mtime_ns, content, gone_since, state, ctime_ns, facts,"
						  " EXISTS (SELECT 1 FROM embeddings e WHERE e.model = ?2 AND e.content = photos.content)"
						  " FROM photos WHERE path = ?1", VALUES(BYTES(path, path_size), ID(model)), &s, err);

	*found = false;
	if (status == STATUS_OK)
		status = catalog_step(catalog, s, found, err);
	if (*found)
		*known = (struct photo_known){
			.id = sqlite3_column_int64(s, 0),
			.size = sqlite3_column_int64(s, 1),
			.mtime_ns = sqlite3_column_int64(s, 2),
			.content = sqlite3_column_int64(s, 3),
			.gone_since = sqlite3_column_int64(s, 4),
			.state = sqlite3_column_int(s, 5) ? PHOTO_FAILED : PHOTO_READY,
			.ctime_ns = sqlite3_column_int64(s, 6),
			.facts = sqlite3_column_int64(s, 7),
			.embedded = sqlite3_column_int(s, 8),
		};
	catalog_done(catalog, s);
	return status;
}

static const char *text_column(sqlite3_stmt *s, int column)
{
	return (const char *)sqlite3_column_text(s, column);
}

/* A row of CATALOG_PHOTO_ROW. SQLite puts a NUL behind a blob that is read as text, and changes no byte. */
static struct photo photo_of_row(sqlite3_stmt *s)
{
	struct photo photo = {
		.id = sqlite3_column_int64(s, 0),
		.root = sqlite3_column_int64(s, 1),
		.path = text_column(s, 2),
		.size = sqlite3_column_int64(s, 3),
		.mtime_ns = sqlite3_column_int64(s, 4),
		.content = sqlite3_column_int64(s, 5),
		.state = sqlite3_column_int(s, 6) ? PHOTO_FAILED : PHOTO_READY,
		.error = text_column(s, 7),
		.gone_since = sqlite3_column_int64(s, 8),
		.format = text_column(s, 9),
		.width = sqlite3_column_int64(s, 10),
		.height = sqlite3_column_int64(s, 11),
		.orientation = sqlite3_column_int(s, 12),
		.has_taken = sqlite3_column_type(s, 13) != SQLITE_NULL,
		.taken_at = sqlite3_column_int64(s, 13),
		.taken_offset = sqlite3_column_type(s, 14) != SQLITE_NULL ? sqlite3_column_int(s, 14) : CATALOG_NO_OFFSET,
		.has_position = sqlite3_column_type(s, 15) != SQLITE_NULL && sqlite3_column_type(s, 16) != SQLITE_NULL,
		.latitude = sqlite3_column_double(s, 15),
		.longitude = sqlite3_column_double(s, 16),
		.camera = text_column(s, 17),
		.lens = text_column(s, 18),
		.ctime_ns = sqlite3_column_int64(s, 19),
	};
	photo.path_size = (size_t)sqlite3_column_bytes(s, 2);
	return photo;
}

enum status catalog_photos_visit(struct catalog *catalog, sqlite3_stmt *s, photo_visitor visit, void *context, bool *any, struct err *err)
{
	enum status status;
	bool row;

	*any = false;
	while ((status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
		struct photo photo = photo_of_row(s);
		*any = true;
		if (!photo.path)
			status = err_memory(err, "a path");
		else
			status = visit(context, &photo, err);
		if (status != STATUS_OK)
			break;
	}
	catalog_done(catalog, s);
	return status;
}

/* The rows that a SELECT_PHOTOS yields; *any: whether there was one. */
static enum status select_photos(struct catalog *catalog, const char *select, const struct value *values, size_t n, photo_visitor visit,
				 void *context, bool *any, struct err *err)
{
	sqlite3_stmt *s;
	enum status status = catalog_ask(catalog, select, values, n, &s, err);

	*any = false;
	return status == STATUS_OK ? catalog_photos_visit(catalog, s, visit, context, any, err) : status;
}

enum status catalog_photos_of_root(struct catalog *catalog, int64_t root, photo_visitor visit, void *context, struct err *err)
{
	bool any;

	return select_photos(catalog, SELECT_PHOTOS "WHERE root = ? ORDER BY id", VALUES(ID(root)), visit, context, &any, err);
}

enum status catalog_photos_of_content(struct catalog *catalog, int64_t content, bool gone_too, photo_visitor visit, void *context,
				      struct err *err)
{
	bool any;

	return select_photos(catalog, SELECT_PHOTOS "WHERE content = ? AND (gone_since = 0 OR ?) ORDER BY id", VALUES(ID(content), ID(gone_too)),
			     visit, context, &any, err);
}

enum status catalog_photo_by_path(struct catalog *catalog, const char *path, photo_visitor visit, void *context, struct err *err)
{
	bool any;
	enum status status = select_photos(catalog, SELECT_PHOTOS "WHERE path = ?", VALUES(NAME(path)), visit, context, &any, err);

	return status == STATUS_OK && !any ? err_set(err, STATUS_NOT_FOUND, "the catalog holds no photo '%s'", path) : status;
}

enum status catalog_photo_by_id(struct catalog *catalog, int64_t id, photo_visitor visit, void *context, struct err *err)
{
	bool any;
	enum status status = select_photos(catalog, SELECT_PHOTOS "WHERE id = ?", VALUES(ID(id)), visit, context, &any, err);

	return status == STATUS_OK && !any ? err_set(err, STATUS_NOT_FOUND, "the catalog holds no photo of number %lld", (long long)id) : status;
}

enum status catalog_photos_before(struct catalog *catalog, int64_t *newest, int64_t **gone, size_t *count, struct err *err)
{
	struct buffer ids = {0};
	sqlite3_stmt *s;
	enum status status = catalog_number(catalog, "SELECT ifnull(max(id), 0) FROM photos", NO_VALUES, newest, err);

	if (status == STATUS_OK)
		status = catalog_prepare(catalog, "SELECT id FROM photos WHERE gone_since <> 0 ORDER BY id", &s, err);
	if (status == STATUS_OK)
		status = catalog_numbers(catalog, s, &ids, err);
	*count = ids.size / sizeof **gone;
	*gone = catalog_hand_over(&ids, &status, "the list of photographs that are gone", err);
	return status;
}

enum status catalog_photos_failed(struct catalog *catalog, photo_visitor visit, void *context, struct err *err)
{
	bool any;

	return select_photos(catalog, SELECT_PHOTOS "WHERE state = 1 AND gone_since = 0 ORDER BY id", NO_VALUES, visit, context, &any, err);
}

/* Where the rows of a folder in `folder` end, if path lies in one; bound as a blob. */
static bool bind_next_folder(sqlite3_stmt *s, const char *path, size_t stem)
{
	const char *slash = strchr(path + stem + 1, '/');

	if (!slash)
		return false;
	char *next = sqlite3_mprintf("%.*s0", (int)(slash - path), path);
	sqlite3_reset(s);
	sqlite3_bind_blob(s, 2, next, (int)(slash - path) + 1, sqlite3_free);
	return true;
}

enum status catalog_photos_of_folder(struct catalog *catalog, const char *folder, photo_visitor visit, void *context, struct err *err)
{
	sqlite3_stmt *s;
	bool row;
	size_t stem = catalog_path_size(folder);
	enum status status = catalog_prepare(catalog, SELECT_PHOTOS "WHERE path >= ?2 AND path < ?3 ORDER BY path", &s, err);

	if (status != STATUS_OK)
		return status;
	stem = stem == 1 && *folder == '/' ? 0 : stem;
	catalog_bind_below(s, 1, folder);
	while ((status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
		struct photo photo = photo_of_row(s);
		if (!photo.path)
			status = err_memory(err, "a path");
		else if (!bind_next_folder(s, photo.path, stem))
			status = visit(context, &photo, err);
		if (status != STATUS_OK)
			break;
	}
	catalog_done(catalog, s);
	return status;
}

/* --- forgetting --- */

size_t catalog_path_size(const char *path)
{
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	return n;
}

/* '0' follows '/' among bytes, so [folder + '/', folder + '0') are the paths below. */
void catalog_bind_below(sqlite3_stmt *s, int first, const char *folder)
{
	size_t n = catalog_path_size(folder);
	int stem = n == 1 && *folder == '/' ? 0 : (int)n;
	char *from = sqlite3_mprintf("%.*s/", stem, folder), *to = sqlite3_mprintf("%.*s0", stem, folder);

	sqlite3_bind_blob(s, first, folder, (int)n, SQLITE_STATIC);
	sqlite3_bind_blob(s, first + 1, from, stem + 1, sqlite3_free);
	sqlite3_bind_blob(s, first + 2, to, stem + 1, sqlite3_free);
}

static enum status delete_below(struct catalog *catalog, const char *sql, const char *folder, size_t *rows, struct err *err)
{
	sqlite3_stmt *s;
	enum status status = catalog_prepare(catalog, sql, &s, err);

	*rows = 0;
	if (status != STATUS_OK)
		return status;
	catalog_bind_below(s, 1, folder);
	status = catalog_finish(catalog, s, err);
	if (status == STATUS_OK)
		*rows = (size_t)sqlite3_changes64(catalog->db);
	return status;
}

#define BELOW(column) "(" column " = ?1 OR (" column " >= ?2 AND " column " < ?3))"

enum status catalog_forget(struct catalog *catalog, const char *folder, size_t *photos, struct err *err)
{
	size_t roots = 0;
	bool own;
	enum status status = catalog_scope_enter(catalog, &own, err);

	*photos = 0;
	if (status != STATUS_OK)
		return status;
	status = delete_below(catalog, "DELETE FROM photos WHERE " BELOW("path") " OR root IN (SELECT id FROM roots WHERE " BELOW("path") ")",
			      folder, photos, err);
	if (status == STATUS_OK)
		status = delete_below(catalog, "DELETE FROM roots WHERE " BELOW("path"), folder, &roots, err);
	if (status == STATUS_OK && !*photos && !roots)
		status = err_set(err, STATUS_NOT_FOUND, "the catalog holds nothing below '%s'; hint: `coca status` lists the folders", folder);
	return catalog_scope_leave(catalog, own, status, err);
}
