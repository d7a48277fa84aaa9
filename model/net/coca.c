/* coca.c: a model folder becomes a model; batches of images and texts go through the towers. See coca.h and scratch.h. */
#include "model/net/coca.h"

#include <errno.h>
#include <math.h>
#include <omp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "model/files/checkpoint.h"
#include "model/net/decoder_int8.h"
#include "model/math/ops.h"
#include "model/net/quantize.h"
#include "model/net/scratch.h"
#include "model/net/text.h"
#include "model/net/vision.h"
#include "model/net/vision_int8.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* Rows of a piece: enough that a matrix product is efficient, few enough that activations stay in the cache. */
enum { ROWS_MOST = 512 };

static const char config_name[] = "open_clip_config.json";
static const char *const weights_names[] = {"open_clip_model.safetensors", "open_clip_pytorch_model.bin"};

struct coca {
	struct config config;
	struct weights weights;
	struct checkpoint *checkpoint;
	struct weights_storage *storage;
	struct tokenizer *tokenizer;
	char *config_path, *weights_path;
	enum precision precision;    /* FP32 or INT8 */
	struct made_int8 *int8;
};

/* The image encoder's 8-bit weights, made when the first image comes: a search for words needs none; and the decoder's. */
struct made_int8 {
	pthread_mutex_t lock;
	struct vision_int8 *vision;  /* NULL: not yet */
	struct decoder_int8 *decoder;
};

struct coca_state {
	const struct coca *model;
	char *block;                 /* aligned to 64 */
	size_t size;
	float *pool_queries;
};

/* ---- a folder becomes a model ------------------------------------------------------------------------------------- */

/* The folder's weights by OpenCLIP's names; *path stays NULL if none is there. */
static enum status find_weights(const char *folder, char **path, struct err *err)
{
	for (size_t i = 0; i < sizeof weights_names / sizeof *weights_names; i++) {
		*path = path_join(folder, weights_names[i]);
		if (!*path)
			return err_memory(err, "a path");
		if (access(*path, F_OK) == 0)
			return STATUS_OK;
		free(*path);
		*path = NULL;
	}
	return err_set(err, STATUS_NOT_FOUND,
		       "the model folder '%s' has no weights: neither %s nor %s; hint: name a weights file of another name itself", folder,
		       weights_names[0], weights_names[1]);
}

/* Sets config_path and weights_path; *folder is the caller's to free. */
static enum status find_files(struct coca *model, const char *path, char **folder, struct err *err)
{
	struct stat st;
	enum status status = STATUS_OK;

	if (stat(path, &st) != 0)
		return err_set(err, errno == ENOENT || errno == ENOTDIR ? STATUS_NOT_FOUND : STATUS_IO, "cannot open the model '%s': %s",
			       path, strerror(errno));
	if (S_ISDIR(st.st_mode)) {
		*folder = mem_copy(path, strlen(path));
	} else {
		const char *slash = strrchr(path, '/');
		*folder = slash ? mem_copy(path, (size_t)(slash - path) + (slash == path)) : mem_copy(".", 1);
		model->weights_path = mem_copy(path, strlen(path));
	}
	model->config_path = *folder ? path_join(*folder, config_name) : NULL;
	if (!model->config_path || (!S_ISDIR(st.st_mode) && !model->weights_path))
		return err_memory(err, "a path");
	if (access(model->config_path, F_OK) != 0)
		return err_set(err, STATUS_NOT_FOUND, "the model folder '%s' has no %s", *folder, config_name);
	if (!model->weights_path)
		status = find_weights(*folder, &model->weights_path, err);
	return status;
}

static enum status open_tokenizer(struct coca *model, const char *folder, struct err *err)
{
	size_t V = model->config.vocab_size;
	enum status status = tokenizer_open(folder, V, &model->tokenizer, err);

	if (status == STATUS_NOT_FOUND) {
		model->tokenizer = NULL;
		return STATUS_OK;
	}
	if (status == STATUS_OK && tokenizer_vocab_size(model->tokenizer) != V)
		return err_set(err, STATUS_FORMAT,
			       "the tokenizer in '%s' has %zu ids, but the model's vocabulary has %zu; hint: it belongs to another model",
			       folder, tokenizer_vocab_size(model->tokenizer), V);
	return status;
}

/* ---- precision ---------------------------------------------------------------------------------------------------- */

static enum precision preferred = PRECISION_AUTO;

