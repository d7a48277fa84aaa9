/* text_pass.c: the text tower of training (passes.h).
 *
 *     ids -> embedding and positions, class behind them -> causal blocks -> text tokens (of the decoder)
 *                                                                       -> the class's row -> ln_final -> projection -> features
 */
#include <string.h>

#include "model/train/passes.h"

#include "schema/base/banned.h"

/* ---- layout ----------------------------------------------------------------------------------------------------- */

/* Rows of text i: all that the class can see and itself; for captions alone, what has a label. */
static size_t text_rows(const struct network *n, size_t i)
{
	size_t ids = pass_ids(n, i);
	return n->want & NETWORK_CONTRASTIVE ? ids + (ids < n->config.context_length) + 1 : ids - 1;
}

void text_pass_shape(struct network *n)
{
	struct text_pass *t = &n->text;

	t->shape = pass_block_shape(&n->config, &n->config.text, 0);
	t->shape.attention.causal = true;
	t->shape.attention.items = n->batch.B;
	for (size_t i = 0; i < n->batch.B; i++)
		pass_add_rows(&t->shape, text_rows(n, i));
	t->R = t->shape.R;
}

void text_pass_carve(struct carver *carver, struct network *n)
{
	const struct config *c = &n->config;
	struct text_pass *t = &n->text;
	size_t B = n->batch.B, W = c->text.width;

	t->spans = carve(carver, B, sizeof *t->spans);
	t->begin = carve(carver, B + 1, sizeof *t->begin);
	t->visible = carve(carver, t->R, sizeof *t->visible);
	pass_carve_blocks(carver, n, &t->shape, t->blocks, c->text.layers);
	t->class_rows = carve_floats(carver, B, W);
	pass_carve_norm(carver, &t->final, B, W);
	t->features = carve_floats(carver, B, c->embed_dim);
	t->dx = carve_floats(carver, t->R, W);
	t->dclass = carve_floats(carver, B, W);
	t->dfinal = carve_floats(carver, B, W);
}

/* Which of a text's rows its queries may see: key j > 0 is hidden if id j-1 is padding, by the published mask, or if the batch hides id
 * j. The class stands at key C, so that it sees itself only behind a text of C ids. */
static void fill_visible(const struct network *n, size_t i, uint8_t *visible)
{
	const int32_t *ids = n->batch.ids + n->batch.begin[i];
	const uint8_t *hidden = n->batch.hidden ? n->batch.hidden + n->batch.begin[i] : NULL;
	size_t count = pass_ids(n, i), rows = text_rows(n, i), C = n->config.context_length;

	for (size_t j = 0; j < rows; j++)
		visible[j] = j == 0 || (ids[j - 1] != n->config.pad_id && !(hidden && j < count && hidden[j]));
	if (n->want & NETWORK_CONTRASTIVE)
		visible[rows - 1] = count == C && ids[C - 1] != n->config.pad_id;
}

void text_pass_fill(struct network *n)
{
	struct text_pass *t = &n->text;
	size_t p = 0;

	t->begin[0] = 0;
	for (size_t i = 0; i < n->batch.B; i++) {
		size_t rows = text_rows(n, i), from = t->begin[i];
		t->begin[i + 1] = from + rows;
		t->spans[i] = (struct grad_span){from, rows, from, rows, from, p};
		p += t->shape.attention.heads * rows * rows;
		fill_visible(n, i, t->visible + from);
	}
	t->shape.attention.spans = t->spans;
	t->shape.attention.visible = t->visible;
}

/* ---- forward and backward --------------------------------------------------------------------------------------- */

/* Which token stands in a text's row (the pad id behind its ids), or -1 for the class; *position is where. */
static int32_t id_at(const struct network *n, size_t i, size_t row, size_t *position)
{
	size_t ids = pass_ids(n, i), C = n->config.context_length;
	bool class_row = n->want & NETWORK_CONTRASTIVE && row + 1 == text_rows(n, i);

	*position = class_row ? C : row;
	if (class_row)
		return -1;
	return row < ids ? n->batch.ids[n->batch.begin[i] + row] : n->config.pad_id;
}

void text_pass_forward(struct network *n, const struct weights *w)
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
	grad_norm_forward(t->class_rows, B, W, &w->text_ln_final, t->final.y, t->final.stat);
	grad_project_forward(t->final.y, B, W, w->text_proj, c->embed_dim, t->features);
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

static bool text_trains(const struct config *c, const struct weights *g)
{
	return g->token_embedding || g->text_positions || g->class_text || pass_trains(&g->text_ln_final, sizeof g->text_ln_final) ||
	       g->text_proj || pass_lowest(g->text, c->text.layers, false) < c->text.layers;
}

void text_pass_backward(struct network *n, const struct weights *w, const struct weights *g, const float *dtext)
{
	const struct config *c = &n->config;
	struct text_pass *t = &n->text;
	struct decoder_pass *d = &n->decoder;
	struct grad_scratch *s = &n->scratch;
	size_t B = n->batch.B, W = c->text.width;
	bool embedding = g->token_embedding || g->text_positions || g->class_text;
	size_t bottom = pass_lowest(g->text, c->text.layers, embedding);

	if (!text_trains(c, g))
		return;
	memset(t->dx, 0, t->R * W * sizeof *t->dx);
	if (n->want & NETWORK_CONTRASTIVE) {
		grad_project_backward(dtext, B, c->embed_dim, t->final.y, W, w->text_proj, g->text_proj, t->dfinal);
		grad_norm_backward(t->dfinal, t->class_rows, t->final.stat, B, W, &w->text_ln_final, &g->text_ln_final, 0, t->dclass,
				   s->partial);
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
