/* network.c: see network.h. Everything a batch needs is carved from one block of memory that grows to the largest batch. */
#include "model/train/network.h"

#include <stdlib.h>
#include <string.h>

#include "model/train/grad_block.h"
#include "model/train/grad_stem.h"
#include "model/train/loss.h"
#include "model/net/stem.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* A norm that a tower ends with. */
struct norm_pass {
	float *y, *stat;
};

struct image_pass {
	size_t B;                    /* images: as many as texts, or none */
	size_t T, R;                 /* positions of one image, of all */
	struct block_shape shape;
	struct grad_span *spans;
	struct stem_pass stem[STEM_MOST];
	struct stem_scratch stem_scratch;
	float *patches;              /* [B*patches, columns of conv1] */
	float *embedded;             /* [B*patches, D] */
	float *assembled, *stat_pre; /* [R,D] [R,2] */
	struct block_pass *blocks;   /* [layers] */
	struct pooler_shape pool_shape, contrastive_shape;
	struct grad_span *pool_spans, *contrastive_spans;
	struct pooler_pass pool, contrastive;
	struct norm_pass post;
	size_t post_rows, post_width;
	float *pooled;               /* [B, pooled_width] */
	size_t pooled_width;
	float *tokens;               /* [B*N, W] */
	float *features;             /* [B,E] */
	float *dx, *dpost, *dpooled, *dtokens, *dpatches;
};

struct text_pass {
	size_t R;
	struct block_shape shape;
	struct grad_span *spans;
	size_t *begin;               /* [B+1] rows of each text */
	uint8_t *visible;            /* [R] */
	struct block_pass *blocks;
	float *class_rows;           /* [B,W] */
	struct norm_pass final;
	float *features;             /* [B,E] */
	float *dx, *dclass, *dfinal;
};

struct decoder_pass {
	size_t R;
	struct block_shape shape, cross_shape;
	struct grad_span *spans, *cross_spans;
	size_t *begin;
	int32_t *labels;             /* [R] */
	struct block_pass *blocks, *cross;
	struct norm_pass final;
	float *dx, *dfinal, *logits;
};

struct network {
	struct config config;
	enum network_want want;
	struct batch_inputs batch;
	void *memory;
	size_t capacity;
	struct grad_scratch scratch;
	struct image_pass image;
	struct text_pass text;
	struct decoder_pass decoder;
};

enum status network_new(const struct config *config, struct network **network, struct err *err)
{
	struct network *n = mem_array(1, sizeof *n);

	*network = NULL;
	if (!n)
		return err_memory(err, "the network");
	n->config = *config;
	n->image.blocks = mem_array(config->vision.layers, sizeof *n->image.blocks);
	n->text.blocks = mem_array(config->text.layers, sizeof *n->text.blocks);
	n->decoder.blocks = mem_array(config->decoder.layers, sizeof *n->decoder.blocks);
	n->decoder.cross = mem_array(config->decoder.layers, sizeof *n->decoder.cross);
	if (!n->image.blocks || !n->text.blocks || !n->decoder.blocks || !n->decoder.cross) {
		network_free(n);
		return err_memory(err, "the network");
	}
	*network = n;
	return STATUS_OK;
}

void network_free(struct network *n)
{
	if (!n)
		return;
	free(n->image.blocks);
	free(n->text.blocks);
	free(n->decoder.blocks);
	free(n->decoder.cross);
	free(n->memory);
	free(n);
}

size_t network_memory(const struct network *n)
{
	return n->capacity;
}

size_t network_embed_dim(const struct network *n)
{
	return n->config.embed_dim;
}

const float *network_image_features(const struct network *n)
{
	return n->image.features;
}

const float *network_text_features(const struct network *n)
{
	return n->text.features;
}

size_t network_counted(const struct batch_inputs *batch)
{
	size_t counted = 0;

	for (size_t i = 0; i < batch->B; i++)
		for (size_t j = batch->begin[i] + 1; j < batch->begin[i + 1]; j++)
			counted += batch->ids[j] != 0;
	return counted;
}

