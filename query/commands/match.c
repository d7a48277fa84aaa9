/* match.c: coca match: the texts that fit photographs. */
#include "query/commands/commands.h"

#include <stdlib.h>
#include <string.h>

#include "query/session/library.h"
#include "query/show/format.h"
#include "query/find/match.h"
#include "query/session/tokens.h"
#include "schema/base/json.h"
#include "schema/base/embed.h"

#include "schema/base/banned.h"

EMBED_TEXT(help_match, "query/commands/match.txt");

struct options {
	size_t limit, rerank;     /* rerank 0: not given */
	bool no_rerank;
	const char *collection;
	enum format format;
};

static const struct option_spec options[] = {
	OPTION_NUMBER(struct options, limit, "limit", 'n', "N", 1, 1000000, 10, "show the best N texts of each photo (default %)"),
	OPTION_BARE_NUMBER(struct options, rerank, "rerank", 0, "N", 1, 1000000, 0, SCORE_DEPTH,
			   "put the best N in order by caption likelihood, too (default, N = %)"),
	OPTION_FLAG(struct options, no_rerank, "no-rerank", 0, "order by similarity alone"),
	OPTION_TEXT(struct options, collection, "collection", 0, "NAME", 0, "only texts of this collection"),
	OPTION_CHOICE(struct options, format, "format", 0, "FORMAT", format_names, FORMAT_JSON, FORMAT_TEXT, "text or json (one object a line)"),
	{0},
};

struct asking {
	struct cli *cli;
	struct library *library;
	struct matcher matcher;
	size_t limit, depth;
	enum format format;
	bool several;         /* photographs: each is named */
	float *embedding;     /* [E] */
	float *tokens;        /* [N,W]; NULL without reranking */
	size_t found;
};

static void match_json(const char *file, size_t rank, const struct match *m, const struct buffer *photo, struct buffer *out)
{
	buffer_text(out, "{\"path\":");
	json_string(out, file, strlen(file));
	buffer_format(out, ",\"rank\":%zu,\"text\":", rank);
	json_string(out, m->text, m->text_size);
	buffer_text(out, ",\"score\":");
	json_number(out, m->score);
	buffer_text(out, ",\"similarity\":");
	json_number(out, (double)m->similarity);
	buffer_text(out, ",\"caption_logprob\":");
	if (m->reranked)
		json_number(out, (double)m->likelihood);
	else
		buffer_text(out, "null");
	buffer_text(out, ",\"prior_logprob\":");
	if (m->reranked)
		json_number(out, m->prior);
	else
		buffer_text(out, "null");
	buffer_text(out, ",\"collection\":");
	json_string(out, m->collection, strlen(m->collection));
	buffer_text(out, ",\"tied_to\":");
	if (photo->data)
		json_string(out, photo->data, photo->size);
	else
		buffer_text(out, "null");
	buffer_text(out, "}\n");
}

static enum status print(struct asking *a, const char *file, const struct match *matches, size_t count, struct err *err)
{
	struct buffer out = {0};
	enum status status = STATUS_OK;

	if (a->several && a->format == FORMAT_TEXT) {
		format_visible(file, strlen(file), &out);
		buffer_text(&out, "\n");
	}
	for (size_t i = 0; i < count && status == STATUS_OK; i++) {
		struct buffer photo = {0};
		if (a->format == FORMAT_JSON && matches[i].content)
			status = library_path(a->library, matches[i].content, NULL, &photo, err);
		if (a->format == FORMAT_JSON) {
			match_json(file, i + 1, &matches[i], &photo, &out);
		} else {
			buffer_format(&out, "%3zu  %8.4f  ", i + 1, matches[i].score);
			format_visible(matches[i].text, matches[i].text_size, &out);
			buffer_text(&out, "\n");
		}
		buffer_release(&photo);
	}
	if (status == STATUS_OK)
		return format_print(a->cli->out, &out, err);
	buffer_release(&out);
	return status;
}

static enum status ask(struct asking *a, const char *file, size_t *skipped, struct err *err)
{
	struct match *matches = NULL;
	size_t count;
	int64_t content;
	enum status status = tokens_of_file(a->library, file, TOKENS_IMAGE, a->tokens, a->embedding, &content, err);

	if (status != STATUS_OK && status != STATUS_MEMORY) {
		cli_fail(a->cli, err);
		++*skipped;
		return STATUS_OK;
	}
	if (status == STATUS_OK)
		status = match_find(&a->matcher, a->embedding, a->tokens, content, a->limit, a->depth, &matches, &count, err);
	if (status != STATUS_OK)
		return status;
	a->found += count;
	status = print(a, file, matches, count, err);
	matches_free(matches, count);
	return status;
}

static enum status check(struct cli *cli, const struct arguments *args, struct err *err)
{
	const struct options *given = args->options;

	(void)cli;
	if (args->count == 0)
		return err_set(err, STATUS_USAGE, "coca match takes photographs");
	if (given->no_rerank && given->rerank)
		return err_set(err, STATUS_USAGE, "--no-rerank contradicts --rerank");
	return STATUS_OK;
}

static enum status prepare(struct asking *a, const struct arguments *args, struct err *err)
{
	const struct options *given = args->options;
	const struct engine *engine = &a->library->engine;

	a->limit = given->limit;
	a->depth = given->no_rerank ? 0 : given->rerank ? given->rerank : SCORE_DEPTH;
	a->format = given->format;
	a->several = args->count > 1;
	enum status status = match_open(a->library, given->collection, &a->matcher, err);
	if (status != STATUS_OK)
		return status;
	a->embedding = mem_floats(engine->embed);
	a->tokens = a->depth ? mem_floats(mem_product(engine->tokens, engine->width)) : NULL;
	return a->embedding && (a->tokens || !a->depth) ? STATUS_OK : err_memory(err, "an embedding");
}

static int run(struct cli *cli, const struct arguments *args)
{
	const char *collection = ((const struct options *)args->options)->collection;
	struct asking a = {.cli = cli, .library = cli->library};
	struct err err;
	size_t skipped = 0;
	int code = EXIT_DONE;
	enum status status = prepare(&a, args, &err);
	bool nothing = status == STATUS_OK && a.matcher.count == 0;
	for (size_t i = 0; i < args->count && status == STATUS_OK && !nothing; i++)
		status = ask(&a, args->words[i], &skipped, &err);
	if (nothing && collection)
		fprintf(cli->log, "coca: there is no collection '%s'; hint: coca texts list\n", collection);
	else if (nothing)
		fprintf(cli->log, "coca: the catalog holds no texts; hint: coca texts add FILE\n");
	if (status != STATUS_OK)
		code = cli_fail(cli, &err);
	else if (skipped)
		code = skipped == args->count ? EXIT_FAILED : EXIT_SKIPPED;
	else if (a.found == 0)
		code = EXIT_NO_RESULT;
	free(a.embedding);
	free(a.tokens);
	match_close(&a.matcher);
	return code;
}

const struct command command_match = {
	.name = "match",
	.synopsis = "FILE...",
	.summary = "find the texts that fit a photograph",
	.options = options,
	.options_size = sizeof(struct options),
	.details = help_match,
	.needs = NEEDS_LIBRARY_OR_NONE,
	.check = check,
	.run = run,
	.passive_threads = true,
};
