/* grad_ops.c: see grad_ops.h. Loops over rows are written so that the compiler turns them into vector code. */
#include "model/train/grad_ops.h"

#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "model/math/ops.h"
#include "model/math/row_moments.h"
#include "model/math/vector_math.h"

#include "schema/base/banned.h"

size_t grad_partial(size_t widest)
{
	return (size_t)omp_get_max_threads() * 2 * ((widest + 15) / 16 * 16);
}

/* Rows are shared out in equal runs; too little work, in elements or in a product's multiplications, is not, as waking the others costs
 * more. */
enum { PARALLEL_LEAST = 16384, PRODUCT_LEAST = 1 << 20 };

struct share {
	size_t from, to;
};

static struct share my_share(size_t n)
{
	size_t threads = (size_t)omp_get_num_threads(), me = (size_t)omp_get_thread_num();
	return (struct share){n * me / threads, n * (me + 1) / threads};
}

/* Sums of the threads in a fixed order. */
static void gather(float *to, const float *partial, size_t stride, size_t threads, size_t D)
{
	for (size_t t = 0; t < threads; t++)
		for (size_t d = 0; d < D; d++)
			to[d] += partial[t * stride + d];
}

/* ---- linear maps ------------------------------------------------------------------------------------------------ */

/* A factor of a product: rows are ld floats apart; across: it is taken transposed. */
struct factor {
	const float *at;
	size_t ld;
	bool across;
};

/* Where part k of n values in so many parts begins: at full lines of OpenBLAS's kernels. */
static size_t part_begin(size_t n, size_t parts, size_t k)
{
	enum { LINE = 16 };
	size_t at = ((n + LINE - 1) / LINE * k / parts) * LINE;

	return at < n ? at : n;
}

static void multiply(const struct factor *a, const struct factor *b, size_t M, size_t N, size_t K, float keep, float *c, size_t ldc)
{
	if (M && N)
		cblas_sgemm(CblasRowMajor, a->across ? CblasTrans : CblasNoTrans, b->across ? CblasTrans : CblasNoTrans, (int)M, (int)N,
			    (int)K, 1, a->at, (int)a->ld, b->at, (int)b->ld, keep, c, (int)ldc);
}

/* How many of the threads share out the rows, so that they read as little of both factors as can be. */
static size_t threads_down(size_t M, size_t N, size_t threads)
{
	size_t best = 1;

	for (size_t down = 2; down <= threads; down++)
		if (threads % down == 0 && M / down + N / (threads / down) < M / best + N / (threads / best))
			best = down;
	return best;
}

/* c[M,N] = a[M,K] b[K,N] + keep * c. Each thread computes a tile of c by itself: OpenBLAS's threads pack for each other and
 * wait for that, many times a product, which costs more the more there are. */
static void product(struct factor a, struct factor b, size_t M, size_t N, size_t K, float keep, float *c, size_t ldc)
{
	if (omp_in_parallel() || omp_get_max_threads() == 1 || M * N * K < PRODUCT_LEAST) {
		multiply(&a, &b, M, N, K, keep, c, ldc);
		return;
	}
#pragma omp parallel
	{
		size_t threads = (size_t)omp_get_num_threads(), me = (size_t)omp_get_thread_num(), down = threads_down(M, N, threads);
		size_t across = threads / down, i = me / across, j = me % across;
		size_t top = part_begin(M, down, i), left = part_begin(N, across, j);
		struct factor rows = {a.at + (a.across ? top : top * a.ld), a.ld, a.across};
		struct factor columns = {b.at + (b.across ? left * b.ld : left), b.ld, b.across};
		multiply(&rows, &columns, part_begin(M, down, i + 1) - top, part_begin(N, across, j + 1) - left, K, keep,
			 c + top * ldc + left, ldc);
	}
}

static void repeat_row(float *y, size_t R, size_t D, size_t ldy, const float *b)
{
#pragma omp parallel for schedule(static) if (R * D > PARALLEL_LEAST)
	for (size_t r = 0; r < R; r++)
		memcpy(y + r * ldy, b, D * sizeof *y);
}

void grad_linear_forward(const float *x, size_t R, size_t in, const float *w, const float *b, size_t out, float *y, size_t ldy)
{
	if (b)
		repeat_row(y, R, out, ldy, b);
	product((struct factor){x, in, false}, (struct factor){w, in, true}, R, out, in, b ? 1 : 0, y, ldy);
}

