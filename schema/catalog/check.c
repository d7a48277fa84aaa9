/* check.c: counting what the catalog holds, and finding what is wrong in it: SQLite's own checks first, then rules
 * that SQL cannot state as constraints.
 */
#include "schema/catalog/maintenance.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "schema/catalog/internal.h"
#include "schema/base/memory.h"
#include "schema/base/packed.h"

#include "schema/base/banned.h"

enum status catalog_count(struct catalog *catalog, int64_t model, struct catalog_counts *counts, struct err *err)
{
	static const struct {
		const char *sql;
		size_t offset;
	} columns[] = {
		{"SELECT count(*) FROM photos", offsetof(struct catalog_counts, photos)},
		{"SELECT count(*) FROM photos WHERE state = 1 AND gone_since = 0", offsetof(struct catalog_counts, failed)},
		{"SELECT count(*) FROM photos WHERE gone_since <> 0", offsetof(struct catalog_counts, gone)},
		{"SELECT count(*) FROM contents", offsetof(struct catalog_counts, contents)},
		{"SELECT count(*) FROM embeddings WHERE ?1 IN (0, model)", offsetof(struct catalog_counts, embeddings)},
		{"SELECT count(*) FROM image_tokens WHERE ?1 IN (0, model)", offsetof(struct catalog_counts, token_rows)},
		{"SELECT ifnull(sum(bytes), 0) FROM image_tokens WHERE ?1 IN (0, model)", offsetof(struct catalog_counts, token_bytes)},
		{"SELECT count(*) FROM encoder_tokens WHERE ?1 IN (0, model)", offsetof(struct catalog_counts, encoder_rows)},
		{"SELECT ifnull(sum(bytes), 0) FROM encoder_tokens WHERE ?1 IN (0, model)", offsetof(struct catalog_counts, encoder_bytes)},
		{"SELECT count(*) FROM texts", offsetof(struct catalog_counts, texts)},
		{"SELECT count(*) FROM roots", offsetof(struct catalog_counts, roots)},
	};
	enum status status = STATUS_OK;

	*counts = (struct catalog_counts){0};
	for (size_t i = 0; i < sizeof columns / sizeof *columns && status == STATUS_OK; i++) {
		int64_t *number = (int64_t *)(void *)((char *)counts + columns[i].offset);
		/* A value that a statement has no parameter for goes nowhere. */
		status = catalog_number(catalog, columns[i].sql, VALUES(ID(model)), number, err);
	}
	return status;
}

/* --- checking --- */

struct check {
	struct catalog *catalog;
	problem_reporter report;
	void *context;
	size_t problems;
};

/* err's text, so that what is reported is one line whatever the bytes of a path are. */
static void report(struct check *check, const struct err *err)
{
	check->problems++;
	check->report(check->context, err->text);
}

/* Damage is what is looked for, so it is a finding; anything else ends the check. */
static enum status found_or_failed(struct check *check, enum status status, struct err *err)
{
	if (status != STATUS_FORMAT)
		return status;
	report(check, err);
	return STATUS_OK;
}

/* Every row of sql is a problem: its first column, set behind `what`. "ok" is what integrity_check says when all is well. */
static enum status report_rows(struct check *check, const char *what, const char *sql, struct err *err)
{
	struct err problem;
	sqlite3_stmt *s;
	bool row;
	enum status status = catalog_prepare(check->catalog, sql, &s, err);

	while (status == STATUS_OK && (status = catalog_step(check->catalog, s, &row, err)) == STATUS_OK && row) {
		const char *text = (const char *)sqlite3_column_text(s, 0);
		if (text && strcmp(text, "ok") == 0)
			continue;
		err_set(&problem, STATUS_FORMAT, "%s '%s'", what, text ? text : "");
		report(check, &problem);
	}
	catalog_done(check->catalog, s);
	return found_or_failed(check, status, err);
}

static const struct {
	const char *what, *sql;
} rules[] = {
	{"SQLite's integrity check finds", "PRAGMA integrity_check(1000)"},
	{"a row refers to nothing in table", "SELECT \"table\" || ' row ' || ifnull(rowid, '?') || ' -> ' || parent FROM pragma_foreign_key_check"},
	{"no content, though it was decoded:", "SELECT path FROM photos WHERE state = 0 AND content IS NULL"},
	{"no embedding of any model:", "SELECT path FROM photos WHERE state = 0 AND content IS NOT NULL AND NOT EXISTS"
				       " (SELECT 1 FROM embeddings e WHERE e.content = photos.content)"},
	{"no reason for its failure:", "SELECT path FROM photos WHERE state = 1 AND ifnull(error, '') = ''"},
	{"not an absolute path:", "SELECT path FROM photos WHERE substr(path, 1, 1) <> CAST('/' AS BLOB) OR instr(path, x'00')"},
	{"no generation for model", "SELECT id FROM models WHERE id NOT IN (SELECT model FROM index_state)"},
	{"image tokens without their blob, for content", "SELECT content FROM image_tokens WHERE id NOT IN (SELECT id FROM token_blobs)"},
	{"image tokens of another size than their row says, for content",
	 "SELECT content FROM image_tokens t JOIN token_blobs b ON b.id = t.id WHERE t.bytes <> length(b.blob)"},
	{"encoder tokens without their blob, for content", "SELECT content FROM encoder_tokens WHERE id NOT IN (SELECT id FROM encoder_blobs)"},
	{"encoder tokens of another size than their row says, for content",
	 "SELECT content FROM encoder_tokens t JOIN encoder_blobs b ON b.id = t.id WHERE t.bytes <> length(b.blob)"},
	{"a probability that is none, for content", "SELECT content FROM label_scores WHERE NOT probability BETWEEN 0 AND 1"},
};

