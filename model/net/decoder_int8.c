/* decoder_int8.c: see decoder_int8.h. */
#include "model/net/decoder_int8.h"

#include <stdio.h>
#include <stdlib.h>

#include "model/net/int8_stored.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

#define TEXT_DECODER DECODER_INT8_PREFIX "text_decoder."

static const char vocabulary_name[] = TEXT_DECODER "vocabulary";
/* Of self blocks, of cross blocks. */
static const char *const prefixes[2] = {TEXT_DECODER "resblocks", TEXT_DECODER "cross_attn"};
static const char *const names[2][INT8_BLOCK_MAPS] = {{"qkv", "out", "fc", "proj"}, {"q", "out", "fc", "proj"}};

static size_t at_most(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Ids from..from+VOCABULARY_BLOCK-1 as a map from W: buffer[VOCABULARY_BLOCK,W] becomes its weights, turned over. */
static struct linear vocabulary_map(const struct config *config, const float *proj, size_t from, float *buffer)
{
	size_t W = config->decoder.width, V = config->vocab_size, n = at_most(VOCABULARY_BLOCK, V - from);

	for (size_t i = 0; i < W; i++)
		for (size_t o = 0; o < n; o++)
			buffer[o * W + i] = proj[i * V + from + o];
	return (struct linear){buffer, NULL, W, n, false};
}

/* ---- as they are stored: layer by layer the self block's, the cross block's; then the vocabulary ------------------ */

size_t decoder_int8_count(const struct config *config)
{
	return config->decoder.layers * 2 * INT8_BLOCK_MAPS + 1;
}

struct decoder_matrix decoder_int8_matrix(const struct config *config, const struct weights *weights, size_t i)
{
	struct decoder_matrix matrix = {.map = {NULL, NULL, config->decoder.width, config->vocab_size, false}};
	size_t layer = i / (2 * INT8_BLOCK_MAPS);
	bool cross = i / INT8_BLOCK_MAPS % 2;
	struct linear maps[INT8_BLOCK_MAPS];

	if (layer == config->decoder.layers) {
		snprintf(matrix.name, sizeof matrix.name, "%s", vocabulary_name);
		return matrix;
	}
	int8_block_maps((cross ? weights->cross : weights->decoder) + layer, &config->decoder, cross, maps);
	matrix.map = maps[i % INT8_BLOCK_MAPS];
	snprintf(matrix.name, sizeof matrix.name, "%s.%zu.%s", prefixes[cross], layer, names[cross][i % INT8_BLOCK_MAPS]);
	return matrix;
}

enum status decoder_int8_codes(const struct config *config, const struct weights *weights, const struct decoder_matrix *matrix,
			       int8_t *codes, float *scale, struct err *err)
{
	size_t W = config->decoder.width;

	if (matrix->map.weight) {
		int8_weights(matrix->map.weight, matrix->map.out, matrix->map.in, INT8_PAIRS, codes, scale);
		return STATUS_OK;
	}
	float *buffer = mem_floats(mem_product(VOCABULARY_BLOCK, W));
	if (!buffer)
		return err_memory(err, "8-bit weights");
	for (size_t from = 0; from < config->vocab_size; from += VOCABULARY_BLOCK) {
		struct linear map = vocabulary_map(config, weights->decoder_proj, from, buffer);
		int8_weights(map.weight, map.out, W, INT8_PAIRS, codes + from * W, scale + from);
	}
	free(buffer);
	return STATUS_OK;
}

/* ---- as they are used --------------------------------------------------------------------------------------------- */

static size_t vocabulary_blocks(const struct config *config)
{
	return (config->vocab_size + VOCABULARY_BLOCK - 1) / VOCABULARY_BLOCK;
}

static enum status make_slice(const struct config *config, const struct weights *weights, const struct int8_stored *stored, size_t from,
			      struct int8_matrix *matrix, struct err *err)
{
	size_t W = config->decoder.width;
	struct linear map = {NULL, NULL, W, at_most(VOCABULARY_BLOCK, config->vocab_size - from), false};

	if (stored->codes)
		return int8_stored_pack(stored, from, &map, NULL, matrix, err);
	float *buffer = mem_floats(mem_product(map.out, W));
	if (!buffer)
		return err_memory(err, "8-bit weights");
	map = vocabulary_map(config, weights->decoder_proj, from, buffer);
	enum status status = int8_matrix_init(matrix, &map, INT8_PAIRS, NULL, err);
	free(buffer);
	return status;
}

static enum status make_vocabulary(const struct config *config, const struct weights *weights, const struct checkpoint *checkpoint,
				   struct decoder_int8 *made, struct err *err)
{
	size_t blocks = vocabulary_blocks(config);
	struct int8_stored stored;
	enum status status = int8_stored_find(checkpoint, vocabulary_name, config->vocab_size, config->decoder.width, &stored, err);

	made->vocabulary = mem_array(blocks, sizeof *made->vocabulary);
	if (status == STATUS_OK && !made->vocabulary)
		status = err_memory(err, "8-bit weights");
	if (status != STATUS_OK)
		return status;
#pragma omp parallel for schedule(dynamic, 1)
	for (size_t i = 0; i < blocks; i++) {
		struct err own;
		enum status one = make_slice(config, weights, &stored, i * VOCABULARY_BLOCK, made->vocabulary + i, &own);
		if (one == STATUS_OK)
			continue;
#pragma omp critical(decoder_int8_failed)
		{
			status = one;
			*err = own;
		}
	}
	return status;
}

enum status decoder_int8_new(const struct config *config, const struct weights *weights, const struct checkpoint *checkpoint,
			     struct decoder_int8 **result, struct err *err)
{
	const struct int8_tower self = {checkpoint, prefixes[0], names[0], weights->decoder, &config->decoder, false};
	const struct int8_tower cross = {checkpoint, prefixes[1], names[1], weights->cross, &config->decoder, true};
	struct decoder_int8 *made = mem_array(1, sizeof *made);
	enum status status = made ? STATUS_OK : err_memory(err, "8-bit weights");

	if (status == STATUS_OK)
		status = int8_tower_new(&self, &made->self, err);
	if (status == STATUS_OK)
		status = int8_tower_new(&cross, &made->cross, err);
	if (status == STATUS_OK)
		status = make_vocabulary(config, weights, checkpoint, made, err);
	if (status != STATUS_OK) {
		decoder_int8_free(made, config);
		made = NULL;
	}
	*result = made;
	return status;
}

void decoder_int8_free(struct decoder_int8 *made, const struct config *config)
{
	if (!made)
		return;
	for (size_t i = 0; made->vocabulary && i < vocabulary_blocks(config); i++)
		int8_matrix_release(made->vocabulary + i);
	free(made->vocabulary);
	int8_tower_free(made->self, &config->decoder);
	int8_tower_free(made->cross, &config->decoder);
	free(made);
}
