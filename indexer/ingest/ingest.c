/* ingest.c: see ingest.h. This thread decides and stores; the pipeline's threads read and decode, the embedder's embeds.
 *
 *     READING -> VANISHED                     not there any more
 *             -> FAILED                       unreadable, or no photograph
 *             -> STORE                        its content has an embedding: a row is all it needs
 *             -> HASH                         the same, from a version that kept no perceptual hash: decoded for that
 *             -> FOLLOW                       the same content is embedded further ahead in the window
 *             -> EMBED  -> (FAILED)           decoded, embedded
 */
#include "indexer/ingest/ingest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "indexer/ingest/embedder.h"
#include "indexer/ingest/heads.h"
#include "model/net/vision.h"
#include "schema/catalog/contents.h"
#include "schema/catalog/photos.h"
#include "schema/catalog/tokens.h"
#include "schema/catalog/facts.h"
#include "schema/base/packed.h"
#include "schema/base/clock.h"
#include "schema/cli/progress.h"

#include "schema/base/banned.h"

/* Whichever comes first: that much work a kill may cost. */
static const double commit_seconds = 1;
enum { COMMIT_PHOTOS = 32 };
/* Bytes of files in memory, read but not decoded yet; one larger file alone is let through. */
static const size_t bytes_most = (size_t)256 << 20;
/* Tokens beyond the budget that may pile up before the oldest are deleted. */
static const size_t trim_slack = (size_t)32 << 20;

enum fate { FATE_READING, FATE_VANISHED, FATE_FAILED, FATE_STORE, FATE_FOLLOW, FATE_HASH, FATE_EMBED };

struct slot {
	struct job job;
	const struct ingest_item *item;
	enum fate fate;
	bool decoded;      /* FATE_EMBED, FATE_HASH */
	int64_t content;
	size_t cost;       /* bytes that it holds of bytes_most */
};

struct window {
	const struct ingest *in;
	const struct ingest_item *items;
	size_t item_count, next;  /* next: the first that is not in the window yet */
	struct pipeline *pipeline;
	struct slot *slots;       /* a ring */
	size_t capacity, head, count, decided;
	size_t batch, bytes, done, uncommitted; /* done: photographs */
	struct embedder *embedder;
	struct batch *flight;     /* what was started last: it holds those of the first `flying` photographs that are embedded */
	size_t flying;
	size_t E, M, D;           /* coca.h's letters; D of the encoder */
	float *known;             /* [E] */
	float *rounded;           /* [M,D]: encoder tokens as stored */
	size_t encoder_room;      /* bytes */
	struct heads *heads;    /* NULL: no head */
	size_t tokens_stored, tokens_untrimmed; /* bytes: in this run; since the last trim */
	bool begun;
	double committed;
	struct progress progress;
};

static struct slot *slot_at(const struct window *w, size_t i)
{
	return &w->slots[(w->head + i) % w->capacity];
}

/* --- transactions --- */

static enum status begin(struct window *w, struct err *err)
{
	if (w->begun)
		return STATUS_OK;
	enum status status = catalog_begin(w->in->catalog, err);
	w->begun = status == STATUS_OK;
	return status;
}

static enum status trim_tokens(struct window *w, struct err *err)
{
	size_t left;

	w->tokens_untrimmed = 0;
	return catalog_tokens_trim(w->in->catalog, w->in->options->token_budget, &left, err);
}

static enum status commit(struct window *w, struct err *err)
{
	enum status status = STATUS_OK;

	if (!w->begun)
		return STATUS_OK;
	if (w->tokens_untrimmed > trim_slack)
		status = trim_tokens(w, err);
	if (status == STATUS_OK)
		status = catalog_commit(w->in->catalog, err);
	w->begun = false;
	w->uncommitted = 0;
	w->committed = clock_now();
	return status;
}

/* --- into the window --- */

