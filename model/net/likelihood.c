/* likelihood.c: see likelihood.h.
 *
 *     texts, in blocks of bounded memory:  text tower and the decoder's first half block, once per text
 *     pairs of a block, sorted by image:   pieces of bounded rows and images go through the rest of the decoder
 *
 * Sorting makes an image's keys and values, the larger part of the work where few texts meet many images, once for all its pairs
 * of a piece. Only positions 0..n-2 of a text predict anything.
 */
#include "model/net/likelihood.h"

#include <stdlib.h>
#include <string.h>

#include "model/net/decoder.h"
#include "model/math/ops.h"
#include "model/net/split.h"
#include "model/net/text.h"
#include "model/net/vision.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum {
	ROWS_MOST = 512,             /* of a piece */
	IMAGES_MOST = 64,            /* whose tokens a piece holds */
	TEXT_BYTES_MOST = 128 << 20, /* of what is kept of the texts of a block */
};

struct ordered {
	size_t block, image, text, pair;
};

struct job {
	const struct coca *model;
	const struct config *config;
	const struct weights *weights;
	struct coca_scratch *scratch;
	const struct coca_image *images;
	bool stored;             /* all of them are */
	const struct decoder_int8 *int8;
	const struct coca_text *texts;
	size_t T;
	size_t *block;           /* [T] of each text; SIZE_MAX: no pair has it, or it predicts nothing */
	size_t *first;           /* [T] row of its first position in x and q */
	size_t blocks, rows_most; /* rows of the largest block */
	float *x, *q;            /* [rows_most,W] */
	struct ordered *order;
	size_t count;            /* of order */
	float *sums, *each;
};

static int compare(const void *a, const void *b)
{
	const struct ordered *x = a, *y = b;

	if (x->block != y->block)
		return x->block < y->block ? -1 : 1;
	if (x->image != y->image)
		return x->image < y->image ? -1 : 1;
	if (x->text != y->text)
		return x->text < y->text ? -1 : 1;
	return (x->pair > y->pair) - (x->pair < y->pair);
}

static size_t positions(const struct job *job, size_t text)
{
	return job->texts[text].count - 1;
}

/* Gives every text that a pair has its block and its rows there. */
static enum status plan_texts(struct job *job, const struct coca_pair *pairs, size_t P, struct err *err)
{
	size_t most = TEXT_BYTES_MOST / (2 * sizeof(float) * job->config->text.width), rows = 0;

	job->block = mem_array(job->T, sizeof *job->block);
	job->first = mem_array(job->T, sizeof *job->first);
	if (!job->block || !job->first)
		return err_memory(err, "a list of texts");
	for (size_t t = 0; t < job->T; t++)
		job->block[t] = SIZE_MAX;
	for (size_t p = 0; p < P; p++)
		if (positions(job, pairs[p].text) > 0)
			job->block[pairs[p].text] = 0;
	for (size_t t = 0; t < job->T; t++) {
		if (job->block[t] == SIZE_MAX)
			continue;
		if (job->blocks == 0 || rows + positions(job, t) > most) {
			job->blocks++;
			rows = 0;
		}
		job->block[t] = job->blocks - 1;
		job->first[t] = rows;
		rows += positions(job, t);
		job->rows_most = rows > job->rows_most ? rows : job->rows_most;
	}
	job->x = mem_floats(mem_product(job->rows_most, job->config->text.width));
	job->q = mem_floats(mem_product(job->rows_most, job->config->text.width));
	return job->x && job->q ? STATUS_OK : err_memory(err, "the tokens of texts");
}

static enum status order_pairs(struct job *job, const struct coca_pair *pairs, size_t P, struct err *err)
{
	job->order = mem_array(P, sizeof *job->order);
	if (!job->order)
		return err_memory(err, "a list of pairs");
	for (size_t p = 0; p < P; p++)
		if (job->block[pairs[p].text] != SIZE_MAX)
			job->order[job->count++] = (struct ordered){job->block[pairs[p].text], pairs[p].image, pairs[p].text, p};
	qsort(job->order, job->count, sizeof *job->order, compare);
	return STATUS_OK;
}

/* ---- texts of a block --------------------------------------------------------------------------------------------- */

/* One piece: texts[T], whose rows begin at x and q. */
static void begin_piece(const struct job *job, const struct coca_text *texts, size_t T, int threads, char *scratch, float *x, float *q)
{
	struct carver carver = {scratch, 0};
	size_t *begin = carve(&carver, T + 1, sizeof *begin);

	begin[0] = 0;
	for (size_t i = 0; i < T; i++)
		begin[i + 1] = begin[i] + texts[i].count - 1;
	text_prefixes(job->config, job->weights, texts, T, threads, scratch + carver.used, x);
	decoder_begin(job->config, job->weights, begin, T, threads, scratch + carver.used, x, q);
}

static size_t begin_scratch(const struct job *job, size_t rows, size_t T, int threads)
{
	struct carver carver = {0};
	size_t text = text_scratch(job->config, rows, T, threads), decoder = decoder_begin_scratch(job->config, rows, T, threads);

	carve(&carver, T + 1, sizeof(size_t));
	carve(&carver, text > decoder ? text : decoder, 1);
	return carver.used;
}

