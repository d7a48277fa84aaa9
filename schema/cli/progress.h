/* progress.h: what a person sees while a long command works, and numbers as people read them.
 *
 *     struct progress progress;
 *     progress_start(&progress, &cli->listener, "indexing", "photos");
 *     progress_show(&progress, done, total);
 *     progress_end(&progress);
 */
#ifndef SCHEMA_CLI_PROGRESS_H
#define SCHEMA_CLI_PROGRESS_H

#include <stddef.h>

#include "schema/cli/options.h"

/* "12.3 MB", "1:02:03": for people. Returns text. */
const char *cli_bytes(double bytes, char text[16]);
const char *cli_duration(double seconds, char text[16]);

/* A progress line: "indexing  1,203 of 4,000  112 photos/s  0:25 left". Draws at most ten times a second, and only for
 * a listener that wants it: the log if it is a terminal. total 0: unknown. */
struct progress {
	const struct listener *listener;
	const char *verb, *unit;
	double started, drawn;
};
void progress_start(struct progress *progress, const struct listener *listener, const char *verb, const char *unit);
void progress_show(struct progress *progress, size_t done, size_t total);
void progress_end(struct progress *progress); /* clears the line */

/* Makes cli->listener out of cli's log, quiet, progress and interrupted. cli stays where it is as long as it is listened to. */
void cli_listen(struct cli *cli);

#endif
