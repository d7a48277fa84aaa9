/* parity.c: compares the model with the figures that OpenCLIP's own code gave for it.
 *
 *     build/tests/tools/parity DIR [WEIGHTS] [--tolerance-times X]
 *
 * DIR is laid out as a reference folder: open_clip_config.json, weights, expected.safetensors. WEIGHTS: another weights file of
 * the same configuration, in DIR. Every position goes through the plain twin; embeddings, tokens, log-likelihoods and greedy ids
 * through the fast path too. Prints each tensor's largest difference. Exit codes: 0 all within tolerance; 1 a difference,
 * a NaN, an expected tensor that is missing or misshapen; 2 wrong usage.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/files/checkpoint.h"
#include "model/net/encode.h"
#include "model/net/generate.h"
#include "model/net/likelihood.h"
#include "model/net/plain.h"
#include "schema/base/blas.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

static const float tolerance_features = 2e-4f, tolerance_logits = 2e-3f;

/* B images and as many texts; the rest as in coca.h. */
struct parity {
	struct coca *model;
	struct coca_scratch *state;
	struct checkpoint *expected;
	const struct config *config;
	size_t B, E, N, W, C, V;
	int32_t start, end;
	float times;             /* tolerances are multiplied by it */
	bool good;
	int32_t *ids;            /* [B,C] */
	float *pixels;
	float *features;         /* [B,E] */
	float *image_tokens;     /* [B,N,W] */
	float *text_tokens;      /* [B,C,W] */
	float *logits;           /* [B,C,V] */
	float *sums;             /* [B,B] */
	struct coca_text *texts; /* [B] */
	int32_t *greedy;         /* [B,C] that the plain twin chose */
};

static void report(struct parity *p, const char *path, const char *name, bool good, const char *text)
{
	printf("%-5s  %-20s  %-34s  %s\n", path, name, text, good ? "ok" : "FAILED");
	p->good = p->good && good;
}

/* The expected tensor if it has the shape; NULL, reported, otherwise. */
static const struct tensor *find(struct parity *p, const char *path, const char *name, int dims, const size_t *shape)
{
	const struct tensor *tensor = checkpoint_find(p->expected, name);

	if (!tensor)
		report(p, path, name, false, "missing");
	else if (tensor->dims != dims || memcmp(tensor->shape, shape, (size_t)dims * sizeof *shape) != 0)
		report(p, path, name, false, "has another shape");
	else
		return tensor;
	return NULL;
}

/* As floats, the caller's to free; NULL, reported, if it is not there in that shape. */
static float *expected(struct parity *p, const char *path, const char *name, int dims, const size_t *shape)
{
	const struct tensor *tensor = find(p, path, name, dims, shape);
	float *values = tensor ? mem_floats(tensor->count) : NULL;
	struct err err = {0};

	if (tensor && (!values || tensor_floats(tensor, values, &err) != STATUS_OK)) {
		report(p, path, name, false, values ? err.text : "out of memory");
		free(values);
		values = NULL;
	}
	return values;
}

static void judge(struct parity *p, const char *path, const char *name, const float *values, const float *want, size_t n, float tolerance)
{
	float largest = 0;
	char text[64];

	for (size_t i = 0; i < n && !isnan(largest); i++) {
		float difference = fabsf(values[i] - want[i]);
		if (!(difference <= largest)) /* a NaN stays */
			largest = difference;
	}
	tolerance *= p->times;
	snprintf(text, sizeof text, "%.2e, tolerance %.0e", (double)largest, (double)tolerance);
	report(p, path, name, largest <= tolerance, text);
}

static void compare(struct parity *p, const char *path, const char *name, const float *values, int dims, const size_t *shape,
		    float tolerance)
{
	float *want = expected(p, path, name, dims, shape);
	size_t n = 1;

	for (int i = 0; i < dims; i++)
		n *= shape[i];
	if (want)
		judge(p, path, name, values, want, n, tolerance);
	free(want);
}

