/* search.c: coca search: words and photos -> embedding -> candidates -> reranked -> photos -> text, JSON, paths or a page. */
#include "query/commands/commands.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "query/find/background.h"
#include "query/show/explain.h"
#include "query/teach/labelling.h"
#include "query/session/library.h"
#include "query/show/output.h"
#include "query/ask/parse.h"
#include "query/find/rerank.h"
#include "query/session/score.h"
#include "query/find/search.h"
#include "query/find/by_text.h"
#include "query/find/trust.h"

#include "schema/catalog/filter.h"
#include "schema/base/embed.h"
#include "schema/base/clock.h"

#include "schema/base/banned.h"

EMBED_TEXT(help_search, "query/commands/search.txt");

struct options {
	struct option_list terms, filters;
	size_t limit, rerank;            /* rerank 0: not given */
	double least;                    /* NAN: any */
	const char *rerank_model;
	struct output_options output;
	bool no_rerank, exact, explain, times;
};

static const struct option_spec options[] = {
	TERM_OPTIONS(struct options, terms),
	OPTION_NUMBER(struct options, limit, "limit", 'n', "N", 1, 1000000, 10, "show the best N photos (default %)"),
	OPTION_BARE_NUMBER(struct options, rerank, "rerank", 0, "N", 1, 1000000, 0, SCORE_DEPTH,
			   "put the best N in order by caption likelihood, too (default, N = %)"),
	OPTION_FLAG(struct options, no_rerank, "no-rerank", 0, "order by similarity alone"),
	OPTION_TEXT(struct options, rerank_model, "rerank-model", 0, "DIR", OPTION_FOLDER, "another model for the caption likelihood"),
	OPTION_REAL(struct options, least, "min-score", 0, "X", -INFINITY, INFINITY, NAN,
		    "only photos whose match, from 0 to 1, is at least this"),
	FILTER_OPTIONS(struct options, filters),
	OPTION_FLAG(struct options, exact, "exact", 0, "decode every pixel of photos that are not stored: the reference, slower"),
	OPTION_FLAG(struct options, explain, "explain", 0, "say why each photo ranks where it does"),
	OUTPUT_OPTIONS(struct options, output),
	OPTION_FLAG(struct options, times, "times", 0, "say how long each part took"),
	{0},
};

struct search {
	struct cli *cli;
	struct query query;
	struct library *library;
	struct engine other;             /* --rerank-model; zeroed without */
	struct catalog_model other_row;
	struct reranker reranker;
	struct coca_text *texts;         /* [T] the words that rerank, and their ids, ours */
	double *weights;                 /* [T] */
	struct vectors *vectors;
	struct candidate *candidates;
	size_t count, limit, depth;      /* depth 0: no reranking */
	size_t dropped;                  /* by --min-score */
	struct background background;
	bool explain;
	float *each;                     /* the likelihoods id by id, for --explain */
	struct explanation why;
	double least;                    /* --min-score; NAN: none */
	struct results results;
	struct output output;
};

/* How long each part took, for --times. */
struct times {
	double last, open, embed, find, rerank, match, list;
};

static void lap(struct times *times, double *part)
{
	double now = clock_now();
	*part = now - times->last;
	times->last = now;
}

static enum status parse(struct search *s, const struct arguments *args, struct err *err)
{
	const struct options *given = args->options;
	struct asked asked = {args->count, args->words, given->terms, given->filters};

	if (given->no_rerank && (given->rerank || given->rerank_model))
		return err_set(err, STATUS_USAGE, "--no-rerank contradicts --rerank and --rerank-model");
	if (given->least < 0 || given->least > 1)
		return err_set(err, STATUS_USAGE, "--min-score takes a number from 0 to 1, not '%g'", given->least);
	s->limit = given->limit;
	s->depth = given->no_rerank ? 0 : given->rerank ? given->rerank : SCORE_DEPTH;
	s->least = given->least;
	s->explain = given->explain;
	enum status status = output_parse(&given->output, s->cli->out, &s->output, err);
	return status == STATUS_OK ? query_parse(&asked, &s->query, err) : status;
}

/* The query's words in the tokens of the model that reranks: none, and nothing is reranked. */
static enum status prepare_texts(struct search *s, struct err *err)
{
	const struct composition *query = &s->query.composition;
	struct engine *engine = s->reranker.engine;
	size_t *terms = mem_array(query->count, sizeof *terms), T = 0;
	enum status status = STATUS_OK;
	bool cut;

	s->texts = mem_array(query->count, sizeof *s->texts);
	s->weights = mem_array(query->count, sizeof *s->weights);
	if (!terms || !s->texts || !s->weights)
		status = err_memory(err, "the query");
	else
		T = compose_texts(query, terms, s->weights);
	for (size_t k = 0; k < T && status == STATUS_OK; k++) {
		const char *words = query->terms[terms[k]].value;
		int32_t *ids;
		status = engine_text_ids(engine, words, strlen(words), &ids, &s->texts[k], &cut, err);
	}
	s->reranker.texts = s->texts;
	s->reranker.weights = s->weights;
	s->reranker.text_count = T;
	free(terms);
	return status;
}

