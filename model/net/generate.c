/* generate.c: captions, a position at a time for all hypotheses of a group of images at once.
 *
 *     last ids -> text tower's position t -> decoder's position t -> logits -> next ids
 *
 * Keys and values of every position so far are kept per layer, the images' once. A hypothesis is a row of a step; its past
 * is a list of the rows that it had at each earlier position (its trail), so that neither a beam that splits nor one that
 * ends moves a key. The text tower's mask is kept: an id 0 hides its successor as a key.
 *
 * Letters: R rows of a step, K beams, N image tokens, W width, C context, V vocabulary.
 */
#include "model/net/generate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/net/block.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* Rows of a step: bounds the memory of keys and values. */
enum { ROWS_MOST = 16 };

/* Multiplications of a layer's attention from which on a second thread pays. */
enum { PARALLEL_LEAST = 1 << 18 };

struct hypothesis {
	size_t image;            /* of the group */
	int32_t *ids;            /* [C] */
	uint32_t *trail;         /* [C] its row at each position */
	double score;            /* sum of log p */
};

/* A group of images on its way. Live hypotheses stand by image. */
struct run {
	const struct config *config;
	const struct weights *weights;
	size_t images, rows_most, most;
	struct hypothesis *live, *next; /* [rows_most] */
	size_t rows;             /* of live */
	float *image_kv;         /* [decoder layers, images * N, 2W] */
	float *text_kv;          /* [text layers, C, rows_most, 2W] */
	float *self_kv;          /* [decoder layers, C, rows_most, 2W] */
	float *x, *q;            /* [rows_most, W] */
	float *weigh;            /* [rows_most * heads, C] attention weights */
	float *logits;           /* [rows_most, V] */
	double *norm;            /* [rows_most] log-sum-exp of the logits */
	float *normed_tokens;    /* [images * N, W] */
	struct block_scratch text, decoder;
};

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

static struct hypothesis *carve_hypotheses(struct carver *carver, size_t n, size_t C)
{
	struct hypothesis *list = carve(carver, n, sizeof *list);
	int32_t *ids = carve(carver, mem_product(n, C), sizeof *ids);
	uint32_t *trail = carve(carver, mem_product(n, C), sizeof *trail);

	for (size_t i = 0; list && i < n; i++) {
		list[i].ids = ids + i * C;
		list[i].trail = trail + i * C;
	}
	return list;
}

static size_t run_carve(struct run *run, void *base)
{
	const struct config *config = run->config;
	struct carver carver = {base, 0};
	size_t R = run->rows_most, W = config->decoder.width, C = config->context_length, N = config->image_tokens;
	size_t keys = mem_product(run->images, N), past = mem_product(C, R);
	int threads = op_threads();

	run->live = carve_hypotheses(&carver, R, C);
	run->next = carve_hypotheses(&carver, R, C);
	run->image_kv = carve_floats(&carver, mem_product(config->decoder.layers, keys), 2 * W);
	run->text_kv = carve_floats(&carver, mem_product(config->text.layers, past), 2 * W);
	run->self_kv = carve_floats(&carver, mem_product(config->decoder.layers, past), 2 * W);
	run->x = carve_floats(&carver, R, W);
	run->q = carve_floats(&carver, R, W);
	run->weigh = carve_floats(&carver, R * larger(config->text.heads, config->decoder.heads), C);
	run->logits = carve_floats(&carver, R, config->vocab_size);
	run->norm = carve(&carver, R, sizeof *run->norm);
	run->normed_tokens = carve_floats(&carver, keys, W);
	block_carve(&carver, &run->text, &config->text, config->quick_gelu, R, R, C, threads);
	block_carve(&carver, &run->decoder, &config->decoder, config->quick_gelu, R, R, larger(C, N), threads);
	return carver.used;
}

/* ---- a step of the network ---------------------------------------------------------------------------------------- */

/* out[d] = one head's attention of hypothesis row over positions 0..t. kv[C, rows_most, 2W] of the layer. */
static void attend_past(const struct run *run, const struct hypothesis *h, size_t t, bool masked, const float *q, const float *kv,
			size_t column, size_t d, float *weigh, float *out)
{
	size_t W = run->config->decoder.width;

	for (size_t j = 0; j <= t; j++) {
		const float *key = kv + (j * run->rows_most + h->trail[j]) * 2 * W + column;
		bool hidden = masked && j > 0 && h->ids[j - 1] == run->config->pad_id;
		weigh[j] = hidden ? -INFINITY : op_dot(q, key, d) / sqrtf((float)d);
	}
	op_softmax(weigh, t + 1);
	memset(out, 0, d * sizeof *out);
	for (size_t j = 0; j <= t; j++) {
		const float *value = kv + (j * run->rows_most + h->trail[j]) * 2 * W + W + column;
		for (size_t i = 0; i < d; i++)
			out[i] += weigh[j] * value[i];
	}
}