/* Expected ids [B,C]: 0, reported, unless they are integers of the vocabulary. */
static bool expected_ids(struct parity *p, const char *name, int32_t *ids)
{
	const struct tensor *tensor = find(p, "", name, 2, (size_t[]){p->B, p->C});

	if (!tensor)
		return false;
	if (tensor->dtype != DTYPE_I64 && tensor->dtype != DTYPE_I32) {
		report(p, "", name, false, "is not of integers");
		return false;
	}
	for (size_t i = 0; i < tensor->count; i++) {
		int64_t wide = 0;
		int32_t narrow = 0;
		if (tensor->dtype == DTYPE_I64) {
			memcpy(&wide, (const char *)tensor->data + i * sizeof wide, sizeof wide);
		} else {
			memcpy(&narrow, (const char *)tensor->data + i * sizeof narrow, sizeof narrow);
			wide = narrow;
		}
		if (wide < 0 || (size_t)wide >= p->V) {
			report(p, "", name, false, "holds an id beyond the vocabulary");
			return false;
		}
		ids[i] = (int32_t)wide;
	}
	return true;
}

static void normalise(float *x, size_t rows, size_t E)
{
	for (size_t r = 0; r < rows; r++) {
		double length = 0;
		for (size_t i = 0; i < E; i++)
			length += (double)x[r * E + i] * (double)x[r * E + i];
		for (size_t i = 0; i < E; i++)
			x[r * E + i] = (float)((double)x[r * E + i] / sqrt(length));
	}
}

static size_t counted(const struct parity *p, size_t text)
{
	return coca_counted(p->model, p->texts[text]);
}

static void compare_sums(struct parity *p, const char *path)
{
	compare(p, path, "caption_loglik_sum", p->sums, 2, (size_t[]){p->B, p->B}, tolerance_logits);
	for (size_t i = 0; i < p->B * p->B; i++)
		p->sums[i] /= (float)(counted(p, i % p->B) ? counted(p, i % p->B) : 1);
	compare(p, path, "caption_loglik_mean", p->sums, 2, (size_t[]){p->B, p->B}, tolerance_logits);
}

static size_t count_different(const struct parity *p, const int32_t *a, const int32_t *b)
{
	size_t n = 0;

	for (size_t i = 0; i < p->B * p->C; i++)
		n += a[i] != b[i];
	return n;
}

/* Rounded weights, for which tolerances are widened, flip near ties: there the fast path must choose as the plain twin does. */
static void compare_greedy(struct parity *p, const char *path, const int32_t *ids)
{
	int32_t *want = mem_array(p->B * p->C, sizeof *want);
	char text[64];

	if (want && expected_ids(p, "greedy_text", want)) {
		size_t wrong = count_different(p, ids, want), unlike_plain = count_different(p, ids, p->greedy);
		if (p->times > 1)
			snprintf(text, sizeof text, "%zu ids differ, %zu from the plain twin", wrong, unlike_plain);
		else
			snprintf(text, sizeof text, "%zu ids differ, tolerance 0", wrong);
		report(p, path, "greedy_text", (p->times > 1 ? unlike_plain : wrong) == 0, text);
	}
	p->good = p->good && want;
	free(want);
}

/* ---- the plain twin ----------------------------------------------------------------------------------------------- */

/* log p(next) summed over the ids behind the start that are not padding; logits[C,V]. */
static float text_sum(const struct parity *p, const int32_t *ids, const float *logits)
{
	double sum = 0;

	for (size_t t = 1; t < p->C; t++) {
		const float *row = logits + (t - 1) * p->V;
		double total = 0, most = -INFINITY;
		if (ids[t] == p->config->pad_id)
			continue;
		for (size_t v = 0; v < p->V; v++)
			most = fmax(most, (double)row[v]);
		for (size_t v = 0; v < p->V; v++)
			total += exp((double)row[v] - most);
		sum += (double)row[ids[t]] - most - log(total);
	}
	return (float)sum;
}

