/* match.c: see match.h. */
#include "query/find/match.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/net/likelihood.h"
#include "query/session/tokens.h"
#include "query/find/texts.h"
#include "schema/base/packed.h"
#include "schema/base/random.h"

#include "schema/base/banned.h"

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static enum status open_texts(struct matcher *m, const char *collection, struct err *err)
{
	struct store *store = m->library->store;

	if (!m->library->row.id)
		return STATUS_OK;
	return collection ? store_texts_in(store, collection, &m->ids, &m->count, err) : store_count(store, STORE_TEXTS, &m->count, err);
}

enum status match_open(struct library *library, const char *collection, struct matcher *m, struct err *err)
{
	struct engine *engine = &library->engine;

	*m = (struct matcher){.library = library};
	if (!library->catalog)
		return STATUS_OK;
	enum status status = texts_ready(library, err);
	if (status == STATUS_OK)
		status = open_texts(m, collection, err);
	if (status == STATUS_OK)
		status = store_sample(library->store, STORE_THERE, SCORE_NULLS + 1, m->sample, &m->sampled, err);
	if (status == STATUS_OK) {
		m->tokens = mem_floats(mem_product(1 + SCORE_NULLS, mem_product(engine->tokens, engine->width)));
		status = m->tokens ? STATUS_OK : err_memory(err, "image tokens");
	}
	if (status != STATUS_OK)
		match_close(m);
	return status;
}

void match_close(struct matcher *m)
{
	free(m->ids);
	free(m->tokens);
	*m = (struct matcher){0};
}

/* ---- nulls ------------------------------------------------------------------------------------------------------ */

enum status match_noise(struct engine *engine, size_t number, float *tokens, struct err *err)
{
	size_t n = mem_product(3 * engine->side, engine->side);
	uint64_t state = number;
	float *pixels = mem_floats(n), *embedding = mem_floats(engine->embed);
	enum status status = pixels && embedding ? STATUS_OK : err_memory(err, "a picture of noise");

	/* Normalised pixels have a deviation near 1. */
	for (size_t i = 0; status == STATUS_OK && i < n; i++)
		pixels[i] = (float)random_normal(&state);
	if (status == STATUS_OK)
		status = coca_encode_images(engine->model, engine->state, pixels, 1, embedding, tokens, err);
	if (status == STATUS_OK)
		status = tokens_round(tokens, engine->tokens, engine->width, err);
	free(pixels);
	free(embedding);
	return status;
}

static float *null_tokens(const struct matcher *m, size_t slot)
{
	return m->tokens + (1 + slot) * m->library->engine.tokens * m->library->engine.width;
}

/* The SCORE_NULLS nulls of a photograph. */
static void choose_nulls(const struct matcher *m, int64_t content, int64_t nulls[SCORE_NULLS])
{
	size_t n = 0;

	for (size_t i = 0; i < m->sampled && n < SCORE_NULLS; i++)
		if (m->sample[i] != content)
			nulls[n++] = m->sample[i];
	for (int64_t number = 1; n < SCORE_NULLS; number++)
		nulls[n++] = -number;
}

static bool is_null(const int64_t nulls[SCORE_NULLS], int64_t one)
{
	size_t n = 0;

	while (n < SCORE_NULLS && nulls[n] != one)
		n++;
	return n < SCORE_NULLS;
}

static size_t slot_of(const struct matcher *m, int64_t null)
{
	size_t s = 0;

	while (s < m->held_count && m->held[s] != null)
		s++;
	return s;
}

/* A null's tokens into a slot that is free, or that of one which is no null of this photograph. A content whose tokens cannot be had (NULL)
 * becomes noise. */
static enum status hold(struct matcher *m, const int64_t nulls[SCORE_NULLS], int64_t null, const void *blob, struct err *err)
{
	struct engine *engine = &m->library->engine;
	size_t N = engine->tokens, W = engine->width, s = m->held_count;