/* A self block at position t, with the layer's keys and values so far. */
static void step_self(const struct run *run, const struct block *block, struct block_scratch *scratch, float *kv, size_t t, bool masked)
{
	size_t W = scratch->width, heads = scratch->heads, d = W / heads, C = run->config->context_length;
	struct linear qkv = {block->attn.in_weight, block->attn.in_bias, W, 3 * W, false};

	op_norm(&block->ln_1, run->x, run->rows, W, scratch->normed);
	op_linear(&qkv, scratch->normed, run->rows, scratch->wide);
	for (size_t r = 0; r < run->rows; r++)
		memcpy(kv + (t * run->rows_most + r) * 2 * W, scratch->wide + r * 3 * W + W, 2 * W * sizeof *kv);
	bool worth = run->rows * (t + 1) * W >= PARALLEL_LEAST;
#pragma omp parallel for collapse(2) schedule(static) if (worth)
	for (size_t r = 0; r < run->rows; r++)
		for (size_t h = 0; h < heads; h++)
			attend_past(run, run->live + r, t, masked, scratch->wide + r * 3 * W + h * d, kv, h * d, d,
				    run->weigh + (r * heads + h) * C, scratch->normed + r * W + h * d);
	block_finish(block, NULL, scratch, scratch->normed, run->rows, run->x);
}

static void step_cross(const struct run *run, const struct block *block, const float *kv /* [images * N, 2W] */)
{
	size_t W = run->config->decoder.width, N = run->config->image_tokens, jobs = 0;
	struct block_scratch scratch = run->decoder;
	struct attend_shape shape = {scratch.heads, W, W, 2 * W, W, false};

	block_queries(block, &scratch, run->x, run->rows, run->q);
	for (size_t r = 0; r < run->rows; r++) {
		const float *k = kv + run->live[r].image * N * 2 * W;
		if (r > 0 && run->live[r].image == run->live[r - 1].image)
			scratch.jobs[jobs - 1].queries++;
		else
			scratch.jobs[jobs++] = (struct attend){run->q + r * W, k, k + W, NULL, scratch.normed + r * W, 1, N};
	}
	op_attention(&shape, scratch.jobs, jobs, scratch.scores);
	block_finish(block, NULL, &scratch, scratch.normed, run->rows, run->x);
}

/* Logits and their log-sum-exp for what follows position t of every live hypothesis. */
static void step(struct run *run, size_t t)
{
	const struct config *config = run->config;
	const struct weights *weights = run->weights;
	size_t W = config->decoder.width, V = config->vocab_size, C = config->context_length;
	size_t layer = C * run->rows_most * 2 * W, image_layer = run->images * config->image_tokens * 2 * W;
	struct linear proj = {weights->decoder_proj, NULL, W, V, true};

	for (size_t r = 0; r < run->rows; r++) {
		const float *embedding = weights->token_embedding + (size_t)run->live[r].ids[t] * W;
		const float *position = weights->text_positions + t * W;
		run->live[r].trail[t] = (uint32_t)r;
		for (size_t i = 0; i < W; i++)
			run->x[r * W + i] = embedding[i] + position[i];
	}
	for (size_t l = 0; l < config->text.layers; l++)
		step_self(run, weights->text + l, &run->text, run->text_kv + l * layer, t, true);
	for (size_t l = 0; l < config->decoder.layers; l++) {
		step_self(run, weights->decoder + l, &run->decoder, run->self_kv + l * layer, t, false);
		step_cross(run, weights->cross + l, run->image_kv + l * image_layer);
	}
	op_norm(&weights->decoder_ln_final, run->x, run->rows, W, run->decoder.normed);
	op_linear(&proj, run->decoder.normed, run->rows, run->logits);
#pragma omp parallel for schedule(static) if (run->rows > 1)
	for (size_t r = 0; r < run->rows; r++) {
		float most = op_max(run->logits + r * V, V);
		run->norm[r] = (double)most + log(op_sum_exp(run->logits + r * V, V, most));
	}
}

