/* lesson.c: see lesson.h. A batch of photographs at a time is looked up, decoded on all threads, encoded and packed. */
#include "query/teach/lesson.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "model/net/answer_states.h"
#include "model/net/vision.h"
#include "query/session/tokens.h"
#include "schema/catalog/contents.h"
#include "schema/catalog/tokens.h"
#include "schema/base/file.h"
#include "schema/base/packed.h"
#include "schema/cli/progress.h"

#include "schema/base/banned.h"

enum { FILE_MOST = 1 << 30, STOP_EVERY = 10, STOP_OFFSET = 4, STOP_LEAST = 8, LABEL_STOP_LEAST = 5 };

struct waiting {
	size_t item;              /* its place in the lesson */
	uint8_t *bytes;
	size_t size;
	int64_t content;          /* 0: the catalog does not know it */
	bool known;               /* its tokens came from the catalog */
	size_t twin;              /* the first of the batch with the same content; itself, if there is none */
	size_t slot;              /* of its pixels among those that are encoded */
	struct err err;
};

struct lesson_batch {
	struct waiting list[LESSON_BATCH];
	size_t count;
	float *pixels, *features, *tokens, *encoder; /* [LESSON_BATCH, ...]; tokens of answers, encoder else */
	float *states;            /* [C,W]: of one question */
	size_t M, D;
};

enum status lesson_open(struct lesson *lesson, size_t budget, struct err *err)
{
	struct engine *engine = &lesson->library->engine;
	struct lesson_batch *b = lesson->batch = mem_array(1, sizeof *b);
	const struct config *config = coca_config(engine->model);
	size_t area = mem_product(3 * engine->side, engine->side);

	if (!b)
		return err_memory(err, "a batch of photographs");
	b->M = vision_encoder_tokens(config);
	b->D = config->vision.width;
	b->pixels = mem_floats(mem_product(LESSON_BATCH, area));
	b->features = mem_floats(mem_product(LESSON_BATCH, engine->embed));
	b->tokens = lesson->answers ? mem_floats(mem_product(LESSON_BATCH, engine->tokens * engine->width)) : mem_floats(1);
	b->encoder = lesson->answers ? mem_floats(1) : mem_floats(mem_product(LESSON_BATCH, b->M * b->D));
	b->states = mem_floats(mem_product(config->context_length, config->decoder.width));
	if (!b->pixels || !b->features || !b->tokens || !b->encoder || !b->states)
		return err_memory(err, "a batch of photographs");
	progress_start(&lesson->progress, lesson->cli, "looking at", "photos");
	return lesson->library->catalog ? catalog_encoder_room(lesson->library->catalog, budget, &lesson->room, err) : STATUS_OK;
}

void lesson_release(struct lesson *lesson)
{
	struct lesson_batch *b = lesson->batch;

	for (size_t i = 0; b && i < b->count; i++)
		free(b->list[i].bytes);
	if (b) {
		free(b->pixels);
		free(b->features);
		free(b->tokens);
		free(b->encoder);
		free(b->states);
	}
	free(b);
	for (size_t i = 0; i < lesson->count; i++) {
		free(lesson->items[i].name);
		free(lesson->items[i].question);
		free(lesson->items[i].labels);
		free(lesson->items[i].blob);
		free(lesson->items[i].embedding);
	}
	free(lesson->items);
	for (size_t i = 0; i < lesson->label_count; i++)
		free(lesson->labels[i]);
	free(lesson->labels);
	*lesson = (struct lesson){0};
}

/* ---- labels ----------------------------------------------------------------------------------------------------- */

