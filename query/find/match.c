/* match.c: see match.h. */
#include "query/find/match.h"

#include <stdlib.h>
#include <string.h>

#include "model/net/likelihood.h"
#include "query/session/tokens.h"
#include "query/find/texts.h"
#include "schema/catalog/texts.h"
#include "schema/base/random.h"

#include "schema/base/banned.h"

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static enum status open_collection(struct matcher *m, const char *collection, struct err *err)
{
	struct text_key *keys;
	enum status status = catalog_text_keys(m->library->catalog, collection, &keys, &m->count, err);

	if (status != STATUS_OK)
		return status;
	m->ids = mem_array(m->count, sizeof *m->ids);
	for (size_t i = 0; m->ids && i < m->count; i++)
		m->ids[i] = keys[i].id;
	free(keys);
	return m->ids ? STATUS_OK : err_memory(err, "the list of texts");
}

enum status match_open(struct library *library, const char *collection, struct matcher *m, struct err *err)
{
	struct vectors_options options = {.set = VECTORS_TEXTS};
	struct engine *engine = &library->engine;
	enum status status = STATUS_OK;

	*m = (struct matcher){.library = library};
	if (!library->catalog)
		return STATUS_OK;
	status = texts_ready(library, err);
	if (status == STATUS_OK && library->row.id)
		status = vectors_open(library->catalog, &library->row, &options, &m->vectors, err);
	if (m->vectors)
		m->count = vectors_count(m->vectors);
	if (status == STATUS_OK && m->vectors && collection)
		status = open_collection(m, collection, err);
	if (status == STATUS_OK)
		status = catalog_contents_sample(library->catalog, SCORE_NULLS + 1, m->sample, &m->sampled, err);
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
	vectors_close(m->vectors);
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

/* The slot of a null's tokens, which are loaded if need be, in place of one that is no null of this photograph. A content whose
 * tokens cannot be had becomes noise. */
static enum status hold_null(struct matcher *m, const int64_t nulls[SCORE_NULLS], size_t which, size_t *slot, struct err *err)
{
	struct library *library = m->library;
	enum tokens_found found = TOKENS_AWAY;
	enum status status = STATUS_OK;
	size_t s;

	for (s = 0; s < m->held_count && m->held[s] != nulls[which]; s++)
		;
	*slot = s;
	if (s < m->held_count)
		return STATUS_OK;
	if (m->held_count == SCORE_NULLS)
		for (s = 0; s < SCORE_NULLS; s++) {
			size_t n = 0;
			while (n < SCORE_NULLS && nulls[n] != m->held[s])
				n++;
			if (n == SCORE_NULLS)
				break;
		}
	if (nulls[which] > 0)
		status = tokens_of_content(library, TOKENS_IMAGE, nulls[which], null_tokens(m, s), &found, err);
	if (status == STATUS_OK && !found)
		status = match_noise(&library->engine, (size_t)llabs(nulls[which]), null_tokens(m, s), err);
	if (status != STATUS_OK)
		return status;
	m->held[s] = nulls[which];
	m->replaced[s] = nulls[which] > 0 && !found;
	m->held_count += s == m->held_count;
	*slot = s;
	return STATUS_OK;
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

/* Every text with the photograph, and with those nulls that are not known yet. */
static enum status pair_up(struct group *g, struct err *err)
{
	struct library *library = g->matcher->library;
	enum status status = STATUS_OK;
	bool cut, found;

	for (size_t i = 0; i < g->count && status == STATUS_OK; i++) {
		g->pairs[g->pair_count++] = (struct coca_pair){0, i};
		status = engine_text_ids(&library->engine, g->matches[i].text, g->matches[i].text_size, &g->ids[i], &g->texts[i], &cut, err);
	}
	for (size_t i = 0; i < g->count; i++)
		for (size_t k = 0; k < SCORE_NULLS && status == STATUS_OK; k++) {
			struct text_null entry = {g->matches[i].id, g->nulls[k], 0};
			size_t slot;
			status = catalog_null_get(library->catalog, library->row.id, &entry, &found, err);
			g->priors[i][k] = entry.likelihood;
			if (status != STATUS_OK || found)
				continue;
			status = hold_null(g->matcher, g->nulls, k, &slot, err);
			g->pairs[g->pair_count++] = (struct coca_pair){1 + slot, i};
			g->places[g->new_count] = i * SCORE_NULLS + k;
			entry.null = g->matcher->replaced[slot] ? 0 : entry.null;
			g->news[g->new_count++] = entry;
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
	catalog_nulls_keep(m->library->catalog, m->library->row.id, g->news, kept);
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

static enum status take_text(void *context, const struct catalog_text *text, const float *embedding, struct err *err)
{
	struct match *match = context;
	(void)embedding;

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
	enum status status = STATUS_OK;

	*count = 0;
	for (size_t i = 0; i < k && ids[i] && *count < wanted && status == STATUS_OK; i++) {
		struct match *match = &matches[*count];
		*match = (struct match){.similarity = scores[i], .score = (double)scores[i]};
		status = catalog_text_get(m->library->catalog, ids[i], take_text, match, err);
		/* Forgotten since the index was opened. */
		if (status == STATUS_NOT_FOUND) {
			status = STATUS_OK;
			continue;
		}
		++*count;
		if (status == STATUS_OK && is_known(matches, *count - 1, match)) {
			free(match->text);
			free(match->collection);
			--*count;
		}
	}
	return status;
}

/* The k nearest. */
static enum status nearest(struct matcher *m, const float *embedding, size_t k, float *scores, int64_t *ids, struct err *err)
{
	if (m->ids)
		return vectors_search_some(m->vectors, m->ids, m->count, embedding, 1, k, scores, ids, err);
	return vectors_search(m->vectors, embedding, 1, k, scores, ids, err);
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
		enum status status = scores && ids ? nearest(m, embedding, k, scores, ids, err) : err_memory(err, "the matches");
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
	enum status status = shortlist(m, embedding, wanted, *matches, count, err);
	if (status == STATUS_OK && depth && *count)
		status = rerank(m, tokens, content, *matches, *count, depth, err);
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
