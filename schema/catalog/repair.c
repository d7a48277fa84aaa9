/* repair.c: what a damaged blob costs is made again: its row is dropped. What is damaged is what catalog_check reports of
 * blobs; SQLite's own damage is beyond repair here.
 */
#include "schema/catalog/maintenance.h"

#include "schema/catalog/internal.h"

#include "schema/base/banned.h"

/* They are gathered first: a table is not changed while it is read. */
static enum status note(void *catalog, int64_t id, int64_t model, const struct err *problem, struct err *err)
{
	(void)problem;
	return catalog_change(catalog, "INSERT OR IGNORE INTO temp.unsound VALUES (?, ?)", VALUES(ID(id), ID(model)), err);
}

#define UNSOUND_OR_NO_MODEL(id) " WHERE (" id ", model) IN temp.unsound OR model NOT IN (SELECT id FROM models)"
#define OR_NO_BLOB(table, blobs) " OR NOT EXISTS (SELECT 1 FROM " blobs " b WHERE b.id = " table ".id AND length(b.blob) = " table ".bytes)"

static enum status drop_unsound(struct catalog *catalog, struct catalog_repairs *done, struct err *err)
{
	const struct {
		const char *drop;
		size_t *deleted;
	} kinds[CATALOG_BLOBS] = {
		[EMBEDDINGS] = {"DELETE FROM embeddings" UNSOUND_OR_NO_MODEL("content"), &done->embeddings},
		[TEXT_EMBEDDINGS] = {"DELETE FROM text_embeddings" UNSOUND_OR_NO_MODEL("text"), &done->text_embeddings},
		[IMAGE_TOKENS] = {"DELETE FROM image_tokens" UNSOUND_OR_NO_MODEL("content") OR_NO_BLOB("image_tokens", "token_blobs"), &done->tokens},
		[ENCODER_TOKENS] = {"DELETE FROM encoder_tokens" UNSOUND_OR_NO_MODEL("content") OR_NO_BLOB("encoder_tokens", "encoder_blobs"),
				    &done->tokens},
	};
	enum status status = STATUS_OK;

	for (size_t i = 0; i < CATALOG_BLOBS && status == STATUS_OK; i++) {
		status = catalog_execute(catalog, "CREATE TEMP TABLE unsound (id, model, PRIMARY KEY (id, model)) WITHOUT ROWID", err);
		if (status == STATUS_OK)
			status = catalog_unsound_each(catalog, &catalog_blobs[i], note, catalog, err);
		if (status == STATUS_OK)
			status = catalog_execute(catalog, kinds[i].drop, err);
		if (status == STATUS_OK)
			*kinds[i].deleted += (size_t)sqlite3_changes64(catalog->db);
		if (status == STATUS_OK)
			status = catalog_execute(catalog, "DROP TABLE temp.unsound", err);
	}
	/* What damaged tokens were read as is not known: heads are asked again. */
	return status == STATUS_OK ? catalog_execute(catalog, "DELETE FROM scored; DELETE FROM label_scores; UPDATE index_state SET"
							      " generation = generation + 1, text_generation = text_generation + 1", err) : status;
}

enum status catalog_repair(struct catalog *catalog, struct catalog_repairs *done, struct err *err)
{
	bool own;
	enum status status = catalog_scope_enter(catalog, &own, err);

	*done = (struct catalog_repairs){0};
	return status == STATUS_OK ? catalog_scope_leave(catalog, own, drop_unsound(catalog, done, err), err) : status;
}
