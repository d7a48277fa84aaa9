/* weights.c: see weights.h. The table is the walk below: each give() states a parameter's slot, shape and name at once, in
 * the order in which OpenCLIP registers them:
 *
 *     logit_scale
 *     text.          cls_emb, positions, projection, token embedding, transformer.resblocks.*, ln_final
 *     visual.        class embedding, positions, proj, the stem (ours), conv1, ln_pre, transformer.resblocks.*, attn_pool*, ln_post
 *     text_decoder.  text_projection, resblocks.*, cross_attn.*, ln_final
 */
#include "model/files/weights.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* ---- the table ---- */

struct walk {
	weight_visitor visit;
	void *context;
	struct err *err;
	enum status status;
	bool one_block; /* the arrays hold one block, which stands for each of its tower: for walks that store nothing */
};

/* One parameter of at most two dimensions, a x b. */
__attribute__((format(printf, 7, 8)))
static void give(struct walk *w, float **slot, int dims, size_t a, size_t b, const char *prefix, const char *format, ...)
{
	struct weight_info info = {.dims = dims, .shape = {dims > 0 ? a : 1, dims > 1 ? b : 1, 1, 1}, .count = 1};
	va_list args;

	if (w->status != STATUS_OK)
		return;
	int n = snprintf(info.name, sizeof info.name, "%s", prefix);
	va_start(args, format);
	vsnprintf(info.name + n, sizeof info.name - (size_t)n, format, args);
	va_end(args);
	for (int i = 0; i < dims; i++)
		info.count *= info.shape[i];
	w->status = w->visit(w->context, &info, slot, w->err);
}

static void walk_norm(struct walk *w, struct norm *norm, size_t D, const char *prefix, const char *name)
{
	give(w, &norm->weight, 1, D, 0, prefix, "%s.weight", name);
	give(w, &norm->bias, 1, D, 0, prefix, "%s.bias", name);
}

/* Dkv: width of what k and v are made of. */
static void walk_attention(struct walk *w, struct attention *a, size_t D, size_t Dkv, const char *prefix)
{
	if (D == Dkv) {
		give(w, &a->in_weight, 2, 3 * D, D, prefix, "attn.in_proj_weight");
	} else {
		give(w, &a->q_weight, 2, D, D, prefix, "attn.q_proj_weight");
		give(w, &a->k_weight, 2, D, Dkv, prefix, "attn.k_proj_weight");
		give(w, &a->v_weight, 2, D, Dkv, prefix, "attn.v_proj_weight");
	}
	give(w, &a->in_bias, 1, 3 * D, 0, prefix, "attn.in_proj_bias");
	give(w, &a->out_weight, 2, D, D, prefix, "attn.out_proj.weight");
	give(w, &a->out_bias, 1, D, 0, prefix, "attn.out_proj.bias");
}

static void walk_block(struct walk *w, struct block *block, const struct tower *tower, bool cross, const char *prefix)
{
	size_t D = tower->width, F = tower->hidden;

	walk_norm(w, &block->ln_1, D, prefix, "ln_1");
	walk_attention(w, &block->attn, D, D, prefix);
	if (tower->layer_scale)
		give(w, &block->ls_1, 1, D, 0, prefix, "ls_1.gamma");
	if (cross)
		walk_norm(w, &block->ln_1_kv, D, prefix, "ln_1_kv");
	walk_norm(w, &block->ln_2, D, prefix, "ln_2");
	give(w, &block->fc_weight, 2, F, D, prefix, "mlp.c_fc.weight");
	give(w, &block->fc_bias, 1, F, 0, prefix, "mlp.c_fc.bias");
	give(w, &block->proj_weight, 2, D, F, prefix, "mlp.c_proj.weight");
	give(w, &block->proj_bias, 1, D, 0, prefix, "mlp.c_proj.bias");
	if (tower->layer_scale)
		give(w, &block->ls_2, 1, D, 0, prefix, "ls_2.gamma");
}

static void walk_blocks(struct walk *w, struct block *blocks, const struct tower *tower, bool cross, const char *prefix)
{
	char name[64];

	for (size_t i = 0; i < tower->layers && w->status == STATUS_OK; i++) {
		snprintf(name, sizeof name, "%s.%zu.", prefix, i);
		walk_block(w, w->one_block ? blocks : blocks + i, tower, cross, name);
	}
}

