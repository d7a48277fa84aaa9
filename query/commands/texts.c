/* texts.c: coca texts: sentences into the catalog, for `coca match`, and, tied to photographs, for `coca search`. */
#include "query/commands/commands.h"

#include <stdlib.h>
#include <string.h>

#include "query/session/library.h"
#include "query/show/format.h"
#include "query/find/texts.h"
#include "schema/catalog/texts.h"
#include "schema/base/json.h"

#include "schema/base/embed.h"

#include "schema/base/banned.h"

EMBED_TEXT(help_texts, "query/commands/texts.txt");

/* ---- add -------------------------------------------------------------------------------------------------------- */

struct options {
	const char *collection;
	enum format format;
};

static const struct option_spec options[] = {
	OPTION_TEXT(struct options, collection, "collection", 0, "NAME", 0,
		    "add to this collection (default: the file's name), or list its texts"),
	OPTION_CHOICE(struct options, format, "format", 0, "FORMAT", format_names, FORMAT_JSON, FORMAT_TEXT,
		      "of list: text or json (one object a line)"),
	{0},
};

static void print_report(struct cli *cli, const char *collection, const struct texts_report *report)
{
	enum { NAMED_MOST = 20 };
	size_t left_out = report->unknown + report->malformed;

	if (left_out) {
		fprintf(cli->log, "%zu lines were skipped:\n", left_out);
		for (const char *line = report->lines.data; line && *line;) {
			size_t n = strcspn(line, "\n");
			struct err visible;
			err_set(&visible, STATUS_OK, "%.*s", (int)n, line);
			fprintf(cli->log, "  %s\n", visible.text);
			line += n + (line[n] == '\n');
		}
		if (left_out > NAMED_MOST)
			fprintf(cli->log, "  and %zu more\n", left_out - NAMED_MOST);
	}
	if (report->unknown)
		listener_note(&cli->listener, "%zu photos are not in the catalog; hint: coca index DIR, then add the file again", report->unknown);
	listener_note(&cli->listener, "%zu texts added to '%s', %zu were there already", report->added, collection, report->known);
}

static int add(struct cli *cli, const struct arguments *args, const char *given)
{
	struct library *library = cli->library;
	struct texts_report report = {0};
	struct err err;
	size_t embedded, skipped = 0;
	enum status status = STATUS_OK;

	for (size_t i = 1; i < args->count && status == STATUS_OK; i++) {
		char *collection = given ? mem_copy(given, strlen(given)) : texts_collection(args->words[i]);
		status = collection ? texts_add(library, args->words[i], collection, &report, &err) : err_memory(&err, "a name");
		if (status == STATUS_OK)
			print_report(cli, collection, &report);
		skipped += report.unknown + report.malformed;
		texts_report_release(&report);
		free(collection);
	}
	if (status == STATUS_OK)
		status = texts_embed(&cli->listener, &library->engine, library->catalog, &library->row, &embedded, &err);
	if (status == STATUS_OK)
		status = texts_index(library, &err);
	if (status != STATUS_OK)
		return cli_fail(cli, &err);
	return skipped ? EXIT_SKIPPED : EXIT_DONE;
}

/* ---- list ------------------------------------------------------------------------------------------------------- */

struct listing {
	struct library *library;
	enum format format;
	struct buffer out;
	size_t count;
};

static enum status list_collection(void *context, const struct text_collection *c, struct err *err)
{
	struct listing *l = context;
	(void)err;

	if (l->format == FORMAT_JSON) {
		buffer_text(&l->out, "{\"collection\":");
		json_string(&l->out, c->name, strlen(c->name));
		buffer_format(&l->out, ",\"texts\":%lld,\"tied\":%lld,\"embedded\":%lld}\n", (long long)c->texts, (long long)c->tied,
			      (long long)c->embedded);
	} else {
		if (l->count == 0)
			buffer_format(&l->out, "%8s %8s  %s\n", "texts", "tied", "collection");
		buffer_format(&l->out, "%8lld %8lld  ", (long long)c->texts, (long long)c->tied);
		format_visible(c->name, strlen(c->name), &l->out);
		buffer_text(&l->out, "\n");
	}
	l->count++;
	return STATUS_OK;
}

static enum status list_text(void *context, const struct catalog_text *text, const float *embedding, struct err *err)
{
	struct listing *l = context;
	struct buffer path = {0};
	enum status status = text->photo_content ? library_path(l->library, text->photo_content, NULL, &path, err) : STATUS_OK;

