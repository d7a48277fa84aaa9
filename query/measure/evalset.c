/* evalset.c: see evalset.h. */
#include "query/measure/evalset.h"

#include <stdlib.h>
#include <string.h>

#include "model/net/likelihood.h"
#include "query/session/score.h"
#include "schema/base/memory.h"
#include "schema/base/packed.h"
#include "schema/base/shards.h"
#include "schema/cli/progress.h"

#include "schema/base/banned.h"

enum {
	BATCH = 64,               /* photographs decoded and encoded together */
	TEXT_BATCH = 64,
	GROUP_MOST = 64,          /* queries whose likelihoods are computed in one call */
	GROUP_BYTES = 64 << 20,   /* of image tokens as floats in one call */
};

/* ---- loading ---------------------------------------------------------------------------------------------------- */

/* A sample that waits for its batch: the shard's memory is gone by then. */
struct pending {
	char *key;
	uint8_t *image;
	size_t image_size;
	char **captions;
	size_t caption_count;
	struct err err; /* STATUS_OK if it was decoded */
};

struct loader {
	struct cli *cli;
	struct engine *engine;
	const struct evalchoice *choice;
	struct evalset *set;
	struct progress progress;
	const char *path;
	struct pending pending[BATCH];
	size_t count;
	float *pixels, *features, *tokens;
};

static void release_pending(struct pending *p)
{
	for (size_t i = 0; p->captions && i < p->caption_count; i++)
		free(p->captions[i]);
	free(p->captions);
	free(p->image);
	free(p->key);
	*p = (struct pending){0};
}

static enum status hold(struct loader *l, const struct sample *sample, struct err *err)
{
	struct pending *p = &l->pending[l->count];
	size_t n = l->choice->classes || l->choice->pairs ? 1 : sample->caption_count;
	bool good;

	*p = (struct pending){.image_size = sample->image_size, .caption_count = n};
	p->key = mem_copy(sample->key, strlen(sample->key));
	p->image = (uint8_t *)mem_copy(sample->image, sample->image_size);
	p->captions = mem_array(n, sizeof *p->captions);
	good = p->key && p->image && p->captions;
	for (size_t i = 0; good && i < n; i++) {
		p->captions[i] = mem_copy(sample->captions[i], strlen(sample->captions[i]));
		good = p->captions[i] != NULL;
	}
	l->count++;
	return good ? STATUS_OK : err_memory(err, "a sample");
}

/* Room for one more photo and n more texts. */
static enum status make_room(struct loader *l, size_t n, struct err *err)
{
	struct evalset *set = l->set;
	size_t context = coca_config(l->engine->model)->context_length;

	if (set->photos == set->photo_room) {
		size_t room = set->photo_room ? 2 * set->photo_room : 1024;
		void *features = mem_resize(set->photo_features, mem_product(room, l->engine->embed), sizeof(float));
		set->photo_features = features ? features : set->photo_features;
		void *first = l->choice->classes ? mem_resize(set->first, room, sizeof *set->first) : NULL;
		set->first = first ? first : set->first;
		void *keys = l->choice->pairs ? mem_resize(set->keys, room, sizeof *set->keys) : NULL;
		set->keys = keys ? keys : set->keys;
		void *tokens = l->choice->tokens ? mem_resize(set->tokens, room, set->token_size) : NULL;
		set->tokens = tokens ? tokens : set->tokens;
		if (!features || (l->choice->classes && !first) || (l->choice->pairs && !keys) || (l->choice->tokens && !tokens))
			return err_memory(err, "embeddings");
		set->photo_room = room;
	}
	while (set->texts + n > set->text_room) {
		size_t room = set->text_room ? 2 * set->text_room : 1024;
		void *owner = mem_resize(set->text_owner, room, sizeof *set->text_owner);
		set->text_owner = owner ? owner : set->text_owner;
		void *ids = mem_resize(set->ids, mem_product(room, context), sizeof *set->ids);
		set->ids = ids ? ids : set->ids;
		void *encoded = mem_resize(set->encoded, room, sizeof *set->encoded);
		set->encoded = encoded ? encoded : set->encoded;
		if (!owner || !ids || !encoded)
			return err_memory(err, "texts");
		set->text_room = room;
	}
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

/* The i-th of the encoded photographs, and its texts, into the set. */
static enum status keep(struct loader *l, struct pending *p, size_t i, struct err *err)
{
	struct evalset *set = l->set;
	struct engine *engine = l->engine;
	enum status status = make_room(l, l->choice->classes ? 0 : p->caption_count, err);

