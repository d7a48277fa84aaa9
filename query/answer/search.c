/* search.c: see search.h. What was written while a question is answered (labels, embeddings of texts) is written first: from store_begin on
 * the library stands still. */
#include "query/answer/search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "query/find/by_text.h"
#include "query/find/trust.h"
#include "query/teach/labelling.h"
#include "schema/base/clock.h"

#include "schema/base/banned.h"

struct asking {
	struct session *session;
	const struct search_request *request;
	struct search_answer *answer;
	float *embedding;              /* [E] */
	struct candidate *candidates;
	size_t count;
	double last;                   /* when the part before ended */
};

static void lap(struct asking *a, double *part)
{
	double now = clock_now();

	*part = now - a->last;
	a->last = now;
}

/* The query's words in the tokens of the model that reranks: none, and nothing is reranked. */
static enum status prepare_texts(struct asking *a, struct err *err)
{
	const struct composition *query = &a->request->query->composition;
	struct search_answer *answer = a->answer;
	struct reranker *reranker = &answer->reranker;
	size_t *terms = mem_array(query->count, sizeof *terms), T = 0;
	enum status status = STATUS_OK;
	bool cut;

	reranker->engine = session_reranker(a->session, &reranker->store);
	reranker->logit_scale = (double)coca_logit_scale(a->session->library->engine.model);
	answer->texts = mem_array(query->count, sizeof *answer->texts);
	answer->weights = mem_array(query->count, sizeof *answer->weights);
	if (!terms || !answer->texts || !answer->weights)
		status = err_memory(err, "the query");
	else
		T = compose_texts(query, terms, answer->weights);
	for (size_t k = 0; k < T && status == STATUS_OK; k++) {
		const char *words = query->terms[terms[k]].value;
		int32_t *ids;
		status = engine_text_ids(reranker->engine, words, strlen(words), &ids, &answer->texts[k], &cut, err);
		reranker->text_count += status == STATUS_OK;
	}
	reranker->texts = answer->texts;
	reranker->weights = answer->weights;
	free(terms);
	return status;
}

/* What the user might not expect of the query. */
static void notice_terms(const struct asking *a)
{
	const struct library *library = a->session->library;
	const struct composition *query = &a->request->query->composition;

	for (size_t i = 0; i < query->count; i++) {
		const struct term *t = &query->terms[i];
		if (t->guessed)
			listener_note(library->listener, "'%s' is taken as the photograph of that name; hint: text:%s for the word", t->value, t->value);
		if (t->cut)
			listener_note(library->listener, "'%.60s' is longer than the model's %zu ids: what is behind them is not used", t->value,
				      coca_config(library->engine.model)->context_length);
	}
}

/* The candidates, by pixels and by the texts tied to them. */
static enum status find(struct asking *a, struct err *err)
{
	struct library *library = a->session->library;
	const struct search_request *request = a->request;
	size_t most = request->limit > request->depth ? request->limit : request->depth;
	struct passing passing = {0};
	enum status status = passing_find(library->store, &request->query->filter, &passing, err);

	if (status == STATUS_OK)
		status = search_passing(library->store, &passing, a->embedding, most, &a->candidates, &a->count, err);
	if (status == STATUS_OK)
		status = by_text_widen(library, &passing, a->embedding, most, &a->candidates, &a->count, err);
	passing_release(&passing);
	return status;
}

/* Whether the model that embeds finds anything at all. Of a sum, embedding and likelihoods need not agree; what passes a filter need not be
 * near. */
static enum status check_trust(struct asking *a, struct err *err)
{
	struct library *library = a->session->library;
	struct query *query = a->request->query;
	bool doubtful = false;

	if (!photo_filter_empty(&query->filter) || query->composition.count != 1)
		return STATUS_OK;
	struct trust trust = {&a->answer->reranker, &library->engine, library->store, a->embedding};
	enum status status = trust_check(&trust, a->candidates, a->count, &doubtful, err);
	if (doubtful)
		listener_note(library->listener, TRUST_WARNING, library->model);
	return status;
}

static enum status rerank(struct asking *a, struct err *err)
{
	const struct listener *listener = a->session->library->listener;
	struct reranker *reranker = &a->answer->reranker;
	size_t depth = a->request->depth < a->count ? a->request->depth : a->count;

	if (a->request->explain) {
		size_t terms = coca_config(reranker->engine->model)->context_length - 1;
		a->answer->each = mem_floats(mem_product(depth * reranker->text_count, terms));
		if (!a->answer->each)
			return err_memory(err, "an explanation");
	}
	reranker->each = a->answer->each; /* for the candidates alone: other photos have no slot in it */
	enum status status = rerank_candidates(reranker, a->candidates, a->count, depth, err);
	reranker->each = NULL;
	if (status != STATUS_OK)
		return status;
	if (reranker->encoded)
		listener_note(listener, "%zu of the best %zu photos had no stored image tokens and were encoded again; "
					"hint: coca index has --token-budget", reranker->encoded, depth);
	if (reranker->kept)
		listener_note(listener, "%zu photos could not be reranked, as their files are away: they keep their similarity", reranker->kept);
	return check_trust(a, err);
}

