/* help.c: what `coca help` prints; see pages.h. */
#include "schema/cli/pages.h"

#include <string.h>

#include "schema/base/banned.h"

static void print_option(const struct option_spec *option, FILE *out)
{
	bool bare = option->kind & OPTION_BARE;
	char left[64], letter[8] = "    ";
	struct buffer help = {0};

	option_help(option, &help);
	if (option->letter)
		snprintf(letter, sizeof letter, "-%c, ", option->letter);
	snprintf(left, sizeof left, "%s--%s%s%s%s", letter, option->name, !option->value ? "" : bare ? "[=" : " ",
		 option->value ? option->value : "", option->value && bare ? "]" : "");
	fprintf(out, strlen(left) > 27 ? "  %s\n%31s%s\n" : "  %-28s %s%s\n", left, "", help.failed ? "" : help.data);
	buffer_release(&help);
}

static void print_options(const struct option_spec *options, FILE *out)
{
	for (; options && options->name; options++)
		print_option(options, out);
}

void cli_help_command(const struct cli_manual *manual, const struct command *command, FILE *out)
{
	fprintf(out, "%s %s %s\n  %s\n", manual->name, command->name, command->synopsis, command->summary);
	if (command->options) {
		fprintf(out, "\noptions\n");
		print_options(command->options, out);
	}
	fprintf(out, "\nevery command takes\n");
	print_options(cli_common_options, out);
	if (command->details)
		fprintf(out, "\n%s", command->details);
}

void cli_help(const struct cli_manual *manual, FILE *out)
{
	fprintf(out, "%s\ncommands\n", manual->opening);
	for (size_t i = 0; i < manual->count; i++)
		fprintf(out, "  %-10s %s\n", manual->commands[i]->name, manual->commands[i]->summary);
	fprintf(out, "\n`%s help COMMAND` has a command's options, `%s status` the defaults in use.\n"
		     "\nexit codes\n"
		     "  0 done   1 failed   2 wrong usage   3 no result   4 done, but some files were skipped (they are listed)\n",
		manual->name, manual->name);
}
