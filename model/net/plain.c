/* plain.c: CoCa's forward pass as it is written down: every position of the padded context, every mask an explicit matrix,
 * libm and sums in double. Slow and obvious on purpose: it is the oracle of the fast path, and shares no arithmetic with it.
 */
#include "model/net/plain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/math/plain.h"
#include "model/net/stem.h"
#include "model/net/vision.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* y[Q,D] = multi-head attention of queries[Q,D] over keys[K,Dk], both normalised. */
static enum status attend(const struct attention *attention, size_t heads, const float *queries, size_t Q, size_t D, const float *keys,
			  size_t K, size_t Dk, const uint8_t *seen, float *y, struct err *err)
{
	struct linear to_q = {attention->q_weight, attention->in_bias, D, D, false};
	struct linear to_k = {attention->k_weight, attention->in_bias + D, Dk, D, false};
	struct linear to_v = {attention->v_weight, attention->in_bias + 2 * D, Dk, D, false};
	struct linear to_out = {attention->out_weight, attention->out_bias, D, D, false};
	float *q = mem_floats(Q * D), *k = mem_floats(K * D), *v = mem_floats(K * D), *mixed = mem_floats(Q * D);
	enum status status = STATUS_OK;

	if (!q || !k || !v || !mixed) {
		status = err_memory(err, "an attention");
		goto out;
	}
	plain_linear(&to_q, queries, Q, q);
	plain_linear(&to_k, keys, K, k);
	plain_linear(&to_v, keys, K, v);
	status = plain_attention(q, Q, k, v, K, D, heads, seen, mixed, err);
	if (status == STATUS_OK)
		plain_linear(&to_out, mixed, Q, y);
out:
	free(q);
	free(k);
	free(v);
	free(mixed);
	return status;
}

static void add_branch(const float *branch, const float *scale, size_t T, size_t D, float *x)
{
	for (size_t t = 0; t < T; t++)
		for (size_t i = 0; i < D; i++)
			x[t * D + i] += (scale ? scale[i] : 1) * branch[t * D + i];
}

/* x[T,D] in place. image[N,D]: the image tokens of a cross block; NULL: self attention, masked by seen[T,T]. */
static enum status block(const struct block *b, const struct tower *tower, bool quick, float *x, size_t T, const uint8_t *seen,
			 const float *image, size_t N, struct err *err)
{
	size_t D = tower->width, F = tower->hidden, K = image ? N : T;
	struct linear fc = {b->fc_weight, b->fc_bias, D, F, false}, proj = {b->proj_weight, b->proj_bias, F, D, false};
	float *normed = mem_floats(T * D), *keys = mem_floats(K * D), *branch = mem_floats(T * D), *hidden = mem_floats(T * F);
	enum status status = STATUS_OK;

	if (!normed || !keys || !branch || !hidden) {
		status = err_memory(err, "a block");
		goto out;
	}
	plain_norm(&b->ln_1, x, T, D, normed);
	if (image)
		plain_norm(&b->ln_1_kv, image, N, D, keys);
	status = attend(&b->attn, tower->heads, normed, T, D, image ? keys : normed, K, D, image ? NULL : seen, branch, err);
	if (status != STATUS_OK)
		goto out;
	add_branch(branch, b->ls_1, T, D, x);
	plain_norm(&b->ln_2, x, T, D, normed);
	plain_linear(&fc, normed, T, hidden);
	plain_gelu(hidden, T * F, quick);
	plain_linear(&proj, hidden, T, branch);
	add_branch(branch, b->ls_2, T, D, x);
out:
	free(normed);
	free(keys);
	free(branch);
	free(hidden);
	return status;
}

/* ---- images ------------------------------------------------------------------------------------------------------- */

/* y[n,E] = attn(ln_q(query), ln_k(x)) for x[T,D] */
static enum status pool(const struct config *config, const struct pooler *pooler, size_t n, const float *x, size_t T, size_t D, float *y,
			struct err *err)
{
	size_t E = config->embed_dim;
	float *queries = mem_floats(n * E), *keys = mem_floats(T * D);
	enum status status = STATUS_OK;

	if (!queries || !keys) {
		status = err_memory(err, "a pooler");
		goto out;
	}
	plain_norm(&pooler->ln_q, pooler->query, n, E, queries);
	plain_norm(&pooler->ln_k, x, T, D, keys);
	status = attend(&pooler->attn, config->pool_heads, queries, n, E, keys, T, D, NULL, y, err);
out:
	free(queries);
	free(keys);
	return status;
}

