/* evalset.c: see evalset.h. */
#include "query/measure/evalset.h"

#include <stdlib.h>
#include <string.h>

#include "model/data/samples.h"
#include "schema/base/memory.h"
#include "schema/base/packed.h"
#include "schema/cli/progress.h"

#include "schema/base/banned.h"

enum {
	BATCH = 64,               /* photographs decoded and encoded together */
	TEXT_BATCH = 64,
};

/* ---- loading ---------------------------------------------------------------------------------------------------- */

/* A sample that waits for its batch: the shard's memory is gone by then. */
struct pending {
	char *key;
	uint8_t *image;
	struct buffer captions;  /* each with a NUL behind it */
	size_t caption_count;
};

struct loader {
	const struct listener *listener;
	struct engine *engine;
	const struct evalchoice *choice;
	struct evalset *set;
	struct progress progress;
	const char *path;
	struct pending pending[BATCH];
	struct engine_picture pictures[BATCH];
	size_t count;
	float *pixels, *features, *tokens;
};

static void release_pending(struct loader *l)
{
	for (size_t i = 0; i < l->count; i++) {
		free(l->pending[i].key);
		free(l->pending[i].image);
		buffer_release(&l->pending[i].captions);
	}
	l->count = 0;
}

static enum status hold(struct loader *l, const struct sample *sample, struct err *err)
{
	struct pending *p = &l->pending[l->count];
	size_t n = l->choice->classes || l->choice->pairs ? 1 : sample->caption_count;

	*p = (struct pending){.caption_count = n};
	p->key = mem_copy(sample->key, strlen(sample->key));
	p->image = (uint8_t *)mem_copy(sample->image, sample->image_size);
	for (size_t i = 0; i < n; i++)
		buffer_append(&p->captions, sample->captions[i], strlen(sample->captions[i]) + 1);
	l->pictures[l->count++] = (struct engine_picture){.bytes = p->image, .size = sample->image_size};
	return p->key && p->image && !p->captions.failed ? STATUS_OK : err_memory(err, "a sample");
}

/* Arrays of one length grow alike. */
static bool grow(void *array, size_t room, size_t need, size_t size)
{
	return mem_grow(array, &room, need, size);
}

/* Room for one more photo and n more texts. */
static enum status make_room(struct loader *l, size_t n, struct err *err)
{
	struct evalset *set = l->set;
	size_t context = coca_config(l->engine->model)->context_length;
	size_t room = set->photo_room, photos = set->photos + 1, texts = set->texts + n;

	if ((l->choice->classes && !grow(&set->first, room, photos, sizeof *set->first)) ||
	    (l->choice->pairs && !grow(&set->keys, room, photos, sizeof *set->keys)) ||
	    (l->choice->tokens && !grow(&set->tokens, room, photos, set->token_size)) ||
	    !mem_grow(&set->photo_features, &set->photo_room, photos, l->engine->embed * sizeof(float)))
		return err_memory(err, "embeddings");
	room = set->text_room;
	if (!grow(&set->text_owner, room, texts, sizeof *set->text_owner) ||
	    !grow(&set->ids, room, texts, context * sizeof *set->ids) ||
	    !mem_grow(&set->encoded, &set->text_room, texts, sizeof *set->encoded))
		return err_memory(err, "texts");
	return STATUS_OK;
}

static enum status keep_text(struct loader *l, const char *text, struct err *err)
{
	struct evalset *set = l->set;
	size_t context = coca_config(l->engine->model)->context_length;
	int32_t *ids;
	struct coca_text encoded;
	bool cut;
	enum status status = engine_text_ids(l->engine, text, strlen(text), &ids, &encoded, &cut, err);

	if (status != STATUS_OK)
		return status;
	memcpy(set->ids + set->texts * context, ids, encoded.count * sizeof *ids);
	set->encoded[set->texts].count = encoded.count; /* its ids once ids no longer moves */
	set->text_owner[set->texts++] = (uint32_t)set->photos;
	free(ids);
	return STATUS_OK;
}

/* A photograph that was encoded, the i-th of its batch, and its texts, into the set. */
static enum status keep(struct loader *l, struct pending *p, size_t i, struct err *err)
{
	struct evalset *set = l->set;
	struct engine *engine = l->engine;
	const char *text = p->captions.data;
	enum status status = make_room(l, l->choice->classes ? 0 : p->caption_count, err);

	if (status != STATUS_OK)
		return status;
	memcpy(set->photo_features + set->photos * engine->embed, l->features + i * engine->embed, engine->embed * sizeof(float));
	if (l->choice->tokens)
		packed_tokens_write(l->tokens + i * engine->tokens * engine->width, engine->tokens, engine->width,
				    set->tokens + set->photos * set->token_size);
	for (size_t c = 0; !l->choice->classes && c < p->caption_count && status == STATUS_OK; c++, text += strlen(text) + 1)
		status = keep_text(l, text, err);
	if (status != STATUS_OK)
		return status;
	if (l->choice->classes) {
		set->first[set->photos] = p->captions.data;
		p->captions = (struct buffer){0};
	}
	if (l->choice->pairs) {
		set->keys[set->photos] = p->key;
		p->key = NULL;
	}
	set->photos++;
	return STATUS_OK;
}