static void walk_pooler(struct walk *w, struct pooler *pool, size_t n, size_t E, size_t D, const char *prefix)
{
	give(w, &pool->query, 2, n, E, prefix, "query");
	walk_attention(w, &pool->attn, E, D, prefix);
	walk_norm(w, &pool->ln_q, E, prefix, "ln_q");
	walk_norm(w, &pool->ln_k, D, prefix, "ln_k");
}

static void walk_text(struct walk *w, struct weights *t, const struct config *c)
{
	size_t W = c->text.width;

	give(w, &t->class_text, 1, W, 0, "text.", "cls_emb");
	give(w, &t->text_positions, 2, c->context_length + 1, W, "text.", "positional_embedding");
	give(w, &t->text_proj, 2, W, c->embed_dim, "text.", "text_projection");
	give(w, &t->token_embedding, 2, c->vocab_size, W, "text.", "token_embedding.weight");
	walk_blocks(w, t->text, &c->text, false, "text.transformer.resblocks");
	walk_norm(w, &t->text_ln_final, W, "text.", "ln_final");
}

static void walk_patches(struct walk *w, float **slot, const struct config *c)
{
	size_t D = c->vision.width, C = config_stem_channels(c, c->stem_layers), P = config_patch_side(c);
	struct weight_info info = {"visual.conv1.weight", {D, C, P, P}, 4, D * C * P * P};

	if (w->status == STATUS_OK)
		w->status = w->visit(w->context, &info, slot, w->err);
}

static void walk_stem(struct walk *w, struct weights *t, const struct config *c)
{
	char name[64];

	for (size_t l = 0; l < c->stem_layers && w->status == STATUS_OK; l++) {
		size_t in = config_stem_channels(c, l), out = c->stem[l].width;
		struct weight_info info = {"", {out, 3, 3, in}, 4, out * 9 * in};
		snprintf(info.name, sizeof info.name, "visual.stem.%zu.conv.weight", l);
		w->status = w->visit(w->context, &info, &t->stem[l].conv, w->err);
		snprintf(name, sizeof name, "visual.stem.%zu.", l);
		walk_norm(w, &t->stem[l].ln, out, name, "ln_1");
	}
}

static void walk_vision(struct walk *w, struct weights *t, const struct config *c)
{
	size_t D = c->vision.width, E = c->embed_dim;
	size_t pooled = c->pooling == POOL_NONE ? D : E;

	give(w, &t->class_embedding, 1, D, 0, "visual.", "class_embedding");
	give(w, &t->vision_positions, 2, 1 + c->patches, D, "visual.", "positional_embedding");
	give(w, &t->vision_proj, 2, pooled, E, "visual.", "proj");
	walk_stem(w, t, c);
	walk_patches(w, &t->patch_weight, c);
	if (!c->no_ln_pre)
		walk_norm(w, &t->ln_pre, D, "visual.", "ln_pre");
	walk_blocks(w, t->vision, &c->vision, false, "visual.transformer.resblocks");
	if (c->pooling != POOL_NONE)
		walk_pooler(w, &t->pool, c->pool_queries, E, D, "visual.attn_pool.");
	if (c->pooling == POOL_PARALLEL || c->pooling == POOL_CASCADE)
		walk_pooler(w, &t->pool_contrastive, 1, E, D, "visual.attn_pool_contrastive.");
	walk_norm(w, &t->ln_post, pooled, "visual.", "ln_post");
}

static void walk_decoder(struct walk *w, struct weights *t, const struct config *c)
{
	give(w, &t->decoder_proj, 2, c->decoder.width, c->vocab_size, "text_decoder.", "text_projection");
	walk_blocks(w, t->decoder, &c->decoder, false, "text_decoder.resblocks");
	walk_blocks(w, t->cross, &c->decoder, true, "text_decoder.cross_attn");
	walk_norm(w, &t->decoder_ln_final, c->decoder.width, "text_decoder.", "ln_final");
}

