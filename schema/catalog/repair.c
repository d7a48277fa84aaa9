/* repair.c: what a damaged blob costs is made again: its row is dropped. What is damaged is what catalog_check reports of
 * blobs; SQLite's own damage is beyond repair here.
 */
#include "schema/catalog/maintenance.h"

#include "schema/catalog/internal.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

struct row {
	int64_t id, model;
};

static enum status keep_row(void *context, int64_t id, int64_t model, const struct err *problem, struct err *err)
{
	struct buffer *rows = context;

	(void)problem;
	buffer_append(rows, &(struct row){id, model}, sizeof(struct row));
	return rows->failed ? err_memory(err, "a list of rows") : STATUS_OK;
}

/* Drops the unsound rows of a kind and those that `others` deletes. They are gathered first: a table is not changed while it is read. */
static enum status drop_unsound(struct catalog *catalog, const struct catalog_blobs *kind, const char *drop, const char *others,
				size_t *deleted, struct err *err)
{
	struct buffer rows = {0};
	enum status status = catalog_execute(catalog, others, err);

	if (status == STATUS_OK)
		*deleted += (size_t)sqlite3_changes64(catalog->db);
	if (status == STATUS_OK)
		status = catalog_unsound_each(catalog, kind, keep_row, &rows, err);
	const struct row *row = (const struct row *)(void *)rows.data;
	for (size_t n = rows.size / sizeof *row; n && status == STATUS_OK; n--, row++, ++*deleted)
		status = catalog_change(catalog, drop, VALUES(ID(row->id), ID(row->model)), err);
	buffer_release(&rows);
	return status;
}

#define NO_MODEL(table) "DELETE FROM " table " WHERE model NOT IN (SELECT id FROM models)"
#define NO_BLOB(table, blobs) \
	"DELETE FROM " table " WHERE NOT EXISTS (SELECT 1 FROM " blobs " b WHERE b.id = " table ".id AND length(b.blob) = " table ".bytes)"

static enum status drop_all_unsound(struct catalog *catalog, struct catalog_repairs *done, struct err *err)
{
	const struct {
		const char *drop, *others;
		size_t *deleted;
	} kinds[CATALOG_BLOBS] = {
		[EMBEDDINGS] = {"DELETE FROM embeddings WHERE content = ? AND model = ?", NO_MODEL("embeddings"), &done->embeddings},
		[TEXT_EMBEDDINGS] = {"DELETE FROM text_embeddings WHERE text = ? AND model = ?", NO_MODEL("text_embeddings"), &done->text_embeddings},
		[IMAGE_TOKENS] = {"DELETE FROM image_tokens WHERE content = ? AND model = ?",
				  NO_BLOB("image_tokens", "token_blobs") " OR model NOT IN (SELECT id FROM models)", &done->tokens},
		[ENCODER_TOKENS] = {"DELETE FROM encoder_tokens WHERE content = ? AND model = ?", NO_BLOB("encoder_tokens", "encoder_blobs"),
				    &done->tokens},
	};
	enum status status = STATUS_OK;

	for (size_t i = 0; i < CATALOG_BLOBS && status == STATUS_OK; i++)
		status = drop_unsound(catalog, &catalog_blobs[i], kinds[i].drop, kinds[i].others, kinds[i].deleted, err);
	/* What damaged tokens were read as is not known: heads are asked again. */
	if (status == STATUS_OK)
		status = catalog_execute(catalog, "DELETE FROM scored; DELETE FROM label_scores;"
						  "UPDATE index_state SET generation = generation + 1, text_generation = text_generation + 1", err);
	return status;
}

enum status catalog_repair(struct catalog *catalog, struct catalog_repairs *done, struct err *err)
{
	bool own;
	enum status status = catalog_scope_enter(catalog, &own, err);

	*done = (struct catalog_repairs){0};
	return status == STATUS_OK ? catalog_scope_leave(catalog, own, drop_all_unsound(catalog, done, err), err) : status;
}