	if (status == STATUS_OK && l->format == FORMAT_JSON) {
		buffer_format(&l->out, "{\"id\":%lld,\"collection\":", (long long)text->id);
		json_string(&l->out, text->collection, strlen(text->collection));
		buffer_text(&l->out, ",\"text\":");
		json_string(&l->out, text->text, text->text_size);
		buffer_text(&l->out, ",\"path\":");
		if (path.data)
			json_string(&l->out, path.data, path.size);
		else
			buffer_text(&l->out, "null");
		buffer_format(&l->out, ",\"embedded\":%s}\n", embedding ? "true" : "false");
	} else if (status == STATUS_OK) {
		buffer_format(&l->out, "%6lld  ", (long long)text->id);
		format_visible(text->text, text->text_size, &l->out);
		if (path.data) {
			buffer_text(&l->out, "  [");
			format_visible(path.data, path.size, &l->out);
			buffer_text(&l->out, "]");
		}
		buffer_text(&l->out, "\n");
	}
	l->count++;
	buffer_release(&path);
	return status;
}

static int list(struct cli *cli, const struct arguments *args, const char *collection)
{
	struct listing l = {.format = ((const struct options *)args->options)->format, .library = cli->library};
	struct err err;
	enum status status = STATUS_OK;

	if (l.library->catalog && collection)
		status = catalog_texts_each(l.library->catalog, l.library->row.id, l.library->engine.embed, collection, list_text, &l, &err);
	else if (l.library->catalog)
		status = catalog_collections_each(l.library->catalog, l.library->row.id, list_collection, &l, &err);
	if (status == STATUS_OK)
		status = format_print(cli->out, &l.out, &err);
	buffer_release(&l.out);
	if (status != STATUS_OK)
		return cli_fail(cli, &err);
	if (l.count)
		return EXIT_DONE;
	if (collection)
		fprintf(cli->log, "coca: there is no collection '%s'; hint: coca texts list\n", collection);
	else
		fprintf(cli->log, "coca: the catalog holds no texts; hint: coca texts add FILE\n");
	return EXIT_NO_RESULT;
}

/* ---- forget ----------------------------------------------------------------------------------------------------- */

static int forget(struct cli *cli, const struct arguments *args)
{
	struct err err;
	size_t n = 0;

	if (catalog_texts_forget(cli->catalog, args->words[1], &n, &err) != STATUS_OK)
		return cli_fail(cli, &err);
	if (n == 0) {
		err_set(&err, STATUS_NOT_FOUND, "there is no collection '%s'; hint: coca texts list", args->words[1]);
		cli_fail(cli, &err);
		return EXIT_NO_RESULT;
	}
	listener_note(&cli->listener, "%zu texts forgotten", n);
	return EXIT_DONE;
}

/* ---- command ---------------------------------------------------------------------------------------------------- */

static enum status check(struct cli *cli, const struct arguments *args, struct err *err)
{
	const struct options *given = args->options;
	const char *what = args->count ? args->words[0] : "";

	if (given->collection && !*given->collection)
		return err_set(err, STATUS_USAGE, "--collection needs a name");
	if (strcmp(what, "add") == 0) {
		cli->needs = NEEDS_LIBRARY_WRITER;
		return args->count > 1 ? STATUS_OK : err_set(err, STATUS_USAGE, "coca texts add takes a file, or - for standard input");
	}
	if (strcmp(what, "list") == 0)
		return args->count == 1 ? STATUS_OK : err_set(err, STATUS_USAGE, "coca texts list takes no words; hint: --collection NAME");
	if (strcmp(what, "forget") == 0) {
		cli->needs = NEEDS_CATALOG_WRITER;
		return args->count == 2 ? STATUS_OK : err_set(err, STATUS_USAGE, "coca texts forget takes the name of a collection");
	}
	return err_set(err, STATUS_USAGE, "coca texts takes add, list or forget, not '%s'", what);
}

static int run(struct cli *cli, const struct arguments *args)
{
	const struct options *given = args->options;

	if (strcmp(args->words[0], "add") == 0)
		return add(cli, args, given->collection);
	return strcmp(args->words[0], "list") == 0 ? list(cli, args, given->collection) : forget(cli, args);
}

const struct command command_texts = {
	.name = "texts",
	.synopsis = "add FILE.tsv|FILE.txt|-...   list   forget COLLECTION",
	.summary = "keep sentences to match photographs with, or tied to photographs",
	.options = options,
	.options_size = sizeof(struct options),
	.details = help_texts,
	.needs = NEEDS_LIBRARY_OR_NONE,
	.check = check,
	.run = run,
	.passive_threads = true,
	.handles_interrupt = true,
};