/* Every candidate's match; those below `least` are dropped. */
static enum status judge(struct asking *a, struct err *err)
{
	struct search_answer *answer = a->answer;
	struct reranker *reranker = answer->reranker.text_count ? &answer->reranker : NULL;
	double least = a->request->least;
	enum status status = background_make(a->session->library, reranker, a->embedding, a->candidates, a->count, &answer->background, err);
	size_t kept = 0;

	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < a->count; i++)
		a->candidates[i].match = background_match(&answer->background, &a->candidates[i]);
	if (a->request->explain) {
		answer->reranker.each = answer->each;
		status = explain_open(&answer->background, reranker, a->candidates, a->count, &answer->why, err);
	}
	if (isnan(least))
		return status;
	if (!answer->background.known)
		listener_note(a->session->library->listener, "the library is too small to say how likely a match is: --min-score leaves nothing out");
	for (size_t i = 0; i < a->count; i++)
		if (!(a->candidates[i].match < least))
			a->candidates[kept++] = a->candidates[i];
	answer->dropped = a->count - kept;
	a->count = kept;
	return status;
}

/* The question in a snapshot of the library. */
static enum status answer_in_snapshot(struct asking *a, struct err *err)
{
	struct library *library = a->session->library;
	struct search_answer *answer = a->answer;
	enum status status = find(a, err);

	lap(a, &answer->times.find);
	if (status == STATUS_OK && a->request->depth)
		status = prepare_texts(a, err);
	if (status == STATUS_OK && answer->reranker.text_count && a->count)
		status = rerank(a, err);
	lap(a, &answer->times.rerank);
	if (status == STATUS_OK && a->count)
		status = judge(a, err);
	lap(a, &answer->times.match);
	if (status == STATUS_OK)
		status = search_photos(library->store, &a->request->query->filter, a->candidates, a->count, NULL, a->request->limit,
				       &answer->results, err);
	lap(a, &answer->times.list);
	if (a->request->explain && a->count)
		answer->results.why = &answer->why;
	return status;
}

/* Filters alone: what passes, newest first; with labels, the most probable first. No model is needed, unless a head was not asked about
 * every photograph yet. */
static enum status list(struct library *library, const struct search_request *request, struct search_answer *answer, struct err *err)
{
	struct query *query = request->query;
	enum status status = labelling_resolve(library, query, err);

	if (status == STATUS_OK)
		status = store_begin(library->store, err);
	if (status != STATUS_OK)
		return status;
	status = query->filter.label_count ? labelling_list(library, &query->filter, request->limit, &answer->results, err)
					   : search_newest(library->store, &query->filter, request->limit, &answer->results, err);
	store_end(library->store);
	return status;
}

enum status answer_search(struct session *session, const struct search_request *request, struct search_answer *answer, struct err *err)
{
	struct library *library = session->library;
	struct asking a = {.session = session, .request = request, .answer = answer, .last = clock_now()};

	*answer = (struct search_answer){0};
	if (!request->query->composition.count)
		return list(library, request, answer, err);
	a.embedding = mem_floats(library->engine.embed);
	enum status status = a.embedding ? labelling_resolve(library, request->query, err) : err_memory(err, "an embedding");
	if (status == STATUS_OK)
		status = compose_embed(library, &request->query->composition, a.embedding, err);
	if (status == STATUS_OK) {
		notice_terms(&a);
		status = by_text_ready(library, err);
	}
	lap(&a, &answer->times.embed);
	if (status == STATUS_OK)
		status = store_begin(library->store, err);
	if (status == STATUS_OK) {
		status = answer_in_snapshot(&a, err);
		store_end(library->store);
	}
	free(a.embedding);
	free(a.candidates);
	if (status != STATUS_OK)
		search_answer_release(answer);
	return status;
}

/* ---- similar ---------------------------------------------------------------------------------------------------- */

static enum status find_similar(struct library *library, const float *embedding, const char *path, size_t limit, struct search_answer *answer,
				struct err *err)
{
	static const struct photo_filter all;
	struct candidate *candidates = NULL;
	size_t count = 0;
	enum status status = background_make(library, NULL, embedding, NULL, 0, &answer->background, err);

	/* One more, as the file itself is left out. */
	if (status == STATUS_OK)
		status = search_candidates(library->store, &all, embedding, limit + 1, &candidates, &count, err);
	for (size_t i = 0; i < count; i++)
		candidates[i].match = background_match(&answer->background, &candidates[i]);
	if (status == STATUS_OK)
		status = search_photos(library->store, &all, candidates, count, path, limit, &answer->results, err);
	free(candidates);
	return status;
}

enum status answer_similar(struct session *session, const char *file, size_t limit, struct search_answer *answer, struct err *err)
{
	struct library *library = session->library;
	float *embedding = mem_floats(library->engine.embed);
	char *path = parse_folder(file); /* as the catalog would hold it */
	struct composition query = {0};
	enum status status = embedding && path ? compose_photo(file, &query, err) : err_memory(err, "an embedding");

	*answer = (struct search_answer){0};
	if (status == STATUS_OK)
		status = compose_embed(library, &query, embedding, err);
	if (status == STATUS_OK)
		status = store_begin(library->store, err);
	if (status == STATUS_OK) {
		status = find_similar(library, embedding, path, limit, answer, err);
		store_end(library->store);
	}
	compose_release(&query);
	free(embedding);
	free(path);
	return status;
}

void search_answer_release(struct search_answer *answer)
{
	results_release(&answer->results);
	explain_release(&answer->why);
	for (size_t k = 0; k < answer->reranker.text_count; k++)
		free((void *)answer->texts[k].ids);
	free(answer->texts);
	free(answer->weights);
	free(answer->each);
	*answer = (struct search_answer){0};
}