void coca_prefer(enum precision precision)
{
	preferred = precision;
}

/* Whether a tensor stands beside the weights it is made from. */
static bool is_beside(const struct tensor *t)
{
	return strncmp(t->name, DECODER_INT8_PREFIX, strlen(DECODER_INT8_PREFIX)) == 0;
}

bool coca_holds_int8(const struct coca *model)
{
	for (size_t i = 0; i < checkpoint_count(model->checkpoint); i++) {
		const struct tensor *t = checkpoint_at(model->checkpoint, i);
		if (t->dtype == DTYPE_I8 && !is_beside(t))
			return true;
	}
	return false;
}

bool coca_in_halves(const struct coca *model)
{
	for (size_t i = 0; i < checkpoint_count(model->checkpoint); i++) {
		const struct tensor *t = checkpoint_at(model->checkpoint, i);
		if (t->dtype != DTYPE_F16 && !is_beside(t))
			return false;
	}
	return true;
}

/* Made by coca model quantize: with 8-bit weights, or with the measure that says they cost next to nothing. */
static bool takes_int8(const struct coca *model)
{
	const char *mean = coca_metadata(model, QUANTIZE_MEAN);

	return coca_holds_int8(model) || (mean && strtod(mean, NULL) >= QUANTIZE_LEAST);
}

void coca_set_precision(struct coca *model, enum precision precision)
{
	if (precision == PRECISION_AUTO)
		precision = takes_int8(model) ? PRECISION_INT8 : PRECISION_FP32;
	model->precision = precision;
}

enum precision coca_precision(const struct coca *model)
{
	return model->precision;
}

/* *made: NULL if the precision is not 8 bits. */
static enum status prepare_int8(const struct coca *model, const struct vision_int8 **made, struct err *err)
{
	enum status status = STATUS_OK;

	*made = NULL;
	if (model->precision != PRECISION_INT8)
		return STATUS_OK;
	pthread_mutex_lock(&model->int8->lock);
	if (!model->int8->vision)
		status = vision_int8_new(&model->config, coca_weights_of(model, WEIGHTS_IMAGE), model->checkpoint, &model->int8->vision, err);
	*made = model->int8->vision;
	pthread_mutex_unlock(&model->int8->lock);
	return status;
}

enum status coca_decoder_int8(const struct coca *model, const struct decoder_int8 **made, struct err *err)
{
	enum status status = STATUS_OK;

	*made = NULL;
	if (model->precision != PRECISION_INT8)
		return STATUS_OK;
	pthread_mutex_lock(&model->int8->lock);
	if (!model->int8->decoder)
		status = decoder_int8_new(&model->config, coca_weights_of(model, WEIGHTS_DECODER), model->checkpoint,
					  &model->int8->decoder, err);
	*made = model->int8->decoder;
	pthread_mutex_unlock(&model->int8->lock);
	return status;
}

enum status coca_open(const char *path, struct coca **result, struct err *err)
{
	struct coca *model = mem_array(1, sizeof *model);
	char *folder = NULL;
	enum status status;

	*result = NULL;
	if (!model)
		return err_memory(err, "a model");
	model->int8 = mem_array(1, sizeof *model->int8);
	if (!model->int8) {
		free(model);
		return err_memory(err, "a model");
	}
	pthread_mutex_init(&model->int8->lock, NULL);
	status = find_files(model, path, &folder, err);
	if (status == STATUS_OK)
		status = config_read(model->config_path, &model->config, err);
	if (status == STATUS_OK)
		status = weights_init(&model->weights, &model->config, err);
	if (status == STATUS_OK)
		status = checkpoint_open(model->weights_path, &model->checkpoint, err);
	if (status == STATUS_OK)
		status = weights_load(&model->weights, &model->config, model->checkpoint, &model->storage, err);
	if (status == STATUS_OK)
		status = open_tokenizer(model, folder, err);
	if (status == STATUS_OK) {
		coca_set_precision(model, preferred);
		*result = model;
	} else {
		coca_close(model);
	}
	free(folder);
	return status;
}

void coca_close(struct coca *model)
{
	if (!model)
		return;
	tokenizer_close(model->tokenizer);
	vision_int8_free(model->int8->vision, &model->config);
	decoder_int8_free(model->int8->decoder, &model->config);
	pthread_mutex_destroy(&model->int8->lock);
	free(model->int8);
	weights_release(&model->weights);
	weights_storage_free(model->storage);
	checkpoint_close(model->checkpoint);
	free(model->config_path);
	free(model->weights_path);
	free(model);
}