/* Decodes what is pending, encodes what could be decoded, keeps that. */
static enum status flush(struct loader *l, struct err *err)
{
	struct engine *engine = l->engine;
	size_t good = engine_pixels_all(engine, l->pictures, l->count, 0, l->pixels);
	enum status status = STATUS_OK;

	if (good)
		status = coca_encode_images(engine->model, engine->state, l->pixels, good, l->features,
					    l->choice->tokens ? l->tokens : NULL, err);
	for (size_t i = 0; i < l->count; i++) {
		const struct engine_picture *picture = &l->pictures[i];
		if (picture->err.status != STATUS_OK) {
			listener_fault(l->listener, "skipped '%s' in '%s': %s", l->pending[i].key, l->path, picture->err.text);
			l->set->skipped++;
		} else if (status == STATUS_OK) {
			status = keep(l, &l->pending[i], picture->place, err);
		}
	}
	release_pending(l);
	progress_show(&l->progress, l->set->photos, l->choice->limit);
	return status;
}

static enum status load_shard(struct loader *l, struct err *err)
{
	const struct evalchoice *choice = l->choice;
	struct samples *samples = NULL;
	struct sample sample;
	enum status status = samples_open(l->path, SAMPLES_SHARD, &samples, err);

	for (size_t index = 0; status == STATUS_OK; index++) {
		if (choice->limit && l->set->photos + l->count >= choice->limit) {
			if (l->count == 0)
				break;
			status = flush(l, err); /* a sample may turn out unreadable: then one more is wanted */
			if (status != STATUS_OK || l->set->photos >= choice->limit)
				break;
		}
		status = samples_next(samples, &sample, err);
		if (status == STATUS_OK && index % choice->every == choice->offset)
			status = hold(l, &sample, err);
		if (status == STATUS_OK && l->count == BATCH)
			status = flush(l, err);
	}
	if (status == STATUS_NOT_FOUND && samples)
		status = STATUS_OK;
	if (status == STATUS_OK)
		status = flush(l, err);
	if (status == STATUS_OK && samples_skipped(samples))
		listener_fault(l->listener, "'%s' has %zu samples without an image or captions: left out", l->path,
			       samples_skipped(samples));
	samples_close(samples);
	return status;
}

static enum status encode_texts(const struct listener *listener, struct engine *engine, struct evalset *set, struct err *err)
{
	size_t context = coca_config(engine->model)->context_length;
	struct progress progress;
	enum status status = STATUS_OK;

	set->text_features = mem_floats(mem_product(set->texts, engine->embed));
	if (!set->text_features)
		return err_memory(err, "embeddings");
	for (size_t i = 0; i < set->texts; i++)
		set->encoded[i].ids = set->ids + i * context;
	progress_start(&progress, listener, "encoding", "texts");
	for (size_t at = 0; at < set->texts && status == STATUS_OK; at += TEXT_BATCH) {
		size_t n = set->texts - at < TEXT_BATCH ? set->texts - at : TEXT_BATCH;
		status = coca_encode_texts(engine->model, engine->state, set->encoded + at, n, set->text_features + at * engine->embed,
					   NULL, err);
		progress_show(&progress, at + n, set->texts);
	}
	progress_end(&progress);
	return status;
}

enum status evalset_load(const struct listener *listener, struct engine *engine, const char *const *paths, size_t n,
			 const struct evalchoice *choice, struct evalset *set, struct err *err)
{
	struct loader l = {.listener = listener, .engine = engine, .choice = choice, .set = set};
	size_t token_floats = mem_product(engine->tokens, engine->width);
	enum status status = STATUS_OK;

	*set = (struct evalset){.token_size = packed_tokens_size(engine->tokens, engine->width)};
	l.pixels = mem_floats(mem_product(BATCH * 3 * engine->side, engine->side));
	l.features = mem_floats(mem_product(BATCH, engine->embed));
	l.tokens = mem_floats(choice->tokens ? mem_product(BATCH, token_floats) : 0);
	if (!l.pixels || !l.features || !l.tokens)
		status = err_memory(err, "a batch of photographs");
	progress_start(&l.progress, listener, "encoding", "photos");
	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		l.path = paths[i];
		status = load_shard(&l, err);
	}
	progress_end(&l.progress);
	release_pending(&l);
	free(l.pixels);
	free(l.features);
	free(l.tokens);
	if (status == STATUS_OK && !choice->classes)
		status = encode_texts(listener, engine, set, err);
	if (status != STATUS_OK)
		evalset_release(set);
	return status;
}

void evalset_release(struct evalset *set)
{
	for (size_t i = 0; set->first && i < set->photos; i++)
		free(set->first[i]);
	free(set->first);
	for (size_t i = 0; set->keys && i < set->photos; i++)
		free(set->keys[i]);
	free(set->keys);
	free(set->photo_features);
	free(set->text_features);
	free(set->text_owner);
	free(set->tokens);
	free(set->ids);
	free(set->encoded);
	*set = (struct evalset){0};
}
