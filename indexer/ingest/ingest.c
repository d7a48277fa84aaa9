/* ingest.c: see ingest.h. A window slides over the photographs in their order: its front is stored, its middle is decoded, its end is read.
 *
 * Threads. The caller's alone has the catalog and the window: it submits, decides and stores. The pipeline's threads read and decode,
 * the embedder's embeds; each has what it was handed (a job, a batch) to itself until pipeline_idle or embedder_landed says true, and
 * only then the caller looks at it again: so nothing but their queues needs a lock. While one batch is embedded by all cores, the last
 * one is stored and the next ones are read and decoded. The caller sleeps in pipeline_wait alone, which the embedder wakes, too.
 *
 * What becomes of a photograph:
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

#include "indexer/ingest/embedder.h"
#include "indexer/ingest/rows.h"
#include "indexer/walk/notes.h"
#include "schema/base/clock.h"
#include "schema/catalog/contents.h"
#include "schema/catalog/facts.h"
#include "schema/cli/progress.h"

#include "schema/base/banned.h"

/* Bytes of files in memory, read but not decoded yet; one larger file alone is let through. */
static const size_t bytes_most = (size_t)256 << 20;

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
	size_t batch, bytes, done; /* done: photographs */
	struct embedder *embedder;
	struct batch *flight;     /* what was started last: it holds those of the first `flying` photographs that are embedded */
	size_t flying;
	size_t E;                 /* coca.h's letter */
	float *known;             /* [E] */
	struct rows rows;
	struct progress progress;
};

static struct slot *slot_at(const struct window *w, size_t i)
{
	return &w->slots[(w->head + i) % w->capacity];
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
	status = rows_begin(&w->rows, err);
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

/* The b-th of the batch. */
static enum status store_embedded(struct window *w, const struct batch *batch, struct slot *slot, size_t b, struct err *err)
{
	if (!batch->finite[b]) {
		slot->job.status = err_set(&slot->job.err, STATUS_FAILED, "the model gives no number for it");
		return STATUS_OK;
	}
	const uint8_t *tokens = batch->tokens ? batch->tokens + embedder_tokens_size(w->embedder) * b : NULL;
	const uint8_t *encoder = batch->encoder ? batch->encoder + embedder_encoder_size(w->embedder) * b : NULL;
	return rows_embedding(&w->rows, slot->content, batch->features + w->E * b, tokens, encoder, err);
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

static void count_stored(struct ingest_counts *counts, const struct slot *slot)
{
	const struct ingest_item *item = slot->item;

	if (!item->known && slot->fate == FATE_EMBED)
		counts->added++;
	else if (!item->known)
		counts->moved++;
	else if (item->stamp.state == PHOTO_FAILED || item->stamp.content != slot->content)
		counts->changed++;
	else if (item->stamp.gone_since)
		counts->back++;
	else if (item->stamp.embedded && item->stamp.facts != item->facts)
		counts->noted++;
	else if (item->stamp.embedded)
		counts->unchanged++;
	else
		counts->again++;
}

/* The i-th of the window; *b: how many of the batch came before it. */
static enum status store_one(struct window *w, const struct batch *batch, size_t i, size_t *b, struct err *err)
{
	struct slot *slot = slot_at(w, i);
	struct ingest_counts *counts = w->in->counts;
	enum status status = STATUS_OK;