enum status lesson_label(struct lesson *lesson, const char *name, size_t size, uint32_t *label, struct err *err)
{
	/* Labels come in runs: the last ones are the likeliest. */
	for (size_t i = lesson->label_count; i-- > 0;)
		if (strlen(lesson->labels[i]) == size && memcmp(lesson->labels[i], name, size) == 0) {
			*label = (uint32_t)i;
			return STATUS_OK;
		}
	if (lesson->label_count == lesson->label_capacity) {
		size_t capacity = lesson->label_capacity ? 2 * lesson->label_capacity : 64;
		char **grown = mem_resize(lesson->labels, capacity, sizeof *grown);
		if (!grown)
			return err_memory(err, "labels");
		lesson->labels = grown;
		lesson->label_capacity = capacity;
	}
	char *copy = mem_copy(name, size);
	if (!copy)
		return err_memory(err, "labels");
	*label = (uint32_t)lesson->label_count;
	lesson->labels[lesson->label_count++] = copy;
	return STATUS_OK;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

/* Ascending, each once. */
static size_t tidy(uint32_t *labels, size_t n)
{
	size_t kept = 0;

	if (n)
		qsort(labels, n, sizeof *labels, by_number);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || labels[i] != labels[i - 1])
			labels[kept++] = labels[i];
	return kept;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(**(char **const *)a, **(char **const *)b);
}

/* By name, whatever the order of the sources; labels that no photograph has any more go. */
static enum status sort_labels(struct lesson *lesson, struct err *err)
{
	size_t n = lesson->label_count, kept = 0;
	char ***order = mem_array(n, sizeof *order), **sorted = mem_array(n, sizeof *sorted);
	uint32_t *place = mem_array(n, sizeof *place);
	bool *used = mem_array(n, sizeof *used);
	enum status status = order && sorted && place && used ? STATUS_OK : err_memory(err, "labels");

	if (status == STATUS_OK) {
		for (size_t i = 0; i < lesson->count; i++)
			for (size_t k = 0; k < lesson->items[i].label_count; k++)
				used[lesson->items[i].labels[k]] = true;
		for (size_t i = 0; i < n; i++)
			order[i] = &lesson->labels[i];
		if (n)
			qsort(order, n, sizeof *order, by_text);
		for (size_t i = 0; i < n; i++) {
			size_t old = (size_t)(order[i] - lesson->labels);
			place[old] = (uint32_t)kept;
			if (used[old])
				sorted[kept++] = *order[i];
			else
				free(*order[i]);
		}
		memcpy(lesson->labels, sorted, kept * sizeof *sorted);
		lesson->label_count = kept;
		for (size_t i = 0; i < lesson->count; i++) {
			struct lesson_item *item = &lesson->items[i];
			for (size_t k = 0; k < item->label_count; k++)
				item->labels[k] = place[item->labels[k]];
			item->label_count = tidy(item->labels, item->label_count);
		}
	}
	free(order);
	free(sorted);
	free(place);
	free(used);
	return status;
}

/* ---- a batch ---------------------------------------------------------------------------------------------------- */

/* The decoder's states under the item's question, of image tokens[N,W] as the catalog would hold them. */
static enum status pack_states(struct lesson *lesson, struct lesson_item *item, float *tokens, struct err *err)
{
	struct engine *engine = &lesson->library->engine;
	struct coca_text text;
	int32_t *ids = NULL;
	bool cut;
	enum status status = tokens_round(tokens, engine->tokens, engine->width, err);

	if (status == STATUS_OK)
		status = engine_text_ids(engine, item->question, strlen(item->question), &ids, &text, &cut, err);
	if (status == STATUS_OK)
		status = answer_states_make(engine->model, engine->state, tokens, &text, lesson->batch->states, err);
	if (status == STATUS_OK)
		status = tokens_pack(lesson->batch->states, text.count, engine->width, &item->blob, &item->size, err);
	free(ids);
	return status;
}

/* A question about a content whose image tokens are stored. */
static enum status look_up_answer(struct lesson *lesson, struct waiting *w, struct err *err)
{
	struct library *library = lesson->library;
	struct lesson_batch *b = lesson->batch;
	void *blob = NULL;
	size_t size;
	enum status status = catalog_tokens_get(library->catalog, w->content, library->row.id, &blob, &size, err);

	/* A damaged blob is verify's to report; here it is as if there were none. */
	w->known = blob && packed_tokens_read(blob, size, library->engine.tokens, library->engine.width, b->tokens, NULL) == STATUS_OK;
	free(blob);
	lesson->stored += w->known;
	return status == STATUS_OK && w->known ? pack_states(lesson, &lesson->items[w->item], b->tokens, err) : status;
}

