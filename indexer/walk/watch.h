/* watch.h: which folders have changed, by inotify: `coca index --watch` looks through those again.
 *
 *     watch_open(folders, count, &options, &watch, err);
 *     do {
 *         watch_begin(watch, due);            // [count]; all are due at first
 *         ... index those that are due, with watch_folder called for each folder before it is read ...
 *         watch_done(watch, due, seconds, failed);
 *     } while (watch_wait(watch, interrupted, due, err) == STATUS_OK);
 *     watch_close(watch);
 *
 * An event says no more than that its folder is to be looked through: so nothing is lost when events are, and whatever the
 * rules of a run are holds here, too. A folder is due when it has been quiet, or after a while even if it has not. A root that is
 * mounted, unmounted or replaced is due, too; so is all, from time to time, where not every folder can be watched.
 */
#ifndef INDEXER_WALK_WATCH_H
#define INDEXER_WALK_WATCH_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "schema/base/status.h"

struct watch;

struct watch_options {
	double every;         /* seconds after which all is due in any case; 0: only what cannot be watched, each minute */
	const char *not_name; /* events of names that begin so are none: the catalog may lie in a folder that is watched */
};

/* folders: absolute, resolved; with options.not_name they stay the caller's. */
enum status watch_open(const char *const *folders, size_t count, const struct watch_options *options, struct watch **watch,
		       struct err *err);
void watch_close(struct watch *watch); /* takes NULL */

void watch_begin(struct watch *watch, const bool *due);
void watch_folder(void *watch, const char *path);
/* seconds: that the run took; the next one waits some times as long. failed: what was due is so again, a little later. */
void watch_done(struct watch *watch, const bool *due, double seconds, bool failed);

/* Returns when something is due, or STATUS_INTERRUPTED. */
enum status watch_wait(struct watch *watch, const volatile sig_atomic_t *interrupted, bool *due, struct err *err);

/* A line to be said once: that not all can be watched, and what helps. NULL: nothing new. */
const char *watch_notice(struct watch *watch);

#endif
