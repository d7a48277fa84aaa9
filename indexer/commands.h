/* commands.h: the subcommands that change a library: see schema/cli.h. */
#ifndef INDEXER_COMMANDS_H
#define INDEXER_COMMANDS_H

#include "schema/cli.h"

extern const struct command command_index, command_forget;

#endif
