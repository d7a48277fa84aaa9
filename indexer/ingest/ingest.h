/* ingest.h: photographs that are new or changed become rows, embeddings and tokens.
 *
 *     struct ingest ingest = {listener, catalog, coca, model, &options, follow, &walk.sidecars, &counts};
 *     ingest_run(&ingest, items, n, err);        // commits every few seconds and at the end; when interrupted, too
 *
 * The order of rows, and which photographs are embedded together, depend on the photographs alone, never on which thread was quicker.
 */
#ifndef INDEXER_INGEST_INGEST_H
#define INDEXER_INGEST_INGEST_H

#include "indexer/ingest/pipeline.h"
#include "indexer/walk/walk.h"
#include "model/net/coca.h"
#include "schema/base/memory.h"
#include "schema/catalog/models.h"
#include "schema/catalog/photos.h"
#include "schema/base/listener.h"

struct ingest_options {
	size_t jobs;           /* threads that read and decode, 1 or more */
	size_t batch;          /* photographs embedded at once; 0: chosen by the model's size */
	bool exact;            /* decode every pixel of what is embedded now */
	size_t pixels_most;    /* larger pictures are refused; 0: IMAGE_PIXELS_MOST */
	size_t token_budget;   /* bytes of image tokens kept for reranking; 0: none */
	size_t encoder_budget; /* of the encoder's tokens, kept for heads that are taught; 0: none */
};

/* How many failures are named. */
enum { INGEST_NAMED_MOST = 20 };

struct ingest_counts {
	size_t added, changed, unchanged;
	size_t again;          /* known, embedded by this model for the first time */
	size_t moved;          /* new paths of known contents: moved, renamed or copied */
	size_t back;           /* were gone and are there again */
	size_t noted;          /* the same picture, with other words beside it, or not asked before */
	size_t cut_short;      /* the last rows are missing: indexed by what there is */
	size_t gone;           /* known, vanished since they were walked */
	size_t failed;
	struct buffer failures; /* a line each (walk/notes.h) */
	double encoding, storing; /* seconds */
	struct pipeline_times busy;
};

/* One photograph that is not indexed; beyond INGEST_NAMED_MOST it is only counted. */
void ingest_failure(struct ingest_counts *counts, const char *path, const char *error);

struct ingest_item {
	const struct walk_photo *photo;
	struct walk_folder *folder; /* counts it as unsettled; NULL: none */
	int64_t root;          /* the catalog's */
	bool known;
	struct photo_known stamp; /* of a known one */
	int64_t facts;         /* facts_stamp of what lies beside it */
};

struct ingest {
	const struct listener *listener; /* hears how far it is, and may end it */
	struct catalog *catalog; /* nothing is open in it */
	const struct coca *coca;
	const struct catalog_model *model;
	const struct ingest_options *options;
	bool follow;           /* open through symbolic links */
	const struct sidecars *sidecars; /* sorted */
	struct ingest_counts *counts;
};

enum status ingest_run(const struct ingest *ingest, const struct ingest_item *items, size_t count, struct err *err);

#endif
