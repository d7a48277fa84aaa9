/* folders.h: what a run may take from the run before it, folder by folder (schema/catalog/folders.h), and what it leaves for the next one.
 *
 *     folders_load(&folders, catalog, model, regions, count, &options, err);   // before the walk, which is told folders.known
 *     ...                                                                      // walk, plan, ingest, vanish
 *     folders_save(&folders, catalog, model, &walk, regions, count, &left, err);
 *     folders_release(&folders);
 */
#ifndef INDEXER_WALK_FOLDERS_H
#define INDEXER_WALK_FOLDERS_H

#include "indexer/ingest/index.h"
#include "indexer/walk/vanish.h"
#include "indexer/walk/walk.h"

struct folders {
	struct walk_known *known; /* below the trusted regions, ascending by path */
	size_t count, capacity;
	struct buffer walks;      /* paths of walks that were whole, a NUL behind each */
	bool off;                 /* regions lie in each other: each folder might be walked twice, by different rules */
};

/* regions ascending by path. Sets folder and trusted of each. */
enum status folders_load(struct folders *folders, struct catalog *catalog, int64_t model, struct region *regions, size_t count,
			 const struct index_options *options, struct err *err);
/* left: folders of rows that are neither gone nor to be seen, a NUL behind each. Nothing is open in the catalog. */
enum status folders_save(const struct folders *folders, struct catalog *catalog, int64_t model, const struct walk *walk,
			 const struct region *regions, size_t count, const struct buffer *left, struct err *err);
void folders_release(struct folders *folders);

#endif
