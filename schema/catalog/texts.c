/* texts.c: the catalog's texts (captions, notes, any collection of sentences) and their embeddings. */
#include "schema/catalog/texts.h"

#include <stdlib.h>
#include <string.h>

#include "schema/catalog/internal.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

#define COLUMNS "t.id, t.collection, t.content, t.text"

enum status catalog_text_put(struct catalog *catalog, struct catalog_text *text, struct err *err)
{
	const struct value values[] = {NAME(text->collection), {.kind = text->photo_content ? VALUE_ID : VALUE_NULL, .id = text->photo_content},
				       BYTES(text->text, text->text_size)};
	enum status status = catalog_number(catalog, "SELECT id FROM texts WHERE collection = ?1 AND ifnull(content, 0) = ifnull(?2, 0) AND text = ?3",
					    values, 3, &text->id, err);

	text->added = status == STATUS_OK && !text->id;
	if (!text->added)
		return status;
	status = catalog_change(catalog, "INSERT INTO texts (collection, content, text) VALUES (?1, ?2, ?3)", values, 3, err);
	if (status == STATUS_OK)
		text->id = sqlite3_last_insert_rowid(catalog->db);
	return status;
}

enum status catalog_text_embedding_put(struct catalog *catalog, int64_t text, int64_t model, const float *embedding, size_t dim,
				       struct err *err)
{
	return catalog_vector_put(catalog, "INSERT OR REPLACE INTO text_embeddings (model, text, vector) VALUES (?, ?, ?)", text, model, embedding,
				  dim, err);
}

/* A row of COLUMNS and, unless dim is 0, a vector. embedding: [dim], scratch */
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
	bool embedded = dim && sqlite3_column_type(s, 4) != SQLITE_NULL;
	enum status status = embedded ? catalog_embedding_column(catalog, s, 4, embedding, dim, err) : STATUS_OK;

	if (status == STATUS_OK && (!text.collection || !text.text))
		status = err_memory(err, "a text");
	return status == STATUS_OK ? visit(context, &text, embedded ? embedding : NULL, err) : status;
}

/* Visits the rows of a bound statement, in its first columns those of a text, then the vector unless dim is 0; closes it. */
static enum status visit_texts(struct catalog *catalog, sqlite3_stmt *s, size_t dim, text_visitor visit, void *context, bool *any,
			       struct err *err)
{
	float *embedding = mem_floats(dim); /* [dim] */
	enum status status = embedding ? STATUS_OK : err_memory(err, "an embedding");
	bool row;

	*any = false;
	while (status == STATUS_OK && (status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
		*any = true;
		status = visit_text(catalog, s, embedding, dim, visit, context, err);
	}
	catalog_done(catalog, s);
	free(embedding);
	return status;
}

enum status catalog_texts_each(struct catalog *catalog, int64_t model, size_t dim, const char *collection, text_visitor visit,
			       void *context, struct err *err)
{
	sqlite3_stmt *s;
	bool any;
	enum status status = catalog_ask(catalog, "SELECT " COLUMNS ", v.vector FROM texts t"
						  " LEFT JOIN text_embeddings v ON v.model = ?1 AND v.text = t.id"
						  " WHERE ?2 IS NULL OR t.collection = ?2 ORDER BY t.id", VALUES(ID(model), OPTIONAL(collection)), &s, err);

	return status == STATUS_OK ? visit_texts(catalog, s, dim, visit, context, &any, err) : status;
}

enum status catalog_texts_forget(struct catalog *catalog, const char *collection, size_t *n, struct err *err)
{
	enum status status = catalog_change(catalog, "DELETE FROM texts WHERE collection = ?", VALUES(NAME(collection)), err);

	*n = status == STATUS_OK ? (size_t)sqlite3_changes64(catalog->db) : 0;
	return status;
}

/* --- single texts, and lists of them --- */

enum status catalog_text_get(struct catalog *catalog, int64_t id, text_visitor visit, void *context, struct err *err)
{
	sqlite3_stmt *s;
	bool any;
	enum status status = catalog_ask(catalog, "SELECT " COLUMNS " FROM texts t WHERE id = ?", VALUES(ID(id)), &s, err);

