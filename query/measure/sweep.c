/* sweep.c: see sweep.h. */
#include "query/measure/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "query/measure/likelihoods.h"

#include "schema/base/banned.h"

enum { FOLDS = 10, ALL = -1, FORMS_MOST = 128 };

/* logit_scale * cosine + weight * (likelihood - prior * log p(text)) */
struct form {
	double weight, prior;
};

static const double weights[] = {0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 1, 1.5, 3, 1000};
static const double priors[] = {0.5, 0.75, 0.9, 1};

enum { WEIGHTS = sizeof weights / sizeof *weights, PRIORS = sizeof priors / sizeof *priors };

/* One shard seen in one direction: where each form puts the right answer of each query. */
struct part {
	const char *shard;
	size_t queries;
	uint32_t *owner;             /* [queries]: photographs, so that all texts of one fall into the same tenth */
	uint32_t *place;             /* [forms,queries]; form 0 is similarity alone */
};

struct direction {
	bool by_text;                /* photographs for texts */
	struct form forms[FORMS_MOST];
	size_t form_count;
	struct part *parts;          /* [shards] */
	size_t part_count;
};

static void list_forms(struct direction *d)
{
	d->forms[d->form_count++] = (struct form){0, 0};
	for (size_t w = 1; w < WEIGHTS; w++) {
		if (d->by_text)
			d->forms[d->form_count++] = (struct form){weights[w], 0};
		for (size_t p = 0; p < PRIORS && !d->by_text; p++)
			d->forms[d->form_count++] = (struct form){weights[w], priors[p]};
	}
}

/* ---- places ----------------------------------------------------------------------------------------------------- */

struct rescoring {
	const struct ranking *ranking;
	const double *prior;         /* [queries,depth] */
	double logit_scale;
	struct form form;
};

static double form_score(void *context, size_t query, const struct shortlisted *item)
{
	const struct rescoring *r = context;
	size_t at = (size_t)(item - r->ranking->short_list);

	(void)query;
	return r->logit_scale * (double)item->cosine + r->form.weight * ((double)item->likelihood - r->form.prior * r->prior[at]);
}

static enum status fill_part(const struct engine *engine, const struct evalset *set, const struct ranking *ranking,
			     const struct nulls *nulls, const struct direction *d, struct part *part, struct err *err)
{
	size_t Q = ranking->queries, n = mem_product(Q, ranking->depth);
	double *prior = mem_array(n, sizeof *prior);
	struct rescoring r = {.ranking = ranking, .prior = prior, .logit_scale = (double)coca_logit_scale(engine->model)};

	part->queries = Q;
	part->owner = mem_array(Q, sizeof *part->owner);
	part->place = mem_array(mem_product(d->form_count, Q), sizeof *part->place);
	if (!prior || !part->owner || !part->place) {
		free(prior);
		return err_memory(err, "a ranking");
	}
	for (size_t q = 0; q < Q; q++)
		part->owner[q] = d->by_text ? set->text_owner[q] : (uint32_t)q;
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < n; i++) {
		size_t query = i / ranking->depth, item = ranking->short_list[i].item;
		prior[i] = d->by_text ? 0 : nulls_prior(nulls, item, query); /* of one text it is the same for all photographs */
	}
#pragma omp parallel for schedule(dynamic) firstprivate(r)
	for (size_t f = 0; f < d->form_count; f++) {
		r.form = d->forms[f];
		ranking_reorder(ranking, form_score, &r, part->place + f * Q);
	}
	free(prior);
	return STATUS_OK;
}

