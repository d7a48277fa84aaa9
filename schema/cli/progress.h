/* progress.h: what a person sees while a long command works, and numbers as people read them.
 *
 *     struct progress progress;
 *     progress_start(&progress, cli, "indexing", "photos");
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

/* A progress line: "indexing  1,203 of 4,000  112 photos/s  0:25 left". Draws at most ten times a second, and only when
 * cli->progress; on a log that is no terminal it prints nothing. total 0: unknown. */
struct progress {
	struct cli *cli;
	const char *verb, *unit;
	double started, drawn;
};
void progress_start(struct progress *progress, struct cli *cli, const char *verb, const char *unit);
void progress_show(struct progress *progress, size_t done, size_t total);
void progress_end(struct progress *progress); /* clears the line */

#endif
