/* command_search.c: coca search: words -> embedding -> candidates -> reranked -> photos -> text, JSON, paths or a page. */
#include "query/commands.h"

#include <stdlib.h>
#include <string.h>

#include "query/format.h"
#include "query/library.h"
#include "query/page.h"
#include "query/parse.h"
#include "query/rerank.h"
#include "query/score.h"
#include "query/search.h"
#include "query/trust.h"

#include "schema/banned.h"

struct search {
	struct cli *cli;
	struct query query;
	struct library library;
	struct engine other;             /* --rerank-model; zeroed without */
	struct catalog_model other_row;
	struct reranker reranker;
	int32_t *ids;                    /* the query's, for the reranker */
	struct vectors *vectors;
	struct candidate *candidates;
	size_t count, limit, depth;      /* depth 0: no reranking */
	struct results results;
	enum format format;
	const char *page;
};

/* How long each part took, for --times. */
struct times {
	double last, open, embed, find, rerank, list;
};

static void lap(struct times *times, double *part)
{
	double now = cli_now();
	*part = now - times->last;
	times->last = now;
}

static enum status parse(struct search *s, const struct arguments *args, struct err *err)
{
	bool without = arguments_flag(args, "no-rerank");

	if (without && (arguments_flag(args, "rerank") || arguments_flag(args, "rerank-model")))
		return err_set(err, STATUS_USAGE, "--no-rerank contradicts --rerank and --rerank-model");
	enum status status = arguments_number(args, "limit", 10, 1, 1000000, &s->limit, err);
	if (status == STATUS_OK)
		status = arguments_number(args, "rerank", SCORE_DEPTH, 1, 1000000, &s->depth, err);
	if (status == STATUS_OK)
		status = format_parse(arguments_text(args, "format", "text"), &s->format, err);
	if (status == STATUS_OK)
		status = query_parse(args, &s->query, err);
	if (without)
		s->depth = 0;
	s->page = arguments_text(args, "html", NULL);
	return status;
}

/* The model that reranks, and the query in its tokens. */
static enum status prepare_reranker(struct search *s, const char *other, struct err *err)
{
	struct engine *engine = &s->library.engine;
	const struct catalog_model *row = &s->library.row;
	enum status status;
	bool cut;

	if (other) {
		status = engine_open(other, &s->other, err);
		if (status != STATUS_OK)
			return status;
		engine = &s->other;
		row = &s->other_row;
		status = engine_identify(engine, s->library.catalog, &s->other_row, err);
		if (status == STATUS_NOT_FOUND)
			row = NULL;
		else if (status != STATUS_OK)
			return status;
	}
	s->reranker = (struct reranker){
		.engine = engine,
		.catalog = s->library.catalog,
		.row = row,
		.logit_scale = (double)coca_logit_scale(s->library.engine.model),
	};
	return engine_text_ids(engine, s->query.text, strlen(s->query.text), &s->ids, &s->reranker.text, &cut, err);
}

static enum status find(struct search *s, float *embedding, struct times *times, struct err *err)
{
	struct library *library = &s->library;
	size_t most = s->limit > s->depth ? s->limit : s->depth;
	enum status status = STATUS_OK;
	bool cut;

	status = engine_embed_text(&library->engine, s->query.text, strlen(s->query.text), embedding, &cut, err);
	if (status != STATUS_OK)
		return status;
	if (cut)
		note(s->cli, "the query is longer than the model's %zu ids: what is behind them is not used",
		     coca_config(library->engine.model)->context_length);
	lap(times, &times->embed);
	if (photo_filter_empty(&s->query.filter))
		status = vectors_open(library->catalog, &library->row, NULL, &s->vectors, err);
	if (status == STATUS_OK)
		status = search_candidates(library->catalog, &library->row, s->vectors, &s->query.filter, embedding, most, &s->candidates,
					   &s->count, err);
	lap(times, &times->find);
	return status;
}

static enum status rerank(struct search *s, const float *embedding, struct err *err)
{
	enum status status = rerank_candidates(&s->reranker, s->candidates, s->count, s->depth, err);
	bool doubtful = false;

	if (status != STATUS_OK)
		return status;
	if (s->reranker.encoded)
		note(s->cli, "%zu of the best %zu photos had no stored image tokens and were encoded again; "
			     "hint: coca index has --token-budget", s->reranker.encoded, s->count < s->depth ? s->count : s->depth);
	if (s->reranker.kept)
		note(s->cli, "%zu photos could not be reranked, as their files are away: they keep their similarity", s->reranker.kept);
	if (s->vectors) {
		struct trust trust = {&s->reranker, &s->library.engine, &s->library.row, s->vectors, embedding};
		status = trust_check(&trust, s->candidates, s->count, &doubtful, err);
	}
	if (doubtful)
		note(s->cli, TRUST_WARNING, s->cli->model);
	return status;
}