static enum status prepare_reranker(struct search *s, const char *other, struct err *err)
{
	struct engine *engine = &s->library->engine;
	const struct catalog_model *row = &s->library->row;
	enum status status;

	if (other) {
		status = engine_open(other, &s->other, err);
		if (status != STATUS_OK)
			return status;
		engine = &s->other;
		row = &s->other_row;
		status = engine_identify(engine, s->library->catalog, &s->other_row, err);
		if (status == STATUS_NOT_FOUND)
			row = NULL;
		else if (status != STATUS_OK)
			return status;
	}
	s->reranker = (struct reranker){
		.engine = engine,
		.catalog = s->library->catalog,
		.row = row,
		.logit_scale = (double)coca_logit_scale(s->library->engine.model),
	};
	return STATUS_OK;
}

/* What the user might not expect of the query. */
static void notice_terms(struct search *s)
{
	for (size_t i = 0; i < s->query.composition.count; i++) {
		const struct term *t = &s->query.composition.terms[i];
		if (t->guessed)
			listener_note(&s->cli->listener, "'%s' is taken as the photograph of that name; hint: text:%s for the word", t->value, t->value);
		if (t->cut)
			listener_note(&s->cli->listener, "'%.60s' is longer than the model's %zu ids: what is behind them is not used", t->value,
			     coca_config(s->library->engine.model)->context_length);
	}
}

static enum status find(struct search *s, float *embedding, struct times *times, struct err *err)
{
	struct library *library = s->library;
	struct passing passing = {0};
	size_t most = s->limit > s->depth ? s->limit : s->depth;
	enum status status = compose_embed(library, &s->query.composition, embedding, err);

	if (status != STATUS_OK)
		return status;
	notice_terms(s);
	lap(times, &times->embed);
	status = vectors_open(library->catalog, &library->row, NULL, &s->vectors, err);
	if (status == STATUS_OK)
		status = passing_find(library->catalog, &s->query.filter, &passing, err);
	if (status == STATUS_OK)
		status = search_passing(library->catalog, &library->row, s->vectors, &passing, embedding, most, &s->candidates, &s->count, err);
	if (status == STATUS_OK)
		status = tied_widen(library, &passing, embedding, most, &s->candidates, &s->count, err);
	passing_release(&passing);
	lap(times, &times->find);
	return status;
}

static enum status rerank(struct search *s, const float *embedding, struct err *err)
{
	size_t depth = s->depth < s->count ? s->depth : s->count, terms = coca_config(s->reranker.engine->model)->context_length - 1;
	float *each = s->explain ? mem_floats(mem_product(depth * s->reranker.text_count, terms)) : NULL;
	bool doubtful = false;

	if (s->explain && !each)
		return err_memory(err, "an explanation");
	s->reranker.each = each; /* for the candidates alone: other photos have no slot in it */
	enum status status = rerank_candidates(&s->reranker, s->candidates, s->count, s->depth, err);
	s->reranker.each = NULL;
	s->each = each;
	if (status != STATUS_OK)
		return status;
	if (s->reranker.encoded)
		listener_note(&s->cli->listener, "%zu of the best %zu photos had no stored image tokens and were encoded again; "
			     "hint: coca index has --token-budget", s->reranker.encoded, s->count < s->depth ? s->count : s->depth);
	if (s->reranker.kept)
		listener_note(&s->cli->listener, "%zu photos could not be reranked, as their files are away: they keep their similarity", s->reranker.kept);
	/* Of a sum, embedding and likelihoods need not agree; what passes a filter need not be near. */
	if (photo_filter_empty(&s->query.filter) && s->query.composition.count == 1) {
		struct trust trust = {&s->reranker, &s->library->engine, &s->library->row, s->vectors, embedding};
		status = trust_check(&trust, s->candidates, s->count, &doubtful, err);
	}
	if (doubtful)
		listener_note(&s->cli->listener, TRUST_WARNING, s->cli->model);
	return status;
}

/* Every candidate's match; those below --min-score are dropped. */
static enum status judge(struct search *s, const float *embedding, bool reranked, struct err *err)
{
	struct reranker *reranker = reranked ? &s->reranker : NULL;
	enum status status = background_make(s->library, reranker, embedding, s->candidates, s->count, &s->background, err);
	size_t kept = 0;

	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < s->count; i++)
		s->candidates[i].match = background_match(&s->background, &s->candidates[i]);
	if (s->explain) {
		s->reranker.each = s->each;
		status = explain_open(&s->background, reranker, s->candidates, s->count, &s->why, err);
	}
	if (isnan(s->least))
		return status;
	if (!s->background.known)
		listener_note(&s->cli->listener, "the library is too small to say how likely a match is: --min-score leaves nothing out");
	for (size_t i = 0; i < s->count; i++)
		if (!(s->candidates[i].match < s->least))
			s->candidates[kept++] = s->candidates[i];
	s->dropped = s->count - kept;
	s->count = kept;
	return status;
}

