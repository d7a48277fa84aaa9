/* cross.c: see cross.h. */
#include "model/net/cross.h"

#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "model/net/block.h"
#include "model/math/int16.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* Rows of all heads whose scores are held at once; a multiple of math/int16.c's tiles. */
enum { ROWS_AT_ONCE = 96 };

/* A thread's part of the folded form. */
struct lane {
	float *scores;      /* [ROWS_AT_ONCE, N rounded up]; int32 before they are scaled */
	int16_t *row;       /* [ROWS_AT_ONCE, inner of W or N] */
	int16_t *panel;
	float *scale;       /* [ROWS_AT_ONCE] */
};

enum cross_form cross_choose(const struct config *config, size_t rows, size_t images, bool stored)
{
	double W = (double)config->decoder.width, N = (double)config->image_tokens, H = (double)config->decoder.heads;
	double unfolded = (double)images * N * W + (double)rows * N, heads = H * N / (stored ? 2 : 1);

	return (double)rows * (W + heads) < unfolded ? CROSS_FOLDED : CROSS_UNFOLDED;
}

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

static size_t lane_carve(const struct config *config, char *base, struct lane *lane)
{
	struct carver carver = {base, 0};
	size_t W = config->decoder.width, N = config->image_tokens;

	lane->scores = carve_floats(&carver, ROWS_AT_ONCE, larger(int16_columns(N), int16_columns(W)));
	lane->row = carve(&carver, mem_product(ROWS_AT_ONCE, larger(int16_inner(W), int16_inner(N))), sizeof *lane->row);
	lane->panel = carve(&carver, larger(int16_scratch(W), int16_scratch(N)), sizeof *lane->panel);
	lane->scale = carve_floats(&carver, ROWS_AT_ONCE, 1);
	return carver.used;
}

void cross_carve(struct carver *carver, struct cross *cross, const struct config *config, enum cross_form form, bool stored, size_t rows,
		 size_t images, int threads)
{
	size_t W = config->decoder.width, N = config->image_tokens;
	bool folded = form == CROSS_FOLDED, bytes = folded && stored, measuring = !carver->base;
	struct lane lane;

	*cross = (struct cross){.config = config, .form = form, .rows = rows, .images = images, .threads = threads};
	cross->list = carve(carver, images, sizeof *cross->list);
	float *normed = carve_floats(carver, bytes ? 0 : mem_product(images, N), W);
	int8_t *by_token = carve(carver, bytes ? images : 0, int16_panels_size(W, N));
	int8_t *by_component = carve(carver, bytes ? images : 0, int16_panels_size(N, W));
	float *moments = carve_floats(carver, bytes ? images : 0, mem_product(2, N));
	for (size_t i = 0; i < images && !measuring; i++) {
		struct cross_image *image = cross->list + i;
		*image = (struct cross_image){.normed = bytes ? NULL : normed + i * N * W};
		if (!bytes)
			continue;
		image->by_token = by_token + i * int16_panels_size(W, N);
		image->by_component = by_component + i * int16_panels_size(N, W);
		image->mean = moments + i * 2 * N;
		image->rate = image->mean + N;
	}
	if (folded) {
		cross->wide = carve_floats(carver, mem_product(rows, config->decoder.heads), W);
		cross->lane = lane_carve(config, NULL, &lane);
		cross->lanes = carve(carver, (size_t)threads, cross->lane);
	} else {
		cross->affine = carve_floats(carver, N, W);
		cross->kv = carve_floats(carver, N, mem_product(2, W));
		cross->scores = carve_floats(carver, op_attention_scratch(N, threads), 1);
	}
}

/* ---- tokens ------------------------------------------------------------------------------------------------------- */

/* Of scale * bytes, in units of a byte: x^ = (byte - mean) * rate. */
static void moments(const int8_t *bytes, size_t W, float scale, float *mean, float *rate)
{
	int32_t sum = 0, squares = 0;

#pragma omp simd reduction(+ : sum, squares)
	for (size_t i = 0; i < W; i++) {
		sum += bytes[i];
		squares += bytes[i] * bytes[i];
	}
	double middle = (double)sum / (double)W, variance = (double)squares / (double)W - middle * middle, unit = (double)scale;
	*mean = (float)middle;
	*rate = (float)(unit / sqrt(variance * unit * unit + 1e-5));
}