const struct config *coca_config(const struct coca *model)
{
	return &model->config;
}

const struct weights *coca_weights_of(const struct coca *model, enum weights_part part)
{
	if (part == WEIGHTS_DECODER)
		weights_make(model->storage, WEIGHTS_TEXT);
	weights_make(model->storage, part);
	return &model->weights;
}

bool coca_made(const struct coca *model, enum weights_part part)
{
	return weights_made(model->storage, part);
}

const struct weights *coca_weights(const struct coca *model)
{
	for (enum weights_part part = 0; part < WEIGHTS_PARTS; part++)
		weights_make(model->storage, part);
	return &model->weights;
}

const struct tokenizer *coca_tokenizer(const struct coca *model)
{
	return model->tokenizer;
}

float coca_logit_scale(const struct coca *model)
{
	return expf(*model->weights.logit_scale);
}

const char *coca_weights_path(const struct coca *model)
{
	return model->weights_path;
}

const char *coca_metadata(const struct coca *model, const char *key)
{
	return checkpoint_metadata(model->checkpoint, key);
}

static enum status digest_file(const char *path, char digest[33], struct err *err)
{
	struct file_map map = {0};
	enum status status = file_map_open(path, &map, err);

	if (status != STATUS_OK)
		return status;
	XXH128_hash_t hash = XXH3_128bits(map.data, map.size);
	snprintf(digest, 33, "%016llx%016llx", (unsigned long long)hash.high64, (unsigned long long)hash.low64);
	file_map_close(&map);
	return STATUS_OK;
}

enum status coca_digest(const struct coca *model, char config[33], char weights[33], struct err *err)
{
	enum status status = digest_file(model->config_path, config, err);

	return status == STATUS_OK ? digest_file(model->weights_path, weights, err) : status;
}

/* ---- state, and how work is split --------------------------------------------------------------------------------- */

struct coca_state *coca_state_new(const struct coca *model)
{
	struct coca_state *state = mem_array(1, sizeof *state);

	if (state)
		state->model = model;
	return state;
}

void coca_state_free(struct coca_state *state)
{
	if (!state)
		return;
	free(state->block);
	free(state->pool_queries);
	free(state);
}

char *state_scratch(struct coca_state *state, size_t size, size_t lanes, size_t *stride)
{
	/* An odd number of cache lines apart, so that threads at the same step do not share cache sets. */
	size_t total = size < SIZE_MAX / 2 ? mem_product(size / 64 * 64 + 64, lanes) : SIZE_MAX;

	*stride = size / 64 * 64 + 64;
	if (total > state->size || !state->block) {
		free(state->block);
		state->block = (char *)mem_floats(total / sizeof(float));
		state->size = state->block ? total : 0;
	}
	return state->block;
}

/* The poolers' queries do not depend on the image: computed at the first batch. */
static enum status prepare_queries(struct coca_state *state, struct err *err)
{
	const struct coca *model = state->model;
	enum status status = STATUS_OK;

	if (state->pool_queries)
		return STATUS_OK;
	state->pool_queries = mem_floats(vision_queries_size(&model->config));
	status = state->pool_queries ? vision_queries(&model->config, coca_weights_of(model, WEIGHTS_IMAGE), state->pool_queries, err) :
				       err_memory(err, "the pooler's queries");
	if (status != STATUS_OK) {
		free(state->pool_queries);
		state->pool_queries = NULL;
	}
	return status;
}

struct split split_work(size_t items, size_t cost, size_t most)
{
	size_t threads = (size_t)op_threads();
	size_t pieces = cost / most + (cost % most > 0);

	if (items < threads || threads == 1)
		return (struct split){items < pieces ? items : pieces ? pieces : 1, 1, (int)threads};
	pieces = pieces ? (pieces + threads - 1) / threads * threads : threads;
	return (struct split){pieces < items ? pieces : items, threads, 1};
}

void split_run(const struct split *split, void (*work)(void *context, size_t piece, size_t lane), void *context)
{
	/* Not a region of one thread: OpenMP would take the operations' own regions inside for nested ones, and make and end threads for
	 * each of them. */
	if (split->lanes == 1) {
		for (size_t p = 0; p < split->pieces; p++)
			work(context, p, 0);
		return;
	}
#pragma omp parallel for schedule(dynamic, 1) num_threads((int)split->lanes)
	for (size_t p = 0; p < split->pieces; p++)
		work(context, p, (size_t)omp_get_thread_num());
}