/* Every image with every text: image i meets text (i + shift) % B. */
static enum status plain_likelihoods(struct parity *p, struct err *err)
{
	float *shifted = mem_floats(p->B * p->C * p->W);
	enum status status = shifted ? STATUS_OK : err_memory(err, "tokens");

	for (size_t shift = 0; shift < p->B && status == STATUS_OK; shift++) {
		for (size_t i = 0; i < p->B; i++)
			memcpy(shifted + i * p->C * p->W, p->text_tokens + (i + shift) % p->B * p->C * p->W, p->C * p->W * sizeof *shifted);
		status = coca_plain_logits(p->model, p->image_tokens, shifted, p->B, p->logits, err);
		for (size_t i = 0; i < p->B && status == STATUS_OK; i++) {
			size_t text = (i + shift) % p->B;
			p->sums[i * p->B + text] = text_sum(p, p->ids + text * p->C, p->logits + i * p->C * p->V);
		}
	}
	free(shifted);
	return status;
}

/* The whole context anew for each id. */
static enum status plain_greedy(struct parity *p, struct err *err)
{
	int32_t *ids = p->greedy;
	bool *ended = mem_array(p->B, sizeof *ended);
	enum status status = ended ? STATUS_OK : err_memory(err, "ids");

	for (size_t i = 0; i < p->B && status == STATUS_OK; i++)
		ids[i * p->C] = p->start;
	for (size_t t = 1; t < p->C && status == STATUS_OK; t++) {
		status = coca_plain_texts(p->model, ids, p->B, p->features, p->text_tokens, err);
		if (status == STATUS_OK)
			status = coca_plain_logits(p->model, p->image_tokens, p->text_tokens, p->B, p->logits, err);
		for (size_t i = 0; i < p->B && status == STATUS_OK; i++) {
			const float *row = p->logits + (i * p->C + t - 1) * p->V;
			size_t best = 0;
			for (size_t v = 1; v < p->V; v++)
				best = row[v] > row[best] ? v : best;
			ids[i * p->C + t] = ended[i] ? p->config->pad_id : (int32_t)best;
			ended[i] = ended[i] || (int32_t)best == p->end;
		}
	}
	if (status == STATUS_OK)
		compare_greedy(p, "plain", ids);
	free(ended);
	return status;
}

static enum status check_plain(struct parity *p, struct err *err)
{
	size_t rows[] = {p->B, p->E};
	enum status status = coca_plain_images(p->model, p->pixels, p->B, p->features, p->image_tokens, err);

	if (status != STATUS_OK)
		return status;
	compare(p, "plain", "image_features_raw", p->features, 2, rows, tolerance_features);
	normalise(p->features, p->B, p->E);
	compare(p, "plain", "image_features", p->features, 2, rows, tolerance_features);
	compare(p, "plain", "image_tokens", p->image_tokens, 3, (size_t[]){p->B, p->N, p->W}, tolerance_features);
	status = coca_plain_texts(p->model, p->ids, p->B, p->features, p->text_tokens, err);
	if (status != STATUS_OK)
		return status;
	compare(p, "plain", "text_features_raw", p->features, 2, rows, tolerance_features);
	normalise(p->features, p->B, p->E);
	compare(p, "plain", "text_features", p->features, 2, rows, tolerance_features);
	compare(p, "plain", "text_tokens", p->text_tokens, 3, (size_t[]){p->B, p->C, p->W}, tolerance_features);
	status = coca_plain_logits(p->model, p->image_tokens, p->text_tokens, p->B, p->logits, err);
	if (status != STATUS_OK)
		return status;
	compare(p, "plain", "logits", p->logits, 3, (size_t[]){p->B, p->C, p->V}, tolerance_logits);
	status = plain_likelihoods(p, err);
	if (status != STATUS_OK)
		return status;
	compare_sums(p, "plain");
	return plain_greedy(p, err);
}

/* ---- the fast path ------------------------------------------------------------------------------------------------ */

