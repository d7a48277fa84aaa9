/* decoder_pass.c: the multimodal decoder of training, and the caption loss (passes.h).
 *
 *     text tokens -> (causal block -> cross block, which sees the image tokens) * layers -> ln_final -> projection -> cross entropy
 *
 * Its rows are those of a text that have a label: all ids but the last.
 */
#include <string.h>

#include "model/train/loss.h"
#include "model/train/passes.h"

#include "schema/base/banned.h"

/* ---- layout ----------------------------------------------------------------------------------------------------- */

void decoder_pass_shape(struct network *n)
{
	const struct config *c = &n->config;
	struct decoder_pass *d = &n->decoder;
	size_t B = n->batch.B, N = c->image_tokens;
	struct block_shape *cross = &d->cross_shape;

	d->shape = pass_block_shape(c, &c->decoder, 0);
	d->shape.attention.causal = true;
	*cross = pass_block_shape(c, &c->decoder, 0);
	cross->cross = true;
	cross->Rk = B * N;
	for (size_t i = 0; i < B; i++) {
		size_t rows = pass_ids(n, i) - 1;
		pass_add_rows(&d->shape, rows);
		cross->R += rows;
		cross->p += cross->attention.heads * rows * N;
		if (rows * N > cross->attention.most)
			cross->attention.most = rows * N;
	}
	d->shape.attention.items = cross->attention.items = B;
	d->R = d->shape.R;
}

void decoder_pass_carve(struct carver *carver, struct network *n)
{
	const struct config *c = &n->config;
	struct decoder_pass *d = &n->decoder;
	size_t B = n->batch.B, W = c->text.width;

	d->spans = carve(carver, B, sizeof *d->spans);
	d->cross_spans = carve(carver, B, sizeof *d->cross_spans);
	d->begin = carve(carver, B + 1, sizeof *d->begin);
	d->labels = carve(carver, d->R, sizeof *d->labels);
	float *x = carve_floats(carver, d->R, W);
	for (size_t l = 0; l < c->decoder.layers; l++) {
		block_pass_carve(carver, &d->shape, &d->blocks[l], &n->scratch);
		block_pass_carve(carver, &d->cross_shape, &d->cross[l], &n->scratch);
		d->blocks[l].x = x;
		d->cross[l].x = d->blocks[l].out;
		x = d->cross[l].out;
	}
	pass_carve_norm(carver, &d->final, d->R, W);
	d->dx = carve_floats(carver, d->R, W);
	d->dfinal = carve_floats(carver, d->R, W);
	d->logits = carve_floats(carver, 1, loss_caption_scratch(d->R, c->vocab_size));
}

void decoder_pass_fill(struct network *n)
{
	struct decoder_pass *d = &n->decoder;
	size_t N = n->config.image_tokens, heads = d->shape.attention.heads, p = 0, p_cross = 0;

	d->begin[0] = 0;
	for (size_t i = 0; i < n->batch.B; i++) {
		size_t rows = pass_ids(n, i) - 1, from = d->begin[i];
		d->begin[i + 1] = from + rows;
		d->spans[i] = (struct grad_span){from, rows, from, rows, from, p};
		d->cross_spans[i] = (struct grad_span){from, rows, i * N, N, from, p_cross};
		p += heads * rows * rows;
		p_cross += heads * rows * N;
		memcpy(d->labels + from, n->batch.ids + n->batch.begin[i] + 1, rows * sizeof *d->labels);
	}
	d->shape.attention.spans = d->spans;
	d->cross_shape.attention.spans = d->cross_spans;
}

/* ---- forward and backward --------------------------------------------------------------------------------------- */

void decoder_pass_forward(struct network *n, const struct weights *w)
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
	grad_norm_forward(d->cross[c->decoder.layers - 1].out, d->R, W, &w->decoder_ln_final, d->final.y, d->final.stat);
}

void decoder_pass_backward(struct network *n, const struct weights *w, const struct weights *g, float weight, double *sum)
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
	grad_norm_backward(d->dfinal, d->cross[last].out, d->final.stat, d->R, W, &w->decoder_ln_final, &g->decoder_ln_final, 0, d->dx,
			   s->partial);
	for (size_t l = c->decoder.layers; l-- > 0;) {
		block_pass_backward(&d->cross_shape, &w->cross[l], &g->cross[l], n->image.tokens, &d->cross[l], s, d->dx, n->image.dtokens);
		block_pass_backward(&d->shape, &w->decoder[l], &g->decoder[l], NULL, &d->blocks[l], s, d->dx, NULL);
	}
}
