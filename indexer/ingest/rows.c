/* rows.c: see rows.h. */
#include "indexer/ingest/rows.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/net/vision.h"
#include "schema/base/clock.h"
#include "schema/base/packed.h"
#include "schema/catalog/contents.h"
#include "schema/catalog/facts.h"
#include "schema/catalog/tokens.h"

#include "schema/base/banned.h"

static const double commit_seconds = 1;
enum { COMMIT_PHOTOS = 32 };
/* Tokens beyond the budget that may pile up before the oldest are deleted. */
static const size_t trim_slack = (size_t)32 << 20;

/* --- transactions --- */

enum status rows_begin(struct rows *s, struct err *err)
{
	if (s->begun)
		return STATUS_OK;
	enum status status = catalog_begin(s->in->catalog, err);
	s->begun = status == STATUS_OK;
	return status;
}

static enum status trim_tokens(struct rows *s, struct err *err)
{
	size_t left;

	s->tokens_untrimmed = 0;
	return catalog_tokens_trim(s->in->catalog, s->in->options->token_budget, &left, err);
}

static enum status commit(struct rows *s, struct err *err)
{
	enum status status = STATUS_OK;

	if (!s->begun)
		return STATUS_OK;
	if (s->tokens_untrimmed > trim_slack)
		status = trim_tokens(s, err);
	if (status == STATUS_OK)
		status = catalog_commit(s->in->catalog, err);
	s->begun = false;
	s->uncommitted = 0;
	s->committed = clock_now();
	return status;
}

enum status rows_settle(struct rows *s, size_t photos, struct err *err)
{
	s->uncommitted += photos;
	return s->uncommitted >= COMMIT_PHOTOS || clock_now() - s->committed > commit_seconds ? commit(s, err) : STATUS_OK;
}

enum status rows_finish(struct rows *s, struct err *err)
{
	enum status status = rows_begin(s, err);

	if (status == STATUS_OK)
		status = trim_tokens(s, err);
	return status == STATUS_OK ? commit(s, err) : status;
}

/* --- what the model says --- */

static enum status store_tokens(struct rows *s, int64_t content, const uint8_t *blob, struct err *err)
{
	size_t size = packed_tokens_size(s->N, s->W);

	/* What this run stored is not pushed out by what this run stores: the rest would be written only to be deleted. */
	if (s->tokens_stored + size > s->in->options->token_budget)
		return STATUS_OK;
	s->tokens_stored += size;
	s->tokens_untrimmed += size;
	return catalog_tokens_put(s->in->catalog, content, s->in->model->id, blob, size, err);
}

/* What heads read, kept while there is room; and what the heads that are there say of it. embedding[E] */
static enum status store_encoded(struct rows *s, int64_t content, const uint8_t *blob, const float *embedding, struct err *err)
{
	size_t size = packed_tokens_size(s->M, s->D);
	enum status status = STATUS_OK;

	if (size <= s->encoder_room) {
		s->encoder_room -= size;
		status = catalog_encoder_put(s->in->catalog, content, s->in->model->id, blob, size, err);
	}
	if (status != STATUS_OK || !s->heads)
		return status;
	status = packed_tokens_read(blob, size, s->M, s->D, s->rounded, err);
	return status == STATUS_OK ? heads_put(s->heads, s->in->catalog, content, s->rounded, s->M, embedding, err) : status;
}

enum status rows_embedding(struct rows *s, int64_t content, const float *embedding, const uint8_t *tokens, const uint8_t *encoder,
			    struct err *err)
{
	enum status status = catalog_embedding_put(s->in->catalog, content, s->in->model->id, embedding, s->E, err);

	if (status == STATUS_OK && tokens)
		status = store_tokens(s, content, tokens, err);
	return status == STATUS_OK && encoder ? store_encoded(s, content, encoder, embedding, err) : status;
}

/* --- rows --- */

/* Keywords become one text, and so do the parts of a place: alone they say little, and a search compares whole texts. */
static bool is_joined(enum probe_text kind)
{
	return kind == PROBE_KEYWORDS || kind == PROBE_PLACE;
}

static void join(const struct buffer *texts, struct buffer *joined)
{
	for (size_t at = 0; at < texts->size; at += strlen(texts->data + at) + 1) {
		buffer_text(joined, joined->size ? ", " : "");
		buffer_text(joined, texts->data + at);
	}
}