struct begin_run {
	const struct job *job;
	const struct coca_text *texts;
	const size_t *first;
	const struct split *split;
	size_t stride;
	char *memory;
};

static void begin_run(void *context, size_t piece, size_t lane)
{
	const struct begin_run *run = context;
	const struct job *job = run->job;
	size_t from = run->split->cuts[piece], to = run->split->cuts[piece + 1], W = job->config->text.width;

	if (from < to)
		begin_piece(job, run->texts + from, to - from, run->split->threads, run->memory + run->stride * lane,
			    job->x + run->first[from] * W, job->q + run->first[from] * W);
}

static enum status begin_texts(struct job *job, size_t block, struct err *err)
{
	struct coca_text *texts = mem_array(job->T, sizeof *texts);
	size_t *rows = mem_array(job->T, sizeof *rows), *first = mem_array(job->T, sizeof *first), n = 0, stride;
	struct split split = {0};
	enum status status = STATUS_OK;

	if (!texts || !rows || !first) {
		status = err_memory(err, "a list of texts");
		goto out;
	}
	for (size_t t = 0; t < job->T; t++)
		if (job->block[t] == block) {
			texts[n] = job->texts[t];
			first[n] = job->first[t];
			rows[n++] = positions(job, t);
		}
	status = split_by_cost(rows, n, ROWS_MOST, &split, err);
	if (status != STATUS_OK)
		goto out;
	size_t size = begin_scratch(job, split.cost_most, split.items_most, split.threads);
	char *memory = scratch_block(job->scratch, size, split.lanes, &stride);
	if (!memory) {
		status = err_memory(err, "the text tower's activations");
		goto out;
	}
	struct begin_run run = {job, texts, first, &split, stride, memory};
	split_run(&split, begin_run, &run);
out:
	split_release(&split);
	free(texts);
	free(rows);
	free(first);
	return status;
}

/* ---- pairs of a block --------------------------------------------------------------------------------------------- */

static size_t score_carve(const struct job *job, const struct decoder_size *size, int threads, char *base, struct decoder_pair **pairs,
			  float **terms, void **rest)
{
	struct carver carver = {base, 0};

	*pairs = carve(&carver, size->pairs, sizeof **pairs);
	*terms = carve_floats(&carver, size->rows, 1);
	*rest = carve(&carver, decoder_score_scratch(job->config, size, threads), 1);
	return carver.used;
}

static struct decoder_size measure(const struct job *job, const struct ordered *order, size_t n)
{
	struct decoder_size size = {.pairs = n, .stored = job->stored, .int8 = job->int8};

	for (size_t i = 0; i < n; i++) {
		size.rows += positions(job, order[i].text);
		size.images += i == 0 || order[i].image != order[i - 1].image;
	}
	size.form = cross_choose(job->config, size.rows, size.images, size.stored);
	return size;
}

static void score_piece(const struct job *job, const struct ordered *order, size_t n, int threads, char *scratch)
{
	size_t W = job->config->text.width;
	struct decoder_size size = measure(job, order, n);
	struct decoder_pair *pairs;
	float *terms;
	void *rest;

	score_carve(job, &size, threads, scratch, &pairs, &terms, &rest);
	for (size_t i = 0; i < n; i++) {
		size_t t = order[i].text;
		pairs[i] = (struct decoder_pair){job->x + job->first[t] * W, job->q + job->first[t] * W, job->texts[t].ids + 1,
						 positions(job, t), job->images + order[i].image, terms};
		terms += positions(job, t);
	}
	decoder_score(job->config, job->weights, pairs, &size, threads, rest);
	for (size_t i = 0; i < n; i++) {
		double sum = 0;
		for (size_t r = 0; r < pairs[i].rows; r++)
			sum += (double)pairs[i].terms[r];
		job->sums[order[i].pair] = (float)sum;
		if (job->each)
			memcpy(job->each + order[i].pair * (job->config->context_length - 1), pairs[i].terms,
			       pairs[i].rows * sizeof(float));
	}
}

/* Cost of a pair in rows of the decoder: a new image's keys and values, unless they are folded, cost a tenth of a row for each of its
 * tokens, as a row meets some 22 matrices' worth of W x W a layer and a token 2. */
static enum status cut_pairs(const struct job *job, const struct ordered *order, size_t n, struct split *split, struct err *err)
{
	struct decoder_size size = measure(job, order, n);
	size_t *cost = mem_array(n, sizeof *cost), image = size.form == CROSS_FOLDED ? 0 : job->config->image_tokens / 10 + 1, total = 0;

