/* decoder_int8.c: see decoder_int8.h. A stored matrix is one or several of memory, its slices, which are made in parallel. */
#include "model/net/decoder_int8.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/net/int8_stored.h"
#include "model/math/ops.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* Of a layer. */
enum kind { SELF_QKV, SELF_OUT, SELF_FC, SELF_PROJ, CROSS_Q, CROSS_OUT, CROSS_FC, CROSS_PROJ, KINDS, VOCABULARY };

struct source {
	enum kind kind;
	size_t layer;
	size_t slices, slice_rows;   /* the last slice may be shorter */
	struct decoder_matrix matrix;
};

size_t decoder_int8_count(const struct config *config)
{
	return config->decoder.layers * KINDS + 1;
}

static size_t vocabulary_blocks(const struct config *config)
{
	return (config->vocab_size + VOCABULARY_BLOCK - 1) / VOCABULARY_BLOCK;
}

static struct source source_at(const struct config *config, size_t i)
{
	static const char *const names[KINDS] = {"resblocks.%zu.qkv",  "resblocks.%zu.out",  "resblocks.%zu.fc",    "resblocks.%zu.proj",
						 "cross_attn.%zu.q",   "cross_attn.%zu.out", "cross_attn.%zu.fc",   "cross_attn.%zu.proj"};
	size_t W = config->decoder.width, F = config->decoder.hidden, V = config->vocab_size;
	const size_t rows[KINDS] = {3 * W, W, F, W, W, W, F, W};
	struct source s = {.kind = i < config->decoder.layers * KINDS ? (enum kind)(i % KINDS) : VOCABULARY, .layer = i / KINDS};
	char name[sizeof s.matrix.name - 24] = "vocabulary";

	s.matrix.rows = s.slice_rows = s.kind == VOCABULARY ? V : rows[s.kind];
	s.matrix.columns = W;
	if (s.kind == SELF_PROJ || s.kind == CROSS_PROJ)
		s.matrix.columns = F;
	if (s.kind == VOCABULARY)
		s.slice_rows = VOCABULARY_BLOCK;
	else
		snprintf(name, sizeof name, names[s.kind], s.layer);
	s.slices = (s.matrix.rows + s.slice_rows - 1) / s.slice_rows;
	snprintf(s.matrix.name, sizeof s.matrix.name, DECODER_INT8_PREFIX "text_decoder.%s", name);
	return s;
}

struct decoder_matrix decoder_int8_matrix(const struct config *config, size_t i)
{
	return source_at(config, i).matrix;
}

/* ---- what a slice is made of: weights as they are, or, of the vocabulary, transposed into buffer[VOCABULARY_BLOCK,W] --- */

static struct linear vocabulary_slice(const struct config *config, const float *proj, size_t from, bool stored, float *buffer)
{
	size_t W = config->decoder.width, V = config->vocab_size, n = V - from < VOCABULARY_BLOCK ? V - from : VOCABULARY_BLOCK;

	for (size_t i = 0; i < W && !stored; i++)
		for (size_t o = 0; o < n; o++)
			buffer[o * W + i] = proj[i * V + from + o];
	return (struct linear){buffer, NULL, W, n, false};
}

/* The slice's map in floats, and what its outputs are multiplied by afterwards. stored: its weights are not asked for. */
static struct linear slice_map(const struct config *config, const struct weights *weights, const struct source *s, size_t slice,
			       bool stored, float *buffer, const float **gain)
{
	size_t W = config->decoder.width, F = config->decoder.hidden;
	const struct block *b = s->kind == VOCABULARY ? NULL : (s->kind < CROSS_Q ? weights->decoder : weights->cross) + s->layer;

	*gain = NULL;
	switch (s->kind) {
	case SELF_QKV:
		return (struct linear){b->attn.in_weight, b->attn.in_bias, W, 3 * W, false};
	case CROSS_Q:
		return (struct linear){b->attn.q_weight, b->attn.in_bias, W, W, false};
	case SELF_OUT:
	case CROSS_OUT:
		*gain = b->ls_1;
		return (struct linear){b->attn.out_weight, b->attn.out_bias, W, W, false};
	case SELF_FC:
	case CROSS_FC:
		return (struct linear){b->fc_weight, b->fc_bias, W, F, false};
	case SELF_PROJ:
	case CROSS_PROJ:
		*gain = b->ls_2;
		return (struct linear){b->proj_weight, b->proj_bias, F, W, false};
	default:
		return vocabulary_slice(config, weights->decoder_proj, slice * s->slice_rows, stored, buffer);
	}
}

