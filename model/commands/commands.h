/* commands.h: the subcommands that need no library: see schema/cli/options.h. */
#ifndef MODEL_COMMANDS_COMMANDS_H
#define MODEL_COMMANDS_COMMANDS_H

#include "schema/cli/options.h"

extern const struct command command_train;

#endif
