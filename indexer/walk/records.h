/* records.h: what a run may take from the run before it, folder by folder, and what it leaves for the next one. The catalog keeps it
 * (schema/catalog/folders.h).
 *
 *     records_load(&records, catalog, model, &targets, true, err);   // before the walk, which is told records.items
 *     ...                                                            // walk, plan, ingest, vanish
 *     records_save(&records, catalog, model, &walk, &targets, &left, err);
 *     records_release(&records);
 */
#ifndef INDEXER_WALK_RECORDS_H
#define INDEXER_WALK_RECORDS_H

#include "indexer/walk/targets.h"
#include "schema/base/memory.h"

struct records {
	struct record *items;     /* below the trusted targets, ascending by path */
	size_t count, capacity;
	struct buffer whole;      /* paths below which all folders had their record, a NUL behind each */
	bool off;                 /* targets lie in each other: each folder might be walked twice, by different rules */
};

/* Sets `trusted` of each target. believe false: none is. */
enum status records_load(struct records *records, struct catalog *catalog, int64_t model, struct targets *targets, bool believe,
			 struct err *err);
/* left: folders of rows that are neither gone nor to be seen, a NUL behind each. Nothing is open in the catalog. */
enum status records_save(const struct records *records, struct catalog *catalog, int64_t model, const struct walk *walk,
			 const struct targets *targets, const struct buffer *left, struct err *err);
void records_release(struct records *records);

#endif