/* next[O,o,o] = gelu(norm(convolution of map[C,s,s])), plus map where nothing changes its shape; columns[O] is scratch. */
static void convolve(const struct config *config, const struct weights *weights, size_t l, const float *map, float *next, float *column)
{
	size_t C = config_stem_channels(config, l), O = config->stem[l].width, stride = config->stem[l].stride;
	size_t s = config_stem_side(config, l), o = config_stem_side(config, l + 1);

	for (size_t y = 0; y < o; y++)
		for (size_t x = 0; x < o; x++) {
			for (size_t i = 0; i < O; i++) {
				double sum = 0;
				for (size_t u = 0; u < 3; u++)
					for (size_t v = 0; v < 3; v++)
						for (size_t c = 0; c < C; c++) {
							size_t row = y * stride + u, at = x * stride + v; /* both one further */
							if (row >= 1 && row <= s && at >= 1 && at <= s)
								sum += (double)weights->stem[l].conv[((i * 3 + u) * 3 + v) * C + c] *
								       (double)map[(c * s + row - 1) * s + at - 1];
						}
				column[i] = (float)sum;
			}
			plain_norm(&weights->stem[l].ln, column, 1, O, column);
			plain_gelu(column, O, config->quick_gelu);
			for (size_t i = 0; i < O; i++)
				next[(i * o + y) * o + x] = column[i] + (config_stem_keeps(config, l) ? map[(i * s + y) * s + x] : 0);
		}
}

/* What conv1 sees, [C,s,s]: the pixels themselves without a stem. The caller's to free. */
static enum status stem(const struct config *config, const struct weights *weights, const float *pixels, float **map, struct err *err)
{
	size_t most = stem_map_most(config), floats = 3 * config->image_size * config->image_size, widest = 1;
	float *next = mem_floats(most);

	*map = mem_floats(most);
	for (size_t l = 0; l < config->stem_layers; l++)
		widest = config->stem[l].width > widest ? config->stem[l].width : widest;
	float *column = mem_floats(widest);
	if (*map && next && column) {
		memcpy(*map, pixels, floats * sizeof **map);
		for (size_t l = 0; l < config->stem_layers; l++) {
			float *swap = *map;
			convolve(config, weights, l, *map, next, column);
			*map = next;
			next = swap;
		}
	}
	bool good = *map && next && column;
	free(next);
	free(column);
	if (good)
		return STATUS_OK;
	free(*map);
	*map = NULL;
	return err_memory(err, "the stem's maps");
}

/* x[1+patches,D]: what the first block sees. */
static enum status embed_image(const struct config *config, const struct weights *weights, const float *pixels, float *x, struct err *err)
{
	size_t L = config->stem_layers, S = config_stem_side(config, L), C = config_stem_channels(config, L), P = config_patch_side(config);
	size_t side = S / P, D = config->vision.width;
	float *map;
	enum status status = stem(config, weights, pixels, &map, err);

	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < D; i++)
		x[i] = weights->class_embedding[i] + weights->vision_positions[i];
	for (size_t t = 0; t < side * side; t++)
		for (size_t i = 0; i < D; i++) {
			double sum = 0;
			for (size_t c = 0; c < C; c++)
				for (size_t u = 0; u < P; u++)
					for (size_t v = 0; v < P; v++)
						sum += (double)weights->patch_weight[((i * C + c) * P + u) * P + v] *
						       (double)map[(c * S + t / side * P + u) * S + t % side * P + v];
			x[(1 + t) * D + i] = (float)(sum + (double)weights->vision_positions[(1 + t) * D + i]);
		}
	free(map);
	if (!config->no_ln_pre)
		plain_norm(&weights->ln_pre, x, 1 + side * side, D, x);
	return STATUS_OK;
}

/* latent[1, E or D] and tokens[N,W] of x[T,D], the last block's output; x is used up. pooled[queries,E] is scratch. */
static enum status pool_image(const struct config *config, const struct weights *weights, float *x, float *pooled, float *latent,
			      float *tokens, struct err *err)
{
	size_t E = config->embed_dim, D = config->vision.width, T = 1 + config->patches, n = config->pool_queries;
	enum status status;

	if (config->pooling == POOL_SINGLE) {
		status = pool(config, &weights->pool, n, x, T, D, pooled, err);
		if (status != STATUS_OK)
			return status;
		plain_norm(&weights->ln_post, pooled, n, E, pooled);
		memcpy(latent, pooled, E * sizeof *latent);
		memcpy(tokens, pooled + E, (n - 1) * E * sizeof *tokens);
		return STATUS_OK;
	}
	plain_norm(&weights->ln_post, x, T, D, x);
	if (config->pooling == POOL_NONE) {
		memcpy(latent, x, D * sizeof *latent);
		memcpy(tokens, x + D, (T - 1) * D * sizeof *tokens);
		return STATUS_OK;
	}
	status = pool(config, &weights->pool, n, x, T, D, tokens, err);
	if (status != STATUS_OK)
		return status;
	if (config->pooling == POOL_CASCADE)
		return pool(config, &weights->pool_contrastive, 1, tokens, n, E, latent, err);
	return pool(config, &weights->pool_contrastive, 1, x, T, D, latent, err);
}

