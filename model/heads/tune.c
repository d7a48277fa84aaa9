/* tune.c: see tune.h. What a step computes is in pass.c. */
#include "model/heads/tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/heads/pass.h"
#include "model/train/optimizer.h"
#include "schema/base/random.h"
#include "schema/base/packed.h"

#include "schema/base/banned.h"

const struct tune_options tune_defaults = {
	.epochs = 40, .patience = 6, .batch = 32, .rate = 1e-3, .weight_decay = 0.05, .drop = 0.3, .smoothing = 0.1, .balance = 0.5,
	.seed = 1};
const struct tune_options tune_linear_defaults = {
	.epochs = 100, .patience = 10, .batch = 64, .rate = 3e-3, .weight_decay = 0.05, .smoothing = 0.1, .balance = 0.5, .seed = 1};

/* ---- where it starts -------------------------------------------------------------------------------------------- */

static void draw_normal(float *x, size_t n, double deviation, uint64_t *draw)
{
	for (size_t i = 0; i < n; i++)
		x[i] = (float)(deviation * random_normal(draw));
}

static void fill_ones(float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		x[i] = 1;
}

static void start_random(struct head *head, uint64_t *draw)
{
	struct attention *attn = &head->pool.attn;
	size_t D = head->D, E = head->E;

	draw_normal(head->pool.query, head->n * E, 1, draw);
	fill_ones(head->pool.ln_q.weight, E);
	fill_ones(head->pool.ln_k.weight, D);
	fill_ones(head->norm.weight, E);
	draw_normal(attn->q_weight, E * E, 1 / sqrt((double)E), draw);
	draw_normal(attn->k_weight, E * D, 1 / sqrt((double)D), draw);
	draw_normal(attn->v_weight, E * D, 1 / sqrt((double)D), draw);
	draw_normal(attn->out_weight, E * E, 1 / sqrt((double)E), draw);
}

/* The pooler that makes the model's embedding of the encoder's tokens; a cascade's reads its other pooler's instead. */
static const struct pooler *own_pooler(const struct weights *weights, const struct config *config)
{
	if (!weights || config->pooling == POOL_NONE)
		return NULL;
	return config->pooling == POOL_PARALLEL ? &weights->pool_contrastive : &weights->pool;
}

static void start_own(struct head *head, const struct pooler *own, const struct weights *weights, const struct config *config)
{
	struct attention *to = &head->pool.attn;
	const struct attention *from = &own->attn;
	size_t D = head->D, E = head->E, queries = config->pooling == POOL_PARALLEL ? 1 : config->pool_queries;
	const struct {
		float *to;
		const float *from;
		size_t n;
	} copies[] = {
		{head->pool.query, own->query, (head->n < queries ? head->n : queries) * E},
		{head->pool.ln_q.weight, own->ln_q.weight, E}, {head->pool.ln_q.bias, own->ln_q.bias, E},
		{head->pool.ln_k.weight, own->ln_k.weight, D}, {head->pool.ln_k.bias, own->ln_k.bias, D},
		{to->q_weight, from->q_weight, E * E}, {to->k_weight, from->k_weight, E * D}, {to->v_weight, from->v_weight, E * D},
		{to->in_bias, from->in_bias, 3 * E}, {to->out_weight, from->out_weight, E * E}, {to->out_bias, from->out_bias, E},
	};

	for (size_t i = 0; i < sizeof copies / sizeof *copies; i++)
		memcpy(copies[i].to, copies[i].from, copies[i].n * sizeof *copies[i].to);
	if (config->pooling == POOL_SINGLE) {
		memcpy(head->norm.weight, weights->ln_post.weight, E * sizeof *head->norm.weight);
		memcpy(head->norm.bias, weights->ln_post.bias, E * sizeof *head->norm.bias);
	}
}

enum status tune_start(struct head *head, const struct weights *weights, const struct config *config, uint64_t seed, struct err *err)
{
	const struct pooler *own = own_pooler(weights, config);
	uint64_t draw = random_keyed(seed, 1, 0);

	if (!head->n)
		return STATUS_OK;
	start_random(head, &draw);
	if (!own)
		return STATUS_OK;
	if (head->E != config->embed_dim || head->D != config->vision.width || head->heads != config->pool_heads)
		return err_set(err, STATUS_FAILED, "a head of width %zu cannot start from a pooler of width %zu", head->E,
			       config->embed_dim);
	start_own(head, own, weights, config);
	return STATUS_OK;
}

/* ---- weights of labels ------------------------------------------------------------------------------------------ */