	if (status != STATUS_OK)
		return status;
	memcpy(set->photo_features + set->photos * engine->embed, l->features + i * engine->embed, engine->embed * sizeof(float));
	if (l->choice->tokens)
		packed_tokens_write(l->tokens + i * engine->tokens * engine->width, engine->tokens, engine->width,
				    set->tokens + set->photos * set->token_size);
	if (l->choice->classes) {
		set->first[set->photos] = p->captions[0];
		p->captions[0] = NULL;
	}
	for (size_t c = 0; !l->choice->classes && c < p->caption_count && status == STATUS_OK; c++)
		status = keep_text(l, p->captions[c], err);
	if (status == STATUS_OK && l->choice->pairs) {
		set->keys[set->photos] = p->key;
		p->key = NULL;
	}
	if (status == STATUS_OK)
		set->photos++;
	return status;
}

/* Decodes what is pending, encodes what could be decoded, keeps that. */
static enum status flush(struct loader *l, struct err *err)
{
	struct engine *engine = l->engine;
	size_t area = 3 * engine->side * engine->side, good = 0;
	enum status status = STATUS_OK;

#pragma omp parallel for schedule(dynamic)
	for (size_t i = 0; i < l->count; i++) {
		struct pending *p = &l->pending[i];
		p->err.status = STATUS_OK;
		engine_pixels(engine, p->image, p->image_size, 0, l->pixels + i * area, &p->err);
	}
	for (size_t i = 0; i < l->count; i++)
		if (l->pending[i].err.status == STATUS_OK) {
			if (good < i)
				memmove(l->pixels + good * area, l->pixels + i * area, area * sizeof(float));
			good++;
		} else {
			fprintf(l->cli->log, "coca: skipped '%s' in '%s': %s\n", l->pending[i].key, l->path, l->pending[i].err.text);
			l->set->skipped++;
		}
	if (good)
		status = coca_encode_images(engine->model, engine->state, l->pixels, good, l->features,
					    l->choice->tokens ? l->tokens : NULL, err);
	for (size_t i = 0, k = 0; i < l->count; i++) {
		if (status == STATUS_OK && l->pending[i].err.status == STATUS_OK)
			status = keep(l, &l->pending[i], k++, err);
		release_pending(&l->pending[i]);
	}
	l->count = 0;
	progress_show(&l->progress, l->set->photos, l->choice->limit);
	return status;
}

static enum status load_shard(struct loader *l, struct err *err)
{
	const struct evalchoice *choice = l->choice;
	struct shard *shard = NULL;
	struct sample sample;
	enum status status = shard_open(l->path, &shard, err);

	if (status != STATUS_OK)
		return status;
	for (size_t index = 0; status == STATUS_OK; index++) {
		if (choice->limit && l->set->photos + l->count >= choice->limit) {
			if (l->count == 0)
				break;
			status = flush(l, err); /* a sample may turn out unreadable: then one more is wanted */
			if (status != STATUS_OK || l->set->photos >= choice->limit)
				break;
		}
		status = shard_next(shard, &sample, err);
		if (status == STATUS_OK && index % choice->every == choice->offset)
			status = hold(l, &sample, err);
		if (status == STATUS_OK && l->count == BATCH)
			status = flush(l, err);
	}
	if (status == STATUS_NOT_FOUND)
		status = STATUS_OK;
	if (status == STATUS_OK)
		status = flush(l, err);
	if (status == STATUS_OK && shard_skipped(shard))
		fprintf(l->cli->log, "coca: '%s' has %zu samples without an image or captions: left out\n", l->path, shard_skipped(shard));
	shard_close(shard);
	return status;
}

static enum status encode_texts(struct cli *cli, struct engine *engine, struct evalset *set, struct err *err)
{
	size_t context = coca_config(engine->model)->context_length;
	struct progress progress;
	enum status status = STATUS_OK;

