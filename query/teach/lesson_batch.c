/* lesson_batch.c: a batch of a lesson's photographs at a time is looked up, decoded on all threads, encoded and packed: see lesson.h. */
#include "query/teach/lesson.h"

#include <stdlib.h>
#include <string.h>

#include "model/net/answer_states.h"
#include "query/session/tokens.h"
#include "schema/base/packed.h"
#include "schema/catalog/contents.h"
#include "schema/catalog/tokens.h"

#include "schema/base/banned.h"

enum { BATCH = 32 };

struct waiting {
	size_t item;              /* its place in the lesson */
	uint8_t *bytes;
	size_t size;
	int64_t content;          /* 0: the catalog does not know it */
	bool known;               /* its tokens came from the catalog */
	size_t twin;              /* the first of the batch with the same content; itself, if there is none */
};

struct lesson_batch {
	struct waiting list[BATCH];
	struct engine_picture pictures[BATCH];
	size_t count;
	enum tokens_kind kind;
	size_t floats;            /* tokens of one photograph */
	float *pixels, *features, *tokens; /* [BATCH, ...] */
	float *states;            /* [C,W]: of one question */
};

enum status lesson_batch_new(struct lesson *lesson, struct err *err)
{
	struct engine *engine = &lesson->library->engine;
	const struct config *config = coca_config(engine->model);
	struct lesson_batch *b = lesson->batch = mem_array(1, sizeof *b);

	if (!b)
		return err_memory(err, "a batch of photographs");
	b->kind = lesson->answers ? TOKENS_IMAGE : TOKENS_ENCODER;
	b->floats = tokens_floats(engine, b->kind);
	b->pixels = mem_floats(mem_product(BATCH, mem_product(3 * engine->side, engine->side)));
	b->features = mem_floats(mem_product(BATCH, engine->embed));
	b->tokens = mem_floats(mem_product(BATCH, b->floats));
	b->states = mem_floats(mem_product(config->context_length, config->decoder.width));
	return b->pixels && b->features && b->tokens && b->states ? STATUS_OK : err_memory(err, "a batch of photographs");
}

void lesson_batch_free(struct lesson_batch *b)
{
	for (size_t i = 0; b && i < b->count; i++)
		free(b->list[i].bytes);
	if (b) {
		free(b->pixels);
		free(b->features);
		free(b->tokens);
		free(b->states);
	}
	free(b);
}

/* ---- what an item keeps ----------------------------------------------------------------------------------------- */

/* The decoder's states under the item's question, of image tokens[N,W] as the catalog would hold them. */
static enum status keep_states(struct lesson *lesson, struct lesson_item *item, float *tokens, struct err *err)
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

/* What is stored of a content, where all that is wanted of it is. */
static enum status look_up(struct lesson *lesson, struct waiting *w, struct err *err)
{
	struct library *library = lesson->library;
	struct lesson_item *item = &lesson->items[w->item];
	struct lesson_batch *b = lesson->batch;
	size_t n, width, E = library->engine.embed;
	void *blob = NULL;
	enum status status = library->store ? store_content(library->store, item->hash, &w->content, err) : STATUS_OK;

	if (status == STATUS_OK && w->content)
		status = tokens_stored(&library->engine, library->store, b->kind, &w->content, 1, &blob, err);
	if (status != STATUS_OK || !blob)
		return status;
	tokens_shape(&library->engine, b->kind, &n, &width);
	if (lesson->answers) {
		w->known = true;
		status = packed_tokens_read(blob, packed_tokens_size(n, width), n, width, b->tokens, err);
		free(blob);
		if (status == STATUS_OK)
			status = keep_states(lesson, item, b->tokens, err);
	} else {
		item->blob = blob;
		item->size = packed_tokens_size(n, width);
		item->embedding = mem_floats(E);
		status = item->embedding ? store_embeddings(library->store, STORE_PHOTOS, &w->content, 1, item->embedding, &w->known, err)
					 : err_memory(err, "an embedding");
		if (!w->known) {
			free(item->blob);
			free(item->embedding);
			item->blob = NULL;
			item->embedding = NULL;
		}
	}
	lesson->stored += w->known;
	return status;
}

