/* repair.c: what a damaged blob costs is made again: its row is dropped. What is damaged is what catalog_check reports of
 * blobs; SQLite's own damage is beyond repair here.
 */
#include "schema/catalog/maintenance.h"

#include <math.h>
#include <stdlib.h>

#include "schema/catalog/internal.h"
#include "schema/base/memory.h"
#include "schema/base/packed.h"

#include "schema/base/banned.h"

static bool all_finite(const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isfinite(x[i]))
			return false;
	return true;
}

/* coca_sound_vector(blob, dim) */
static void sound_vector(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	(void)argc;
	const void *blob = sqlite3_value_blob(argv[0]);
	size_t dim = (size_t)sqlite3_value_int64(argv[1]);
	bool sound = false;

	if (blob && (size_t)sqlite3_value_bytes(argv[0]) == mem_product(2, dim)) {
		float *vector = mem_floats(dim);
		if (!vector) {
			sqlite3_result_error_nomem(context);
			return;
		}
		packed_from_half(blob, vector, dim);
		sound = all_finite(vector, dim);
		free(vector);
	}
	sqlite3_result_int(context, sound);
}

/* coca_sound_tokens(blob, tokens, width); or (blob), of the shape that the blob says */
static void sound_tokens(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	const void *blob = sqlite3_value_blob(argv[0]);
	size_t size = (size_t)sqlite3_value_bytes(argv[0]), n, w;

	if (argc == 1) {
		packed_tokens_shape(blob, size, &n, &w);
	} else {
		n = (size_t)sqlite3_value_int64(argv[1]);
		w = (size_t)sqlite3_value_int64(argv[2]);
	}
	float *tokens = mem_floats(mem_product(n, w));
	if (!tokens) {
		sqlite3_result_error_nomem(context);
		return;
	}
	sqlite3_result_int(context, packed_tokens_read(blob, size, n, w, tokens, NULL) == STATUS_OK && all_finite(tokens, n * w));
	free(tokens);
}

static enum status delete_unsound(struct catalog *catalog, const char *sql, size_t *deleted, struct err *err)
{
	enum status status = catalog_execute(catalog, sql, err);

	if (status == STATUS_OK)
		*deleted = (size_t)sqlite3_changes(catalog->db);
	return status;
}

static enum status delete_all_unsound(struct catalog *catalog, struct catalog_repairs *done, struct err *err)
{
	size_t encoder;
	enum status status = delete_unsound(catalog,
		"DELETE FROM embeddings WHERE NOT coca_sound_vector(vector, (SELECT dim FROM models WHERE id = model))",
		&done->embeddings, err);

	if (status == STATUS_OK)
		status = delete_unsound(catalog,
			"DELETE FROM text_embeddings WHERE NOT coca_sound_vector(vector, (SELECT dim FROM models WHERE id = model))",
			&done->text_embeddings, err);
	if (status == STATUS_OK)
		status = delete_unsound(catalog,
			"DELETE FROM image_tokens WHERE NOT EXISTS (SELECT 1 FROM token_blobs b, models m WHERE b.id = image_tokens.id"
			" AND m.id = image_tokens.model AND length(b.blob) = image_tokens.bytes AND coca_sound_tokens(b.blob, m.tokens, m.width))",
			&done->tokens, err);
	if (status == STATUS_OK)
		status = delete_unsound(catalog,
			"DELETE FROM encoder_tokens WHERE NOT EXISTS (SELECT 1 FROM encoder_blobs b WHERE b.id = encoder_tokens.id"
			" AND length(b.blob) = encoder_tokens.bytes AND coca_sound_tokens(b.blob))",
			&encoder, err);
	if (status == STATUS_OK) {
		done->tokens += encoder;
		/* What damaged tokens were read as is not known: heads are asked again. */
		status = catalog_execute(catalog, "DELETE FROM scored; DELETE FROM label_scores", err);
	}
	if (status == STATUS_OK)
		status = catalog_execute(catalog, "UPDATE index_state SET generation = generation + 1, text_generation = text_generation + 1", err);
	return status;
}

enum status catalog_repair(struct catalog *catalog, struct catalog_repairs *done, struct err *err)
{
	const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC;
	bool own;

	*done = (struct catalog_repairs){0};
	if (sqlite3_create_function(catalog->db, "coca_sound_vector", 2, flags, NULL, sound_vector, NULL, NULL) != SQLITE_OK ||
	    sqlite3_create_function(catalog->db, "coca_sound_tokens", -1, flags, NULL, sound_tokens, NULL, NULL) != SQLITE_OK)
		return catalog_failed(catalog, err);
	enum status status = catalog_scope_enter(catalog, &own, err);
	if (status == STATUS_OK)
		status = catalog_scope_leave(catalog, own, delete_all_unsound(catalog, done, err), err);
	return status;
}
