/* image_pass.c: the image tower of training (passes.h).
 *
 *     pixels -> stem, if there is one -> patches -> conv1 -> class and positions -> ln_pre -> blocks -> x
 *     single pooler:    x -> pooler -> ln_post -> query 0 | image tokens
 *     none:             x -> ln_post -> class | image tokens
 *     cascade:          x -> ln_post -> pooler -> image tokens -> contrastive pooler
 *     parallel:         x -> ln_post -> pooler -> image tokens, and -> contrastive pooler
 *
 * What is pooled goes through the projection to the features.
 */
#include <string.h>

#include "model/train/passes.h"

#include "schema/base/banned.h"

/* ---- layout ----------------------------------------------------------------------------------------------------- */

static struct pooler_shape pooler_shape(const struct config *config, size_t B, size_t queries, size_t keys, size_t width)
{
	size_t E = config->embed_dim, heads = config->pool_heads;
	return (struct pooler_shape){.n = queries,
				     .E = E,
				     .R = B * keys,
				     .D = width,
				     .B = B,
				     .p = B * heads * queries * keys,
				     .attention = {.heads = heads, .head = E / heads, .items = B, .most = queries * keys}};
}

void image_pass_shape(struct network *n)
{
	const struct config *c = &n->config;
	struct image_pass *m = &n->image;
	size_t B = n->batch.pixels || n->batch.rgb ? n->batch.B : 0;

	m->B = B;
	m->T = 1 + c->patches;
	m->R = B * m->T;
	m->shape = pass_block_shape(c, &c->vision, m->R);
	m->shape.p = B * c->vision.heads * m->T * m->T;
	m->shape.attention.items = B;
	m->shape.attention.most = m->T * m->T;
	m->post_rows = c->pooling == POOL_SINGLE ? B * c->pool_queries : m->R;
	m->post_width = c->pooling == POOL_SINGLE ? c->embed_dim : c->vision.width;
	m->pooled_width = c->pooling == POOL_NONE ? c->vision.width : c->embed_dim;
	if (c->pooling != POOL_NONE)
		m->pool_shape = pooler_shape(c, B, c->pool_queries, m->T, c->vision.width);
	if (c->pooling == POOL_PARALLEL)
		m->contrastive_shape = pooler_shape(c, B, 1, m->T, c->vision.width);
	if (c->pooling == POOL_CASCADE)
		m->contrastive_shape = pooler_shape(c, B, 1, c->pool_queries, c->embed_dim);
}

void image_pass_carve(struct carver *carver, struct network *n)
{
	const struct config *c = &n->config;
	struct image_pass *m = &n->image;
	size_t B = m->B, D = c->vision.width, inputs = config_patch_inputs(c);

	stem_pass_carve(carver, c, B, &m->stem, &n->scratch);
	m->spans = carve(carver, B, sizeof *m->spans);
	m->patches = carve_floats(carver, B * c->patches, inputs);
	m->embedded = carve_floats(carver, B * c->patches, D);
	m->assembled = carve_floats(carver, m->R, D);
	m->stat_pre = carve_floats(carver, m->R, 2);
	pass_carve_blocks(carver, n, &m->shape, m->blocks, c->vision.layers);
	if (c->no_ln_pre)
		m->blocks[0].x = m->assembled;
	pass_carve_norm(carver, &m->post, m->post_rows, m->post_width);
	if (c->pooling != POOL_NONE) {
		m->pool_spans = carve(carver, B, sizeof *m->pool_spans);
		pooler_pass_carve(carver, &m->pool_shape, &m->pool, &n->scratch);
	}
	if (c->pooling == POOL_PARALLEL || c->pooling == POOL_CASCADE) {
		m->contrastive_spans = carve(carver, B, sizeof *m->contrastive_spans);
		pooler_pass_carve(carver, &m->contrastive_shape, &m->contrastive, &n->scratch);
	}
	m->pooled = carve_floats(carver, B, m->pooled_width);
	m->tokens = carve_floats(carver, B * c->image_tokens, c->embed_dim);
	m->features = carve_floats(carver, B, c->embed_dim);
	m->dx = carve_floats(carver, m->R, D);
	m->dpost = carve_floats(carver, m->post_rows, m->post_width);
	m->dpooled = carve_floats(carver, B, m->pooled_width);
	m->dtokens = carve_floats(carver, B * c->image_tokens, c->embed_dim);
	if (c->stem_layers)
		m->dpatches = carve_floats(carver, B * c->patches, inputs);
}

void image_pass_fill(struct network *n)
{
	const struct config *c = &n->config;
	struct image_pass *m = &n->image;
	size_t T = m->T, queries = c->pool_queries, keys = c->pooling == POOL_CASCADE ? queries : T;

	for (size_t i = 0; i < m->B; i++) {
		m->spans[i] = (struct grad_span){i * T, T, i * T, T, i * T, i * c->vision.heads * T * T};
		if (c->pooling != POOL_NONE)
			m->pool_spans[i] = (struct grad_span){0, queries, i * T, T, i * queries, i * c->pool_heads * queries * T};
		if (c->pooling == POOL_PARALLEL || c->pooling == POOL_CASCADE)
			m->contrastive_spans[i] = (struct grad_span){0, 1, i * keys, keys, i, i * c->pool_heads * keys};
	}
	m->shape.attention.spans = m->spans;
	m->pool_shape.attention.spans = m->pool_spans;
	m->contrastive_shape.attention.spans = m->contrastive_spans;
}

