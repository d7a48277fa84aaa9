/* block.c: see block.h. */
#include "model/net/block.h"

#include <string.h>

#include "schema/base/memory.h"

#include "schema/base/banned.h"

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

void block_carve(struct carver *carver, struct block_scratch *scratch, const struct tower *tower, bool quick, size_t rows,
		 size_t sequences, size_t keys_most, int threads)
{
	size_t D = tower->width;

	*scratch = (struct block_scratch){.width = D, .heads = tower->heads, .hidden = tower->hidden, .quick = quick};
	scratch->normed = carve_floats(carver, rows, D);
	scratch->wide = carve_floats(carver, rows, larger(mem_product(3, D), tower->hidden));
	if (tower->layer_scale)
		scratch->branch = carve_floats(carver, rows, D);
	scratch->scores = carve_floats(carver, op_attention_scratch(keys_most, threads), 1);
	scratch->jobs = carve(carver, sequences, sizeof *scratch->jobs);
	int8_carve(carver, &scratch->rows, rows, larger(D, tower->hidden));
}

/* Rows of the MLP that go through both maps before the next ones, so that what is between them stays in the second cache. */
enum { MLP_ROWS = 64, MLP_ROWS_STEP = 8 };

static void mlp_int8(const struct block *block, const struct int8_block *int8, struct block_scratch *scratch, size_t rows, float *x)
{
	size_t D = scratch->width, F = scratch->hidden, pieces = (rows + MLP_ROWS - 1) / MLP_ROWS;
	size_t piece = pieces ? (rows / pieces + MLP_ROWS_STEP) / MLP_ROWS_STEP * MLP_ROWS_STEP : 0;

	for (size_t at = 0; at < rows; at += piece) {
		size_t n = rows - at < piece ? rows - at : piece;
		int8_norm(&block->ln_2, x + at * D, n, D, &scratch->rows);
		int8_linear(&int8->fc, &scratch->rows, n, false, scratch->wide, F);
		int8_gelu(scratch->wide, n, F, scratch->quick, &scratch->rows);
		int8_linear(&int8->proj, &scratch->rows, n, true, x + at * D, D);
	}
}

void block_finish(const struct block *block, const struct int8_block *int8, struct block_scratch *scratch, const float *attended,
		  size_t rows, float *x)
{
	size_t D = scratch->width, F = scratch->hidden;
	struct linear out = {block->attn.out_weight, block->attn.out_bias, D, D, false};
	struct linear fc = {block->fc_weight, block->fc_bias, D, F, false};
	struct linear proj = {block->proj_weight, block->proj_bias, F, D, false};

	if (int8) {
		int8_quantise(attended, rows, D, &scratch->rows);
		int8_linear(&int8->out, &scratch->rows, rows, true, x, D);
		mlp_int8(block, int8, scratch, rows, x);
		return;
	}
	op_linear_add(&out, attended, rows, block->ls_1, scratch->branch, x);
	op_norm(&block->ln_2, x, rows, D, scratch->normed);
	op_linear_gelu(&fc, scratch->normed, rows, scratch->quick, scratch->wide);
	op_linear_add(&proj, scratch->wide, rows, block->ls_2, scratch->branch, x);
}

void block_self(const struct block *block, const struct int8_block *int8, struct block_scratch *scratch, const struct pack *pack, float *x)
{
	size_t D = scratch->width, rows = pack->begin[pack->count];
	struct linear qkv = {block->attn.in_weight, block->attn.in_bias, D, 3 * D, false};
	struct attend_shape shape = {scratch->heads, D, 3 * D, 3 * D, D, pack->causal};

	if (int8) {
		int8_norm(&block->ln_1, x, rows, D, &scratch->rows);
		int8_linear(&int8->qkv, &scratch->rows, rows, false, scratch->wide, 3 * D);
	} else {
		op_norm(&block->ln_1, x, rows, D, scratch->normed);
		op_linear(&qkv, scratch->normed, rows, scratch->wide);
	}
	for (size_t i = 0; i < pack->count; i++) {
		size_t at = pack->begin[i], n = pack->begin[i + 1] - at;
		const float *q = scratch->wide + at * 3 * D;
		const uint8_t *visible = pack->visible ? pack->visible + at : NULL;
		scratch->jobs[i] = (struct attend){q, q + D, q + 2 * D, visible, scratch->normed + at * D, n, n};
	}
	op_attention(&shape, scratch->jobs, pack->count, scratch->scores);
	block_finish(block, int8, scratch, scratch->normed, rows, x);
}

void block_self_last(const struct block *block, struct block_scratch *scratch, const struct pack *pack, const float *x, float *last)
{
	size_t D = scratch->width, rows = pack->begin[pack->count];
	float *kv = scratch->wide, *q = scratch->wide + rows * 2 * D;
	struct linear query = {block->attn.q_weight, block->attn.in_bias, D, D, false};
	struct attend_shape shape = {scratch->heads, D, D, 2 * D, D, false};

	op_norm(&block->ln_1, x, rows, D, scratch->normed);
	attention_keys(&block->attn, D, D, scratch->normed, rows, kv);
	/* Sequences have one row at least, so row i is not read after it was written. */
	for (size_t i = 0; i < pack->count; i++) {
		size_t at = pack->begin[i + 1] - 1;
		memcpy(last + i * D, x + at * D, D * sizeof *last);
		memmove(scratch->normed + i * D, scratch->normed + at * D, D * sizeof *last);
	}
	op_linear(&query, scratch->normed, pack->count, q);
	for (size_t i = 0; i < pack->count; i++) {
		size_t at = pack->begin[i], n = pack->begin[i + 1] - at;
		const uint8_t *visible = pack->visible ? pack->visible + at : NULL;
		scratch->jobs[i] = (struct attend){q + i * D, kv + at * 2 * D, kv + at * 2 * D + D, visible, scratch->normed + i * D, 1, n};
	}
	op_attention(&shape, scratch->jobs, pack->count, scratch->scores);
	block_finish(block, NULL, scratch, scratch->normed, pack->count, last);
}

void block_queries(const struct block *block, struct block_scratch *scratch, const float *x, size_t rows, float *q)
{
	size_t D = scratch->width;
	struct linear query = {block->attn.q_weight, block->attn.in_bias, D, D, false};

	op_norm(&block->ln_1, x, rows, D, scratch->normed);
	op_linear(&query, scratch->normed, rows, q);
}

void attention_keys(const struct attention *attention, size_t D, size_t from, const float *x, size_t rows, float *kv)
{
	struct linear keys = {attention->k_weight, attention->in_bias + D, from, D, false};
	struct linear values = {attention->v_weight, attention->in_bias + 2 * D, from, D, false};

	op_linear_into(&keys, x, rows, kv, 2 * D);
	op_linear_into(&values, x, rows, kv + D, 2 * D);
}