/* What was encoded of the photograph at a place of the batch. */
static enum status keep(struct lesson *lesson, struct waiting *w, size_t place, struct err *err)
{
	struct library *library = lesson->library;
	struct lesson_item *item = &lesson->items[w->item];
	struct lesson_batch *b = lesson->batch;
	float *tokens = b->tokens + place * b->floats;
	size_t n, width, E = library->engine.embed;

	lesson->encoded++;
	if (lesson->answers)
		return keep_states(lesson, item, tokens, err);
	item->embedding = mem_floats(E);
	tokens_shape(&library->engine, b->kind, &n, &width);
	enum status status = tokens_pack(tokens, n, width, &item->blob, &item->size, err);
	if (status == STATUS_OK && !item->embedding)
		return err_memory(err, "an embedding");
	if (status != STATUS_OK)
		return status;
	memcpy(item->embedding, b->features + place * E, E * sizeof *item->embedding);
	/* Best effort: another coca may be writing. */
	if (w->content && library->row.id && item->size <= lesson->room &&
	    catalog_encoder_put(library->catalog, w->content, library->row.id, item->blob, item->size, NULL) == STATUS_OK) {
		lesson->room -= item->size;
		lesson->kept++;
	}
	return STATUS_OK;
}

/* ---- a batch ---------------------------------------------------------------------------------------------------- */

/* Many questions are about one photograph: it is decoded once. */
static size_t decode(struct lesson *lesson)
{
	struct lesson_batch *b = lesson->batch;

	for (size_t i = 0; i < b->count; i++) {
		struct waiting *w = &b->list[i];
		const uint8_t *hash = lesson->items[w->item].hash;
		for (w->twin = 0; w->twin < i; w->twin++)
			if (memcmp(lesson->items[b->list[w->twin].item].hash, hash, CATALOG_HASH) == 0)
				break;
		b->pictures[i] = (struct engine_picture){.bytes = w->known || w->twin < i ? NULL : w->bytes, .size = w->size};
	}
	return engine_pixels_all(&lesson->library->engine, b->pictures, b->count, ENGINE_LEAST(&lesson->library->engine), b->pixels);
}

static enum status encode(struct lesson *lesson, struct err *err)
{
	struct engine *engine = &lesson->library->engine;
	struct lesson_batch *b = lesson->batch;
	size_t n = decode(lesson);
	bool own = false;
	enum status status = STATUS_OK;

	if (n)
		status = coca_encode_tokens(engine->model, engine->state, b->pixels, n, b->features, lesson->answers ? b->tokens : NULL,
					    lesson->answers ? NULL : b->tokens, err);
	if (status == STATUS_OK && n && lesson->room && lesson->library->catalog && !lesson->answers)
		own = catalog_begin(lesson->library->catalog, NULL) == STATUS_OK;
	lesson->room = own || !n ? lesson->room : 0;
	for (size_t i = 0; i < b->count && status == STATUS_OK; i++) {
		const struct engine_picture *picture = &b->pictures[b->list[i].twin];
		struct err skipped = picture->err;
		if (b->list[i].known)
			continue;
		if (picture->err.status == STATUS_OK) {
			status = keep(lesson, &b->list[i], picture->place, err);
			continue;
		}
		err_prefix(&skipped, "skipped '%s'", lesson->items[b->list[i].item].name);
		listener_fault(lesson->listener, "%s", skipped.text);
		lesson->skipped++;
	}
	if (own && catalog_commit(lesson->library->catalog, NULL) != STATUS_OK)
		lesson->room = 0;
	return status;
}

/* What could not be read leaves the lesson. */
static void drop_failed(struct lesson *lesson, size_t first)
{
	size_t kept = first;

	for (size_t i = first; i < lesson->count; i++) {
		if (lesson->items[i].blob)
			lesson->items[kept++] = lesson->items[i];
		else
			lesson_item_release(&lesson->items[i]);
	}
	lesson->count = kept;
}

enum status lesson_batch_flush(struct lesson *lesson, struct err *err)
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
	if (status == STATUS_OK && listener_stopped(lesson->listener))
		return err_set(err, STATUS_INTERRUPTED, "interrupted");
	return status;
}

enum status lesson_batch_add(struct lesson *lesson, uint8_t *bytes, size_t size, struct err *err)
{
	struct lesson_batch *b = lesson->batch;

	b->list[b->count++] = (struct waiting){.item = lesson->count - 1, .bytes = bytes, .size = size};
	return b->count == BATCH ? lesson_batch_flush(lesson, err) : STATUS_OK;
}