	if (status == STATUS_OK)
		status = visit_texts(catalog, s, 0, visit, context, &any, err);
	return status == STATUS_OK && !any ? err_set(err, STATUS_NOT_FOUND, "the catalog has no text of number %lld", (long long)id) : status;
}

enum status catalog_texts_get(struct catalog *catalog, const int64_t *ids, size_t n, text_visitor visit, void *context, struct err *err)
{
	sqlite3_stmt *s;
	bool any;
	enum status status = catalog_ask_of(catalog, "SELECT " COLUMNS " FROM json_each(?1) j CROSS JOIN texts t WHERE t.id = j.value"
						     " ORDER BY j.key", ids, n, NO_VALUES, &s, err);

	return status == STATUS_OK ? visit_texts(catalog, s, 0, visit, context, &any, err) : status;
}

enum status catalog_texts_of_contents(struct catalog *catalog, const int64_t *contents, size_t n, int64_t model, size_t dim,
				      text_visitor visit, void *context, struct err *err)
{
	sqlite3_stmt *s;
	bool any;
	enum status status = catalog_ask_of(catalog, dim ? "SELECT " COLUMNS ", v.vector FROM json_each(?1) j CROSS JOIN texts t"
							   " LEFT JOIN text_embeddings v ON v.model = ?2 AND v.text = t.id"
							   " WHERE t.content = j.value ORDER BY j.key, t.id"
							 : "SELECT " COLUMNS " FROM json_each(?1) j CROSS JOIN texts t"
							   " WHERE t.content = j.value ORDER BY j.key, t.id",
					    contents, n, VALUES(ID(model)), &s, err);

	return status == STATUS_OK ? visit_texts(catalog, s, dim, visit, context, &any, err) : status;
}

enum status catalog_texts_of_content(struct catalog *catalog, int64_t content, int64_t model, size_t dim, text_visitor visit, void *context,
				     struct err *err)
{
	return catalog_texts_of_contents(catalog, &content, 1, model, dim, visit, context, err);
}

enum status catalog_text_keys(struct catalog *catalog, const char *collection, struct text_key **keys, size_t *n, struct err *err)
{
	sqlite3_stmt *s;
	struct buffer found = {0};
	bool row;
	enum status status = catalog_ask(catalog, "SELECT id, content FROM texts WHERE ?1 IS NULL OR collection = ?1 ORDER BY id",
					 VALUES(OPTIONAL(collection)), &s, err);

	while (status == STATUS_OK && (status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
		struct text_key key = {sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1)};
		buffer_append(&found, &key, sizeof key);
	}
	catalog_done(catalog, s);
	*n = found.size / sizeof **keys;
	*keys = catalog_hand_over(&found, &status, "the list of texts", err);
	*n = *keys ? *n : 0;
	return status;
}

enum status catalog_texts_in(struct catalog *catalog, const char *collection, int64_t **texts, size_t *n, struct err *err)
{
	sqlite3_stmt *s;
	struct buffer found = {0};
	enum status status = catalog_ask(catalog, "SELECT id FROM texts WHERE ?1 IS NULL OR collection = ?1 ORDER BY id",
					 VALUES(OPTIONAL(collection)), &s, err);

	if (status == STATUS_OK)
		status = catalog_numbers(catalog, s, &found, err);
	*n = found.size / sizeof **texts;
	*texts = catalog_hand_over(&found, &status, "the list of texts", err);
	*n = *texts ? *n : 0;
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

enum status catalog_texts_tied(struct catalog *catalog, const int64_t *contents, size_t n, int64_t **texts, size_t *count, struct err *err)
{
	enum { FEW = 1000 };
	struct buffer found = {0};
	sqlite3_stmt *s;
	enum status status;