static void submit(struct window *w)
{
	while (w->count < w->capacity && w->next < w->item_count) {
		const struct ingest_item *item = &w->items[w->next];
		struct slot *slot = slot_at(w, w->count);
		size_t cost = item->photo->size > 0 ? (size_t)item->photo->size : 0;
		if (w->bytes && w->bytes + cost > bytes_most)
			return;
		slot->item = item;
		slot->fate = FATE_READING;
		slot->decoded = false;
		slot->content = 0;
		slot->cost = cost;
		slot->job.path = item->photo->path;
		slot->job.hashed = false;
		slot->job.sidecar_count = sidecars_of(w->in->sidecars, item->photo->path, slot->job.sidecars);
		w->bytes += cost;
		w->next++;
		w->count++;
		if (item->photo->regular)
			pipeline_read(w->pipeline, &slot->job);
		else
			slot->job.status = err_set(&slot->job.err, STATUS_IO, "it is not a regular file");
	}
}

static void release_bytes(struct window *w, struct slot *slot)
{
	job_drop_bytes(&slot->job);
	w->bytes -= slot->cost;
	slot->cost = 0;
}

/* --- what becomes of it --- */

/* Whether a photograph before the i-th in the window is about to give this content its embedding. */
static bool embedded_ahead(const struct window *w, size_t i, int64_t content)
{
	for (size_t j = 0; j < i; j++)
		if (slot_at(w, j)->fate == FATE_EMBED && slot_at(w, j)->content == content)
			return true;
	return false;
}

/* Whether its pixels are wanted. */
static bool is_decoded(const struct slot *slot)
{
	return slot->fate == FATE_EMBED || slot->fate == FATE_HASH;
}

static enum status decide_one(struct window *w, size_t i, struct err *err)
{
	const struct ingest *in = w->in;
	struct slot *slot = slot_at(w, i);
	struct job *job = &slot->job;
	bool found;
	enum status status = STATUS_OK;

	if (!job->hashed) {
		slot->fate = job->status == STATUS_NOT_FOUND ? FATE_VANISHED : FATE_FAILED;
		goto out;
	}
	status = begin(w, err);
	if (status == STATUS_OK)
		status = catalog_content_put(in->catalog, job->hash, &slot->content, err);
	if (status != STATUS_OK)
		goto out;
	if (job->status != STATUS_OK) {
		slot->fate = FATE_FAILED;
		goto out;
	}
	status = catalog_embedding_get(in->catalog, slot->content, in->model->id, w->known, w->E, &found, err);
	if (status != STATUS_OK)
		goto out;
	bool hashed = false;
	uint64_t hash;
	if (found)
		status = catalog_hash_get(in->catalog, slot->content, &hash, &hashed, err);
	if (status != STATUS_OK)
		goto out;
	if (found)
		slot->fate = hashed ? FATE_STORE : FATE_HASH;
	else if (embedded_ahead(w, i, slot->content))
		slot->fate = FATE_FOLLOW;
	else
		slot->fate = FATE_EMBED;
	if (is_decoded(slot)) {
		pipeline_decode(w->pipeline, job);
		return STATUS_OK;
	}
out:
	release_bytes(w, slot);
	return status;
}

static enum status decide(struct window *w, struct err *err)
{
	enum status status = STATUS_OK;

	while (status == STATUS_OK && w->decided < w->count && pipeline_idle(w->pipeline, &slot_at(w, w->decided)->job))
		status = decide_one(w, w->decided++, err);
	for (size_t i = 0; i < w->decided; i++) {
		struct slot *slot = slot_at(w, i);
		if (is_decoded(slot) && !slot->decoded && pipeline_idle(w->pipeline, &slot->job)) {
			slot->decoded = true;
			release_bytes(w, slot);
		}
	}
	return status;
}

/* --- out of the window --- */

/* Starts embedding the decoded among n of the window, from the from-th on. Their features are in the order of the window. */
static void launch(struct window *w, size_t from, size_t n)
{
	struct batch *batch = embedder_batch(w->embedder);

	for (size_t i = from; i < from + n; i++) {
		const struct slot *slot = slot_at(w, i);
		if (slot->fate == FATE_EMBED && slot->job.status == STATUS_OK)
			batch->rgb[batch->count++] = slot->job.rgb;
	}
	embedder_start(w->embedder);
	w->flight = batch;
	w->flying = n;
}

