/* fold.c: see fold.h. */
#include "model/heads/fold.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

#include "model/train/grad_ops.h"

#include "schema/base/banned.h"

void fold_carve(struct carver *carver, struct fold *f)
{
	size_t J = f->n * f->H;

	f->begin = carve(carver, f->B + 1, sizeof *f->begin);
	f->x = carve_floats(carver, f->R, f->D);
	f->out = carve_floats(carver, f->B * f->n, f->E);
	f->normed = carve_floats(carver, f->n, f->E);
	f->stat = carve_floats(carver, f->n, 2);
	f->q = carve_floats(carver, f->n, f->E);
	f->u = carve_floats(carver, J, f->D);
	f->uw = carve_floats(carver, J, f->D);
	f->duw = carve_floats(carver, J, f->D);
	f->p = carve_floats(carver, f->R, J);
	f->dp = carve_floats(carver, f->R, J);
	f->mixhat = carve_floats(carver, f->B * J, f->D);
	f->mix = carve_floats(carver, f->B * J, f->D);
	f->dmix = carve_floats(carver, f->B * J, f->D);
	f->attended = carve_floats(carver, f->B * f->n, f->E);
	f->dattended = carve_floats(carver, f->B * f->n, f->E);
	f->dq = carve_floats(carver, f->n, f->E);
	f->dnormed = carve_floats(carver, f->n, f->E);
	f->partial = carve_floats(carver, 1, grad_partial(f->E > f->D ? f->E : f->D));
}

/* c[m,n] = a[m,k] b (b[n,k] transposed, or [k,n]) with rows lda, ldb, ldc apart; c is added to where keep is 1. */
static void product(bool ta, bool tb, size_t m, size_t n, size_t k, float scale, const float *a, size_t lda, const float *b, size_t ldb,
		    float keep, float *c, size_t ldc)
{
	cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)k, scale, a,
		    (int)lda, b, (int)ldb, keep, c, (int)ldc);
}

/* Column j of p[M,J], from scores to probabilities. */
static void softmax_column(float *p, size_t M, size_t J)
{
	float most = p[0], sum = 0;

	for (size_t t = 1; t < M; t++)
		most = p[t * J] > most ? p[t * J] : most;
	for (size_t t = 0; t < M; t++)
		sum += p[t * J] = expf(p[t * J] - most);
	for (size_t t = 0; t < M; t++)
		p[t * J] /= sum;
}

void fold_queries(struct fold *f, const struct head *head)
{
	const struct pooler *w = &head->pool;
	size_t D = f->D, E = f->E, H = f->H, d = E / H, n = f->n, J = n * H;

	grad_norm_forward(w->query, n, E, &w->ln_q, f->normed, f->stat);
	grad_linear_forward(f->normed, n, E, w->attn.q_weight, w->attn.in_bias, E, f->q, E);
	/* Row j * H + h of u belongs to query j and head h. */
	for (size_t h = 0; h < H; h++)
		product(false, false, n, D, d, 1 / sqrtf((float)d), f->q + h * d, E, w->attn.k_weight + h * d * D, D, 0, f->u + h * D,
			H * D);
	for (size_t j = 0; j < J; j++)
		for (size_t i = 0; i < D; i++)
			f->uw[j * D + i] = f->u[j * D + i] * w->ln_k.weight[i];
}

void fold_forward(struct fold *f, const struct head *head)
{
	const struct pooler *w = &head->pool;
	size_t D = f->D, E = f->E, H = f->H, d = E / H, n = f->n, J = n * H;

	op_standardise(f->x, f->R, D, f->x);
	product(false, true, f->R, J, D, 1, f->x, D, f->uw, D, 0, f->p, J);
#pragma omp parallel for schedule(static) if (f->B > 1 && f->R * D > 1 << 14)
	for (size_t b = 0; b < f->B; b++) {
		size_t from = f->begin[b], M = f->begin[b + 1] - from;
		for (size_t j = 0; j < J; j++)
			softmax_column(f->p + from * J + j, M, J);
		product(true, false, J, D, M, 1, f->p + from * J, J, f->x + from * D, D, 0, f->mixhat + b * J * D, D);
		for (size_t j = b * J; j < (b + 1) * J; j++)
			for (size_t i = 0; i < D; i++)
				f->mix[j * D + i] = f->mixhat[j * D + i] * w->ln_k.weight[i] + w->ln_k.bias[i];
	}
	for (size_t r = 0; r < f->B * n; r++)
		memcpy(f->attended + r * E, w->attn.in_bias + 2 * E, E * sizeof *f->attended);
	for (size_t h = 0; h < H; h++)
		product(false, true, f->B * n, d, D, 1, f->mix + h * D, H * D, w->attn.v_weight + h * d * D, D, 1, f->attended + h * d, E);
	grad_linear_forward(f->attended, f->B * n, E, w->attn.out_weight, w->attn.out_bias, E, f->out, E);
}