enum status decoder_int8_codes(const struct config *config, const struct weights *weights, size_t i, int8_t *codes, float *scale,
			       struct err *err)
{
	struct source s = source_at(config, i);
	float *buffer = mem_floats(mem_product(VOCABULARY_BLOCK, config->decoder.width));
	const float *gain;

	if (!buffer)
		return err_memory(err, "8-bit weights");
	for (size_t slice = 0; slice < s.slices; slice++) {
		struct linear map = slice_map(config, weights, &s, slice, false, buffer, &gain);
		size_t from = slice * s.slice_rows;
		int8_weights(map.weight, map.out, map.in, INT8_PAIRS, codes + from * s.matrix.columns, scale + from);
	}
	free(buffer);
	return STATUS_OK;
}

/* ---- all of them -------------------------------------------------------------------------------------------------- */

struct making {
	const struct config *config;
	const struct weights *weights;
	const struct checkpoint *checkpoint;
	struct decoder_int8 *made;
	enum status status;
	struct err *err;
};

static struct int8_matrix *place(const struct making *m, const struct source *s, size_t slice)
{
	struct int8_block *block = (s->kind < CROSS_Q ? m->made->self : m->made->cross) + s->layer;

	switch (s->kind) {
	case SELF_QKV:
	case CROSS_Q:
		return &block->qkv;
	case SELF_OUT:
	case CROSS_OUT:
		return &block->out;
	case SELF_FC:
	case CROSS_FC:
		return &block->fc;
	case SELF_PROJ:
	case CROSS_PROJ:
		return &block->proj;
	default:
		return m->made->vocabulary + slice;
	}
}

static enum status make_slice(const struct making *m, const struct source *s, size_t slice, float *buffer, struct err *err)
{
	struct int8_matrix *matrix = place(m, s, slice);
	struct int8_stored stored;
	const float *gain;
	enum status status = int8_stored_find(m->checkpoint, s->matrix.name, s->matrix.rows, s->matrix.columns, &stored, err);

	if (status != STATUS_OK)
		return status;
	struct linear map = slice_map(m->config, m->weights, s, slice, stored.codes != NULL, buffer, &gain);
	return stored.codes ? int8_stored_pack(&stored, slice * s->slice_rows, &map, gain, matrix, err) :
			      int8_matrix_init(matrix, &map, INT8_PAIRS, gain, err);
}

/* One of all slices, counted through the matrices. */
static void make_one(struct making *m, size_t index, float *buffer)
{
	size_t i = 0, slice = index;
	struct err err;

	struct source s = source_at(m->config, 0);
	while (slice >= s.slices) {
		slice -= s.slices;
		s = source_at(m->config, ++i);
	}
	enum status status = make_slice(m, &s, slice, buffer, &err);
	if (status == STATUS_OK)
		return;
#pragma omp critical(decoder_int8_failed)
	{
		m->status = status;
		*m->err = err;
	}
}

static enum status make_all(struct making *m)
{
	int threads = op_threads();
	size_t size = mem_product(VOCABULARY_BLOCK, m->config->decoder.width), slices = 0;
	float *buffers = mem_floats(mem_product((size_t)threads, size));

	if (!buffers)
		return err_memory(m->err, "8-bit weights");
	for (size_t i = 0; i < decoder_int8_count(m->config); i++)
		slices += source_at(m->config, i).slices;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
	for (size_t index = 0; index < slices; index++)
		make_one(m, index, buffers + size * (size_t)omp_get_thread_num());
	free(buffers);
	return m->status;
}

static bool allocate(const struct config *config, struct decoder_int8 *made)
{
	size_t L = config->decoder.layers;

	made->self = mem_array(L, sizeof *made->self);
	made->cross = mem_array(L, sizeof *made->cross);
	made->vocabulary = mem_array(vocabulary_blocks(config), sizeof *made->vocabulary);
	return made->self && made->cross && made->vocabulary;
}

enum status decoder_int8_new(const struct config *config, const struct weights *weights, const struct checkpoint *checkpoint,
			     struct decoder_int8 **result, struct err *err)
{
	struct making m = {config, weights, checkpoint, mem_array(1, sizeof *m.made), STATUS_OK, err};
	enum status status = m.made && allocate(config, m.made) ? STATUS_OK : err_memory(err, "8-bit weights");

	*result = NULL;
	if (status == STATUS_OK)
		status = make_all(&m);
	if (status == STATUS_OK)
		*result = m.made;
	else
		decoder_int8_free(m.made, config);
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
