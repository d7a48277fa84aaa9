/* vision.c: see vision.h. */
#include "model/net/vision.h"

#include <stdlib.h>
#include <string.h>

#include "model/net/block.h"
#include "model/net/stem.h"
#include "model/net/vision_int8.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* One piece's memory. T positions of an image (class token and patches), D the tower's width. */
struct work {
	struct stem_maps stem;
	float *patches;       /* [B * patches, columns of conv1] */
	float *embedded;      /* [B * patches, D] */
	float *x;             /* [B * T, D] */
	float *kv;            /* [B * most keys, 2E]: of a pooler */
	float *attended;      /* [B * most keys, D or E]: a pooler's normed keys, then what its queries gathered */
	float *pooled;        /* [B * n, E]: a pooler's output */
	float *latent;        /* [B, E or D]: what proj sees */
	size_t *begin;
	struct block_scratch block;
	struct int8_rows rows; /* [B * most keys, max(columns of conv1, D, E)]: what conv1 and the poolers take in 8 bits */
	const struct vision_int8 *int8; /* or NULL */
};

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

static size_t positions(const struct config *config)
{
	return 1 + config->patches;
}

static bool pools(const struct config *config)
{
	return config->pooling != POOL_NONE;
}

static bool pools_twice(const struct config *config)
{
	return config->pooling == POOL_PARALLEL || config->pooling == POOL_CASCADE;
}

size_t vision_token_width(const struct config *config)
{
	return pools(config) ? config->embed_dim : config->vision.width;
}

size_t vision_encoder_tokens(const struct config *config)
{
	return positions(config);
}

static size_t work_carve(const struct config *config, size_t B, int threads, void *base, struct work *work)
{
	struct carver carver = {base, 0};
	size_t D = config->vision.width, E = config->embed_dim, T = positions(config);
	size_t keys = larger(config->pool_queries, T);
	size_t rows = mem_product(B, T);

	if (config->stem_layers)
		stem_carve(&carver, config, &work->stem);
	work->patches = carve_floats(&carver, mem_product(B, config->patches), config_patch_inputs(config));
	work->embedded = carve_floats(&carver, mem_product(B, config->patches), D);
	work->x = carve_floats(&carver, rows, D);
	work->latent = carve_floats(&carver, B, larger(D, E));
	work->begin = carve(&carver, B + 1, sizeof *work->begin);
	if (pools(config)) {
		work->kv = carve_floats(&carver, mem_product(B, keys), mem_product(2, E));
		work->attended = carve_floats(&carver, mem_product(B, keys), larger(D, E));
		work->pooled = carve_floats(&carver, mem_product(B, config->pool_queries), E);
	}
	block_carve(&carver, &work->block, &config->vision, config->quick_gelu, rows, B, keys, threads);
	int8_carve(&carver, &work->rows, mem_product(B, keys), larger(config_patch_inputs(config), larger(D, E)));
	return carver.used;
}

size_t vision_scratch(const struct config *config, size_t B, int threads)
{
	struct work work;

	return work_carve(config, B, threads, NULL, &work);
}

static void pooler_queries(const struct pooler *pooler, size_t n, size_t E, float *queries /* [n,E] */, float *normed /* [n,E] */)
{
	struct linear query = {pooler->attn.q_weight, pooler->attn.in_bias, E, E, false};

	op_norm(&pooler->ln_q, pooler->query, n, E, normed);
	op_linear(&query, normed, n, queries);
}

enum status vision_queries_new(const struct config *config, const struct weights *weights, float **queries, struct err *err)
{
	size_t n = config->pool_queries, E = config->embed_dim;

	*queries = NULL;
	if (!pools(config))
		return STATUS_OK;
	float *normed = mem_floats(mem_product(n, E)), *made = mem_floats(mem_product(n + pools_twice(config), E));
	if (!normed || !made) {
		free(normed);
		free(made);
		return err_memory(err, "the pooler's queries");
	}
	pooler_queries(&weights->pool, n, E, made, normed);
	if (pools_twice(config))
		pooler_queries(&weights->pool_contrastive, 1, E, made + n * E, normed);
	free(normed);
	*queries = made;
	return STATUS_OK;
}

/* patches[B * side * side, 3PP] in the order of conv1's weights: colour, row, column. */
static void patchify(const struct config *config, const float *pixels, size_t B, float *patches)
{
	size_t S = config->image_size, P = config->patch_size, side = S / P;

#pragma omp parallel for collapse(2) schedule(static) if (B > 1)
	for (size_t b = 0; b < B; b++)
		for (size_t row = 0; row < side; row++)
			for (size_t column = 0; column < side; column++) {
				float *patch = patches + ((b * side + row) * side + column) * 3 * P * P;
				for (size_t c = 0; c < 3; c++)
					for (size_t y = 0; y < P; y++)
						memcpy(patch + (c * P + y) * P, pixels + ((b * 3 + c) * S + row * P + y) * S + column * P,
						       P * sizeof *patch);
			}
}

/* x[B * T, D]: the class token, then the patches, each with its position; then ln_pre. */
static void embed(const struct config *config, const struct weights *weights, const float *pixels, size_t B, struct work *work)
{
	size_t D = config->vision.width, T = positions(config), n = config->patches, S = config->image_size;
	size_t inputs = config_patch_inputs(config);
	struct linear conv = {weights->patch_weight, NULL, inputs, D, false};

	for (size_t b = 0; b < B && config->stem_layers; b++)
		stem_forward(config, weights, work->int8 ? work->int8->stem : NULL, pixels + b * 3 * S * S, &work->stem,
			     work->patches + b * n * inputs);
	if (!config->stem_layers)
		patchify(config, pixels, B, work->patches);
	if (work->int8 && work->int8->patch.weights) {
		int8_quantise(work->patches, B * n, inputs, &work->rows);
		int8_linear(&work->int8->patch, &work->rows, B * n, false, work->embedded, D);
	} else {
		op_linear(&conv, work->patches, B * n, work->embedded);
	}
	for (size_t b = 0; b < B; b++)
		for (size_t t = 0; t < T; t++) {
			const float *from = t == 0 ? weights->class_embedding : work->embedded + (b * n + t - 1) * D;
			const float *position = weights->vision_positions + t * D;
			float *to = work->x + (b * T + t) * D;
			for (size_t i = 0; i < D; i++)
				to[i] = from[i] + position[i];
		}
	if (!config->no_ln_pre)
		op_norm(&weights->ln_pre, work->x, B * T, D, work->x);
}