/* ---- forward ---------------------------------------------------------------------------------------------------- */

/* The first map, x[B,S,S,3]. */
static void lay_pixels(const struct config *c, const struct batch_inputs *batch, float *x)
{
	size_t area = c->image_size * c->image_size;
	float shade[256][3]; /* bytes' normalised values */

	for (size_t v = 0; v < 256; v++)
		for (size_t k = 0; k < 3; k++)
			shade[v][k] = ((float)v / 255 - c->mean[k]) / c->std[k];
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < batch->B * area; i++)
		for (size_t k = 0; k < 3; k++)
			x[i * 3 + k] = batch->pixels ? batch->pixels[(i / area * 3 + k) * area + i % area]
						     : shade[batch->rgb[i * 3 + k]][k];
}

/* x[B,T,D]: the class embedding, then the patches, plus their positions. */
static void assemble(const struct config *c, const struct weights *w, const float *embedded, size_t B, float *x)
{
	size_t T = 1 + c->patches, D = c->vision.width;

#pragma omp parallel for schedule(static)
	for (size_t r = 0; r < B * T; r++) {
		const float *from = r % T ? embedded + (r / T * c->patches + r % T - 1) * D : w->class_embedding;
		const float *position = w->vision_positions + r % T * D;
		for (size_t d = 0; d < D; d++)
			x[r * D + d] = from[d] + position[d];
	}
}

/* Row 0 of each item's rows[B*rows,D] is pooled, the others are image tokens. */
static void split_rows(const float *x, size_t B, size_t rows, size_t D, float *pooled, float *tokens)
{
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < B; i++) {
		memcpy(pooled + i * D, x + i * rows * D, D * sizeof *x);
		memcpy(tokens + i * (rows - 1) * D, x + (i * rows + 1) * D, (rows - 1) * D * sizeof *x);
	}
}

static void join_rows(const float *pooled, const float *tokens, size_t B, size_t rows, size_t D, float *x)
{
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < B; i++) {
		memcpy(x + i * rows * D, pooled + i * D, D * sizeof *x);
		memcpy(x + (i * rows + 1) * D, tokens + i * (rows - 1) * D, (rows - 1) * D * sizeof *x);
	}
}

void image_pass_forward(struct network *n, const struct weights *w)
{
	const struct config *c = &n->config;
	struct image_pass *m = &n->image;
	size_t B = m->B, D = c->vision.width, inputs = config_patch_inputs(c);

	lay_pixels(c, &n->batch, m->stem.pixels);
	stem_pass_forward(c, w, B, &m->stem, m->patches);
	grad_linear_forward(m->patches, B * c->patches, inputs, w->patch_weight, NULL, D, m->embedded, D);
	assemble(c, w, m->embedded, B, m->assembled);
	if (!c->no_ln_pre)
		grad_norm_forward(m->assembled, m->R, D, &w->ln_pre, m->blocks[0].x, m->stat_pre);
	for (size_t l = 0; l < c->vision.layers; l++)
		block_pass_forward(&m->shape, &w->vision[l], NULL, &m->blocks[l]);

	const float *x = m->blocks[c->vision.layers - 1].out;
	if (c->pooling == POOL_SINGLE) {
		pooler_pass_forward(&m->pool_shape, &w->pool, x, &m->pool);
		x = m->pool.out;
	}
	grad_norm_forward(x, m->post_rows, m->post_width, &w->ln_post, m->post.y, m->post.stat);
	if (c->pooling == POOL_SINGLE || c->pooling == POOL_NONE) {
		split_rows(m->post.y, B, m->post_rows / B, m->post_width, m->pooled, m->tokens);
	} else {
		pooler_pass_forward(&m->pool_shape, &w->pool, m->post.y, &m->pool);
		memcpy(m->tokens, m->pool.out, B * c->image_tokens * c->embed_dim * sizeof *m->tokens);
		pooler_pass_forward(&m->contrastive_shape, &w->pool_contrastive, c->pooling == POOL_CASCADE ? m->tokens : m->post.y,
				    &m->contrastive);
		memcpy(m->pooled, m->contrastive.out, B * c->embed_dim * sizeof *m->pooled);
	}
	grad_project_forward(m->pooled, B, m->pooled_width, w->vision_proj, c->embed_dim, m->features);
}

/* ---- backward --------------------------------------------------------------------------------------------------- */

static bool patches_train(const struct weights *g)
{
	return pass_trains(g->stem, sizeof g->stem) || g->patch_weight || g->class_embedding || g->vision_positions ||
	       pass_trains(&g->ln_pre, sizeof g->ln_pre);
}

