/* heads.c: coca heads: the heads that are installed in the catalog. */
#include "query/commands/commands.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "query/session/library.h"
#include "query/show/format.h"
#include "query/teach/labelling.h"
#include "schema/catalog/heads.h"
#include "schema/base/json.h"
#include "schema/base/embed.h"

#include "schema/base/banned.h"

EMBED_TEXT(help_heads, "query/commands/heads.txt");

struct options {
	const char *name;
	enum format format;
};

static const struct option_spec options[] = {
	OPTION_TEXT(struct options, name, "name", 0, "NAME", 0,
		    "with add: install it under this name (default: the file's, without what follows the dot)"),
	OPTION_CHOICE(struct options, format, "format", 0, "FORMAT", format_names, FORMAT_JSON, FORMAT_TEXT,
		      "with list: text or json (one object a line)"),
	{0},
};

struct listing {
	struct cli *cli;
	struct catalog *catalog;
	enum format format;
	bool labels;              /* one head was named: its labels, too */
	size_t count;
};

/* ---- list ------------------------------------------------------------------------------------------------------- */

static enum status list_labels(const struct listing *l, const struct catalog_head *row, const struct head *head, struct buffer *out,
			       struct err *err)
{
	enum status status = STATUS_OK;

	for (size_t c = 0; c < head->labels_count && status == STATUS_OK; c++) {
		size_t n = 0;
		if (head->kind != HEAD_ANSWERS)
			status = catalog_label_count(l->catalog, row->id, c, &n, err);
		if (l->format == FORMAT_JSON) {
			buffer_text(out, c ? ",{\"label\":" : "{\"label\":");
			json_string(out, head->labels[c], strlen(head->labels[c]));
			buffer_format(out, ",\"photos\":%zu}", n);
			continue;
		}
		buffer_text(out, "  ");
		if (head->kind != HEAD_ANSWERS)
			buffer_format(out, "%8zu  ", n);
		format_visible(head->labels[c], strlen(head->labels[c]), out);
		buffer_text(out, "\n");
	}
	return status;
}

static enum status list_json(const struct listing *l, const struct catalog_head *row, const struct head *head, struct buffer *out,
			     struct err *err)
{
	buffer_text(out, "{\"name\":");
	json_string(out, row->name, strlen(row->name));
	buffer_format(out, ",\"kind\":\"%s\",\"several\":%s,\"learned_from\":%zu,\"held_out\":%zu,\"accuracy\":",
		      head_kind_name(head->kind), head->several ? "true" : "false", head->photos, head->held_out);
	json_number(out, head->accuracy);
	buffer_format(out, ",\"made\":\"%s\",\"bytes\":%zu,\"model\":", head->made, row->size);
	json_string(out, head->model, strlen(head->model));
	buffer_text(out, ",\"labels\":[");
	enum status status = list_labels(l, row, head, out, err);
	buffer_text(out, "]}\n");
	return status;
}

static enum status list_head(void *context, const struct catalog_head *row, struct err *err)
{
	struct listing *l = context;
	struct buffer out = {0};
	struct head head;
	enum status status = head_parse(row->bytes, row->size, row->name, &head, err);

	if (status != STATUS_OK)
		return status;
	l->count++;
	if (l->format == FORMAT_JSON) {
		status = list_json(l, row, &head, &out, err);
	} else {
		format_visible(row->name, strlen(row->name), &out);
		buffer_format(&out, "  %zu %s, learned from %zu", head.labels_count, head.kind == HEAD_ANSWERS ? "answers" : "labels",
			      head.photos);
		if (isfinite(head.accuracy))
			buffer_format(&out, ", %.1f %% of %zu held out right", 100 * head.accuracy, head.held_out);
		buffer_format(&out, "; %s, %s, for ", head_kind_name(head.kind), head.made);
		format_visible(head.model, strlen(head.model), &out);
		buffer_text(&out, "\n");
		if (l->labels)
			status = list_labels(l, row, &head, &out, err);
	}
	head_release(&head);
	if (status == STATUS_OK)
		return format_print(l->cli->out, &out, err);
	buffer_release(&out);
	return status;
}

static enum status list(struct cli *cli, const struct arguments *args, int *code, struct err *err)
{
	const struct options *given = args->options;
	struct listing l = {.cli = cli, .labels = args->count > 1, .format = given->format, .catalog = cli->catalog};