void grad_linear_add(const float *x, size_t R, size_t in, const float *w, size_t out, float *y)
{
	product((struct factor){x, in, false}, (struct factor){w, in, true}, R, out, in, 1, y, out);
}

void grad_linear_input(const float *dy, size_t R, size_t out, size_t lddy, const float *w, size_t in, float keep, float *dx)
{
	if (dx)
		product((struct factor){dy, lddy, false}, (struct factor){w, in, false}, R, in, out, keep, dx, in);
}

void grad_linear_weight(const float *dy, size_t R, size_t out, size_t lddy, const float *x, size_t in, float *dw, float *db, float *partial)
{
	if (dw)
		product((struct factor){dy, lddy, true}, (struct factor){x, in, false}, out, in, R, 1, dw, in);
	if (db)
		grad_column_sums(dy, R, out, lddy, db, partial);
}

void grad_project_forward(const float *x, size_t R, size_t in, const float *w, size_t out, float *y)
{
	product((struct factor){x, in, false}, (struct factor){w, out, false}, R, out, in, 0, y, out);
}

void grad_project_backward(const float *dy, size_t R, size_t out, const float *x, size_t in, const float *w, float *dw, float *dx)
{
	if (dw)
		product((struct factor){x, in, true}, (struct factor){dy, out, false}, in, out, R, 1, dw, out);
	if (dx)
		product((struct factor){dy, out, false}, (struct factor){w, out, true}, R, in, out, 0, dx, in);
}

void grad_column_sums(const float *dy, size_t R, size_t D, size_t lddy, float *db, float *partial)
{
	size_t stride = (D + 15) / 16 * 16, used = 1;

#pragma omp parallel if (R * D > PARALLEL_LEAST)
	{
		struct share rows = my_share(R);
		float *sum = partial + (size_t)omp_get_thread_num() * stride;
		memset(sum, 0, D * sizeof *sum);
		for (size_t r = rows.from; r < rows.to; r++)
			for (size_t d = 0; d < D; d++)
				sum[d] += dy[r * lddy + d];
#pragma omp single
		used = (size_t)omp_get_num_threads();
	}
	gather(db, partial, stride, used, D);
}

/* ---- layer norm ------------------------------------------------------------------------------------------------- */

void grad_norm_forward(const float *x, size_t R, size_t D, const struct norm *norm, float *y, float *stat)
{
	const float *w = norm->weight, *b = norm->bias;

#pragma omp parallel for schedule(static) if (R * D > PARALLEL_LEAST)
	for (size_t r = 0; r < R; r++) {
		const float *xr = x + r * D;
		float *yr = y + r * D;
		float scale, mean = row_moments(xr, D, &scale);
		for (size_t d = 0; d < D; d++)
			yr[d] = (xr[d] - mean) * scale * w[d] + b[d];
		stat[2 * r] = mean;
		stat[2 * r + 1] = scale;
	}
}

/* With g = dy * w and h = (x - mean) * scale: dx = scale * (g - mean(g) - h * mean(g * h)). */
static void norm_row_backward(const float *dy, const float *x, float mean, float scale, size_t D, const float *w, float keep, float *dx)
{
	float g_lane[16] = {0}, gh_lane[16] = {0}, g_sum = 0, gh_sum = 0;
	size_t d = 0;

	for (; d + 16 <= D; d += 16)
		for (size_t j = 0; j < 16; j++) {
			float g = dy[d + j] * w[d + j];
			g_lane[j] += g;
			gh_lane[j] += g * ((x[d + j] - mean) * scale);
		}
	for (size_t j = 0; j < 16; j++) {
		g_sum += g_lane[j];
		gh_sum += gh_lane[j];
	}
	for (; d < D; d++) {
		float g = dy[d] * w[d];
		g_sum += g;
		gh_sum += g * ((x[d] - mean) * scale);
	}
	g_sum /= (float)D;
	gh_sum /= (float)D;
	if (keep == 0)
		for (d = 0; d < D; d++)
			dx[d] = scale * (dy[d] * w[d] - g_sum - (x[d] - mean) * scale * gh_sum);
	else
		for (d = 0; d < D; d++)
			dx[d] = keep * dx[d] + scale * (dy[d] * w[d] - g_sum - (x[d] - mean) * scale * gh_sum);
}

