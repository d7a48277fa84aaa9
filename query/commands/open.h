/* open.h: a library as the command line names it, for commands; its notes go to the log. */
#ifndef QUERY_COMMANDS_OPEN_H
#define QUERY_COMMANDS_OPEN_H

#include "query/session/library.h"
#include "schema/cli/options.h"

enum status open_library(struct cli *cli, enum library_mode mode, struct library *library, struct err *err);
/* As cli_fail, with exit code 3 where the library is empty. Closes it. */
int open_failed(struct cli *cli, struct library *library, const struct err *err);

#endif