	set->text_features = mem_floats(mem_product(set->texts, engine->embed));
	if (!set->text_features)
		return err_memory(err, "embeddings");
	for (size_t i = 0; i < set->texts; i++)
		set->encoded[i].ids = set->ids + i * context;
	progress_start(&progress, cli, "encoding", "texts");
	for (size_t at = 0; at < set->texts && status == STATUS_OK; at += TEXT_BATCH) {
		size_t n = set->texts - at < TEXT_BATCH ? set->texts - at : TEXT_BATCH;
		status = coca_encode_texts(engine->model, engine->state, set->encoded + at, n, set->text_features + at * engine->embed,
					   NULL, err);
		progress_show(&progress, at + n, set->texts);
	}
	progress_end(&progress);
	return status;
}

enum status evalset_load(struct cli *cli, struct engine *engine, const char *const *paths, size_t n, const struct evalchoice *choice,
			 struct evalset *set, struct err *err)
{
	struct loader l = {.cli = cli, .engine = engine, .choice = choice, .set = set};
	size_t token_floats = mem_product(engine->tokens, engine->width);
	enum status status = STATUS_OK;

	*set = (struct evalset){.token_size = packed_tokens_size(engine->tokens, engine->width)};
	l.pixels = mem_floats(mem_product(BATCH * 3 * engine->side, engine->side));
	l.features = mem_floats(mem_product(BATCH, engine->embed));
	l.tokens = mem_floats(choice->tokens ? mem_product(BATCH, token_floats) : 0);
	if (!l.pixels || !l.features || !l.tokens)
		status = err_memory(err, "a batch of photographs");
	progress_start(&l.progress, cli, "encoding", "photos");
	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		l.path = paths[i];
		status = load_shard(&l, err);
	}
	progress_end(&l.progress);
	for (size_t i = 0; i < l.count; i++)
		release_pending(&l.pending[i]);
	free(l.pixels);
	free(l.features);
	free(l.tokens);
	if (status == STATUS_OK && !choice->classes)
		status = encode_texts(cli, engine, set, err);
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

/* ---- likelihoods ------------------------------------------------------------------------------------------------ */

/* Pairs of one call of coca_likelihood: photos and texts numbered as they come. */
struct call {
	struct engine *engine;
	const struct evalset *set;
	int32_t *photo_at, *text_at;  /* [photos] [texts] number in this call, -1: not in it */
	size_t *photos;               /* those in it */
	struct coca_text *texts;
	size_t *text_numbers;
	struct coca_pair *pairs;
	float *sums, *tokens;
	size_t photo_count, text_count, pair_count;
};

static enum status call_init(struct call *c, struct engine *engine, const struct evalset *set, size_t photos, size_t texts, size_t pairs,
			     struct err *err)
{
	*c = (struct call){.engine = engine, .set = set};
	c->photo_at = mem_array(set->photos, sizeof *c->photo_at);
	c->text_at = mem_array(set->texts, sizeof *c->text_at);
	c->photos = mem_array(photos, sizeof *c->photos);
	c->texts = mem_array(texts, sizeof *c->texts);
	c->text_numbers = mem_array(texts, sizeof *c->text_numbers);
	c->pairs = mem_array(pairs, sizeof *c->pairs);
	c->sums = mem_floats(pairs);
	c->tokens = mem_floats(mem_product(photos, mem_product(engine->tokens, engine->width)));
	if (!c->photo_at || !c->text_at || !c->photos || !c->texts || !c->text_numbers || !c->pairs || !c->sums || !c->tokens)
		return err_memory(err, "likelihoods");
	memset(c->photo_at, -1, set->photos * sizeof *c->photo_at);
	memset(c->text_at, -1, set->texts * sizeof *c->text_at);
	return STATUS_OK;
}

static void call_release(struct call *c)
{
	free(c->photo_at);
	free(c->text_at);
	free(c->photos);
	free(c->texts);
	free(c->text_numbers);
	free(c->pairs);
	free(c->sums);
	free(c->tokens);
}

static void call_add(struct call *c, size_t photo, size_t text)
{
	if (c->photo_at[photo] < 0) {
		c->photo_at[photo] = (int32_t)c->photo_count;
		c->photos[c->photo_count++] = photo;
	}
	if (c->text_at[text] < 0) {
		c->text_at[text] = (int32_t)c->text_count;
		c->text_numbers[c->text_count] = text;
		c->texts[c->text_count++] = c->set->encoded[text];
	}
	c->pairs[c->pair_count++] = (struct coca_pair){(size_t)c->photo_at[photo], (size_t)c->text_at[text]};
}

/* Fills sums, and empties the call. */
static enum status call_run(struct call *c, struct err *err)
{
	const struct evalset *set = c->set;
	size_t n = c->engine->tokens, w = c->engine->width;
	enum status status = STATUS_OK;

