/* index.h: one run of `coca index`: folders in, rows and embeddings out. index.c tells it from top to bottom.
 *
 *     struct index_report report;
 *     status = index_run(&cli->listener, catalog, coca, &model, &options, &report, &err);
 *     ... report.counts.added ...
 *     index_report_release(&report);                 // in any case
 *
 * What a run tells the user is collected in a report; nothing here prints.
 */
#ifndef INDEXER_INGEST_INDEX_H
#define INDEXER_INGEST_INDEX_H

#include "indexer/ingest/ingest.h"
#include "indexer/walk/rules.h"

struct index_options {
	const char *const *folders; /* or single files, as the user named them; relative ones too */
	size_t folder_count;
	struct rules rules;
	struct ingest_options ingest; /* jobs 0: as many as compute */
	bool prune;
	bool retry;           /* what failed before is tried again, though it did not change */
	void (*on_folder)(void *context, const char *path); /* each folder, just before it is read; may be NULL */
	void *on_folder_context;
};

struct index_report {
	size_t photos;        /* candidates in the folders */
	struct ingest_counts counts;
	size_t gone;          /* known, no longer in the folders */
	size_t dropped;       /* deleted from the catalog by --prune */
	size_t kept;          /* known photographs that are not to be seen and not marked as gone for it */
	size_t links;         /* symbolic links to photographs, not followed */
	size_t unreadable;    /* folders, below the given ones or given, that could not be read whole */
	bool unknown_folder;  /* a given folder does not exist, and the catalog knows nothing of it */
	struct buffer warnings, unsupported; /* lines for the user; unsupported: "3 heic, 1 cr2" */
	double seconds, walking;
};

/* STATUS_INTERRUPTED: what was done is committed. report is filled as far as the run came, whatever is returned; it is to be
 * released in any case. listener: hears how far it is, and may end it. */
enum status index_run(const struct listener *listener, struct catalog *catalog, const struct coca *coca,
		      const struct catalog_model *model, const struct index_options *options, struct index_report *report, struct err *err);
void index_report_release(struct index_report *report);

#endif