static enum status store_tokens(struct window *w, int64_t content, const uint8_t *blob, struct err *err)
{
	size_t size = embedder_tokens_size(w->embedder);

	/* What this run stored is not pushed out by what this run stores: the rest would be written only to be deleted. */
	if (w->tokens_stored + size > w->in->options->token_budget)
		return STATUS_OK;
	w->tokens_stored += size;
	w->tokens_untrimmed += size;
	return catalog_tokens_put(w->in->catalog, content, w->in->model->id, blob, size, err);
}

/* What heads read, kept while there is room; and what the heads that are there say of it. embedding[E] */
static enum status store_encoded(struct window *w, int64_t content, const uint8_t *blob, const float *embedding, struct err *err)
{
	size_t size = embedder_encoder_size(w->embedder);
	enum status status = STATUS_OK;

	if (size <= w->encoder_room) {
		w->encoder_room -= size;
		status = catalog_encoder_put(w->in->catalog, content, w->in->model->id, blob, size, err);
	}
	if (status != STATUS_OK || !w->heads)
		return status;
	status = packed_tokens_read(blob, size, w->M, w->D, w->rounded, err);
	return status == STATUS_OK ? heads_put(w->heads, w->in->catalog, content, w->rounded, w->M, embedding, err) : status;
}

/* The b-th of the batch. */
static enum status store_embedding(struct window *w, const struct batch *batch, struct slot *slot, size_t b, struct err *err)
{
	const struct ingest *in = w->in;
	const float *embedding = batch->features + w->E * b;

	if (!batch->finite[b]) {
		slot->job.status = err_set(&slot->job.err, STATUS_FAILED, "the model gives no number for it");
		return STATUS_OK;
	}
	enum status status = catalog_embedding_put(in->catalog, slot->content, in->model->id, embedding, w->E, err);
	if (status == STATUS_OK && batch->tokens)
		status = store_tokens(w, slot->content, batch->tokens + embedder_tokens_size(w->embedder) * b, err);
	if (status == STATUS_OK && batch->encoder)
		status = store_encoded(w, slot->content, batch->encoder + embedder_encoder_size(w->embedder) * b, embedding, err);
	return status;
}

/* Copies of a photograph that could not be decoded fail for the same reason. */
static void fail_followers(struct window *w, size_t i)
{
	const struct slot *leader = slot_at(w, i);

	for (size_t j = i + 1; j < w->decided; j++) {
		struct slot *slot = slot_at(w, j);
		if (slot->fate == FATE_FOLLOW && slot->content == leader->content) {
			slot->fate = FATE_FAILED;
			slot->job.status = leader->job.status;
			slot->job.err = leader->job.err;
		}
	}
}

static void count_stored(struct index_report *report, const struct slot *slot)
{
	const struct ingest_item *item = slot->item;

	if (!item->known && slot->fate == FATE_EMBED)
		report->added++;
	else if (!item->known)
		report->moved++;
	else if (item->stamp.state == PHOTO_FAILED || item->stamp.content != slot->content)
		report->changed++;
	else if (item->stamp.gone_since)
		report->back++;
	else if (item->stamp.embedded && item->stamp.facts != item->facts)
		report->noted++;
	else if (item->stamp.embedded)
		report->unchanged++;
	else
		report->again++;
}

/* Keywords become one text: alone they say little, and a search compares whole texts. */
static bool join_keywords(const struct buffer *keywords, struct buffer *joined)
{
	for (size_t at = 0; at < keywords->size; at += strlen(keywords->data + at) + 1) {
		buffer_text(joined, joined->size ? ", " : "");
		buffer_text(joined, keywords->data + at);
	}
	return !joined->failed;
}

static enum status store_facts(struct window *w, const struct slot *slot, int64_t photo, bool failed, struct err *err)
{
	enum { MOST = 64 };
	const struct probe *probe = &slot->job.probe;
	struct catalog_fact facts[MOST];
	struct buffer keywords = {0};
	size_t n = 0;
	enum status status = join_keywords(&probe->texts[PROBE_KEYWORDS], &keywords) ? STATUS_OK : err_memory(err, "keywords");

