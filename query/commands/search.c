/* search.c: coca search: photographs for words and photographs, as text, JSON, paths or a page. What is asked and how it is answered is in
 * query/ask and query/answer. */
#include "query/commands/commands.h"

#include <math.h>

#include "query/answer/search.h"
#include "query/session/score.h"
#include "query/show/output.h"
#include "schema/base/clock.h"
#include "schema/base/embed.h"

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

static enum status parse(const struct options *given, const struct arguments *args, struct cli *cli, struct query *query,
			 struct search_request *request, struct output *output, struct err *err)
{
	struct asked asked = {args->count, args->words, given->terms, given->filters};

	if (given->no_rerank && (given->rerank || given->rerank_model))
		return err_set(err, STATUS_USAGE, "--no-rerank contradicts --rerank and --rerank-model");
	if (given->least < 0 || given->least > 1)
		return err_set(err, STATUS_USAGE, "--min-score takes a number from 0 to 1, not '%g'", given->least);
	*request = (struct search_request){
		.query = query,
		.limit = given->limit,
		.depth = given->no_rerank ? 0 : given->rerank ? given->rerank : SCORE_DEPTH,
		.least = given->least,
		.explain = given->explain,
	};
	enum status status = output_parse(&given->output, cli->out, output, err);
	return status == STATUS_OK ? query_parse(&asked, query, err) : status;
}

/* Filters alone need no model. */
static enum status check(struct cli *cli, const struct arguments *args, struct err *err)
{
	struct query query = {0};
	struct search_request request;
	struct output output;
	enum status status = parse(args->options, args, cli, &query, &request, &output, err);

	if (status == STATUS_OK && !query.composition.count)
		cli->needs = NEEDS_CATALOG;
	query_release(&query);
	return status;
}

static void say_nothing(struct cli *cli, const struct search_request *request, const struct search_answer *answer)
{
	if (answer->dropped)
		fprintf(cli->log, "coca: no photograph matches by %g or more\n", request->least);
	else if (!photo_filter_empty(&request->query->filter))
		fprintf(cli->log, "coca: no photograph passes the filter\n");
	else
		fprintf(cli->log, "coca: the library holds no photograph that is indexed by this model; hint: coca index DIR\n");
}

static void say_times(struct cli *cli, double opening, const struct search_times *t)
{
	fprintf(cli->log, "coca: open %.1f ms, embed %.1f, find %.1f, rerank %.1f, match %.1f, list %.1f\n", 1e3 * opening, 1e3 * t->embed,
		1e3 * t->find, 1e3 * t->rerank, 1e3 * t->match, 1e3 * t->list);
}

static int run(struct cli *cli, const struct arguments *args)
{
	const struct options *given = args->options;
	struct query query = {0};
	struct search_request request;
	struct search_answer answer = {0};
	struct output output;
	struct session session = {0};
	struct err err;
	int code = EXIT_DONE;
	enum status status = parse(given, args, cli, &query, &request, &output, &err);
	bool asks = status == STATUS_OK && query.composition.count > 0;

	if (status == STATUS_OK)
		status = session_open(cli->library, asks && request.depth ? given->rerank_model : NULL, given->exact, &session, &err);
	double opening = clock_now() - cli->started;
	if (status == STATUS_OK)
		status = answer_search(&session, &request, &answer, &err);
	if (status == STATUS_OK)
		status = output_results(cli, &output, query.text, cli->library->store, &answer.results, &err);
	if (status == STATUS_OK && answer.results.count == 0) {
		say_nothing(cli, &request, &answer);
		code = EXIT_NO_RESULT;
	}
	if (status == STATUS_OK && given->times && asks)
		say_times(cli, opening, &answer.times);
	search_answer_release(&answer);
	query_release(&query);
	session_close(&session);
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