/* out[B * n, E] = the pooler's attention over x[B * T, D] */
static void pool(const struct config *config, const struct pooler *pooler, const struct int8_pooler *int8, const float *queries, size_t n,
		 const float *x, size_t B, size_t T, size_t D, struct work *work, float *out)
{
	size_t E = config->embed_dim;
	struct linear project = {pooler->attn.out_weight, pooler->attn.out_bias, E, E, false};
	struct attend_shape shape = {config->pool_heads, E, E, 2 * E, E, false};

	if (int8 && int8->out.weights) {
		int8_norm(&pooler->ln_k, x, B * T, D, &work->rows);
		int8_linear(&int8->kv, &work->rows, B * T, false, work->kv, 2 * E);
	} else {
		op_norm(&pooler->ln_k, x, B * T, D, work->attended);
		attention_keys(&pooler->attn, E, D, work->attended, B * T, work->kv);
	}
	for (size_t b = 0; b < B; b++) {
		const float *k = work->kv + b * T * 2 * E;
		work->block.jobs[b] = (struct attend){queries, k, k + E, NULL, work->attended + b * n * E, n, T};
	}
	op_attention(&shape, work->block.jobs, B, work->block.scores);
	if (int8 && int8->out.weights) {
		int8_quantise(work->attended, B * n, E, &work->rows);
		int8_linear(&int8->out, &work->rows, B * n, false, out, E);
	} else {
		op_linear(&project, work->attended, B * n, out);
	}
}

/* latent[B,D] = row 0 of each of B groups of n rows; tokens, if wanted, the others. */
static void split(const float *x, size_t B, size_t n, size_t D, float *latent, float *tokens)
{
	for (size_t b = 0; b < B; b++) {
		memcpy(latent + b * D, x + b * n * D, D * sizeof *latent);
		if (tokens)
			memcpy(tokens + b * (n - 1) * D, x + (b * n + 1) * D, (n - 1) * D * sizeof *tokens);
	}
}

static void pool_single(const struct config *config, const struct weights *weights, const float *queries, size_t B, struct work *work,
			float *tokens)
{
	size_t E = config->embed_dim, n = tokens ? config->pool_queries : 1;

	pool(config, &weights->pool, work->int8 ? &work->int8->pool : NULL, queries, n, work->x, B, positions(config),
	     config->vision.width, work, work->pooled);
	op_norm(&weights->ln_post, work->pooled, B * n, E, work->pooled);
	split(work->pooled, B, n, E, work->latent, tokens);
}

static void pool_twice(const struct config *config, const struct weights *weights, const float *queries, size_t B, struct work *work,
		       float *tokens)
{
	size_t E = config->embed_dim, D = config->vision.width, T = positions(config), n = config->pool_queries;
	bool cascade = config->pooling == POOL_CASCADE;
	const struct int8_pooler *int8 = work->int8 ? &work->int8->pool_contrastive : NULL;

	if (tokens || cascade)
		pool(config, &weights->pool, work->int8 ? &work->int8->pool : NULL, queries, n, work->x, B, T, D, work, work->pooled);
	if (tokens)
		memcpy(tokens, work->pooled, B * n * E * sizeof *tokens);
	if (cascade)
		pool(config, &weights->pool_contrastive, int8, queries + n * E, 1, work->pooled, B, n, E, work, work->latent);
	else
		pool(config, &weights->pool_contrastive, int8, queries + n * E, 1, work->x, B, T, D, work, work->latent);
}

void vision_forward(const struct config *config, const struct weights *weights, const struct vision_int8 *int8, const float *queries,
		    const float *pixels, size_t B, int threads, void *scratch, float *features, float *tokens, float *encoder_tokens)
{
	size_t D = config->vision.width, E = config->embed_dim, T = positions(config);
	struct linear proj = {weights->vision_proj, NULL, pools(config) ? E : D, E, true};
	struct work work;

	work_carve(config, B, threads, scratch, &work);
	work.int8 = int8;
	for (size_t b = 0; b <= B; b++)
		work.begin[b] = b * T;
	embed(config, weights, pixels, B, &work);
	struct pack pack = {work.begin, B, NULL, false};
	for (size_t l = 0; l < config->vision.layers; l++)
		block_self(weights->vision + l, int8 ? int8->blocks + l : NULL, &work.block, &pack, work.x);
	if (config->pooling != POOL_SINGLE)
		op_norm(&weights->ln_post, work.x, B * T, D, work.x);
	if (encoder_tokens)
		memcpy(encoder_tokens, work.x, B * T * D * sizeof *encoder_tokens);
	switch (config->pooling) {
	case POOL_NONE:
		split(work.x, B, T, D, work.latent, tokens);
		break;
	case POOL_SINGLE:
		pool_single(config, weights, queries, B, &work, tokens);
		break;
	case POOL_PARALLEL:
	case POOL_CASCADE:
		pool_twice(config, weights, queries, B, &work, tokens);
		break;
	}
	op_linear(&proj, work.latent, B, features);
}
