/* inspect.h: what a model is, in lines for people: `coca inspect model` and `coca model info`. */
#ifndef QUERY_COMMANDS_INSPECT_H
#define QUERY_COMMANDS_INSPECT_H

#include "schema/cli/options.h"

enum status inspect_model(struct cli *cli, const char *path, struct err *err);

#endif
