/* index.c: `coca index`: words of the command line in, a summary on the log and an exit code out. */
#include "indexer/commands/commands.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "indexer/ingest/index.h"
#include "indexer/walk/path.h"
#include "indexer/walk/watch.h"
#include "model/net/coca.h"
#include "schema/catalog/catalog.h"
#include "schema/catalog/identity.h"
#include "schema/base/memory.h"
#include "schema/vectors/vectors.h"

#include "schema/base/embed.h"
#include "schema/base/clock.h"

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
	OPTION_NUMBER(struct options, run.ingest.jobs, "jobs", 'j', "N", 1, 256, 0, "threads that read and decode (default: one for each core)"),
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

static enum status digest(const void *coca, char config[33], char weights[33], struct err *err)
{
	return coca_digest(coca, config, weights, err);
}

static enum status identify(struct catalog *catalog, const struct coca *coca, const char *name, struct catalog_model *model,
			    struct err *err)
{
	const struct config *config = coca_config(coca);
	struct identity_source source = {coca_weights_path(coca), "open_clip_config.json", digest, coca};

	*model = (struct catalog_model){
		.dim = (int64_t)config->embed_dim,
		.tokens = (int64_t)config->image_tokens,
		.width = (int64_t)config->decoder.width,
	};
	snprintf(model->name, sizeof model->name, "%s", name);
	return identity_of_model(catalog, &source, model, err);
}

static void print_lines(FILE *log, const char *prefix, const struct buffer *lines)
{
	for (const char *line = lines->data; line && *line;) {
		size_t n = strcspn(line, "\n");
		fprintf(log, "%s%.*s\n", prefix, (int)n, line);
		line += n + (line[n] == '\n');
	}
}

static void print_count(FILE *log, size_t n, const char *what)
{
	if (n)
		fprintf(log, ", %zu %s", n, what);
}

static void print_summary(struct cli *cli, const struct index_report *report, bool verbose)
{
	size_t worked = report->counts.added + report->counts.changed + report->counts.again + report->counts.moved;
	FILE *log = cli->log;

	fprintf(log, "%zu photos: %zu new, %zu unchanged", report->photos, report->counts.added, report->counts.unchanged);
	print_count(log, report->counts.changed, "changed");
	print_count(log, report->counts.again, "embedded by this model");
	print_count(log, report->counts.moved, "moved or copied");
	print_count(log, report->counts.noted, "with other notes");
	print_count(log, report->counts.back, "back again");
	print_count(log, report->gone, "gone");
	print_count(log, report->kept, "away");
	print_count(log, report->counts.failed, "failed");
	fprintf(log, "; %.1f s", report->seconds);
	if (worked) {
		double rate = (double)worked / report->seconds;
		fprintf(log, rate < 999.5 ? ", %.3g photos/s" : ", %.0f photos/s", rate);
	}
	fprintf(log, "\n");
	if (report->dropped)
		fprintf(log, "%zu dropped from the catalog\n", report->dropped);
	if (report->counts.cut_short)
		fprintf(log, "cut short, indexed by what is there: %zu\n", report->counts.cut_short);
	if (report->unsupported.size)
		fprintf(log, "not supported yet: %s files\n", report->unsupported.data);
	if (report->links)
		fprintf(log, "symbolic links not followed: %zu; hint: --follow\n", report->links);
	if (verbose)
		fprintf(log, "busy seconds: walk %.2f, read %.2f, decode %.2f, resize %.2f, encode %.2f, store %.2f\n", report->walking,
			report->counts.busy.read, report->counts.busy.decode, report->counts.busy.resize, report->counts.encoding, report->counts.storing);
}

static void print_report(struct cli *cli, const struct index_report *report, bool verbose)
{
	print_lines(cli->log, "coca: ", &report->warnings);
	if (report->counts.failed) {
		fprintf(cli->log, report->counts.failed == 1 ? "%zu file was skipped:\n" : "%zu files were skipped:\n", report->counts.failed);
		print_lines(cli->log, "  ", &report->counts.failures);
		if (report->counts.failed > INGEST_NAMED_MOST)
			fprintf(cli->log, "  and %zu more\n", report->counts.failed - INGEST_NAMED_MOST);
	}
	if (!cli->quiet)
		print_summary(cli, report, verbose);
}

static int exit_of(const struct index_report *report)
{
	if (report->unknown_folder)
		return EXIT_FAILED;
	return report->counts.failed || report->warnings.size ? EXIT_SKIPPED : EXIT_DONE;
}

/* A search would do it as well; done here, the first one need not wait. That it fails is no loss. */
static void refresh_vectors(struct cli *cli, struct catalog *catalog, const struct catalog_model *model)
{
	struct vectors *vectors = NULL;
	struct err err;

	if (vectors_open(catalog, model, NULL, &vectors, &err) != STATUS_OK)
		fprintf(cli->log, "coca: %s\n", err.text);
	vectors_close(vectors);
}

/* --- index --watch --- */

struct following {
	struct cli *cli;
	const struct coca *coca;
	struct index_options *options;
	struct watch *watch;
	const char **folders, **due_folders; /* resolved: all; those of a run */
	bool *due;
	size_t count;
	bool verbose, waiting;
	struct buffer said;          /* failures and warnings of the last run: they are not repeated */
	double refreshed, refreshing; /* when the vector index was made anew, and how long that took */
};

static void following_release(struct following *f)
{
	watch_close(f->watch);
	for (size_t i = 0; i < f->count; i++)
		free((char *)f->folders[i]);
	free(f->folders);
	free(f->due_folders);
	free(f->due);
	buffer_release(&f->said);
}