static enum status run_begin(struct run *run, const struct coca *model, struct coca_scratch *scratch, const float *tokens, size_t images,
			     size_t beams, int32_t start, size_t most, struct err *err)
{
	const struct config *config = coca_config(model);
	size_t W = config->decoder.width, N = config->image_tokens, stride;

	*run = (struct run){.config = config, .weights = coca_weights_of(model, WEIGHTS_DECODER), .images = images,
			    .rows_most = images * beams, .most = most, .rows = images};
	char *block = scratch_block(scratch, run_carve(run, NULL), 1, &stride);
	if (!block)
		return err_memory(err, "the captions' keys and values");
	run_carve(run, block);
	for (size_t l = 0; l < config->decoder.layers; l++) {
		op_norm(&run->weights->cross[l].ln_1_kv, tokens, images * N, W, run->normed_tokens);
		attention_keys(&run->weights->cross[l].attn, W, W, run->normed_tokens, images * N, run->image_kv + l * images * N * 2 * W);
	}
	for (size_t i = 0; i < images; i++) {
		run->live[i].image = i;
		run->live[i].ids[0] = start;
		run->live[i].score = 0;
	}
	return STATUS_OK;
}

/* to becomes from, of t+1 ids, with one more; they lie in different lists. */
static void extend(const struct hypothesis *from, size_t t, int32_t id, double score, struct hypothesis *to)
{
	to->image = from->image;
	to->score = score;
	memcpy(to->ids, from->ids, (t + 1) * sizeof *to->ids);
	memcpy(to->trail, from->trail, (t + 1) * sizeof *to->trail);
	to->ids[t + 1] = id;
}

static void swap_lists(struct run *run, size_t rows)
{
	struct hypothesis *old = run->live;

	run->live = run->next;
	run->next = old;
	run->rows = rows;
}

static enum status keep(const int32_t *ids, size_t count, double score, struct caption *caption, struct err *err)
{
	caption->ids = mem_array(count, sizeof *caption->ids);
	if (!caption->ids)
		return err_memory(err, "a caption");
	memcpy(caption->ids, ids, count * sizeof *ids);
	caption->count = count;
	caption->likelihood = (float)score;
	return STATUS_OK;
}

/* log p of id behind row. */
static double log_p(const struct run *run, size_t row, size_t id)
{
	return (double)run->logits[row * run->config->vocab_size + id] - run->norm[row];
}

static enum status check_step(const struct coca *model, const struct run *run, struct err *err)
{
	for (size_t r = 0; r < run->rows; r++) {
		float norm = (float)run->norm[r];
		enum status status = coca_check_finite(model, &norm, 1, "a caption's likelihood", err);
		if (status != STATUS_OK)
			return status;
	}
	return STATUS_OK;
}

static enum status check_ids(const struct coca *model, int32_t start, int32_t end, size_t *most, struct err *err)
{
	int32_t ids[] = {start, end};
	struct coca_text one[] = {{ids, 1}, {ids + 1, 1}};
	size_t C = coca_config(model)->context_length;

	if (*most == 0 || *most > C)
		*most = C;
	return coca_check_texts(model, one, 2, err);
}

/* ---- beams -------------------------------------------------------------------------------------------------------- */

struct candidate {
	size_t row, id;
	double score;
};

/* The finished captions of an image, best first. */
struct finished {
	struct caption *captions; /* [K] */
	double *rank;             /* [K] */
	size_t count;
};

static double ranked(double score, size_t count, float length_power)
{
	return count > 1 ? score / pow((double)(count - 1), (double)length_power) : score;
}

/* list[most] holds the best so far, best first; a tie keeps the earlier. */
static void offer(struct candidate *list, size_t *n, size_t most, struct candidate candidate)
{
	size_t at = *n;

	if (*n == most && candidate.score <= list[most - 1].score)
		return;
	if (*n < most)
		(*n)++;
	else
		at = most - 1;
	for (; at > 0 && list[at - 1].score < candidate.score; at--)
		list[at] = list[at - 1];
	list[at] = candidate;
}

static enum status finish(struct finished *done, size_t most, const int32_t *ids, size_t count, double score, float length_power,
			  struct err *err)
{
	double rank = ranked(score, count, length_power);
	struct caption caption = {0};
	size_t at = done->count;

	if (done->count == most && rank <= done->rank[most - 1])
		return STATUS_OK;
	enum status status = keep(ids, count, score, &caption, err);
	if (status != STATUS_OK)
		return status;
	if (done->count < most)
		done->count++;
	else
		free(done->captions[at = most - 1].ids);
	for (; at > 0 && done->rank[at - 1] < rank; at--) {
		done->captions[at] = done->captions[at - 1];
		done->rank[at] = done->rank[at - 1];
	}
	done->captions[at] = caption;
	done->rank[at] = rank;
	return STATUS_OK;
}

/* Twice as many candidates as beams, so that beams live on when as many of them end. */
static size_t best_candidates(const struct run *run, size_t first, size_t rows, size_t beams, struct candidate *list)
{
	size_t V = run->config->vocab_size, n = 0;

	for (size_t r = first; r < first + rows; r++)
		for (size_t id = 0; id < V; id++)
			offer(list, &n, 2 * beams, (struct candidate){r, id, run->live[r].score + log_p(run, r, id)});
	return n;
}