static enum status answer(struct search *s, struct times *times, struct err *err)
{
	struct library *library = &s->library;
	float *embedding = mem_floats(library->engine.embed);
	enum status status = embedding ? find(s, embedding, times, err) : err_memory(err, "an embedding");

	if (status == STATUS_OK && s->depth && s->count)
		status = rerank(s, embedding, err);
	lap(times, &times->rerank);
	if (status == STATUS_OK)
		status = search_photos(library->catalog, &s->query.filter, s->candidates, s->count, NULL, s->limit, &s->results, err);
	lap(times, &times->list);
	free(embedding);
	return status;
}

static enum status print(struct search *s, struct err *err)
{
	struct buffer out = {0};

	format_results(&s->results, s->format, &out);
	enum status status = format_print(s->cli->out, &out, err);
	if (status == STATUS_OK && s->page)
		status = page_write(s->page, s->query.text, &s->results, err);
	return status;
}

static void explain_nothing(struct search *s)
{
	if (!photo_filter_empty(&s->query.filter))
		fprintf(s->cli->log, "coca: no photograph passes the filter\n");
	else
		fprintf(s->cli->log, "coca: the library holds no photograph that is indexed by this model; hint: coca index DIR\n");
}

static void release(struct search *s)
{
	results_release(&s->results);
	free(s->candidates);
	free(s->ids);
	vectors_close(s->vectors);
	engine_close(&s->other);
	query_release(&s->query);
}

static int run(struct cli *cli, const struct arguments *args)
{
	struct search s = {.cli = cli};
	struct times times = {.last = cli_now()};
	struct err err;
	int code = EXIT_DONE;
	enum status status = parse(&s, args, &err);

	if (status == STATUS_OK)
		status = library_open(cli, &s.library, &err);
	if (status == STATUS_OK && s.depth)
		status = prepare_reranker(&s, arguments_text(args, "rerank-model", NULL), &err);
	lap(&times, &times.open);
	if (status == STATUS_OK)
		status = answer(&s, &times, &err);
	if (status == STATUS_OK)
		status = print(&s, &err);
	if (status == STATUS_OK && s.results.count == 0) {
		explain_nothing(&s);
		code = EXIT_NO_RESULT;
	}
	if (status == STATUS_OK && arguments_flag(args, "times"))
		fprintf(cli->log, "coca: open %.1f ms, embed %.1f, find %.1f, rerank %.1f, list %.1f\n", 1e3 * times.open,
			1e3 * times.embed, 1e3 * times.find, 1e3 * times.rerank, 1e3 * times.list);
	release(&s);
	if (status != STATUS_OK)
		return library_fail(cli, &s.library, &err);
	library_close(&s.library);
	return code;
}

static const struct option_spec options[] = {
	{"limit", 'n', "N", OPTION_NUMBER, "show the best N photos (default 10)"},
	{"rerank", 0, "N", OPTION_OPTIONAL, "put the best N in order by caption likelihood, too (default, N = 50)"},
	{"no-rerank", 0, NULL, OPTION_FLAG, "order by similarity alone"},
	{"rerank-model", 0, "DIR", OPTION_TEXT | OPTION_FOLDER, "another model for the caption likelihood"},
	{"in", 0, "DIR", OPTION_TEXT | OPTION_FOLDER, "only photos below this folder"},
	{"since", 0, "DATE", OPTION_TEXT, "only photos taken then or later: 2024, 2024-05, 2024-05-31, 2024-05-31T18:30"},
	{"until", 0, "DATE", OPTION_TEXT, "only photos taken until the end of that year, month, day or minute"},
	{"camera", 0, "TEXT", OPTION_TEXT, "only photos whose camera or lens contains this"},
	{"near", 0, "LAT,LON,KM", OPTION_TEXT, "only photos taken within KM kilometres of a place"},
	{"text", 0, "WORDS", OPTION_TEXT, "only photos with a text that contains these words"},
	{"format", 0, "FORMAT", OPTION_TEXT, "text, json (one object a line) or paths0 (for xargs -0)"},
	{"html", 0, "FILE", OPTION_TEXT | OPTION_FILE, "also write a page with thumbnails"},
	{"times", 0, NULL, OPTION_FLAG, "say how long each part took"},
	{0},
};

const struct command command_search = {
	.name = "search",
	.synopsis = "QUERY...",
	.summary = "find photographs by words",
	.options = options,
	.details = "Several words are one query. Every photo is listed, copies too, and those whose drive is away (\"missing\").\n"
		   "The score is the similarity, or with reranking logit scale x similarity + weight x caption log-likelihood\n"
		   "(counted from the mean of the reranked). Dates are the camera's local time.\n",
	.run = run,
	.passive_threads = true, /* waiting threads that spin cost ten times the latency on a busy machine */
};
