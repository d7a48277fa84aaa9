/* tokens.c: see tokens.h. Both kinds have a table of rows and one of blobs, and are handled alike. */
#include "schema/catalog/tokens.h"

#include <stdlib.h>
#include <string.h>

#include "schema/catalog/internal.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* Each use takes the next number, so that they are unique. */
#define LAST_USE(table) "(SELECT ifnull(max(used_at), 0) FROM " table ")"
#define KIND(table, blobs)                                                                                                            \
	{                                                                                                                             \
		"INSERT INTO " table " (content, model, bytes, used_at) VALUES (?1, ?2, ?3, " LAST_USE(table) " + 1)"                 \
		" ON CONFLICT (content, model) DO UPDATE SET bytes = ?3, used_at = excluded.used_at RETURNING id",                    \
		"INSERT INTO " blobs " (id, blob) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET blob = ?2",                          \
		"SELECT j.key, b.blob FROM json_each(?1) j CROSS JOIN " table " t JOIN " blobs " b ON b.id = t.id"                    \
		" WHERE t.content = j.value AND t.model = ?2",                                                                        \
		"SELECT ifnull(sum(bytes), 0) FROM " table,                                                                           \
		"SELECT used_at, bytes FROM " table " ORDER BY used_at",                                                              \
		"DELETE FROM " table " WHERE used_at <= ?",                                                                           \
	}

static const struct kind {
	const char *put, *put_blob, *get, *sum, *oldest, *drop;
} image = KIND("image_tokens", "token_blobs"), encoder = KIND("encoder_tokens", "encoder_blobs");

static enum status put(struct catalog *catalog, const struct kind *kind, int64_t content, int64_t model, const void *blob, size_t size,
		       struct err *err)
{
	bool own;
	int64_t id;
	enum status status = catalog_scope_enter(catalog, &own, err);

	if (status != STATUS_OK)
		return status;
	status = catalog_number(catalog, kind->put, VALUES(ID(content), ID(model), ID((int64_t)size)), &id, err);
	if (status == STATUS_OK)
		status = catalog_change(catalog, kind->put_blob, VALUES(ID(id), BYTES(blob, size)), err);
	return catalog_scope_leave(catalog, own, status, err);
}

static void free_all(void **blobs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(blobs[i]);
		blobs[i] = NULL;
	}
}

