/* similar.c: coca similar: photographs like a given one, by its stored embedding where it is indexed. */
#include "query/commands/commands.h"

#include <stdlib.h>

#include "query/find/background.h"
#include "query/ask/compose.h"
#include "query/session/library.h"
#include "query/show/output.h"
#include "query/ask/parse.h"
#include "query/find/search.h"

#include "schema/catalog/filter.h"
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

struct similar {
	const char *file;
	char *path;                /* as the catalog would hold it */
	size_t limit;
	struct composition query;  /* the file */
	struct output output;
	struct library *library;
	struct vectors *vectors;
	struct candidate *candidates;
	size_t count;
	struct results results;
};

static enum status find(struct similar *s, const float *embedding, struct err *err)
{
	static const struct photo_filter all;
	struct library *library = s->library;
	struct background background;
	enum status status = vectors_open(library->catalog, &library->row, NULL, &s->vectors, err);

	if (status == STATUS_OK)
		status = background_make(library, NULL, embedding, NULL, 0, &background, err);
	/* One more, as the file itself is left out. */
	if (status == STATUS_OK)
		status = search_candidates(library->catalog, &library->row, s->vectors, &all, embedding, s->limit + 1, &s->candidates,
					   &s->count, err);
	for (size_t i = 0; i < s->count; i++)
		s->candidates[i].match = background_match(&background, &s->candidates[i]);
	if (status == STATUS_OK)
		status = search_photos(library->catalog, &all, s->candidates, s->count, s->path, s->limit, &s->results, err);
	return status;
}

static enum status answer(struct similar *s, struct cli *cli, struct err *err)
{
	float *embedding = mem_floats(s->library->engine.embed);
	enum status status = embedding ? compose_embed(s->library, &s->query, embedding, err) : err_memory(err, "an embedding");

	if (status == STATUS_OK)
		status = find(s, embedding, err);
	if (status == STATUS_OK)
		status = output_results(cli, &s->output, s->file, s->library->catalog, &s->results, err);
	free(embedding);
	return status;
}

static enum status check(struct cli *cli, const struct arguments *args, struct err *err)
{
	const struct options *given = args->options;
	struct output unused;

	if (args->count != 1)
		return err_set(err, STATUS_USAGE, "coca similar takes one file");
	return output_parse(&given->output, cli->out, &unused, err);
}

static enum status parse(struct similar *s, const struct arguments *args, FILE *stream, struct err *err)
{
	const struct options *given = args->options;

	s->file = args->words[0];
	s->limit = given->limit;
	enum status status = output_parse(&given->output, stream, &s->output, err);
	if (status == STATUS_OK)
		status = compose_photo(s->file, &s->query, err);
	if (status == STATUS_OK) {
		s->path = parse_folder(s->file);
		status = s->path ? STATUS_OK : err_memory(err, "a path");
	}
	return status;
}

static int run(struct cli *cli, const struct arguments *args)
{
	const struct options *given = args->options;
	struct similar s = {.library = cli->library};
	struct err err;
	int code = EXIT_DONE;
	enum status status = parse(&s, args, cli->out, &err);

	s.library->engine.exact = given->exact;
	if (status == STATUS_OK)
		status = answer(&s, cli, &err);
	if (status == STATUS_OK && s.results.count == 0) {
		fprintf(cli->log, "coca: the library holds no other photograph that is indexed by this model; hint: coca index DIR\n");
		code = EXIT_NO_RESULT;
	}
	results_release(&s.results);
	compose_release(&s.query);
	free(s.candidates);
	free(s.path);
	vectors_close(s.vectors);
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
