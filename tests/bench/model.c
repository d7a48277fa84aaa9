/* model.c: how fast the model that ships is: encoders, likelihoods, captions.
 *
 * The share of the matrix product's own rate, measured in the same run, says more than a time on a machine that others use, too.
 */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/net/encode.h"
#include "model/net/generate.h"
#include "model/net/likelihood.h"
#include "model/net/vision.h"
#include "schema/base/memory.h"
#include "tests/bench/bench.h"

#include "schema/base/banned.h"

enum { RUNS = 5, IMAGES = 64, CANDIDATES = 50, WORDS = 10 };

struct data {
	struct coca *model;
	struct coca_scratch *state;
	const struct config *config;
	size_t images, texts, pairs; /* of the next call */
	float *pixels, *features, *tokens, *sums;
	int32_t *ids;
	struct coca_text *list;
	struct coca_pair *pair;
	enum status status;
	struct err err;
};

/* Median seconds of work(data). */
static double median(struct data *b, void (*work)(void *context))
{
	struct bench_run run = {.work = work, .context = b};

	bench_rounds(&run, 1, RUNS);
	return bench_median(&run);
}

static void encode_images(void *context)
{
	struct data *b = context;
	if (b->status == STATUS_OK)
		b->status = coca_encode_images(b->model, b->state, b->pixels, b->images, b->features, b->tokens, &b->err);
}

static void encode_texts(void *context)
{
	struct data *b = context;
	if (b->status == STATUS_OK)
		b->status = coca_encode_texts(b->model, b->state, b->list, b->texts, b->features, NULL, &b->err);
}

static void score(void *context)
{
	struct data *b = context;
	if (b->status == STATUS_OK)
		b->status = coca_likelihood(b->model, b->state, b->tokens, b->images, b->list, b->texts, b->pair, b->pairs, b->sums, NULL,
					    &b->err);
}

static void caption(void *context)
{
	struct data *b = context;
	struct caption captions[CANDIDATES] = {{0}};

	if (b->status == STATUS_OK)
		b->status = generate_greedy(b->model, b->state, b->tokens, b->images, b->list[0].ids[0], 0, 20, captions, &b->err);
	captions_release(captions, CANDIDATES);
}

/* A square product that fits no cache but the last. */
static void multiply(void *context)
{
	struct data *b = context;
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, 1024, 1024, 1024, 1, b->pixels, 1024, b->pixels, 1024, 0,
		    b->pixels + 1024 * 1024, 1024);
}

static void pair_all(struct data *b, size_t images, size_t texts)
{
	b->images = images;
	b->texts = texts;
	b->pairs = images * texts;
	for (size_t i = 0; i < b->pairs; i++)
		b->pair[i] = (struct coca_pair){i / texts, i % texts};
}

static void measure(struct bench *bench, struct data *b)
{
	char name[96];
	double rate = 2 * 1024.0 * 1024 * 1024 / median(b, multiply) / 1e9;

	bench_print(bench, "matrix product, 1024 cubed", rate, "GFLOP/s", 0);
	for (size_t images = 1; images <= IMAGES; images *= 8) {
		b->images = images;
		double seconds = median(b, encode_images), flops = 2 * bench_image_products(b->config) * (double)images;
		snprintf(name, sizeof name, "images, batch %zu", images);
		bench_print(bench, name, (double)images / seconds, "photos/s", 0);
		snprintf(name, sizeof name, "images, batch %zu: share of the product's rate", images);
		bench_print(bench, name, 100 * flops / seconds / 1e9 / rate, "%", 0);
	}
	b->texts = 1;
	bench_print(bench, "one text of 10 ids", 1e3 * median(b, encode_texts), "ms", 0);
	b->texts = CANDIDATES;
	bench_print(bench, "50 texts of 10 ids", 1e3 * median(b, encode_texts), "ms", 0);
	pair_all(b, CANDIDATES, 1);
	bench_print(bench, "likelihood, 50 images x 1 text", 1e3 * median(b, score), "ms", 0);
	pair_all(b, 1, CANDIDATES);
	bench_print(bench, "likelihood, 1 image x 50 texts", 1e3 * median(b, score), "ms", 0);
	pair_all(b, CANDIDATES, CANDIDATES);
	if (b->config->decoder.width <= 256)
		bench_print(bench, "likelihood, 2500 pairs", (double)b->pairs / median(b, score), "pairs/s", 0);
	b->images = 1;
	bench_print(bench, "caption of 20 ids, 1 image", 1e3 * median(b, caption), "ms", 0);
	b->images = 16;
	bench_print(bench, "caption of 20 ids, 16 images", 1e3 * median(b, caption) / 16, "ms/photo", 0);
}

static enum status prepare(struct bench *bench, struct data *b)
{
	double start = bench_now();

	b->status = coca_open(bench->model, &b->model, &b->err);
	if (b->status != STATUS_OK)
		return b->status;
	bench_print(bench, "opening the model", 1e3 * (bench_now() - start), "ms", 0);
	b->config = coca_config(b->model);
	size_t image = 3 * b->config->image_size * b->config->image_size, n = IMAGES * image;
	size_t token = b->config->image_tokens * vision_token_width(b->config);
	n = n > 2 * 1024 * 1024 ? n : 2 * 1024 * 1024;
	b->state = coca_scratch_new();
	b->pixels = mem_floats(n);
	b->features = mem_floats(IMAGES * b->config->embed_dim);
	b->tokens = mem_floats(IMAGES * token);
	b->sums = mem_floats(CANDIDATES * CANDIDATES);
	b->ids = mem_array(CANDIDATES * WORDS, sizeof *b->ids);
	b->list = mem_array(CANDIDATES, sizeof *b->list);
	b->pair = mem_array(CANDIDATES * CANDIDATES, sizeof *b->pair);
	if (!b->state || !b->pixels || !b->features || !b->tokens || !b->sums || !b->ids || !b->list || !b->pair)
		return b->status = err_memory(&b->err, "the benchmark's data");
	for (size_t i = 0; i < n; i++)
		b->pixels[i] = (float)(i * 2654435761u % 1024) / 256 - 2;
	for (size_t i = 0; i < CANDIDATES * WORDS; i++)
		b->ids[i] = (int32_t)(1 + i * 2654435761u % (b->config->vocab_size - 1));
	for (size_t i = 0; i < CANDIDATES; i++)
		b->list[i] = (struct coca_text){b->ids + i * WORDS, WORDS};
	return STATUS_OK;
}

void bench_model(struct bench *bench)
{
	struct data b = {.status = STATUS_OK};

	if (prepare(bench, &b) == STATUS_OK)
		measure(bench, &b);
	bench->status = b.status;
	bench->err = b.err;
	coca_scratch_free(b.state);
	coca_close(b.model);
	free(b.pixels);
	free(b.features);
	free(b.tokens);
	free(b.sums);
	free(b.ids);
	free(b.list);
	free(b.pair);
}
