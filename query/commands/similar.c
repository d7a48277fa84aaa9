/* similar.c: coca similar: photographs like a given one, by its stored embedding where it is indexed. */
#include "query/commands/commands.h"

#include "query/answer/search.h"
#include "query/show/output.h"
#include "schema/base/embed.h"

#include "schema/base/banned.h"

EMBED_TEXT(help_similar, "query/commands/similar.txt");

struct options {
	size_t limit;
	bool exact;
	struct output_options output;
};

static const struct option_spec options[] = {
	OPTION_NUMBER(struct options, limit, "limit", 'n', "N", 1, 1000000, 10, "show the best N photos (default %)"),
	OPTION_FLAG(struct options, exact, "exact", 0, "decode every pixel of a file that is not indexed: the reference, slower"),
	OUTPUT_OPTIONS(struct options, output),
	{0},
};

static enum status check(struct cli *cli, const struct arguments *args, struct err *err)
{
	const struct options *given = args->options;
	struct output unused;

	if (args->count != 1)
		return err_set(err, STATUS_USAGE, "coca similar takes one file");
	return output_parse(&given->output, cli->out, &unused, err);
}

static int run(struct cli *cli, const struct arguments *args)
{
	const struct options *given = args->options;
	struct session session = {0};
	struct search_answer answer = {0};
	struct output output;
	struct err err;
	int code = EXIT_DONE;
	enum status status = output_parse(&given->output, cli->out, &output, &err);

	if (status == STATUS_OK)
		status = session_open(cli->library, NULL, given->exact, &session, &err);
	if (status == STATUS_OK)
		status = answer_similar(&session, args->words[0], given->limit, &answer, &err);
	if (status == STATUS_OK)
		status = output_results(cli, &output, args->words[0], cli->library->store, &answer.results, &err);
	if (status == STATUS_OK && answer.results.count == 0) {
		fprintf(cli->log, "coca: the library holds no other photograph that is indexed by this model; hint: coca index DIR\n");
		code = EXIT_NO_RESULT;
	}
	search_answer_release(&answer);
	session_close(&session);
	return status == STATUS_OK ? code : cli_fail(cli, &err);
}

const struct command command_similar = {
	.name = "similar",
	.synopsis = "FILE",
	.summary = "find photographs like this one",
	.options = options,
	.options_size = sizeof(struct options),
	.details = help_similar,
	.needs = NEEDS_LIBRARY,
	.check = check,
	.run = run,
	.passive_threads = true, /* waiting threads that spin cost ten times the latency on a busy machine */
};