	enum status status = catalog_heads_each(l.catalog, l.labels ? args->words[1] : NULL, list_head, &l, err);
	if (status == STATUS_OK && l.count == 0) {
		fprintf(cli->log, "coca: no head is installed; hint: coca tune labels --name NAME teaches one\n");
		*code = EXIT_NO_RESULT;
	}
	return status;
}

/* ---- add, save, forget ------------------------------------------------------------------------------------------ */

/* "pets" of "/x/pets.head". */
static char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');

	return mem_copy(name, dot && dot > name ? (size_t)(dot - name) : strlen(name));
}

static enum status install(struct library *library, const char *path, const char *given, struct err *err)
{
	struct head head = {0};
	char *name = given ? mem_copy(given, strlen(given)) : name_of(path);
	enum status status = name ? head_open(path, &head, err) : err_memory(err, "a name");

	if (status == STATUS_OK)
		status = labelling_install(library, name, &head, err);
	head_release(&head);
	free(name);
	return status;
}

static enum status add(struct cli *cli, const struct arguments *args, struct err *err)
{
	const struct options *given = args->options;
	enum status status = STATUS_OK;

	for (size_t i = 1; i < args->count && status == STATUS_OK; i++)
		status = install(cli->library, args->words[i], given->name, err);
	return status;
}

static enum status write_head(void *context, const struct catalog_head *row, struct err *err)
{
	struct head head;
	enum status status = head_parse(row->bytes, row->size, row->name, &head, err);

	if (status == STATUS_OK)
		status = head_save(&head, context, err);
	head_release(&head);
	return status;
}

static enum status save(struct cli *cli, const struct arguments *args, struct err *err)
{
	return catalog_heads_each(cli->catalog, args->words[1], write_head, (void *)args->words[2], err);
}

static enum status forget(struct cli *cli, const struct arguments *args, struct err *err)
{
	enum status status = STATUS_OK;

	for (size_t i = 1; i < args->count && status == STATUS_OK; i++) {
		status = catalog_head_forget(cli->catalog, args->words[i], err);
		if (status == STATUS_OK)
			listener_note(&cli->listener, "the head '%s' is forgotten, with all that it said", args->words[i]);
	}
	return status;
}

/* ---- command ---------------------------------------------------------------------------------------------------- */

static bool is_asked(const struct arguments *args, const char *what)
{
	return strcmp(args->count ? args->words[0] : "list", what) == 0;
}

static enum status check(struct cli *cli, const struct arguments *args, struct err *err)
{
	const struct options *given = args->options;

	if (is_asked(args, "list")) {
		if (args->count > 2)
			return err_set(err, STATUS_USAGE, "coca heads list takes one name at most");
	} else if (is_asked(args, "add")) {
		if (args->count < 2 || (given->name && args->count > 2))
			return err_set(err, STATUS_USAGE, args->count < 2 ? "coca heads add takes files" : "--name goes with one file");
		cli->needs = NEEDS_LIBRARY_WRITER;
	} else if (is_asked(args, "save")) {
		if (args->count != 3)
			return err_set(err, STATUS_USAGE, "coca heads save takes a name and a file");
	} else if (is_asked(args, "forget")) {
		if (args->count < 2)
			return err_set(err, STATUS_USAGE, "coca heads forget takes names");
		cli->needs = NEEDS_CATALOG_WRITER;
	} else {
		return err_set(err, STATUS_USAGE, "coca heads takes list, add, save or forget, not '%s'", args->words[0]);
	}
	return STATUS_OK;
}

static int run(struct cli *cli, const struct arguments *args)
{
	struct err err;
	int code = EXIT_DONE;
	enum status status;

	if (is_asked(args, "list"))
		status = list(cli, args, &code, &err);
	else if (is_asked(args, "add"))
		status = add(cli, args, &err);
	else if (is_asked(args, "save"))
		status = save(cli, args, &err);
	else
		status = forget(cli, args, &err);
	return status == STATUS_OK ? code : cli_fail(cli, &err);
}

const struct command command_heads = {
	.name = "heads",
	.synopsis = "list [NAME]|add FILE...|save NAME FILE|forget NAME...",
	.summary = "the heads that were taught and are installed",
	.options = options,
	.options_size = sizeof(struct options),
	.details = help_heads,
	.needs = NEEDS_CATALOG,
	.check = check,
	.run = run,
	.passive_threads = true,
};
