/* index.c: see index.h. The algorithm of a run:
 *
 *   1. Resolve what the user named: the targets. Load the records that an earlier run left of folders below them.
 *   2. Walk each target. A folder whose stamp is that of its record is the same: its photographs are counted, not listed.
 *      Of every other folder all photographs are listed, and the files that lie beside them.
 *   3. Plan. A listed photograph whose row has its size, times and the stamp of what lies beside it is unchanged; every other one
 *      becomes an item. What failed before, and has not changed, is said again.
 *   4. Ingest the items (ingest.c): read, decode, embed, store.
 *   5. Vanish. Rows below the targets that the walk did not see are judged (vanish.c): gone, moved, left out, or kept because a drive
 *      is away.
 *   6. Save the records for the next run: a folder has its stamp when all its photographs have rows that say the same.
 *
 * Each step commits what it has done; whatever ends a run in between, the next one begins at 1 and finds less to do.
 */
#include "indexer/ingest/index.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "indexer/walk/notes.h"
#include "indexer/walk/vanish.h"
#include "schema/base/blas.h"
#include "schema/base/clock.h"
#include "schema/cli/progress.h"

#include "schema/base/banned.h"

struct run {
	const struct listener *listener;
	struct catalog *catalog;
	const struct coca *coca;
	const struct catalog_model *model;
	const struct index_options *options;
	struct index_report *report;
	struct targets targets;
	struct records records;
	struct walk walk;
	struct ingest_item *items;
	size_t item_count;
	struct vanish_result vanished;
	int64_t newest, *were_gone; /* as it was before anything was added */
	size_t were_gone_count;
	struct progress progress;
};

/* --- the walk --- */

static void tick(void *context, size_t found)
{
	struct run *run = context;

	progress_show(&run->progress, found, 0);
}

static enum status walk(struct run *run, struct err *err)
{
	const struct index_options *options = run->options;
	const struct walk_options walking = {
		.rules = options->rules,
		.records = run->records.items,
		.record_count = run->records.count,
		.version = FACTS_VERSION,
		.interrupted = run->listener->interrupted,
		.tick = tick,
		.context = run,
		.folder = options->on_folder,
		.folder_context = options->on_folder_context,
	};
	double start = clock_now();

	progress_start(&run->progress, run->listener, "looking", "photos");
	enum status status = targets_walk(&run->targets, run->catalog, &walking, &run->walk, err);
	progress_end(&run->progress);
	run->report->walking = clock_now() - start;
	return status;
}