/* One shard: everything that is slow happens here, once. */
static enum status measure_shard(const struct listener *listener, struct engine *engine, const char *shard, const struct evalchoice *choice,
				 size_t depth, struct direction directions[2], size_t *skipped, struct err *err)
{
	struct evalset set;
	struct ranking rankings[2] = {{0}, {0}};
	struct nulls nulls = {0};
	enum status status = evalset_load(listener, engine, &shard, 1, choice, &set, err);

	if (status != STATUS_OK)
		return status;
	*skipped += set.skipped;
	if (!set.photos)
		status = err_set(err, STATUS_NOT_FOUND, "'%s' holds no sample with an image that can be read and a caption", shard);
	if (status == STATUS_OK)
		status = ranking_make(set.text_features, set.text_owner, set.texts, set.photo_features, NULL, set.photos,
				      engine->embed, depth, &rankings[0], err);
	if (status == STATUS_OK)
		status = ranking_make(set.photo_features, NULL, set.photos, set.text_features, set.text_owner, set.texts,
				      engine->embed, depth, &rankings[1], err);
	for (int k = 0; k < 2 && status == STATUS_OK; k++)
		status = likelihoods_fill(listener, engine, &set, &rankings[k], k == 0, err);
	if (status == STATUS_OK)
		status = nulls_make(listener, engine, &set, SCORE_NULLS, &nulls, err);
	for (int k = 0; k < 2 && status == STATUS_OK; k++) {
		struct part *part = &directions[k].parts[directions[k].part_count++];
		part->shard = shard;
		status = fill_part(engine, &set, &rankings[k], &nulls, &directions[k], part, err);
	}
	nulls_release(&nulls);
	ranking_release(&rankings[0]);
	ranking_release(&rankings[1]);
	evalset_release(&set);
	return status;
}

/* ---- choosing --------------------------------------------------------------------------------------------------- */

/* Hits and reciprocal ranks of some queries, added up. */
struct tally {
	double at1, at5, at10, reciprocal;
	size_t queries;
};

/* Those of one fold (owner modulo FOLDS), all but those (inverted), or ALL. */
static struct tally count(const struct part *part, size_t form, int fold, bool inverted)
{
	const uint32_t *place = part->place + form * part->queries;
	struct tally t = {0};

	for (size_t q = 0; q < part->queries; q++) {
		if (fold != ALL && ((int)(part->owner[q] % FOLDS) == fold) == inverted)
			continue;
		t.at1 += place[q] < 1;
		t.at5 += place[q] < 5;
		t.at10 += place[q] < 10;
		t.reciprocal += 1 / ((double)place[q] + 1);
		t.queries++;
	}
	return t;
}

/* The form with the largest gain that costs nothing on any part, seen on all queries or on all but one fold's. */
static size_t choose(const struct direction *d, int fold)
{
	double most = 0;
	size_t best = 0;

	for (size_t f = 1; f < d->form_count; f++) {
		double gain = 0;
		bool costs = false;
		for (size_t p = 0; p < d->part_count; p++) {
			struct tally before = count(&d->parts[p], 0, fold, true), after = count(&d->parts[p], f, fold, true);
			costs |= after.at1 < before.at1 || after.at10 < before.at10;
			gain += before.queries ? (after.reciprocal - before.reciprocal) / (double)before.queries : 0;
		}
		if (!costs && gain > most) {
			most = gain;
			best = f;
		}
	}
	return best;
}

/* Change of recall at 1 and 10, in percent, of a part's queries. */
struct change {
	double at1, at10;
};

static struct change change_of(const struct part *part, size_t form)
{
	struct tally before = count(part, 0, ALL, false), after = count(part, form, ALL, false);
	double percent = 100 / (double)part->queries;

	return (struct change){percent * (after.at1 - before.at1), percent * (after.at10 - before.at10)};
}

/* The same where each tenth has the form that the other nine chose. */
static struct change change_unseen(const struct direction *d, size_t p)
{
	const struct part *part = &d->parts[p];
	struct change sum = {0};

	for (int fold = 0; fold < FOLDS; fold++) {
		size_t form = choose(d, fold);
		struct tally before = count(part, 0, fold, false), after = count(part, form, fold, false);
		sum.at1 += after.at1 - before.at1;
		sum.at10 += after.at10 - before.at10;
	}
	return (struct change){100 * sum.at1 / (double)part->queries, 100 * sum.at10 / (double)part->queries};
}

/* ---- printing --------------------------------------------------------------------------------------------------- */

