/* embeddings.c: what belongs to a content: embeddings, as F16 blobs, and image tokens within their budget. */
#include "schema/catalog/catalog.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "schema/catalog/internal.h"
#include "schema/base/memory.h"
#include "schema/base/packed.h"

#include "schema/base/banned.h"

enum { HALF = 2 /* bytes */ };

enum status catalog_content_find(struct catalog *catalog, const uint8_t hash[CATALOG_HASH], int64_t *content, struct err *err)
{
	sqlite3_stmt *s;
	bool row = false;
	enum status status = catalog_prepare(catalog, "SELECT id FROM contents WHERE hash = ?", &s, err);

	*content = 0;
	if (status != STATUS_OK)
		return status;
	sqlite3_bind_blob(s, 1, hash, CATALOG_HASH, SQLITE_STATIC);
	status = catalog_step(catalog, s, &row, err);
	if (row)
		*content = sqlite3_column_int64(s, 0);
	catalog_done(catalog, s);
	return status;
}

enum status catalog_content_put(struct catalog *catalog, const uint8_t hash[CATALOG_HASH], int64_t *content, struct err *err)
{
	sqlite3_stmt *s;
	enum status status = catalog_content_find(catalog, hash, content, err);

	if (status != STATUS_OK || *content)
		return status;
	status = catalog_prepare(catalog, "INSERT INTO contents (hash) VALUES (?)", &s, err);
	if (status != STATUS_OK)
		return status;
	sqlite3_bind_blob(s, 1, hash, CATALOG_HASH, SQLITE_STATIC);
	status = catalog_finish(catalog, s, err);
	if (status == STATUS_OK)
		*content = sqlite3_last_insert_rowid(catalog->db);
	return status;
}

/* --- embeddings --- */

enum status catalog_embedding_blob(const float *embedding, size_t dim, void **blob, struct err *err)
{
	*blob = NULL;
	for (size_t i = 0; i < dim; i++)
		if (!(fabsf(embedding[i]) <= 65504)) /* the largest half; NaN fails, too */
			return err_set(err, STATUS_FORMAT, "component %zu of an embedding is %g, which cannot be stored", i, (double)embedding[i]);
	*blob = mem_array(dim, HALF);
	if (!*blob)
		return err_memory(err, "an embedding");
	packed_to_half(embedding, *blob, dim);
	return STATUS_OK;
}

enum status catalog_embedding_column(struct catalog *catalog, sqlite3_stmt *s, int column, float *embedding, size_t dim, struct err *err)
{
	const void *blob = sqlite3_column_blob(s, column);
	size_t bytes = (size_t)sqlite3_column_bytes(s, column);

	if (bytes != HALF * dim)
		return err_set(err, STATUS_FORMAT, "the catalog '%s' is damaged: an embedding has %zu bytes, expected %zu; hint: run `coca verify`",
			       catalog->path, bytes, HALF * dim);
	packed_from_half(blob, embedding, dim);
	return STATUS_OK;
}

enum status catalog_embedding_put(struct catalog *catalog, int64_t content, int64_t model, const float *embedding, size_t dim, struct err *err)
{
	sqlite3_stmt *s = NULL;
	void *blob;
	enum status status = catalog_embedding_blob(embedding, dim, &blob, err);

	if (status == STATUS_OK)
		status = catalog_prepare(catalog, "INSERT INTO embeddings (model, content, vector) VALUES (?1, ?2, ?3)"
						  " ON CONFLICT (model, content) DO UPDATE SET vector = ?3", &s, err);
	if (status == STATUS_OK) {
		sqlite3_bind_int64(s, 1, model);
		sqlite3_bind_int64(s, 2, content);
		sqlite3_bind_blob64(s, 3, blob, HALF * dim, SQLITE_STATIC);
		status = catalog_finish(catalog, s, err);
	}
	free(blob);
	return status;
}

