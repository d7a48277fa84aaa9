/* targets.h: what a run looks through: folders, or single photographs, that the user named. Each lies in a root of the catalog, or
 * becomes one.
 *
 *     targets_open(&targets, names, count, err);                     // absolute, ascending by path, none twice
 *     targets_walk(&targets, catalog, &options, &walk, err);         // walks each and finds the root it belongs to
 *     ... targets.items[i].away ...
 *     targets_release(&targets);
 */
#ifndef INDEXER_WALK_TARGETS_H
#define INDEXER_WALK_TARGETS_H

#include "indexer/walk/walk.h"
#include "schema/catalog/catalog.h"

struct target {
	char *path;           /* absolute, resolved */
	int64_t root;         /* the catalog's; 0 if it is away */
	bool folder;          /* no single file */
	bool trusted;         /* every row below it that is not gone lies in a folder that has a record (records.h) */
	bool away;            /* it could not be walked */
	bool missing;         /* because it does not exist */
	char *reason;         /* "cannot read '/mnt/usb': ...", if it is away */
};

struct targets {
	struct target *items;
	size_t count;
};

/* Released in any case. */
enum status targets_open(struct targets *targets, const char *const *names, size_t count, struct err *err);
void targets_release(struct targets *targets);

/* One that cannot be read is away, and no error. Nothing is open in the catalog. */
enum status targets_walk(struct targets *targets, struct catalog *catalog, const struct walk_options *options, struct walk *walk,
			 struct err *err);

/* The place of the first that holds path, the outermost of nested ones; count if none does. */
size_t targets_find(const struct targets *targets, const char *path);

#endif
