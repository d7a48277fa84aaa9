/* decoder.c: see decoder.h. */
#include "model/decoder.h"

#include <math.h>
#include <string.h>

#include "model/block.h"
#include "schema/memory.h"

#include "schema/banned.h"

/* Logits of a row that are held at once: a block of them times some hundred rows stays in the cache. */
enum { VOCABULARY_BLOCK = 1024 };

struct work {
	float *x, *q;                /* [R,W] */
	size_t *begin;               /* [pairs+1] rows of a pair */
	size_t *first;               /* [images+1] rows of an image's pairs */
	const float **tokens;        /* [images] */
	float *normed_tokens;        /* [images * N, W] */
	float *kv;                   /* [images * N, 2W] */
	float *logits;               /* [R, VOCABULARY_BLOCK] */
	int32_t *next;               /* [R] of the rows that count */
	float **term;                /* [R] where their terms go */
	float *most, *wanted;        /* [R] */
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
	block_self(weights->decoder, &block, &pack, x);
	block_queries(weights->cross, &block, x, begin[texts], q);
}

static size_t work_carve(const struct config *config, size_t rows, size_t pairs, size_t images, int threads, void *base, struct work *work)
{
	struct carver carver = {base, 0};
	size_t W = config->decoder.width, N = config->image_tokens, keys = config->context_length > N ? config->context_length : N;
	size_t block = config->vocab_size < VOCABULARY_BLOCK ? config->vocab_size : VOCABULARY_BLOCK;

	work->x = carve_floats(&carver, rows, W);
	work->q = carve_floats(&carver, rows, W);
	work->begin = carve(&carver, pairs + 1, sizeof *work->begin);
	work->first = carve(&carver, images + 1, sizeof *work->first);
	work->tokens = carve(&carver, images, sizeof *work->tokens);
	work->normed_tokens = carve_floats(&carver, mem_product(images, N), W);
	work->kv = carve_floats(&carver, mem_product(images, N), 2 * W);
	work->logits = carve_floats(&carver, rows, block);
	work->next = carve(&carver, rows, sizeof *work->next);
	work->term = carve(&carver, rows, sizeof *work->term);
	work->most = carve_floats(&carver, rows, 1);
	work->wanted = carve_floats(&carver, rows, 1);
	work->sum = carve(&carver, rows, sizeof *work->sum);
	block_carve(&carver, &work->block, &config->decoder, config->quick_gelu, rows, pairs, keys, threads);
	return carver.used;
}

size_t decoder_score_scratch(const struct config *config, size_t rows, size_t pairs, size_t images, int threads)
{
	struct work work;

	return work_carve(config, rows, pairs, images, threads, NULL, &work);
}

/* Copies the pairs' rows together. */
static void gather(const struct decoder_pair *pairs, size_t n, size_t W, struct work *work)
{
	size_t images = 0, at = 0;

	for (size_t p = 0; p < n; p++) {
		if (p == 0 || pairs[p].tokens != pairs[p - 1].tokens) {
			work->tokens[images] = pairs[p].tokens;
			work->first[images++] = at;
		}
		work->begin[p] = at;
		memcpy(work->x + at * W, pairs[p].x, pairs[p].rows * W * sizeof *work->x);
		memcpy(work->q + at * W, pairs[p].q, pairs[p].rows * W * sizeof *work->q);
		at += pairs[p].rows;
	}
	work->begin[n] = work->first[images] = at;
}

/* x += cross attention and MLP; q[R,W] are the queries. */
static void cross(const struct config *config, const struct block *block, size_t images, struct work *work)
{
	size_t W = config->decoder.width, N = config->image_tokens;
	struct attend_shape shape = {config->decoder.heads, W, W, 2 * W, W, false};

	for (size_t i = 0; i < images; i++)
		op_norm(&block->ln_1_kv, work->tokens[i], N, W, work->normed_tokens + i * N * W);
	attention_keys(&block->attn, W, W, work->normed_tokens, images * N, work->kv);
	for (size_t i = 0; i < images; i++) {
		size_t at = work->first[i];
		const float *k = work->kv + i * N * 2 * W;
		work->block.jobs[i] = (struct attend){work->q + at * W, k, k + W, NULL, work->block.normed + at * W,
						      work->first[i + 1] - at, N};
	}
	op_attention(&shape, work->block.jobs, images, work->block.scores);
	block_finish(block, &work->block, work->block.normed, work->first[images], work->x);
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

/* Takes the logits of ids from..to-1 into a row's running log-sum-exp. */
static void take(struct work *work, size_t row, size_t from, size_t to)
{
	const float *logits = work->logits + row * (to - from);
	float most = op_max(logits, to - from);
	size_t next = (size_t)work->next[row];

	if (next >= from && next < to)
		work->wanted[row] = logits[next - from];
	if (most > work->most[row]) {
		work->sum[row] *= exp((double)(work->most[row] - most));
		work->most[row] = most;
	}
	work->sum[row] += op_sum_exp(logits, to - from, work->most[row]);
}

void decoder_score(const struct config *config, const struct weights *weights, const struct decoder_pair *pairs, size_t n, size_t images,
		   int threads, void *scratch)
{
	size_t W = config->decoder.width, V = config->vocab_size, rows = 0;
	struct linear proj = {weights->decoder_proj, NULL, W, V, true};
	struct work work;

	for (size_t p = 0; p < n; p++)
		rows += pairs[p].rows;
	work_carve(config, rows, n, images, threads, scratch, &work);
	gather(pairs, n, W, &work);
	struct pack pack = {work.begin, n, NULL, true};
	for (size_t l = 0; l < config->decoder.layers; l++) {
		if (l > 0) {
			block_self(weights->decoder + l, &work.block, &pack, work.x);
			block_queries(weights->cross + l, &work.block, work.x, rows, work.q);
		}
		cross(config, weights->cross + l, images, &work);
	}
	op_norm(&weights->decoder_ln_final, work.x, rows, W, work.block.normed);
	size_t counted = select_counted(config, pairs, n, &work);
	for (size_t row = 0; row < counted; row++) {
		work.most[row] = -INFINITY;
		work.sum[row] = 0;
	}
	for (size_t from = 0; from < V; from += VOCABULARY_BLOCK) {
		size_t to = V - from < VOCABULARY_BLOCK ? V : from + VOCABULARY_BLOCK;
		op_linear_columns(&proj, work.block.normed, counted, from, to, work.logits);
#pragma omp parallel for schedule(static) if (counted >= 64)
		for (size_t row = 0; row < counted; row++)
			take(&work, row, from, to);
	}
	for (size_t row = 0; row < counted; row++)
		*work.term[row] = (float)((double)work.wanted[row] - (double)work.most[row] - log(work.sum[row]));
}