enum status catalog_vector_get(struct catalog *catalog, const char *select, int64_t id, int64_t model, float *embedding, size_t dim,
			       bool *found, struct err *err)
{
	sqlite3_stmt *s;
	enum status status = catalog_prepare(catalog, select, &s, err);

	*found = false;
	if (status != STATUS_OK)
		return status;
	sqlite3_bind_int64(s, 1, model);
	sqlite3_bind_int64(s, 2, id);
	status = catalog_step(catalog, s, found, err);
	if (*found)
		status = catalog_embedding_column(catalog, s, 0, embedding, dim, err);
	catalog_done(catalog, s);
	return status;
}

#define LIVE_CONTENT "EXISTS (SELECT 1 FROM photos p WHERE p.content = e.content AND p.state = 0 AND p.gone_since = 0)"

enum status catalog_embedding_get(struct catalog *catalog, int64_t content, int64_t model, float *embedding, size_t dim, bool *found,
				  struct err *err)
{
	return catalog_vector_get(catalog, "SELECT vector FROM embeddings WHERE model = ? AND content = ?", content, model, embedding, dim,
				  found, err);
}

enum status catalog_embedding_get_live(struct catalog *catalog, int64_t content, int64_t model, float *embedding, size_t dim, bool *found,
				       struct err *err)
{
	return catalog_vector_get(catalog, "SELECT vector FROM embeddings e WHERE model = ? AND content = ? AND " LIVE_CONTENT,
			     content, model, embedding, dim, found, err);
}

enum status catalog_embeddings_count(struct catalog *catalog, int64_t model, size_t *n, struct err *err)
{
	sqlite3_stmt *s;
	bool row = false;
	enum status status = catalog_prepare(catalog, "SELECT count(*) FROM embeddings e WHERE model = ? AND " LIVE_CONTENT, &s, err);

	*n = 0;
	if (status != STATUS_OK)
		return status;
	sqlite3_bind_int64(s, 1, model);
	status = catalog_step(catalog, s, &row, err);
	if (row)
		*n = (size_t)sqlite3_column_int64(s, 0);
	catalog_done(catalog, s);
	return status;
}

