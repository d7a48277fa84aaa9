/* lesson.c: see lesson.h. The items, their labels, and what each is for. */
#include "query/teach/lesson.h"

#include <stdlib.h>
#include <string.h>

#include "model/data/samples.h"
#include "schema/base/file.h"
#include "schema/catalog/contents.h"
#include "schema/catalog/tokens.h"

#include "schema/base/banned.h"

enum { FILE_MOST = 1 << 30, STOP_EVERY = 10, STOP_OFFSET = 4, STOP_LEAST = 8, LABEL_STOP_LEAST = 5 };

enum status lesson_open(struct lesson *lesson, size_t budget, struct err *err)
{
	enum status status = lesson_batch_new(lesson, err);

	if (status != STATUS_OK)
		return status;
	progress_start(&lesson->progress, lesson->listener, "looking at", "photos");
	return lesson->library->catalog ? catalog_encoder_room(lesson->library->catalog, budget, &lesson->room, err) : STATUS_OK;
}

void lesson_item_release(struct lesson_item *item)
{
	free(item->name);
	free(item->question);
	buffer_release(&item->said);
	free(item->labels);
	free(item->blob);
	free(item->embedding);
}

void lesson_release(struct lesson *lesson)
{
	lesson_batch_free(lesson->batch);
	for (size_t i = 0; i < lesson->count; i++)
		lesson_item_release(&lesson->items[i]);
	free(lesson->items);
	free(lesson->labels);
	*lesson = (struct lesson){0};
}

static enum status read_file(struct lesson *lesson, const char *path, uint8_t **bytes, size_t *size, struct err *err)
{
	enum status status = file_read(path, FILE_MOST, bytes, size, err);

	if (status == STATUS_OK || (status == STATUS_MEMORY && *size <= FILE_MOST))
		return status;
	err_prefix(err, "skipped '%s'", path);
	listener_fault(lesson->listener, "%s", err->text);
	lesson->skipped++;
	return STATUS_OK;
}

enum status lesson_add(struct lesson *lesson, const struct lesson_item *told, uint8_t *bytes, size_t size, struct err *err)
{
	enum status status = bytes ? STATUS_OK : read_file(lesson, told->name, &bytes, &size, err);

	if (status != STATUS_OK || !bytes)
		return status;
	if (!mem_grow(&lesson->items, &lesson->capacity, lesson->count + 1, sizeof *lesson->items)) {
		free(bytes);
		return err_memory(err, "the photographs to learn from");
	}
	struct lesson_item *item = &lesson->items[lesson->count++];
	*item = (struct lesson_item){.shard_index = told->shard_index};
	item->name = mem_copy(told->name, strlen(told->name));
	item->question = told->question ? mem_copy(told->question, strlen(told->question)) : NULL;
	buffer_append(&item->said, told->said.data, told->said.size);
	catalog_content_hash(bytes, size, item->hash);
	if (!item->name || (told->question && !item->question) || item->said.failed) {
		free(bytes);
		return err_memory(err, "the photographs to learn from");
	}
	return lesson_batch_add(lesson, bytes, size, err);
}

/* ---- labels ----------------------------------------------------------------------------------------------------- */

/* The label behind one of an item's; the first behind NULL; NULL behind the last. */
static const char *next_label(const struct lesson_item *item, const char *label)
{
	const char *next = label ? label + strlen(label) + 1 : item->said.data;

	return next && next < item->said.data + item->said.size ? next : NULL;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static enum status number_item(const struct lesson *lesson, struct lesson_item *item, struct err *err)
{
	size_t n = 0, kept = 0;

	for (const char *label = next_label(item, NULL); label; label = next_label(item, label))
		n++;
	item->labels = mem_array(n, sizeof *item->labels);
	if (!item->labels)
		return err_memory(err, "labels");
	n = 0;
	for (const char *label = next_label(item, NULL); label; label = next_label(item, label)) {
		const char **found = bsearch(&label, lesson->labels, lesson->label_count, sizeof *lesson->labels, by_text);
		item->labels[n++] = (uint32_t)(found - lesson->labels);
	}
	if (n)
		qsort(item->labels, n, sizeof *item->labels, by_number);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || item->labels[i] != item->labels[i - 1])
			item->labels[kept++] = item->labels[i];
	item->label_count = kept;
	return STATUS_OK;
}

/* By name, whatever the order of the sources. */
static enum status number_labels(struct lesson *lesson, struct err *err)
{
	size_t n = 0, room = 0;
	enum status status = STATUS_OK;

	for (size_t i = 0; i < lesson->count; i++) {
		const struct lesson_item *item = &lesson->items[i];
		for (const char *label = next_label(item, NULL); label; label = next_label(item, label)) {
			if (!mem_grow(&lesson->labels, &room, n + 1, sizeof *lesson->labels))
				return err_memory(err, "labels");
			lesson->labels[n++] = label;
		}
	}
	if (n)
		qsort(lesson->labels, n, sizeof *lesson->labels, by_text);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || strcmp(lesson->labels[i], lesson->labels[i - 1]) != 0)
			lesson->labels[lesson->label_count++] = lesson->labels[i];
	for (size_t i = 0; i < lesson->count && status == STATUS_OK; i++)
		status = number_item(lesson, &lesson->items[i], err);
	return status;
}

