/* ingest.h: photographs that are new or changed become rows, embeddings and image tokens.
 *
 * A window slides over the photographs in their order: its front is stored, its middle is decoded, its end is read. The order
 * of rows, and which photographs are embedded together, depend on the photographs alone, never on which thread was quicker.
 */
#ifndef INDEXER_INGEST_INGEST_H
#define INDEXER_INGEST_INGEST_H

#include "schema/catalog/models.h"
#include "schema/catalog/photos.h"
#include "indexer/ingest/index.h"
#include "indexer/walk/walk.h"

struct ingest_item {
	const struct walk_photo *photo;
	struct walk_folder *folder; /* counts it as unsettled; NULL: none */
	int64_t root;         /* the catalog's */
	bool known;
	struct photo_stamp stamp; /* of a known one */
	int64_t facts;        /* sidecars_stamp of what lies beside it */
};

struct ingest {
	struct cli *cli;
	struct catalog *catalog;
	const struct coca *coca;
	const struct catalog_model *model;
	const struct index_options *options;
	struct index_report *report;
	const struct sidecars *sidecars; /* sorted */
};

/* Commits every few seconds and at the end; when interrupted, too. */
enum status ingest_run(const struct ingest *ingest, const struct ingest_item *items, size_t count, struct err *err);

#endif
