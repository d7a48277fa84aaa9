/* index.c: see index.h. */
#include "indexer/ingest/index.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "indexer/walk/records.h"
#include "indexer/ingest/ingest.h"
#include "indexer/walk/vanish.h"
#include "indexer/walk/walk.h"
#include "schema/catalog/models.h"
#include "schema/catalog/photos.h"
#include "schema/base/blas.h"
#include "schema/base/clock.h"
#include "schema/cli/progress.h"

#include "schema/base/banned.h"

struct run {
	struct cli *cli;
	struct catalog *catalog;
	const struct coca *coca;
	const struct catalog_model *model;
	struct index_options options;
	struct index_report *report;
	struct walk_options rules;
	struct walk walk;
	struct region *regions; /* ascending by path, none twice */
	size_t region_count;
	struct folders folders;
	struct buffer left;     /* folders of rows that vanish_run left as they are */
	struct ingest_item *items;
	size_t item_count;
	struct progress progress;
};

/* --- report --- */

void index_report_failure(struct index_report *report, const char *path, const char *error)
{
	struct err line;

	if (report->failed++ >= INDEX_NAMED_MOST)
		return;
	err_set(&line, STATUS_FAILED, "'%s': %s", path, error);
	buffer_text(&report->failures, line.text);
	buffer_text(&report->failures, "\n");
}

void index_report_warning(struct index_report *report, const char *format, ...)
{
	char text[1024];
	struct err line;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	err_set(&line, STATUS_FAILED, "%s", text);
	buffer_text(&report->warnings, line.text);
	buffer_text(&report->warnings, "\n");
}

void index_report_release(struct index_report *report)
{
	buffer_release(&report->failures);
	buffer_release(&report->warnings);
	buffer_release(&report->unsupported);
}

/* --- the folders --- */

static int compare_regions(const void *a, const void *b)
{
	return strcmp(((const struct region *)a)->path, ((const struct region *)b)->path);
}

static enum status resolve_regions(struct run *run, struct err *err)
{
	size_t kept = 0;

	run->regions = mem_array(run->options.folder_count, sizeof *run->regions);
	if (!run->regions)
		return err_memory(err, "the list of folders");
	for (size_t i = 0; i < run->options.folder_count; i++) {
		run->regions[i].path = walk_resolve(run->options.folders[i]);
		if (!run->regions[i].path)
			return err_memory(err, "the list of folders");
		run->region_count++;
	}
	qsort(run->regions, run->region_count, sizeof *run->regions, compare_regions);
	for (size_t i = 0; i < run->region_count; i++) {
		if (kept && compare_regions(&run->regions[i], &run->regions[kept - 1]) == 0)
			free(run->regions[i].path);
		else
			run->regions[kept++] = run->regions[i];
	}
	run->region_count = kept;
	return STATUS_OK;
}

struct root_search {
	const struct run *run;
	const char *path;
	int64_t id;
	size_t size; /* of its path: the deepest one counts */
};

static enum status find_root(void *context, const struct catalog_root *root, struct err *err)
{
	struct root_search *search = context;
	size_t size = strlen(root->path);

	(void)err;
	if (!walk_below(root->path, search->path) || (search->id && size < search->size))
		return STATUS_OK;
	/* A folder that its root's walk passes over, a hidden one, is a root of its own. */
	if (strcmp(root->path, search->path) != 0 && walk_leaves_out(root->path, search->path, &search->run->rules))
		return STATUS_OK;
	search->id = root->id;
	search->size = size;
	return STATUS_OK;
}

/* A folder inside a known root belongs to that root. */
static enum status put_root(struct run *run, struct region *region, struct err *err)
{
	struct root_search search = {.run = run, .path = region->path};
	enum status status = catalog_roots_each(run->catalog, find_root, &search, err);

	if (status != STATUS_OK)
		return status;
	region->root = search.id;
	return search.id ? STATUS_OK : catalog_root_put(run->catalog, region->path, &region->root, err);
}

static void tick(void *context, size_t found)
{
	struct run *run = context;

	progress_show(&run->progress, found, 0);
}

static void on_folder(void *context, const char *path)
{
	struct run *run = context;

	if (run->options.on_folder)
		run->options.on_folder(run->options.on_folder_context, path);
}

static enum status walk_regions(struct run *run, struct err *err)
{
	double start = clock_now();
	enum status status = STATUS_OK;