static enum status get(struct catalog *catalog, const struct kind *kind, const int64_t *contents, size_t n, int64_t model, void **blobs,
		       size_t *sizes, struct err *err)
{
	sqlite3_stmt *s;
	bool row;
	enum status status = catalog_ask_of(catalog, kind->get, contents, n, VALUES(ID(model)), &s, err);

	memset(blobs, 0, n * sizeof *blobs);
	memset(sizes, 0, n * sizeof *sizes);
	while (status == STATUS_OK && (status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
		size_t at = (size_t)sqlite3_column_int64(s, 0);
		const void *bytes = sqlite3_column_blob(s, 1);
		sizes[at] = (size_t)sqlite3_column_bytes(s, 1);
		blobs[at] = mem_copy(bytes, sizes[at]);
		if (!blobs[at])
			status = err_memory(err, "tokens");
	}
	catalog_done(catalog, s);
	if (status != STATUS_OK)
		free_all(blobs, n);
	return status;
}

static enum status used_bytes(struct catalog *catalog, const struct kind *kind, size_t *bytes, struct err *err)
{
	int64_t sum;
	enum status status = catalog_number(catalog, kind->sum, NO_VALUES, &sum, err);

	*bytes = (size_t)sum;
	return status;
}

/* How many of the least recently used must go: all up to use number *last. */
static enum status find_surplus(struct catalog *catalog, const struct kind *kind, size_t budget, int64_t *last, size_t *left,
				struct err *err)
{
	sqlite3_stmt *s;
	bool row = false;
	enum status status = used_bytes(catalog, kind, left, err);

	*last = 0;
	if (status != STATUS_OK || *left <= budget)
		return status;
	status = catalog_prepare(catalog, kind->oldest, &s, err);
	while (status == STATUS_OK && *left > budget && (status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
		*last = sqlite3_column_int64(s, 0);
		*left -= (size_t)sqlite3_column_int64(s, 1);
	}
	catalog_done(catalog, s);
	return status;
}

static enum status trim(struct catalog *catalog, const struct kind *kind, size_t budget, size_t *left, struct err *err)
{
	int64_t last;
	bool own;
	enum status status = catalog_scope_enter(catalog, &own, err);

	if (status != STATUS_OK)
		return status;
	status = find_surplus(catalog, kind, budget, &last, left, err);
	if (status == STATUS_OK && last)
		status = catalog_change(catalog, kind->drop, VALUES(ID(last)), err);
	return catalog_scope_leave(catalog, own, status, err);
}

/* --- image tokens --- */

enum status catalog_tokens_put(struct catalog *catalog, int64_t content, int64_t model, const void *blob, size_t size, struct err *err)
{
	return put(catalog, &image, content, model, blob, size, err);
}

enum status catalog_tokens_get(struct catalog *catalog, int64_t content, int64_t model, void **blob, size_t *size, struct err *err)
{
	return get(catalog, &image, &content, 1, model, blob, size, err);
}

enum status catalog_tokens_of_contents(struct catalog *catalog, const int64_t *contents, size_t n, int64_t model, void **blobs,
				       size_t *sizes, struct err *err)
{
	return get(catalog, &image, contents, n, model, blobs, sizes, err);
}

enum status catalog_tokens_trim(struct catalog *catalog, size_t budget, size_t *left, struct err *err)
{
	return trim(catalog, &image, budget, left, err);
}

static enum status mark_used(struct catalog *catalog, const int64_t *contents, size_t n, int64_t model)
{
	sqlite3_stmt *s;
	enum status status = catalog_ask_of(catalog, "UPDATE image_tokens SET used_at = " LAST_USE("image_tokens") " + 1 + j.key"
						     " FROM json_each(?1) j WHERE content = j.value AND model = ?2", contents, n, VALUES(ID(model)),
					    &s, NULL);

	return status == STATUS_OK ? catalog_finish(catalog, s, NULL) : status;
}

void catalog_tokens_touch(struct catalog *catalog, const int64_t *contents, size_t n, int64_t model)
{
	bool own;

	/* A search must not wait for an indexing run only to note this. */
	sqlite3_busy_timeout(catalog->db, 0);
	if (n && catalog_scope_enter(catalog, &own, NULL) == STATUS_OK)
		catalog_scope_leave(catalog, own, mark_used(catalog, contents, n, model), NULL);
	sqlite3_busy_timeout(catalog->db, CATALOG_PATIENCE_MS);
}

/* --- the encoder's --- */

enum status catalog_encoder_put(struct catalog *catalog, int64_t content, int64_t model, const void *blob, size_t size, struct err *err)
{
	return put(catalog, &encoder, content, model, blob, size, err);
}

enum status catalog_encoder_get(struct catalog *catalog, int64_t content, int64_t model, void **blob, size_t *size, struct err *err)
{
	return get(catalog, &encoder, &content, 1, model, blob, size, err);
}

enum status catalog_encoder_of_contents(struct catalog *catalog, const int64_t *contents, size_t n, int64_t model, void **blobs,
					size_t *sizes, struct err *err)
{
	return get(catalog, &encoder, contents, n, model, blobs, sizes, err);
}

enum status catalog_encoder_trim(struct catalog *catalog, size_t budget, size_t *left, struct err *err)
{
	return trim(catalog, &encoder, budget, left, err);
}

enum status catalog_encoder_room(struct catalog *catalog, size_t budget, size_t *room, struct err *err)
{
	size_t used;
	enum status status = used_bytes(catalog, &encoder, &used, err);

	*room = used < budget ? budget - used : 0;
	return status;
}