static enum status answer(struct search *s, struct times *times, struct err *err)
{
	struct library *library = s->library;
	float *embedding = mem_floats(library->engine.embed);
	bool reranked = false;
	enum status status = embedding ? find(s, embedding, times, err) : err_memory(err, "an embedding");

	if (status == STATUS_OK && s->depth)
		status = prepare_texts(s, err);
	if (status == STATUS_OK && s->reranker.text_count && s->count) {
		reranked = true;
		status = rerank(s, embedding, err);
	}
	lap(times, &times->rerank);
	if (status == STATUS_OK && s->count)
		status = judge(s, embedding, reranked, err);
	lap(times, &times->match);
	if (status == STATUS_OK)
		status = search_photos(library->catalog, &s->query.filter, s->candidates, s->count, NULL, s->limit, &s->results, err);
	lap(times, &times->list);
	free(embedding);
	return status;
}

static enum status print(struct search *s, struct err *err)
{
	if (s->explain && s->count)
		s->results.why = &s->why;
	return output_results(s->cli, &s->output, s->query.text, s->library->catalog, &s->results, err);
}

static void explain_nothing(struct search *s)
{
	if (s->dropped)
		fprintf(s->cli->log, "coca: no photograph matches by %g or more\n", s->least);
	else if (!photo_filter_empty(&s->query.filter))
		fprintf(s->cli->log, "coca: no photograph passes the filter\n");
	else
		fprintf(s->cli->log, "coca: the library holds no photograph that is indexed by this model; hint: coca index DIR\n");
}

static void release(struct search *s)
{
	results_release(&s->results);
	explain_release(&s->why);
	for (size_t k = 0; k < s->reranker.text_count; k++)
		free((void *)s->texts[k].ids);
	free(s->texts);
	free(s->weights);
	free(s->each);
	free(s->candidates);
	vectors_close(s->vectors);
	engine_close(&s->other);
	query_release(&s->query);
}

/* Filters alone: what passes, newest first; with labels, the most probable first. No model is needed, unless a head was not asked about
 * every photograph yet. */
static int run_list(struct search *s)
{
	struct library *library = s->library;
	struct photo_filter *filter = &s->query.filter;
	struct err err;
	int code = EXIT_DONE;
	enum status status = labelling_resolve(library, &s->query, &err);

	if (status == STATUS_OK)
		status = filter->label_count ? labelling_list(library->catalog, filter, s->limit, &s->results, &err)
					     : search_newest(library->catalog, filter, s->limit, &s->results, &err);
	if (status == STATUS_OK)
		status = output_results(s->cli, &s->output, s->query.text, library->catalog, &s->results, &err);
	if (status != STATUS_OK) {
		code = cli_fail(s->cli, &err);
	} else if (s->results.count == 0) {
		explain_nothing(s);
		code = EXIT_NO_RESULT;
	}
	release(s);
	return code;
}

/* Filters alone need no model. */
static enum status check(struct cli *cli, const struct arguments *args, struct err *err)
{
	struct search s = {.cli = cli};
	enum status status = parse(&s, args, err);

	if (status == STATUS_OK && !s.query.composition.count)
		cli->needs = NEEDS_CATALOG;
	query_release(&s.query);
	return status;
}

static int run(struct cli *cli, const struct arguments *args)
{
	const struct options *given = args->options;
	struct search s = {.cli = cli, .library = cli->library};
	struct times times = {.last = cli->started};
	struct err err;
	int code = EXIT_DONE;
	enum status status = parse(&s, args, &err);

	if (status == STATUS_OK && !s.query.composition.count)
		return run_list(&s);
	if (status == STATUS_OK)
		status = labelling_resolve(s.library, &s.query, &err);
	if (status == STATUS_OK && s.depth)
		status = prepare_reranker(&s, given->rerank_model, &err);
	s.library->engine.exact = s.other.exact = given->exact;
	lap(&times, &times.open);
	if (status == STATUS_OK)
		status = answer(&s, &times, &err);
	if (status == STATUS_OK)
		status = print(&s, &err);
	if (status == STATUS_OK && s.results.count == 0) {
		explain_nothing(&s);
		code = EXIT_NO_RESULT;
	}
	if (status == STATUS_OK && given->times)
		fprintf(cli->log, "coca: open %.1f ms, embed %.1f, find %.1f, rerank %.1f, match %.1f, list %.1f\n", 1e3 * times.open,
			1e3 * times.embed, 1e3 * times.find, 1e3 * times.rerank, 1e3 * times.match, 1e3 * times.list);
	release(&s);
	return status == STATUS_OK ? code : cli_fail(cli, &err);
}

const struct command command_search = {
	.name = "search",
	.synopsis = "[QUERY...]",
	.summary = "find photographs by words, and by other photographs",
	.options = options,
	.options_size = sizeof(struct options),
	.details = help_search,
	.needs = NEEDS_LIBRARY,
	.check = check,
	.run = run,
	.passive_threads = true, /* waiting threads that spin cost ten times the latency on a busy machine */
};