void grad_norm_backward(const float *dy, const float *x, const float *stat, size_t R, size_t D, const struct norm *norm,
			const struct norm *gradient, float keep, float *dx, float *partial)
{
	float *dw = gradient->weight, *db = gradient->bias;
	size_t stride = (D + 15) / 16 * 16, used = 1;

#pragma omp parallel if (R * D > PARALLEL_LEAST)
	{
		struct share rows = my_share(R);
		float *sw = partial + (size_t)omp_get_thread_num() * 2 * stride, *sb = sw + stride;
		memset(sw, 0, 2 * stride * sizeof *sw);
		for (size_t r = rows.from; r < rows.to; r++) {
			const float *dyr = dy + r * D, *xr = x + r * D;
			float mean = stat[2 * r], scale = stat[2 * r + 1];
			for (size_t d = 0; d < D && (dw || db); d++) {
				sw[d] += dyr[d] * ((xr[d] - mean) * scale);
				sb[d] += dyr[d];
			}
			if (dx)
				norm_row_backward(dyr, xr, mean, scale, D, norm->weight, keep, dx + r * D);
		}
#pragma omp single
		used = (size_t)omp_get_num_threads();
	}
	if (dw)
		gather(dw, partial, 2 * stride, used, D);
	if (db)
		gather(db, partial + stride, 2 * stride, used, D);
}

/* ---- GELU ------------------------------------------------------------------------------------------------------- */

static void gelu_exact(float *x, size_t n, float *y)
{
	for (size_t i = 0; i < n; i++) {
		float v = x[i], bell, phi = vector_normal(v, &bell);
		y[i] = v * phi;
		x[i] = phi + v * bell * 0.39894228040f;
	}
}

static void gelu_quick(float *x, size_t n, float *y)
{
	for (size_t i = 0; i < n; i++) {
		float v = x[i], u = 1.702f * v, s = vector_sigmoid(u);
		y[i] = v * s;
		x[i] = s + u * s * (1 - s);
	}
}

void grad_gelu_forward(float *x, size_t n, bool quick, float *y)
{
#pragma omp parallel if (n > PARALLEL_LEAST)
	{
		struct share part = my_share(n);
		if (quick)
			gelu_quick(x + part.from, part.to - part.from, y + part.from);
		else
			gelu_exact(x + part.from, part.to - part.from, y + part.from);
	}
}

void grad_gelu_backward(float *dy, const float *slope, size_t R, size_t D, float *db, float *partial)
{
	size_t stride = (D + 15) / 16 * 16, used = 1;

#pragma omp parallel if (R * D > PARALLEL_LEAST)
	{
		struct share rows = my_share(R);
		float *sum = partial + (size_t)omp_get_thread_num() * stride;
		memset(sum, 0, D * sizeof *sum);
		for (size_t r = rows.from; r < rows.to; r++)
			for (size_t d = 0; d < D; d++) {
				float g = dy[r * D + d] * slope[r * D + d];
				dy[r * D + d] = g;
				sum[d] += g;
			}
#pragma omp single
		used = (size_t)omp_get_num_threads();
	}
	if (db)
		gather(db, partial, stride, used, D);
}

/* ---- residuals -------------------------------------------------------------------------------------------------- */

void grad_residual(const float *x, const float *b, size_t R, size_t D, float *y)
{
#pragma omp parallel for schedule(static) if (R * D > PARALLEL_LEAST)
	for (size_t r = 0; r < R; r++)
		for (size_t d = 0; d < D; d++)
			y[r * D + d] = x[r * D + d] + b[d];
}

void grad_scaled_forward(const float *x, const float *branch, const float *scale, size_t R, size_t D, float *y)
{
#pragma omp parallel for schedule(static) if (R * D > PARALLEL_LEAST)
	for (size_t r = 0; r < R; r++)
		for (size_t d = 0; d < D; d++)
			y[r * D + d] = x[r * D + d] + scale[d] * branch[r * D + d];
}

void grad_scaled_backward(const float *dy, const float *branch, const float *scale, size_t R, size_t D, float *dbranch, float *dscale,
			  float *partial)
{
	if (dscale) {
#pragma omp parallel for schedule(static) if (R * D > PARALLEL_LEAST)
		for (size_t i = 0; i < R * D; i++)
			dbranch[i] = dy[i] * branch[i];
		grad_column_sums(dbranch, R, D, D, dscale, partial);
	}
#pragma omp parallel for schedule(static) if (R * D > PARALLEL_LEAST)
	for (size_t r = 0; r < R; r++)
		for (size_t d = 0; d < D; d++)
			dbranch[r * D + d] = dy[r * D + d] * scale[d];
}

