/* commands.h: the subcommands that ask a library or a model something: see schema/cli/options.h. */
#ifndef QUERY_COMMANDS_COMMANDS_H
#define QUERY_COMMANDS_COMMANDS_H

#include "schema/cli/options.h"

extern const struct command command_search;
extern const struct command command_texts, command_match, command_caption, command_classify;
extern const struct command command_similar, command_duplicates;
extern const struct command command_tune, command_heads, command_ask;
extern const struct command command_embed;
extern const struct command command_eval;
extern const struct command command_inspect, command_model;
extern const struct command command_status;
extern const struct command command_verify;

/* coca model info, which is coca inspect model, too. */
enum status model_info(struct cli *cli, const char *path, struct err *err);

#endif
