/* pass.c: one step's forward and backward of a head, over a batch of items with tokens of any number: see tune.h. */
#include "model/heads/tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/train/grad_ops.h"
#include "schema/base/random.h"
#include "model/heads/fold.h"
#include "schema/base/packed.h"

#include "schema/base/banned.h"

struct tune_pass {
	size_t batch, rows_most;
	size_t B, C, E, n, D, in;      /* in: what the linear map sees */
	struct fold fold;              /* of heads with a pooler */
	float *x;                      /* [batch,D]: embeddings, of those without */
	float *item;                   /* [rows_most, D] of one item, all of its tokens */
	float *normed, *stat;          /* [B*n,E] [B*n,2] */
	float *dnormed, *dpooled;      /* [B*n,E] */
	float *logits, *dlogits;       /* [B,C] */
	float *partial;
	char *memory;
};

static size_t widest(const struct tune_pass *p)
{
	size_t a = p->C > p->in ? p->C : p->in;
	return a > p->E ? a : p->E;
}

static size_t carve_pass(struct tune_pass *p, char *base)
{
	struct carver carver = {base, 0};
	size_t B = p->batch;

	p->logits = carve_floats(&carver, B, p->C);
	p->dlogits = carve_floats(&carver, B, p->C);
	p->partial = carve_floats(&carver, 1, grad_partial(widest(p)));
	if (!p->n) {
		p->x = carve_floats(&carver, B, p->D);
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

enum status tune_pass_new(const struct head *head, size_t batch, size_t rows_most, struct tune_pass **pass, struct err *err)
{
	struct tune_pass *p = mem_array(1, sizeof *p);

	*pass = NULL;
	if (!p)
		return err_memory(err, "a step");
	*p = (struct tune_pass){.batch = batch, .rows_most = rows_most, .C = head->labels_count, .E = head->E, .n = head->n, .D = head->D,
				.in = head->n ? head->n * head->E : head->D};
	if (p->n)
		p->fold = (struct fold){.D = p->D, .E = p->E, .H = head->heads, .n = p->n, .R = mem_product(batch, rows_most), .B = batch};
	size_t size = carve_pass(p, NULL);
	p->memory = size < SIZE_MAX / 2 ? (char *)mem_floats(size / sizeof(float) + 16) : NULL;
	if (!p->memory) {
		tune_pass_free(p);
		return err_memory(err, "a step; hint: a smaller --batch");
	}
	carve_pass(p, p->memory);
	*pass = p;
	return STATUS_OK;
}

void tune_pass_free(struct tune_pass *p)
{
	if (!p)
		return;
	free(p->memory);
	free(p);
}

const float *tune_pass_logits(const struct tune_pass *p)
{
	return p->logits;
}

/* ---- a batch ---------------------------------------------------------------------------------------------------- */

/* Tokens of all items one after the other; of each item at least one. */
static enum status gather_tokens(struct tune_pass *p, const struct tune_item *const *items, size_t n, double drop, uint64_t *draw,
				 struct err *err)
{
	size_t row = 0;

	for (size_t i = 0; i < n; i++) {
		size_t M, D, first = row;
		packed_tokens_shape(items[i]->blob, items[i]->size, &M, &D);
		if (M < 1 || M > p->rows_most || D != p->D)
			return err_set(err, STATUS_FORMAT, "tokens of %zu x %zu do not fit this head, which reads %zu wide ones", M, D, p->D);
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

/* latent[n,in]: what the linear map sees. */
static enum status forward(struct tune_pass *p, const struct head *head, const struct tune_item *const *items, size_t n, double drop,
			   uint64_t *draw, const float **latent, struct err *err)
{
	*latent = p->n ? p->normed : p->x;
	if (p->n) {
		enum status status = gather_tokens(p, items, n, drop, draw, err);
		if (status != STATUS_OK)
			return status;
		fold_forward(&p->fold, head);
		grad_norm_forward(p->fold.out, n * p->n, p->E, head->norm.weight, head->norm.bias, p->normed, p->stat);
	} else {
		for (size_t i = 0; i < n; i++)
			memcpy(p->x + i * p->D, items[i]->embedding, p->D * sizeof *p->x);
	}
	grad_linear_forward(*latent, n, p->in, head->weight, head->bias, p->C, p->logits, p->C);
	return STATUS_OK;
}

/* ---- loss ------------------------------------------------------------------------------------------------------- */

/* Cross entropy of one item against its label; d: its gradient by the logits. */
static double loss_single(const float *logits, size_t C, size_t label, double weight, double smoothing, float *d)
{
	double sum = 0, loss = 0, most = (double)op_max(logits, C);

	for (size_t c = 0; c < C; c++)
		sum += exp((double)logits[c] - most);
	for (size_t c = 0; c < C; c++) {
		double log_p = (double)logits[c] - most - log(sum);
		double target = smoothing / (double)C + (c == label ? 1 - smoothing : 0);
		loss -= weight * target * log_p;
		d[c] = (float)(weight * (exp(log_p) - target));
	}
	return loss;
}

/* Binary cross entropy of each label, meaned; those it has weigh weight[C]. */
static double loss_several(const float *logits, size_t C, const struct tune_item *item, const float *weight, double smoothing, float *d)
{
	double loss = 0;
	size_t next = 0;

	for (size_t c = 0; c < C; c++) {
		bool has = next < item->label_count && item->labels[next] == c;
		double z = (double)logits[c], log_no = -(fmax(z, 0) + log1p(exp(-fabs(z)))), log_yes = log_no + z;
		double target = has ? 1 - smoothing / 2 : smoothing / 2, w = (has ? (double)weight[c] : 1) / (double)C;
		next += has;
		loss -= w * (target * log_yes + (1 - target) * log_no);
		d[c] = (float)(w * (exp(log_yes) - target));
	}
	return loss;
}

static double batch_loss(struct tune_pass *p, const struct head *head, const struct tune_item *const *items, size_t n, const float *weight,
			 double smoothing)
{
	size_t C = p->C;
	double sum = 0, weights = 0;

	for (size_t i = 0; i < n; i++) {
		float *logits = p->logits + i * C, *d = p->dlogits + i * C;
		double own = head->several ? 1 : (double)weight[items[i]->labels[0]];
		sum += head->several ? loss_several(logits, C, items[i], weight, smoothing, d)
				     : loss_single(logits, C, items[i]->labels[0], own, smoothing, d);
		weights += own;
	}
	for (size_t i = 0; i < n * C; i++)
		p->dlogits[i] /= (float)weights;
	return sum / weights;
}

enum status tune_pass_run(struct tune_pass *p, const struct head *head, const struct head *gradient, const struct tune_item *const *items,
			  size_t n, const float *weight, double smoothing, double drop, uint64_t *draw, double *loss, struct err *err)
{
	const float *latent;
	enum status status = forward(p, head, items, n, drop, draw, &latent, err);

	if (status != STATUS_OK)
		return status;
	*loss = batch_loss(p, head, items, n, weight, smoothing);
	if (!gradient)
		return STATUS_OK;
	grad_linear_weight(p->dlogits, n, p->C, p->C, latent, p->in, gradient->weight, gradient->bias, p->partial);
	if (!p->n)
		return STATUS_OK;
	grad_linear_input(p->dlogits, n, p->C, p->C, head->weight, p->in, 0, p->dnormed);
	grad_norm_backward(p->dnormed, p->fold.out, p->stat, n * p->n, p->E, head->norm.weight, gradient->norm.weight,
			   gradient->norm.bias, 0, p->dpooled, p->partial);
	fold_backward(&p->fold, head, gradient, p->dpooled);
	return STATUS_OK;
}