/* The embedding and tokens of a content, as stored. */
static enum status look_up(struct lesson *lesson, struct waiting *w, struct err *err)
{
	struct library *library = lesson->library;
	struct lesson_item *item = &lesson->items[w->item];
	void *blob = NULL;
	size_t size, M, D, E = library->engine.embed;
	bool embedded = false;
	enum status status = catalog_content_find(library->catalog, item->hash, &w->content, err);

	if (status != STATUS_OK || !w->content)
		return status;
	if (lesson->answers)
		return look_up_answer(lesson, w, err);
	status = catalog_encoder_get(library->catalog, w->content, library->row.id, &blob, &size, err);
	if (status != STATUS_OK || !blob)
		return status;
	item->embedding = mem_floats(E);
	status = item->embedding ? catalog_embedding_get(library->catalog, w->content, library->row.id, item->embedding, E, &embedded, err)
				 : err_memory(err, "an embedding");
	packed_tokens_shape(blob, size, &M, &D);
	/* A damaged blob is verify's to report; here it is as if there were none. */
	w->known = status == STATUS_OK && embedded && M == lesson->batch->M && D == lesson->batch->D;
	if (w->known) {
		item->blob = blob;
		item->size = size;
		lesson->stored++;
	} else {
		free(blob);
		free(item->embedding);
		item->embedding = NULL;
	}
	return status;
}

static enum status keep(struct lesson *lesson, struct waiting *w, struct err *err)
{
	struct library *library = lesson->library;
	struct lesson_item *item = &lesson->items[w->item];
	struct lesson_batch *b = lesson->batch;
	size_t E = library->engine.embed;

	lesson->encoded++;
	if (lesson->answers)
		return pack_states(lesson, item, b->tokens + w->slot * library->engine.tokens * library->engine.width, err);
	item->embedding = mem_floats(E);
	if (!item->embedding)
		return err_memory(err, "an embedding");
	memcpy(item->embedding, b->features + w->slot * E, E * sizeof *item->embedding);
	enum status status = tokens_pack(b->encoder + w->slot * b->M * b->D, b->M, b->D, &item->blob, &item->size, err);
	/* Best effort: another coca may be writing. */
	if (status == STATUS_OK && w->content && library->row.id && item->size <= lesson->room &&
	    catalog_encoder_put(library->catalog, w->content, library->row.id, item->blob, item->size, NULL) == STATUS_OK) {
		lesson->room -= item->size;
		lesson->kept++;
	}
	return status;
}

/* What could not be read leaves the lesson. */
static void drop_failed(struct lesson *lesson, size_t first)
{
	size_t kept = first;

	for (size_t i = first; i < lesson->count; i++) {
		struct lesson_item *item = &lesson->items[i];
		if (item->blob) {
			lesson->items[kept++] = *item;
			continue;
		}
		free(item->name);
		free(item->question);
		free(item->labels);
		free(item->embedding);
	}
	lesson->count = kept;
}

/* Many questions are about one photograph. */
static void find_twins(const struct lesson *lesson)
{
	struct lesson_batch *b = lesson->batch;

	for (size_t i = 0; i < b->count; i++)
		for (b->list[i].twin = 0; b->list[i].twin < i; b->list[i].twin++)
			if (memcmp(lesson->items[b->list[b->list[i].twin].item].hash, lesson->items[b->list[i].item].hash, CATALOG_HASH) == 0)
				break;
}