	if (s == SCORE_NULLS)
		for (s = 0; is_null(nulls, m->held[s]); s++)
			;
	enum status status = blob ? packed_tokens_read(blob, packed_tokens_size(N, W), N, W, null_tokens(m, s), err)
				  : match_noise(engine, (size_t)llabs(null), null_tokens(m, s), err);
	if (status != STATUS_OK)
		return status;
	m->held[s] = null;
	m->replaced[s] = null > 0 && !blob;
	m->held_count += s == m->held_count;
	return STATUS_OK;
}

/* Holds the tokens of those nulls that are needed. */
static enum status hold_nulls(struct matcher *m, const int64_t nulls[SCORE_NULLS], const bool needed[SCORE_NULLS], struct err *err)
{
	int64_t contents[SCORE_NULLS];
	void *blobs[SCORE_NULLS] = {0};
	enum tokens_found found[SCORE_NULLS];
	size_t n = 0, at = 0;

	for (size_t k = 0; k < SCORE_NULLS; k++)
		if (needed[k] && nulls[k] > 0 && slot_of(m, nulls[k]) == m->held_count)
			contents[n++] = nulls[k];
	enum status status = n ? tokens_get(&m->library->engine, m->library->store, TOKENS_IMAGE, contents, n, blobs, found, err) : STATUS_OK;
	for (size_t k = 0; k < SCORE_NULLS && status == STATUS_OK; k++)
		if (needed[k] && slot_of(m, nulls[k]) == m->held_count)
			status = hold(m, nulls, nulls[k], nulls[k] > 0 ? blobs[at++] : NULL, err);
	for (size_t i = 0; i < n; i++)
		free(blobs[i]);
	return status;
}

/* ---- likelihoods ------------------------------------------------------------------------------------------------ */

/* Texts of one photograph whose likelihoods are computed in one call. */
enum { GROUP = 64, PAIRS = GROUP * (1 + SCORE_NULLS) };

struct group {
	struct matcher *matcher;
	struct match *matches;
	size_t count;
	int64_t nulls[SCORE_NULLS];
	float priors[GROUP][SCORE_NULLS];
	int32_t *ids[GROUP];
	struct coca_text texts[GROUP];
	struct coca_pair pairs[PAIRS];
	float sums[PAIRS];
	size_t pair_count;
	struct text_null news[GROUP * SCORE_NULLS]; /* computed now; the pairs behind the first `count` */
	size_t places[GROUP * SCORE_NULLS];
	size_t new_count;
};

/* What is known of the texts under the nulls; NaN of the others, whose nulls are held then. */
static enum status load_priors(struct group *g, struct err *err)
{
	int64_t texts[GROUP];
	bool needed[SCORE_NULLS] = {0};

	for (size_t i = 0; i < g->count; i++)
		texts[i] = g->matches[i].id;
	enum status status = store_nulls(g->matcher->library->store, texts, g->count, g->nulls, SCORE_NULLS, g->priors[0], err);
	for (size_t i = 0; i < g->count && status == STATUS_OK; i++)
		for (size_t k = 0; k < SCORE_NULLS; k++)
			needed[k] = needed[k] || isnan(g->priors[i][k]);
	return status == STATUS_OK ? hold_nulls(g->matcher, g->nulls, needed, err) : status;
}

/* Every text with the photograph, and with those nulls that are not known yet. */
static enum status pair_up(struct group *g, struct err *err)
{
	struct matcher *m = g->matcher;
	enum status status = load_priors(g, err);
	bool cut;

