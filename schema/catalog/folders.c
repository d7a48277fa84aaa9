/* folders.c: see folders.h. */
#include "schema/catalog/folders.h"

#include <string.h>

#include "schema/catalog/internal.h"

#include "schema/base/banned.h"

#define BELOW "(path = ?1 OR (path >= ?2 AND path < ?3))"

/* A statement with a path and the range below it as its first three parameters, and the model as its fourth. */
static enum status ask_below(struct catalog *catalog, const char *sql, int64_t model, const char *path, sqlite3_stmt **s, struct err *err)
{
	enum status status = catalog_prepare(catalog, sql, s, err);

	if (status != STATUS_OK)
		return status;
	catalog_bind_below(*s, 1, path);
	sqlite3_bind_int64(*s, 4, model);
	return STATUS_OK;
}

#define PATH(path) BYTES(path, catalog_path_size(path))

/* --- walks --- */

enum status catalog_walk_put(struct catalog *catalog, int64_t model, const char *path, struct err *err)
{
	return catalog_change(catalog, "INSERT INTO walks (model, path, whole) VALUES (?, ?, 1)"
				       " ON CONFLICT (model, path) DO UPDATE SET whole = 1", VALUES(ID(model), PATH(path)), err);
}

enum status catalog_walks_each(struct catalog *catalog, int64_t model, path_visitor visit, void *context, struct err *err)
{
	sqlite3_stmt *s;
	bool row;
	enum status status = catalog_ask(catalog, "SELECT path FROM walks WHERE model = ? AND whole ORDER BY path", VALUES(ID(model)), &s, err);

	while (status == STATUS_OK && (status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
		const char *path = (const char *)sqlite3_column_text(s, 0);
		status = path ? visit(context, path, err) : err_memory(err, "a path");
	}
	catalog_done(catalog, s);
	return status;
}

struct holder {
	const char *path;
	bool found;
};

static enum status look_above(void *context, const char *walk, struct err *err)
{
	struct holder *holder = context;
	size_t n = catalog_path_size(walk);

	(void)err;
	n -= n == 1; /* "/" */
	holder->found |= strncmp(walk, holder->path, n) == 0 && (holder->path[n] == '/' || !holder->path[n]);
	return STATUS_OK;
}

enum status catalog_walk_whole(struct catalog *catalog, int64_t model, const char *path, bool *whole, struct err *err)
{
	struct holder holder = {path, false};
	enum status status = catalog_walks_each(catalog, model, look_above, &holder, err);

	*whole = holder.found;
	return status;
}

/* --- folders --- */

enum status catalog_folders_each(struct catalog *catalog, int64_t model, const char *path, folder_visitor visit, void *context,
				 struct err *err)
{
	sqlite3_stmt *s;
	bool row;
	enum status status = ask_below(catalog, "SELECT path, stamp, photos FROM folders WHERE model = ?4 AND " BELOW " ORDER BY path", model,
				       path, &s, err);

	while (status == STATUS_OK && (status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
		struct catalog_folder folder = {
			.path = (const char *)sqlite3_column_text(s, 0),
			.stamped = sqlite3_column_bytes(s, 1) == CATALOG_STAMP,
			.photos = sqlite3_column_int64(s, 2),
		};
		if (folder.stamped)
			memcpy(folder.stamp, sqlite3_column_blob(s, 1), CATALOG_STAMP);
		status = folder.path ? visit(context, &folder, err) : err_memory(err, "a path");
	}
	catalog_done(catalog, s);
	return status;
}

enum status catalog_folder_put(struct catalog *catalog, int64_t model, const struct catalog_folder *folder, struct err *err)
{
	const struct value stamp = {.kind = folder->stamped ? VALUE_BYTES : VALUE_NULL, .bytes = folder->stamp, .size = CATALOG_STAMP};

	return catalog_change(catalog, "INSERT OR REPLACE INTO folders (model, path, stamp, photos) VALUES (?, ?, ?, ?)",
			      VALUES(ID(model), PATH(folder->path), stamp, ID(folder->photos)), err);
}

enum status catalog_folder_delete(struct catalog *catalog, int64_t model, const char *path, struct err *err)
{
	return catalog_change(catalog, "DELETE FROM folders WHERE model = ? AND path = ?", VALUES(ID(model), PATH(path)), err);
}

enum status catalog_folders_delete(struct catalog *catalog, int64_t model, const char *path, struct err *err)
{
	sqlite3_stmt *s;
	enum status status = ask_below(catalog, "DELETE FROM folders WHERE model = ?4 AND " BELOW, model, path, &s, err);

	return status == STATUS_OK ? catalog_finish(catalog, s, err) : status;
}
