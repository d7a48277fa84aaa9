/* index.c: `coca index`: words of the command line in, a report on the log and an exit code out. */
#include "indexer/commands/commands.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "indexer/commands/follow.h"
#include "indexer/commands/library.h"
#include "indexer/commands/report.h"
#include "model/net/coca.h"
#include "schema/base/embed.h"
#include "schema/base/memory.h"
#include "schema/catalog/catalog.h"
#include "schema/catalog/models.h"

#include "schema/base/banned.h"

EMBED_TEXT(help_index, "indexer/commands/index.txt");

struct options {
	struct index_options run;
	struct option_list excludes;
	double watch;          /* NAN: not at all; 0: without looking again */
	bool verbose;
};

static const struct option_spec options[] = {
	OPTION_LIST(struct options, excludes, "exclude", 0, "GLOB", OPTION_MANY, 0,
		    "leave out what matches, as .gitignore does: 'raw', '/2019/**/tmp/', '!keep'"),
	OPTION_FLAG(struct options, run.rules.hidden, "include-hidden", 0, "take names that begin with a dot, too"),
	OPTION_FLAG(struct options, run.rules.follow, "follow", 0, "follow symbolic links"),
	OPTION_NUMBER(struct options, run.ingest.jobs, "jobs", 'j', "N", 1, 256, 0,
		      "threads that read and decode (default: one for each core)"),
	OPTION_NUMBER(struct options, run.ingest.batch, "batch", 0, "N", 1, 1024, 0,
		      "photographs embedded at once (default: by the model's size, at most 32)"),
	OPTION_FLAG(struct options, run.prune, "prune", 0, "drop photographs that are gone, with their embeddings"),
	OPTION_SIZE(struct options, run.ingest.token_budget, "token-budget", 0, "SIZE", (size_t)2 << 30,
		    "image tokens kept for reranking (default %; 0: none)"),
	OPTION_SIZE(struct options, run.ingest.encoder_budget, "encoder-budget", 0, "SIZE", (size_t)1 << 30,
		    "the encoder's tokens kept for teaching labels (coca tune; default %; 0: none)"),
	OPTION_BARE_REAL(struct options, watch, "watch", 'w', "SECONDS", -INFINITY, INFINITY, NAN, 0,
			 "go on and follow changes; with SECONDS look again so often, too (network drives)"),
	OPTION_FLAG(struct options, run.ingest.exact, "exact", 0, "decode every pixel of large JPEG and WebP files: the reference, slower"),
	OPTION_SIZE(struct options, run.ingest.pixels_most, "limit-pixels", 0, "N", 0,
		    "refuse larger pictures before memory is taken (default 400M); tries again what failed"),
	OPTION_FLAG(struct options, verbose, "verbose", 'v', "say where the time went"),
	{0},
};

/* Folders for one run: the words, or all roots of the catalog. */
struct folders {
	const char **paths;
	size_t count;
	bool owned;
};

static enum status add_root(void *context, const struct catalog_root *root, struct err *err)
{
	struct folders *folders = context;
	const char **paths = mem_resize(folders->paths, folders->count + 1, sizeof *paths);
	char *path = mem_copy(root->path, strlen(root->path));

	if (paths)
		folders->paths = paths;
	if (!paths || !path) {
		free(path);
		return err_memory(err, "the list of folders");
	}
	folders->paths[folders->count++] = path;
	return STATUS_OK;
}

static enum status find_folders(struct catalog *catalog, const struct arguments *args, struct folders *folders, struct err *err)
{
	folders->owned = args->count == 0;
	if (args->count) {
		folders->paths = (const char **)args->words;
		folders->count = args->count;
		return STATUS_OK;
	}
	enum status status = catalog_roots_each(catalog, add_root, folders, err);
	if (status == STATUS_OK && !folders->count)
		status = err_set(err, STATUS_USAGE, "no folder was indexed yet; hint: coca index ~/Pictures");
	return status;
}

static void folders_release(struct folders *folders)
{
	if (!folders->owned)
		return;
	while (folders->count)
		free((char *)folders->paths[--folders->count]);
	free(folders->paths);
}

/* *excludes: the caller's to free. */
static enum status read_options(const struct options *given, struct index_options *run, const char ***excludes, struct err *err)
{
	size_t n = given->excludes.count;

	*run = given->run;
	run->retry = run->ingest.pixels_most != 0;
	*excludes = mem_array(n, sizeof **excludes);
	if (!*excludes)
		return err_memory(err, "the command line");
	for (size_t i = 0; i < n; i++) {
		(*excludes)[i] = given->excludes.items[i].value;
		if (!*(*excludes)[i])
			return err_set(err, STATUS_USAGE, "--exclude needs a pattern");
	}
	run->rules.excludes = *excludes;
	run->rules.exclude_count = n;
	if (given->watch < 0)
		return err_set(err, STATUS_USAGE, "--watch takes a number of seconds");
	return STATUS_OK;
}

static int exit_of(const struct index_report *report)
{
	if (report->unknown_folder)
		return EXIT_FAILED;
	return report->counts.failed || report->warnings.size ? EXIT_SKIPPED : EXIT_DONE;
}

static int run(struct cli *cli, const struct arguments *args)
{
	const struct options *given = args->options;
	struct index_options chosen = {0};
	struct index_report report = {0};
	struct folders folders = {0};
	const char **excludes = NULL;
	struct catalog *catalog = NULL;
	struct coca *coca = NULL;
	struct catalog_model model;
	struct err err;
	struct following following = {.cli = cli, .options = &chosen, .verbose = given->verbose};
	const bool watching = !isnan(given->watch);
	enum status status = read_options(given, &chosen, &excludes, &err);
	int code = EXIT_FAILED;

	if (status == STATUS_OK)
		status = catalog_open(cli->database, CATALOG_WRITE, &catalog, &err);
	if (status == STATUS_OK)
		status = find_folders(catalog, args, &folders, &err);
	if (status == STATUS_OK)
		status = coca_open(cli->model, &coca, &err);
	if (status == STATUS_OK)
		coca_set_precision(coca, coca_precision_named(cli->precision));
	if (status == STATUS_OK)
		status = library_identify(catalog, coca, cli->model, &model, &err);
	chosen.folders = folders.paths;
	chosen.folder_count = folders.count;
	following.coca = coca;
	if (status == STATUS_OK && watching)
		status = follow_open(&following, given->watch, &err);
	if (status == STATUS_OK) {
		status = index_run(&cli->listener, catalog, coca, &model, &chosen, &report, &err);
		report_is_news(&report, &following.said);
		report_print(cli, &report, given->verbose);
	}
	if (status == STATUS_OK)
		library_refresh(cli, catalog, &model);
	if (status == STATUS_INTERRUPTED)
		fprintf(cli->log, "coca: interrupted; what was indexed is kept; run it again to go on\n");
	else
		code = status == STATUS_OK ? exit_of(&report) : cli_fail(cli, &err);
	if (status == STATUS_OK && watching && code != EXIT_FAILED) {
		catalog_close(catalog);
		catalog = NULL;
		follow(&following, &report);
		code = EXIT_DONE;
	}
	follow_release(&following);
	index_report_release(&report);
	folders_release(&folders);
	coca_close(coca);
	catalog_close(catalog);
	free(excludes);
	return code;
}

const struct command command_index = {
	.name = "index",
	.synopsis = "[DIR...]",
	.summary = "make folders of photographs searchable",
	.options = options,
	.options_size = sizeof(struct options),
	.details = help_index,
	.run = run,
	.handles_interrupt = true,
	.passive_threads = true,
};
