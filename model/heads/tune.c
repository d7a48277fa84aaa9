/* tune.c: see tune.h. What a step computes is in pass.c. */
#include "model/heads/tune.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

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

/* ---- parameters ------------------------------------------------------------------------------------------------- */

/* The head's row as the optimizer wants it: value is the head's own memory. */
struct row {
	struct parameters p;
	struct parameter list[32];
	struct head gradient;      /* slots into p.gradient */
	float *memory, *best;
	const float *base;
};

static enum status list_one(void *context, const struct weight_info *info, float **slot, struct err *err)
{
	struct row *row = context;
	size_t offset = (size_t)(*slot - row->base);

	(void)err;
	row->list[row->p.count++] = (struct parameter){
		.info = *info, .offset = offset, .decay = info->dims >= 2 && !strstr(info->name, "query")};
	row->p.floats = offset + (info->count + 15) / 16 * 16;
	return STATUS_OK;
}

static enum status point_one(void *context, const struct weight_info *info, float **slot, struct err *err)
{
	struct row *row = context;

	(void)info;
	(void)err;
	*slot = row->p.gradient + (*slot - row->base);
	return STATUS_OK;
}

static enum status row_init(struct row *row, struct head *head, struct err *err)
{
	*row = (struct row){.base = head->memory};
	row->p.list = row->list;
	row->p.value = head->memory;
	head_visit(head, list_one, row, err);
	size_t n = row->p.floats;
	row->memory = mem_floats(mem_product(5, n));
	if (!row->memory)
		return err_memory(err, "a head's gradients");
	memset(row->memory, 0, 5 * n * sizeof *row->memory);
	row->p.gradient = row->memory;
	row->p.first = row->memory + n;
	row->p.second = row->memory + 2 * n;
	row->p.average = row->memory + 3 * n;
	row->best = row->memory + 4 * n;
	row->gradient = *head;
	return head_visit(&row->gradient, point_one, row, err);
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

/* ---- learning --------------------------------------------------------------------------------------------------- */

struct tuner {
	struct head *head;
	const struct tune_options *options;
	struct row row;
	struct tune_pass *pass;
	float *weight;
	const struct tune_item **order; /* [n] */
	const struct tune_item **stop;  /* [m] */
	size_t n, m;
};

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

static enum status epoch(struct tuner *t, const struct optimizer *optimizer, size_t number, uint64_t *step, double *loss, struct err *err)
{
	uint64_t draw = random_keyed(t->options->seed, 2, number);
	enum status status = STATUS_OK;
	double sum = 0;

	shuffle(t->order, t->n, &draw);
	for (size_t from = 0; from < t->n && status == STATUS_OK; from += t->options->batch) {
		size_t n = t->n - from < t->options->batch ? t->n - from : t->options->batch;
		double one, norm;
		status = tune_pass_run(t->pass, t->head, &t->row.gradient, t->order + from, n, t->weight, t->options->smoothing,
				       t->options->drop, &draw, &one, err);
		if (status == STATUS_OK)
			status = optimizer_step(optimizer, &t->row.p, (*step)++, &norm, err);
		sum += one * (double)n;
	}
	*loss = sum / (double)t->n;
	return status;
}

static enum status stop_loss(struct tuner *t, double *loss, struct err *err)
{
	enum status status = STATUS_OK;
	double sum = 0;

	for (size_t from = 0; from < t->m && status == STATUS_OK; from += t->options->batch) {
		size_t n = t->m - from < t->options->batch ? t->m - from : t->options->batch;
		double one = 0;
		status = tune_pass_run(t->pass, t->head, NULL, t->stop + from, n, t->weight, 0, 0, NULL, &one, err);
		sum += one * (double)n;
	}
	*loss = t->m ? sum / (double)t->m : NAN;
	return status;
}

static enum status learn(struct tuner *t, struct tune_result *result, struct err *err)
{
	const struct tune_options *o = t->options;
	size_t bytes = t->row.p.floats * sizeof(float), steps = (t->n + o->batch - 1) / o->batch * o->epochs;
	struct optimizer optimizer = {.rate = o->rate, .weight_decay = o->weight_decay, .beta1 = 0.9, .beta2 = 0.98, .epsilon = 1e-6,
				      .clip = 1, .warmup = steps / 20, .steps = steps};
	enum status status = STATUS_OK;
	uint64_t step = 0;
	bool ended = false;