/* Decodes what is not known; returns how many could be, their pixels one after the other. */
static size_t decode(struct lesson *lesson)
{
	struct engine *engine = &lesson->library->engine;
	struct lesson_batch *b = lesson->batch;
	size_t area = 3 * engine->side * engine->side, n = 0;

#pragma omp parallel for schedule(dynamic)
	for (size_t i = 0; i < b->count; i++) {
		struct waiting *w = &b->list[i];
		w->err.status = STATUS_OK;
		if (!w->known && w->twin == i)
			engine_pixels(engine, w->bytes, w->size, ENGINE_LEAST(engine), b->pixels + i * area, &w->err);
	}
	for (size_t i = 0; i < b->count; i++) {
		struct waiting *w = &b->list[i];
		if (w->twin < i) {
			w->err = b->list[w->twin].err;
			w->slot = b->list[w->twin].slot;
		}
		if (w->err.status != STATUS_OK) {
			err_prefix(&w->err, "skipped '%s'", lesson->items[w->item].name);
			cli_fail(lesson->cli, &w->err);
			lesson->skipped++;
		}
		if (w->known || w->err.status != STATUS_OK || w->twin < i)
			continue;
		if (n < i)
			memmove(b->pixels + n * area, b->pixels + i * area, area * sizeof(float));
		w->slot = n++;
	}
	return n;
}

static enum status encode(struct lesson *lesson, struct err *err)
{
	struct engine *engine = &lesson->library->engine;
	struct lesson_batch *b = lesson->batch;
	bool own = false;
	enum status status = STATUS_OK;

	find_twins(lesson);
	size_t n = decode(lesson);
	if (n)
		status = coca_encode_tokens(engine->model, engine->state, b->pixels, n, b->features, lesson->answers ? b->tokens : NULL,
					    lesson->answers ? NULL : b->encoder, err);
	if (status == STATUS_OK && n && lesson->room && lesson->library->catalog && !lesson->answers)
		own = catalog_begin(lesson->library->catalog, NULL) == STATUS_OK;
	lesson->room = own || !n ? lesson->room : 0;
	for (size_t i = 0; i < b->count && status == STATUS_OK; i++)
		if (!b->list[i].known && b->list[i].err.status == STATUS_OK)
			status = keep(lesson, &b->list[i], err);
	if (own && catalog_commit(lesson->library->catalog, NULL) != STATUS_OK)
		lesson->room = 0;
	return status;
}

static enum status flush(struct lesson *lesson, struct err *err)
{
	struct lesson_batch *b = lesson->batch;
	size_t first = b->count ? b->list[0].item : lesson->count;
	enum status status = STATUS_OK;

	for (size_t i = 0; i < b->count && status == STATUS_OK && lesson->library->catalog && lesson->library->row.id; i++)
		status = look_up(lesson, &b->list[i], err);
	if (status == STATUS_OK && b->count)
		status = encode(lesson, err);
	for (size_t i = 0; i < b->count; i++)
		free(b->list[i].bytes);
	b->count = 0;
	if (status == STATUS_OK)
		drop_failed(lesson, first);
	progress_show(&lesson->progress, lesson->count, 0);
	if (status == STATUS_OK && *lesson->cli->interrupted)
		return err_set(err, STATUS_INTERRUPTED, "interrupted");
	return status;
}

static enum status grow(struct lesson *lesson, struct err *err)
{
	if (lesson->count < lesson->capacity)
		return STATUS_OK;
	size_t capacity = lesson->capacity ? 2 * lesson->capacity : 256;
	struct lesson_item *grown = mem_resize(lesson->items, capacity, sizeof *grown);
	if (!grown)
		return err_memory(err, "the photographs to learn from");
	lesson->items = grown;
	lesson->capacity = capacity;
	return STATUS_OK;
}

enum status lesson_add(struct lesson *lesson, const char *name, uint8_t *bytes, size_t size, const char *question, const uint32_t *labels,
		       size_t label_count, size_t shard_index, struct err *err)
{
	struct lesson_batch *b = lesson->batch;
	XXH128_canonical_t hash;
	enum status status = grow(lesson, err);

	if (status != STATUS_OK) {
		free(bytes);
		return status;
	}
	struct lesson_item *item = &lesson->items[lesson->count];
	*item = (struct lesson_item){.label_count = label_count, .shard_index = shard_index};
	item->name = mem_copy(name, strlen(name));
	item->question = question ? mem_copy(question, strlen(question)) : NULL;
	item->labels = mem_array(label_count, sizeof *item->labels);
	b->list[b->count] = (struct waiting){.item = lesson->count++, .bytes = bytes, .size = size};
	b->count++;
	if (!item->name || (question && !item->question) || !item->labels)
		return err_memory(err, "the photographs to learn from");
	if (label_count)
		memcpy(item->labels, labels, label_count * sizeof *labels);
	item->label_count = tidy(item->labels, label_count);
	XXH128_canonicalFromHash(&hash, XXH3_128bits(bytes, size));
	memcpy(item->hash, hash.digest, sizeof item->hash);
	return b->count == LESSON_BATCH ? flush(lesson, err) : STATUS_OK;
}