	if (!cost)
		return err_memory(err, "a list of pairs");
	for (size_t i = 0; i < n; i++) {
		cost[i] = positions(job, order[i].text) + (i == 0 || order[i].image != order[i - 1].image ? image : 0);
		total += cost[i];
	}
	/* So many pieces that neither limit is passed by more than the unevenness of the cut. */
	size_t by_rows = (size.rows + ROWS_MOST - 1) / ROWS_MOST, by_images = (size.images + IMAGES_MOST - 1) / IMAGES_MOST;
	size_t pieces = by_rows > by_images ? by_rows : by_images;
	enum status status = split_by_cost(cost, n, (total + pieces - 1) / pieces, split, err);
	free(cost);
	return status;
}

struct score_run {
	const struct job *job;
	const struct ordered *order;
	const struct split *split;
	size_t stride;
	char *memory;
};

static void score_run(void *context, size_t piece, size_t lane)
{
	const struct score_run *run = context;
	size_t from = run->split->cuts[piece], to = run->split->cuts[piece + 1];

	if (from < to)
		score_piece(run->job, run->order + from, to - from, run->split->threads, run->memory + run->stride * lane);
}

static enum status score_pairs(const struct job *job, const struct ordered *order, size_t n, struct err *err)
{
	size_t size = 0, stride;
	struct decoder_pair *pairs;
	struct split split = {0};
	float *terms;
	void *rest;
	enum status status = cut_pairs(job, order, n, &split, err);

	for (size_t p = 0; p < split.pieces && status == STATUS_OK; p++) {
		struct decoder_size piece = measure(job, order + split.cuts[p], split.cuts[p + 1] - split.cuts[p]);
		size_t need = score_carve(job, &piece, split.threads, NULL, &pairs, &terms, &rest);
		size = need > size ? need : size;
	}
	char *memory = status == STATUS_OK ? scratch_block(job->scratch, size, split.lanes, &stride) : NULL;
	if (memory) {
		struct score_run run = {job, order, &split, stride, memory};
		split_run(&split, score_run, &run);
	} else if (status == STATUS_OK) {
		status = err_memory(err, "the decoder's activations");
	}
	split_release(&split);
	return status;
}

static enum status check_pairs(const struct job *job, size_t B, const struct coca_pair *pairs, size_t P, struct err *err)
{
	for (size_t p = 0; p < P; p++)
		if (pairs[p].image >= B || pairs[p].text >= job->T)
			return err_set(err, STATUS_USAGE, "pair %zu names image %zu of %zu and text %zu of %zu", p, pairs[p].image, B,
				       pairs[p].text, job->T);
	return STATUS_OK;
}

enum status coca_likelihood_images(const struct coca *model, struct coca_scratch *scratch, const struct coca_image *images, size_t B,
				   const struct coca_text *texts, size_t T, const struct coca_pair *pairs, size_t P, float *sums,
				   float *each, struct err *err)
{
	struct job job = {.model = model, .config = coca_config(model), .scratch = scratch, .images = images, .stored = true,
			  .texts = texts, .T = T, .sums = sums, .each = each};
	enum status status = coca_check_texts(model, texts, T, err);

	if (status == STATUS_OK)
		status = check_pairs(&job, B, pairs, P, err);
	if (status == STATUS_OK)
		status = coca_decoder_int8(model, &job.int8, err);
	if (status != STATUS_OK)
		return status;
	job.weights = coca_weights_of(model, WEIGHTS_DECODER);
	for (size_t i = 0; i < B; i++)
		job.stored = job.stored && !images[i].tokens;
	memset(sums, 0, P * sizeof *sums);
	if (each)
		memset(each, 0, P * (job.config->context_length - 1) * sizeof *each);
	status = plan_texts(&job, pairs, P, err);
	if (status == STATUS_OK)
		status = order_pairs(&job, pairs, P, err);
	for (size_t from = 0, to = 0; status == STATUS_OK && from < job.count; from = to) {
		while (to < job.count && job.order[to].block == job.order[from].block)
			to++;
		status = begin_texts(&job, job.order[from].block, err);
		if (status == STATUS_OK)
			status = score_pairs(&job, job.order + from, to - from, err);
	}
	if (status == STATUS_OK)
		status = coca_check_finite(model, sums, P, "a likelihood", err);
	free(job.block);
	free(job.first);
	free(job.x);
	free(job.q);
	free(job.order);
	return status;
}

enum status coca_likelihood(const struct coca *model, struct coca_scratch *scratch, const float *tokens, size_t B,
			    const struct coca_text *texts, size_t T, const struct coca_pair *pairs, size_t P, float *sums, float *each,
			    struct err *err)
{
	size_t image = coca_config(model)->image_tokens * vision_token_width(coca_config(model));
	struct coca_image *images = mem_array(B, sizeof *images);

	if (!images)
		return err_memory(err, "a list of images");
	for (size_t i = 0; i < B; i++)
		images[i].tokens = tokens + i * image;
	enum status status = coca_likelihood_images(model, scratch, images, B, texts, T, pairs, P, sums, each, err);
	free(images);
	return status;
}

size_t coca_counted(const struct coca *model, struct coca_text text)
{
	size_t counted = 0;

	for (size_t i = 1; i < text.count; i++)
		counted += text.ids[i] != coca_config(model)->pad_id;
	return counted;
}
