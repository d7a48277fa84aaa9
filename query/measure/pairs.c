/* pairs.c: see pairs.h. */
#include "query/measure/pairs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "query/measure/likelihoods.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* What one way of scoring says of a picture and a caption: of captions for a picture, and of pictures for a caption. */
struct scored {
	double caption, picture;
};

enum { SIMILARITY, LIKELIHOOD, COMBINED, WAYS };

/* What is divided out is all but equal for both captions: few photos tell. */
enum { NULLS = 16 };

/* Whether a and b are X-a and X-b. */
static bool are_sides(const char *a, const char *b)
{
	size_t n = strlen(a);

	return n > 2 && strlen(b) == n && memcmp(a, b, n - 1) == 0 && strcmp(a + n - 2, "-a") == 0 && b[n - 1] == 'b';
}

/* Photo 0 of each pair; its text has the same number. *alone: how many photos are in none. */
static size_t find_pairs(const struct evalset *set, uint32_t *first, size_t *alone)
{
	size_t n = 0;

	for (size_t i = 0; i + 1 < set->photos; i++)
		if (are_sides(set->keys[i], set->keys[i + 1]))
			first[n++] = (uint32_t)i++;
	*alone = set->photos - 2 * n;
	return n;
}

/* A shortlist for each photo of the pairs: its own caption, then the other one. */
static enum status list_captions(const struct engine *engine, const struct evalset *set, const uint32_t *first, size_t pairs,
				 struct ranking *ranking, struct err *err)
{
	*ranking = (struct ranking){.queries = set->photos, .depth = 2};
	ranking->short_list = mem_array(mem_product(set->photos, 2), sizeof *ranking->short_list);
	if (!ranking->short_list)
		return err_memory(err, "pairs");
	/* Photos that are in no pair have their own caption twice. */
	for (size_t i = 0; i < 2 * set->photos; i++)
		ranking->short_list[i] = (struct shortlisted){.item = (uint32_t)(i / 2), .right = i % 2 == 0};
	for (size_t p = 0; p < pairs; p++) {
		ranking->short_list[2 * first[p] + 1].item = first[p] + 1;
		ranking->short_list[2 * (first[p] + 1) + 1].item = first[p];
	}
	for (size_t i = 0; i < 2 * set->photos; i++) {
		struct shortlisted *s = &ranking->short_list[i];
		s->cosine = (float)engine_dot(set->photo_features + i / 2 * engine->embed, set->text_features + s->item * engine->embed,
					      engine->embed);
	}
	return STATUS_OK;
}

static void score(const struct engine *engine, const struct nulls *nulls, size_t photo, const struct shortlisted *s,
		  struct scored scored[WAYS])
{
	double scale = (double)coca_logit_scale(engine->model), cosine = (double)s->cosine, likelihood = (double)s->likelihood;
	double prior = nulls_prior(nulls, s->item, photo);

	scored[SIMILARITY] = (struct scored){cosine, cosine};
	scored[LIKELIHOOD] = (struct scored){likelihood - prior, likelihood};
	scored[COMBINED] = (struct scored){score_text(scale, cosine, likelihood, prior), score_photo(scale, cosine, likelihood)};
}

/* What is equal but for rounding, which differs with the place in a batch, is a tie. */
static double right(double own, double other)
{
	if (fabs(own - other) <= 1e-6 * (fabs(own) + fabs(other)))
		return 0.5;
	return own > other;
}

/* own[k]: picture k with its caption; crossed[k]: with the other's. */
static void judge(const struct scored own[2], const struct scored crossed[2], struct pairs_right *sum)
{
	double caption[2], picture[2];

	for (int k = 0; k < 2; k++) {
		caption[k] = right(own[k].caption, crossed[k].caption);
		picture[k] = right(own[k].picture, crossed[1 - k].picture); /* for caption k, the other picture */
		sum->caption += caption[k] / 2;
		sum->picture += picture[k] / 2;
	}
	sum->both += caption[0] == 1 && caption[1] == 1 && picture[0] == 1 && picture[1] == 1;
}

static void judge_all(const struct engine *engine, const struct nulls *nulls, const struct ranking *ranking, const uint32_t *first,
		      struct pairs_result *result)
{
	struct pairs_right *sums[WAYS] = {&result->similarity, &result->likelihood, &result->combined};
	double percent = result->pairs ? 100 / (double)result->pairs : 0;

	for (size_t p = 0; p < result->pairs; p++) {
		struct scored scored[2][2][WAYS]; /* of photo k: its own caption, the other one */
		for (size_t k = 0; k < 2; k++)
			for (size_t c = 0; c < 2; c++)
				score(engine, nulls, first[p] + k, &ranking->short_list[2 * (first[p] + k) + c], scored[k][c]);
		for (int way = 0; way < WAYS; way++) {
			const struct scored own[2] = {scored[0][0][way], scored[1][0][way]};
			const struct scored crossed[2] = {scored[0][1][way], scored[1][1][way]};
			judge(own, crossed, sums[way]);
		}
	}
	for (int way = 0; way < WAYS; way++) {
		sums[way]->caption *= percent;
		sums[way]->picture *= percent;
		sums[way]->both *= percent;
	}
}

enum status pairs_measure(const struct listener *listener, struct engine *engine, const struct evalset *set,
			  struct pairs_result *result, struct err *err)
{
	uint32_t *first = mem_array(set->photos, sizeof *first);
	struct ranking ranking = {0};
	struct nulls nulls = {0};
	enum status status = first ? STATUS_OK : err_memory(err, "pairs");

	*result = (struct pairs_result){0};
	if (status == STATUS_OK) {
		result->pairs = find_pairs(set, first, &result->alone);
		status = list_captions(engine, set, first, result->pairs, &ranking, err);
	}
	if (status == STATUS_OK)
		status = likelihoods_fill(listener, engine, set, &ranking, false, err);
	if (status == STATUS_OK)
		status = nulls_make(listener, engine, set, NULLS, &nulls, err);
	if (status == STATUS_OK)
		judge_all(engine, &nulls, &ranking, first, result);
	nulls_release(&nulls);
	ranking_release(&ranking);
	free(first);
	return status;
}