static enum status following_open(struct following *f, double every, struct err *err)
{
	const struct index_options *run = f->options;
	const char *slash = strrchr(f->cli->database, '/');
	struct watch_options rules = {.every = every, .not_name = slash ? slash + 1 : f->cli->database};

	f->folders = mem_array(run->folder_count, sizeof *f->folders);
	f->due_folders = mem_array(run->folder_count, sizeof *f->due_folders);
	f->due = mem_array(run->folder_count, sizeof *f->due);
	if (!f->folders || !f->due_folders || !f->due)
		return err_memory(err, "the list of folders");
	for (size_t i = 0; i < run->folder_count; i++) {
		f->folders[i] = path_resolve(run->folders[i]);
		if (!f->folders[i])
			return err_memory(err, "the list of folders");
		f->count++;
		f->due[i] = true;
	}
	return watch_open(f->folders, f->count, &rules, &f->watch, err);
}

/* Once more after others have had their turn: not for longer than a small part of the time. */
static void refresh_now_and_then(struct following *f, struct catalog *catalog, const struct catalog_model *model)
{
	double start = clock_now();

	if (start - f->refreshed < 20 * f->refreshing)
		return;
	refresh_vectors(f->cli, catalog, model);
	f->refreshed = clock_now();
	f->refreshing = f->refreshed - start;
}

static bool is_news(struct following *f, const struct index_report *report)
{
	struct buffer said = {0};

	buffer_append(&said, report->counts.failures.data, report->counts.failures.size);
	buffer_append(&said, report->warnings.data, report->warnings.size);
	bool news = said.size != f->said.size || (said.size && memcmp(said.data, f->said.data, said.size) != 0) ||
		    report->counts.added + report->counts.changed + report->counts.again + report->counts.moved + report->counts.back + report->gone + report->dropped > 0;
	buffer_release(&f->said);
	f->said = said;
	return news;
}

/* The catalog is open only meanwhile. */
static enum status follow_once(struct following *f, struct err *err)
{
	struct catalog *catalog = NULL;
	struct catalog_model model;
	struct index_report report = {0};
	enum status status = catalog_open(f->cli->database, CATALOG_WRITE, &catalog, err);

	f->options->folders = f->due_folders;
	f->options->folder_count = 0;
	for (size_t i = 0; i < f->count; i++)
		if (f->due[i])
			f->due_folders[f->options->folder_count++] = f->folders[i];
	if (status == STATUS_OK)
		status = identify(catalog, f->coca, f->cli->model, &model, err);
	if (status == STATUS_OK) {
		watch_begin(f->watch, f->due);
		status = index_run(f->cli, catalog, f->coca, &model, f->options, &report, err);
		if (is_news(f, &report))
			print_report(f->cli, &report, f->verbose);
	}
	if (status == STATUS_OK)
		refresh_now_and_then(f, catalog, &model);
	watch_done(f->watch, f->due, report.walking, status != STATUS_OK);
	index_report_release(&report);
	catalog_close(catalog);
	return status;
}

/* Until an interrupt; what fails now may work later, when there is room, or the other coca has ended. */
static enum status follow(struct following *f, struct err *err)
{
	struct cli *cli = f->cli;
	enum status status;

	if (!cli->quiet)
		fprintf(cli->log, "coca: watching; Ctrl-C ends\n");
	do {
		const char *notice = watch_notice(f->watch);
		if (notice)
			fprintf(cli->log, "coca: %s\n", notice);
		fflush(cli->log);
		status = watch_wait(f->watch, cli->interrupted, f->due, err);
		if (status == STATUS_OK)
			status = follow_once(f, err);
		if (status != STATUS_OK && status != STATUS_INTERRUPTED && !f->waiting)
			fprintf(cli->log, "coca: %s; trying again\n", err->text);
		f->waiting = status != STATUS_OK;
	} while (status != STATUS_INTERRUPTED);
	return status;
}

/* --- one run --- */

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
	int code;

	if (status == STATUS_OK)
		status = catalog_open(cli->database, CATALOG_WRITE, &catalog, &err);
	if (status == STATUS_OK)
		status = find_folders(catalog, args, &folders, &err);
	if (status == STATUS_OK)
		status = coca_open(cli->model, &coca, &err);
	if (status == STATUS_OK)
		status = identify(catalog, coca, cli->model, &model, &err);
	chosen.folders = folders.paths;
	chosen.folder_count = folders.count;
	if (status == STATUS_OK && watching) {
		following.coca = coca;
		status = following_open(&following, given->watch, &err);
		chosen.on_folder = watch_folder;
		chosen.on_folder_context = following.watch;
		if (status == STATUS_OK)
			watch_begin(following.watch, following.due);
	}
	if (status == STATUS_OK) {
		status = index_run(cli, catalog, coca, &model, &chosen, &report, &err);
		is_news(&following, &report);
		print_report(cli, &report, given->verbose);
	}
	if (status == STATUS_OK)
		refresh_vectors(cli, catalog, &model);
	if (status == STATUS_INTERRUPTED) {
		fprintf(cli->log, "coca: interrupted; what was indexed is kept; run it again to go on\n");
		code = EXIT_FAILED;
	} else {
		code = status == STATUS_OK ? exit_of(&report) : cli_fail(cli, &err);
	}
	if (status == STATUS_OK && watching && code != EXIT_FAILED) {
		catalog_close(catalog);
		catalog = NULL;
		watch_done(following.watch, following.due, report.walking, false);
		follow(&following, &err);
		code = EXIT_DONE;
	}
	following_release(&following);
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