enum status coca_plain_images(const struct coca *model, const float *pixels, size_t B, float *features_raw, float *tokens, struct err *err)
{
	const struct config *config = coca_config(model);
	const struct weights *weights = coca_weights(model);
	size_t D = config->vision.width, E = config->embed_dim, T = 1 + config->patches, S = config->image_size;
	size_t N = config->image_tokens, W = vision_token_width(config);
	struct linear proj = {weights->vision_proj, NULL, config->pooling == POOL_NONE ? D : E, E, true};
	float *x = mem_floats(T * D), *pooled = mem_floats(config->pool_queries * E), *latent = mem_floats(D > E ? D : E);
	enum status status = x && pooled && latent ? STATUS_OK : err_memory(err, "an image's activations");

	for (size_t b = 0; b < B && status == STATUS_OK; b++) {
		status = embed_image(config, weights, pixels + b * 3 * S * S, x, err);
		for (size_t l = 0; l < config->vision.layers && status == STATUS_OK; l++)
			status = block(weights->vision + l, &config->vision, config->quick_gelu, x, T, NULL, NULL, 0, err);
		if (status == STATUS_OK)
			status = pool_image(config, weights, x, pooled, latent, tokens + b * N * W, err);
		if (status == STATUS_OK)
			plain_linear(&proj, latent, 1, features_raw + b * E);
	}
	free(x);
	free(pooled);
	free(latent);
	return status;
}

/* ---- texts -------------------------------------------------------------------------------------------------------- */

/* seen[C+1,C+1]: causal, and the published pad mask, which stands one key too far to the right. */
static void text_mask(const struct config *config, const int32_t *ids, uint8_t *seen)
{
	size_t n = config->context_length + 1;

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++)
			seen[i * n + j] = j <= i && (j == 0 || ids[j - 1] != config->pad_id);
}

enum status coca_plain_texts(const struct coca *model, const int32_t *ids, size_t B, float *features_raw, float *tokens, struct err *err)
{
	const struct config *config = coca_config(model);
	const struct weights *weights = coca_weights(model);
	size_t W = config->text.width, C = config->context_length, T = C + 1;
	struct linear proj = {weights->text_proj, NULL, W, config->embed_dim, true};
	float *x = mem_floats(T * W), *pooled = mem_floats(W);
	uint8_t *seen = mem_array(T * T, 1);
	enum status status = x && pooled && seen ? STATUS_OK : err_memory(err, "a text's activations");

	for (size_t b = 0; b < B && status == STATUS_OK; b++) {
		text_mask(config, ids + b * C, seen);
		for (size_t t = 0; t < T; t++) {
			const float *from = t < C ? weights->token_embedding + (size_t)ids[b * C + t] * W : weights->class_text;
			for (size_t i = 0; i < W; i++)
				x[t * W + i] = from[i] + weights->text_positions[t * W + i];
		}
		for (size_t l = 0; l < config->text.layers && status == STATUS_OK; l++)
			status = block(weights->text + l, &config->text, config->quick_gelu, x, T, seen, NULL, 0, err);
		memcpy(tokens + b * C * W, x, C * W * sizeof *x);
		plain_norm(&weights->text_ln_final, x + C * W, 1, W, pooled);
		plain_linear(&proj, pooled, 1, features_raw + b * config->embed_dim);
	}
	free(x);
	free(pooled);
	free(seen);
	return status;
}

/* ---- logits ------------------------------------------------------------------------------------------------------- */

enum status coca_plain_logits(const struct coca *model, const float *image_tokens, const float *text_tokens, size_t B, float *logits,
			      struct err *err)
{
	const struct config *config = coca_config(model);
	const struct weights *weights = coca_weights(model);
	const struct tower *tower = &config->decoder;
	size_t W = tower->width, C = config->context_length, V = config->vocab_size, N = config->image_tokens;
	struct linear proj = {weights->decoder_proj, NULL, W, V, true};
	float *x = mem_floats(C * W);
	uint8_t *seen = mem_array(C * C, 1);
	enum status status = x && seen ? STATUS_OK : err_memory(err, "the decoder's activations");

	for (size_t i = 0; status == STATUS_OK && i < C; i++)
		for (size_t j = 0; j <= i; j++)
			seen[i * C + j] = 1;
	for (size_t b = 0; b < B && status == STATUS_OK; b++) {
		const float *image = image_tokens + b * N * W;
		memcpy(x, text_tokens + b * C * W, C * W * sizeof *x);
		for (size_t l = 0; l < tower->layers && status == STATUS_OK; l++) {
			status = block(weights->decoder + l, tower, config->quick_gelu, x, C, seen, NULL, 0, err);
			if (status == STATUS_OK)
				status = block(weights->cross + l, tower, config->quick_gelu, x, C, NULL, image, N, err);
		}
		plain_norm(&weights->decoder_ln_final, x, C, W, x);
		plain_linear(&proj, x, C, logits + b * C * V);
	}
	free(x);
	free(seen);
	return status;
}