void split_cut(const size_t *cost, size_t items, size_t pieces, size_t *cuts)
{
	size_t total = 0, sum = 0, piece = 0;

	for (size_t i = 0; i < items; i++)
		total += cost[i];
	for (size_t i = 0; i < items; i++) {
		/* The next piece begins here if what lies before it is its predecessors' share. */
		while (piece < pieces && sum * pieces >= total * piece)
			cuts[piece++] = i;
		sum += cost[i];
	}
	while (piece <= pieces)
		cuts[piece++] = items;
}

/* ---- checks ------------------------------------------------------------------------------------------------------- */

enum status coca_check_texts(const struct coca *model, const struct coca_text *texts, size_t T, struct err *err)
{
	for (size_t i = 0; i < T; i++) {
		if (texts[i].count < 1 || texts[i].count > model->config.context_length)
			return err_set(err, STATUS_FORMAT, "text %zu has %zu ids, but the model takes 1 to %zu", i, texts[i].count,
				       model->config.context_length);
		for (size_t t = 0; t < texts[i].count; t++)
			if (texts[i].ids[t] < 0 || (size_t)texts[i].ids[t] >= model->config.vocab_size)
				return err_set(err, STATUS_FORMAT, "text %zu holds the id %d, but the model's vocabulary has %zu", i,
					       (int)texts[i].ids[t], model->config.vocab_size);
	}
	return STATUS_OK;
}

enum status coca_check_finite(const struct coca *model, const float *x, size_t n, const char *what, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		if (!isfinite(x[i]))
			return err_set(err, STATUS_FORMAT,
				       "the weights '%s' yield %s that is not a finite number; hint: the file is damaged",
				       model->weights_path, what);
	return STATUS_OK;
}

/* x / max(|x|, 1e-12) for each row, as torch's normalize does. */
static void normalise(float *x, size_t rows, size_t E)
{
	for (size_t r = 0; r < rows; r++) {
		float *row = x + r * E;
		double length = 0;
		for (size_t i = 0; i < E; i++)
			length += (double)row[i] * (double)row[i];
		length = sqrt(length);
		for (size_t i = 0; i < E; i++)
			row[i] = (float)((double)row[i] / (length > 1e-12 ? length : 1e-12));
	}
}

/* ---- images ------------------------------------------------------------------------------------------------------- */

enum status coca_encode_images(const struct coca *model, struct coca_state *state, const float *pixels, size_t B, float *features,
			       float *tokens, struct err *err)
{
	return coca_encode_tokens(model, state, pixels, B, features, tokens, NULL, err);
}

struct image_job {
	const struct coca *model;
	const struct vision_int8 *int8;
	const float *queries;
	const struct split *split;
	size_t B, stride;
	char *scratch;
	const float *pixels;
	float *features, *tokens, *encoder_tokens;
};

static void encode_piece(void *context, size_t piece, size_t lane)
{
	const struct image_job *job = context;
	const struct config *config = &job->model->config;
	size_t from = job->B * piece / job->split->pieces, to = job->B * (piece + 1) / job->split->pieces;
	size_t tokens = from * config->image_tokens * vision_token_width(config);
	size_t encoder_tokens = from * vision_encoder_tokens(config) * config->vision.width;

	vision_forward(config, &job->model->weights, job->int8, job->queries,
		       job->pixels + from * 3 * config->image_size * config->image_size, to - from, job->split->threads,
		       job->scratch + job->stride * lane, job->features + from * config->embed_dim,
		       job->tokens ? job->tokens + tokens : NULL, job->encoder_tokens ? job->encoder_tokens + encoder_tokens : NULL);
}

enum status coca_encode_tokens(const struct coca *model, struct coca_state *state, const float *pixels, size_t B, float *features,
			       float *tokens, float *encoder_tokens, struct err *err)
{
	const struct config *config = &model->config;
	const struct vision_int8 *int8 = NULL;
	size_t E = config->embed_dim, stride;
	weights_make(model->storage, WEIGHTS_IMAGE);
	enum status status = prepare_queries(state, err);
	if (status == STATUS_OK)
		status = prepare_int8(model, &int8, err);
	if (status != STATUS_OK || B == 0)
		return status;
	struct split split = split_work(B, B * (1 + config->patches), ROWS_MOST);
	size_t most = B / split.pieces + (B % split.pieces > 0);
	char *scratch = state_scratch(state, vision_scratch(config, most, split.threads), split.lanes, &stride);
	if (!scratch)
		return err_memory(err, "the image encoder's activations");
	struct image_job job = {model, int8, state->pool_queries, &split, B, stride, scratch, pixels, features, tokens, encoder_tokens};
	split_run(&split, encode_piece, &job);
	status = coca_check_finite(model, features, B * E, "an image's embedding", err);
	if (status == STATUS_OK)
		normalise(features, B, E);
	return status;
}