static void print_table(const struct direction *d, struct buffer *out)
{
	for (size_t p = 0; p < d->part_count; p++) {
		const struct part *part = &d->parts[p];
		buffer_format(out, "%s, %s: %zu queries\n%8s %6s %7s %7s %7s %7s\n", part->shard,
			      d->by_text ? "text to image" : "image to text", part->queries, "weight", "prior", "r1", "r5", "r10", "mrr");
		for (size_t f = 0; f < d->form_count; f++) {
			struct tally t = count(part, f, ALL, false);
			double percent = 100 / (double)part->queries;
			buffer_format(out, "%8g %6.2f %7.2f %7.2f %7.2f %7.2f\n", d->forms[f].weight, d->forms[f].prior, percent * t.at1,
				      percent * t.at5, percent * t.at10, percent * t.reciprocal);
		}
	}
}

static void print_advice(const struct direction *d, struct buffer *out)
{
	size_t best = choose(d, ALL);

	if (d->by_text)
		buffer_format(out, "advised for text to image: weight %g\n", d->forms[best].weight);
	else
		buffer_format(out, "advised for image to text: weight %g, prior %g\n", d->forms[best].weight, d->forms[best].prior);
	for (size_t p = 0; p < d->part_count; p++) {
		struct change seen = change_of(&d->parts[p], best), unseen = change_unseen(d, p);
		buffer_format(out, "    %+.2f at 1, %+.2f at 10 (on tenths that took no part in choosing: %+.2f, %+.2f)  %s\n", seen.at1,
			      seen.at10, unseen.at1, unseen.at10, d->parts[p].shard);
	}
}

static void advice_json(const struct direction *d, struct buffer *out)
{
	size_t best = choose(d, ALL);

	buffer_format(out, "\"%s\":{\"weight\":%g,\"prior\":%g,\"shards\":[", d->by_text ? "text_to_image" : "image_to_text",
		      d->forms[best].weight, d->forms[best].prior);
	for (size_t p = 0; p < d->part_count; p++) {
		struct change seen = change_of(&d->parts[p], best), unseen = change_unseen(d, p);
		buffer_format(out, "%s{\"queries\":%zu,\"r1\":%.2f,\"r10\":%.2f,\"unseen_r1\":%.2f,\"unseen_r10\":%.2f}", p ? "," : "",
			      d->parts[p].queries, seen.at1, seen.at10, unseen.at1, unseen.at10);
	}
	buffer_text(out, "]}");
}

enum status sweep_print(const struct listener *listener, struct engine *engine, const char *const *shards, size_t shard_count,
			const struct evalchoice *choice, size_t depth, bool json, struct buffer *out, size_t *skipped, struct err *err)
{
	struct direction directions[2] = {{.by_text = true}, {.by_text = false}};
	enum status status = STATUS_OK;

	for (int k = 0; k < 2; k++) {
		list_forms(&directions[k]);
		directions[k].parts = mem_array(shard_count, sizeof *directions[k].parts);
		if (!directions[k].parts)
			status = err_memory(err, "a ranking");
	}
	for (size_t i = 0; i < shard_count && status == STATUS_OK; i++)
		status = measure_shard(listener, engine, shards[i], choice, depth, directions, skipped, err);
	if (status == STATUS_OK && json) {
		buffer_text(out, "{");
		advice_json(&directions[0], out);
		buffer_text(out, ",");
		advice_json(&directions[1], out);
		buffer_text(out, "}\n");
	} else if (status == STATUS_OK) {
		buffer_format(out, "logit scale %.2f\n", (double)coca_logit_scale(engine->model));
		for (int k = 0; k < 2; k++)
			print_table(&directions[k], out);
		for (int k = 0; k < 2; k++)
			print_advice(&directions[k], out);
	}
	for (int k = 0; k < 2; k++) {
		for (size_t p = 0; p < directions[k].part_count; p++) {
			free(directions[k].parts[p].owner);
			free(directions[k].parts[p].place);
		}
		free(directions[k].parts);
	}
	return status;
}
