/* texts.c: the catalog's texts (captions, notes, any collection of sentences) and their embeddings. */
#include "schema/catalog/texts.h"

#include <stdlib.h>
#include <string.h>

#include "schema/catalog/internal.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { HALF = 2 /* bytes */ };

static void bind_text(sqlite3_stmt *s, const struct catalog_text *text)
{
	sqlite3_bind_blob(s, 1, text->collection, (int)strlen(text->collection), SQLITE_STATIC);
	if (text->photo_content)
		sqlite3_bind_int64(s, 2, text->photo_content);
	/* An empty text is an empty blob, never NULL. */
	sqlite3_bind_blob64(s, 3, text->text_size ? text->text : "", text->text_size, SQLITE_STATIC);
}

enum status catalog_text_put(struct catalog *catalog, struct catalog_text *text, struct err *err)
{
	sqlite3_stmt *s;
	bool row = false;
	enum status status = catalog_prepare(catalog, "SELECT id FROM texts WHERE collection = ?1 AND ifnull(content, 0) = ifnull(?2, 0) AND text = ?3",
					     &s, err);

	if (status != STATUS_OK)
		return status;
	bind_text(s, text);
	status = catalog_step(catalog, s, &row, err);
	text->added = !row;
	if (row)
		text->id = sqlite3_column_int64(s, 0);
	catalog_done(catalog, s);
	if (status != STATUS_OK || row)
		return status;
	status = catalog_prepare(catalog, "INSERT INTO texts (collection, content, text) VALUES (?1, ?2, ?3)", &s, err);
	if (status != STATUS_OK)
		return status;
	bind_text(s, text);
	status = catalog_finish(catalog, s, err);
	if (status == STATUS_OK)
		text->id = sqlite3_last_insert_rowid(catalog->db);
	return status;
}

enum status catalog_text_embedding_put(struct catalog *catalog, int64_t text, int64_t model, const float *embedding, size_t dim,
				       struct err *err)
{
	sqlite3_stmt *s;
	void *blob;
	enum status status = catalog_embedding_blob(embedding, dim, &blob, err);

	if (status == STATUS_OK)
		status = catalog_prepare(catalog, "INSERT OR REPLACE INTO text_embeddings (model, text, vector) VALUES (?, ?, ?)", &s, err);
	if (status == STATUS_OK) {
		sqlite3_bind_int64(s, 1, model);
		sqlite3_bind_int64(s, 2, text);
		sqlite3_bind_blob64(s, 3, blob, HALF * dim, SQLITE_STATIC);
		status = catalog_finish(catalog, s, err);
	}
	free(blob);
	return status;
}

/* A row of id, collection, content, text, vector. embedding: [dim], scratch */
static enum status visit_text(struct catalog *catalog, sqlite3_stmt *s, float *embedding, size_t dim, text_visitor visit, void *context,
			      struct err *err)
{
	struct catalog_text text = {
		.id = sqlite3_column_int64(s, 0),
		.collection = (const char *)sqlite3_column_text(s, 1),
		.photo_content = sqlite3_column_int64(s, 2),
		.text = (const char *)sqlite3_column_text(s, 3),
	};
	text.text_size = (size_t)sqlite3_column_bytes(s, 3);
	bool embedded = sqlite3_column_type(s, 4) != SQLITE_NULL;
	enum status status = embedded ? catalog_embedding_column(catalog, s, 4, embedding, dim, err) : STATUS_OK;

	if (status == STATUS_OK && (!text.collection || !text.text))
		status = err_memory(err, "a text");
	return status == STATUS_OK ? visit(context, &text, embedded ? embedding : NULL, err) : status;
}

enum status catalog_texts_each(struct catalog *catalog, int64_t model, size_t dim, const char *collection, text_visitor visit, void *context,
			       struct err *err)
{
	sqlite3_stmt *s = NULL;
	bool row = true;
	float *embedding = mem_floats(dim); /* [dim] */
	enum status status = embedding ? STATUS_OK : err_memory(err, "an embedding");