/* --- blobs of numbers --- */

static bool all_finite(const float *numbers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isfinite(numbers[i]))
			return false;
	return true;
}

/* What is wrong with a row of a kind's select, if anything. numbers: [*room], grows. */
static enum status inspect(struct catalog *catalog, const struct catalog_blobs *kind, sqlite3_stmt *s, float **numbers, size_t *room,
			   bool *sound, struct err *problem, struct err *err)
{
	int64_t id = sqlite3_column_int64(s, 0);
	const void *blob = sqlite3_column_blob(s, 2);
	size_t size = (size_t)sqlite3_column_bytes(s, 2), n = (size_t)sqlite3_column_int64(s, 3), w = (size_t)sqlite3_column_int64(s, 4);

	if (kind->tokens && sqlite3_column_type(s, 3) == SQLITE_NULL)
		packed_tokens_shape(blob, size, &n, &w);
	size_t count = kind->tokens ? mem_product(n, w) : n;
	if (!*numbers || count > *room) {
		free(*numbers);
		*numbers = mem_floats(*room = count);
	}
	if (!*numbers)
		return err_memory(err, kind->tokens ? "tokens" : "an embedding");
	enum status status = kind->tokens ? packed_tokens_read(blob, size, n, w, *numbers, problem)
					  : catalog_embedding_column(catalog, s, 2, *numbers, n, problem);
	*sound = status == STATUS_OK && all_finite(*numbers, count);
	if (status != STATUS_OK)
		err_prefix(problem, "%s %" PRId64, kind->tokens ? "content" : kind->what, id);
	else if (!*sound)
		err_set(problem, STATUS_FORMAT, "%s %" PRId64 " has a component that is not a number", kind->what, id);
	return STATUS_OK;
}

const struct catalog_blobs catalog_blobs[CATALOG_BLOBS] = {
	[EMBEDDINGS] = {"the embedding of content", false, "SELECT e.content, e.model, e.vector, m.dim, NULL FROM embeddings e"
			" JOIN models m ON m.id = e.model"},
	[TEXT_EMBEDDINGS] = {"the embedding of text", false, "SELECT e.text, e.model, e.vector, m.dim, NULL FROM text_embeddings e"
			     " JOIN models m ON m.id = e.model"},
	[IMAGE_TOKENS] = {"the image tokens of content", true, "SELECT t.content, t.model, b.blob, m.tokens, m.width FROM image_tokens t"
			  " JOIN token_blobs b ON b.id = t.id JOIN models m ON m.id = t.model ORDER BY t.id"},
	[ENCODER_TOKENS] = {"the encoder tokens of content", true, "SELECT t.content, t.model, b.blob, NULL, NULL FROM encoder_tokens t"
			    " JOIN encoder_blobs b ON b.id = t.id ORDER BY t.id"},
};

enum status catalog_unsound_each(struct catalog *catalog, const struct catalog_blobs *kind, unsound_visitor visit, void *context,
				 struct err *err)
{
	struct err problem;
	sqlite3_stmt *s;
	bool row, sound = true;
	float *numbers = NULL; /* of the largest blob so far */
	size_t room = 0;
	enum status status = catalog_prepare(catalog, kind->select, &s, err);

	while (status == STATUS_OK && (status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
		status = inspect(catalog, kind, s, &numbers, &room, &sound, &problem, err);
		if (status == STATUS_OK && !sound)
			status = visit(context, sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1), &problem, err);
	}
	catalog_done(catalog, s);
	free(numbers);
	return status;
}

static enum status report_unsound(void *context, int64_t id, int64_t model, const struct err *problem, struct err *err)
{
	(void)id;
	(void)model;
	(void)err;
	report(context, problem);
	return STATUS_OK;
}

/* --- the whole --- */

enum status catalog_intact(struct catalog *catalog, bool *intact, struct err *err)
{
	sqlite3_stmt *s;
	bool row = false;
	enum status status = catalog_prepare(catalog, "PRAGMA integrity_check(1)", &s, err);

	if (status == STATUS_OK)
		status = catalog_step(catalog, s, &row, err);
	*intact = status == STATUS_OK && row && sqlite3_column_bytes(s, 0) == 2 && memcmp(sqlite3_column_text(s, 0), "ok", 2) == 0;
	catalog_done(catalog, s);
	return status == STATUS_FORMAT ? STATUS_OK : status;
}

enum status catalog_check(struct catalog *catalog, problem_reporter reporter, void *context, size_t *problems, struct err *err)
{
	struct check check = {catalog, reporter, context, 0};
	enum status status = STATUS_OK;

	for (size_t i = 0; i < sizeof rules / sizeof *rules && status == STATUS_OK; i++)
		status = report_rows(&check, rules[i].what, rules[i].sql, err);
	for (size_t i = 0; i < CATALOG_BLOBS && status == STATUS_OK; i++)
		status = found_or_failed(&check, catalog_unsound_each(catalog, &catalog_blobs[i], report_unsound, &check, err), err);
	*problems = check.problems;
	return status;
}