	if (slot->fate == FATE_VANISHED)
		return rows_vanished(&w->rows, slot->item, err);
	if (slot->fate == FATE_EMBED && slot->job.status == STATUS_OK)
		status = store_embedded(w, batch, slot, (*b)++, err);
	if (status == STATUS_OK && is_decoded(slot) && slot->job.status == STATUS_OK)
		status = catalog_hash_put(w->in->catalog, slot->content, slot->job.image_hash, err);
	if (slot->fate == FATE_HASH) /* it was embedded once: a search does without the hash */
		slot->job.status = STATUS_OK;
	bool failed = slot->fate == FATE_FAILED || slot->job.status != STATUS_OK;
	if (failed && slot->fate == FATE_EMBED)
		fail_followers(w, i);
	if (status == STATUS_OK)
		status = rows_photo(&w->rows, slot->item, &slot->job, slot->content, failed, err);
	if (status != STATUS_OK)
		return status;
	if (failed)
		ingest_failure(counts, slot->job.path, slot->job.err.text);
	else
		count_stored(counts, slot);
	counts->cut_short += !failed && is_decoded(slot) && slot->job.cut_short;
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
		status = rows_begin(&w->rows, err);
	for (size_t i = 0; i < n && status == STATUS_OK; i++)
		status = store_one(w, batch, i, &b, err);
	w->head = (w->head + n) % w->capacity;
	w->count -= n;
	w->decided -= n;
	w->done += n;
	if (status == STATUS_OK)
		status = rows_settle(&w->rows, n, err);
	w->in->counts->storing += clock_now() - start;
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
	enum status status = STATUS_OK;

	while (status == STATUS_OK && (w->count || w->next < w->item_count)) {
		bool moved = false;
		if (listener_stopped(w->in->listener))
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

static void batch_landed(void *context)
{
	pipeline_notify(context);
}

static enum status window_open(struct window *w, const struct ingest *in, struct err *err)
{
	const struct config *config = coca_config(in->coca);
	struct pipeline_options reading = {
		.jobs = in->options->jobs,
		.side = config->image_size,
		.exact = in->options->exact,
		.follow = in->follow,
		.pixels_most = in->options->pixels_most,
	};
	struct embedder_options embedding = {.coca = in->coca, .tokens = in->options->token_budget > 0, .landed = batch_landed};
	enum status status = rows_open(&w->rows, in, &embedding.encoder, err);

	if (status != STATUS_OK)
		return status;
	w->E = config->embed_dim;
	w->batch = in->options->batch ? in->options->batch : choose_batch(in->coca);
	w->capacity = 4 * w->batch + 4 * reading.jobs;
	w->slots = mem_array(w->capacity, sizeof *w->slots);
	w->known = mem_floats(w->E);
	if (!w->slots || !w->known)
		return err_memory(err, "a batch of photographs; hint: a smaller --batch");
	status = pipeline_open(&reading, &w->pipeline, err);
	if (status != STATUS_OK)
		return status;
	embedding.batch = w->batch;
	embedding.context = w->pipeline;
	return embedder_open(&embedding, &w->embedder, err);
}

static void window_release(struct window *w)
{
	if (w->embedder) {
		while (!embedder_landed(w->embedder))
			pipeline_wait(w->pipeline);
		w->in->counts->encoding = embedder_seconds(w->embedder);
	}
	embedder_close(w->embedder); /* before the pipeline, which it notifies */
	if (w->pipeline)
		w->in->counts->busy = pipeline_times(w->pipeline);
	pipeline_close(w->pipeline);
	for (size_t i = 0; w->slots && i < w->capacity; i++)
		job_release(&w->slots[i].job);
	free(w->slots);
	free(w->known);
}

void ingest_failure(struct ingest_counts *counts, const char *path, const char *error)
{
	if (counts->failed++ < INGEST_NAMED_MOST)
		notes_add(&counts->failures, "'%s': %s", path, error);
}

enum status ingest_run(const struct ingest *in, const struct ingest_item *items, size_t count, struct err *err)
{
	struct window w = {.in = in, .rows = {.in = in}, .items = items, .item_count = count};
	enum status status = STATUS_OK;

	if (count) { /* else neither threads nor their buffers */
		status = window_open(&w, in, err);
		if (status == STATUS_OK) {
			progress_start(&w.progress, in->listener, "indexing", "photos");
			status = slide(&w, err);
			progress_end(&w.progress);
		}
	}
	if (status == STATUS_OK || status == STATUS_INTERRUPTED) {
		enum status last = rows_finish(&w.rows, err);
		if (last != STATUS_OK)
			status = last;
	}
	window_release(&w);
	rows_release(&w.rows);
	return status;
}