static enum status store_facts(struct rows *s, const struct job *job, const struct photo *photo, int64_t stamp, bool failed,
			       struct err *err)
{
	enum { MOST = 64 };
	const struct probe *probe = &job->probe;
	struct catalog_fact facts[MOST];
	struct buffer joined[PROBE_TEXTS] = {{0}};
	size_t n = 0;
	enum status status = STATUS_OK;

	for (enum probe_text kind = 0; kind < PROBE_TEXTS && !failed && status == STATUS_OK; kind++) {
		const struct buffer *texts = is_joined(kind) ? &joined[kind] : &probe->texts[kind];
		if (is_joined(kind))
			join(&probe->texts[kind], &joined[kind]);
		if (joined[kind].failed)
			status = err_memory(err, "keywords");
		for (size_t at = 0; at < texts->size && n < MOST && status == STATUS_OK; n++) {
			const char *text = texts->data + at;
			facts[n] = (struct catalog_fact){probe_collection(kind), text, strlen(text)};
			at += facts[n].text_size + 1;
		}
	}
	if (status == STATUS_OK)
		status = catalog_facts_put(s->in->catalog, photo->id, photo->content, stamp, facts, n, err);
	for (enum probe_text kind = 0; kind < PROBE_TEXTS; kind++)
		buffer_release(&joined[kind]);
	return status;
}

enum status rows_photo(struct rows *s, const struct ingest_item *item, const struct job *job, int64_t content, bool failed,
		       struct err *err)
{
	const struct walk_photo *walked = item->photo;
	const struct probe *probe = &job->probe;
	struct photo photo = {
		.root = item->root,
		.path = job->path,
		.path_size = walked->path_size,
		.size = job->hashed ? job->size : walked->size,
		.mtime_ns = job->hashed ? job->mtime_ns : walked->mtime_ns,
		.ctime_ns = job->hashed ? job->ctime_ns : walked->ctime_ns,
		.content = content,
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
	enum status status = catalog_photo_put(s->in->catalog, &photo, err);
	if (status == STATUS_OK)
		status = store_facts(s, job, &photo, item->facts, failed, err);
	/* The next run would find it unchanged. */
	if (status == STATUS_OK && item->folder && photo.content && photo.size == walked->size &&
	    photo.mtime_ns == walked->mtime_ns && photo.ctime_ns == walked->ctime_ns)
		item->folder->unsettled--;
	return status;
}

enum status rows_vanished(struct rows *s, const struct ingest_item *item, struct err *err)
{
	if (!item->known || item->stamp.gone_since)
		return STATUS_OK;
	s->in->counts->gone++;
	int64_t now = time(NULL);
	return catalog_photo_gone(s->in->catalog, item->stamp.id, now > 0 ? now : 1, err);
}

/* --- set-up --- */

enum status rows_open(struct rows *s, const struct ingest *in, bool *encoder, struct err *err)
{
	const struct config *config = coca_config(in->coca);
	const size_t budget = in->options->encoder_budget;
	size_t left;

	*s = (struct rows){
		.in = in,
		.E = config->embed_dim,
		.N = config->image_tokens,
		.W = vision_token_width(config),
		.M = vision_encoder_tokens(config),
		.D = config->vision.width,
		.committed = clock_now(),
	};
	*encoder = false;
	enum status status = heads_open(in->catalog, in->model->id, s->M, &s->heads, err);

	/* A smaller budget than before is kept to at once. */
	if (status == STATUS_OK)
		status = catalog_encoder_trim(in->catalog, budget, &left, err);
	if (status == STATUS_OK)
		status = catalog_encoder_room(in->catalog, budget, &s->encoder_room, err);
	if (status != STATUS_OK)
		return status;
	*encoder = s->heads || s->encoder_room >= packed_tokens_size(s->M, s->D);
	s->rounded = mem_floats(mem_product(s->M, s->D));
	return s->rounded ? STATUS_OK : err_memory(err, "tokens");
}

void rows_release(struct rows *s)
{
	if (s->begun)
		catalog_rollback(s->in->catalog);
	free(s->rounded);
	heads_close(s->heads);
}
