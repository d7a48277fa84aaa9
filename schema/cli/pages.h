/* pages.h: the manual page and the shells' completions, made from the table of commands that also makes the help.
 *
 *     struct cli_manual manual = {"coca", "0.1.0", "find photographs by meaning", commands, count};
 *     cli_pages_man(&manual, &out);                            // roff, for man(1)
 *     cli_pages_completion(&manual, "bash", &out, err);        // bash, zsh or fish
 */
#ifndef SCHEMA_CLI_PAGES_H
#define SCHEMA_CLI_PAGES_H

#include <stddef.h>

#include "schema/cli/options.h"
#include "schema/base/memory.h"

struct cli_manual {
	const char *name, *version;
	const char *summary;                     /* one line, as a command's */
	const struct command *const *commands;
	size_t count;
	const char *environment;                 /* further sections, lines; may be NULL */
};

void cli_pages_man(const struct cli_manual *manual, struct buffer *out);

/* STATUS_USAGE for a shell that is not one of them. The command "help" is offered the commands' names as words, all others files. */
enum status cli_pages_completion(const struct cli_manual *manual, const char *shell, struct buffer *out, struct err *err);

#endif
