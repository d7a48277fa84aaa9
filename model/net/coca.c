/* coca.c: see coca.h: a model folder becomes a model, and its parts are made when they are first asked for. */
#include "model/net/coca.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "model/files/checkpoint.h"
#include "model/net/decoder_int8.h"
#include "model/net/vision.h"
#include "model/net/vision_int8.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

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
	struct made *made;
};

/* What is computed of the weights once for all calls: of the image encoder when the first image comes, as a search for words needs none of
 * it; of the decoder likewise. NULL: not yet. */
struct made {
	pthread_mutex_t lock;
	struct vision_int8 *vision;
	struct decoder_int8 *decoder;
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
	const char *mean = coca_metadata(model, INT8_COSINE_MEAN);

	return coca_holds_int8(model) || (mean && strtod(mean, NULL) >= INT8_COSINE_LEAST);
}

enum precision coca_precision_named(int number)
{
	return number < 0 ? PRECISION_AUTO : number == 0 ? PRECISION_FP32 : PRECISION_INT8;
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

enum status coca_vision_int8(const struct coca *model, const struct vision_int8 **int8, struct err *err)
{
	struct made *made = model->made;
	enum status status = STATUS_OK;

	*int8 = NULL;
	if (model->precision != PRECISION_INT8)
		return STATUS_OK;
	pthread_mutex_lock(&made->lock);
	if (!made->vision)
		status = vision_int8_new(&model->config, coca_weights_of(model, WEIGHTS_IMAGE), model->checkpoint, &made->vision, err);
	*int8 = made->vision;
	pthread_mutex_unlock(&made->lock);
	return status;
}

enum status coca_decoder_int8(const struct coca *model, const struct decoder_int8 **int8, struct err *err)
{
	struct made *made = model->made;
	enum status status = STATUS_OK;

	*int8 = NULL;
	if (model->precision != PRECISION_INT8)
		return STATUS_OK;
	pthread_mutex_lock(&made->lock);
	if (!made->decoder)
		status = decoder_int8_new(&model->config, coca_weights_of(model, WEIGHTS_DECODER), model->checkpoint, &made->decoder, err);
	*int8 = made->decoder;
	pthread_mutex_unlock(&made->lock);
	return status;
}

enum status coca_pool_queries(const struct coca *model, const float **queries, struct err *err)
{
	struct made *made = model->made;
	enum status status = STATUS_OK;

	pthread_mutex_lock(&made->lock);
	if (!made->pool_queries)
		status = vision_queries_new(&model->config, coca_weights_of(model, WEIGHTS_IMAGE), &made->pool_queries, err);
	*queries = made->pool_queries;
	pthread_mutex_unlock(&made->lock);
	return status;
}

/* ---- open and close ----------------------------------------------------------------------------------------------- */

enum status coca_open(const char *path, struct coca **result, struct err *err)
{
	struct coca *model = mem_array(1, sizeof *model);
	char *folder = NULL;
	enum status status;

	*result = NULL;
	if (!model)
		return err_memory(err, "a model");
	model->made = mem_array(1, sizeof *model->made);
	if (!model->made) {
		free(model);
		return err_memory(err, "a model");
	}
	pthread_mutex_init(&model->made->lock, NULL);
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
		coca_set_precision(model, PRECISION_AUTO);
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
	vision_int8_free(model->made->vision, &model->config);
	decoder_int8_free(model->made->decoder, &model->config);
	free(model->made->pool_queries);
	pthread_mutex_destroy(&model->made->lock);
	free(model->made);
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