/* ---- texts -------------------------------------------------------------------------------------------------------- */

/* Where the texts are cut into pieces, and where their tokens go. */
struct text_plan {
	size_t *rows;     /* [T] */
	size_t *cuts;     /* [pieces+1] */
	size_t *first;    /* [T+1]: ids before each text */
	size_t rows_most, texts_most; /* of a piece */
};

static enum status plan_texts(const struct coca *model, const struct coca_text *texts, size_t T, struct split *split,
			      struct text_plan *plan, struct err *err)
{
	size_t total = 0;

	plan->rows = mem_array(T, sizeof *plan->rows);
	plan->first = mem_array(T + 1, sizeof *plan->first);
	if (!plan->rows || !plan->first)
		return err_memory(err, "a batch of texts");
	for (size_t i = 0; i < T; i++) {
		total += plan->rows[i] = text_rows(&model->config, texts[i].count);
		plan->first[i + 1] = plan->first[i] + texts[i].count;
	}
	*split = split_work(T, total, ROWS_MOST);
	plan->cuts = mem_array(split->pieces + 1, sizeof *plan->cuts);
	if (!plan->cuts)
		return err_memory(err, "a batch of texts");
	split_cut(plan->rows, T, split->pieces, plan->cuts);
	for (size_t p = 0; p < split->pieces; p++) {
		size_t rows = 0, count = plan->cuts[p + 1] - plan->cuts[p];
		for (size_t i = plan->cuts[p]; i < plan->cuts[p + 1]; i++)
			rows += plan->rows[i];
		plan->rows_most = rows > plan->rows_most ? rows : plan->rows_most;
		plan->texts_most = count > plan->texts_most ? count : plan->texts_most;
	}
	return STATUS_OK;
}

struct text_job {
	const struct coca *model;
	const struct coca_text *texts;
	const struct text_plan *plan;
	const struct split *split;
	size_t stride;
	char *scratch;
	float *features, *tokens;
};

static void text_piece(void *context, size_t piece, size_t lane)
{
	const struct text_job *job = context;
	const struct config *config = &job->model->config;
	size_t from = job->plan->cuts[piece], to = job->plan->cuts[piece + 1];

	if (from < to)
		text_forward(config, &job->model->weights, job->texts + from, to - from, job->split->threads,
			     job->scratch + job->stride * lane, job->features + from * config->embed_dim,
			     job->tokens ? job->tokens + job->plan->first[from] * config->text.width : NULL);
}

enum status coca_encode_texts(const struct coca *model, struct coca_state *state, const struct coca_text *texts, size_t T,
			      float *features, float *tokens, struct err *err)
{
	const struct config *config = &model->config;
	size_t E = config->embed_dim, stride;
	struct text_plan plan = {0};
	struct split split;
	char *scratch;
	enum status status = coca_check_texts(model, texts, T, err);

	if (status != STATUS_OK || T == 0)
		return status;
	weights_make(model->storage, WEIGHTS_TEXT);
	status = plan_texts(model, texts, T, &split, &plan, err);
	if (status != STATUS_OK)
		goto out;
	scratch = state_scratch(state, text_scratch(config, plan.rows_most, plan.texts_most, split.threads), split.lanes, &stride);
	if (!scratch) {
		status = err_memory(err, "the text tower's activations");
		goto out;
	}
	struct text_job job = {model, texts, &plan, &split, stride, scratch, features, tokens};
	split_run(&split, text_piece, &job);
	status = coca_check_finite(model, features, T * E, "a text's embedding", err);
	if (status == STATUS_OK)
		normalise(features, T, E);
out:
	free(plan.rows);
	free(plan.first);
	free(plan.cuts);
	return status;
}

size_t coca_counted(const struct coca *model, struct coca_text text)
{
	size_t counted = 0;

	for (size_t i = 1; i < text.count; i++)
		counted += text.ids[i] != model->config.pad_id;
	return counted;
}
