/* loss.c: see loss.h. */
#include "model/train/loss.h"

#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "model/math/normalise.h"
#include "model/math/ops.h"
#include "model/train/grad_ops.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* ---- contrastive ------------------------------------------------------------------------------------------------ */

/* du becomes the gradient before normalisation: (du - u (u . du)) / |x| */
static void normalise_backward(float *du, const float *u, const float *length, size_t N, size_t E)
{
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < N; i++) {
		double dot = 0;
		for (size_t e = 0; e < E; e++)
			dot += (double)u[i * E + e] * (double)du[i * E + e];
		for (size_t e = 0; e < E; e++)
			du[i * E + e] = (du[i * E + e] - u[i * E + e] * (float)dot) / length[i];
	}
}

/* Whether text j is true of photograph i. */
static bool same(const struct loss_pairs *pairs, size_t i, size_t j)
{
	const struct batch_sample *photo = &pairs->samples[i], *text = &pairs->samples[j];
	return photo->photo == text->photo || photo->caption == text->caption || photo->shows & text->says;
}

/* What photograph i shows besides itself, i if it is not mixed; *share of itself. */
static size_t partner_of(const struct loss_pairs *pairs, size_t i, float *share)
{
	*share = pairs->samples[i].share;
	if (*share < 1 && !same(pairs, i, pairs->samples[i].partner))
		return pairs->samples[i].partner;
	*share = 1;
	return i;
}

/* Text j in the line of photograph i, which also shows `partner`: a negative, a target, or neither. */
static bool left_out(const struct loss_pairs *pairs, size_t i, size_t partner, size_t j)
{
	return i != j && partner != j && (same(pairs, i, j) || same(pairs, partner, j));
}

/* For each text, the photographs' shares that show it, added up: what its targets are divided by. */
static void add_shares(const struct loss_pairs *pairs, float *sums)
{
	memset(sums, 0, pairs->N * sizeof *sums);
	for (size_t i = 0; i < pairs->N; i++) {
		float share;
		size_t partner = partner_of(pairs, i, &share);
		sums[i] += share;
		sums[partner] += 1 - share;
	}
}

/* One line of a matrix of similarities: N of them, `step` apart, and their gradient likewise. */
struct line {
	const float *s;
	float *g;
	size_t step;
};

/* Cross entropy of a line against its targets; adds half of (softmax - target) to the gradient. p[N]: scratch. */
static double line_cross_entropy(const struct line *line, size_t N, const float *target, const bool *out, float *p)
{
	double at_targets = 0;

	for (size_t j = 0; j < N; j++) {
		p[j] = out[j] ? -INFINITY : line->s[j * line->step];
		if (target[j] != 0)
			at_targets += (double)target[j] * (double)p[j];
	}
	float most = op_max(p, N), sum = op_exponentials(p, N, most);
	for (size_t j = 0; j < N; j++)
		line->g[j * line->step] += 0.5f * (p[j] / sum - target[j]);
	return (double)most + log((double)sum) - at_targets;
}

/* The targets of photograph i's line, or of text i's, and what takes no part in it. */
static void lay_out(const struct loss_pairs *pairs, const float *sums, size_t i, bool columns, float *target, bool *out)
{
	float share;
	size_t own = partner_of(pairs, i, &share);

	memset(target, 0, pairs->N * sizeof *target);
	if (!columns) {
		for (size_t j = 0; j < pairs->N; j++)
			out[j] = left_out(pairs, i, own, j);
		target[i] += share;
		target[own] += 1 - share;
		return;
	}
	for (size_t j = 0; j < pairs->N; j++) {
		size_t partner = partner_of(pairs, j, &share);
		out[j] = left_out(pairs, j, partner, i);
		target[j] = (j == i ? share : 0) + (partner == i ? 1 - share : 0);
		target[j] /= sums[i];
	}
}

/* Adds up the cross entropies of all rows of s (photographs), or of all columns (texts), and their gradients in g. scratch: 3 N for each
 * thread. */
static double cross_entropy(const struct loss_pairs *pairs, const float *s, bool columns, const float *sums, float *scratch, float *g)
{
	size_t N = pairs->N;
	double total = 0;

#pragma omp parallel for schedule(static) reduction(+ : total)
	for (size_t i = 0; i < N; i++) {
		float *target = scratch + (size_t)omp_get_thread_num() * 3 * N, *p = target + N;
		bool *out = (bool *)(p + N);
		struct line line = columns ? (struct line){s + i, g + i, N} : (struct line){s + i * N, g + i * N, 1};
		lay_out(pairs, sums, i, columns, target, out);
		total += line_cross_entropy(&line, N, target, out, p);
	}
	return total;
}

enum status loss_contrastive(const struct loss_pairs *pairs, float log_scale, float weight, float *dimage, float *dtext, float *dlog_scale,
			     double *loss, struct err *err)
{
	size_t N = pairs->N, E = pairs->E, n = mem_product(N, E);
	float scale = expf(log_scale);
	float *u = mem_floats(n), *w = mem_floats(n), *u_length = mem_floats(N), *w_length = mem_floats(N);
	float *sums = mem_floats(N), *scratch = mem_floats(mem_product(3 * (size_t)omp_get_max_threads(), N));
	float *s = mem_floats(mem_product(N, N)), *g = mem_array(mem_product(N, N), sizeof *g);
	enum status status = STATUS_OK;

	if (!u || !w || !u_length || !w_length || !sums || !scratch || !s || !g) {
		status = err_memory(err, "the similarities of a batch");
		goto out;
	}
	normalise_rows(pairs->image, N, E, u, u_length);
	normalise_rows(pairs->text, N, E, w, w_length);
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)N, (int)N, (int)E, scale, u, (int)E, w, (int)E, 0, s, (int)N);
	add_shares(pairs, sums);
	*loss = cross_entropy(pairs, s, false, sums, scratch, g) + cross_entropy(pairs, s, true, sums, scratch, g);
	*loss /= 2 * (double)N;
	if (dlog_scale) {
		double sum = 0;
#pragma omp parallel for schedule(static) reduction(+ : sum)
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
	free(sums);
	free(scratch);
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
	float most = op_max(logits, V), at_label = logits[label];
	float sum = op_exponentials(logits, V, most);
	if (gradient) {
		const float rate = weight / sum;
		for (size_t i = 0; i < V; i++)
			logits[i] *= rate;
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
