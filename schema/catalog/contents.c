/* contents.c: what belongs to a content: its hashes, its embeddings as F16 blobs, and samples of contents. */
#include "schema/catalog/contents.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "schema/catalog/internal.h"
#include "schema/base/memory.h"
#include "schema/base/packed.h"

#include "schema/base/banned.h"

enum { HALF = 2 /* bytes */ };

#define ANY_PHOTO(content) "EXISTS (SELECT 1 FROM photos p WHERE p.content = " content ")"

enum status catalog_content_find(struct catalog *catalog, const uint8_t hash[CATALOG_HASH], int64_t *content, struct err *err)
{
	return catalog_number(catalog, "SELECT id FROM contents WHERE hash = ?", VALUES(BYTES(hash, CATALOG_HASH)), content, err);
}

void catalog_content_hash(const void *bytes, size_t size, uint8_t hash[CATALOG_HASH])
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes, size));
	memcpy(hash, canonical.digest, CATALOG_HASH);
}

enum status catalog_content_put(struct catalog *catalog, const uint8_t hash[CATALOG_HASH], int64_t *content, struct err *err)
{
	enum status status = catalog_content_find(catalog, hash, content, err);

	if (status != STATUS_OK || *content)
		return status;
	status = catalog_change(catalog, "INSERT INTO contents (hash) VALUES (?)", VALUES(BYTES(hash, CATALOG_HASH)), err);
	if (status == STATUS_OK)
		*content = sqlite3_last_insert_rowid(catalog->db);
	return status;
}

/* --- perceptual hashes --- */

enum status catalog_hash_put(struct catalog *catalog, int64_t content, uint64_t hash, struct err *err)
{
	return catalog_change(catalog, "UPDATE contents SET phash = ? WHERE id = ?", VALUES(ID((int64_t)hash), ID(content)), err);
}

enum status catalog_hash_get(struct catalog *catalog, int64_t content, uint64_t *hash, bool *found, struct err *err)
{
	return catalog_hashes_get(catalog, &content, 1, hash, found, err);
}

enum status catalog_hashes_get(struct catalog *catalog, const int64_t *contents, size_t n, uint64_t *hashes, bool *found, struct err *err)
{
	sqlite3_stmt *s;
	bool row;
	enum status status = catalog_ask_of(catalog, "SELECT j.key, c.phash FROM json_each(?1) j CROSS JOIN contents c"
						     " WHERE c.id = j.value AND c.phash IS NOT NULL", contents, n, NO_VALUES, &s, err);

	memset(found, 0, n * sizeof *found);
	while (status == STATUS_OK && (status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
		size_t at = (size_t)sqlite3_column_int64(s, 0);
		hashes[at] = (uint64_t)sqlite3_column_int64(s, 1);
		found[at] = true;
	}
	catalog_done(catalog, s);
	return status;
}

/* --- embeddings --- */

static enum status pack(const float *embedding, size_t dim, void **blob, struct err *err)
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

enum status catalog_vector_put(struct catalog *catalog, const char *insert, int64_t id, int64_t model, const float *embedding, size_t dim,
			       struct err *err)
{
	void *blob;
	enum status status = pack(embedding, dim, &blob, err);