/* Extends the hypotheses first..first+rows-1, all of one image; the live ones go behind *next_rows. */
static enum status advance(struct run *run, size_t t, size_t first, size_t rows, size_t beams, int32_t end, float length_power,
			   struct candidate *list, struct finished *done, size_t *next_rows, struct err *err)
{
	size_t n = best_candidates(run, first, rows, beams, list), kept = 0;
	double best = -INFINITY;
	enum status status = STATUS_OK;

	for (size_t i = 0; i < n && kept < beams && status == STATUS_OK; i++) {
		struct hypothesis *to = run->next + *next_rows + kept;
		bool ends = (int32_t)list[i].id == end;
		if (ends && i >= beams)
			continue;
		extend(run->live + list[i].row, t, (int32_t)list[i].id, list[i].score, to);
		if (ends || t + 2 == run->most) {
			status = finish(done, beams, to->ids, t + 2, list[i].score, length_power, err);
			kept += !ends;
		} else {
			best = kept == 0 ? list[i].score : best;
			kept++;
		}
	}
	/* A score only falls, and counts most when it is divided by the largest length (or, for a negative power, the next). */
	double hope = fmax(ranked(best, run->most, length_power), ranked(best, t + 3, length_power));
	if (t + 2 < run->most && !(done->count == beams && done->rank[beams - 1] >= hope))
		*next_rows += kept;
	return status;
}

static enum status beam_group(const struct coca *model, struct run *run, int32_t end, size_t beams, float length_power,
			      struct candidate *list, struct finished *done, struct err *err)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; run->most == 1 && i < run->images && status == STATUS_OK; i++)
		status = finish(done + i, beams, run->live[i].ids, 1, 0, length_power, err);
	for (size_t t = 0; run->rows > 0 && t + 1 < run->most && status == STATUS_OK; t++) {
		size_t rows = 0;
		step(run, t);
		status = check_step(model, run, err);
		for (size_t first = 0, n; first < run->rows && status == STATUS_OK; first += n) {
			size_t image = run->live[first].image;
			for (n = 1; first + n < run->rows && run->live[first + n].image == image;)
				n++;
			status = advance(run, t, first, n, beams, end, length_power, list, done + image, &rows, err);
		}
		swap_lists(run, rows);
	}
	return status;
}

enum status generate_beams(const struct coca *model, struct coca_scratch *scratch, const float *tokens, size_t B, int32_t start,
			   int32_t end, size_t most, size_t beams, float length_power, struct caption *captions, struct err *err)
{
	size_t image = coca_config(model)->image_tokens * coca_config(model)->decoder.width;
	size_t group = beams < ROWS_MOST ? ROWS_MOST / (beams ? beams : 1) : 1;
	struct candidate *list = NULL;
	struct finished *done = NULL;
	double *ranks = NULL;
	struct run run;
	enum status status = check_ids(model, start, end, &most, err);

	if (beams == 0)
		return err_set(err, STATUS_USAGE, "a beam search needs 1 beam or more");
	/* One beam is the greedy caption: without a power nothing that goes on passes one that ended. */
	if (beams == 1)
		length_power = 0;
	memset(captions, 0, B * beams * sizeof *captions);
	list = mem_array(mem_product(2, beams), sizeof *list);
	done = mem_array(group, sizeof *done);
	ranks = mem_array(mem_product(group, beams), sizeof *ranks);
	if (status == STATUS_OK && (!list || !done || !ranks))
		status = err_memory(err, "beams");
	for (size_t from = 0; from < B && status == STATUS_OK; from += group) {
		size_t images = B - from < group ? B - from : group;
		for (size_t i = 0; i < images; i++)
			done[i] = (struct finished){captions + (from + i) * beams, ranks + i * beams, 0};
		status = run_begin(&run, model, scratch, tokens + from * image, images, beams, start, most, err);
		if (status == STATUS_OK)
			status = beam_group(model, &run, end, beams, length_power, list, done, err);
	}
	if (status != STATUS_OK)
		captions_release(captions, B * beams);
	free(list);
	free(done);
	free(ranks);
	return status;
}

enum status generate_greedy(const struct coca *model, struct coca_scratch *scratch, const float *tokens, size_t B, int32_t start,
			    int32_t end, size_t most, struct caption *captions, struct err *err)
{
	return generate_beams(model, scratch, tokens, B, start, end, most, 1, 0, captions, err);
}

void captions_release(struct caption *captions, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(captions[i].ids);
	memset(captions, 0, n * sizeof *captions);
}
