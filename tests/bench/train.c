/* train.c: how fast training is, with the configuration of the model that ships.
 *
 * Medians of rounds in which each is measured once: the rate of a large sgemm, a joint step (both losses, backward, AdamW), and a
 * step of the captioning loss alone. Batches are noise and random ids of the length that captions have.
 */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/train/objective.h"
#include "model/train/optimizer.h"
#include "schema/base/blas.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "tests/bench/bench.h"
#include "tests/support.h"

#include "schema/base/banned.h"

enum { BATCH = 160, ROUNDS = 7, SHORTEST = 8, LONGEST = 16, GEMM = 1024 };

struct data {
	struct config config;
	struct parameters parameters;
	struct network *network;
	struct batch_part part;
	float *gemm[3];
};

static enum status make_batch(struct data *b, struct err *err)
{
	size_t S = b->config.image_size, C = b->config.context_length;
	uint8_t *rgb = mem_array(BATCH, 3 * S * S);
	int32_t *ids = mem_array(BATCH * C, sizeof *ids);
	size_t *begin = mem_array(BATCH + 1, sizeof *begin);
	struct batch_sample *samples = mem_array(BATCH, sizeof *samples);
	uint64_t random = 1;

	b->part = (struct batch_part){{BATCH, NULL, rgb, ids, begin, NULL}, samples};
	if (!rgb || !ids || !begin || !samples)
		return err_memory(err, "a batch");
	for (size_t i = 0; i < BATCH * 3 * S * S; i++)
		rgb[i] = (uint8_t)test_random(&random);
	for (size_t i = 0; i < BATCH; i++) {
		size_t n = SHORTEST + test_random(&random) % (LONGEST - SHORTEST + 1);
		begin[i + 1] = begin[i] + (n < C ? n : C);
		for (size_t j = begin[i]; j < begin[i + 1]; j++)
			ids[j] = (int32_t)(1 + test_random(&random) % (b->config.vocab_size - 1));
		samples[i] = (struct batch_sample){.photo = i, .caption = i, .share = 1};
	}
	return STATUS_OK;
}

/* Floating-point operations of all matrix products of a joint step: forward, and twice that backward. */
static double operations(const struct data *b)
{
	const struct config *c = &b->config;
	const size_t *begin = b->part.batch.begin;
	double rows = 0, labels = 0, text_pairs = 0, decoder_pairs = 0, N = (double)c->image_tokens;
	double W = (double)c->text.width, H = (double)c->text.hidden, M = (double)c->decoder.hidden;

	for (size_t i = 0; i < BATCH; i++) {
		double n = (double)(begin[i + 1] - begin[i]), r = n + (n < (double)c->context_length) + 1;
		rows += r;
		text_pairs += r * r;
		labels += n - 1;
		decoder_pairs += (n - 1) * (n - 1);
	}
	double text = (double)c->text.layers * (rows * (4 * W * W + 2 * W * H) + 2 * text_pairs * W);
	double self = labels * (4 * W * W + 2 * W * M) + 2 * decoder_pairs * W;
	double cross = labels * (2 * W * W + 2 * W * M) + BATCH * N * 2 * W * W + 2 * labels * N * W;
	double decoder = (double)c->decoder.layers * (self + cross) + labels * W * (double)c->vocab_size;
	return 3 * 2 * (BATCH * bench_image_products(c) + text + decoder);
}

static double time_gemm(const struct data *b)
{
	double started = bench_now();

	for (int i = 0; i < 8; i++)
		cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, GEMM, GEMM, GEMM, 1, b->gemm[0], GEMM, b->gemm[1], GEMM, 0,
			    b->gemm[2], GEMM);
	return (bench_now() - started) / 8;
}

static enum status time_step(struct data *b, struct objective objective, uint64_t step, double *seconds, struct err *err)
{
	const struct optimizer optimizer = {.rate = 1e-4, .weight_decay = 0.05, .beta1 = 0.9, .beta2 = 0.98, .epsilon = 1e-6, .clip = 1,
					    .average = 0.999, .steps = 1000};
	struct losses losses;
	double started = bench_now(), norm;
	enum status status = objective_gradient(&objective, b->network, &b->parameters, &b->part, 1, &losses, err);

	if (status == STATUS_OK)
		status = optimizer_step(&optimizer, &b->parameters, step, &norm, err);
	*seconds = bench_now() - started;
	return status;
}

static enum status measure(struct bench *bench, struct data *b)
{
	double gemm[ROUNDS], joint[ROUNDS], caption[ROUNDS], ratio[ROUNDS], share[ROUNDS], flops = operations(b), first;
	enum status status = time_step(b, (struct objective){1, 2}, 0, &first, &bench->err);

	for (int i = 0; i < ROUNDS && status == STATUS_OK; i++) {
		gemm[i] = time_gemm(b);
		status = time_step(b, (struct objective){1, 2}, 1, &joint[i], &bench->err);
		if (status == STATUS_OK)
			status = time_step(b, (struct objective){0, 2}, 1, &caption[i], &bench->err);
		ratio[i] = joint[i] / caption[i];
		share[i] = flops / joint[i] / (2.0 * GEMM * GEMM * GEMM / gemm[i]);
	}
	if (status != STATUS_OK)
		return status;
	double step = bench_median_of(joint, ROUNDS), product = bench_median_of(gemm, ROUNDS);
	bench_print(bench, "train samples", BATCH / step, "samples/s", 0);
	bench_print(bench, "train step at batch 160", step * 1e3, "ms", 0);
	bench_print(bench, "train matrix operations", flops / step / 1e9, "GFLOP/s", 0);
	bench_print(bench, "sgemm beside it, 1024 cubed", 2.0 * GEMM * GEMM * GEMM / product / 1e9, "GFLOP/s", 0);
	bench_print(bench, "train share of the sgemm rate", 100 * bench_median_of(share, ROUNDS), "%", 0);
	bench_print(bench, "train joint step over captioning alone", bench_median_of(ratio, ROUNDS), "times", 0);
	bench_print(bench, "train threads", blas_threads(), "threads", 0);
	return STATUS_OK;
}

static enum status run(struct bench *bench, struct data *b)
{
	struct err *err = &bench->err;
	char *config = path_join(bench->model, "open_clip_config.json");
	enum status status = config ? config_read(config, &b->config, err) : err_memory(err, "a path");

	free(config);
	if (status == STATUS_OK)
		status = parameters_init(&b->parameters, &b->config, err);
	if (status == STATUS_OK)
		status = network_new(&b->config, &b->network, err);
	if (status == STATUS_OK)
		status = make_batch(b, err);
	for (int i = 0; i < 3 && status == STATUS_OK; i++) {
		b->gemm[i] = mem_floats((size_t)GEMM * GEMM);
		if (!b->gemm[i])
			return err_memory(err, "matrices");
		for (size_t j = 0; j < (size_t)GEMM * GEMM; j++)
			b->gemm[i][j] = (float)(j % 17) / 17;
	}
	if (status != STATUS_OK)
		return status;
	parameters_random(&b->parameters, 1);
	return measure(bench, b);
}

void bench_train(struct bench *bench)
{
	struct data data = {0};

	bench->status = run(bench, &data);
	free((void *)(uintptr_t)data.part.batch.rgb);
	free((void *)(uintptr_t)data.part.batch.ids);
	free((void *)(uintptr_t)data.part.batch.begin);
	free((void *)(uintptr_t)data.part.samples);
	for (int i = 0; i < 3; i++)
		free(data.gemm[i]);
	network_free(data.network);
	parameters_release(&data.parameters);
}