/* ---- parts ------------------------------------------------------------------------------------------------------ */

static int by_hash(const void *a, const void *b)
{
	return memcmp(a, b, CATALOG_HASH);
}

/* A photograph that is held out is never learned from, whatever it is called elsewhere. */
static enum status leave_out_copies(struct lesson *lesson, struct err *err)
{
	uint8_t (*held)[CATALOG_HASH] = mem_array(lesson->count, sizeof *held);
	size_t n = 0;

	if (!held)
		return err_memory(err, "the photographs to learn from");
	for (size_t i = 0; i < lesson->count; i++)
		if (lesson->items[i].part == LESSON_HELD_OUT)
			memcpy(held[n++], lesson->items[i].hash, CATALOG_HASH);
	if (n)
		qsort(held, n, sizeof *held, by_hash);
	/* Of answers, one photograph has many questions: those of held-out photographs are left out together. */
	for (size_t i = 0; i < lesson->count; i++)
		if (lesson->items[i].part == LESSON_TRAIN && bsearch(lesson->items[i].hash, held, n, sizeof *held, by_hash))
			lesson->items[i].part = LESSON_LEFT_OUT;
	free(held);
	return STATUS_OK;
}

/* Which counter an item belongs to: that of its first label, or the last one. */
static size_t counter_of(const struct lesson *lesson, const struct lesson_item *item)
{
	return item->label_count ? item->labels[0] : lesson->label_count;
}

/* seen, total: counters of each label, and of no label. */
static enum status hold_out(struct lesson *lesson, size_t holdout, size_t *seen, struct err *err)
{
	for (size_t i = 0; i < lesson->count && holdout; i++) {
		struct lesson_item *item = &lesson->items[i];
		if (item->part == LESSON_LEFT_OUT)
			continue;
		size_t number = item->shard_index ? item->shard_index : ++seen[counter_of(lesson, item)];
		item->part = samples_hold_out(number, holdout) ? LESSON_HELD_OUT : LESSON_TRAIN;
	}
	return leave_out_copies(lesson, err);
}

/* A tenth of what is learned from says when to stop: of each label every tenth, of small ones one. */
static void choose_stop(struct lesson *lesson, size_t *seen, size_t *total)
{
	size_t chosen = 0;

	for (size_t i = 0; i < lesson->count; i++)
		total[counter_of(lesson, &lesson->items[i])] += lesson->items[i].part == LESSON_TRAIN;
	for (size_t i = 0; i < lesson->count; i++) {
		struct lesson_item *item = &lesson->items[i];
		size_t counter = counter_of(lesson, item);
		if (item->part != LESSON_TRAIN || total[counter] < LABEL_STOP_LEAST || seen[counter]++ % STOP_EVERY != STOP_OFFSET)
			continue;
		item->part = LESSON_STOP;
		chosen++;
	}
	for (size_t i = 0; i < lesson->count && chosen < STOP_LEAST; i++)
		if (lesson->items[i].part == LESSON_STOP)
			lesson->items[i].part = LESSON_TRAIN;
}

enum status lesson_finish(struct lesson *lesson, size_t holdout, struct err *err)
{
	enum status status = lesson_batch_flush(lesson, err);

	progress_end(&lesson->progress);
	if (status == STATUS_OK)
		status = number_labels(lesson, err);
	size_t C = lesson->label_count + 1, *counters = mem_array(mem_product(3, C), sizeof *counters);
	if (status == STATUS_OK && !counters)
		status = err_memory(err, "labels");
	if (status == STATUS_OK)
		status = hold_out(lesson, holdout, counters, err);
	if (status == STATUS_OK)
		choose_stop(lesson, counters + C, counters + 2 * C);
	for (size_t i = 0; i < lesson->count && status == STATUS_OK; i++)
		lesson->counts[lesson->items[i].part]++;
	free(counters);
	return status;
}

bool lesson_is_single(const struct lesson *lesson)
{
	for (size_t i = 0; i < lesson->count; i++)
		if (lesson->items[i].label_count != 1)
			return false;
	return true;
}

enum status lesson_part(const struct lesson *lesson, enum lesson_part part, struct tune_item **items, size_t *n, struct err *err)
{
	*n = 0;
	*items = mem_array(lesson->counts[part], sizeof **items);
	if (!*items)
		return err_memory(err, "the photographs to learn from");
	for (size_t i = 0; i < lesson->count; i++) {
		const struct lesson_item *item = &lesson->items[i];
		if (item->part == part)
			(*items)[(*n)++] = (struct tune_item){item->blob, item->size, item->embedding, item->labels, item->label_count};
	}
	return STATUS_OK;
}