	for (enum probe_text kind = 0; kind < PROBE_TEXTS && !failed; kind++) {
		const struct buffer *texts = kind == PROBE_KEYWORDS ? &keywords : &probe->texts[kind];
		for (size_t at = 0; at < texts->size && n < MOST; n++) {
			const char *text = texts->data + at;
			facts[n] = (struct catalog_fact){probe_collection(kind), text, strlen(text)};
			at += facts[n].text_size + 1;
		}
	}
	if (status == STATUS_OK)
		status = catalog_facts_put(w->in->catalog, photo, slot->content, slot->item->facts, facts, n, err);
	buffer_release(&keywords);
	return status;
}

static enum status store_row(struct window *w, const struct slot *slot, bool failed, struct err *err)
{
	const struct job *job = &slot->job;
	const struct probe *probe = &job->probe;
	struct photo photo = {
		.root = slot->item->root,
		.path = job->path,
		.path_size = slot->item->photo->path_size,
		.size = job->hashed ? job->size : slot->item->photo->size,
		.mtime_ns = job->hashed ? job->mtime_ns : slot->item->photo->mtime_ns,
		.ctime_ns = job->hashed ? job->ctime_ns : slot->item->photo->ctime_ns,
		.content = slot->content,
		.state = failed ? PHOTO_FAILED : PHOTO_READY,
		.error = failed ? job->err.text : NULL,
		.orientation = 1,
		.taken_offset = CATALOG_NO_OFFSET,
	};

	if (job->hashed && job->info.format != IMAGE_UNKNOWN) {
		photo.format = image_format_name(job->info.format);
		photo.width = (int64_t)job->info.width;
		photo.height = (int64_t)job->info.height;
		photo.orientation = job->info.orientation;
		photo.has_taken = probe->has_taken;
		photo.taken_at = probe->taken_at;
		photo.taken_offset = probe->taken_offset;
		photo.has_position = probe->has_position;
		photo.latitude = probe->latitude;
		photo.longitude = probe->longitude;
		photo.camera = *probe->camera ? probe->camera : NULL;
		photo.lens = *probe->lens ? probe->lens : NULL;
	}
	enum status status = catalog_photo_put(w->in->catalog, &photo, err);
	if (status == STATUS_OK)
		status = store_facts(w, slot, photo.id, failed, err);
	/* The next run would find it unchanged. */
	const struct walk_photo *walked = slot->item->photo;
	if (status == STATUS_OK && slot->item->folder && photo.content && photo.size == walked->size &&
	    photo.mtime_ns == walked->mtime_ns && photo.ctime_ns == walked->ctime_ns)
		slot->item->folder->unsettled--;
	return status;
}

static enum status store_vanished(struct window *w, const struct ingest_item *item, struct err *err)
{
	if (!item->known || item->stamp.gone_since)
		return STATUS_OK;
	w->in->report->gone++;
	int64_t now = time(NULL);
	return catalog_photo_gone(w->in->catalog, item->stamp.id, now > 0 ? now : 1, err);
}

/* The i-th of the window; *b: how many of the batch came before it. */
static enum status store_one(struct window *w, const struct batch *batch, size_t i, size_t *b, struct err *err)
{
	struct slot *slot = slot_at(w, i);
	struct index_report *report = w->in->report;
	enum status status = STATUS_OK;

	if (slot->fate == FATE_VANISHED)
		return store_vanished(w, slot->item, err);
	if (slot->fate == FATE_EMBED && slot->job.status == STATUS_OK)
		status = store_embedding(w, batch, slot, (*b)++, err);
	if (status == STATUS_OK && is_decoded(slot) && slot->job.status == STATUS_OK)
		status = catalog_hash_put(w->in->catalog, slot->content, slot->job.image_hash, err);
	if (slot->fate == FATE_HASH) /* it was embedded once: a search does without the hash */
		slot->job.status = STATUS_OK;
	bool failed = slot->fate == FATE_FAILED || slot->job.status != STATUS_OK;
	if (failed && slot->fate == FATE_EMBED)
		fail_followers(w, i);
	if (status == STATUS_OK)
		status = store_row(w, slot, failed, err);
	if (status != STATUS_OK)
		return status;
	if (failed)
		index_report_failure(report, slot->job.path, slot->job.err.text);
	else
		count_stored(report, slot);
	report->cut_short += !failed && is_decoded(slot) && slot->job.cut_short;
	return STATUS_OK;
}

