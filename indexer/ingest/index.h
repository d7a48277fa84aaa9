/* index.h: one run of `coca index`: folders in, rows and embeddings out.
 *
 *     plan     walk the folders, skip what the catalog knows unchanged
 *     ingest   read, decode, embed and store what is new (ingest.h)
 *     vanish   mark what was deleted (vanish.h)
 *
 * What a run tells the user is collected in a report; nothing here prints but the progress line.
 */
#ifndef INDEXER_INGEST_INDEX_H
#define INDEXER_INGEST_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "indexer/ingest/pipeline.h"
#include "model/net/coca.h"
#include "schema/catalog/catalog.h"
#include "schema/catalog/models.h"
#include "schema/cli/options.h"
#include "schema/base/memory.h"
#include "schema/base/status.h"

struct index_options {
	const char *const *folders; /* or single files, as the user named them; relative ones too */
	size_t folder_count;
	const char *const *excludes;
	size_t exclude_count;
	bool hidden, follow, prune;
	size_t jobs;          /* threads that read and decode; 0: as many as compute */
	size_t batch;         /* photographs embedded at once; 0: chosen by the model's size */
	bool exact;           /* decode every pixel of what is embedded now */
	size_t pixels_most;   /* larger pictures are refused; 0: IMAGE_PIXELS_MOST */
	bool retry;           /* what failed before is tried again, though it did not change */
	size_t token_budget;  /* bytes of image tokens kept for reranking; 0: none */
	size_t encoder_budget; /* of the encoder's tokens, kept for heads that are taught; 0: none */
	void (*on_folder)(void *context, const char *path); /* each folder, just before it is read; may be NULL */
	void *on_folder_context;
};

/* How many failures are named. */
enum { INDEX_NAMED_MOST = 20 };

struct index_report {
	size_t photos;        /* candidates in the folders */
	size_t added, changed, unchanged;
	size_t again;         /* known, embedded by this model for the first time */
	size_t moved;         /* new paths of known contents: moved, renamed or copied */
	size_t back;          /* were gone and are there again */
	size_t noted;         /* the same picture, with other words beside it, or not asked before */
	size_t cut_short;     /* the last rows are missing: indexed by what there is */
	size_t gone;          /* known, no longer in the folders */
	size_t dropped;       /* deleted from the catalog by --prune */
	size_t failed;
	size_t links;         /* symbolic links to photographs, not followed */
	size_t unreadable;    /* folders, below the given ones or given, that could not be read whole */
	size_t kept;          /* known photographs that are not to be seen and not marked as gone for it */
	bool unknown_folder;  /* a given folder does not exist, and the catalog knows nothing of it */
	struct buffer failures, warnings, unsupported; /* lines for the user; unsupported: "3 heic, 1 cr2" */
	double seconds, walking, encoding, storing;
	struct pipeline_times busy;
};

/* STATUS_INTERRUPTED: what was done is committed. report is filled as far as the run came, whatever is returned; it is to be
 * released in any case. cli: for interrupted and the progress line. */
enum status index_run(struct cli *cli, struct catalog *catalog, const struct coca *coca, const struct catalog_model *model,
		      const struct index_options *options, struct index_report *report, struct err *err);
void index_report_release(struct index_report *report);

/* One line on a photograph that is not indexed; beyond INDEX_NAMED_MOST it is only counted. */
void index_report_failure(struct index_report *report, const char *path, const char *error);
void index_report_warning(struct index_report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