	if (status == STATUS_OK)
		status = catalog_prepare(catalog, "SELECT t.id, t.collection, t.content, t.text, v.vector FROM texts t"
						  " LEFT JOIN text_embeddings v ON v.model = ?1 AND v.text = t.id"
						  " WHERE ?2 IS NULL OR t.collection = ?2 ORDER BY t.id", &s, err);
	if (status == STATUS_OK) {
		sqlite3_bind_int64(s, 1, model);
		if (collection)
			sqlite3_bind_blob(s, 2, collection, (int)strlen(collection), SQLITE_STATIC);
	}
	while (status == STATUS_OK && (status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row)
		status = visit_text(catalog, s, embedding, dim, visit, context, err);
	catalog_done(catalog, s);
	free(embedding);
	return status;
}

enum status catalog_texts_forget(struct catalog *catalog, const char *collection, size_t *n, struct err *err)
{
	sqlite3_stmt *s;
	enum status status = catalog_prepare(catalog, "DELETE FROM texts WHERE collection = ?", &s, err);

	*n = 0;
	if (status != STATUS_OK)
		return status;
	sqlite3_bind_blob(s, 1, collection, (int)strlen(collection), SQLITE_STATIC);
	status = catalog_finish(catalog, s, err);
	if (status == STATUS_OK)
		*n = (size_t)sqlite3_changes64(catalog->db);
	return status;
}

/* --- single texts, and lists of them --- */

enum status catalog_text_get(struct catalog *catalog, int64_t id, text_visitor visit, void *context, struct err *err)
{
	sqlite3_stmt *s;
	bool row = false;
	enum status status = catalog_prepare(catalog, "SELECT id, collection, content, text, NULL FROM texts WHERE id = ?", &s, err);

	if (status != STATUS_OK)
		return status;
	sqlite3_bind_int64(s, 1, id);
	status = catalog_step(catalog, s, &row, err);
	if (status == STATUS_OK)
		status = row ? visit_text(catalog, s, NULL, 0, visit, context, err)
			     : err_set(err, STATUS_NOT_FOUND, "the catalog has no text of number %lld", (long long)id);
	catalog_done(catalog, s);
	return status;
}

enum status catalog_text_keys(struct catalog *catalog, const char *collection, struct text_key **keys, size_t *n, struct err *err)
{
	sqlite3_stmt *s;
	bool row;
	size_t capacity = 0;
	enum status status = catalog_prepare(catalog, "SELECT id, content FROM texts WHERE ?1 IS NULL OR collection = ?1 ORDER BY id",
					     &s, err);

