/* head_read.c: what a head says of an item: see head.h. The pooler's keys are folded into its queries,
 *
 *     score[j,h,t] = q[j,h] . (W_k,h norm(x_t) + b_k,h) / sqrt(d) = norm(x_t) . u[j,h] + a constant over t, which softmax does not see
 *
 * and its values are made of the mix of tokens instead of mixed: sum_t p_t (W_v norm(x_t) + b_v) = W_v (sum_t p_t norm(x_t)) + b_v.
 */
#include "model/heads/head.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/math/ops.h"

#include "schema/base/banned.h"

struct head_reader {
	const struct head *head;
	float *u;                 /* [n,H,D]: with ln_k's scale in it */
};

/* u[j,h] = ln_k.weight * (W_k,h^T q[j,h]) / sqrt(d) */
static void fold_keys(const struct head *head, const float *q /* [n,E] */, float *u)
{
	size_t D = head->D, d = head->E / head->heads;

	for (size_t j = 0; j < head->n; j++)
		for (size_t h = 0; h < head->heads; h++) {
			float *to = u + (j * head->heads + h) * D;
			memset(to, 0, D * sizeof *to);
			for (size_t c = h * d; c < (h + 1) * d; c++)
				for (size_t i = 0; i < D; i++)
					to[i] += q[j * head->E + c] * head->pool.attn.k_weight[c * D + i];
			for (size_t i = 0; i < D; i++)
				to[i] *= head->pool.ln_k.weight[i] / sqrtf((float)d);
		}
}

enum status head_reader_new(const struct head *head, struct head_reader **reader, struct err *err)
{
	struct head_reader *r = mem_array(1, sizeof *r);
	size_t E = head->E, n = head->n;
	float *normed = mem_floats(mem_product(n, E)), *q = mem_floats(mem_product(n, E));
	enum status status = STATUS_OK;

	*reader = NULL;
	if (r)
		r->u = mem_floats(mem_product(mem_product(n, head->heads), head->D));
	if (!r || !r->u || !normed || !q) {
		status = err_memory(err, "a head");
		goto out;
	}
	r->head = head;
	if (n) {
		struct linear query = {head->pool.attn.q_weight, head->pool.attn.in_bias, E, E, false};
		op_norm(&head->pool.ln_q, head->pool.query, n, E, normed);
		op_linear(&query, normed, n, q);
		fold_keys(head, q, r->u);
	}
	*reader = r;
	r = NULL;
out:
	free(normed);
	free(q);
	head_reader_free(r);
	return status;
}

void head_reader_free(struct head_reader *reader)
{
	if (!reader)
		return;
	free(reader->u);
	free(reader);
}

size_t head_reader_scratch(const struct head_reader *r, size_t M)
{
	const struct head *head = r->head;
	size_t tokens = mem_product(M, head->D), scores = mem_product(M, head->n * head->heads);
	size_t rest = head->D + (head->n + 1) * head->E + 64;

	return tokens < SIZE_MAX / 4 && scores < SIZE_MAX / 4 ? tokens + scores + rest : SIZE_MAX;
}

/* attended[d] of query j and head h: the values' part of its mix of tokens normed[M,D], without ln_k's scale and shift. mix[D] is
 * scratch. */
static void attend(const struct head_reader *r, size_t j, size_t h, const float *normed, size_t M, float *score, float *mix,
		   float *attended)
{
	const struct head *head = r->head;
	size_t D = head->D, E = head->E, d = E / head->heads;
	const float *u = r->u + (j * head->heads + h) * D;

	for (size_t t = 0; t < M; t++)
		score[t] = op_dot(normed + t * D, u, D);
	op_softmax(score, M);
	memset(mix, 0, D * sizeof *mix);
	for (size_t t = 0; t < M; t++)
		for (size_t i = 0; i < D; i++)
			mix[i] += score[t] * normed[t * D + i];
	for (size_t i = 0; i < D; i++)
		mix[i] = mix[i] * head->pool.ln_k.weight[i] + head->pool.ln_k.bias[i];
	for (size_t c = h * d; c < (h + 1) * d; c++)
		attended[c - h * d] = op_dot(mix, head->pool.attn.v_weight + c * D, D) + head->pool.attn.in_bias[2 * E + c];
}

void head_read(const struct head_reader *r, const float *x, size_t M, float *scratch, float *p)
{
	const struct head *head = r->head;
	size_t D = head->D, E = head->E, in = head->n ? head->n * E : D;
	const float *latent = x;

	if (head->n) {
		float *normed = scratch, *score = normed + M * D, *mix = score + M * head->n * head->heads, *attended = mix + D;
		float *pooled = attended + E;
		op_standardise(x, M, D, normed);
		for (size_t j = 0; j < head->n; j++) {
			for (size_t h = 0; h < head->heads; h++)
				attend(r, j, h, normed, M, score, mix, attended + h * (E / head->heads));
			for (size_t c = 0; c < E; c++)
				pooled[j * E + c] = op_dot(attended, head->pool.attn.out_weight + c * E, E) + head->pool.attn.out_bias[c];
		}
		op_norm(&head->norm, pooled, head->n, E, pooled);
		latent = pooled;
	}
	for (size_t c = 0; c < head->labels_count; c++)
		p[c] = op_dot(latent, head->weight + c * in, in) + head->bias[c];
	head_probabilities(head, p);
}

void head_probabilities(const struct head *head, float *logits)
{
	if (!head->several) {
		op_softmax(logits, head->labels_count);
		return;
	}
	for (size_t c = 0; c < head->labels_count; c++)
		logits[c] = 1 / (1 + expf(-logits[c]));
}

void head_decide(const struct head *head, const float *p, bool *has)
{
	size_t best = 0;

	for (size_t c = 0; c < head->labels_count; c++) {
		has[c] = head->several && p[c] >= 0.5f;
		best = p[c] > p[best] ? c : best;
	}
	if (!head->several)
		has[best] = true;
}