	run->rules.known = run->folders.known;
	run->rules.known_count = run->folders.count;
	progress_start(&run->progress, run->cli, "looking", "photos");
	for (size_t i = 0; i < run->region_count && status == STATUS_OK; i++) {
		struct region *region = &run->regions[i];
		struct err trouble;
		status = walk_root(&run->walk, region->path, i, &run->rules, &trouble);
		if (status == STATUS_NOT_FOUND || status == STATUS_IO) {
			region->away = true;
			region->missing = status == STATUS_NOT_FOUND;
			region->reason = mem_copy(trouble.text, strlen(trouble.text));
			status = region->reason ? STATUS_OK : err_memory(err, "the list of folders");
		} else if (status != STATUS_OK) {
			*err = trouble;
		} else {
			status = put_root(run, region, err);
		}
	}
	progress_end(&run->progress);
	walk_finish(&run->walk);
	run->report->walking = clock_now() - start;
	return status;
}

enum { PATH_SHOWN = 500 };

static void report_walk(struct run *run)
{
	struct index_report *report = run->report;
	const struct walk *walk = &run->walk;

	report->photos = walk->count + walk->same;
	report->links = walk->links;
	report->unreadable = walk->trouble_count;
	for (size_t i = 0; i < run->region_count; i++)
		report->unreadable += run->regions[i].away;
	for (size_t i = 0; i < walk->trouble_count; i++) {
		/* The end of a path tells more than its beginning, and the reason must not be cut off. */
		const char *path = walk->troubles[i].path;
		size_t size = strlen(path), cut = size > PATH_SHOWN ? size - PATH_SHOWN : 0;
		index_report_warning(report, "cannot read the folder '%s%s': %s", cut ? "..." : "", path + cut, walk->troubles[i].reason);
	}
	for (size_t i = 0; i < WALK_FORMATS; i++)
		if (walk->unsupported[i])
			buffer_format(&report->unsupported, "%s%zu %s", report->unsupported.size ? ", " : "", walk->unsupported[i],
				      walk_format_name(i));
}

/* --- the plan --- */

static enum status repeat_failure(void *context, const struct photo *photo, struct err *err)
{
	(void)err;
	index_report_failure(context, photo->path, photo->error ? photo->error : "it cannot be decoded");
	return STATUS_OK;
}

/* What failed in folders that are as they were, and so are not compared file by file. */
static enum status count_same(void *context, const struct photo *photo, struct err *err)
{
	struct run *run = context;
	const struct walk_folder *folder = walk_folder_of(&run->walk, photo->path);

	if (!folder || !folder->same)
		return STATUS_OK;
	run->report->unchanged--;
	return repeat_failure(run->report, photo, err);
}

static enum status plan_same(struct run *run, struct err *err)
{
	run->report->unchanged = run->walk.same;
	return run->walk.same ? catalog_photos_failed(run->catalog, count_same, run, err) : STATUS_OK;
}

static enum status plan_unchanged(struct run *run, const struct walk_photo *photo, const struct photo_stamp *stamp, struct err *err)
{
	enum status status = STATUS_OK;

	if (stamp->gone_since)
		status = catalog_photo_gone(run->catalog, stamp->id, 0, err);
	if (status == STATUS_OK && stamp->ctime_ns == 0)
		status = catalog_photo_ctime(run->catalog, stamp->id, photo->ctime_ns, err);
	if (status == STATUS_OK && stamp->state == PHOTO_FAILED)
		return catalog_photo_by_path(run->catalog, photo->path, repeat_failure, run->report, err);
	run->report->back += stamp->gone_since != 0;
	run->report->unchanged += stamp->gone_since == 0;
	return status;
}

static enum status plan_photo(struct run *run, const struct walk_photo *photo, struct err *err)
{
	struct photo_stamp stamp;
	bool found;
	enum status status = catalog_photo_stamp(run->catalog, photo->path, photo->path_size, run->model->id, &stamp, &found, err);

