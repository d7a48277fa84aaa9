/* captions.c: what models said about texts and contents: likelihoods of texts under null pictures, kept as they are dear to
 * compute, and captions. */
#include "schema/catalog/texts.h"

#include "schema/catalog/internal.h"

#include "schema/base/banned.h"

enum status catalog_null_get(struct catalog *catalog, int64_t model, struct text_null *entry, bool *found, struct err *err)
{
	sqlite3_stmt *s;
	enum status status = catalog_prepare(catalog, "SELECT likelihood FROM text_nulls WHERE model = ? AND text = ? AND \"null\" = ?", &s, err);

	*found = false;
	if (status != STATUS_OK)
		return status;
	sqlite3_bind_int64(s, 1, model);
	sqlite3_bind_int64(s, 2, entry->text);
	sqlite3_bind_int64(s, 3, entry->null);
	status = catalog_step(catalog, s, found, err);
	if (*found)
		entry->likelihood = (float)sqlite3_column_double(s, 0);
	catalog_done(catalog, s);
	return status;
}

static enum status keep_nulls(struct catalog *catalog, int64_t model, const struct text_null *entries, size_t n)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		sqlite3_stmt *s;
		status = catalog_prepare(catalog, "INSERT INTO text_nulls (model, text, \"null\", likelihood) VALUES (?1, ?2, ?3, ?4)"
						  " ON CONFLICT (model, text, \"null\") DO UPDATE SET likelihood = ?4", &s, NULL);
		if (status != STATUS_OK)
			break;
		sqlite3_bind_int64(s, 1, model);
		sqlite3_bind_int64(s, 2, entries[i].text);
		sqlite3_bind_int64(s, 3, entries[i].null);
		sqlite3_bind_double(s, 4, (double)entries[i].likelihood);
		status = catalog_finish(catalog, s, NULL);
	}
	return status;
}

void catalog_nulls_keep(struct catalog *catalog, int64_t model, const struct text_null *entries, size_t n)
{
	bool own;

	/* A question must not wait for an indexing run only to note this. */
	sqlite3_busy_timeout(catalog->db, 0);
	if (n && catalog_scope_enter(catalog, &own, NULL) == STATUS_OK)
		catalog_scope_leave(catalog, own, keep_nulls(catalog, model, entries, n), NULL);
	sqlite3_busy_timeout(catalog->db, CATALOG_PATIENCE_MS);
}

static enum status sample(struct catalog *catalog, const char *select, size_t most, int64_t *contents, size_t *count, struct err *err)
{
	sqlite3_stmt *s;
	bool row;
	enum status status = catalog_prepare(catalog, select, &s, err);

	*count = 0;
	if (status != STATUS_OK)
		return status;
	sqlite3_bind_int64(s, 1, (int64_t)most);
	while ((status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row)
		contents[(*count)++] = sqlite3_column_int64(s, 0);
	catalog_done(catalog, s);
	return status;
}

enum status catalog_contents_sample(struct catalog *catalog, size_t most, int64_t *contents, size_t *count, struct err *err)
{
	return sample(catalog, "SELECT id FROM contents c WHERE EXISTS (SELECT 1 FROM photos p WHERE p.content = c.id"
			       " AND p.state = 0 AND p.gone_since = 0) ORDER BY hash LIMIT ?", most, contents, count, err);
}

enum status catalog_contents_any(struct catalog *catalog, size_t most, int64_t *contents, size_t *count, struct err *err)
{
	return sample(catalog, "SELECT id FROM contents ORDER BY hash LIMIT ?", most, contents, count, err);
}

/* --- captions --- */

enum status catalog_caption_get(struct catalog *catalog, int64_t content, int64_t model, int64_t *text, double *likelihood, struct err *err)
{
	sqlite3_stmt *s;
	bool row = false;
	enum status status = catalog_prepare(catalog, "SELECT text, likelihood FROM captions WHERE model = ? AND content = ?", &s, err);

	*text = 0;
	*likelihood = 0;
	if (status != STATUS_OK)
		return status;
	sqlite3_bind_int64(s, 1, model);
	sqlite3_bind_int64(s, 2, content);
	status = catalog_step(catalog, s, &row, err);
	if (row) {
		*text = sqlite3_column_int64(s, 0);
		*likelihood = sqlite3_column_double(s, 1);
	}
	catalog_done(catalog, s);
	return status;
}

static enum status delete_unwritten(struct catalog *catalog, int64_t text, struct err *err)
{
	sqlite3_stmt *s;
	enum status status = catalog_prepare(catalog, "DELETE FROM texts WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM captions WHERE text = ?1)",
					     &s, err);

	if (status != STATUS_OK)
		return status;
	sqlite3_bind_int64(s, 1, text);
	return catalog_finish(catalog, s, err);
}

static enum status replace_caption(struct catalog *catalog, int64_t content, int64_t model, int64_t text, double likelihood, struct err *err)
{
	sqlite3_stmt *s;
	int64_t old;
	double old_likelihood;
	enum status status = catalog_caption_get(catalog, content, model, &old, &old_likelihood, err);

	if (status == STATUS_OK)
		status = catalog_prepare(catalog, "INSERT INTO captions (model, content, text, likelihood) VALUES (?1, ?2, ?3, ?4)"
						  " ON CONFLICT (model, content) DO UPDATE SET text = ?3, likelihood = ?4", &s, err);
	if (status != STATUS_OK)
		return status;
	sqlite3_bind_int64(s, 1, model);
	sqlite3_bind_int64(s, 2, content);
	sqlite3_bind_int64(s, 3, text);
	sqlite3_bind_double(s, 4, likelihood);
	status = catalog_finish(catalog, s, err);
	if (status == STATUS_OK && old && old != text)
		status = delete_unwritten(catalog, old, err);
	return status;
}

enum status catalog_caption_put(struct catalog *catalog, int64_t content, int64_t model, int64_t text, double likelihood, struct err *err)
{
	bool own;
	enum status status = catalog_scope_enter(catalog, &own, err);

	if (status != STATUS_OK)
		return status;
	return catalog_scope_leave(catalog, own, replace_caption(catalog, content, model, text, likelihood, err), err);
}
