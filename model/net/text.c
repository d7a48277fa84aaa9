/* text.c: see text.h. */
#include "model/net/text.h"

#include <string.h>

#include "model/net/block.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

struct work {
	float *x;            /* [R,W] */
	float *pooled;       /* [T,W]: class embeddings */
	uint8_t *visible;    /* [R] */
	size_t *begin;       /* [T+1] */
	struct block_scratch block;
};

size_t text_rows(const struct config *config, size_t n)
{
	return n + (n < config->context_length) + 1;
}

static size_t work_carve(const struct config *config, size_t rows, size_t T, int threads, void *base, struct work *work)
{
	struct carver carver = {base, 0};
	size_t W = config->text.width;

	work->x = carve_floats(&carver, rows, W);
	work->pooled = carve_floats(&carver, T, W);
	work->visible = carve(&carver, rows, 1);
	work->begin = carve(&carver, T + 1, sizeof *work->begin);
	block_carve(&carver, &work->block, &config->text, config->quick_gelu, rows, T, config->context_length + 1, threads);
	return carver.used;
}

size_t text_scratch(const struct config *config, size_t rows, size_t T, int threads)
{
	struct work work;

	return work_carve(config, rows, T, threads, NULL, &work);
}

static void add(const float *a, const float *b, size_t n, float *to)
{
	for (size_t i = 0; i < n; i++)
		to[i] = a[i] + b[i];
}

/* The first n rows of a text from its ids, and which of them may be seen. */
static void embed_ids(const struct config *config, const struct weights *weights, const int32_t *ids, size_t n, float *x, uint8_t *visible)
{
	size_t W = config->text.width;

	for (size_t t = 0; t < n; t++) {
		add(weights->token_embedding + (size_t)ids[t] * W, weights->text_positions + t * W, W, x + t * W);
		visible[t] = t == 0 || ids[t - 1] != config->pad_id;
	}
}

static void embed(const struct config *config, const struct weights *weights, const struct coca_text *text, float *x, uint8_t *visible)
{
	size_t W = config->text.width, C = config->context_length, n = text->count;
	bool last_seen = text->ids[n - 1] != config->pad_id;

	embed_ids(config, weights, text->ids, n, x, visible);
	if (n < C) {
		add(weights->token_embedding + (size_t)config->pad_id * W, weights->text_positions + n * W, W, x + n * W);
		visible[n++] = last_seen;
		last_seen = false;
	}
	add(weights->class_text, weights->text_positions + C * W, W, x + n * W);
	visible[n] = last_seen;
}

void text_forward(const struct config *config, const struct weights *weights, const struct coca_text *texts, size_t T, int threads,
		  void *scratch, float *features, float *tokens)
{
	size_t W = config->text.width, L = config->text.layers, rows = 0;
	struct linear proj = {weights->text_proj, NULL, W, config->embed_dim, true};
	struct work work;

	for (size_t i = 0; i < T; i++)
		rows += text_rows(config, texts[i].count);
	work_carve(config, rows, T, threads, scratch, &work);
	work.begin[0] = 0;
	for (size_t i = 0; i < T; i++) {
		work.begin[i + 1] = work.begin[i] + text_rows(config, texts[i].count);
		embed(config, weights, texts + i, work.x + work.begin[i] * W, work.visible + work.begin[i]);
	}
	struct pack pack = {work.begin, T, work.visible, true};
	/* Nobody reads the last block's output but at the class embeddings, unless tokens are wanted. */
	size_t whole = tokens ? L : L - 1;
	for (size_t l = 0; l < whole; l++)
		block_self(weights->text + l, NULL, &work.block, &pack, work.x);
	if (!tokens)
		block_self_last(weights->text + whole, &work.block, &pack, work.x, work.pooled);
	for (size_t i = 0; tokens && i < T; i++) {
		memcpy(tokens, work.x + work.begin[i] * W, texts[i].count * W * sizeof *tokens);
		tokens += texts[i].count * W;
		memcpy(work.pooled + i * W, work.x + (work.begin[i + 1] - 1) * W, W * sizeof *work.pooled);
	}
	op_norm(&weights->text_ln_final, work.pooled, T, W, work.pooled);
	op_linear(&proj, work.pooled, T, features);
}

void text_prefixes(const struct config *config, const struct weights *weights, const struct coca_text *texts, size_t T, int threads,
		   void *scratch, float *tokens)
{
	size_t W = config->text.width, rows = 0, used = 0;
	struct work work;

	for (size_t i = 0; i < T; i++)
		rows += texts[i].count - 1;
	work_carve(config, rows, T, threads, scratch, &work);
	work.begin[0] = 0;
	for (size_t i = 0; i < T; i++) {
		size_t n = texts[i].count - 1;
		if (n == 0)
			continue;
		embed_ids(config, weights, texts[i].ids, n, tokens + work.begin[used] * W, work.visible + work.begin[used]);
		work.begin[used + 1] = work.begin[used] + n;
		used++;
	}
	struct pack pack = {work.begin, used, work.visible, true};
	for (size_t l = 0; l < config->text.layers; l++)
		block_self(weights->text + l, NULL, &work.block, &pack, tokens);
}