	if (status != STATUS_OK)
		return status;
	/* One that could not even be read may be readable now, with neither size nor time changed. */
	const struct sidecar *beside[SIDECARS_MOST];
	int64_t facts = sidecars_stamp(beside, sidecars_of(&run->walk.sidecars, photo->path, beside));
	bool ready = stamp.state == PHOTO_READY;
	bool settled = found && (ready ? stamp.embedded && stamp.facts == facts : stamp.content != 0 && !run->options.retry);
	if (settled && stamp.size == photo->size && stamp.mtime_ns == photo->mtime_ns && photo->regular &&
	    (stamp.ctime_ns == photo->ctime_ns || stamp.ctime_ns == 0))
		return plan_unchanged(run, photo, &stamp, err);
	struct walk_folder *folder = walk_folder_of(&run->walk, photo->path);
	if (folder)
		folder->unsettled++;
	run->items[run->item_count++] = (struct ingest_item){
		.photo = photo,
		.folder = folder,
		.root = run->regions[photo->root].root,
		.known = found,
		.stamp = stamp,
		.facts = facts,
	};
	return STATUS_OK;
}

static enum status plan(struct run *run, struct err *err)
{
	const volatile sig_atomic_t *interrupted = run->cli->interrupted;
	enum status status;

	run->items = mem_array(run->walk.count, sizeof *run->items);
	if (!run->items)
		return err_memory(err, "the list of photographs");
	status = catalog_begin(run->catalog, err);
	if (status != STATUS_OK)
		return status;
	progress_start(&run->progress, run->cli, "comparing", "photos");
	status = plan_same(run, err);
	for (size_t i = 0; i < run->walk.count && status == STATUS_OK; i++) {
		status = plan_photo(run, &run->walk.photos[i], err);
		progress_show(&run->progress, i, run->walk.count);
		if (interrupted && *interrupted)
			break;
	}
	progress_end(&run->progress);
	if (status == STATUS_OK)
		status = catalog_commit(run->catalog, err);
	else
		catalog_rollback(run->catalog);
	if (status == STATUS_OK && interrupted && *interrupted)
		return err_set(err, STATUS_INTERRUPTED, "interrupted");
	return status;
}

/* --- the run --- */

static enum status finish_roots(struct run *run, struct err *err)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < run->region_count && status == STATUS_OK; i++)
		if (!run->regions[i].away)
			status = catalog_root_finished(run->catalog, run->regions[i].root, time(NULL), err);
	return status;
}

static enum status run_all(struct run *run, struct err *err)
{
	enum status status = resolve_regions(run, err);

	if (status == STATUS_OK)
		status = folders_load(&run->folders, run->catalog, run->model->id, run->regions, run->region_count, &run->options, err);
	if (status == STATUS_OK)
		status = walk_regions(run, err);
	if (status == STATUS_OK) {
		report_walk(run);
		status = plan(run, err);
	}
	if (status == STATUS_OK) {
		struct ingest in = {run->cli, run->catalog, run->coca, run->model, &run->options, run->report, &run->walk.sidecars};
		status = ingest_run(&in, run->items, run->item_count, err);
	}
	if (status == STATUS_OK)
		status = vanish_run(run->catalog, &run->walk, run->regions, run->region_count, &run->options, &run->rules, run->report,
				    &run->left, err);
	if (status == STATUS_OK)
		status = folders_save(&run->folders, run->catalog, run->model->id, &run->walk, run->regions, run->region_count, &run->left,
				      err);
	return status == STATUS_OK ? finish_roots(run, err) : status;
}

enum status index_run(struct cli *cli, struct catalog *catalog, const struct coca *coca, const struct catalog_model *model,
		      const struct index_options *options, struct index_report *report, struct err *err)
{
	struct run run = {
		.cli = cli,
		.catalog = catalog,
		.coca = coca,
		.model = model,
		.options = *options,
		.report = report,
		.rules =
			{
				.excludes = options->excludes,
				.exclude_count = options->exclude_count,
				.hidden = options->hidden,
				.follow = options->follow,
				.interrupted = cli->interrupted,
				.tick = tick,
				.folder = on_folder,
				.context = &run,
			},
	};
	double start = clock_now();

	*report = (struct index_report){0};
	if (!run.options.jobs)
		run.options.jobs = (size_t)blas_threads();
	enum status status = run_all(&run, err);
	for (size_t i = 0; i < run.region_count; i++) {
		free(run.regions[i].path);
		free(run.regions[i].reason);
	}
	free(run.regions);
	free(run.items);
	folders_release(&run.folders);
	buffer_release(&run.left);
	walk_release(&run.walk);
	report->seconds = clock_now() - start;
	return status;
}