/* Stores the first n, whose batch has landed, and takes them out of the window. */
static enum status store_batch(struct window *w, const struct batch *batch, size_t n, struct err *err)
{
	size_t b = 0;
	double start = clock_now();
	enum status status = batch->status;

	if (status != STATUS_OK)
		*err = batch->err;
	else
		status = begin(w, err);
	for (size_t i = 0; i < n && status == STATUS_OK; i++)
		status = store_one(w, batch, i, &b, err);
	w->head = (w->head + n) % w->capacity;
	w->count -= n;
	w->decided -= n;
	w->done += n;
	w->uncommitted += n;
	if (status == STATUS_OK && (w->uncommitted >= COMMIT_PHOTOS || clock_now() - w->committed > commit_seconds))
		status = commit(w, err);
	w->in->report->storing += clock_now() - start;
	return status;
}

/* How many from the from-th on are ready to be stored, of which at most a batch to be embedded. */
static size_t count_ready(const struct window *w, size_t from, size_t *to_embed)
{
	size_t i = from;

	*to_embed = 0;
	for (; i < w->decided && *to_embed < w->batch; i++) {
		const struct slot *slot = slot_at(w, i);
		if (is_decoded(slot) && !slot->decoded)
			break;
		*to_embed += slot->fate == FATE_EMBED;
	}
	return i - from;
}

/* Once a batch has landed the next one starts, and only then the landed one is stored: all cores compute meanwhile. *moved: either
 * was done. */
static enum status turn(struct window *w, bool *moved, struct err *err)
{
	const struct batch *landed = w->flight;
	size_t stored = w->flying, to_embed;

	*moved = false;
	if (stored && !embedder_landed(w->embedder))
		return STATUS_OK;
	size_t n = count_ready(w, stored, &to_embed);
	/* A full window may be stuck behind less than a batch, but not while storing will make room. */
	bool last = w->next == w->item_count || (w->count == w->capacity && !stored), all = stored + n == w->count;
	w->flying = 0;
	if (n && (to_embed == w->batch || to_embed == 0 || (all && last)))
		launch(w, stored, n);
	*moved = stored || w->flying;
	return stored ? store_batch(w, landed, stored, err) : STATUS_OK;
}

/* What is being embedded is kept, too. */
static enum status interrupt(struct window *w, struct err *err)
{
	while (!embedder_landed(w->embedder))
		pipeline_wait(w->pipeline);
	enum status status = w->flying ? store_batch(w, w->flight, w->flying, err) : STATUS_OK;
	w->flying = 0;
	return status == STATUS_OK ? err_set(err, STATUS_INTERRUPTED, "interrupted") : status;
}

static enum status slide(struct window *w, struct err *err)
{
	const volatile sig_atomic_t *interrupted = w->in->cli->interrupted;
	enum status status = STATUS_OK;

	while (status == STATUS_OK && (w->count || w->next < w->item_count)) {
		bool moved = false;
		if (interrupted && *interrupted)
			return interrupt(w, err);
		submit(w);
		status = decide(w, err);
		if (status == STATUS_OK)
			status = turn(w, &moved, err);
		if (status == STATUS_OK && !moved)
			pipeline_wait(w->pipeline);
		progress_show(&w->progress, w->done, w->item_count);
	}
	return status;
}

/* --- set-up --- */

/* Photographs at once: enough for the matrices to be large; few enough that a large model is done with them in a few seconds. */
static size_t choose_batch(const struct coca *coca)
{
	const struct config *config = coca_config(coca);
	double work = (double)config->vision.layers * (double)(config->patches + 1) * (double)config->vision.width *
		      (double)(4 * config->vision.width + 2 * config->vision.hidden);
	double many = 2e11 / fmax(work, 1);

	return many >= 32 ? 32 : many <= 4 ? 4 : (size_t)many;
}

