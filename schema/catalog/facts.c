/* facts.c: see facts.h. A trigger drops a text when the last photo that brought it lets go of it. */
#include "schema/catalog/facts.h"

#include "schema/catalog/internal.h"

#include "schema/base/banned.h"

static enum status link_text(struct catalog *catalog, int64_t photo, int64_t text, struct err *err)
{
	sqlite3_stmt *s;
	enum status status = catalog_prepare(catalog, "INSERT INTO photo_texts (photo, text, current) VALUES (?1, ?2, 1)"
						      " ON CONFLICT (photo, text) DO UPDATE SET current = 1", &s, err);

	if (status != STATUS_OK)
		return status;
	sqlite3_bind_int64(s, 1, photo);
	sqlite3_bind_int64(s, 2, text);
	return catalog_finish(catalog, s, err);
}

static enum status with_photo(struct catalog *catalog, const char *sql, int64_t photo, int64_t value, struct err *err)
{
	sqlite3_stmt *s;
	enum status status = catalog_prepare(catalog, sql, &s, err);

	if (status != STATUS_OK)
		return status;
	sqlite3_bind_int64(s, 1, photo);
	if (sqlite3_bind_parameter_count(s) > 1)
		sqlite3_bind_int64(s, 2, value);
	return catalog_finish(catalog, s, err);
}

enum status catalog_facts_put(struct catalog *catalog, int64_t photo, int64_t content, int64_t stamp, const struct catalog_fact *facts,
			      size_t n, struct err *err)
{
	bool own;
	enum status status = catalog_scope_enter(catalog, &own, err);

	if (status != STATUS_OK)
		return status;
	/* What stays keeps its row, and with it its embeddings. */
	status = with_photo(catalog, "UPDATE photo_texts SET current = 0 WHERE photo = ?1", photo, 0, err);
	for (size_t i = 0; i < n && content && status == STATUS_OK; i++) {
		struct catalog_text text = {.collection = facts[i].collection, .photo_content = content, .text = facts[i].text,
					    .text_size = facts[i].text_size};
		status = catalog_text_put(catalog, &text, err);
		if (status == STATUS_OK)
			status = link_text(catalog, photo, text.id, err);
	}
	if (status == STATUS_OK)
		status = with_photo(catalog, "DELETE FROM photo_texts WHERE photo = ?1 AND NOT current", photo, 0, err);
	if (status == STATUS_OK)
		status = with_photo(catalog, "UPDATE photos SET facts = ?2 WHERE id = ?1", photo, stamp, err);
	return catalog_scope_leave(catalog, own, status, err);
}

enum status catalog_hash_put(struct catalog *catalog, int64_t content, uint64_t hash, struct err *err)
{
	return with_photo(catalog, "UPDATE contents SET phash = ?2 WHERE id = ?1", content, (int64_t)hash, err);
}

enum status catalog_hash_get(struct catalog *catalog, int64_t content, uint64_t *hash, bool *found, struct err *err)
{
	sqlite3_stmt *s;
	enum status status = catalog_prepare(catalog, "SELECT phash FROM contents WHERE id = ? AND phash IS NOT NULL", &s, err);

	*found = false;
	if (status != STATUS_OK)
		return status;
	sqlite3_bind_int64(s, 1, content);
	status = catalog_step(catalog, s, found, err);
	if (*found)
		*hash = (uint64_t)sqlite3_column_int64(s, 0);
	catalog_done(catalog, s);
	return status;
}
