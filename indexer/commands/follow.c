/* follow.c: see follow.h. */
#include "indexer/commands/follow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "indexer/commands/library.h"
#include "indexer/commands/report.h"
#include "indexer/walk/path.h"
#include "indexer/walk/watch.h"
#include "schema/base/clock.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

void follow_release(struct following *f)
{
	watch_close(f->watch);
	for (size_t i = 0; i < f->count; i++)
		free((char *)f->folders[i]);
	free(f->folders);
	free(f->due_folders);
	free(f->due);
	buffer_release(&f->said);
}

enum status follow_open(struct following *f, double every, struct err *err)
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
	enum status status = watch_open(f->folders, f->count, &rules, &f->watch, err);
	if (status != STATUS_OK)
		return status;
	f->options->on_folder = watch_folder;
	f->options->on_folder_context = f->watch;
	watch_begin(f->watch, f->due);
	return STATUS_OK;
}

/* Once more after others have had their turn: not for longer than a small part of the time. */
static void refresh_now_and_then(struct following *f, struct catalog *catalog, const struct catalog_model *model)
{
	double start = clock_now();

	if (start - f->refreshed < 20 * f->refreshing)
		return;
	library_refresh(f->cli, catalog, model);
	f->refreshed = clock_now();
	f->refreshing = f->refreshed - start;
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
		status = library_identify(catalog, f->coca, f->cli->model, &model, err);
	if (status == STATUS_OK) {
		watch_begin(f->watch, f->due);
		status = index_run(&f->cli->listener, catalog, f->coca, &model, f->options, &report, err);
		if (report_is_news(&report, &f->said))
			report_print(f->cli, &report, f->verbose);
	}
	if (status == STATUS_OK)
		refresh_now_and_then(f, catalog, &model);
	watch_done(f->watch, f->due, report.walking, status != STATUS_OK);
	index_report_release(&report);
	catalog_close(catalog);
	return status;
}

/* Until an interrupt; what fails now may work later, when there is room, or the other coca has ended. */
void follow(struct following *f, const struct index_report *first)
{
	struct cli *cli = f->cli;
	struct err err;
	enum status status;

	watch_done(f->watch, f->due, first->walking, false);
	if (!cli->quiet)
		fprintf(cli->log, "coca: watching; Ctrl-C ends\n");
	do {
		const char *notice = watch_notice(f->watch);
		if (notice)
			fprintf(cli->log, "coca: %s\n", notice);
		fflush(cli->log);
		status = watch_wait(f->watch, cli->interrupted, f->due, &err);
		if (status == STATUS_OK)
			status = follow_once(f, &err);
		if (status != STATUS_OK && status != STATUS_INTERRUPTED && !f->waiting)
			fprintf(cli->log, "coca: %s; trying again\n", err.text);
		f->waiting = status != STATUS_OK;
	} while (status != STATUS_INTERRUPTED);
}

