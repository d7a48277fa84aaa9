/* labels.c: see labels.h. */
#include "indexer/ingest/labels.h"

#include <stdlib.h>
#include <string.h>

#include "model/heads/head.h"
#include "schema/catalog/heads.h"

#include "schema/base/banned.h"

struct labeller {
	int64_t id;
	struct head head;
	struct head_reader *reader;
	float *scratch, *p;
	struct catalog_score *scores;
	bool *has;
};

struct labels {
	int64_t model;
	size_t rows_most, count;
	struct labeller *list;
};

static void release_labeller(struct labeller *l)
{
	head_reader_free(l->reader);
	head_release(&l->head);
	free(l->scratch);
	free(l->p);
	free(l->scores);
	free(l->has);
}

static enum status add_labeller(struct labels *labels, struct labeller *l, struct err *err)
{
	struct labeller *grown = mem_resize(labels->list, labels->count + 1, sizeof *grown);
	size_t C = l->head.labels_count;

	if (!grown)
		return err_memory(err, "a head");
	labels->list = grown;
	enum status status = head_reader_new(&l->head, &l->reader, err);
	if (status != STATUS_OK)
		return status;
	l->scratch = mem_floats(head_reader_scratch(l->reader, labels->rows_most));
	l->p = mem_floats(C);
	l->scores = mem_array(C, sizeof *l->scores);
	l->has = mem_array(C, sizeof *l->has);
	if (!l->scratch || !l->p || !l->scores || !l->has)
		return err_memory(err, "a head");
	labels->list[labels->count++] = *l;
	return STATUS_OK;
}

static enum status take_head(void *context, const struct catalog_head *row, struct err *err)
{
	struct labels *labels = context;
	struct labeller l = {.id = row->id};
	struct err ignored;

	if (row->model != labels->model || head_parse(row->bytes, row->size, row->name, &l.head, &ignored) != STATUS_OK)
		return STATUS_OK;
	if (l.head.kind == HEAD_ANSWERS) {
		head_release(&l.head);
		return STATUS_OK;
	}
	enum status status = add_labeller(labels, &l, err);
	if (status != STATUS_OK)
		release_labeller(&l);
	return status;
}

/* A reader points to its head, which moved as the list grew. */
static enum status renew_readers(struct labels *labels, struct err *err)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < labels->count && status == STATUS_OK; i++) {
		head_reader_free(labels->list[i].reader);
		labels->list[i].reader = NULL;
		status = head_reader_new(&labels->list[i].head, &labels->list[i].reader, err);
	}
	return status;
}

enum status labels_open(struct catalog *catalog, int64_t model, size_t rows_most, struct labels **result, struct err *err)
{
	struct labels *labels = mem_array(1, sizeof *labels);

	*result = NULL;
	if (!labels)
		return err_memory(err, "the heads");
	labels->model = model;
	labels->rows_most = rows_most;
	enum status status = catalog_heads_each(catalog, NULL, take_head, labels, err);
	if (status == STATUS_OK)
		status = renew_readers(labels, err);
	if (status == STATUS_OK && labels->count)
		*result = labels;
	else
		labels_close(labels);
	return status;
}

void labels_close(struct labels *labels)
{
	for (size_t i = 0; labels && i < labels->count; i++)
		release_labeller(&labels->list[i]);
	if (labels)
		free(labels->list);
	free(labels);
}

enum status labels_put(struct labels *labels, struct catalog *catalog, int64_t content, const float *tokens, size_t M, const float *embedding,
		       struct err *err)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < labels->count && status == STATUS_OK; i++) {
		struct labeller *l = &labels->list[i];
		size_t n = 0;
		head_read(l->reader, l->head.n ? tokens : embedding, l->head.n ? M : 1, l->scratch, l->p);
		head_decide(&l->head, l->p, l->has);
		for (size_t c = 0; c < l->head.labels_count; c++)
			if (l->has[c] || l->p[c] >= HEAD_KEPT_LEAST)
				l->scores[n++] = (struct catalog_score){c, (double)l->p[c], l->has[c]};
		status = catalog_scores_put(catalog, l->id, content, l->scores, n, err);
	}
	return status;
}
