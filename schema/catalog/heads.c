/* heads.c: see heads.h. */
#include "schema/catalog/heads.h"

#include <stdlib.h>
#include <string.h>

#include "schema/catalog/internal.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* --- heads --- */

static enum status delete_head(struct catalog *catalog, const char *name, size_t *deleted, struct err *err)
{
	enum status status = catalog_change(catalog, "DELETE FROM heads WHERE name = ?", VALUES(NAME(name)), err);

	*deleted = status == STATUS_OK ? (size_t)sqlite3_changes(catalog->db) : 0;
	return status;
}

static enum status insert_head(struct catalog *catalog, struct catalog_head *head, const char *const *labels, size_t n, struct err *err)
{
	enum status status = catalog_change(catalog, "INSERT INTO heads (model, name, bytes) VALUES (?, ?, ?)",
					    VALUES(ID(head->model), NAME(head->name), BYTES(head->bytes, head->size)), err);

	if (status == STATUS_OK)
		head->id = sqlite3_last_insert_rowid(catalog->db);
	for (size_t i = 0; i < n && status == STATUS_OK; i++)
		status = catalog_change(catalog, "INSERT INTO labels (head, place, name) VALUES (?, ?, ?)",
					VALUES(ID(head->id), ID((int64_t)i), NAME(labels[i])), err);
	return status;
}

enum status catalog_head_put(struct catalog *catalog, struct catalog_head *head, const char *const *labels, size_t n, struct err *err)
{
	size_t deleted;
	bool own;
	enum status status = catalog_scope_enter(catalog, &own, err);

	if (status != STATUS_OK)
		return status;
	status = delete_head(catalog, head->name, &deleted, err);
	if (status == STATUS_OK)
		status = insert_head(catalog, head, labels, n, err);
	return catalog_scope_leave(catalog, own, status, err);
}

enum status catalog_heads_each(struct catalog *catalog, const char *name, catalog_head_visitor visit, void *context, struct err *err)
{
	sqlite3_stmt *s;
	bool row = true, any = false;
	enum status status = catalog_ask(catalog, "SELECT id, model, name, bytes FROM heads WHERE ?1 IS NULL OR name = ?1 ORDER BY name",
					 VALUES(OPTIONAL(name)), &s, err);

	while (status == STATUS_OK && (status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
		char *copy = mem_copy(sqlite3_column_blob(s, 2), (size_t)sqlite3_column_bytes(s, 2));
		struct catalog_head head = {
			.id = sqlite3_column_int64(s, 0),
			.model = sqlite3_column_int64(s, 1),
			.name = copy,
			.bytes = sqlite3_column_blob(s, 3),
			.size = (size_t)sqlite3_column_bytes(s, 3),
		};
		any = true;
		status = copy ? visit(context, &head, err) : err_memory(err, "a head");
		free(copy);
	}
	catalog_done(catalog, s);
	if (status == STATUS_OK && name && !any)
		return err_set(err, STATUS_NOT_FOUND, "there is no head '%s'; hint: coca heads list", name);
	return status;
}

enum status catalog_head_forget(struct catalog *catalog, const char *name, struct err *err)
{
	size_t deleted;
	enum status status = delete_head(catalog, name, &deleted, err);

	if (status == STATUS_OK && deleted == 0)
		return err_set(err, STATUS_NOT_FOUND, "there is no head '%s'; hint: coca heads list", name);
	return status;
}

/* --- labels --- */

/* "a, b, c" from rows of one column; at most some. */
static void list_rows(struct catalog *catalog, const char *sql, const char *name, struct buffer *list)
{
	enum { SHOWN_MOST = 12 };
	sqlite3_stmt *s;
	bool row;

	if (catalog_prepare(catalog, sql, &s, NULL) != STATUS_OK)
		return;
	if (sqlite3_bind_parameter_count(s))
		sqlite3_bind_blob(s, 1, name, (int)strlen(name), SQLITE_STATIC);
	for (size_t i = 0; catalog_step(catalog, s, &row, NULL) == STATUS_OK && row && i <= SHOWN_MOST; i++) {
		buffer_text(list, i ? ", " : "");
		if (i == SHOWN_MOST)
			buffer_text(list, "...");
		else
			buffer_append(list, sqlite3_column_blob(s, 0), (size_t)sqlite3_column_bytes(s, 0));
	}
	catalog_done(catalog, s);
}

static enum status unknown_label(struct catalog *catalog, const char *name, struct err *err)
{
	struct buffer list = {0};

	list_rows(catalog, "SELECT DISTINCT name FROM labels ORDER BY name", name, &list);
	enum status status = err_set(err, STATUS_USAGE, list.size ? "no head has the label '%s'; hint: there are %s"
								   : "no head has the label '%s'; hint: coca tune labels teaches one%s",
				     name, list.size ? list.data : "");
	buffer_release(&list);
	return status;
}

static enum status ambiguous_label(struct catalog *catalog, const char *name, struct err *err)
{
	struct buffer list = {0};

