/* follow.h: `coca index --watch`: after the first run, others of the folders that changed, until an interrupt.
 *
 *     struct following following = {.cli = cli, .coca = coca, .options = &options, .verbose = verbose};
 *     follow_open(&following, every, &err);       // before the first run: it is told of the folders that the run reads
 *     ... the first run, by options ...
 *     follow(&following, &report);                // returns when interrupted; the catalog is open only while something is due
 *     follow_release(&following);                 // in any case
 */
#ifndef INDEXER_COMMANDS_FOLLOW_H
#define INDEXER_COMMANDS_FOLLOW_H

#include "indexer/ingest/index.h"
#include "schema/cli/options.h"

struct following {
	struct cli *cli;
	const struct coca *coca;
	struct index_options *options; /* folders are those of a run: set for each */
	struct watch *watch;
	const char **folders, **due_folders; /* resolved: all; those of a run */
	bool *due;
	size_t count;
	bool verbose, waiting;
	struct buffer said;          /* failures and warnings of the last run: they are not repeated */
	double refreshed, refreshing; /* when the vector index was made anew, and how long that took */
};

/* every: seconds after which all folders are due; 0: only what cannot be watched. Sets options->on_folder. */
enum status follow_open(struct following *f, double every, struct err *err);
void follow_release(struct following *f);

void follow(struct following *f, const struct index_report *first);

#endif
