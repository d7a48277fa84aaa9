/* grad_block.c: see grad_block.h. The order of the backward is the forward's, read upwards. */
#include "model/train/grad_block.h"

#include <string.h>

#include "schema/base/banned.h"

static void widen(size_t *most, size_t n)
{
	*most = n > *most ? n : *most;
}

void grad_scratch_carve(struct carver *carver, struct grad_scratch *s)
{
	s->wide = carve_floats(carver, 1, s->wide_floats);
	s->row = carve_floats(carver, 1, s->row_floats);
	s->other = carve_floats(carver, 1, s->row_floats);
	s->partial = carve_floats(carver, 1, grad_partial(s->partial_width));
	s->attention = carve_floats(carver, (size_t)op_threads(), s->attention_most);
}

/* ---- block ------------------------------------------------------------------------------------------------------ */

void block_pass_carve(struct carver *carver, const struct block_shape *b, struct block_pass *pass, struct grad_scratch *scratch)
{
	size_t widest = b->F > 3 * b->D ? b->F : 3 * b->D;

	widen(&scratch->wide_floats, b->R * widest);
	widen(&scratch->row_floats, b->R * b->D);
	widen(&scratch->partial_width, widest);
	widen(&scratch->attention_most, b->attention.most);
	pass->norm1 = carve_floats(carver, b->R, b->D);
	pass->stat1 = carve_floats(carver, b->R, 2);
	pass->qkv = carve_floats(carver, b->R, b->cross ? b->D : 3 * b->D);
	pass->p = carve_floats(carver, 1, b->p);
	pass->attended = carve_floats(carver, b->R, b->D);
	pass->mid = carve_floats(carver, b->R, b->D);
	pass->norm2 = carve_floats(carver, b->R, b->D);
	pass->stat2 = carve_floats(carver, b->R, 2);
	pass->slope = carve_floats(carver, b->R, b->F);
	pass->hidden = carve_floats(carver, b->R, b->F);
	pass->out = carve_floats(carver, b->R, b->D);
	if (b->layer_scale) {
		pass->branch1 = carve_floats(carver, b->R, b->D);
		pass->branch2 = carve_floats(carver, b->R, b->D);
	}
	if (b->cross) {
		widen(&scratch->wide_floats, b->R * b->D + b->Rk * 2 * b->D);
		widen(&scratch->row_floats, b->Rk * b->D);
		pass->norm_kv = carve_floats(carver, b->Rk, b->D);
		pass->stat_kv = carve_floats(carver, b->Rk, 2);
		pass->kv = carve_floats(carver, b->Rk, 2 * b->D);
	}
}

/* to = from + scale * (x w^T + bias) */
static void branch_forward(const float *x, size_t R, size_t in, const float *w, const float *bias, size_t D, const float *scale,
			   const float *from, float *branch, float *to)
{
	if (scale) {
		grad_linear_forward(x, R, in, w, bias, D, branch, D);
		grad_scaled_forward(from, branch, scale, R, D, to);
	} else {
		grad_residual(from, bias, R, D, to);
		grad_linear_add(x, R, in, w, D, to);
	}
}

/* dinput = the gradient of branch_forward's x for dto; w's, bias's and scale's gradients are added to. scaled[R,D]: scratch. */
static void branch_backward(const float *dto, const float *x, size_t R, size_t in, const float *w, float *dw, float *dbias, size_t D,
			    const float *scale, float *dscale, const float *branch, float *scaled, float *dinput, float *partial)
{
	if (scale) {
		grad_scaled_backward(dto, branch, scale, R, D, scaled, dscale, partial);
		dto = scaled;
	}
	grad_linear_weight(dto, R, D, D, x, in, dw, dbias, partial);
	grad_linear_input(dto, R, D, D, w, in, 0, dinput);
}

/* Where q, k and v of a block lie. */
struct qkv {
	float *q, *k, *v;
	size_t ldq, ldk;
};

static struct qkv qkv_of(const struct block_shape *b, float *q, float *kv)
{
	if (b->cross)
		return (struct qkv){q, kv, kv + b->D, b->D, 2 * b->D};
	return (struct qkv){q, q + b->D, q + 2 * b->D, 3 * b->D, 3 * b->D};
}