enum status lesson_add_file(struct lesson *lesson, const char *path, const char *question, const uint32_t *labels, size_t label_count,
			    struct err *err)
{
	uint8_t *bytes;
	size_t size;
	enum status status = file_read(path, FILE_MOST, &bytes, &size, err);

	if (status == STATUS_OK)
		return lesson_add(lesson, path, bytes, size, question, labels, label_count, 0, err);
	if (status == STATUS_MEMORY && size <= FILE_MOST)
		return status;
	err_prefix(err, "skipped '%s'", path);
	cli_fail(lesson->cli, err);
	lesson->skipped++;
	return STATUS_OK;
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

/* A tenth of what is learned from says when to stop: of each label every tenth, of small ones one. */
static enum status choose_stop(struct lesson *lesson, struct err *err)
{
	size_t *total = mem_array(lesson->label_count + 1, sizeof *total), *seen = mem_array(lesson->label_count + 1, sizeof *seen);
	size_t chosen = 0;

	if (!total || !seen) {
		free(total);
		free(seen);
		return err_memory(err, "labels");
	}
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
	free(total);
	free(seen);
	return STATUS_OK;
}

static enum status hold_out(struct lesson *lesson, size_t holdout, struct err *err)
{
	size_t *seen = mem_array(lesson->label_count + 1, sizeof *seen);

	if (!seen)
		return err_memory(err, "labels");
	for (size_t i = 0; i < lesson->count && holdout; i++) {
		struct lesson_item *item = &lesson->items[i];
		if (item->part == LESSON_LEFT_OUT)
			continue;
		size_t place = item->shard_index ? item->shard_index : ++seen[counter_of(lesson, item)];
		item->part = place % holdout == 0 ? LESSON_HELD_OUT : LESSON_TRAIN;
	}
	free(seen);
	return leave_out_copies(lesson, err);
}

enum status lesson_finish(struct lesson *lesson, size_t holdout, struct err *err)
{
	enum status status = flush(lesson, err);

	progress_end(&lesson->progress);
	if (status == STATUS_OK)
		status = sort_labels(lesson, err);
	if (status == STATUS_OK)
		status = hold_out(lesson, holdout, err);
	if (status == STATUS_OK)
		status = choose_stop(lesson, err);
	memset(lesson->counts, 0, sizeof lesson->counts);
	for (size_t i = 0; i < lesson->count; i++)
		lesson->counts[lesson->items[i].part]++;
	return status;
}

bool lesson_is_single(const struct lesson *lesson)
{
	for (size_t i = 0; i < lesson->count; i++)
		if (lesson->items[i].label_count != 1)
			return false;
	return true;
}

enum status lesson_part(const struct lesson *lesson, enum lesson_part part, struct tune_item **items, size_t **which, size_t *n,
			struct err *err)
{
	size_t count = 0;

	*items = mem_array(lesson->counts[part], sizeof **items);
	if (which)
		*which = mem_array(lesson->counts[part], sizeof **which);
	if (!*items || (which && !*which))
		return err_memory(err, "the photographs to learn from");
	for (size_t i = 0; i < lesson->count; i++) {
		const struct lesson_item *item = &lesson->items[i];
		if (item->part != part)
			continue;
		if (which)
			(*which)[count] = i;
		(*items)[count++] = (struct tune_item){item->blob, item->size, item->embedding, item->labels, item->label_count};
	}
	*n = count;
	return STATUS_OK;
}
