/* optimizer.c: see optimizer.h. */
#include "model/optimizer.h"

#include <math.h>
#include <string.h>

#include "schema/banned.h"

/* A fixed share of a row: sums over it do not depend on the number of threads. */
enum { SHARE = 1 << 16 };

double optimizer_rate(const struct optimizer *o, uint64_t step)
{
	if (step < o->warmup)
		return o->rate * (double)(step + 1) / (double)o->warmup;
	if (step >= o->steps)
		return 0;
	return o->rate * 0.5 * (1 + cos(3.14159265358979323846 * (double)(step - o->warmup) / (double)(o->steps - o->warmup)));
}

static double squares(const float *x, size_t n)
{
	double sum = 0;

	for (size_t from = 0; from < n; from += 1024) {
		size_t to = from + 1024 < n ? from + 1024 : n;
		float lane[16] = {0};
		size_t i = from;
		for (; i + 16 <= to; i += 16)
			for (size_t j = 0; j < 16; j++)
				lane[j] += x[i + j] * x[i + j];
		for (; i < to; i++)
			lane[0] += x[i] * x[i];
		for (size_t j = 0; j < 16; j++)
			sum += (double)lane[j];
	}
	return sum;
}

/* Tensor by tensor, so that a gradient that is not finite has a name. */
static enum status measure(const struct parameters *p, uint64_t step, double *norm, struct err *err)
{
	double sum = 0;
	size_t bad = p->count;

#pragma omp parallel for schedule(dynamic) ordered reduction(min : bad)
	for (size_t t = 0; t < p->count; t++) {
		double part = p->list[t].frozen ? 0 : squares(p->gradient + p->list[t].offset, p->list[t].info.count);
#pragma omp ordered
		sum += part;
		if (!isfinite(part) && t < bad)
			bad = t;
	}
	*norm = sqrt(sum);
	if (bad < p->count)
		return err_set(err, STATUS_FAILED,
			       "stopped at step %llu: the gradient of '%s' is not finite; hint: a lower --lr, a longer --warmup",
			       (unsigned long long)(step + 1), p->list[bad].info.name);
	return STATUS_OK;
}

struct update {
	float rate, decay, beta1, beta2, scale1, scale2, epsilon, clip, average;
};

static void update_share(const struct update *u, float *value, float *gradient, float *first, float *second, float *average, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		float g = gradient[i] * u->clip;
		float m = u->beta1 * first[i] + (1 - u->beta1) * g;
		float v = u->beta2 * second[i] + (1 - u->beta2) * g * g;
		float x = value[i] - u->rate * (m * u->scale1 / (__builtin_sqrtf(v * u->scale2) + u->epsilon) + u->decay * value[i]);
		first[i] = m;
		second[i] = v;
		value[i] = x;
		average[i] = u->average * average[i] + (1 - u->average) * x;
		gradient[i] = 0;
	}
}

static void update_tensor(const struct update *update, struct parameters *p, const struct parameter *t)
{
	size_t from = t->offset, to = t->offset + t->info.count;
	struct update u = *update;

	if (!t->decay)
		u.decay = 0;
#pragma omp parallel for schedule(static) if (to - from > SHARE)
	for (size_t i = from; i < to; i += SHARE)
		update_share(&u, p->value + i, p->gradient + i, p->first + i, p->second + i, p->average + i,
			     to - i < SHARE ? to - i : SHARE);
}

static void clamp_temperature(struct parameters *p)
{
	float *scale = p->weights.logit_scale, most = logf(100);

	if (p->gradients.logit_scale)
		*scale = *scale < 0 ? 0 : *scale > most ? most : *scale;
}

enum status optimizer_step(const struct optimizer *o, struct parameters *p, uint64_t step, double *norm, struct err *err)
{
	enum status status = measure(p, step, norm, err);
	double n = (double)(step + 1);

	if (status != STATUS_OK)
		return status;
	struct update u = {
		.rate = (float)optimizer_rate(o, step),
		.decay = (float)o->weight_decay,
		.beta1 = (float)o->beta1,
		.beta2 = (float)o->beta2,
		.scale1 = (float)(1 / (1 - pow(o->beta1, n))),
		.scale2 = (float)(1 / (1 - pow(o->beta2, n))),
		.epsilon = (float)o->epsilon,
		.clip = o->clip > 0 && *norm > o->clip ? (float)(o->clip / *norm) : 1,
		/* Early averages forget their beginning sooner. */
		.average = (float)fmin(o->average, (1 + n) / (10 + n)),
	};
	for (size_t t = 0; t < p->count; t++)
		if (!p->list[t].frozen)
			update_tensor(&u, p, &p->list[t]);
	clamp_temperature(p);
	return STATUS_OK;
}