static enum status walk_all(struct walk *w, struct weights *weights, const struct config *config)
{
	give(w, &weights->logit_scale, 0, 0, 0, "", "logit_scale");
	walk_text(w, weights, config);
	walk_vision(w, weights, config);
	walk_decoder(w, weights, config);
	return w->status;
}

enum status weights_visit(struct weights *weights, const struct config *config, weight_visitor visit, void *context, struct err *err)
{
	struct walk w = {visit, context, err, STATUS_OK, false};
	return walk_all(&w, weights, config);
}

/* ---- memory ---- */

enum status weights_init(struct weights *weights, const struct config *config, struct err *err)
{
	*weights = (struct weights){
		.vision = mem_array(config->vision.layers, sizeof *weights->vision),
		.text = mem_array(config->text.layers, sizeof *weights->text),
		.decoder = mem_array(config->decoder.layers, sizeof *weights->decoder),
		.cross = mem_array(config->decoder.layers, sizeof *weights->cross),
	};
	if (weights->vision && weights->text && weights->decoder && weights->cross)
		return STATUS_OK;
	weights_release(weights);
	return err_memory(err, "the network's layers");
}

void weights_release(struct weights *weights)
{
	free(weights->vision);
	free(weights->text);
	free(weights->decoder);
	free(weights->cross);
	*weights = (struct weights){0};
}

static void link_attention(struct attention *a, size_t D)
{
	if (!a->in_weight)
		return;
	a->q_weight = a->in_weight;
	a->k_weight = a->in_weight + D * D;
	a->v_weight = a->in_weight + 2 * D * D;
}

static void link_blocks(struct block *blocks, const struct tower *tower)
{
	for (size_t i = 0; i < tower->layers; i++)
		link_attention(&blocks[i].attn, tower->width);
}

void weights_link(struct weights *weights, const struct config *config)
{
	link_blocks(weights->vision, &config->vision);
	link_blocks(weights->text, &config->text);
	link_blocks(weights->decoder, &config->decoder);
	link_blocks(weights->cross, &config->decoder);
	link_attention(&weights->pool.attn, config->embed_dim);
	link_attention(&weights->pool_contrastive.attn, config->embed_dim);
}

static enum status count_one(void *context, const struct weight_info *info, float **slot, struct err *err)
{
	(void)slot;
	(void)err;
	*(size_t *)context += info->count;
	return STATUS_OK;
}

size_t weights_count(const struct config *config)
{
	size_t count = 0;
	struct block block = {0};
	struct weights weights = {.vision = &block, .text = &block, .decoder = &block, .cross = &block};
	struct walk w = {count_one, &count, NULL, STATUS_OK, true};

	walk_all(&w, &weights, config);
	return count;
}

/* ---- saving ---- */

struct saving {
	struct named_floats *tensors;
	char (*names)[sizeof((struct weight_info *)0)->name];
	size_t count;
};

static enum status count_tensor(void *context, const struct weight_info *info, float **slot, struct err *err)
{
	(void)info;
	(void)slot;
	(void)err;
	++*(size_t *)context;
	return STATUS_OK;
}

static enum status save_one(void *context, const struct weight_info *info, float **slot, struct err *err)
{
	struct saving *s = context;
	struct named_floats *t = &s->tensors[s->count];

	(void)err;
	memcpy(s->names[s->count], info->name, sizeof info->name);
	t->name = s->names[s->count];
	t->dims = info->dims;
	memcpy(t->shape, info->shape, sizeof info->shape);
	t->data = *slot;
	s->count++;
	return STATUS_OK;
}

enum status weights_save(struct weights *weights, const struct config *config, const char *path, enum dtype store,
			 struct err *err)
{
	size_t count = 0;
	struct saving s = {0};

	weights_visit(weights, config, count_tensor, &count, NULL);
	s.tensors = mem_array(count, sizeof *s.tensors);
	s.names = mem_array(count, sizeof *s.names);
	enum status status = s.tensors && s.names ? STATUS_OK : err_memory(err, "the list of tensors");
	if (status == STATUS_OK)
		status = weights_visit(weights, config, save_one, &s, err);
	if (status == STATUS_OK)
		status = checkpoint_write(path, s.tensors, s.count, store, NULL, 0, err);
	free(s.tensors);
	free(s.names);
	return status;
}