enum status catalog_vectors_each(struct catalog *catalog, const char *select, int64_t model, size_t dim, embedding_visitor visit,
				 void *context, struct err *err)
{
	sqlite3_stmt *s;
	bool row = true;
	float *embedding = mem_floats(dim); /* [dim] */

	if (!embedding)
		return err_memory(err, "an embedding");
	enum status status = catalog_prepare(catalog, select, &s, err);
	if (status == STATUS_OK)
		sqlite3_bind_int64(s, 1, model);
	while (status == STATUS_OK && (status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
		status = catalog_embedding_column(catalog, s, 1, embedding, dim, err);
		if (status == STATUS_OK)
			status = visit(context, sqlite3_column_int64(s, 0), embedding, err);
	}
	catalog_done(catalog, s);
	free(embedding);
	return status;
}

enum status catalog_embeddings_each(struct catalog *catalog, int64_t model, size_t dim, embedding_visitor visit, void *context,
				    struct err *err)
{
	return catalog_vectors_each(catalog, "SELECT content, vector FROM embeddings e WHERE model = ? AND " LIVE_CONTENT " ORDER BY content",
				    model, dim, visit, context, err);
}

enum status catalog_generation(struct catalog *catalog, int64_t model, int64_t *generation, struct err *err)
{
	sqlite3_stmt *s;
	bool row = false;
	enum status status = catalog_prepare(catalog, "SELECT generation FROM index_state WHERE model = ?", &s, err);

	*generation = 0;
	if (status != STATUS_OK)
		return status;
	sqlite3_bind_int64(s, 1, model);
	status = catalog_step(catalog, s, &row, err);
	if (row)
		*generation = sqlite3_column_int64(s, 0);
	catalog_done(catalog, s);
	return status;
}

/* --- image tokens and the encoder's --- */

/* Both kinds have a table of rows and one of blobs, and are handled alike. */
#define NEXT_USE(table) "(SELECT ifnull(max(used_at), 0) + 1 FROM " table ")"
#define STORE(table, blobs)                                                                                                           \
	{                                                                                                                             \
		"INSERT INTO " table " (content, model, bytes, used_at) VALUES (?1, ?2, ?3, " NEXT_USE(table) ")"                     \
		" ON CONFLICT (content, model) DO UPDATE SET bytes = ?3, used_at = excluded.used_at RETURNING id",                    \
		"INSERT INTO " blobs " (id, blob) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET blob = ?2",                          \
		"SELECT blob FROM " table " t JOIN " blobs " b ON b.id = t.id WHERE content = ? AND model = ?",                       \
		"UPDATE " table " SET used_at = " NEXT_USE(table) " WHERE content = ? AND model = ?",                                 \
		"SELECT ifnull(sum(bytes), 0) FROM " table,                                                                           \
		"SELECT used_at, bytes FROM " table " ORDER BY used_at",                                                              \
		"DELETE FROM " table " WHERE used_at <= ?",                                                                           \
	}

static const struct token_store {
	const char *put, *put_blob, *get, *touch, *sum, *oldest, *drop;
} image_store = STORE("image_tokens", "token_blobs"), encoder_store = STORE("encoder_tokens", "encoder_blobs");

static enum status store_put(struct catalog *catalog, const struct token_store *store, int64_t content, int64_t model, const void *blob,
			     size_t size, struct err *err)
{
	sqlite3_stmt *s;
	bool own, row = false;
	int64_t id = 0;
	enum status status = catalog_scope_enter(catalog, &own, err);

	if (status != STATUS_OK)
		return status;
	status = catalog_prepare(catalog, store->put, &s, err);
	if (status == STATUS_OK) {
		sqlite3_bind_int64(s, 1, content);
		sqlite3_bind_int64(s, 2, model);
		sqlite3_bind_int64(s, 3, (int64_t)size);
		status = catalog_step(catalog, s, &row, err);
		id = row ? sqlite3_column_int64(s, 0) : 0;
		catalog_done(catalog, s);
	}
	if (status == STATUS_OK)
		status = catalog_prepare(catalog, store->put_blob, &s, err);
	if (status == STATUS_OK) {
		sqlite3_bind_int64(s, 1, id);
		sqlite3_bind_blob64(s, 2, blob, size, SQLITE_STATIC);
		status = catalog_finish(catalog, s, err);
	}
	return catalog_scope_leave(catalog, own, status, err);
}

static enum status store_get(struct catalog *catalog, const struct token_store *store, int64_t content, int64_t model, void **blob,
			     size_t *size, struct err *err)
{
	sqlite3_stmt *s;
	bool row = false;
	enum status status = catalog_prepare(catalog, store->get, &s, err);

	*blob = NULL;
	*size = 0;
	if (status != STATUS_OK)
		return status;
	sqlite3_bind_int64(s, 1, content);
	sqlite3_bind_int64(s, 2, model);
	status = catalog_step(catalog, s, &row, err);
	if (row) {
		const void *bytes = sqlite3_column_blob(s, 0);
		*size = (size_t)sqlite3_column_bytes(s, 0);
		*blob = mem_copy(bytes, *size);
		if (!*blob)
			status = err_memory(err, "tokens");
	}
	catalog_done(catalog, s);
	return status;
}

enum status catalog_tokens_put(struct catalog *catalog, int64_t content, int64_t model, const void *blob, size_t size, struct err *err)
{
	return store_put(catalog, &image_store, content, model, blob, size, err);
}

enum status catalog_encoder_put(struct catalog *catalog, int64_t content, int64_t model, const void *blob, size_t size, struct err *err)
{
	return store_put(catalog, &encoder_store, content, model, blob, size, err);
}

enum status catalog_tokens_get(struct catalog *catalog, int64_t content, int64_t model, void **blob, size_t *size, struct err *err)
{
	return store_get(catalog, &image_store, content, model, blob, size, err);
}

enum status catalog_encoder_get(struct catalog *catalog, int64_t content, int64_t model, void **blob, size_t *size, struct err *err)
{
	return store_get(catalog, &encoder_store, content, model, blob, size, err);
}

static enum status mark_used(struct catalog *catalog, const int64_t *contents, size_t n, int64_t model)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		sqlite3_stmt *s;
		status = catalog_prepare(catalog, image_store.touch, &s, NULL);
		if (status != STATUS_OK)
			break;
		sqlite3_bind_int64(s, 1, contents[i]);
		sqlite3_bind_int64(s, 2, model);
		status = catalog_finish(catalog, s, NULL);
	}
	return status;
}