	for (size_t i = 0; i < c->photo_count && status == STATUS_OK; i++)
		status = packed_tokens_read(set->tokens + c->photos[i] * set->token_size, set->token_size, n, w, c->tokens + i * n * w,
					    err);
	if (status == STATUS_OK)
		status = coca_likelihood(c->engine->model, c->engine->state, c->tokens, c->photo_count, c->texts, c->text_count, c->pairs,
					 c->pair_count, c->sums, NULL, err);
	for (size_t i = 0; i < c->photo_count; i++)
		c->photo_at[c->photos[i]] = -1;
	for (size_t i = 0; i < c->text_count; i++)
		c->text_at[c->text_numbers[i]] = -1;
	c->photo_count = c->text_count = c->pair_count = 0;
	return status;
}

enum status evalset_likelihoods(struct cli *cli, struct engine *engine, const struct evalset *set, struct ranking *ranking, bool by_text,
				struct err *err)
{
	size_t depth = ranking->depth, bytes = engine->tokens * engine->width * sizeof(float) * (by_text ? depth : 1);
	size_t group = bytes ? GROUP_BYTES / bytes : GROUP_MOST;
	struct progress progress;
	struct call call;

	group = group < 1 ? 1 : group > GROUP_MOST ? GROUP_MOST : group;
	enum status status = call_init(&call, engine, set, by_text ? group * depth : group, by_text ? group : group * depth,
				       group * depth, err);
	progress_start(&progress, cli, by_text ? "reranking photos for" : "reranking texts for", by_text ? "texts" : "photos");
	for (size_t at = 0; at < ranking->queries && status == STATUS_OK; at += group) {
		size_t n = ranking->queries - at < group ? ranking->queries - at : group;
		struct shortlisted *list = ranking->short_list + at * depth;
		for (size_t i = 0; i < n * depth; i++)
			call_add(&call, by_text ? list[i].item : at + i / depth, by_text ? at + i / depth : list[i].item);
		status = call_run(&call, err);
		for (size_t i = 0; status == STATUS_OK && i < n * depth; i++)
			list[i].likelihood = call.sums[i];
		progress_show(&progress, at + n, ranking->queries);
	}
	progress_end(&progress);
	call_release(&call);
	return status;
}

enum status evalset_nulls(struct cli *cli, struct engine *engine, const struct evalset *set, size_t most, struct nulls *nulls,
			  struct err *err)
{
	struct progress progress;
	struct call call;

	*nulls = (struct nulls){.count = set->photos < most ? set->photos : most};
	for (size_t i = 0; i < nulls->count; i++)
		nulls->photos[i] = (uint32_t)(i * set->photos / nulls->count);
	size_t k = nulls->count;
	nulls->likelihood = mem_floats(mem_product(set->texts, k));
	enum status status = call_init(&call, engine, set, k, TEXT_BATCH, k * TEXT_BATCH, err);
	if (status == STATUS_OK && !nulls->likelihood)
		status = err_memory(err, "likelihoods");
	progress_start(&progress, cli, "weighing", "texts");
	for (size_t at = 0; at < set->texts && status == STATUS_OK; at += TEXT_BATCH) {
		size_t n = set->texts - at < TEXT_BATCH ? set->texts - at : TEXT_BATCH;
		for (size_t i = 0; i < n * k; i++)
			call_add(&call, nulls->photos[i % k], at + i / k);
		status = call_run(&call, err);
		if (status == STATUS_OK)
			memcpy(nulls->likelihood + at * k, call.sums, n * k * sizeof(float));
		progress_show(&progress, at + n, set->texts);
	}
	progress_end(&progress);
	call_release(&call);
	if (status != STATUS_OK)
		nulls_release(nulls);
	return status;
}

void nulls_release(struct nulls *nulls)
{
	free(nulls->likelihood);
	*nulls = (struct nulls){0};
}

double nulls_prior(const struct nulls *nulls, size_t text, size_t photo)
{
	const float *all = nulls->likelihood + text * nulls->count;
	float others[SCORE_NULLS];
	size_t n = 0;

	for (size_t i = 0; i < nulls->count; i++)
		if (nulls->photos[i] != photo)
			others[n++] = all[i];
	return n ? score_log_mean(others, n) : 0;
}
