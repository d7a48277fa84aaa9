/* embed.c: coca embed: the embeddings of texts and photographs, for other programs. Photographs are decoded at full size (the
 * reference crop). */
#include "query/commands/commands.h"

#include <stdlib.h>
#include <string.h>

#include "query/session/engine.h"
#include "query/show/format.h"
#include "query/session/library.h"
#include "schema/base/json.h"
#include "schema/base/memory.h"
#include "schema/base/embed.h"

#include "schema/base/banned.h"

EMBED_TEXT(help_embed, "query/commands/embed.txt");

static const char *const formats[] = {"json", "f32", NULL};
enum { FORMAT_F32 = 1 };

struct options {
	struct option_list texts;
	int format;
};

static const struct option_spec options[] = {
	OPTION_LIST(struct options, texts, "text", 0, "TEXT", OPTION_MANY, 0, "embed this text"),
	OPTION_CHOICE(struct options, format, "format", 0, "FORMAT", formats, FORMAT_F32, 0,
		      "json (one object a line) or f32 (raw little-endian floats, one after the other)"),
	{0},
};

struct embedder {
	struct cli *cli;
	struct engine *engine;
	bool binary;
	float *embedding; /* [E] */
};

static enum status print(struct embedder *e, const char *key, const char *name, struct err *err)
{
	struct buffer out = {0};
	size_t n = e->engine->embed;

	if (e->binary) {
		buffer_append(&out, e->embedding, n * sizeof(float));
		return format_print(e->cli->out, &out, err);
	}
	buffer_format(&out, "{\"%s\":", key);
	json_string(&out, name, strlen(name));
	buffer_text(&out, ",\"embedding\":[");
	for (size_t i = 0; i < n; i++) {
		buffer_text(&out, i ? "," : "");
		json_number(&out, (double)e->embedding[i]);
	}
	buffer_text(&out, "]}\n");
	return format_print(e->cli->out, &out, err);
}

static enum status embed_text(struct embedder *e, const char *text, struct err *err)
{
	bool cut;
	enum status status = engine_embed_text(e->engine, text, strlen(text), e->embedding, &cut, err);

	if (status == STATUS_OK && cut)
		listener_note(&e->cli->listener, "the text '%.60s...' is longer than the model's %zu ids: what is behind them is not used", text,
		     coca_config(e->engine->model)->context_length);
	return status == STATUS_OK ? print(e, "text", text, err) : status;
}

/* Texts first, then files; a file that cannot be read is named and skipped. */
static enum status embed_all(struct embedder *e, const struct option_list *texts, const struct arguments *args, size_t *skipped,
			     struct err *err)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < texts->count && status == STATUS_OK; i++)
		status = embed_text(e, texts->items[i].value, err);
	for (size_t i = 0; i < args->count && status == STATUS_OK; i++) {
		status = engine_encode_file(e->engine, args->words[i], 0, e->embedding, NULL, err);
		if (status == STATUS_OK) {
			status = print(e, "path", args->words[i], err);
		} else if (status != STATUS_MEMORY) {
			cli_fail(e->cli, err);
			++*skipped;
			status = STATUS_OK;
		}
	}
	return status;
}

static enum status check(struct cli *cli, const struct arguments *args, struct err *err)
{
	const struct options *given = args->options;

	(void)cli;
	if (args->count == 0 && given->texts.count == 0)
		return err_set(err, STATUS_USAGE, "coca embed takes files, or --text");
	return STATUS_OK;
}

static int run(struct cli *cli, const struct arguments *args)
{
	const struct options *o = args->options;
	struct engine *engine = &cli->library->engine;
	struct embedder e = {.cli = cli, .engine = engine, .binary = o->format == FORMAT_F32, .embedding = mem_floats(engine->embed)};
	struct err err;
	size_t skipped = 0;
	enum status status = e.embedding ? embed_all(&e, &o->texts, args, &skipped, &err) : err_memory(&err, "an embedding");

	free(e.embedding);
	if (status != STATUS_OK)
		return cli_fail(cli, &err);
	if (skipped == args->count && skipped && o->texts.count == 0)
		return EXIT_FAILED;
	return skipped ? EXIT_SKIPPED : EXIT_DONE;
}

const struct command command_embed = {
	.name = "embed",
	.synopsis = "[FILE...]",
	.summary = "print the embeddings of photographs and texts",
	.options = options,
	.details = help_embed,
	.options_size = sizeof(struct options),
	.needs = NEEDS_MODEL,
	.check = check,
	.run = run,
	.passive_threads = true, /* waiting threads that spin cost ten times the latency on a busy machine */
};
