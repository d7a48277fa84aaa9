/* commands.h: the subcommands that need no library: see schema/cli.h. */
#ifndef MODEL_COMMANDS_H
#define MODEL_COMMANDS_H

#include "schema/cli.h"

extern const struct command command_scenes;
extern const struct command command_train;

#endif