static void prepare_image(const struct cross *cross, struct cross_image *image)
{
	size_t W = cross->config->decoder.width, N = cross->config->image_tokens;
	const struct coca_image *tokens = image->tokens;

	if (image->normed) {
		for (size_t t = 0; t < N && !tokens->tokens; t++)
			for (size_t i = t * W; i < (t + 1) * W; i++)
				image->normed[i] = tokens->scales[t] * (float)tokens->bytes[i];
		op_standardise(tokens->tokens ? tokens->tokens : image->normed, N, W, image->normed);
		return;
	}
	for (size_t t = 0; t < N; t++)
		moments(tokens->bytes + t * W, W, tokens->scales[t], image->mean + t, image->rate + t);
	int16_pack(tokens->bytes, W, N, 1, W, image->by_token);
	int16_pack(tokens->bytes, N, W, W, 1, image->by_component);
}

/* Calls work for every image, on all threads if there are several. */
static void each_image(struct cross *cross, const struct block *block, void (*work)(struct cross *, const struct block *, size_t, char *))
{
	/* Not a region of one thread: see split_run. */
	if (cross->threads == 1 || cross->images == 1) {
		for (size_t i = 0; i < cross->images; i++)
			work(cross, block, i, cross->lanes);
		return;
	}
#pragma omp parallel for schedule(dynamic, 1) num_threads(cross->threads)
	for (size_t i = 0; i < cross->images; i++)
		work(cross, block, i, cross->lanes + cross->lane * (size_t)omp_get_thread_num());
}

static void prepare_one(struct cross *cross, const struct block *block, size_t i, char *lane)
{
	(void)block;
	(void)lane;
	prepare_image(cross, cross->list + i);
}

void cross_prepare(struct cross *cross)
{
	each_image(cross, NULL, prepare_one);
}

/* ---- unfolded ----------------------------------------------------------------------------------------------------- */

static void attend_unfolded(struct cross *cross, const struct block *block, const float *q, float *out)
{
	size_t W = cross->config->decoder.width, N = cross->config->image_tokens;
	struct attend_shape shape = {cross->config->decoder.heads, W, W, 2 * W, W, false};
	const float *weight = block->ln_1_kv.weight, *bias = block->ln_1_kv.bias;

	for (size_t i = 0; i < cross->images; i++) {
		const struct cross_image *image = cross->list + i;
		for (size_t t = 0; t < N; t++)
			for (size_t j = 0; j < W; j++)
				cross->affine[t * W + j] = image->normed[t * W + j] * weight[j] + bias[j];
		attention_keys(&block->attn, W, W, cross->affine, N, cross->kv);
		struct attend job = {q + image->row * W, cross->kv, cross->kv + W, NULL, out + image->row * W, image->rows, N};
		op_attention(&shape, &job, 1, cross->scores);
	}
}

/* ---- folded ------------------------------------------------------------------------------------------------------- */

/* wide[rows,W] comes in as queries folded with W_k and goes out as what W_v meets; scores: [rows,N] */
static void attend_floats(const struct cross_image *image, size_t N, size_t W, size_t rows, float *wide, const struct lane *lane)
{
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)rows, (blasint)N, (blasint)W, 1, wide, (blasint)W, image->normed,
		    (blasint)W, 0, lane->scores, (blasint)N);
	for (size_t r = 0; r < rows; r++)
		op_softmax(lane->scores + r * N, N);
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)rows, (blasint)W, (blasint)N, 1, lane->scores, (blasint)N,
		    image->normed, (blasint)W, 0, wide, (blasint)W);
}

static float sum_row(const int16_t *row, size_t n)
{
	int32_t sum = 0;

#pragma omp simd reduction(+ : sum)
	for (size_t i = 0; i < n; i++)
		sum += row[i];
	return (float)sum;
}

/* Sums of products in fixed point become scores, and these the weights of bytes in fixed point, in row[inner of N]. Returns the sum of
 * weights times means; *scale: of the weights. */