/* *kept: whether encoder tokens are wanted, to be stored or for the heads that are installed. */
static enum status encoder_init(struct window *w, bool *kept, struct err *err)
{
	const struct ingest *in = w->in;
	size_t left;

	*kept = false;
	enum status status = heads_open(in->catalog, in->model->id, w->M, &w->heads, err);

	/* A smaller budget than before is kept to at once. */
	if (status == STATUS_OK)
		status = catalog_encoder_trim(in->catalog, in->options->encoder_budget, &left, err);
	if (status == STATUS_OK)
		status = catalog_encoder_room(in->catalog, in->options->encoder_budget, &w->encoder_room, err);
	if (status != STATUS_OK)
		return status;
	*kept = w->heads || w->encoder_room >= packed_tokens_size(w->M, w->D);
	w->rounded = mem_floats(mem_product(w->M, w->D));
	return w->rounded ? STATUS_OK : err_memory(err, "tokens");
}

static void batch_landed(void *context)
{
	pipeline_notify(context);
}

static enum status window_init(struct window *w, const struct ingest *in, struct err *err)
{
	const struct config *config = coca_config(in->coca);
	struct pipeline_options options = {
		.jobs = in->options->jobs,
		.side = config->image_size,
		.exact = in->options->exact,
		.follow = in->options->follow,
		.pixels_most = in->options->pixels_most,
	};
	struct embedder_options embedding = {.coca = in->coca, .tokens = in->options->token_budget > 0, .landed = batch_landed};

	w->in = in;
	if (!w->item_count)
		return STATUS_OK; /* neither threads nor their buffers */
	w->E = config->embed_dim;
	w->M = vision_encoder_tokens(config);
	w->D = config->vision.width;
	w->batch = in->options->batch ? in->options->batch : choose_batch(in->coca);
	w->capacity = 4 * w->batch + 4 * options.jobs;
	w->committed = clock_now();
	w->slots = mem_array(w->capacity, sizeof *w->slots);
	w->known = mem_floats(w->E);
	if (!w->slots || !w->known)
		return err_memory(err, "a batch of photographs; hint: a smaller --batch");
	enum status status = encoder_init(w, &embedding.encoder, err);
	if (status == STATUS_OK)
		status = pipeline_open(&options, &w->pipeline, err);
	if (status != STATUS_OK)
		return status;
	embedding.batch = w->batch;
	embedding.context = w->pipeline;
	progress_start(&w->progress, in->cli, "indexing", "photos");
	return embedder_open(&embedding, &w->embedder, err);
}

static void window_release(struct window *w)
{
	if (w->embedder) {
		while (!embedder_landed(w->embedder))
			pipeline_wait(w->pipeline);
		w->in->report->encoding = embedder_seconds(w->embedder);
	}
	embedder_close(w->embedder); /* before the pipeline, which it notifies */
	if (w->pipeline)
		w->in->report->busy = pipeline_times(w->pipeline);
	pipeline_close(w->pipeline);
	for (size_t i = 0; w->slots && i < w->capacity; i++)
		job_release(&w->slots[i].job);
	free(w->slots);
	free(w->known);
	free(w->rounded);
	heads_close(w->heads);
}

enum status ingest_run(const struct ingest *in, const struct ingest_item *items, size_t count, struct err *err)
{
	struct window w = {.items = items, .item_count = count};
	enum status status = window_init(&w, in, err);

	if (status == STATUS_OK && count) {
		status = slide(&w, err);
		progress_end(&w.progress);
	}
	if (status == STATUS_OK || status == STATUS_INTERRUPTED) {
		enum status last = begin(&w, err);
		if (last == STATUS_OK)
			last = trim_tokens(&w, err);
		if (last == STATUS_OK)
			last = commit(&w, err);
		if (last != STATUS_OK)
			status = last;
	}
	if (w.begun && status != STATUS_OK && status != STATUS_INTERRUPTED)
		catalog_rollback(in->catalog);
	window_release(&w);
	return status;
}
