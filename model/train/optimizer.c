/* optimizer.c: see optimizer.h. */
#include "model/train/optimizer.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>

#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* Tensors are worked on in shares of this many values, which threads take in turns: small tensors do not leave threads idle, and sums
 * over shares do not depend on how many threads there are. */
enum { SHARE = 1 << 14 };

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

static size_t shares_of(const struct parameter *t)
{
	return t->frozen ? 0 : (t->info.count + SHARE - 1) / SHARE;
}

static size_t share_size(const struct parameter *t, size_t share)
{
	return t->info.count - share * SHARE < SHARE ? t->info.count - share * SHARE : SHARE;
}

/* Whether share number `next` of all is this thread's. */
static bool is_mine(size_t next)
{
	return next % (size_t)omp_get_num_threads() == (size_t)omp_get_thread_num();
}

/* Tensor by tensor, so that a gradient that is not finite has a name. */
static enum status measure(const struct parameters *p, uint64_t step, double *norm, struct err *err)
{
	size_t count = 0, at = 0;
	double sum = 0;

	for (size_t t = 0; t < p->count; t++)
		count += shares_of(&p->list[t]);
	double *part = mem_array(count, sizeof *part);
	if (!part)
		return err_memory(err, "the gradient's norm");
#pragma omp parallel
	for (size_t t = 0, next = 0; t < p->count; t++)
		for (size_t s = 0; s < shares_of(&p->list[t]); s++, next++)
			if (is_mine(next))
				part[next] = squares(p->gradient + p->list[t].offset + s * SHARE, share_size(&p->list[t], s));
	enum status status = STATUS_OK;
	for (size_t t = 0; t < p->count && status == STATUS_OK; t++) {
		for (size_t s = 0; s < shares_of(&p->list[t]); s++)
			sum += part[at++];
		if (!isfinite(sum))
			status = err_set(err, STATUS_FAILED,
					 "stopped at step %llu: the gradient of '%s' is not finite; hint: a lower --lr, a longer --warmup",
					 (unsigned long long)(step + 1), p->list[t].info.name);
	}
	*norm = sqrt(sum);
	free(part);
	return status;
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

static void update_all(const struct update *update, struct parameters *p)
{
#pragma omp parallel
	for (size_t t = 0, next = 0; t < p->count; t++) {
		const struct parameter *tensor = &p->list[t];
		struct update u = *update;
		u.decay = tensor->decay ? u.decay : 0;
		for (size_t s = 0; s < shares_of(tensor); s++, next++) {
			size_t i = tensor->offset + s * SHARE;
			if (is_mine(next))
				update_share(&u, p->value + i, p->gradient + i, p->first + i, p->second + i, p->average + i,
					     share_size(tensor, s));
		}
	}
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
	update_all(&u, p);
	clamp_temperature(p);
	return STATUS_OK;
}