/* Tokens are computed where ids are: those positions are compared. packed[sum of counts, W]. */
static void compare_text_tokens(struct parity *p, const float *packed)
{
	float *want = expected(p, "fast", "text_tokens", 3, (size_t[]){p->B, p->C, p->W});
	size_t rows = 0;

	for (size_t i = 0; want && i < p->B; i++) {
		memmove(want + rows * p->W, want + i * p->C * p->W, p->texts[i].count * p->W * sizeof *want);
		rows += p->texts[i].count;
	}
	if (want)
		judge(p, "fast", "text_tokens", packed, want, rows * p->W, tolerance_features);
	free(want);
}

static enum status fast_likelihoods(struct parity *p, struct err *err)
{
	struct coca_pair *pairs = mem_array(p->B * p->B, sizeof *pairs);
	enum status status;

	if (!pairs)
		return err_memory(err, "pairs");
	for (size_t i = 0; i < p->B * p->B; i++)
		pairs[i] = (struct coca_pair){i / p->B, i % p->B};
	status = coca_likelihood(p->model, p->state, p->image_tokens, p->B, p->texts, p->B, pairs, p->B * p->B, p->sums, NULL, err);
	if (status == STATUS_OK)
		compare_sums(p, "fast");
	free(pairs);
	return status;
}

static enum status fast_greedy(struct parity *p, struct err *err)
{
	struct caption *captions = mem_array(p->B, sizeof *captions);
	int32_t *ids = mem_array(p->B * p->C, sizeof *ids);
	enum status status = captions && ids ? STATUS_OK : err_memory(err, "captions");

	if (status == STATUS_OK)
		status = generate_greedy(p->model, p->state, p->image_tokens, p->B, p->start, p->end, 0, captions, err);
	if (status == STATUS_OK) {
		for (size_t i = 0; i < p->B; i++)
			memcpy(ids + i * p->C, captions[i].ids, captions[i].count * sizeof *ids);
		compare_greedy(p, "fast", ids);
		captions_release(captions, p->B);
	}
	free(captions);
	free(ids);
	return status;
}

static enum status check_fast(struct parity *p, struct err *err)
{
	size_t rows[] = {p->B, p->E};
	enum status status = coca_encode_images(p->model, p->state, p->pixels, p->B, p->features, p->image_tokens, err);

	if (status != STATUS_OK)
		return status;
	compare(p, "fast", "image_features", p->features, 2, rows, tolerance_features);
	compare(p, "fast", "image_tokens", p->image_tokens, 3, (size_t[]){p->B, p->N, p->W}, tolerance_features);
	status = coca_encode_texts(p->model, p->state, p->texts, p->B, p->features, p->text_tokens, err);
	if (status != STATUS_OK)
		return status;
	compare(p, "fast", "text_features", p->features, 2, rows, tolerance_features);
	compare_text_tokens(p, p->text_tokens);
	status = coca_encode_texts(p->model, p->state, p->texts, p->B, p->features, NULL, err);
	if (status != STATUS_OK)
		return status;
	compare(p, "fast", "text_features", p->features, 2, rows, tolerance_features);
	status = fast_likelihoods(p, err);
	return status == STATUS_OK ? fast_greedy(p, err) : status;
}

/* ---- inputs ------------------------------------------------------------------------------------------------------- */

static enum status allocate(struct parity *p, struct err *err)
{
	size_t S = p->config->image_size;

	p->ids = mem_array(p->B * p->C, sizeof *p->ids);
	p->greedy = mem_array(p->B * p->C, sizeof *p->greedy);
	p->texts = mem_array(p->B, sizeof *p->texts);
	p->features = mem_floats(p->B * p->E);
	p->image_tokens = mem_floats(p->B * p->N * p->W);
	p->text_tokens = mem_floats(p->B * p->C * p->W);
	p->logits = mem_floats(p->B * p->C * p->V);
	p->sums = mem_floats(p->B * p->B);
	p->pixels = expected(p, "", "pixels", 4, (size_t[]){p->B, 3, S, S});
	if (!p->pixels)
		return err_set(err, STATUS_FORMAT, "the expected figures have no usable input");
	if (!p->ids || !p->greedy || !p->texts || !p->features || !p->image_tokens || !p->text_tokens || !p->logits || !p->sums)
		return err_memory(err, "activations");
	return STATUS_OK;
}

