/* pass.c: see pass.h; and reading one item, as head.h has it. */
#include "model/heads/pass.h"

#include <stdlib.h>
#include <string.h>

#include "model/train/grad_ops.h"
#include "schema/base/packed.h"
#include "schema/base/random.h"

#include "schema/base/banned.h"

static size_t widest(const struct head_pass *p)
{
	size_t a = p->C > p->in ? p->C : p->in;
	return a > p->E ? a : p->E;
}

static size_t carve_pass(struct head_pass *p, char *base)
{
	struct carver carver = {base, 0};
	size_t B = p->batch;

	p->logits = carve_floats(&carver, B, p->C);
	p->dlogits = carve_floats(&carver, B, p->C);
	p->partial = carve_floats(&carver, 1, grad_partial(widest(p)));
	if (!p->n) {
		p->x = carve_floats(&carver, B, p->D);
		p->mean = carve_floats(&carver, 1, p->D);
		p->scale = carve_floats(&carver, 1, p->D);
		return carver.used;
	}
	p->item = carve_floats(&carver, p->rows_most, p->D);
	p->normed = carve_floats(&carver, B * p->n, p->E);
	p->stat = carve_floats(&carver, B * p->n, 2);
	p->dnormed = carve_floats(&carver, B * p->n, p->E);
	p->dpooled = carve_floats(&carver, B * p->n, p->E);
	fold_carve(&carver, &p->fold);
	return carver.used;
}

enum status head_pass_new(const struct head *head, size_t batch, size_t rows_most, struct head_pass **pass, struct err *err)
{
	struct head_pass *p = mem_array(1, sizeof *p);

	*pass = NULL;
	if (!p)
		return err_memory(err, "a head");
	*p = (struct head_pass){.head = head, .batch = batch, .rows_most = rows_most, .C = head->labels_count, .E = head->E, .n = head->n,
				.D = head->D, .in = head->n ? head->n * head->E : head->D};
	if (p->n)
		p->fold = (struct fold){.D = p->D, .E = p->E, .H = head->heads, .n = p->n, .R = mem_product(batch, rows_most), .B = batch};
	size_t size = carve_pass(p, NULL);
	p->memory = size < SIZE_MAX / 2 ? (char *)mem_floats(size / sizeof(float) + 16) : NULL;
	if (!p->memory) {
		head_pass_free(p);
		return err_memory(err, batch > 1 ? "a step; hint: a smaller --batch" : "a head");
	}
	carve_pass(p, p->memory);
	if (p->n)
		fold_queries(&p->fold, head);
	for (size_t i = 0; i < p->D && !p->n; i++) {
		p->mean[i] = 0;
		p->scale[i] = 1;
	}
	*pass = p;
	return STATUS_OK;
}

void head_pass_free(struct head_pass *p)
{
	if (!p)
		return;
	free(p->memory);
	free(p);
}

/* ---- forward ---------------------------------------------------------------------------------------------------- */

/* Tokens of all items one after the other; of each item at least one. */
static enum status gather_tokens(struct head_pass *p, const struct tune_item *const *items, size_t n, double drop, uint64_t *draw,
				 struct err *err)
{
	size_t row = 0;

	for (size_t i = 0; i < n; i++) {
		size_t M, D, first = row;
		packed_tokens_shape(items[i]->blob, items[i]->size, &M, &D);
		if (M < 1 || M > p->rows_most || D != p->D)
			return err_set(err, STATUS_FORMAT, "tokens of %zu x %zu do not fit this head, which reads %zu wide ones", M, D,
				       p->D);
		enum status status = packed_tokens_read(items[i]->blob, items[i]->size, M, D, p->item, err);
		if (status != STATUS_OK)
			return status;
		for (size_t t = 0; t < M; t++) {
			bool last = t + 1 == M && row == first;
			if (draw && drop > 0 && !last && random_unit(draw) < drop)
				continue;
			memcpy(p->fold.x + row++ * D, p->item + t * D, D * sizeof *p->item);
		}
		p->fold.begin[i] = first;
	}
	p->fold.begin[n] = p->fold.R = row;
	p->fold.B = n;
	return STATUS_OK;
}

static void gather_embedding(struct head_pass *p, const float *embedding, size_t i)
{
	for (size_t k = 0; k < p->D; k++)
		p->x[i * p->D + k] = (embedding[k] - p->mean[k]) * p->scale[k];
}

/* From what was gathered of n items to their logits. */
static const float *forward(struct head_pass *p, size_t n)
{
	const struct head *head = p->head;
	const float *latent = p->n ? p->normed : p->x;

	if (p->n) {
		fold_forward(&p->fold, head);
		grad_norm_forward(p->fold.out, n * p->n, p->E, &head->norm, p->normed, p->stat);
	}
	grad_linear_forward(latent, n, p->in, head->weight, head->bias, p->C, p->logits, p->C);
	return latent;
}

enum status pass_forward(struct head_pass *p, const struct tune_item *const *items, size_t n, double drop, uint64_t *draw,
			 const float **latent, struct err *err)
{
	enum status status = p->n ? gather_tokens(p, items, n, drop, draw, err) : STATUS_OK;

	for (size_t i = 0; i < n && !p->n; i++)
		gather_embedding(p, items[i]->embedding, i);
	if (status == STATUS_OK)
		*latent = forward(p, n);
	return status;
}

const float *head_read(struct head_pass *p, const float *x, size_t M)
{
	if (p->n) {
		memcpy(p->fold.x, x, M * p->D * sizeof *x);
		p->fold.begin[0] = 0;
		p->fold.begin[1] = p->fold.R = M;
		p->fold.B = 1;
	} else {
		gather_embedding(p, x, 0);
	}
	forward(p, 1);
	head_probabilities(p->head, p->logits);
	return p->logits;
}

/* ---- backward --------------------------------------------------------------------------------------------------- */

void pass_backward(struct head_pass *p, const struct head *gradient, size_t n, const float *latent)
{
	const struct head *head = p->head;

	grad_linear_weight(p->dlogits, n, p->C, p->C, latent, p->in, gradient->weight, gradient->bias, p->partial);
	if (!p->n)
		return;
	grad_linear_input(p->dlogits, n, p->C, p->C, head->weight, p->in, 0, p->dnormed);
	grad_norm_backward(p->dnormed, p->fold.out, p->stat, n * p->n, p->E, &head->norm, &gradient->norm, 0, p->dpooled, p->partial);
	fold_backward(&p->fold, head, gradient, p->dpooled);
}