void block_pass_forward(const struct block_shape *b, const struct block *w, const float *tokens, struct block_pass *pass)
{
	const struct attention *attn = &w->attn;
	size_t R = b->R, D = b->D;

	grad_norm_forward(pass->x, R, D, &w->ln_1, pass->norm1, pass->stat1);
	if (b->cross) {
		grad_norm_forward(tokens, b->Rk, D, &w->ln_1_kv, pass->norm_kv, pass->stat_kv);
		grad_linear_forward(pass->norm1, R, D, attn->in_weight, attn->in_bias, D, pass->qkv, D);
		grad_linear_forward(pass->norm_kv, b->Rk, D, attn->in_weight + D * D, attn->in_bias + D, 2 * D, pass->kv, 2 * D);
	} else {
		grad_linear_forward(pass->norm1, R, D, attn->in_weight, attn->in_bias, 3 * D, pass->qkv, 3 * D);
	}
	struct qkv at = qkv_of(b, pass->qkv, pass->kv);
	grad_attention_forward(&b->attention, at.q, at.ldq, at.k, at.v, at.ldk, pass->p, pass->attended);
	branch_forward(pass->attended, R, D, attn->out_weight, attn->out_bias, D, w->ls_1, pass->x, pass->branch1, pass->mid);

	grad_norm_forward(pass->mid, R, D, &w->ln_2, pass->norm2, pass->stat2);
	grad_linear_forward(pass->norm2, R, D, w->fc_weight, w->fc_bias, b->F, pass->slope, b->F);
	grad_gelu_forward(pass->slope, R * b->F, b->quick, pass->hidden);
	branch_forward(pass->hidden, R, b->F, w->proj_weight, w->proj_bias, D, w->ls_2, pass->mid, pass->branch2, pass->out);
}

static void mlp_backward(const struct block_shape *b, const struct block *w, const struct block *dw, const struct block_pass *pass,
			 struct grad_scratch *s, float *dx)
{
	size_t R = b->R, D = b->D, F = b->F;

	branch_backward(dx, pass->hidden, R, F, w->proj_weight, dw->proj_weight, dw->proj_bias, D, w->ls_2, dw->ls_2, pass->branch2, s->row,
			s->wide, s->partial);
	grad_gelu_backward(s->wide, pass->slope, R, F, dw->fc_bias, s->partial);
	grad_linear_weight(s->wide, R, F, F, pass->norm2, D, dw->fc_weight, NULL, s->partial);
	grad_linear_input(s->wide, R, F, F, w->fc_weight, D, 0, s->row);
	grad_norm_backward(s->row, pass->mid, pass->stat2, R, D, &w->ln_2, &dw->ln_2, 1, dx, s->partial);
}

/* The parts of a stacked gradient: NULL stays NULL. */
static float *part(float *base, size_t offset)
{
	return base ? base + offset : NULL;
}

void block_pass_backward(const struct block_shape *b, const struct block *w, const struct block *dw, const float *tokens,
			 const struct block_pass *pass, struct grad_scratch *s, float *dx, float *dtokens)
{
	const struct attention *attn = &w->attn, *dattn = &dw->attn;
	size_t R = b->R, D = b->D;
	float *dkv = s->wide + R * D;

	mlp_backward(b, w, dw, pass, s, dx);
	branch_backward(dx, pass->attended, R, D, attn->out_weight, dattn->out_weight, dattn->out_bias, D, w->ls_1, dw->ls_1, pass->branch1,
			s->other, s->row, s->partial);
	struct qkv at = qkv_of(b, pass->qkv, pass->kv), to = qkv_of(b, s->wide, dkv);
	grad_attention_backward(&b->attention, at.q, at.ldq, at.k, at.v, at.ldk, pass->p, s->row, to.q, to.ldq, to.k, to.v, to.ldk,
				s->attention);
	size_t width = b->cross ? D : 3 * D;
	grad_linear_weight(s->wide, R, width, width, pass->norm1, D, dattn->in_weight, dattn->in_bias, s->partial);
	grad_linear_input(s->wide, R, width, width, attn->in_weight, D, 0, s->row);
	grad_norm_backward(s->row, pass->x, pass->stat1, R, D, &w->ln_1, &dw->ln_1, 1, dx, s->partial);
	if (b->cross) {
		grad_linear_weight(dkv, b->Rk, 2 * D, 2 * D, pass->norm_kv, D, part(dattn->in_weight, D * D), part(dattn->in_bias, D),
				   s->partial);
		grad_linear_input(dkv, b->Rk, 2 * D, 2 * D, attn->in_weight + D * D, D, 0, s->row);
		grad_norm_backward(s->row, tokens, pass->stat_kv, b->Rk, D, &w->ln_1_kv, &dw->ln_1_kv, 1, dtokens, s->partial);
	}
}

/* ---- pooler ----------------------------------------------------------------------------------------------------- */