	*result = (struct tune_result){.stop_loss = NAN};
	while (status == STATUS_OK && result->epochs < o->epochs && !ended) {
		double train, stop;
		status = epoch(t, &optimizer, result->epochs++, &step, &train, err);
		if (status == STATUS_OK)
			status = stop_loss(t, &stop, err);
		if (status != STATUS_OK)
			break;
		if (result->best == 0 || isnan(stop) || stop < result->stop_loss) {
			*result = (struct tune_result){result->epochs, result->epochs, train, stop};
			memcpy(t->row.best, t->head->memory, bytes);
		}
		ended = (o->patience && t->m && result->epochs - result->best >= o->patience) ||
			(o->stopped && o->stopped(o->context, result->epochs, train, stop));
	}
	if (status == STATUS_OK && result->best)
		memcpy(t->head->memory, t->row.best, bytes);
	return status;
}

static enum status learn_from(struct head *head, const struct tune_item *train, size_t n, const struct tune_item *stop, size_t m,
			      const struct tune_options *options, struct tune_result *result, struct err *err)
{
	struct tuner t = {.head = head, .options = options, .n = n, .m = m};
	enum status status = row_init(&t.row, head, err);

	t.weight = mem_floats(head->labels_count);
	t.order = mem_array(n, sizeof *t.order);
	t.stop = mem_array(m, sizeof *t.stop);
	if (status == STATUS_OK && (!t.weight || !t.order || !t.stop))
		status = err_memory(err, "the photographs to learn from");
	if (status == STATUS_OK)
		status = tune_pass_new(head, options->batch, most_rows(stop, m, most_rows(train, n, 1)), &t.pass, err);
	if (status == STATUS_OK) {
		for (size_t i = 0; i < n; i++)
			t.order[i] = &train[i];
		for (size_t i = 0; i < m; i++)
			t.stop[i] = &stop[i];
		tune_weights(head, train, n, options->balance, t.weight);
		status = learn(&t, result, err);
	}
	tune_pass_free(t.pass);
	free(t.row.memory);
	free(t.weight);
	free(t.order);
	free(t.stop);
	return status;
}

/* ---- linear heads: each component of the embedding with mean 0 and deviation 1, which the map takes in afterwards ---------------- */

/* mean[D], scale[D]: the reciprocal of the deviation. */
static void moments(const struct tune_item *items, size_t n, size_t D, float *mean, float *scale)
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

/* values[n,D] of items that are otherwise the same. */
static void standardise(struct tune_item *items, size_t n, size_t D, const float *mean, const float *scale, float *values)
{
	for (size_t k = 0; k < n; k++) {
		for (size_t i = 0; i < D; i++)
			values[k * D + i] = (items[k].embedding[i] - mean[i]) * scale[i];
		items[k].embedding = values + k * D;
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

static enum status learn_linear(struct head *head, const struct tune_item *train, size_t n, const struct tune_item *stop, size_t m,
				const struct tune_options *options, struct tune_result *result, struct err *err)
{
	size_t D = head->D;
	float *mean = mem_floats(D), *scale = mem_floats(D), *values = mem_floats(mem_product(n + m, D));
	struct tune_item *items = mem_array(n + m, sizeof *items);
	enum status status = mean && scale && values && items ? STATUS_OK : err_memory(err, "the photographs to learn from");

	if (status == STATUS_OK) {
		memcpy(items, train, n * sizeof *items);
		if (m)
			memcpy(items + n, stop, m * sizeof *items);
		moments(train, n, D, mean, scale);
		standardise(items, n + m, D, mean, scale, values);
		status = learn_from(head, items, n, items + n, m, options, result, err);
	}
	if (status == STATUS_OK)
		take_in(head, mean, scale);
	free(mean);
	free(scale);
	free(values);
	free(items);
	return status;
}

enum status tune_head(struct head *head, const struct tune_item *train, size_t n, const struct tune_item *stop, size_t m,
		      const struct tune_options *options, struct tune_result *result, struct err *err)
{
	return (head->n ? learn_from : learn_linear)(head, train, n, stop, m, options, result, err);
}

/* ---- measuring -------------------------------------------------------------------------------------------------- */

static enum status measure_one(const struct head_reader *reader, const struct head *head, const struct tune_item *item, float *tokens,
			       float *scratch, float *p, struct err *err)
{
	size_t M, D;

	if (!head->n) {
		head_read(reader, item->embedding, 1, scratch, p);
		return STATUS_OK;
	}
	packed_tokens_shape(item->blob, item->size, &M, &D);
	enum status status = packed_tokens_read(item->blob, item->size, M, head->D, tokens, err);
	if (status == STATUS_OK)
		head_read(reader, tokens, M, scratch, p);
	return status;
}

enum status tune_measure(const struct head *head, const struct tune_item *items, size_t n, float *p, struct err *err)
{
	struct head_reader *reader;
	size_t rows = most_rows(items, n, 1), C = head->labels_count, threads = (size_t)omp_get_max_threads();
	enum status status = head_reader_new(head, &reader, err);

	if (status != STATUS_OK)
		return status;
	size_t each = head_reader_scratch(reader, rows) + mem_product(rows, head->D) + 32;
	float *scratch = mem_floats(mem_product(threads, each));
	if (!scratch)
		status = err_memory(err, "a head's answers");
#pragma omp parallel for schedule(dynamic, 8) if (n > 16)
	for (size_t i = 0; i < n; i++) {
		float *own = scratch ? scratch + (size_t)omp_get_thread_num() * each : NULL;
		struct err local;
		if (own && measure_one(reader, head, &items[i], own, own + rows * head->D, p + i * C, &local) != STATUS_OK) {
#pragma omp critical
			{
				status = local.status;
				*err = local;
			}
		}
	}
	free(scratch);
	head_reader_free(reader);
	return status;
}
