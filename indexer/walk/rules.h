/* rules.h: what a walk passes over: what the user excludes, .cocaignore files, hidden names, and what systems keep beside photographs.
 *
 *     struct rules_of_root of = {0};
 *     rules_open(&of, &rules, "/home/ann/Pictures", err);           // of.above: what the folders above it say
 *     const struct ignore *ignore = of.above;                       // what holds in the folder above the one that is entered
 *     rules_enter(&of, fd, "/home/ann/Pictures", &ignore, err);     // now: what holds in it
 *     if (rules_leave_out(&of, ignore, path, name, is_folder)) ...
 *     rules_release(&of);
 *
 * What is excluded says ignore.h: the patterns of `excludes`, relative to the root, decide over those of .cocaignore files, and
 * a deeper file over those above it; the folders above the root count, too. A "!" that names it takes back a hidden name, or what
 * systems keep. Leaving out a folder leaves out all that is below.
 */
#ifndef INDEXER_WALK_RULES_H
#define INDEXER_WALK_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "indexer/walk/ignore.h"
#include "schema/base/status.h"

/* What the user says. */
struct rules {
	const char *const *excludes;
	size_t exclude_count;
	bool hidden;          /* names that begin with a dot are taken, too */
	bool follow;          /* symbolic links are followed */
};

/* The same for a walk of one root. */
struct rules_of_root {
	const struct rules *rules;
	struct ignore *excludes;
	struct ignore **levels; /* of .cocaignore files, freed together */
	size_t level_count;
	const struct ignore *above;
};

/* Released in any case. */
enum status rules_open(struct rules_of_root *of, const struct rules *rules, const char *root, struct err *err);
void rules_release(struct rules_of_root *of);

/* fd: the folder. *ignore: in, what holds above the folder; out, what holds in it. STATUS_IO: its .cocaignore cannot be read. */
enum status rules_enter(struct rules_of_root *of, int fd, const char *folder, const struct ignore **ignore, struct err *err);
/* Of a path in the folder that was entered; name: its last part. */
bool rules_leave_out(const struct rules_of_root *of, const struct ignore *ignore, const char *path, const char *name, bool folder);

/* Whether a walk of root passes over path, which lies below it, by its name. */
bool rules_pass_over(const struct rules *rules, const char *root, const char *path);

#endif