	list_rows(catalog, "SELECT h.name FROM labels l JOIN heads h ON h.id = l.head WHERE l.name = ? ORDER BY h.name", name, &list);
	enum status status = err_set(err, STATUS_USAGE, "several heads have the label '%s': %s; hint: label:HEAD/%s", name,
				     list.data ? list.data : "", name);
	buffer_release(&list);
	return status;
}

enum status catalog_label_find(struct catalog *catalog, const char *name, struct catalog_label *label, struct err *err)
{
	sqlite3_stmt *s;
	bool row = false;
	size_t found = 0;
	/* A whole name goes before one with its head in front. */
	enum status status = catalog_ask(catalog, "SELECT l.id, h.id, h.model, l.name = ?1 FROM labels l JOIN heads h ON h.id = l.head"
						  " WHERE l.name = ?1 OR CAST(h.name || '/' || l.name AS BLOB) = ?1"
						  " ORDER BY l.name = ?1 DESC, length(h.name) DESC, l.id", VALUES(NAME(name)), &s, err);

	*label = (struct catalog_label){0};
	while (status == STATUS_OK && (status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
		bool whole = sqlite3_column_int(s, 3);
		if (found && !whole)
			break;
		if (!found)
			*label = (struct catalog_label){sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1), sqlite3_column_int64(s, 2)};
		found++;
		if (!whole)
			break;
	}
	catalog_done(catalog, s);
	if (status != STATUS_OK)
		return status;
	if (found > 1)
		return ambiguous_label(catalog, name, err);
	return found ? STATUS_OK : unknown_label(catalog, name, err);
}

/* --- scores --- */

#define UNSCORED                                                                                                           \
	" FROM embeddings e WHERE e.model = ?1 AND NOT EXISTS (SELECT 1 FROM scored s WHERE s.head = ?2 AND s.content = e.content)" \
	" AND " PHOTO_THERE("e.content")

enum status catalog_unscored_count(struct catalog *catalog, int64_t head, int64_t model, size_t *n, struct err *err)
{
	int64_t number;
	enum status status = catalog_number(catalog, "SELECT count(*)" UNSCORED, VALUES(ID(model), ID(head)), &number, err);

	*n = (size_t)number;
	return status;
}

enum status catalog_unscored(struct catalog *catalog, int64_t head, int64_t model, int64_t **contents, size_t *n, struct err *err)
{
	sqlite3_stmt *s;
	struct buffer found = {0};
	enum status status = catalog_ask(catalog, "SELECT e.content" UNSCORED " ORDER BY e.content", VALUES(ID(model), ID(head)), &s, err);

	if (status == STATUS_OK)
		status = catalog_numbers(catalog, s, &found, err);
	*n = found.size / sizeof **contents;
	*contents = catalog_hand_over(&found, &status, "a list of photographs", err);
	*n = *contents ? *n : 0;
	return status;
}

static enum status put_scores(struct catalog *catalog, int64_t head, int64_t content, const float *probabilities, const bool *has, size_t n,
			      struct err *err)
{
	enum status status = catalog_change(catalog, "INSERT OR IGNORE INTO scored (head, content) VALUES (?, ?)", VALUES(ID(head), ID(content)),
					    err);

	for (size_t i = 0; i < n && status == STATUS_OK; i++)
		if (has[i] || probabilities[i] >= CATALOG_SCORE_LEAST)
			status = catalog_change(catalog, "INSERT OR REPLACE INTO label_scores (label, content, probability, has)"
							 " SELECT id, ?2, ?3, ?4 FROM labels WHERE head = ?1 AND place = ?5",
						VALUES(ID(head), ID(content), REAL((double)probabilities[i]), ID(has[i]), ID((int64_t)i)), err);
	return status;
}

enum status catalog_scores_put(struct catalog *catalog, int64_t head, int64_t content, const float *probabilities, const bool *has,
			       size_t n, struct err *err)
{
	bool own;
	enum status status = catalog_scope_enter(catalog, &own, err);

	if (status != STATUS_OK)
		return status;
	return catalog_scope_leave(catalog, own, put_scores(catalog, head, content, probabilities, has, n, err), err);
}

enum status catalog_label_contents(struct catalog *catalog, int64_t label, double least, int64_t **contents, double **probabilities,
				   size_t *n, struct err *err)
{
	sqlite3_stmt *s;
	struct buffer numbers = {0}, chances = {0};
	bool row;
	enum status status = catalog_ask(catalog, "SELECT content, probability FROM label_scores WHERE label = ?1 AND"
						  " iif(?2 > 0, probability >= ?2, has) ORDER BY probability DESC, content",
					 VALUES(ID(label), REAL(least)), &s, err);

	while (status == STATUS_OK && (status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
		int64_t content = sqlite3_column_int64(s, 0);
		double probability = sqlite3_column_double(s, 1);
		buffer_append(&numbers, &content, sizeof content);
		buffer_append(&chances, &probability, sizeof probability);
	}
	catalog_done(catalog, s);
	*n = numbers.size / sizeof **contents;
	*contents = catalog_hand_over(&numbers, &status, "a list of photographs", err);
	*probabilities = catalog_hand_over(&chances, &status, "a list of photographs", err);
	if (status != STATUS_OK) {
		free(*contents);
		*contents = NULL;
		*n = 0;
	}
	return status;
}

enum status catalog_label_count(struct catalog *catalog, int64_t head, size_t place, size_t *n, struct err *err)
{
	int64_t number;
	enum status status = catalog_number(catalog, "SELECT count(*) FROM labels l JOIN label_scores s ON s.label = l.id AND s.has"
						     " WHERE l.head = ? AND l.place = ? AND " PHOTO_THERE("s.content"),
					    VALUES(ID(head), ID((int64_t)place)), &number, err);

	*n = (size_t)number;
	return status;
}