void catalog_tokens_touch(struct catalog *catalog, const int64_t *contents, size_t n, int64_t model)
{
	bool own;

	/* A search must not wait for an indexing run only to note this. */
	sqlite3_busy_timeout(catalog->db, 0);
	if (catalog_scope_enter(catalog, &own, NULL) == STATUS_OK)
		catalog_scope_leave(catalog, own, mark_used(catalog, contents, n, model), NULL);
	sqlite3_busy_timeout(catalog->db, CATALOG_PATIENCE_MS);
}

static enum status store_bytes(struct catalog *catalog, const struct token_store *store, size_t *bytes, struct err *err)
{
	sqlite3_stmt *s;
	bool row = false;
	enum status status = catalog_prepare(catalog, store->sum, &s, err);

	*bytes = 0;
	if (status != STATUS_OK)
		return status;
	status = catalog_step(catalog, s, &row, err);
	*bytes = row ? (size_t)sqlite3_column_int64(s, 0) : 0;
	catalog_done(catalog, s);
	return status;
}

/* How many of the least recently used must go: all up to use number *last. */
static enum status find_surplus(struct catalog *catalog, const struct token_store *store, size_t budget, int64_t *last, size_t *left,
				struct err *err)
{
	sqlite3_stmt *s;
	bool row = false;
	enum status status = store_bytes(catalog, store, left, err);

	*last = 0;
	if (status != STATUS_OK || *left <= budget)
		return status;
	status = catalog_prepare(catalog, store->oldest, &s, err);
	while (status == STATUS_OK && *left > budget && (status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
		*last = sqlite3_column_int64(s, 0);
		*left -= (size_t)sqlite3_column_int64(s, 1);
	}
	catalog_done(catalog, s);
	return status;
}

static enum status store_trim(struct catalog *catalog, const struct token_store *store, size_t budget, size_t *left, struct err *err)
{
	sqlite3_stmt *s;
	int64_t last;
	bool own;
	enum status status = catalog_scope_enter(catalog, &own, err);

	if (status != STATUS_OK)
		return status;
	status = find_surplus(catalog, store, budget, &last, left, err);
	/* Use numbers are unique, for each use takes the next one. */
	if (status == STATUS_OK && last)
		status = catalog_prepare(catalog, store->drop, &s, err);
	if (status == STATUS_OK && last) {
		sqlite3_bind_int64(s, 1, last);
		status = catalog_finish(catalog, s, err);
	}
	return catalog_scope_leave(catalog, own, status, err);
}

enum status catalog_tokens_trim(struct catalog *catalog, size_t budget, size_t *left, struct err *err)
{
	return store_trim(catalog, &image_store, budget, left, err);
}

enum status catalog_encoder_trim(struct catalog *catalog, size_t budget, size_t *left, struct err *err)
{
	return store_trim(catalog, &encoder_store, budget, left, err);
}

enum status catalog_encoder_room(struct catalog *catalog, size_t budget, size_t *room, struct err *err)
{
	size_t used;
	enum status status = store_bytes(catalog, &encoder_store, &used, err);

	*room = used < budget ? budget - used : 0;
	return status;
}
