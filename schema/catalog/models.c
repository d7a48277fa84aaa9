/* models.c: the catalog's models, the digests of their weights, and the roots that were indexed. */
#include "schema/catalog/catalog.h"

#include <stdio.h>
#include <string.h>

#include "schema/catalog/internal.h"

#include "schema/base/banned.h"

/* --- models --- */

static enum status find_model(struct catalog *catalog, const struct catalog_model *model, struct catalog_model *known, struct err *err)
{
	sqlite3_stmt *s;
	bool row = false;
	enum status status = catalog_prepare(catalog, "SELECT id, dim, tokens, width FROM models WHERE config_digest = ? AND weights_digest = ?",
					     &s, err);

	*known = (struct catalog_model){0};
	if (status != STATUS_OK)
		return status;
	sqlite3_bind_text(s, 1, model->config_digest, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 2, model->weights_digest, -1, SQLITE_STATIC);
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
	sqlite3_stmt *s;
	enum status status = catalog_prepare(catalog, "INSERT INTO models (config_digest, weights_digest, name, dim, tokens, width)"
						      " VALUES (?, ?, ?, ?, ?, ?)", &s, err);

	if (status != STATUS_OK)
		return status;
	sqlite3_bind_text(s, 1, model->config_digest, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 2, model->weights_digest, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 3, model->name, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 4, model->dim);
	sqlite3_bind_int64(s, 5, model->tokens);
	sqlite3_bind_int64(s, 6, model->width);
	status = catalog_finish(catalog, s, err);
	if (status == STATUS_OK)
		model->id = sqlite3_last_insert_rowid(catalog->db);
	return status;
}

static enum status rename_model(struct catalog *catalog, const struct catalog_model *model, struct err *err)
{
	sqlite3_stmt *s;
	enum status status = catalog_prepare(catalog, "UPDATE models SET name = ?1 WHERE id = ?2 AND name <> ?1", &s, err);

	if (status != STATUS_OK)
		return status;
	sqlite3_bind_text(s, 1, model->name, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 2, model->id);
	return catalog_finish(catalog, s, err);
}

static enum status resize_model(struct catalog *catalog, struct catalog_model *known, const struct catalog_model *model, struct err *err)
{
	sqlite3_stmt *s;
	enum status status = catalog_prepare(catalog, "UPDATE models SET tokens = ?, width = ? WHERE id = ?", &s, err);

	if (status != STATUS_OK)
		return status;
	sqlite3_bind_int64(s, 1, known->tokens = model->tokens);
	sqlite3_bind_int64(s, 2, known->width = model->width);
	sqlite3_bind_int64(s, 3, known->id);
	return catalog_finish(catalog, s, err);
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
		status = resize_model(catalog, &known, model, err);
		if (status != STATUS_OK)
			return status;
	}
	if (known.dim != model->dim || known.tokens != model->tokens || known.width != model->width)
		return err_set(err, STATUS_FORMAT, "the catalog '%s' has other sizes for the model '%s'; hint: run `coca verify`",
			       catalog->path, model->name);
	model->id = known.id;
	return catalog->lock >= 0 ? rename_model(catalog, model, err) : STATUS_OK;
}

enum status catalog_models_each(struct catalog *catalog, catalog_model_visitor visit, void *context, struct err *err)
{
	sqlite3_stmt *s;
	bool row = true;
	enum status status = catalog_prepare(catalog, "SELECT id, config_digest, weights_digest, name, dim, tokens, width FROM models ORDER BY id",
					     &s, err);

	while (status == STATUS_OK && (status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
		struct catalog_model model = {
			.id = sqlite3_column_int64(s, 0),
			.dim = sqlite3_column_int64(s, 4),
			.tokens = sqlite3_column_int64(s, 5),
			.width = sqlite3_column_int64(s, 6),
		};
		snprintf(model.config_digest, sizeof model.config_digest, "%s", (const char *)sqlite3_column_text(s, 1));
		snprintf(model.weights_digest, sizeof model.weights_digest, "%s", (const char *)sqlite3_column_text(s, 2));
		snprintf(model.name, sizeof model.name, "%s", (const char *)sqlite3_column_text(s, 3));
		status = visit(context, &model, err);
	}
	catalog_done(catalog, s);
	return status;
}

/* --- digests of files --- */

enum status catalog_digest_get(struct catalog *catalog, const char *path, int64_t size, int64_t mtime_ns, char digest[33], bool *found,
			       struct err *err)
{
	sqlite3_stmt *s;
	enum status status = catalog_prepare(catalog, "SELECT digest FROM weight_digests WHERE path = ? AND size = ? AND mtime_ns = ?", &s, err);

	*found = false;
	if (status != STATUS_OK)
		return status;
	sqlite3_bind_blob(s, 1, path, (int)strlen(path), SQLITE_STATIC);
	sqlite3_bind_int64(s, 2, size);
	sqlite3_bind_int64(s, 3, mtime_ns);
	status = catalog_step(catalog, s, found, err);
	if (*found)
		snprintf(digest, 33, "%s", (const char *)sqlite3_column_text(s, 0));
	catalog_done(catalog, s);
	return status;
}

enum status catalog_digest_put(struct catalog *catalog, const char *path, int64_t size, int64_t mtime_ns, const char *digest,
			       struct err *err)
{
	sqlite3_stmt *s;

	/* A reader need not remember, and must not wait for a writer. */
	if (catalog->lock < 0)
		return STATUS_OK;
	enum status status = catalog_prepare(catalog, "INSERT OR REPLACE INTO weight_digests (path, size, mtime_ns, digest) VALUES (?, ?, ?, ?)",
					     &s, err);
	if (status != STATUS_OK)
		return status;
	sqlite3_bind_blob(s, 1, path, (int)strlen(path), SQLITE_STATIC);
	sqlite3_bind_int64(s, 2, size);
	sqlite3_bind_int64(s, 3, mtime_ns);
	sqlite3_bind_text(s, 4, digest, -1, SQLITE_STATIC);
	return catalog_finish(catalog, s, err);
}

/* --- roots --- */

enum status catalog_root_put(struct catalog *catalog, const char *path, int64_t *id, struct err *err)
{
	sqlite3_stmt *s;
	bool row = false;
	/* The update that changes nothing is what makes RETURNING yield the id of a known root. */
	enum status status = catalog_prepare(catalog, "INSERT INTO roots (path) VALUES (?1) ON CONFLICT (path) DO UPDATE SET path = ?1 RETURNING id",
					     &s, err);

	if (status != STATUS_OK)
		return status;
	sqlite3_bind_blob(s, 1, path, (int)catalog_path_size(path), SQLITE_STATIC);
	status = catalog_step(catalog, s, &row, err);
	*id = row ? sqlite3_column_int64(s, 0) : 0;
	catalog_done(catalog, s);
	return status;
}

enum status catalog_root_finished(struct catalog *catalog, int64_t root, int64_t when, struct err *err)
{
	sqlite3_stmt *s;
	enum status status = catalog_prepare(catalog, "UPDATE roots SET indexed_at = ? WHERE id = ?", &s, err);

	if (status != STATUS_OK)
		return status;
	sqlite3_bind_int64(s, 1, when);
	sqlite3_bind_int64(s, 2, root);
	return catalog_finish(catalog, s, err);
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
