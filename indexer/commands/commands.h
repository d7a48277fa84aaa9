/* commands.h: the subcommands that change a library: see schema/cli/options.h. */
#ifndef INDEXER_COMMANDS_COMMANDS_H
#define INDEXER_COMMANDS_COMMANDS_H

#include "schema/cli/options.h"

extern const struct command command_index, command_forget;

#endif