/* ---- layout ----------------------------------------------------------------------------------------------------- */

static size_t ids_of(const struct network *n, size_t i)
{
	return n->batch.begin[i + 1] - n->batch.begin[i];
}

/* Rows of text i: all that the class can see and itself; for captions alone, what has a label. */
static size_t text_rows(const struct network *n, size_t i)
{
	size_t ids = ids_of(n, i);
	return n->want & NETWORK_CONTRASTIVE ? ids + (ids < n->config.context_length) + 1 : ids - 1;
}

static struct block_shape block_shape(const struct config *config, const struct tower *tower, size_t R)
{
	return (struct block_shape){.R = R,
				    .D = tower->width,
				    .F = tower->hidden,
				    .quick = config->quick_gelu,
				    .layer_scale = tower->layer_scale,
				    .attention = {.heads = tower->heads, .head = tower->width / tower->heads}};
}

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

static void shape_image(struct network *n)
{
	const struct config *c = &n->config;
	struct image_pass *m = &n->image;
	size_t B = n->batch.pixels || n->batch.rgb ? n->batch.B : 0;

	m->B = B;
	m->T = 1 + c->patches;
	m->R = B * m->T;
	m->shape = block_shape(c, &c->vision, m->R);
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

/* One causal self attention in each text's rows. */
static void shape_rows(struct block_shape *shape, size_t rows)
{
	shape->R += rows;
	shape->p += shape->attention.heads * rows * rows;
	if (rows * rows > shape->attention.most)
		shape->attention.most = rows * rows;
}

static void shape_texts(struct network *n)
{
	const struct config *c = &n->config;
	size_t B = n->batch.B;

	n->text.shape = block_shape(c, &c->text, 0);
	n->decoder.shape = block_shape(c, &c->decoder, 0);
	n->decoder.cross_shape = block_shape(c, &c->decoder, 0);
	struct block_shape *cross = &n->decoder.cross_shape;
	cross->cross = true;
	cross->Rk = B * c->image_tokens;
	for (size_t i = 0; i < B; i++) {
		size_t rows = ids_of(n, i) - 1;
		shape_rows(&n->text.shape, text_rows(n, i));
		shape_rows(&n->decoder.shape, rows);
		cross->R += rows;
		cross->p += cross->attention.heads * rows * c->image_tokens;
		if (rows * c->image_tokens > cross->attention.most)
			cross->attention.most = rows * c->image_tokens;
	}
	n->text.shape.attention.items = n->decoder.shape.attention.items = cross->attention.items = B;
	n->text.shape.attention.causal = n->decoder.shape.attention.causal = true;
	n->text.R = n->text.shape.R;
	n->decoder.R = n->decoder.shape.R;
}

static void need_scratch(struct network *n)
{
	struct grad_scratch *s = &n->scratch;

	*s = (struct grad_scratch){.partial_width = n->config.vision.width + n->config.embed_dim};
	for (size_t l = 0; l < n->config.stem_layers; l++)
		s->partial_width = n->config.stem[l].width > s->partial_width ? n->config.stem[l].width : s->partial_width;
	block_pass_need(&n->image.shape, s);
	if (n->config.pooling != POOL_NONE)
		pooler_pass_need(&n->image.pool_shape, s);
	if (n->config.pooling == POOL_PARALLEL || n->config.pooling == POOL_CASCADE)
		pooler_pass_need(&n->image.contrastive_shape, s);
	block_pass_need(&n->text.shape, s);
	if (n->want & NETWORK_CAPTION) {
		block_pass_need(&n->decoder.shape, s);
		block_pass_need(&n->decoder.cross_shape, s);
	}
}

static void carve_norm(struct carver *carver, struct norm_pass *norm, size_t R, size_t D)
{
	norm->y = carve_floats(carver, R, D);
	norm->stat = carve_floats(carver, R, 2);
}

static void carve_blocks(struct carver *carver, const struct block_shape *shape, struct block_pass *blocks, size_t layers)
{
	for (size_t l = 0; l < layers; l++) {
		block_pass_carve(carver, shape, &blocks[l]);
		if (l)
			blocks[l].x = blocks[l - 1].out;
	}
}

static void carve_image(struct carver *carver, struct network *n)
{
	const struct config *c = &n->config;
	struct image_pass *m = &n->image;
	size_t B = m->B, D = c->vision.width, inputs = config_patch_inputs(c);

	stem_pass_carve(carver, c, B, m->stem, &m->stem_scratch);
	m->spans = carve(carver, B, sizeof *m->spans);
	m->patches = carve_floats(carver, B * c->patches, inputs);
	m->embedded = carve_floats(carver, B * c->patches, D);
	m->assembled = carve_floats(carver, m->R, D);
	m->stat_pre = carve_floats(carver, m->R, 2);
	float *first = c->no_ln_pre ? m->assembled : carve_floats(carver, m->R, D);
	carve_blocks(carver, &m->shape, m->blocks, c->vision.layers);
	m->blocks[0].x = first;
	carve_norm(carver, &m->post, m->post_rows, m->post_width);
	if (c->pooling != POOL_NONE) {
		m->pool_spans = carve(carver, B, sizeof *m->pool_spans);
		pooler_pass_carve(carver, &m->pool_shape, &m->pool);
	}
	if (c->pooling == POOL_PARALLEL || c->pooling == POOL_CASCADE) {
		m->contrastive_spans = carve(carver, B, sizeof *m->contrastive_spans);
		pooler_pass_carve(carver, &m->contrastive_shape, &m->contrastive);
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

static void carve_texts(struct carver *carver, struct network *n)
{
	const struct config *c = &n->config;
	struct text_pass *t = &n->text;
	struct decoder_pass *d = &n->decoder;
	size_t B = n->batch.B, W = c->text.width;

	t->spans = carve(carver, B, sizeof *t->spans);
	t->begin = carve(carver, B + 1, sizeof *t->begin);
	t->visible = carve(carver, t->R, sizeof *t->visible);
	float *first = carve_floats(carver, t->R, W);
	carve_blocks(carver, &t->shape, t->blocks, c->text.layers);
	t->blocks[0].x = first;
	t->class_rows = carve_floats(carver, B, W);
	carve_norm(carver, &t->final, B, W);
	t->features = carve_floats(carver, B, c->embed_dim);
	t->dx = carve_floats(carver, t->R, W);
	t->dclass = carve_floats(carver, B, W);
	t->dfinal = carve_floats(carver, B, W);
	if (!(n->want & NETWORK_CAPTION))
		return;
	d->spans = carve(carver, B, sizeof *d->spans);
	d->cross_spans = carve(carver, B, sizeof *d->cross_spans);
	d->begin = carve(carver, B + 1, sizeof *d->begin);
	d->labels = carve(carver, d->R, sizeof *d->labels);
	first = carve_floats(carver, d->R, W);
	for (size_t l = 0; l < c->decoder.layers; l++) {
		block_pass_carve(carver, &d->shape, &d->blocks[l]);
		block_pass_carve(carver, &d->cross_shape, &d->cross[l]);
		d->blocks[l].x = l ? d->cross[l - 1].out : first;
		d->cross[l].x = d->blocks[l].out;
	}
	carve_norm(carver, &d->final, d->R, W);
	d->dx = carve_floats(carver, d->R, W);
	d->dfinal = carve_floats(carver, d->R, W);
	d->logits = carve_floats(carver, 1, loss_caption_scratch(d->R, c->vocab_size));
}

static void carve_all(struct carver *carver, struct network *n)
{
	grad_scratch_carve(carver, &n->scratch);
	carve_image(carver, n);
	carve_texts(carver, n);
}

static void fill_image_spans(struct network *n)
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

/* Which of a text's rows its queries may see: key j > 0 is hidden if id j-1 is padding, by the published mask, or if the batch hides id
 * j. The class stands at key C, so that it sees itself only behind a text of C ids. */
static void fill_visible(const struct network *n, size_t i, uint8_t *visible)
{
	const int32_t *ids = n->batch.ids + n->batch.begin[i];
	const uint8_t *hidden = n->batch.hidden ? n->batch.hidden + n->batch.begin[i] : NULL;
	size_t count = ids_of(n, i), rows = text_rows(n, i), C = n->config.context_length;

	for (size_t j = 0; j < rows; j++)
		visible[j] = j == 0 || (ids[j - 1] != n->config.pad_id && !(hidden && j < count && hidden[j]));
	if (n->want & NETWORK_CONTRASTIVE)
		visible[rows - 1] = count == C && ids[C - 1] != n->config.pad_id;
}

static void fill_texts(struct network *n)
{
	struct text_pass *t = &n->text;
	struct decoder_pass *d = &n->decoder;
	size_t N = n->config.image_tokens, p = 0, p_decoder = 0, p_cross = 0;
	bool caption = n->want & NETWORK_CAPTION;

	t->begin[0] = 0;
	if (caption)
		d->begin[0] = 0;
	for (size_t i = 0; i < n->batch.B; i++) {
		size_t rows = text_rows(n, i), from = t->begin[i], labels = ids_of(n, i) - 1;
		t->begin[i + 1] = from + rows;
		t->spans[i] = (struct grad_span){from, rows, from, rows, from, p};
		p += t->shape.attention.heads * rows * rows;
		fill_visible(n, i, t->visible + from);
		if (!caption)
			continue;
		from = d->begin[i];
		d->begin[i + 1] = from + labels;
		d->spans[i] = (struct grad_span){from, labels, from, labels, from, p_decoder};
		d->cross_spans[i] = (struct grad_span){from, labels, i * N, N, from, p_cross};
		p_decoder += d->shape.attention.heads * labels * labels;
		p_cross += d->shape.attention.heads * labels * N;
		memcpy(d->labels + from, n->batch.ids + n->batch.begin[i] + 1, labels * sizeof *d->labels);
	}
	t->shape.attention.spans = t->spans;
	t->shape.attention.visible = t->visible;
	d->shape.attention.spans = d->spans;
	d->cross_shape.attention.spans = d->cross_spans;
}

static enum status lay_out(struct network *n, struct err *err)
{
	struct carver carver = {0};

	shape_image(n);
	shape_texts(n);
	need_scratch(n);
	carve_all(&carver, n);
	if (carver.used > n->capacity) {
		/* Some room to spare: text lengths differ from batch to batch. */
		size_t capacity = carver.used > SIZE_MAX / 2 ? SIZE_MAX : carver.used + carver.used / 32;
		free(n->memory);
		n->memory = mem_floats(capacity / sizeof(float));
		n->capacity = n->memory ? capacity : 0;
		if (!n->memory)
			return err_set(err, STATUS_MEMORY,
				       "a batch of %zu samples needs %.1f GB of memory; hint: a smaller --batch with --accumulate",
				       n->batch.B, (double)carver.used / 1e9);
	}
	carver = (struct carver){.base = n->memory};
	carve_all(&carver, n);
	fill_image_spans(n);
	fill_texts(n);
	return STATUS_OK;
}

/* ---- image tower ------------------------------------------------------------------------------------------------ */

/* One patch, [3,P,P] in the order of conv1's weights, from an image [3,S,S]. */
static void cut_pixels(const float *image, size_t S, size_t P, size_t top, size_t left, float *patch)
{
	for (size_t row = 0; row < 3 * P; row++)
		memcpy(patch + row * P, image + (row / P * S + top + row % P) * S + left, P * sizeof *patch);
}

/* The same from bytes [S,S,3], with shade[256,3] their normalised values. */
static void cut_bytes(const uint8_t *image, size_t S, size_t P, size_t top, size_t left, const float (*shade)[3], float *patch)
{
	for (size_t row = 0; row < 3 * P; row++) {
		const uint8_t *from = image + ((top + row % P) * S + left) * 3 + row / P;
		for (size_t x = 0; x < P; x++)
			patch[row * P + x] = shade[from[3 * x]][row / P];
	}
}

static void make_shades(const struct config *c, float shade[256][3])
{
	for (size_t v = 0; v < 256; v++)
		for (size_t k = 0; k < 3; k++)
			shade[v][k] = ((float)v / 255 - c->mean[k]) / c->std[k];
}

/* x[B,S,S,3] for the stem. */
static void lay_pixels(const struct config *c, const struct batch_inputs *batch, float *x)
{
	size_t area = c->image_size * c->image_size;
	float shade[256][3];

	make_shades(c, shade);
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < batch->B * area; i++)
		for (size_t k = 0; k < 3; k++)
			x[i * 3 + k] = batch->pixels ? batch->pixels[(i / area * 3 + k) * area + i % area] : shade[batch->rgb[i * 3 + k]][k];
}

static void cut_patches(const struct config *c, const struct batch_inputs *batch, float *patches)
{
	size_t S = c->image_size, P = c->patch_size, side = S / P, inputs = 3 * P * P;
	float shade[256][3];

	make_shades(c, shade);
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < batch->B * c->patches; i++) {
		size_t image = i / c->patches * 3 * S * S, top = i % c->patches / side * P, left = i % c->patches % side * P;
		if (batch->pixels)
			cut_pixels(batch->pixels + image, S, P, top, left, patches + i * inputs);
		else
			cut_bytes(batch->rgb + image, S, P, top, left, shade, patches + i * inputs);
	}
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

static void image_forward(struct network *n, const struct weights *w)
{
	const struct config *c = &n->config;
	struct image_pass *m = &n->image;
	size_t B = m->B, D = c->vision.width, inputs = config_patch_inputs(c);

	if (c->stem_layers) {
		lay_pixels(c, &n->batch, m->stem[0].x);
		stem_pass_forward(c, w, B, m->stem, &m->stem_scratch, m->patches);
	} else {
		cut_patches(c, &n->batch, m->patches);
	}
	grad_linear_forward(m->patches, B * c->patches, inputs, w->patch_weight, NULL, D, m->embedded, D);
	assemble(c, w, m->embedded, B, m->assembled);
	if (!c->no_ln_pre)
		grad_norm_forward(m->assembled, m->R, D, w->ln_pre.weight, w->ln_pre.bias, m->blocks[0].x, m->stat_pre);
	for (size_t l = 0; l < c->vision.layers; l++)
		block_pass_forward(&m->shape, &w->vision[l], NULL, &m->blocks[l]);

	const float *x = m->blocks[c->vision.layers - 1].out;
	if (c->pooling == POOL_SINGLE) {
		pooler_pass_forward(&m->pool_shape, &w->pool, x, &m->pool);
		x = m->pool.out;
	}
	grad_norm_forward(x, m->post_rows, m->post_width, w->ln_post.weight, w->ln_post.bias, m->post.y, m->post.stat);
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

static bool norm_trains(const struct norm *norm)
{
	return norm->weight || norm->bias;
}

static bool attention_trains(const struct attention *a)
{
	return a->q_weight || a->k_weight || a->v_weight || a->in_bias || a->out_weight || a->out_bias;
}

static bool block_trains(const struct block *b)
{
	return norm_trains(&b->ln_1) || norm_trains(&b->ln_2) || attention_trains(&b->attn) || b->ls_1 || b->ls_2 || b->fc_weight ||
	       b->fc_bias || b->proj_weight || b->proj_bias;
}

static bool pooler_trains(const struct pooler *p)
{
	return p->query || norm_trains(&p->ln_q) || norm_trains(&p->ln_k) || attention_trains(&p->attn);
}

/* The lowest block whose gradients anything needs; layers if none. */
static size_t lowest(const struct block *blocks, size_t layers, bool below)
{
	for (size_t l = 0; l < layers && !below; l++)
		if (block_trains(&blocks[l]))
			return l;
	return below ? 0 : layers;
}

static bool patches_train(const struct network *n, const struct weights *g)
{
	return stem_trains(&n->config, g) || g->patch_weight || g->class_embedding || g->vision_positions || norm_trains(&g->ln_pre);
}

static size_t image_lowest(const struct network *n, const struct weights *g)
{
	return lowest(g->vision, n->config.vision.layers, patches_train(n, g));
}

static bool image_trains(const struct network *n, const struct weights *g)
{
	return image_lowest(n, g) < n->config.vision.layers || norm_trains(&g->ln_post) || g->vision_proj || pooler_trains(&g->pool) ||
	       pooler_trains(&g->pool_contrastive);
}

/* dx[R,D] of the towers' input: class, positions, patches and what is below. Rows of an item add up in the order of the batch. */
static void assemble_backward(struct network *n, const struct weights *w, const struct weights *g, const float *dx)
{
	const struct config *c = &n->config;
	struct image_pass *m = &n->image;
	size_t B = n->batch.B, T = m->T, D = c->vision.width, inputs = config_patch_inputs(c);
	bool below = stem_trains(c, g);

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
	stem_pass_backward(c, w, g, B, m->stem, &m->stem_scratch, m->dpatches, n->scratch.partial);
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
	grad_norm_backward(m->dpost, single ? m->pool.out : x, m->post.stat, m->post_rows, m->post_width, w->ln_post.weight,
			   g->ln_post.weight, g->ln_post.bias, 0, single ? s->other : dx, s->partial);
	if (single) {
		memcpy(m->dpost, s->other, m->post_rows * m->post_width * sizeof *m->dpost);
		pooler_pass_backward(&m->pool_shape, &w->pool, &g->pool, x, &m->pool, s, m->dpost, 0, dx);
	}
}

static void image_backward(struct network *n, const struct weights *w, const struct weights *g, const float *dimage)
{
	const struct config *c = &n->config;
	struct image_pass *m = &n->image;
	struct grad_scratch *s = &n->scratch;
	size_t B = n->batch.B, D = c->vision.width, bottom = image_lowest(n, g);
	float *dx = bottom < c->vision.layers ? m->dx : NULL;

	if (n->want & NETWORK_CONTRASTIVE)
		grad_project_backward(dimage, B, c->embed_dim, m->pooled, m->pooled_width, w->vision_proj, g->vision_proj, m->dpooled);
	else
		memset(m->dpooled, 0, B * m->pooled_width * sizeof *m->dpooled);
	pooling_backward(n, w, g, dx);
	for (size_t l = c->vision.layers; l-- > bottom;)
		block_pass_backward(&m->shape, &w->vision[l], &g->vision[l], NULL, &m->blocks[l], s, dx, NULL);
	if (!patches_train(n, g))
		return;
	if (!c->no_ln_pre) {
		grad_norm_backward(dx, m->assembled, m->stat_pre, m->R, D, w->ln_pre.weight, g->ln_pre.weight, g->ln_pre.bias, 0, s->other,
				   s->partial);
		dx = s->other;
	}
	assemble_backward(n, w, g, dx);
}

/* ---- text tower ------------------------------------------------------------------------------------------------- */

/* Which token stands in a text's row (the pad id behind its ids), or -1 for the class; *position is where. */
static int32_t id_at(const struct network *n, size_t i, size_t row, size_t *position)
{
	size_t ids = ids_of(n, i), C = n->config.context_length;
	bool class_row = n->want & NETWORK_CONTRASTIVE && row + 1 == text_rows(n, i);

	*position = class_row ? C : row;
	if (class_row)
		return -1;
	return row < ids ? n->batch.ids[n->batch.begin[i] + row] : n->config.pad_id;
}

static void text_forward(struct network *n, const struct weights *w)
{
	const struct config *c = &n->config;
	struct text_pass *t = &n->text;
	size_t B = n->batch.B, W = c->text.width;
	float *x = t->blocks[0].x;

#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < B; i++)
		for (size_t row = 0; row < text_rows(n, i); row++) {
			size_t position;
			int32_t id = id_at(n, i, row, &position);
			const float *from = id < 0 ? w->class_text : w->token_embedding + (size_t)id * W,
				*at = w->text_positions + position * W;
			for (size_t d = 0; d < W; d++)
				x[(t->begin[i] + row) * W + d] = from[d] + at[d];
		}
	for (size_t l = 0; l < c->text.layers; l++)
		block_pass_forward(&t->shape, &w->text[l], NULL, &t->blocks[l]);
	if (!(n->want & NETWORK_CONTRASTIVE))
		return;
	for (size_t i = 0; i < B; i++)
		memcpy(t->class_rows + i * W, t->blocks[c->text.layers - 1].out + (t->begin[i + 1] - 1) * W, W * sizeof *x);
	grad_norm_forward(t->class_rows, B, W, w->text_ln_final.weight, w->text_ln_final.bias, t->final.y, t->final.stat);
	grad_project_forward(t->final.y, B, W, w->text_proj, c->embed_dim, t->features);
}

static bool text_trains(const struct network *n, const struct weights *g)
{
	return g->token_embedding || g->text_positions || g->class_text || norm_trains(&g->text_ln_final) || g->text_proj ||
	       lowest(g->text, n->config.text.layers, false) < n->config.text.layers;
}

/* Rows of different texts share ids: one thread, in order. */
static void embedding_backward(struct network *n, const struct weights *g, const float *dx)
{
	struct text_pass *t = &n->text;
	size_t W = n->config.text.width;

	for (size_t i = 0; i < n->batch.B; i++)
		for (size_t row = 0; row < text_rows(n, i); row++) {
			size_t position;
			int32_t id = id_at(n, i, row, &position);
			const float *from = dx + (t->begin[i] + row) * W;
			if (id < 0 && g->class_text)
				grad_add(g->class_text, from, W);
			if (id >= 0 && g->token_embedding)
				grad_add(g->token_embedding + (size_t)id * W, from, W);
			if (g->text_positions)
				grad_add(g->text_positions + position * W, from, W);
		}
}

static void text_backward(struct network *n, const struct weights *w, const struct weights *g, const float *dtext)
{
	const struct config *c = &n->config;
	struct text_pass *t = &n->text;
	struct decoder_pass *d = &n->decoder;
	struct grad_scratch *s = &n->scratch;
	size_t B = n->batch.B, W = c->text.width;
	bool embedding = g->token_embedding || g->text_positions || g->class_text;
	size_t bottom = lowest(g->text, c->text.layers, embedding);

	memset(t->dx, 0, t->R * W * sizeof *t->dx);
	if (n->want & NETWORK_CONTRASTIVE) {
		grad_project_backward(dtext, B, c->embed_dim, t->final.y, W, w->text_proj, g->text_proj, t->dfinal);
		grad_norm_backward(t->dfinal, t->class_rows, t->final.stat, B, W, w->text_ln_final.weight, g->text_ln_final.weight,
				   g->text_ln_final.bias, 0, t->dclass, s->partial);
		for (size_t i = 0; i < B; i++)
			memcpy(t->dx + (t->begin[i + 1] - 1) * W, t->dclass + i * W, W * sizeof *t->dx);
	}
	for (size_t i = 0; i < B && n->want & NETWORK_CAPTION; i++)
		grad_add(t->dx + t->begin[i] * W, d->dx + d->begin[i] * W, (d->begin[i + 1] - d->begin[i]) * W);
	for (size_t l = c->text.layers; l-- > bottom;)
		block_pass_backward(&t->shape, &w->text[l], &g->text[l], NULL, &t->blocks[l], s, t->dx, NULL);
	if (embedding)
		embedding_backward(n, g, t->dx);
}

/* ---- decoder ---------------------------------------------------------------------------------------------------- */

static void decoder_forward(struct network *n, const struct weights *w)
{
	const struct config *c = &n->config;
	struct text_pass *t = &n->text;
	struct decoder_pass *d = &n->decoder;
	size_t W = c->text.width;
	const float *text = t->blocks[c->text.layers - 1].out;

	for (size_t i = 0; i < n->batch.B; i++)
		memcpy(d->blocks[0].x + d->begin[i] * W, text + t->begin[i] * W, (d->begin[i + 1] - d->begin[i]) * W * sizeof *text);
	for (size_t l = 0; l < c->decoder.layers; l++) {
		block_pass_forward(&d->shape, &w->decoder[l], NULL, &d->blocks[l]);
		block_pass_forward(&d->cross_shape, &w->cross[l], n->image.tokens, &d->cross[l]);
	}
	grad_norm_forward(d->cross[c->decoder.layers - 1].out, d->R, W, w->decoder_ln_final.weight, w->decoder_ln_final.bias, d->final.y,
			  d->final.stat);
}

/* Leaves the gradients of the text tokens in d->dx and those of the image tokens in image.dtokens. */
static void decoder_backward(struct network *n, const struct weights *w, const struct weights *g, float weight, double *sum)
{
	const struct config *c = &n->config;
	struct decoder_pass *d = &n->decoder;
	struct grad_scratch *s = &n->scratch;
	size_t W = c->text.width, last = c->decoder.layers - 1;

	loss_caption(d->final.y, d->R, W, w->decoder_proj, c->vocab_size, d->labels, weight, g ? d->dfinal : NULL,
		     g ? g->decoder_proj : NULL, sum, d->logits);
	if (!g)
		return;
	memset(n->image.dtokens, 0, n->batch.B * c->image_tokens * W * sizeof *d->dx);
	grad_norm_backward(d->dfinal, d->cross[last].out, d->final.stat, d->R, W, w->decoder_ln_final.weight, g->decoder_ln_final.weight,
			   g->decoder_ln_final.bias, 0, d->dx, s->partial);
	for (size_t l = c->decoder.layers; l-- > 0;) {
		block_pass_backward(&d->cross_shape, &w->cross[l], &g->cross[l], n->image.tokens, &d->cross[l], s, d->dx, n->image.dtokens);
		block_pass_backward(&d->shape, &w->decoder[l], &g->decoder[l], NULL, &d->blocks[l], s, d->dx, NULL);
	}
}

/* ---- the whole -------------------------------------------------------------------------------------------------- */

enum status network_forward(struct network *n, const struct weights *w, const struct batch_inputs *batch, enum network_want want,
			    struct err *err)
{
	n->batch = *batch;
	n->want = want;
	enum status status = lay_out(n, err);
	if (status != STATUS_OK)
		return status;
	if (n->image.B)
		image_forward(n, w);
	text_forward(n, w);
	if (want & NETWORK_CAPTION)
		decoder_forward(n, w);
	return STATUS_OK;
}

void network_backward(struct network *n, const struct weights *w, const struct weights *g, const float *dimage, const float *dtext,
		      float caption_weight, double *caption_sum)
{
	*caption_sum = 0;
	if (n->want & NETWORK_CAPTION)
		decoder_backward(n, w, g, caption_weight, caption_sum);
	else if (g)
		memset(n->image.dtokens, 0, n->batch.B * n->config.image_tokens * n->config.embed_dim * sizeof(float));
	if (!g)
		return;
	if (text_trains(n, g))
		text_backward(n, w, g, dtext);
	if (image_trains(n, g))
		image_backward(n, w, g, dimage);
}