static enum status read_inputs(struct parity *p, struct err *err)
{
	const struct tensor *pixels = checkpoint_find(p->expected, "pixels");
	enum status status;

	p->B = pixels && pixels->dims == 4 ? pixels->shape[0] : 0;
	if (p->B == 0)
		return err_set(err, STATUS_FORMAT, "the expected figures have no pixels");
	status = allocate(p, err);
	if (status == STATUS_OK && !expected_ids(p, "text", p->ids))
		status = err_set(err, STATUS_FORMAT, "the expected figures have no usable input");
	for (size_t i = 0; status == STATUS_OK && i < p->B; i++) {
		size_t n = p->C;
		while (n > 1 && p->ids[i * p->C + n - 1] == p->config->pad_id)
			n--;
		p->texts[i] = (struct coca_text){p->ids + i * p->C, n};
	}
	return status;
}

static enum status open_all(struct parity *p, const char *folder, const char *weights, struct err *err)
{
	char *figures = path_join(folder, "expected.safetensors");
	enum status status = figures ? coca_open(weights ? weights : folder, &p->model, err) : err_memory(err, "a path");

	if (status == STATUS_OK)
		status = checkpoint_open(figures, &p->expected, err);
	free(figures);
	if (status != STATUS_OK)
		return status;
	const struct tokenizer *tokenizer = coca_tokenizer(p->model);
	p->config = coca_config(p->model);
	p->E = p->config->embed_dim;
	p->N = p->config->image_tokens;
	p->W = p->config->text.width;
	p->C = p->config->context_length;
	p->V = p->config->vocab_size;
	p->start = tokenizer ? tokenizer_start(tokenizer) : (int32_t)p->V - 2;
	p->end = tokenizer ? tokenizer_end(tokenizer) : (int32_t)p->V - 1;
	p->state = coca_scratch_new();
	return p->state ? STATUS_OK : err_memory(err, "a state");
}

static void release(struct parity *p)
{
	coca_scratch_free(p->state);
	coca_close(p->model);
	checkpoint_close(p->expected);
	free(p->ids);
	free(p->greedy);
	free(p->texts);
	free(p->pixels);
	free(p->features);
	free(p->image_tokens);
	free(p->text_tokens);
	free(p->logits);
	free(p->sums);
}

static bool parse(int argc, char **argv, const char **folder, const char **weights, float *times)
{
	for (int i = 1; i < argc; i++) {
		char *end = NULL;
		if (strcmp(argv[i], "--tolerance-times") == 0) {
			*times = ++i < argc ? strtof(argv[i], &end) : 0;
			if (!end || *end || !(*times > 0))
				return false;
		} else if (argv[i][0] == '-' || *weights) {
			return false;
		} else if (*folder) {
			*weights = argv[i];
		} else {
			*folder = argv[i];
		}
	}
	return *folder != NULL;
}

int main(int argc, char **argv)
{
	struct parity p = {.good = true, .times = 1};
	const char *folder = NULL, *weights = NULL;
	struct err err = {0};

	blas_guard(argv, true);
	if (!parse(argc, argv, &folder, &weights, &p.times)) {
		fprintf(stderr, "usage: parity DIR [WEIGHTS] [--tolerance-times X]\n");
		return 2;
	}
	enum status status = open_all(&p, folder, weights, &err);
	if (status == STATUS_OK)
		status = read_inputs(&p, &err);
	if (status == STATUS_OK)
		status = check_plain(&p, &err);
	if (status == STATUS_OK)
		status = check_fast(&p, &err);
	if (status != STATUS_OK)
		fprintf(stderr, "parity: %s\n", err.text);
	bool good = status == STATUS_OK && p.good;
	printf("%s: %s\n", folder, good ? "agrees" : "DIFFERS");
	release(&p);
	return good ? 0 : 1;
}