void grad_add(float *x, const float *y, size_t n)
{
#pragma omp parallel for simd schedule(static) if (n > PARALLEL_LEAST)
	for (size_t i = 0; i < n; i++)
		x[i] += y[i];
}

/* ---- attention -------------------------------------------------------------------------------------------------- */

/* Softmax of one row of n scores in place; hidden keys get an exact 0. */
static void softmax_row(float *s, size_t n, size_t seen, const uint8_t *visible)
{
	for (size_t j = seen; j < n; j++)
		s[j] = -INFINITY;
	for (size_t j = 0; j < seen && visible; j++)
		if (!visible[j])
			s[j] = -INFINITY;
	op_softmax(s, n);
}

void grad_attention_forward(const struct grad_attention *a, const float *q, size_t ldq, const float *k, const float *v, size_t ldk,
			    float *p, float *out)
{
	size_t D = a->heads * a->head;
	float scale = 1 / sqrtf((float)a->head);

#pragma omp parallel for schedule(static) collapse(2)
	for (size_t i = 0; i < a->items; i++)
		for (size_t h = 0; h < a->heads; h++) {
			const struct grad_span *s = &a->spans[i];
			const float *qh = q + s->q * ldq + h * a->head, *kh = k + s->k * ldk + h * a->head,
				*vh = v + s->k * ldk + h * a->head;
			float *ph = p + s->p + h * s->nq * s->nk;
			if (s->nq == 0 || s->nk == 0)
				continue;
			cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)s->nq, (int)s->nk, (int)a->head, scale, qh, (int)ldq, kh,
				    (int)ldk, 0, ph, (int)s->nk);
			for (size_t r = 0; r < s->nq; r++)
				softmax_row(ph + r * s->nk, s->nk, a->causal && r + 1 < s->nk ? r + 1 : s->nk,
					    a->visible ? a->visible + s->k : NULL);
			cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)s->nq, (int)a->head, (int)s->nk, 1, ph, (int)s->nk, vh,
				    (int)ldk, 0, out + s->out * D + h * a->head, (int)D);
		}
}

/* ds = p * (dp - sum(dp * p)), in place of dp. */
static void softmax_row_backward(const float *p, float *dp, size_t n)
{
	float sum = 0;

	for (size_t j = 0; j < n; j++)
		sum += dp[j] * p[j];
	for (size_t j = 0; j < n; j++)
		dp[j] = p[j] * (dp[j] - sum);
}

void grad_attention_backward(const struct grad_attention *a, const float *q, size_t ldq, const float *k, const float *v, size_t ldk,
			     const float *p, const float *dout, float *dq, size_t lddq, float *dk, float *dv, size_t lddk, float *scratch)
{
	size_t D = a->heads * a->head;
	float scale = 1 / sqrtf((float)a->head);

#pragma omp parallel for schedule(static) collapse(2)
	for (size_t i = 0; i < a->items; i++)
		for (size_t h = 0; h < a->heads; h++) {
			const struct grad_span *s = &a->spans[i];
			size_t at = h * a->head;
			const float *ph = p + s->p + h * s->nq * s->nk, *doh = dout + s->out * D + at;
			float *dp = scratch + (size_t)omp_get_thread_num() * a->most;
			int nq = (int)s->nq, nk = (int)s->nk, w = (int)a->head;
			if (nq == 0 || nk == 0)
				continue;
			cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, nk, w, nq, 1, ph, nk, doh, (int)D, 0, dv + s->k * lddk + at,
				    (int)lddk);
			cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, nq, nk, w, 1, doh, (int)D, v + s->k * ldk + at, (int)ldk, 0,
				    dp, nk);
			for (size_t r = 0; r < s->nq; r++)
				softmax_row_backward(ph + r * s->nk, dp + r * s->nk, s->nk);
			cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, nq, w, nk, scale, dp, nk, k + s->k * ldk + at, (int)ldk, 0,
				    dq + s->out * lddq + at, (int)lddq);
			cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, nk, w, nq, scale, dp, nk, q + s->q * ldq + at, (int)ldq, 0,
				    dk + s->k * lddk + at, (int)lddk);
		}
}
