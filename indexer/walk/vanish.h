/* vanish.h: what becomes of photographs that the catalog knows and a walk did not find.
 *
 * Nothing is forgotten because a drive is away: a folder that is missing, or that lost more than a fifth of its photographs
 * (and more than VANISH_FEW) at once, keeps them all until the user says --prune. So does a folder that cannot be read.
 */
#ifndef INDEXER_WALK_VANISH_H
#define INDEXER_WALK_VANISH_H

#include "indexer/ingest/index.h"
#include "indexer/walk/walk.h"

enum { VANISH_FEW = 5 };

/* A folder, or a single file, that the user named. */
struct region {
	char *path;           /* absolute, resolved */
	int64_t root;         /* the catalog's; 0 if it is away */
	bool folder;          /* no single file */
	bool trusted;         /* every row below it that is not gone lies in a folder that is known (folders.h) */
	bool away;            /* it could not be walked */
	bool missing;         /* because it does not exist */
	char *reason;         /* "cannot read '/mnt/usb': ...", if it is away */
};

/* regions ascending by path. walk is finished. Nothing is open in the catalog. left gets the folder, with a NUL behind it, of
 * each photograph that is neither gone now nor was seen. Below a trusted region only the rows of folders that changed are read. */
enum status vanish_run(struct catalog *catalog, const struct walk *walk, const struct region *regions, size_t count,
		       const struct index_options *options, const struct walk_options *rules, struct index_report *report, struct buffer *left,
		       struct err *err);

#endif