void pooler_pass_carve(struct carver *carver, const struct pooler_shape *m, struct pooler_pass *pass, struct grad_scratch *scratch)
{
	size_t rows = m->B * m->n;

	widen(&scratch->wide_floats, rows * m->E + m->R * 2 * m->E);
	widen(&scratch->row_floats, (rows + m->n) * m->E);
	widen(&scratch->row_floats, m->R * m->D);
	widen(&scratch->partial_width, 2 * m->E > m->D ? 2 * m->E : m->D);
	widen(&scratch->attention_most, m->attention.most);
	pass->norm_q = carve_floats(carver, m->n, m->E);
	pass->stat_q = carve_floats(carver, m->n, 2);
	pass->q = carve_floats(carver, m->n, m->E);
	pass->norm_k = carve_floats(carver, m->R, m->D);
	pass->stat_k = carve_floats(carver, m->R, 2);
	pass->kv = carve_floats(carver, m->R, 2 * m->E);
	pass->p = carve_floats(carver, 1, m->p);
	pass->attended = carve_floats(carver, rows, m->E);
	pass->out = carve_floats(carver, rows, m->E);
}

void pooler_pass_forward(const struct pooler_shape *m, const struct pooler *w, const float *x, struct pooler_pass *pass)
{
	const struct attention *attn = &w->attn;
	size_t E = m->E;

	grad_norm_forward(w->query, m->n, E, &w->ln_q, pass->norm_q, pass->stat_q);
	grad_linear_forward(pass->norm_q, m->n, E, attn->q_weight, attn->in_bias, E, pass->q, E);
	grad_norm_forward(x, m->R, m->D, &w->ln_k, pass->norm_k, pass->stat_k);
	grad_linear_forward(pass->norm_k, m->R, m->D, attn->k_weight, attn->in_bias + E, E, pass->kv, 2 * E);
	grad_linear_forward(pass->norm_k, m->R, m->D, attn->v_weight, attn->in_bias + 2 * E, E, pass->kv + E, 2 * E);
	grad_attention_forward(&m->attention, pass->q, E, pass->kv, pass->kv + E, 2 * E, pass->p, pass->attended);
	grad_linear_forward(pass->attended, m->B * m->n, E, attn->out_weight, attn->out_bias, E, pass->out, E);
}

/* All items share the queries: their gradients add up. dq[n,E] = sum over items of each[B*n,E]. */
static void sum_items(const float *each, size_t B, size_t n, float *dq)
{
	memset(dq, 0, n * sizeof *dq);
	for (size_t i = 0; i < B; i++)
		grad_add(dq, each + i * n, n);
}

void pooler_pass_backward(const struct pooler_shape *m, const struct pooler *w, const struct pooler *dw, const float *x,
			  const struct pooler_pass *pass, struct grad_scratch *s, const float *dout, float keep, float *dx)
{
	const struct attention *attn = &w->attn, *dattn = &dw->attn;
	size_t E = m->E, D = m->D, rows = m->B * m->n;
	float *dq_each = s->wide, *dkv = s->wide + rows * E;
	float *dq = s->row + rows * E;

	grad_linear_weight(dout, rows, E, E, pass->attended, E, dattn->out_weight, dattn->out_bias, s->partial);
	grad_linear_input(dout, rows, E, E, attn->out_weight, E, 0, s->row);
	grad_attention_backward(&m->attention, pass->q, E, pass->kv, pass->kv + E, 2 * E, pass->p, s->row, dq_each, E, dkv, dkv + E, 2 * E,
				s->attention);

	sum_items(dq_each, m->B, m->n * E, dq);
	grad_linear_weight(dq, m->n, E, E, pass->norm_q, E, dattn->q_weight, dattn->in_bias, s->partial);
	grad_linear_input(dq, m->n, E, E, attn->q_weight, E, 0, s->row);
	grad_norm_backward(s->row, w->query, pass->stat_q, m->n, E, &w->ln_q, &dw->ln_q, 1, dw->query, s->partial);

	grad_linear_weight(dkv, m->R, E, 2 * E, pass->norm_k, D, dattn->k_weight, part(dattn->in_bias, E), s->partial);
	grad_linear_weight(dkv + E, m->R, E, 2 * E, pass->norm_k, D, dattn->v_weight, part(dattn->in_bias, 2 * E), s->partial);
	grad_linear_input(dkv, m->R, E, 2 * E, attn->k_weight, D, 0, s->row);
	grad_linear_input(dkv + E, m->R, E, 2 * E, attn->v_weight, D, 1, s->row);
	grad_norm_backward(s->row, x, pass->stat_k, m->R, D, &w->ln_k, &dw->ln_k, keep, dx, s->partial);
}