	if (status == STATUS_OK)
		status = catalog_change(catalog, insert, VALUES(ID(model), ID(id), BYTES(blob, HALF * dim)), err);
	free(blob);
	return status;
}

enum status catalog_embedding_put(struct catalog *catalog, int64_t content, int64_t model, const float *embedding, size_t dim,
				  struct err *err)
{
	return catalog_vector_put(catalog, "INSERT INTO embeddings (model, content, vector) VALUES (?1, ?2, ?3)"
					   " ON CONFLICT (model, content) DO UPDATE SET vector = ?3", content, model, embedding, dim, err);
}

enum status catalog_vector_get(struct catalog *catalog, const char *select, int64_t id, int64_t model, float *embedding, size_t dim,
			       bool *found, struct err *err)
{
	sqlite3_stmt *s;
	enum status status = catalog_ask(catalog, select, VALUES(ID(model), ID(id)), &s, err);

	*found = false;
	if (status == STATUS_OK)
		status = catalog_step(catalog, s, found, err);
	if (*found)
		status = catalog_embedding_column(catalog, s, 0, embedding, dim, err);
	catalog_done(catalog, s);
	return status;
}

enum status catalog_vectors_get(struct catalog *catalog, const char *select, const int64_t *ids, size_t n, int64_t model, float *embeddings,
				size_t dim, bool *found, struct err *err)
{
	sqlite3_stmt *s;
	bool row;
	enum status status = catalog_ask_of(catalog, select, ids, n, VALUES(ID(model)), &s, err);

	memset(found, 0, n * sizeof *found);
	while (status == STATUS_OK && (status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
		size_t at = (size_t)sqlite3_column_int64(s, 0);
		status = catalog_embedding_column(catalog, s, 1, embeddings + at * dim, dim, err);
		found[at] = true;
	}
	catalog_done(catalog, s);
	return status;
}

enum status catalog_embedding_get(struct catalog *catalog, int64_t content, int64_t model, float *embedding, size_t dim, bool *found,
				  struct err *err)
{
	return catalog_vector_get(catalog, "SELECT vector FROM embeddings WHERE model = ? AND content = ?", content, model, embedding, dim,
				  found, err);
}

enum status catalog_embeddings_get(struct catalog *catalog, const int64_t *contents, size_t n, int64_t model, float *embeddings, size_t dim,
				   bool *found, struct err *err)
{
	return catalog_vectors_get(catalog, "SELECT j.key, e.vector FROM json_each(?1) j CROSS JOIN embeddings e"
					    " WHERE e.model = ?2 AND e.content = j.value", contents, n, model, embeddings, dim, found, err);
}

enum status catalog_embedding_get_live(struct catalog *catalog, int64_t content, int64_t model, float *embedding, size_t dim, bool *found,
				       struct err *err)
{
	return catalog_vector_get(catalog, "SELECT vector FROM embeddings e WHERE model = ? AND content = ? AND " PHOTO_THERE("e.content"),
			     content, model, embedding, dim, found, err);
}

enum status catalog_embeddings_count(struct catalog *catalog, int64_t model, size_t *n, struct err *err)
{
	int64_t number;
	enum status status = catalog_number(catalog, "SELECT count(*) FROM embeddings e WHERE model = ? AND " PHOTO_THERE("e.content"), VALUES(ID(model)),
					    &number, err);

	*n = (size_t)number;
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
	enum status status = catalog_ask(catalog, select, VALUES(ID(model)), &s, err);
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
	return catalog_vectors_each(catalog, "SELECT content, vector FROM embeddings e WHERE model = ? AND " PHOTO_THERE("e.content") " ORDER BY content",
				    model, dim, visit, context, err);
}

enum status catalog_generation(struct catalog *catalog, int64_t model, int64_t *generation, struct err *err)
{
	return catalog_number(catalog, "SELECT generation FROM index_state WHERE model = ?", VALUES(ID(model)), generation, err);
}

/* --- samples --- */

static enum status sample(struct catalog *catalog, const char *select, size_t most, int64_t *contents, size_t *count, struct err *err)
{
	sqlite3_stmt *s;
	bool row;
	enum status status = catalog_ask(catalog, select, VALUES(ID((int64_t)most)), &s, err);

	*count = 0;
	while (status == STATUS_OK && (status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row)
		contents[(*count)++] = sqlite3_column_int64(s, 0);
	catalog_done(catalog, s);
	return status;
}

enum status catalog_contents_sample(struct catalog *catalog, size_t most, int64_t *contents, size_t *count, struct err *err)
{
	return sample(catalog, "SELECT id FROM contents c WHERE " PHOTO_THERE("c.id") " ORDER BY hash LIMIT ?", most, contents, count, err);
}

enum status catalog_contents_any(struct catalog *catalog, size_t most, int64_t *contents, size_t *count, struct err *err)
{
	return sample(catalog, "SELECT id FROM contents ORDER BY hash LIMIT ?", most, contents, count, err);
}

/* --- purging --- */

/* A content that a caption or note is tied to keeps its row, so that the text finds the photo when it comes back. */
enum status catalog_purge(struct catalog *catalog, size_t *contents, struct err *err)
{
	bool own;
	enum status status = catalog_scope_enter(catalog, &own, err);

	*contents = 0;
	if (status != STATUS_OK)
		return status;
	status = catalog_execute(catalog, "DELETE FROM embeddings WHERE content IN (SELECT c.id FROM contents c WHERE NOT " ANY_PHOTO("c.id") ");"
					  "DELETE FROM image_tokens WHERE NOT " ANY_PHOTO("image_tokens.content"), err);
	if (status == STATUS_OK)
		status = catalog_change(catalog, "DELETE FROM contents WHERE NOT " ANY_PHOTO("contents.id")
						 " AND NOT EXISTS (SELECT 1 FROM texts t WHERE t.content = contents.id)", NO_VALUES, err);
	if (status == STATUS_OK)
		*contents = (size_t)sqlite3_changes64(catalog->db);
	return catalog_scope_leave(catalog, own, status, err);
}