/* Through the values: dmix[B*J,D], and what it leaves in ln_k's parameters; dmix then is the gradient of mixhat. */
static void values_backward(struct fold *f, const struct pooler *w, const struct pooler *dw)
{
	size_t D = f->D, E = f->E, H = f->H, d = E / H, rows = f->B * f->n;

	for (size_t h = 0; h < H; h++) {
		product(true, false, d, D, rows, 1, f->dattended + h * d, E, f->mix + h * D, H * D, 1, dw->attn.v_weight + h * d * D, D);
		product(false, false, rows, D, d, 1, f->dattended + h * d, E, w->attn.v_weight + h * d * D, D, 0, f->dmix + h * D, H * D);
	}
	grad_column_sums(f->dattended, rows, E, E, dw->attn.in_bias + 2 * E, f->partial);
	for (size_t r = 0; r < rows * H; r++)
		for (size_t i = 0; i < D; i++) {
			float *dmix = f->dmix + r * D + i;
			dw->ln_k.weight[i] += *dmix * f->mixhat[r * D + i];
			dw->ln_k.bias[i] += *dmix;
			*dmix *= w->ln_k.weight[i];
		}
}

/* Through the softmax of each item: p becomes the gradient of the scores. */
static void scores_backward(struct fold *f)
{
	size_t D = f->D, J = f->n * f->H;

#pragma omp parallel for schedule(static) if (f->B > 1 && f->R * D > 1 << 14)
	for (size_t b = 0; b < f->B; b++) {
		size_t from = f->begin[b], M = f->begin[b + 1] - from;
		float *p = f->p + from * J, *dp = f->dp + from * J;
		product(false, true, M, J, D, 1, f->x + from * D, D, f->dmix + b * J * D, D, 0, dp, J);
		for (size_t j = 0; j < J; j++) {
			float sum = 0;
			for (size_t t = 0; t < M; t++)
				sum += p[t * J + j] * dp[t * J + j];
			for (size_t t = 0; t < M; t++)
				dp[t * J + j] = p[t * J + j] * (dp[t * J + j] - sum);
		}
	}
}

/* From the scores to queries, keys, and ln_k. */
static void queries_backward(struct fold *f, const struct pooler *w, const struct pooler *dw)
{
	size_t D = f->D, E = f->E, H = f->H, d = E / H, n = f->n, J = n * H;
	float scale = 1 / sqrtf((float)d);

	product(true, false, J, D, f->R, 1, f->dp, J, f->x, D, 0, f->duw, D);
	for (size_t j = 0; j < J; j++)
		for (size_t i = 0; i < D; i++) {
			dw->ln_k.weight[i] += f->duw[j * D + i] * f->u[j * D + i];
			f->duw[j * D + i] *= w->ln_k.weight[i];
		}
	for (size_t h = 0; h < H; h++) {
		product(true, false, d, D, n, scale, f->q + h * d, E, f->duw + h * D, H * D, 1, dw->attn.k_weight + h * d * D, D);
		product(false, true, n, d, D, scale, f->duw + h * D, H * D, w->attn.k_weight + h * d * D, D, 0, f->dq + h * d, E);
	}
	grad_linear_weight(f->dq, n, E, E, f->normed, E, dw->attn.q_weight, dw->attn.in_bias, f->partial);
	grad_linear_input(f->dq, n, E, E, w->attn.q_weight, E, 0, f->dnormed);
	grad_norm_backward(f->dnormed, w->query, f->stat, n, E, &w->ln_q, &dw->ln_q, 1, dw->query, f->partial);
}

void fold_backward(struct fold *f, const struct head *head, const struct head *gradient, const float *dout)
{
	const struct pooler *w = &head->pool, *dw = &gradient->pool;
	size_t E = f->E, rows = f->B * f->n;

	grad_linear_weight(dout, rows, E, E, f->attended, E, dw->attn.out_weight, dw->attn.out_bias, f->partial);
	grad_linear_input(dout, rows, E, E, w->attn.out_weight, E, 0, f->dattended);
	values_backward(f, w, dw);
	scores_backward(f);
	queries_backward(f, w, dw);
}
