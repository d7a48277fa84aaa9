/* sweep.c: see sweep.h. */
#include "query/sweep.h"

#include <stdlib.h>

#include "schema/banned.h"

/* logit_scale * cosine + weight * (likelihood - prior_weight * prior), the bracket divided by the number of ids or not. */
struct form {
	const struct engine *engine;
	const struct evalset *set;
	const struct nulls *nulls;
	double logit_scale, weight, prior_weight;
	bool mean, by_text; /* by_text: the query is a text */
};

static double form_score(void *context, size_t query, const struct shortlisted *item)
{
	const struct form *f = context;
	size_t text = f->by_text ? query : item->item, photo = f->by_text ? item->item : query;
	double x = (double)item->likelihood;

	if (f->prior_weight > 0)
		x -= f->prior_weight * nulls_prior(f->nulls, text, photo);
	if (f->mean)
		x /= (double)coca_counted(f->engine->model, f->set->encoded[text]);
	return f->logit_scale * (double)item->cosine + f->weight * x;
}

static void row(const struct ranking *ranking, const struct form *form, uint32_t *place, struct buffer *out)
{
	struct form f = *form;

	ranking_reorder(ranking, form_score, &f, place);
	struct recall r = recall_of(place, ranking->queries);
	buffer_format(out, "%-14s %-5s %6.2f %6.2f %8.2f %7.2f %7.2f\n", f.by_text ? "text to image" : "image to text",
		      f.mean ? "mean" : "sum", f.weight, f.prior_weight, r.r1, r.r5, r.r10);
}

enum status sweep_print(const struct engine *engine, const struct evalset *set, const struct ranking *photos, const struct ranking *texts,
			const struct nulls *nulls, struct buffer *out, struct err *err)
{
	static const double weights[] = {0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 1, 1.5, 3, 1000};
	static const double mean_weights[] = {0.5, 1, 2, 3, 5, 8, 12};
	static const double priors[] = {0, 0.5, 0.75, 0.9, 1};
	size_t most = set->texts > set->photos ? set->texts : set->photos;
	uint32_t *place = mem_array(most, sizeof *place);
	struct form form = {engine, set, nulls, (double)coca_logit_scale(engine->model), 0, 0, false, true};

	if (!place)
		return err_memory(err, "a ranking");
	buffer_format(out, "logit scale %.2f\n%-14s %-5s %6s %6s %8s %7s %7s\n", form.logit_scale, "direction", "form", "weight", "prior",
		      "r1", "r5", "r10");
	for (int mean = 0; mean < 2; mean++) {
		const double *w = mean ? mean_weights : weights;
		size_t n = mean ? sizeof mean_weights / sizeof *w : sizeof weights / sizeof *w;
		form.mean = mean;
		for (size_t i = 0; i < n; i++) {
			form.weight = w[i];
			form.by_text = true;
			form.prior_weight = 0;
			row(photos, &form, place, out);
			form.by_text = false;
			for (size_t p = 0; p < sizeof priors / sizeof *priors; p++) {
				form.prior_weight = priors[p];
				row(texts, &form, place, out);
			}
		}
	}
	free(place);
	return STATUS_OK;
}