	if (contents && n <= FEW) {
		status = catalog_ask_of(catalog, "SELECT t.id FROM json_each(?1) j CROSS JOIN texts t WHERE t.content = j.value", contents, n,
					NO_VALUES, &s, err);
		if (status == STATUS_OK)
			status = catalog_numbers(catalog, s, &found, err);
	} else {
		status = merge_tied(catalog, contents, n, &found, err);
	}
	*count = found.size / sizeof **texts;
	*texts = catalog_hand_over(&found, &status, "the list of texts", err);
	*count = *texts ? *count : 0;
	if (*count)
		qsort(*texts, *count, sizeof **texts, by_id);
	return status;
}

enum status catalog_texts_any_tied(struct catalog *catalog, bool *any, struct err *err)
{
	int64_t one;
	enum status status = catalog_number(catalog, "SELECT 1 FROM texts WHERE content IS NOT NULL LIMIT 1", NO_VALUES, &one, err);

	*any = one;
	return status;
}

enum status catalog_texts_tied_sample(struct catalog *catalog, size_t most, int64_t *texts, size_t *count, struct err *err)
{
	sqlite3_stmt *s;
	bool row;
	int64_t tied;
	size_t seen = 0;
	enum status status = catalog_number(catalog, "SELECT count(*) FROM texts WHERE content IS NOT NULL", NO_VALUES, &tied, err);
	size_t total = (size_t)tied;

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

enum status catalog_collections_each(struct catalog *catalog, int64_t model, collection_visitor visit, void *context, struct err *err)
{
	sqlite3_stmt *s;
	bool row;
	enum status status = catalog_ask(catalog, "SELECT collection, count(*), count(t.content), count(v.text) FROM texts t"
						  " LEFT JOIN text_embeddings v ON v.model = ? AND v.text = t.id"
						  " GROUP BY collection ORDER BY collection", VALUES(ID(model)), &s, err);

	while (status == STATUS_OK && (status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
		struct text_collection collection = {(const char *)sqlite3_column_text(s, 0), sqlite3_column_int64(s, 1),
						     sqlite3_column_int64(s, 2), sqlite3_column_int64(s, 3)};
		status = collection.name ? visit(context, &collection, err) : err_memory(err, "a collection's name");
	}
	catalog_done(catalog, s);
	return status;
}

/* --- embeddings as a set --- */

enum status catalog_text_generation(struct catalog *catalog, int64_t model, int64_t *generation, struct err *err)
{
	return catalog_number(catalog, "SELECT text_generation FROM index_state WHERE model = ?", VALUES(ID(model)), generation, err);
}

enum status catalog_text_embeddings_count(struct catalog *catalog, int64_t model, size_t *n, struct err *err)
{
	int64_t number;
	enum status status = catalog_number(catalog, "SELECT count(*) FROM text_embeddings WHERE model = ?", VALUES(ID(model)), &number, err);

	*n = (size_t)number;
	return status;
}

#define UNEMBEDDED "NOT EXISTS (SELECT 1 FROM text_embeddings v WHERE v.model = ?1 AND v.text = t.id)"

enum status catalog_texts_unembedded_count(struct catalog *catalog, int64_t model, size_t *n, struct err *err)
{
	int64_t number;
	enum status status = catalog_number(catalog, "SELECT count(*) FROM texts t WHERE " UNEMBEDDED, VALUES(ID(model)), &number, err);

	*n = (size_t)number;
	return status;
}

enum status catalog_texts_unembedded(struct catalog *catalog, int64_t model, int64_t after, size_t most, text_visitor visit, void *context,
				     struct err *err)
{
	sqlite3_stmt *s;
	bool any;
	enum status status = catalog_ask(catalog, "SELECT " COLUMNS " FROM texts t WHERE t.id > ?2 AND " UNEMBEDDED " ORDER BY t.id LIMIT ?3",
					 VALUES(ID(model), ID(after), ID((int64_t)most)), &s, err);

	return status == STATUS_OK ? visit_texts(catalog, s, 0, visit, context, &any, err) : status;
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

enum status catalog_text_embeddings_get(struct catalog *catalog, const int64_t *texts, size_t n, int64_t model, float *embeddings,
					size_t dim, bool *found, struct err *err)
{
	return catalog_vectors_get(catalog, "SELECT j.key, v.vector FROM json_each(?1) j CROSS JOIN text_embeddings v"
					    " WHERE v.model = ?2 AND v.text = j.value", texts, n, model, embeddings, dim, found, err);
}