	for (size_t i = 0; i < g->count && status == STATUS_OK; i++) {
		g->pairs[g->pair_count++] = (struct coca_pair){0, i};
		status = engine_text_ids(&m->library->engine, g->matches[i].text, g->matches[i].text_size, &g->ids[i], &g->texts[i], &cut, err);
	}
	for (size_t i = 0; i < g->count && status == STATUS_OK; i++)
		for (size_t k = 0; k < SCORE_NULLS; k++) {
			if (!isnan(g->priors[i][k]))
				continue;
			size_t slot = slot_of(m, g->nulls[k]);
			g->pairs[g->pair_count++] = (struct coca_pair){1 + slot, i};
			g->places[g->new_count] = i * SCORE_NULLS + k;
			g->news[g->new_count++] = (struct text_null){g->matches[i].id, m->replaced[slot] ? 0 : g->nulls[k], 0};
		}
	return status;
}

static enum status group_run(struct group *g, struct err *err)
{
	struct matcher *m = g->matcher;
	struct engine *engine = &m->library->engine;
	enum status status = pair_up(g, err);

	if (status == STATUS_OK)
		status = coca_likelihood(engine->model, engine->state, m->tokens, 1 + m->held_count, g->texts, g->count, g->pairs, g->pair_count,
					 g->sums, NULL, err);
	for (size_t i = 0; i < g->count; i++)
		free(g->ids[i]);
	if (status != STATUS_OK)
		return status;
	size_t kept = 0;
	for (size_t n = 0; n < g->new_count; n++) {
		float likelihood = g->sums[g->count + n];
		g->priors[g->places[n] / SCORE_NULLS][g->places[n] % SCORE_NULLS] = likelihood;
		if (g->news[n].null) /* that of a photograph which is away is not its own */
			g->news[kept++] = (struct text_null){g->news[n].text, g->news[n].null, likelihood};
	}
	store_nulls_keep(m->library->store, g->news, kept);
	for (size_t i = 0; i < g->count; i++) {
		g->matches[i].likelihood = g->sums[i];
		g->matches[i].prior = score_log_mean(g->priors[i], SCORE_NULLS);
		g->matches[i].reranked = true;
	}
	return STATUS_OK;
}

static enum status add_likelihoods(struct matcher *m, const float *tokens, int64_t content, struct match *matches, size_t count, struct err *err)
{
	struct group *group = mem_array(1, sizeof *group);
	enum status status = group ? STATUS_OK : err_memory(err, "likelihoods");

	if (status == STATUS_OK)
		memcpy(m->tokens, tokens, m->library->engine.tokens * m->library->engine.width * sizeof *tokens);
	for (size_t at = 0; at < count && status == STATUS_OK; at += GROUP) {
		*group = (struct group){.matcher = m, .matches = matches + at, .count = count - at < GROUP ? count - at : GROUP};
		choose_nulls(m, content, group->nulls);
		status = group_run(group, err);
	}
	free(group);
	return status;
}

/* ---- order ------------------------------------------------------------------------------------------------------ */

static int by_score(const void *a, const void *b)
{
	const struct match *x = a, *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

/* The first `depth` are reranked. What a likelihood adds counts from the mean over them, so that the others' scores compare. */
static enum status rerank(struct matcher *m, const float *tokens, int64_t content, struct match *matches, size_t count, size_t depth,
			  struct err *err)
{
	double logit_scale = (double)coca_logit_scale(m->library->engine.model), mean = 0;

	if (depth > count)
		depth = count;
	enum status status = add_likelihoods(m, tokens, content, matches, depth, err);
	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < count; i++)
		matches[i].score = score_text(logit_scale, (double)matches[i].similarity, matches[i].reranked ? (double)matches[i].likelihood : 0,
					      matches[i].prior);
	for (size_t i = 0; i < depth; i++)
		mean += score_text(0, 0, (double)matches[i].likelihood, matches[i].prior) / (double)depth;
	for (size_t i = 0; i < depth; i++)
		matches[i].score -= mean;
	qsort(matches, depth, sizeof *matches, by_score);
	return STATUS_OK;
}

/* ---- nearest texts ---------------------------------------------------------------------------------------------- */

