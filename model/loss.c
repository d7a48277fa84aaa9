/* loss.c: see loss.h. */
#include "model/loss.h"

#include <cblas.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "model/grad_ops.h"
#include "model/vector_math.h"
#include "schema/memory.h"

#include "schema/banned.h"

/* ---- contrastive ------------------------------------------------------------------------------------------------ */

/* u[N,E] = x / |x|; length[N] = |x|, as F.normalize has it: never divided by less than 1e-12. */
static void normalise(const float *x, size_t N, size_t E, float *u, float *length)
{
	for (size_t i = 0; i < N; i++) {
		double sum = 0;
		for (size_t e = 0; e < E; e++)
			sum += (double)x[i * E + e] * (double)x[i * E + e];
		length[i] = fmaxf((float)sqrt(sum), 1e-12f);
		for (size_t e = 0; e < E; e++)
			u[i * E + e] = x[i * E + e] / length[i];
	}
}

/* du becomes the gradient before normalisation: (du - u (u . du)) / |x| */
static void normalise_backward(float *du, const float *u, const float *length, size_t N, size_t E)
{
	for (size_t i = 0; i < N; i++) {
		double dot = 0;
		for (size_t e = 0; e < E; e++)
			dot += (double)u[i * E + e] * (double)du[i * E + e];
		for (size_t e = 0; e < E; e++)
			du[i * E + e] = (du[i * E + e] - u[i * E + e] * (float)dot) / length[i];
	}
}

static bool left_out(const struct loss_pairs *pairs, size_t i, size_t j)
{
	return i != j && (pairs->photo[i] == pairs->photo[j] || pairs->caption[i] == pairs->caption[j]);
}

/* Cross entropy along each line of s (rows: step 1 apart, columns: step N apart) against the diagonal; adds half of
 * (softmax - 1 on the diagonal) to g. Returns the sum over lines. */
static double cross_entropy(const struct loss_pairs *pairs, const float *s, bool columns, float *g)
{
	size_t N = pairs->N, line = columns ? 1 : N, step = columns ? N : 1;
	double total = 0;

#pragma omp parallel for schedule(static) reduction(+ : total)
	for (size_t i = 0; i < N; i++) {
		const float *row = s + i * line;
		double sum = 0, most = -INFINITY;
		for (size_t j = 0; j < N; j++)
			if (!left_out(pairs, i, j))
				most = row[j * step] > most ? row[j * step] : most;
		for (size_t j = 0; j < N; j++)
			if (!left_out(pairs, i, j))
				sum += exp((double)row[j * step] - most);
		total += most + log(sum) - (double)row[i * step];
		for (size_t j = 0; j < N; j++)
			if (!left_out(pairs, i, j))
				g[i * line + j * step] += 0.5f * ((float)(exp((double)row[j * step] - most) / sum) - (i == j));
	}
	return total;
}

enum status loss_contrastive(const struct loss_pairs *pairs, float log_scale, float weight, float *dimage, float *dtext, float *dlog_scale,
			     double *loss, struct err *err)
{
	size_t N = pairs->N, E = pairs->E, n = mem_product(N, E);
	float scale = expf(log_scale);
	float *u = mem_floats(n), *w = mem_floats(n), *u_length = mem_floats(N), *w_length = mem_floats(N);
	float *s = mem_floats(mem_product(N, N)), *g = mem_array(mem_product(N, N), sizeof *g);
	enum status status = STATUS_OK;

	if (!u || !w || !u_length || !w_length || !s || !g) {
		status = err_memory(err, "the similarities of a batch");
		goto out;
	}
	normalise(pairs->image, N, E, u, u_length);
	normalise(pairs->text, N, E, w, w_length);
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)N, (int)N, (int)E, scale, u, (int)E, w, (int)E, 0, s, (int)N);
	*loss = (cross_entropy(pairs, s, false, g) + cross_entropy(pairs, s, true, g)) / (2 * (double)N);
	if (dlog_scale) {
		double sum = 0;
		for (size_t i = 0; i < N * N; i++)
			sum += (double)g[i] * (double)s[i];
		*dlog_scale += (float)(sum * (double)weight / (double)N);
	}
	scale *= weight / (float)N;
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)N, (int)E, (int)N, scale, g, (int)N, w, (int)E, 0, dimage, (int)E);
	cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)N, (int)E, (int)N, scale, g, (int)N, u, (int)E, 0, dtext, (int)E);
	normalise_backward(dimage, u, u_length, N, E);
	normalise_backward(dtext, w, w_length, N, E);
out:
	free(u);
	free(w);
	free(u_length);
	free(w_length);
	free(s);
	free(g);
	return status;
}

/* ---- caption ---------------------------------------------------------------------------------------------------- */

/* Rows at a time: their logits stay within a few MB. */
static size_t block_rows(size_t R, size_t V)
{
	size_t rows = ((size_t)2 << 20) / V;
	rows = rows < 64 ? 64 : rows;
	return rows < R ? rows : R;
}

size_t loss_caption_scratch(size_t R, size_t V)
{
	return mem_product(block_rows(R, V), V);
}

/* -log p of the label; logits become weight * (softmax - one at the label). Label 0: nothing is counted. */
static double row_cross_entropy(float *logits, size_t V, int32_t label, float weight, bool gradient)
{
	if (label == 0) {
		memset(logits, 0, V * sizeof *logits);
		return 0;
	}
	float most = vector_most(logits, V), at_label = logits[label];
	float sum = vector_exponentials(logits, V, most);
	if (gradient) {
		vector_scale(logits, V, weight / sum);
		logits[label] -= weight;
	}
	return log((double)sum) + (double)most - (double)at_label;
}

void loss_caption(const float *x, size_t R, size_t W, const float *proj, size_t V, const int32_t *labels, float weight, float *dx,
		  float *dproj, double *sum, float *scratch)
{
	size_t block = block_rows(R, V);
	double total = 0;

	for (size_t from = 0; from < R; from += block) {
		size_t rows = R - from < block ? R - from : block;
		grad_project_forward(x + from * W, rows, W, proj, V, scratch);
#pragma omp parallel for schedule(static) reduction(+ : total)
		for (size_t r = 0; r < rows; r++)
			total += row_cross_entropy(scratch + r * V, V, labels[from + r], weight, dx != NULL);
		if (dx)
			grad_project_backward(scratch, rows, V, x + from * W, W, proj, dproj, dx + from * W);
	}
	*sum = total;
}
