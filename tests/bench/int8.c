/* int8.c: the image encoder in fp32 and in 8 bits, each beside the matrix product that it is made of.
 *
 *     encoder.int8_over_fp32     photos/s in 8 bits over photos/s in fp32, image tokens included
 *     encoder.fp32_of_sgemm      the fp32 encoder's multiplications a second, over sgemm's
 *     encoder.int8_of_matmul     the 8-bit encoder's, over those of our 8-bit product
 *     encoder.matmul_over_sgemm  the 8-bit product's over sgemm's: what the first could be at most on this processor
 *
 * for the shape of coca_ViT-B-32; small.* for the model that ships. The products are of 1024 x 1024 by 1024, on all cores, in the same
 * rounds.
 */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/net/coca.h"
#include "model/math/int8.h"
#include "model/net/quantize.h"
#include "model/net/vision.h"
#include "schema/base/memory.h"
#include "tests/bench/bench.h"

#include "schema/base/banned.h"

enum { ROUNDS = 5, SIDE = 1024, WEIGHTS = SIDE * SIDE };

struct data {
	struct coca *model;
	struct coca_scratch *state;
	size_t images;
	float *pixels, *features, *tokens;
	float *x, *weights, *y;
	struct int8_matrix matrix;
	struct int8_rows rows;
	enum status status;
	struct err err;
};

static void encode(struct data *d, enum precision precision)
{
	coca_set_precision(d->model, precision);
	if (d->status == STATUS_OK)
		d->status = coca_encode_images(d->model, d->state, d->pixels, d->images, d->features, d->tokens, &d->err);
}

static void encode_fp32(void *context)
{
	encode(context, PRECISION_FP32);
}

static void encode_int8(void *context)
{
	encode(context, PRECISION_INT8);
}

static void multiply_fp32(void *context)
{
	struct data *d = context;
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, SIDE, SIDE, SIDE, 1, d->x, SIDE, d->weights, SIDE, 0, d->y, SIDE);
}

static void multiply_int8(void *context)
{
	struct data *d = context;
	int8_linear(&d->matrix, &d->rows, SIDE, false, d->y, SIDE);
}

static enum status prepare(struct data *d, const char *path)
{
	d->status = coca_open(path, &d->model, &d->err);
	if (d->status != STATUS_OK)
		return d->status;
	const struct config *config = coca_config(d->model);
	size_t pixels = d->images * 3 * config->image_size * config->image_size;
	d->state = coca_scratch_new();
	d->pixels = mem_floats(pixels);
	d->features = mem_floats(d->images * config->embed_dim);
	d->tokens = mem_floats(d->images * config->image_tokens * vision_token_width(config));
	d->x = mem_floats(WEIGHTS);
	d->weights = mem_floats(WEIGHTS);
	d->y = mem_floats(WEIGHTS);
	d->rows = (struct int8_rows){mem_array(WEIGHTS, 1), mem_floats(SIDE), mem_floats(SIDE)};
	if (!d->state || !d->pixels || !d->features || !d->tokens || !d->x || !d->weights || !d->y || !d->rows.codes || !d->rows.scale ||
	    !d->rows.offset)
		return d->status = err_memory(&d->err, "the benchmark's data");
	for (size_t i = 0; i < pixels; i++)
		d->pixels[i] = (float)(i * 2654435761u % 1024) / 256 - 2;
	for (size_t i = 0; i < WEIGHTS; i++) {
		d->x[i] = (float)(i * 2654435761u % 1021) / 256 - 2;
		d->weights[i] = (float)(i * 2654435761u % 1019) / 256 - 2;
	}
	const struct linear map = {d->weights, NULL, SIDE, SIDE, false};
	d->status = int8_matrix_init(&d->matrix, &map, INT8_PAIRS, NULL, &d->err);
	int8_quantise(d->x, SIDE, SIDE, &d->rows);
	return d->status;
}

static void release(struct data *d)
{
	coca_scratch_free(d->state);
	coca_close(d->model);
	int8_matrix_release(&d->matrix);
	free(d->rows.codes);
	free(d->rows.scale);
	free(d->rows.offset);
	free(d->pixels);
	free(d->features);
	free(d->tokens);
	free(d->x);
	free(d->weights);
	free(d->y);
}

static void print(struct bench *bench, const char *prefix, const char *name, double value, const char *unit, double target)
{
	char whole[64];

	snprintf(whole, sizeof whole, "%s.%s", prefix, name);
	bench_print(bench, whole, value, unit, target);
}

/* targets: of the three shares, or zeros. */
static void measure(struct bench *bench, const char *prefix, const char *path, size_t images, const double targets[3])
{
	struct data d = {.images = images};

	if (prepare(&d, path) == STATUS_OK) {
		struct bench_run runs[] = {
			{.work = encode_int8, .context = &d}, {.work = multiply_int8, .context = &d},
			{.work = encode_fp32, .context = &d}, {.work = multiply_fp32, .context = &d},
		};
		struct quantize_loss loss = {0};
		double start = bench_now(), work = bench_image_products(coca_config(d.model)) * (double)images / ((double)WEIGHTS * SIDE);
		coca_set_precision(d.model, PRECISION_INT8);
		/* No image: what is left is the making of the 8-bit weights. */
		d.status = coca_encode_images(d.model, d.state, d.pixels, 0, d.features, NULL, &d.err);
		print(bench, prefix, "int8_prepare_ms", 1e3 * (bench_now() - start), "ms", 0);
		bench_rounds(runs, 4, ROUNDS);
		print(bench, prefix, "int8_over_fp32", bench_ratio(&runs[2], &runs[0]), "x", targets[0]);
		print(bench, prefix, "fp32_of_sgemm", work * bench_ratio(&runs[3], &runs[2]), "", targets[1]);
		print(bench, prefix, "int8_of_matmul", work * bench_ratio(&runs[1], &runs[0]), "", targets[2]);
		print(bench, prefix, "matmul_over_sgemm", bench_ratio(&runs[3], &runs[1]), "x", 0);
		print(bench, prefix, "int8_photos", (double)images / bench_median(&runs[0]), "photos/s", 0);
		print(bench, prefix, "fp32_photos", (double)images / bench_median(&runs[2]), "photos/s", 0);
		if (d.status == STATUS_OK)
			d.status = quantize_measure(d.model, d.state, d.pixels, images, &loss, &d.err);
		print(bench, prefix, "int8_cosine", quantize_mean(&loss), "", 0);
	}
	if (d.status != STATUS_OK) {
		bench->status = d.status;
		bench->err = d.err;
	}
	release(&d);
}

void bench_int8(struct bench *bench)
{
	measure(bench, "encoder", bench->shape, 16, (const double[3]){3.5, 0.8, 0.6});
	measure(bench, "small", bench->model, 64, (const double[3]){0, 0, 0});
}
