/* report.h: what a run of `coca index` has done, on the log.
 *
 *     if (report_is_news(&report, &said))       // said: what was said of the run before; empty at first
 *         report_print(cli, &report, verbose);
 */
#ifndef INDEXER_COMMANDS_REPORT_H
#define INDEXER_COMMANDS_REPORT_H

#include "indexer/ingest/index.h"
#include "schema/cli/options.h"

/* Warnings, failures by name and, unless the user wants it quiet, a line of counts; verbose: where the time went, too. */
void report_print(struct cli *cli, const struct index_report *report, bool verbose);

/* Whether it changed the library, or has other failures and warnings than said, which becomes its own; the caller releases that. */
bool report_is_news(const struct index_report *report, struct buffer *said);

#endif
