/* captions.c: what models said about texts and contents: likelihoods of texts under null pictures, kept as they are dear to
 * compute, and captions. */
#include "schema/catalog/texts.h"

#include <math.h>

#include "schema/catalog/internal.h"

#include "schema/base/banned.h"

enum status catalog_nulls_get(struct catalog *catalog, int64_t model, const int64_t *texts, size_t n, const int64_t *nulls, size_t m,
			      float *likelihoods, struct err *err)
{
	sqlite3_stmt *s;
	bool row;
	enum status status = catalog_ask_of(catalog, "SELECT t.key, k.key, l.likelihood FROM json_each(?1) t CROSS JOIN json_each(?3) k CROSS JOIN"
						     " text_nulls l WHERE l.model = ?2 AND l.text = t.value AND l.\"null\" = k.value", texts, n,
					    VALUES(ID(model)), &s, err);

	for (size_t i = 0; i < n * m; i++)
		likelihoods[i] = NAN;
	if (status == STATUS_OK)
		status = catalog_bind_ids(s, 3, nulls, m, err);
	while (status == STATUS_OK && (status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row)
		likelihoods[(size_t)sqlite3_column_int64(s, 0) * m + (size_t)sqlite3_column_int64(s, 1)] = (float)sqlite3_column_double(s, 2);
	catalog_done(catalog, s);
	return status;
}

enum status catalog_null_get(struct catalog *catalog, int64_t model, struct text_null *entry, bool *found, struct err *err)
{
	float likelihood;
	enum status status = catalog_nulls_get(catalog, model, &entry->text, 1, &entry->null, 1, &likelihood, err);

	*found = status == STATUS_OK && !isnan(likelihood);
	if (*found)
		entry->likelihood = likelihood;
	return status;
}

/* All in one statement: a first match has thousands. */
static enum status keep_nulls(struct catalog *catalog, int64_t model, const struct text_null *entries, size_t n)
{
	struct buffer rows = {0};

	for (size_t i = 0; i < n; i++)
		if (isfinite(entries[i].likelihood))
			buffer_format(&rows, "%s[%lld,%lld,%.9g]", rows.size ? "," : "[", (long long)entries[i].text, (long long)entries[i].null,
				      (double)entries[i].likelihood);
	buffer_text(&rows, rows.size ? "]" : "[]");
	enum status status = rows.failed ? STATUS_MEMORY
					 : catalog_change(catalog, "INSERT INTO text_nulls (model, text, \"null\", likelihood)"
								   " SELECT ?1, value ->> 0, value ->> 1, value ->> 2 FROM json_each(?2) WHERE true"
								   " ON CONFLICT (model, text, \"null\") DO UPDATE SET likelihood = excluded.likelihood",
							  VALUES(ID(model), TEXT(rows.data)), NULL);
	buffer_release(&rows);
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

/* --- captions --- */

enum status catalog_caption_get(struct catalog *catalog, int64_t content, int64_t model, int64_t *text, double *likelihood, struct err *err)
{
	sqlite3_stmt *s;
	bool row = false;
	enum status status = catalog_ask(catalog, "SELECT text, likelihood FROM captions WHERE model = ? AND content = ?",
					 VALUES(ID(model), ID(content)), &s, err);

	*text = 0;
	*likelihood = 0;
	if (status == STATUS_OK)
		status = catalog_step(catalog, s, &row, err);
	if (row) {
		*text = sqlite3_column_int64(s, 0);
		*likelihood = sqlite3_column_double(s, 1);
	}
	catalog_done(catalog, s);
	return status;
}

static enum status replace_caption(struct catalog *catalog, int64_t content, int64_t model, int64_t text, double likelihood,
				   struct err *err)
{
	int64_t old;
	double old_likelihood;
	enum status status = catalog_caption_get(catalog, content, model, &old, &old_likelihood, err);

	if (status == STATUS_OK)
		status = catalog_change(catalog, "INSERT INTO captions (model, content, text, likelihood) VALUES (?1, ?2, ?3, ?4)"
						 " ON CONFLICT (model, content) DO UPDATE SET text = ?3, likelihood = ?4",
					VALUES(ID(model), ID(content), ID(text), REAL(likelihood)), err);
	if (status == STATUS_OK && old && old != text)
		status = catalog_change(catalog, "DELETE FROM texts WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM captions WHERE text = ?1)",
					VALUES(ID(old)), err);
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
