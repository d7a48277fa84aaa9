/* status.c: coca status: what is in use and what the library holds. */
#include "query/commands/commands.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "query/show/format.h"
#include "query/session/library.h"
#include "schema/catalog/maintenance.h"
#include "schema/base/memory.h"
#include "schema/vectors/vectors.h"
#include "schema/cli/progress.h"

#include "schema/base/banned.h"

static const char *model_origin(const struct arguments *args, const struct cli *cli)
{
	const char *named = getenv("COCA_MODEL");

	if (args->common.model)
		return "--model";
	if (named && *named && strcmp(named, cli->model) == 0)
		return "$COCA_MODEL";
	return strstr(cli->model, "/coca/model") ? "your own, found in its folder" : "shipped with the program";
}

static const char *database_origin(const struct arguments *args)
{
	const char *named = getenv("COCA_DB");

	return args->common.database ? "--db" : named && *named ? "$COCA_DB" : "default";
}

static enum status print_root(void *context, const struct catalog_root *root, struct err *err)
{
	struct buffer *out = context;
	time_t when = (time_t)root->indexed_at;
	struct tm tm;
	char text[64] = "not finished yet";

	(void)err;
	if (root->indexed_at && localtime_r(&when, &tm))
		strftime(text, sizeof text, "%Y-%m-%d %H:%M", &tm);
	buffer_text(out, "  ");
	format_visible(root->path, strlen(root->path), out);
	buffer_format(out, "  indexed %s%s\n", text, access(root->path, F_OK) == 0 ? "" : "  (not there now)");
	return STATUS_OK;
}

static enum status print_counts(struct catalog *catalog, const struct catalog_model *row, struct buffer *out, struct err *err)
{
	struct catalog_counts all, mine = {0};
	char bytes[16];
	enum status status = catalog_count(catalog, 0, &all, err);

	if (status == STATUS_OK && row)
		status = catalog_count(catalog, row->id, &mine, err);
	if (status != STATUS_OK)
		return status;
	buffer_format(out, "photos         %" PRId64 ", %" PRId64 " of them cannot be decoded, %" PRId64 " are gone\n", all.photos,
		      all.failed, all.gone);
	buffer_format(out, "contents       %" PRId64 ", of which this model has embedded %" PRId64 "\n", all.contents, mine.embeddings);
	buffer_format(out, "image tokens   %" PRId64 " photos' of this model, %s; %s of all models\n", mine.token_rows,
		      cli_bytes((double)mine.token_bytes, bytes), cli_bytes((double)all.token_bytes, (char[16]){0}));
	if (all.encoder_rows)
		buffer_format(out, "encoder tokens %" PRId64 " photos' of this model, %s; %s of all models\n", mine.encoder_rows,
			      cli_bytes((double)mine.encoder_bytes, bytes), cli_bytes((double)all.encoder_bytes, (char[16]){0}));
	if (all.texts)
		buffer_format(out, "texts          %" PRId64 "\n", all.texts);
	return STATUS_OK;
}

static enum status print_index(struct catalog *catalog, const struct catalog_model *row, struct buffer *out, struct err *err)
{
	struct vectors *vectors = NULL;
	enum status status = vectors_open(catalog, row, NULL, &vectors, err);

	if (status == STATUS_OK)
		buffer_format(out, "vector index   %s, %zu vectors, %s%s\n", vectors_describe(vectors), vectors_count(vectors),
			      vectors_exact(vectors) ? "exact" : "approximate", vectors_rebuilt(vectors) ? ", made anew just now" : "");
	vectors_close(vectors);
	return status;
}

static enum status print_library(struct library *library, bool known, struct buffer *out, struct err *err)
{
	enum status status = print_counts(library->catalog, known ? &library->row : NULL, out, err);

	if (status == STATUS_OK && known)
		status = print_index(library->catalog, &library->row, out, err);
	if (status != STATUS_OK)
		return status;
	buffer_text(out, "folders\n");
	return catalog_roots_each(library->catalog, print_root, out, err);
}

static void print_model(const struct cli *cli, const struct engine *engine, const char *origin, struct buffer *out)
{
	buffer_text(out, "model          ");
	format_visible(cli->model, strlen(cli->model), out);
	buffer_format(out, " (%s)\n", origin);
	if (engine->model)
		buffer_format(out, "               %.2f million parameters, %zu x %zu pixels, embedding of %zu\n",
			      (double)weights_count(coca_config(engine->model)) / 1e6, engine->side, engine->side, engine->embed);
}

static int run(struct cli *cli, const struct arguments *args)
{
	struct library *library = cli->library;
	struct buffer out = {0};
	struct err err;
	enum status status = STATUS_OK;
	bool known = library->row.id != 0;

	/* Where there is no library, or none of this model, the rest is still told. */
	if (status == STATUS_OK) {
		buffer_text(&out, "catalog        ");
		format_visible(cli->database, strlen(cli->database), &out);
		buffer_format(&out, " (%s%s)\n", database_origin(args), library->catalog ? "" : "; not made yet: coca index DIR");
		print_model(cli, &library->engine, model_origin(args, cli), &out);
		if (library->catalog)
			status = print_library(library, known, &out, &err);
	}
	if (status == STATUS_OK && library->catalog && !known)
		listener_note(&cli->listener, "nothing is indexed by this model yet; hint: coca index DIR");
	if (status == STATUS_OK)
		status = format_print(cli->out, &out, &err);
	buffer_release(&out);
	return status == STATUS_OK ? EXIT_DONE : cli_fail(cli, &err);
}

const struct command command_status = {
	.name = "status",
	.synopsis = "",
	.summary = "show the catalog and model in use, and what the library holds",
	.needs = NEEDS_LIBRARY_OR_NONE,
	.run = run,
};
