/* models.c: the catalog's models, the digests of their weights, and the roots that were indexed. */
#include "schema/catalog/models.h"

#include <stdio.h>
#include <string.h>

#include "schema/catalog/internal.h"

#include "schema/base/banned.h"

/* --- models --- */

static enum status find_model(struct catalog *catalog, const struct catalog_model *model, struct catalog_model *known, struct err *err)
{
	sqlite3_stmt *s;
	bool row = false;
	enum status status = catalog_ask(catalog, "SELECT id, dim, tokens, width FROM models WHERE config_digest = ? AND weights_digest = ?",
					 VALUES(TEXT(model->config_digest), TEXT(model->weights_digest)), &s, err);

	*known = (struct catalog_model){0};
	if (status == STATUS_OK)
		status = catalog_step(catalog, s, &row, err);
	if (row) {
		known->id = sqlite3_column_int64(s, 0);
		known->dim = sqlite3_column_int64(s, 1);
		known->tokens = sqlite3_column_int64(s, 2);
		known->width = sqlite3_column_int64(s, 3);
	}
	catalog_done(catalog, s);
	return status;
}

static enum status add_model(struct catalog *catalog, struct catalog_model *model, struct err *err)
{
	enum status status = catalog_change(catalog, "INSERT INTO models (config_digest, weights_digest, name, dim, tokens, width)"
						     " VALUES (?, ?, ?, ?, ?, ?)",
					    VALUES(TEXT(model->config_digest), TEXT(model->weights_digest), TEXT(model->name), ID(model->dim),
						   ID(model->tokens), ID(model->width)), err);

	if (status == STATUS_OK)
		model->id = sqlite3_last_insert_rowid(catalog->db);
	return status;
}

enum status catalog_model_put(struct catalog *catalog, struct catalog_model *model, struct err *err)
{
	struct catalog_model known;
	enum status status = find_model(catalog, model, &known, err);

	if (status != STATUS_OK)
		return status;
	if (!known.id && catalog->lock < 0)
		return err_set(err, STATUS_NOT_FOUND, "the catalog '%s' holds nothing of the model '%s'; hint: run `coca index` with it first",
			       catalog->path, model->name);
	if (!known.id)
		return add_model(catalog, model, err);
	/* A salvaged row knows only its digests and its embeddings' size. */
	if (known.tokens == 0 && known.width == 0 && model->tokens && known.dim == model->dim && catalog->lock >= 0) {
		known.tokens = model->tokens;
		known.width = model->width;
		status = catalog_change(catalog, "UPDATE models SET tokens = ?, width = ? WHERE id = ?",
					VALUES(ID(known.tokens), ID(known.width), ID(known.id)), err);
		if (status != STATUS_OK)
			return status;
	}
	if (known.dim != model->dim || known.tokens != model->tokens || known.width != model->width)
		return err_set(err, STATUS_FORMAT, "the catalog '%s' has other sizes for the model '%s'; hint: run `coca verify`",
			       catalog->path, model->name);
	model->id = known.id;
	if (catalog->lock < 0)
		return STATUS_OK;
	return catalog_change(catalog, "UPDATE models SET name = ?1 WHERE id = ?2 AND name <> ?1", VALUES(TEXT(model->name), ID(model->id)), err);
}

/* --- digests of files --- */

enum status catalog_digest_get(struct catalog *catalog, const struct digested_file *file, char digest[33], bool *found, struct err *err)
{
	sqlite3_stmt *s;
	enum status status = catalog_ask(catalog, "SELECT digest FROM weight_digests WHERE path = ? AND size = ? AND mtime_ns = ?"
						  " AND ctime_ns = ? AND inode = ?",
					 VALUES(NAME(file->path), ID(file->size), ID(file->mtime_ns), ID(file->ctime_ns), ID(file->inode)), &s,
					 err);

	*found = false;
	if (status == STATUS_OK)
		status = catalog_step(catalog, s, found, err);
	if (*found)
		snprintf(digest, 33, "%s", (const char *)sqlite3_column_text(s, 0));
	catalog_done(catalog, s);
	return status;
}

enum status catalog_digest_put(struct catalog *catalog, const struct digested_file *file, const char *digest, struct err *err)
{
	/* A reader need not remember, and must not wait for a writer. */
	if (catalog->lock < 0)
		return STATUS_OK;
	return catalog_change(catalog, "INSERT OR REPLACE INTO weight_digests (path, size, mtime_ns, ctime_ns, inode, digest)"
				       " VALUES (?, ?, ?, ?, ?, ?)",
			      VALUES(NAME(file->path), ID(file->size), ID(file->mtime_ns), ID(file->ctime_ns), ID(file->inode), TEXT(digest)), err);
}

/* --- roots --- */

enum status catalog_root_put(struct catalog *catalog, const char *path, int64_t *id, struct err *err)
{
	/* The update that changes nothing is what makes RETURNING yield the id of a known root. */
	return catalog_number(catalog, "INSERT INTO roots (path) VALUES (?1) ON CONFLICT (path) DO UPDATE SET path = ?1 RETURNING id",
			      VALUES(BYTES(path, catalog_path_size(path))), id, err);
}

enum status catalog_root_finished(struct catalog *catalog, int64_t root, int64_t when, struct err *err)
{
	return catalog_change(catalog, "UPDATE roots SET indexed_at = ? WHERE id = ?", VALUES(ID(when), ID(root)), err);
}

enum status catalog_roots_each(struct catalog *catalog, catalog_root_visitor visit, void *context, struct err *err)
{
	sqlite3_stmt *s;
	bool row = true;
	enum status status = catalog_prepare(catalog, "SELECT id, path, indexed_at FROM roots ORDER BY id", &s, err);

	while (status == STATUS_OK && (status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
		struct catalog_root root = {
			.id = sqlite3_column_int64(s, 0),
			.path = (const char *)sqlite3_column_text(s, 1),
			.indexed_at = sqlite3_column_int64(s, 2),
		};
		status = visit(context, &root, err);
	}
	catalog_done(catalog, s);
	return status;
}
