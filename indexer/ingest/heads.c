/* heads.c: see heads.h. */
#include "indexer/ingest/heads.h"

#include <stdlib.h>

#include "model/heads/head.h"
#include "schema/catalog/heads.h"

#include "schema/base/banned.h"

struct labeller {
	int64_t id;
	struct head head;
	struct head_pass *pass;
	bool *has;                /* [C] */
	struct labeller *next;
};

struct heads {
	int64_t model;
	size_t rows_most;
	struct labeller *first, **last;
};

static void free_labeller(struct labeller *l)
{
	head_pass_free(l->pass);
	head_release(&l->head);
	free(l->has);
	free(l);
}

static enum status prepare(struct labeller *l, size_t rows_most, struct err *err)
{
	l->has = mem_array(l->head.labels_count, sizeof *l->has);
	return l->has ? head_pass_new(&l->head, 1, rows_most, &l->pass, err) : err_memory(err, "a head");
}

static enum status take_head(void *context, const struct catalog_head *row, struct err *err)
{
	struct heads *heads = context;
	struct labeller *l = row->model == heads->model ? mem_array(1, sizeof *l) : NULL;
	struct err ignored;

	if (row->model != heads->model)
		return STATUS_OK;
	if (!l)
		return err_memory(err, "a head");
	l->id = row->id;
	if (head_parse(row->bytes, row->size, row->name, &l->head, &ignored) != STATUS_OK || l->head.kind == HEAD_ANSWERS) {
		free_labeller(l);
		return STATUS_OK;
	}
	*heads->last = l;
	heads->last = &l->next;
	return prepare(l, heads->rows_most, err);
}

enum status heads_open(struct catalog *catalog, int64_t model, size_t rows_most, struct heads **result, struct err *err)
{
	struct heads *heads = mem_array(1, sizeof *heads);

	*result = NULL;
	if (!heads)
		return err_memory(err, "the heads");
	*heads = (struct heads){.model = model, .rows_most = rows_most, .last = &heads->first};
	enum status status = catalog_heads_each(catalog, NULL, take_head, heads, err);
	if (status == STATUS_OK && heads->first)
		*result = heads;
	else
		heads_close(heads);
	return status;
}

void heads_close(struct heads *heads)
{
	while (heads && heads->first) {
		struct labeller *l = heads->first;
		heads->first = l->next;
		free_labeller(l);
	}
	free(heads);
}

enum status heads_put(struct heads *heads, struct catalog *catalog, int64_t content, const float *tokens, size_t M, const float *embedding,
		      struct err *err)
{
	enum status status = STATUS_OK;

	for (struct labeller *l = heads->first; l && status == STATUS_OK; l = l->next) {
		const float *p = head_read(l->pass, l->head.n ? tokens : embedding, M);
		head_decide(&l->head, p, l->has);
		status = catalog_scores_put(catalog, l->id, content, p, l->has, l->head.labels_count, err);
	}
	return status;
}
