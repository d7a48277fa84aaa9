/* pages.h: what is made from the table of commands: help, the manual page, the shells' completions.
 *
 *     struct cli_manual manual = {"coca", "0.1.0", "find photographs by meaning", commands, count};
 *     cli_help(&manual, stdout);
 *     cli_help_command(&manual, command, stdout);
 *     cli_pages_man(&manual, &out);                            // roff, for man(1)
 *     cli_pages_completion(&manual, "bash", &out, err);        // bash, zsh or fish
 */
#ifndef SCHEMA_CLI_PAGES_H
#define SCHEMA_CLI_PAGES_H

#include <stddef.h>
#include <stdio.h>

#include "schema/cli/options.h"
#include "schema/base/memory.h"

struct cli_manual {
	const char *name, *version;
	const char *summary;                     /* one line, as a command's */
	const struct command *const *commands;
	size_t count;
	const char *environment;                 /* lines of the manual page; may be NULL */
	const char *opening;                     /* lines that help begins with */
};

void cli_help(const struct cli_manual *manual, FILE *out);
void cli_help_command(const struct cli_manual *manual, const struct command *command, FILE *out);

void cli_pages_man(const struct cli_manual *manual, struct buffer *out);

/* STATUS_USAGE for a shell that is not one of them. The command "help" is offered the commands' names as words, all others files. */
enum status cli_pages_completion(const struct cli_manual *manual, const char *shell, struct buffer *out, struct err *err);

#endif