static void report_walk(struct run *run)
{
	enum { PATH_SHOWN = 500 };
	struct index_report *report = run->report;
	const struct walk *walk = &run->walk;

	report->photos = walk->count + walk->same;
	report->links = walk->links;
	report->unreadable = walk->trouble_count;
	for (size_t i = 0; i < run->targets.count; i++)
		report->unreadable += run->targets.items[i].away;
	for (size_t i = 0; i < walk->trouble_count; i++) {
		/* The end of a path tells more than its beginning, and the reason must not be cut off. */
		const char *path = walk->troubles[i].path;
		size_t size = strlen(path), cut = size > PATH_SHOWN ? size - PATH_SHOWN : 0;
		notes_add(&report->warnings, "cannot read the folder '%s%s': %s", cut ? "..." : "", path + cut, walk->troubles[i].reason);
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
	ingest_failure(context, photo->path, photo->error ? photo->error : "it cannot be decoded");
	return STATUS_OK;
}

/* What failed in folders that are as they were, and so are not compared file by file. */
static enum status count_same(void *context, const struct photo *photo, struct err *err)
{
	struct run *run = context;
	const struct walk_folder *folder = walk_folder_of(&run->walk, photo->path);

	if (!folder || !folder->same)
		return STATUS_OK;
	run->report->counts.unchanged--;
	return repeat_failure(&run->report->counts, photo, err);
}

static enum status plan_same(struct run *run, struct err *err)
{
	run->report->counts.unchanged = run->walk.same;
	return run->walk.same ? catalog_photos_failed(run->catalog, count_same, run, err) : STATUS_OK;
}

static enum status plan_unchanged(struct run *run, const struct walk_photo *photo, const struct photo_known *stamp, struct err *err)
{
	struct ingest_counts *counts = &run->report->counts;
	enum status status = STATUS_OK;

	if (stamp->gone_since)
		status = catalog_photo_gone(run->catalog, stamp->id, 0, err);
	if (status == STATUS_OK && stamp->ctime_ns == 0)
		status = catalog_photo_ctime(run->catalog, stamp->id, photo->ctime_ns, err);
	if (status == STATUS_OK && stamp->state == PHOTO_FAILED)
		return catalog_photo_by_path(run->catalog, photo->path, repeat_failure, counts, err);
	counts->back += stamp->gone_since != 0;
	counts->unchanged += stamp->gone_since == 0;
	return status;
}

static enum status plan_photo(struct run *run, const struct walk_photo *photo, struct err *err)
{
	struct photo_known stamp;
	bool found;
	enum status status = catalog_photo_known(run->catalog, photo->path, photo->path_size, run->model->id, &stamp, &found, err);

	if (status != STATUS_OK)
		return status;
	/* One that could not even be read may be readable now, with neither size nor time changed. */
	const struct sidecar *beside[SIDECARS_MOST];
	int64_t facts = facts_stamp(beside, sidecars_of(&run->walk.sidecars, photo->path, beside));
	bool ready = stamp.state == PHOTO_READY;
	bool settled = found && (ready ? stamp.embedded && stamp.facts == facts : stamp.content != 0 && !run->options->retry);
	if (settled && stamp.size == photo->size && stamp.mtime_ns == photo->mtime_ns && photo->regular &&
	    (stamp.ctime_ns == photo->ctime_ns || stamp.ctime_ns == 0))
		return plan_unchanged(run, photo, &stamp, err);
	struct walk_folder *folder = walk_folder_of(&run->walk, photo->path);
	if (folder)
		folder->unsettled++;
	run->items[run->item_count++] = (struct ingest_item){
		.photo = photo,
		.folder = folder,
		.root = run->targets.items[photo->root].root,
		.known = found,
		.stamp = stamp,
		.facts = facts,
	};
	return STATUS_OK;
}

static enum status plan(struct run *run, struct err *err)
{
	enum status status;

	run->items = mem_array(run->walk.count, sizeof *run->items);
	if (!run->items)
		return err_memory(err, "the list of photographs");
	status = catalog_begin(run->catalog, err);
	if (status != STATUS_OK)
		return status;
	progress_start(&run->progress, run->listener, "comparing", "photos");
	status = plan_same(run, err);
	for (size_t i = 0; i < run->walk.count && status == STATUS_OK; i++) {
		status = plan_photo(run, &run->walk.photos[i], err);
		progress_show(&run->progress, i, run->walk.count);
		if (listener_stopped(run->listener))
			break;
	}
	progress_end(&run->progress);
	if (status == STATUS_OK)
		status = catalog_commit(run->catalog, err);
	else
		catalog_rollback(run->catalog);
	if (status == STATUS_OK && listener_stopped(run->listener))
		return err_set(err, STATUS_INTERRUPTED, "interrupted");
	return status;
}

/* --- the run --- */

static enum status ingest(struct run *run, struct err *err)
{
	struct ingest_options options = run->options->ingest;
	const struct ingest in = {
		.listener = run->listener,
		.catalog = run->catalog,
		.coca = run->coca,
		.model = run->model,
		.options = &options,
		.follow = run->options->rules.follow,
		.sidecars = &run->walk.sidecars,
		.counts = &run->report->counts,
	};

	if (!options.jobs)
		options.jobs = (size_t)blas_threads();
	return ingest_run(&in, run->items, run->item_count, err);
}

static enum status vanish(struct run *run, struct err *err)
{
	const struct vanish in = {
		.catalog = run->catalog,
		.walk = &run->walk,
		.targets = &run->targets,
		.records = &run->records,
		.rules = &run->options->rules,
		.newest = run->newest,
		.were_gone = run->were_gone,
		.were_gone_count = run->were_gone_count,
		.prune = run->options->prune,
	};
	struct vanish_result *result = &run->vanished;
	enum status status = vanish_run(&in, result, err);

	buffer_append(&run->report->warnings, result->warnings.data, result->warnings.size);
	run->report->gone = result->gone;
	run->report->dropped = result->dropped;
	run->report->kept = result->kept;
	run->report->unknown_folder = result->unknown_target;
	return status;
}

static enum status finish_roots(struct run *run, struct err *err)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < run->targets.count && status == STATUS_OK; i++)
		if (!run->targets.items[i].away)
			status = catalog_root_finished(run->catalog, run->targets.items[i].root, time(NULL), err);
	return status;
}

static enum status run_all(struct run *run, struct err *err)
{
	const struct index_options *options = run->options;
	const int64_t model = run->model->id;
	enum status status = targets_open(&run->targets, options->folders, options->folder_count, err);

	/* What failed before is listed only where it is tried again. */
	if (status == STATUS_OK)
		status = records_load(&run->records, run->catalog, model, &run->targets, !options->retry, err);
	if (status == STATUS_OK)
		status = walk(run, err);
	if (status == STATUS_OK) {
		report_walk(run);
		status = plan(run, err);
	}
	if (status == STATUS_OK)
		status = catalog_photos_before(run->catalog, &run->newest, &run->were_gone, &run->were_gone_count, err);
	if (status == STATUS_OK)
		status = ingest(run, err);
	if (status == STATUS_OK)
		status = vanish(run, err);
	if (status == STATUS_OK)
		status = records_save(&run->records, run->catalog, model, &run->walk, &run->targets, &run->vanished.left, err);
	return status == STATUS_OK ? finish_roots(run, err) : status;
}

enum status index_run(const struct listener *listener, struct catalog *catalog, const struct coca *coca,
		      const struct catalog_model *model, const struct index_options *options, struct index_report *report, struct err *err)
{
	struct run run = {.listener = listener, .catalog = catalog, .coca = coca, .model = model, .options = options, .report = report};
	double start = clock_now();

	*report = (struct index_report){0};
	enum status status = run_all(&run, err);
	report->gone += report->counts.gone;
	free(run.items);
	free(run.were_gone);
	vanish_release(&run.vanished);
	records_release(&run.records);
	walk_release(&run.walk);
	targets_release(&run.targets);
	report->seconds = clock_now() - start;
	return status;
}

void index_report_release(struct index_report *report)
{
	buffer_release(&report->counts.failures);
	buffer_release(&report->warnings);
	buffer_release(&report->unsupported);
}