	*keys = NULL;
	*n = 0;
	if (status != STATUS_OK)
		return status;
	if (collection)
		sqlite3_bind_blob(s, 1, collection, (int)strlen(collection), SQLITE_STATIC);
	while ((status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
		if (*n == capacity) {
			capacity = capacity ? 2 * capacity : 64;
			struct text_key *more = mem_resize(*keys, capacity, sizeof *more);
			if (!more) {
				status = err_memory(err, "the list of texts");
				break;
			}
			*keys = more;
		}
		(*keys)[(*n)++] = (struct text_key){sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1)};
	}
	catalog_done(catalog, s);
	if (status != STATUS_OK) {
		free(*keys);
		*keys = NULL;
		*n = 0;
	}
	return status;
}

static int by_id(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* One pass over the index, in the order of the contents. */
static enum status merge_tied(struct catalog *catalog, const int64_t *contents, size_t n, struct buffer *texts, struct err *err)
{
	sqlite3_stmt *s;
	bool row;
	size_t at = 0;
	enum status status = catalog_prepare(catalog, "SELECT content, id FROM texts WHERE content IS NOT NULL ORDER BY content", &s, err);

	if (status != STATUS_OK)
		return status;
	while ((status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
		int64_t content = sqlite3_column_int64(s, 0), id = sqlite3_column_int64(s, 1);
		while (at < n && contents[at] < content)
			at++;
		if (!contents || (at < n && contents[at] == content))
			buffer_append(texts, &id, sizeof id);
	}
	catalog_done(catalog, s);
	return status;
}

static enum status look_up_tied(struct catalog *catalog, const int64_t *contents, size_t n, struct buffer *texts, struct err *err)
{
	sqlite3_stmt *s;
	bool row;
	enum status status = catalog_prepare(catalog, "SELECT id FROM texts WHERE content = ?", &s, err);

	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		sqlite3_bind_int64(s, 1, contents[i]);
		while ((status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
			int64_t id = sqlite3_column_int64(s, 0);
			buffer_append(texts, &id, sizeof id);
		}
		sqlite3_reset(s);
	}
	catalog_done(catalog, s);
	return status;
}

enum status catalog_texts_tied(struct catalog *catalog, const int64_t *contents, size_t n, int64_t **texts, size_t *count, struct err *err)
{
	enum { FEW = 1000 };
	struct buffer found = {0};
	enum status status = contents && n <= FEW ? look_up_tied(catalog, contents, n, &found, err)
						  : merge_tied(catalog, contents, n, &found, err);

	*texts = NULL;
	*count = 0;
	buffer_append(&found, "", 0); /* no text is an array, too */
	if (status == STATUS_OK && found.failed)
		status = err_memory(err, "the list of texts");
	if (status == STATUS_OK) {
		*texts = (int64_t *)(void *)found.data;
		*count = found.size / sizeof **texts;
		qsort(*texts, *count, sizeof **texts, by_id);
		found = (struct buffer){0};
	}
	buffer_release(&found);
	return status;
}

enum status catalog_texts_any_tied(struct catalog *catalog, bool *any, struct err *err)
{
	sqlite3_stmt *s;
	enum status status = catalog_prepare(catalog, "SELECT 1 FROM texts WHERE content IS NOT NULL LIMIT 1", &s, err);

	*any = false;
	if (status == STATUS_OK)
		status = catalog_step(catalog, s, any, err);
	catalog_done(catalog, s);
	return status;
}

static enum status count_tied(struct catalog *catalog, size_t *n, struct err *err)
{
	sqlite3_stmt *s;
	bool row = false;
	enum status status = catalog_prepare(catalog, "SELECT count(*) FROM texts WHERE content IS NOT NULL", &s, err);

	*n = 0;
	if (status != STATUS_OK)
		return status;
	status = catalog_step(catalog, s, &row, err);
	if (row)
		*n = (size_t)sqlite3_column_int64(s, 0);
	catalog_done(catalog, s);
	return status;
}

enum status catalog_texts_tied_sample(struct catalog *catalog, size_t most, int64_t *texts, size_t *count, struct err *err)
{
	sqlite3_stmt *s;
	bool row;
	size_t total, seen = 0;
	enum status status = count_tied(catalog, &total, err);

	*count = 0;
	if (status == STATUS_OK) /* in the order of its index, which holds all that is asked for */
		status = catalog_prepare(catalog, "SELECT id FROM texts WHERE content IS NOT NULL ORDER BY content, id", &s, err);
	if (status != STATUS_OK)
		return status;
	if (most > total)
		most = total;
	while (*count < most && (status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row)
		if (++seen * most / total > *count)
			texts[(*count)++] = sqlite3_column_int64(s, 0);
	catalog_done(catalog, s);
	return status;
}

enum status catalog_texts_of_content(struct catalog *catalog, int64_t content, int64_t model, size_t dim, text_visitor visit, void *context,
				     struct err *err)
{
	sqlite3_stmt *s = NULL;
	bool row = true;
	float *embedding = mem_floats(dim); /* [dim] */
	enum status status = embedding ? STATUS_OK : err_memory(err, "an embedding");

	if (status == STATUS_OK)
		status = catalog_prepare(catalog, "SELECT t.id, t.collection, t.content, t.text, v.vector FROM texts t"
						  " LEFT JOIN text_embeddings v ON v.model = ?1 AND v.text = t.id WHERE t.content = ?2 ORDER BY t.id",
					 &s, err);
	if (status == STATUS_OK) {
		sqlite3_bind_int64(s, 1, model);
		sqlite3_bind_int64(s, 2, content);
	}
	while (status == STATUS_OK && (status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row)
		status = visit_text(catalog, s, embedding, dim, visit, context, err);
	catalog_done(catalog, s);
	free(embedding);
	return status;
}

enum status catalog_collections_each(struct catalog *catalog, int64_t model, collection_visitor visit, void *context, struct err *err)
{
	sqlite3_stmt *s;
	bool row;
	enum status status = catalog_prepare(catalog, "SELECT collection, count(*), count(t.content), count(v.text) FROM texts t"
						      " LEFT JOIN text_embeddings v ON v.model = ? AND v.text = t.id"
						      " GROUP BY collection ORDER BY collection", &s, err);

	if (status != STATUS_OK)
		return status;
	sqlite3_bind_int64(s, 1, model);
	while ((status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
		struct text_collection collection = {(const char *)sqlite3_column_text(s, 0), sqlite3_column_int64(s, 1),
						     sqlite3_column_int64(s, 2), sqlite3_column_int64(s, 3)};
		status = collection.name ? visit(context, &collection, err) : err_memory(err, "a collection's name");
		if (status != STATUS_OK)
			break;
	}
	catalog_done(catalog, s);
	return status;
}

/* --- embeddings as a set --- */

/* One number of a statement with the model as its parameter. */
static enum status model_number(struct catalog *catalog, const char *sql, int64_t model, int64_t *number, struct err *err)
{
	sqlite3_stmt *s;
	bool row = false;
	enum status status = catalog_prepare(catalog, sql, &s, err);

	*number = 0;
	if (status != STATUS_OK)
		return status;
	sqlite3_bind_int64(s, 1, model);
	status = catalog_step(catalog, s, &row, err);
	if (row)
		*number = sqlite3_column_int64(s, 0);
	catalog_done(catalog, s);
	return status;
}

enum status catalog_text_generation(struct catalog *catalog, int64_t model, int64_t *generation, struct err *err)
{
	return model_number(catalog, "SELECT text_generation FROM index_state WHERE model = ?", model, generation, err);
}

enum status catalog_text_embeddings_count(struct catalog *catalog, int64_t model, size_t *n, struct err *err)
{
	int64_t number;
	enum status status = model_number(catalog, "SELECT count(*) FROM text_embeddings WHERE model = ?", model, &number, err);

	*n = (size_t)number;
	return status;
}

#define UNEMBEDDED "NOT EXISTS (SELECT 1 FROM text_embeddings v WHERE v.model = ?1 AND v.text = t.id)"

enum status catalog_texts_unembedded_count(struct catalog *catalog, int64_t model, size_t *n, struct err *err)
{
	int64_t number;
	enum status status = model_number(catalog, "SELECT count(*) FROM texts t WHERE " UNEMBEDDED, model, &number, err);

	*n = (size_t)number;
	return status;
}

enum status catalog_texts_unembedded(struct catalog *catalog, int64_t model, size_t most, text_visitor visit, void *context, struct err *err)
{
	sqlite3_stmt *s;
	bool row;
	enum status status = catalog_prepare(catalog, "SELECT id, collection, content, text, NULL FROM texts t WHERE " UNEMBEDDED
						      " ORDER BY id LIMIT ?2", &s, err);

	if (status != STATUS_OK)
		return status;
	sqlite3_bind_int64(s, 1, model);
	sqlite3_bind_int64(s, 2, (int64_t)most);
	while ((status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row)
		if ((status = visit_text(catalog, s, NULL, 0, visit, context, err)) != STATUS_OK)
			break;
	catalog_done(catalog, s);
	return status;
}

enum status catalog_text_embeddings_each(struct catalog *catalog, int64_t model, size_t dim, embedding_visitor visit, void *context,
					 struct err *err)
{
	return catalog_vectors_each(catalog, "SELECT text, vector FROM text_embeddings WHERE model = ? ORDER BY text", model, dim, visit,
				    context, err);
}

enum status catalog_text_embedding_get(struct catalog *catalog, int64_t text, int64_t model, float *embedding, size_t dim, bool *found,
				       struct err *err)
{
	return catalog_vector_get(catalog, "SELECT vector FROM text_embeddings WHERE model = ? AND text = ?", text, model, embedding, dim,
				  found, err);
}
