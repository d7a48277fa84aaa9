/* decoder.c: see decoder.h. */
#include "model/net/decoder.h"

#include <math.h>
#include <string.h>

#include "model/net/block.h"
#include "model/net/decoder_int8.h"
#include "model/math/int8.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

struct work {
	float *x, *q;                /* [R,W] */
	size_t *begin;               /* [pairs+1] rows of a pair */
	struct cross cross;
	float *logits;               /* [R, VOCABULARY_BLOCK] */
	int32_t *next;               /* [R] of the rows that count */
	float **term;                /* [R] where their terms go */
	float *most, *wanted;        /* [R]: the largest logit so far, that of next */
	double *sum;                 /* [R] of exp(logit - most) */
	struct block_scratch block;
};

size_t decoder_begin_scratch(const struct config *config, size_t rows, size_t texts, int threads)
{
	struct carver carver = {0};
	struct block_scratch block;

	block_carve(&carver, &block, &config->decoder, config->quick_gelu, rows, texts, config->context_length, threads);
	return carver.used;
}

void decoder_begin(const struct config *config, const struct weights *weights, const size_t *begin, size_t texts, int threads,
		   void *scratch, float *x, float *q)
{
	struct carver carver = {scratch, 0};
	struct block_scratch block;
	struct pack pack = {begin, texts, NULL, true};

	block_carve(&carver, &block, &config->decoder, config->quick_gelu, begin[texts], texts, config->context_length, threads);
	block_self(weights->decoder, NULL, &block, &pack, x);
	block_queries(weights->cross, &block, x, begin[texts], q);
}

static size_t work_carve(const struct config *config, const struct decoder_size *size, int threads, void *base, struct work *work)
{
	struct carver carver = {base, 0};
	size_t W = config->decoder.width, rows = size->rows;
	size_t block = config->vocab_size < VOCABULARY_BLOCK ? config->vocab_size : VOCABULARY_BLOCK;

	work->x = carve_floats(&carver, rows, W);
	work->q = carve_floats(&carver, rows, W);
	work->begin = carve(&carver, size->pairs + 1, sizeof *work->begin);
	work->logits = carve_floats(&carver, rows, block);
	work->next = carve(&carver, rows, sizeof *work->next);
	work->term = carve(&carver, rows, sizeof *work->term);
	work->most = carve_floats(&carver, rows, 1);
	work->wanted = carve_floats(&carver, rows, 1);
	work->sum = carve(&carver, rows, sizeof *work->sum);
	block_carve(&carver, &work->block, &config->decoder, config->quick_gelu, rows, size->pairs, config->context_length, threads);
	cross_carve(&carver, &work->cross, config, size->form, size->stored, rows, size->images, threads);
	return carver.used;
}

size_t decoder_score_scratch(const struct config *config, const struct decoder_size *size, int threads)
{
	struct work work;

	return work_carve(config, size, threads, NULL, &work);
}

/* Copies the pairs' rows together and gives each image its own. */
static void gather(const struct decoder_pair *pairs, size_t n, size_t W, struct work *work)
{
	size_t images = 0, at = 0;

	for (size_t p = 0; p < n; p++) {
		if (p == 0 || pairs[p].image != pairs[p - 1].image) {
			work->cross.list[images].tokens = pairs[p].image;
			work->cross.list[images++].row = at;
		}
		work->cross.list[images - 1].rows += pairs[p].rows;
		work->begin[p] = at;
		memcpy(work->x + at * W, pairs[p].x, pairs[p].rows * W * sizeof *work->x);
		memcpy(work->q + at * W, pairs[p].q, pairs[p].rows * W * sizeof *work->q);
		at += pairs[p].rows;
	}
	work->begin[n] = at;
}

/* Moves the rows that count to the front of normed and returns how many there are. */
static size_t select_counted(const struct config *config, const struct decoder_pair *pairs, size_t n, struct work *work)
{
	size_t W = config->decoder.width, count = 0;
	float *normed = work->block.normed;

	for (size_t p = 0; p < n; p++)
		for (size_t i = 0; i < pairs[p].rows; i++) {
			pairs[p].terms[i] = 0;
			if (pairs[p].next[i] == config->pad_id)
				continue;
			work->next[count] = pairs[p].next[i];
			work->term[count] = pairs[p].terms + i;
			if (work->begin[p] + i != count)
				memcpy(normed + count * W, normed + (work->begin[p] + i) * W, W * sizeof *normed);
			count++;
		}
	return count;
}