static enum status take_text(const struct catalog_text *text, struct match *match, struct err *err)
{
	match->id = text->id;
	match->content = text->photo_content;
	match->text = mem_copy(text->text, text->text_size);
	match->text_size = text->text_size;
	match->collection = mem_copy(text->collection, strlen(text->collection));
	return match->text && match->collection ? STATUS_OK : err_memory(err, "the matches");
}

static bool is_known(const struct match *matches, size_t count, const struct match *match)
{
	for (size_t i = 0; i < count; i++)
		if (matches[i].text_size == match->text_size && memcmp(matches[i].text, match->text, match->text_size) == 0)
			return true;
	return false;
}

/* Those of the k nearest that are the first with their bytes; at most `wanted`. */
static enum status distinct(struct matcher *m, const float *scores, const int64_t *ids, size_t k, size_t wanted, struct match *matches,
			    size_t *count, struct err *err)
{
	struct store_texts texts;
	enum status status;

	*count = 0;
	while (k && !ids[k - 1])
		k--;
	status = store_texts(m->library->store, ids, k, &texts, err);
	/* Texts come in the order of their ids; one that was forgotten meanwhile is not among them. */
	for (size_t i = 0, t = 0; status == STATUS_OK && i < k && t < texts.count && *count < wanted; i++) {
		struct match *match = &matches[*count];
		if (texts.rows[t].id != ids[i])
			continue;
		*match = (struct match){.similarity = scores[i], .score = (double)scores[i]};
		status = take_text(&texts.rows[t++], match, err);
		++*count;
		if (status == STATUS_OK && is_known(matches, *count - 1, match)) {
			free(match->text);
			free(match->collection);
			--*count;
		}
	}
	store_texts_release(&texts);
	return status;
}

static void empty(struct match *matches, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(matches[i].text);
		free(matches[i].collection);
	}
}

/* Wider and wider, until so many distinct texts are found or all were seen. matches: [wanted] */
static enum status shortlist(struct matcher *m, const float *embedding, size_t wanted, struct match *matches, size_t *count, struct err *err)
{
	*count = 0;
	for (size_t k = wanted; m->count > 0; k *= 2) {
		if (k > m->count)
			k = m->count;
		float *scores = mem_floats(k);
		int64_t *ids = mem_array(k, sizeof *ids);
		enum status status = scores && ids ? store_nearest(m->library->store, STORE_TEXTS, embedding, m->ids, m->ids ? m->count : 0, k, scores,
								 ids, err)
						: err_memory(err, "the matches");
		empty(matches, *count);
		if (status == STATUS_OK)
			status = distinct(m, scores, ids, k, wanted, matches, count, err);
		else
			*count = 0;
		free(scores);
		free(ids);
		if (status != STATUS_OK || *count == wanted || k == m->count)
			return status;
	}
	return STATUS_OK;
}

enum status match_find(struct matcher *m, const float *embedding, const float *tokens, int64_t content, size_t limit, size_t depth,
		       struct match **matches, size_t *count, struct err *err)
{
	size_t wanted = limit > depth ? limit : depth;

	*count = 0;
	if (wanted > m->count)
		wanted = m->count;
	*matches = mem_array(wanted, sizeof **matches);
	if (!*matches)
		return err_memory(err, "the matches");
	enum status status = m->library->store ? store_begin(m->library->store, err) : STATUS_OK;
	if (status == STATUS_OK) {
		status = shortlist(m, embedding, wanted, *matches, count, err);
		if (status == STATUS_OK && depth && *count)
			status = rerank(m, tokens, content, *matches, *count, depth, err);
	}
	if (m->library->store)
		store_end(m->library->store);
	if (status != STATUS_OK) {
		matches_free(*matches, *count);
		*matches = NULL;
		*count = 0;
		return status;
	}
	if (*count > limit) {
		empty(*matches + limit, *count - limit);
		*count = limit;
	}
	return STATUS_OK;
}

void matches_free(struct match *matches, size_t count)
{
	empty(matches, count);
	free(matches);
}