static bool image_trains(const struct network *n, const struct weights *g)
{
	size_t layers = n->config.vision.layers;

	return patches_train(g) || pass_lowest(g->vision, layers, false) < layers || pass_trains(&g->ln_post, sizeof g->ln_post) ||
	       pass_trains(&g->pool, sizeof g->pool) || pass_trains(&g->pool_contrastive, sizeof g->pool_contrastive) || g->vision_proj;
}

/* dx[R,D] of the towers' input: class, positions, patches and what is below. Rows of an item add up in the order of the batch. */
static void assemble_backward(struct network *n, const struct weights *w, const struct weights *g, const float *dx)
{
	const struct config *c = &n->config;
	struct image_pass *m = &n->image;
	size_t B = n->batch.B, T = m->T, D = c->vision.width, inputs = config_patch_inputs(c);
	bool below = pass_trains(g->stem, sizeof g->stem);

	for (size_t i = 0; i < B && g->vision_positions; i++)
		grad_add(g->vision_positions, dx + i * T * D, T * D);
	for (size_t i = 0; i < B && g->class_embedding; i++)
		grad_add(g->class_embedding, dx + i * T * D, D);
	if (!g->patch_weight && !below)
		return;
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < B; i++)
		memcpy(m->embedded + i * c->patches * D, dx + (i * T + 1) * D, c->patches * D * sizeof *dx);
	grad_linear_weight(m->embedded, B * c->patches, D, D, m->patches, inputs, g->patch_weight, NULL, n->scratch.partial);
	if (!below)
		return;
	grad_linear_input(m->embedded, B * c->patches, D, D, w->patch_weight, inputs, 0, m->dpatches);
	stem_pass_backward(c, w, g, B, &m->stem, m->dpatches, &n->scratch);
}

/* From the gradients of pooled and tokens to that of the last block's output, dx[R,D] (NULL: no block trains). */
static void pooling_backward(struct network *n, const struct weights *w, const struct weights *g, float *dx)
{
	const struct config *c = &n->config;
	struct image_pass *m = &n->image;
	struct grad_scratch *s = &n->scratch;
	size_t B = n->batch.B;
	const float *x = m->blocks[c->vision.layers - 1].out;
	bool single = c->pooling == POOL_SINGLE;

	if (single || c->pooling == POOL_NONE) {
		join_rows(m->dpooled, m->dtokens, B, m->post_rows / B, m->post_width, m->dpost);
	} else if (c->pooling == POOL_PARALLEL) {
		pooler_pass_backward(&m->pool_shape, &w->pool, &g->pool, m->post.y, &m->pool, s, m->dtokens, 0, m->dpost);
		pooler_pass_backward(&m->contrastive_shape, &w->pool_contrastive, &g->pool_contrastive, m->post.y, &m->contrastive, s,
				     m->dpooled, 1, m->dpost);
	} else {
		pooler_pass_backward(&m->contrastive_shape, &w->pool_contrastive, &g->pool_contrastive, m->tokens, &m->contrastive, s,
				     m->dpooled, 1, m->dtokens);
		pooler_pass_backward(&m->pool_shape, &w->pool, &g->pool, m->post.y, &m->pool, s, m->dtokens, 0, m->dpost);
	}
	/* In place where the pooler stands below: its output's gradient has the same shape. */
	grad_norm_backward(m->dpost, single ? m->pool.out : x, m->post.stat, m->post_rows, m->post_width, &w->ln_post, &g->ln_post, 0,
			   single ? s->other : dx, s->partial);
	if (single) {
		memcpy(m->dpost, s->other, m->post_rows * m->post_width * sizeof *m->dpost);
		pooler_pass_backward(&m->pool_shape, &w->pool, &g->pool, x, &m->pool, s, m->dpost, 0, dx);
	}
}

void image_pass_backward(struct network *n, const struct weights *w, const struct weights *g, const float *dimage)
{
	const struct config *c = &n->config;
	struct image_pass *m = &n->image;
	struct grad_scratch *s = &n->scratch;
	size_t B = n->batch.B, D = c->vision.width, bottom = pass_lowest(g->vision, c->vision.layers, patches_train(g));
	float *dx = bottom < c->vision.layers ? m->dx : NULL;

	if (!image_trains(n, g))
		return;
	if (n->want & NETWORK_CONTRASTIVE)
		grad_project_backward(dimage, B, c->embed_dim, m->pooled, m->pooled_width, w->vision_proj, g->vision_proj, m->dpooled);
	else
		memset(m->dpooled, 0, B * m->pooled_width * sizeof *m->dpooled);
	pooling_backward(n, w, g, dx);
	for (size_t l = c->vision.layers; l-- > bottom;)
		block_pass_backward(&m->shape, &w->vision[l], &g->vision[l], NULL, &m->blocks[l], s, dx, NULL);
	if (!patches_train(g))
		return;
	if (!c->no_ln_pre) {
		grad_norm_backward(dx, m->assembled, m->stat_pre, m->R, D, &w->ln_pre, &g->ln_pre, 0, s->other, s->partial);
		dx = s->other;
	}
	assemble_backward(n, w, g, dx);
}