/* The logits of next, in fp32. */
static void want(const struct weights *weights, const struct config *config, size_t counted, struct work *work)
{
	size_t W = config->decoder.width, V = config->vocab_size;

#pragma omp parallel for schedule(static) if (counted >= 64)
	for (size_t row = 0; row < counted; row++) {
		const float *x = work->block.normed + row * W, *column = weights->decoder_proj + work->next[row];
		double sum = 0;
		for (size_t i = 0; i < W; i++)
			sum += (double)x[i] * (double)column[i * V];
		work->wanted[row] = (float)sum;
	}
}

/* Takes the logits of ids from..to-1 into a row's running log-sum-exp. */
static void take(struct work *work, size_t row, size_t from, size_t to)
{
	float *logits = work->logits + row * (to - from);
	size_t next = (size_t)work->next[row];

	if (next >= from && next < to)
		logits[next - from] = work->wanted[row];
	float most = op_max(logits, to - from);
	if (most > work->most[row]) {
		work->sum[row] *= exp((double)(work->most[row] - most));
		work->most[row] = most;
	}
	work->sum[row] += op_sum_exp(logits, to - from, work->most[row]);
}

/* terms of the counted rows of normed[R,W]. The logits of a block of ids at a time, for all rows, are all that is ever held. */
static void log_softmax(const struct config *config, const struct weights *weights, const struct decoder_int8 *int8, size_t counted,
			struct work *work)
{
	size_t W = config->decoder.width, V = config->vocab_size;
	struct linear proj = {weights->decoder_proj, NULL, W, V, true};

	for (size_t row = 0; row < counted; row++) {
		work->most[row] = -INFINITY;
		work->sum[row] = 0;
	}
	want(weights, config, counted, work);
	if (int8)
		int8_quantise(work->block.normed, counted, W, &work->block.rows);
	for (size_t from = 0; from < V; from += VOCABULARY_BLOCK) {
		size_t to = V - from < VOCABULARY_BLOCK ? V : from + VOCABULARY_BLOCK;
		if (int8)
			int8_linear(int8->vocabulary + from / VOCABULARY_BLOCK, &work->block.rows, counted, false, work->logits, to - from);
		else
			op_linear_columns(&proj, work->block.normed, counted, from, to, work->logits);
#pragma omp parallel for schedule(static) if (counted >= 64)
		for (size_t row = 0; row < counted; row++)
			take(work, row, from, to);
	}
	for (size_t row = 0; row < counted; row++)
		*work->term[row] = (float)((double)work->wanted[row] - (double)work->most[row] - log(work->sum[row]));
}

static void queries(const struct block *block, const struct int8_block *int8, struct work *work, size_t rows)
{
	size_t W = work->block.width;

	if (!int8) {
		block_queries(block, &work->block, work->x, rows, work->q);
		return;
	}
	int8_norm(&block->ln_1, work->x, rows, W, &work->block.rows);
	int8_linear(&int8->qkv, &work->block.rows, rows, false, work->q, W);
}

void decoder_score(const struct config *config, const struct weights *weights, const struct decoder_pair *pairs,
		   const struct decoder_size *size, int threads, void *scratch)
{
	size_t W = config->decoder.width, n = size->pairs, rows = size->rows;
	struct work work;

	work_carve(config, size, threads, scratch, &work);
	gather(pairs, n, W, &work);
	cross_prepare(&work.cross);
	struct pack pack = {work.begin, n, NULL, true};
	for (size_t l = 0; l < config->decoder.layers; l++) {
		const struct block *cross = weights->cross + l;
		const struct int8_block *cross_int8 = size->int8 ? size->int8->cross + l : NULL;
		if (l > 0) {
			block_self(weights->decoder + l, size->int8 ? size->int8->self + l : NULL, &work.block, &pack, work.x);
			queries(cross, cross_int8, &work, rows);
		}
		cross_attend(&work.cross, cross, work.q, work.block.normed);
		block_finish(cross, cross_int8, &work.block, work.block.normed, rows, work.x);
	}
	op_norm(&weights->decoder_ln_final, work.x, rows, W, work.block.normed);
	log_softmax(config, weights, size->int8, select_counted(config, pairs, n, &work), &work);
}