void tune_weights(const struct head *head, const struct tune_item *items, size_t n, double balance, float *weight)
{
	size_t C = head->labels_count;
	double sum = 0;

	memset(weight, 0, C * sizeof *weight);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < items[i].label_count; k++)
			weight[items[i].labels[k]]++;
	for (size_t c = 0; c < C; c++) {
		double count = fmax(1, (double)weight[c]), others = head->several ? (double)n - count : (double)n / (double)C;
		double ratio = fmin(100, fmax(0.01, others / count));
		sum += (double)weight[c] * pow(ratio, balance);
		weight[c] = (float)pow(ratio, balance);
	}
	/* Of single labels, a photograph weighs 1 in the mean. */
	for (size_t c = 0; c < C && !head->several; c++)
		weight[c] *= (float)((double)n / sum);
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

static double batch_loss(struct head_pass *p, const struct tune_item *const *items, size_t n, const float *weight, double smoothing)
{
	const struct head *head = p->head;
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

enum status tune_step(struct head_pass *p, const struct head *gradient, const struct tune_item *const *items, size_t n, const float *weight,
		      double smoothing, double drop, uint64_t *draw, double *loss, struct err *err)
{
	const float *latent;

	if (p->n)
		fold_queries(&p->fold, p->head);
	enum status status = pass_forward(p, items, n, drop, draw, &latent, err);
	if (status != STATUS_OK)
		return status;
	*loss = batch_loss(p, items, n, weight, smoothing);
	if (gradient)
		pass_backward(p, gradient, n, latent);
	return STATUS_OK;
}

/* ---- learning --------------------------------------------------------------------------------------------------- */

struct tuner {
	struct head *head;
	const struct tune_options *options;
	struct head gradient;           /* the same parameters, of which only the memory counts */
	struct parameters p;            /* the head's, as the optimizer wants them: value is the head's own memory */
	struct parameter list[32];
	float *rows, *best;             /* moments and average; the best values yet */
	struct head_pass *pass;
	float *weight;                  /* [C] */
	const struct tune_item **order; /* [n+m]: those to learn from, those that say when to stop */
	size_t n, m;
	uint64_t step;
};

static enum status list_one(void *context, const struct weight_info *info, float **slot, struct err *err)
{
	struct tuner *t = context;

	(void)err;
	t->list[t->p.count++] = (struct parameter){
		.info = *info, .offset = (size_t)(*slot - t->head->memory), .decay = info->dims >= 2 && !strstr(info->name, "query")};
	return STATUS_OK;
}

static enum status list_parameters(struct tuner *t, struct err *err)
{
	const struct head *h = t->head;
	size_t floats = h->floats;
	enum status status =
		head_init(&t->gradient, h->kind, (const char *const *)h->labels, h->labels_count, h->D, h->E, h->heads, h->n, err);

	if (status != STATUS_OK)
		return status;
	t->rows = mem_floats(mem_product(4, floats));
	if (!t->rows)
		return err_memory(err, "a head's gradients");
	memset(t->rows, 0, 4 * floats * sizeof *t->rows);
	t->p = (struct parameters){.list = t->list, .floats = floats, .value = t->head->memory, .gradient = t->gradient.memory,
				   .first = t->rows, .second = t->rows + floats, .average = t->rows + 2 * floats};
	t->best = t->rows + 3 * floats;
	return head_visit(t->head, list_one, t, err);
}

static size_t most_rows(const struct tune_item *items, size_t n, size_t most)
{
	for (size_t i = 0; i < n; i++) {
		size_t M = 1, D;
		if (items[i].blob)
			packed_tokens_shape(items[i].blob, items[i].size, &M, &D);
		most = M > most ? M : most;
	}
	return most;
}

static void shuffle(const struct tune_item **order, size_t n, uint64_t *draw)
{
	for (size_t i = n; i > 1; i--) {
		size_t other = random_below(draw, i);
		const struct tune_item *kept = order[i - 1];
		order[i - 1] = order[other];
		order[other] = kept;
	}
}

/* All items once, in batches; without an optimizer they are only measured. */
static enum status go_through(struct tuner *t, const struct tune_item **items, size_t n, const struct optimizer *optimizer, uint64_t *draw,
			      double *loss, struct err *err)
{
	const struct tune_options *o = t->options;
	enum status status = STATUS_OK;
	double sum = 0;

	for (size_t from = 0; from < n && status == STATUS_OK; from += o->batch) {
		size_t count = n - from < o->batch ? n - from : o->batch;
		double one = 0, norm;
		status = tune_step(t->pass, optimizer ? &t->gradient : NULL, items + from, count, t->weight, optimizer ? o->smoothing : 0,
				   o->drop, draw, &one, err);
		if (status == STATUS_OK && optimizer)
			status = optimizer_step(optimizer, &t->p, t->step++, &norm, err);
		sum += one * (double)count;
	}
	*loss = n ? sum / (double)n : NAN;
	return status;
}

static enum status learn(struct tuner *t, struct tune_result *result, struct err *err)
{
	const struct tune_options *o = t->options;
	size_t bytes = t->p.floats * sizeof(float), steps = (t->n + o->batch - 1) / o->batch * o->epochs;
	struct optimizer optimizer = {.rate = o->rate, .weight_decay = o->weight_decay, .beta1 = 0.9, .beta2 = 0.98, .epsilon = 1e-6,
				      .clip = 1, .warmup = steps / 20, .steps = steps};
	enum status status = STATUS_OK;
	bool ended = false;

	*result = (struct tune_result){.stop_loss = NAN};
	while (status == STATUS_OK && result->epochs < o->epochs && !ended) {
		uint64_t draw = random_keyed(o->seed, 2, result->epochs++);
		double train, stop;
		shuffle(t->order, t->n, &draw);
		status = go_through(t, t->order, t->n, &optimizer, &draw, &train, err);
		if (status == STATUS_OK)
			status = go_through(t, t->order + t->n, t->m, NULL, NULL, &stop, err);
		if (status != STATUS_OK)
			break;
		if (result->best == 0 || isnan(stop) || stop < result->stop_loss) {
			*result = (struct tune_result){result->epochs, result->epochs, train, stop};
			memcpy(t->best, t->head->memory, bytes);
		}
		ended = (o->patience && t->m && result->epochs - result->best >= o->patience) ||
			(o->stopped && o->stopped(o->context, result->epochs, train, stop));
	}
	if (status == STATUS_OK && result->best)
		memcpy(t->head->memory, t->best, bytes);
	return status;
}

/* ---- linear heads: each component of the embedding with mean 0 and deviation 1, which the map takes in afterwards ---------------- */

/* mean[D], scale[D]: the reciprocal of the deviation. */
static void standardise(const struct tune_item *items, size_t n, size_t D, float *mean, float *scale)
{
	for (size_t i = 0; i < D; i++) {
		double sum = 0, squares = 0;
		for (size_t k = 0; k < n; k++)
			sum += (double)items[k].embedding[i];
		sum /= (double)n;
		for (size_t k = 0; k < n; k++)
			squares += ((double)items[k].embedding[i] - sum) * ((double)items[k].embedding[i] - sum);
		mean[i] = (float)sum;
		scale[i] = (float)(1 / fmax(sqrt(squares / (double)n), 1e-4));
	}
}

static void take_in(struct head *head, const float *mean, const float *scale)
{
	for (size_t c = 0; c < head->labels_count; c++)
		for (size_t i = 0; i < head->D; i++) {
			head->weight[c * head->D + i] *= scale[i];
			head->bias[c] -= head->weight[c * head->D + i] * mean[i];
		}
}

enum status tune_head(struct head *head, const struct tune_item *train, size_t n, const struct tune_item *stop, size_t m,
		      const struct tune_options *options, struct tune_result *result, struct err *err)
{
	struct tuner t = {.head = head, .options = options, .n = n, .m = m};
	enum status status = list_parameters(&t, err);

	t.weight = mem_floats(head->labels_count);
	t.order = mem_array(n + m, sizeof *t.order);
	if (status == STATUS_OK && (!t.weight || !t.order))
		status = err_memory(err, "the photographs to learn from");
	if (status == STATUS_OK)
		status = head_pass_new(head, options->batch, most_rows(stop, m, most_rows(train, n, 1)), &t.pass, err);
	if (status == STATUS_OK) {
		for (size_t i = 0; i < n + m; i++)
			t.order[i] = i < n ? &train[i] : &stop[i - n];
		tune_weights(head, train, n, options->balance, t.weight);
		if (!head->n)
			standardise(train, n, head->D, t.pass->mean, t.pass->scale);
		status = learn(&t, result, err);
	}
	if (status == STATUS_OK && !head->n)
		take_in(head, t.pass->mean, t.pass->scale);
	head_pass_free(t.pass);
	head_release(&t.gradient);
	free(t.rows);
	free(t.weight);
	free(t.order);
	return status;
}

/* ---- measuring -------------------------------------------------------------------------------------------------- */

enum status tune_measure(const struct head *head, const struct tune_item *items, size_t n, float *p, struct err *err)
{
	enum { BATCH = 32 };
	const struct tune_item *batch[BATCH];
	const float *latent;
	struct head_pass *pass;
	size_t C = head->labels_count;
	enum status status = head_pass_new(head, BATCH, most_rows(items, n, 1), &pass, err);

	for (size_t from = 0; from < n && status == STATUS_OK; from += BATCH) {
		size_t count = n - from < BATCH ? n - from : BATCH;
		for (size_t i = 0; i < count; i++)
			batch[i] = &items[from + i];
		status = pass_forward(pass, batch, count, 0, NULL, &latent, err);
		if (status == STATUS_OK)
			memcpy(p + from * C, pass->logits, count * C * sizeof *p);
	}
	for (size_t i = 0; i < n && status == STATUS_OK; i++)
		head_probabilities(head, p + i * C);
	head_pass_free(pass);
	return status;
}