static float weigh(const struct cross_image *image, size_t N, float query_scale, float query_sum, const int32_t *products, float *scores,
		   int16_t *row, float *scale)
{
	float middle = 0;

#pragma omp simd
	for (size_t t = 0; t < N; t++)
		scores[t] = query_scale * image->rate[t] * ((float)products[t] - image->mean[t] * query_sum);
	op_softmax(scores, N);
#pragma omp simd
	for (size_t t = 0; t < N; t++)
		scores[t] *= image->rate[t];
	*scale = int16_row(scores, N, row);
#pragma omp simd reduction(+ : middle)
	for (size_t t = 0; t < N; t++)
		middle += (float)row[t] * image->mean[t];
	return middle;
}

/* The same from bytes. */
static void attend_bytes(const struct cross_image *image, size_t N, size_t W, size_t rows, float *wide, const struct lane *lane)
{
	size_t columns = int16_columns(N), inner = int16_inner(N), wide_columns = int16_columns(W);
	int32_t *products = (int32_t *)lane->scores;
	float middle[ROWS_AT_ONCE], sums[ROWS_AT_ONCE];

	for (size_t r = 0; r < rows; r++) {
		int16_t *row = lane->row + r * int16_inner(W);
		lane->scale[r] = int16_row(wide + r * W, W, row);
		sums[r] = sum_row(row, W);
	}
	int16_product(lane->row, rows, W, image->by_token, N, lane->panel, products);
	for (size_t r = 0; r < rows; r++)
		middle[r] = weigh(image, N, lane->scale[r], sums[r], products + r * columns, lane->scores + r * columns,
				  lane->row + r * inner, lane->scale + r);
	int16_product(lane->row, rows, N, image->by_component, W, lane->panel, products);
	for (size_t r = 0; r < rows; r++)
#pragma omp simd
		for (size_t i = 0; i < W; i++)
			wide[r * W + i] = lane->scale[r] * ((float)products[r * wide_columns + i] - middle[r]);
}

static void attend_image(struct cross *cross, const struct block *block, size_t i, char *scratch)
{
	const struct cross_image *image = cross->list + i;
	size_t W = cross->config->decoder.width, N = cross->config->image_tokens, H = cross->config->decoder.heads;
	const float *weight = block->ln_1_kv.weight, *bias = block->ln_1_kv.bias;
	float *all = cross->wide + image->row * H * W;
	struct lane lane;

	lane_carve(cross->config, scratch, &lane);
	for (size_t from = 0; from < image->rows * H; from += ROWS_AT_ONCE) {
		size_t rows = image->rows * H - from < ROWS_AT_ONCE ? image->rows * H - from : ROWS_AT_ONCE;
		float *wide = all + from * W;
		for (size_t r = 0; r < rows; r++)
			for (size_t j = 0; j < W; j++)
				wide[r * W + j] *= weight[j];
		(image->normed ? attend_floats : attend_bytes)(image, N, W, rows, wide, &lane);
		for (size_t r = 0; r < rows; r++)
			for (size_t j = 0; j < W; j++)
				wide[r * W + j] = wide[r * W + j] * weight[j] + bias[j];
	}
}

static void attend_folded(struct cross *cross, const struct block *block, const float *q, float *out)
{
	size_t W = cross->config->decoder.width, H = cross->config->decoder.heads, R = cross->rows, d = W / H;
	const struct attention *attn = &block->attn;

	for (size_t h = 0; h < H; h++)
		cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)R, (blasint)W, (blasint)d, 1 / sqrtf((float)d), q + h * d,
			    (blasint)W, attn->k_weight + h * d * W, (blasint)W, 0, cross->wide + h * W, (blasint)(H * W));
	each_image(cross, block, attend_image);
	for (size_t r = 0; r < R; r++)
		memcpy(out + r * W, attn->in_bias + 2 * W, W * sizeof *out);
	for (size_t h = 0; h < H; h++)
		cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)R, (blasint)d, (blasint)W, 1, cross->wide + h * W,
			    (blasint)(H * W), attn->v_weight + h * d * W, (blasint)W, 1, out + h * d, (blasint)W);
}

void cross_attend(struct cross *cross, const struct block *block, const float *q, float *out)
{
	(cross->form == CROSS_FOLDED ? attend_folded : attend_unfolded)(cross, block, q, out);
}
