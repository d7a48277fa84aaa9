/* encode.c: see encode.h. */
#include "model/net/encode.h"

#include <stdlib.h>

#include "model/math/normalise.h"
#include "model/net/split.h"
#include "model/net/text.h"
#include "model/net/vision.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* Rows of a piece: enough that a matrix product is efficient, few enough that activations stay in the cache. */
enum { ROWS_MOST = 512 };

/* ---- images ------------------------------------------------------------------------------------------------------- */

enum status coca_encode_images(const struct coca *model, struct coca_scratch *scratch, const float *pixels, size_t B, float *features,
			       float *tokens, struct err *err)
{
	return coca_encode_tokens(model, scratch, pixels, B, features, tokens, NULL, err);
}

struct image_job {
	const struct coca *model;
	const struct weights *weights;
	const struct vision_int8 *int8;
	const float *queries;
	const struct split *split;
	size_t B, stride;
	char *memory;
	const float *pixels;
	float *features, *tokens, *encoder_tokens;
};

static void encode_piece(void *context, size_t piece, size_t lane)
{
	const struct image_job *job = context;
	const struct config *config = coca_config(job->model);
	size_t from = job->B * piece / job->split->pieces, to = job->B * (piece + 1) / job->split->pieces;
	size_t tokens = from * config->image_tokens * vision_token_width(config);
	size_t encoder_tokens = from * vision_encoder_tokens(config) * config->vision.width;

	vision_forward(config, job->weights, job->int8, job->queries,
		       job->pixels + from * 3 * config->image_size * config->image_size, to - from, job->split->threads,
		       job->memory + job->stride * lane, job->features + from * config->embed_dim,
		       job->tokens ? job->tokens + tokens : NULL, job->encoder_tokens ? job->encoder_tokens + encoder_tokens : NULL);
}

enum status coca_encode_tokens(const struct coca *model, struct coca_scratch *scratch, const float *pixels, size_t B, float *features,
			       float *tokens, float *encoder_tokens, struct err *err)
{
	const struct config *config = coca_config(model);
	const struct weights *weights = coca_weights_of(model, WEIGHTS_IMAGE);
	const struct vision_int8 *int8 = NULL;
	const float *queries;
	size_t E = config->embed_dim, stride;
	enum status status = coca_pool_queries(model, &queries, err);

	if (status == STATUS_OK)
		status = coca_vision_int8(model, &int8, err);
	if (status != STATUS_OK || B == 0)
		return status;
	struct split split = split_work(B, B * (1 + config->patches), ROWS_MOST);
	size_t most = B / split.pieces + (B % split.pieces > 0);
	char *memory = scratch_block(scratch, vision_scratch(config, most, split.threads), split.lanes, &stride);
	if (!memory)
		return err_memory(err, "the image encoder's activations");
	struct image_job job = {model, weights, int8, queries, &split, B, stride, memory, pixels, features, tokens, encoder_tokens};
	split_run(&split, encode_piece, &job);
	status = coca_check_finite(model, features, B * E, "an image's embedding", err);
	if (status == STATUS_OK)
		normalise_rows(features, B, E, features, NULL);
	return status;
}

/* ---- texts -------------------------------------------------------------------------------------------------------- */

struct text_job {
	const struct config *config;
	const struct weights *weights;
	const struct coca_text *texts;
	const size_t *first;    /* [T]: ids before each text */
	const struct split *split;
	size_t stride;
	char *memory;
	float *features, *tokens;
};

static void text_piece(void *context, size_t piece, size_t lane)
{
	const struct text_job *job = context;
	const struct config *config = job->config;
	size_t from = job->split->cuts[piece], to = job->split->cuts[piece + 1];

	if (from < to)
		text_forward(config, job->weights, job->texts + from, to - from, job->split->threads, job->memory + job->stride * lane,
			     job->features + from * config->embed_dim,
			     job->tokens ? job->tokens + job->first[from] * config->text.width : NULL);
}

enum status coca_encode_texts(const struct coca *model, struct coca_scratch *scratch, const struct coca_text *texts, size_t T,
			      float *features, float *tokens, struct err *err)
{
	const struct config *config = coca_config(model);
	size_t E = config->embed_dim, stride;
	struct split split = {0};
	enum status status = coca_check_texts(model, texts, T, err);

	if (status != STATUS_OK || T == 0)
		return status;
	size_t *rows = mem_array(T, sizeof *rows), *first = mem_array(T + 1, sizeof *first);
	for (size_t i = 0; rows && first && i < T; i++) {
		rows[i] = text_rows(config, texts[i].count);
		first[i + 1] = first[i] + texts[i].count;
	}
	status = rows && first ? split_by_cost(rows, T, ROWS_MOST, &split, err) : err_memory(err, "a batch of texts");
	if (status != STATUS_OK)
		goto out;
	char *memory = scratch_block(scratch, text_scratch(config, split.cost_most, split.items_most, split.threads), split.lanes, &stride);
	if (!memory) {
		status = err_memory(err, "the text tower's activations");
		goto out;
	}
	struct text_job job = {config, coca_weights_of(model, WEIGHTS_TEXT), texts, first, &split, stride, memory, features, tokens};
	split_run(&split, text_piece, &job);
	status = coca_check_finite(model, features, T * E, "a text's embedding", err);
	if (status == STATUS_OK)
		normalise_rows(features, T, E, features, NULL);
out:
	split_release(&split);
	free(rows);
	free(first);
	return status;
}
