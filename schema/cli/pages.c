/* pages.c: see pages.h. */
#include "schema/cli/pages.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/banned.h"

static bool is_bare(const struct option_spec *spec)
{
	return spec->kind & OPTION_BARE;
}

static bool needs_value(const struct option_spec *spec)
{
	return (spec->kind & OPTION_KIND) != KIND_FLAG && !is_bare(spec);
}

/* A row's help with its default, through what the page needs to take it as text. */
static void help_of(const struct option_spec *spec, void (*escape)(const char *text, struct buffer *out), struct buffer *out)
{
	struct buffer help = {0};

	option_help(spec, &help);
	if (help.failed)
		out->failed = true;
	else
		escape(help.data, out);
	buffer_release(&help);
}

/* ---- roff ------------------------------------------------------------------------------------------------------- */

/* Backslashes and dashes as they stand, and no line that begins as a request does. */
static void roff(const char *text, struct buffer *out)
{
	bool begins = true;

	for (const char *c = text; *c; c++) {
		if (begins && (*c == '.' || *c == '\''))
			buffer_text(out, "\\&");
		if (*c == '\\')
			buffer_text(out, "\\e");
		else if (*c == '-')
			buffer_text(out, "\\-");
		else if (*c == '\'')
			buffer_text(out, "\\(aq");
		else if (*c == '`')
			buffer_text(out, "\\(ga");
		else
			buffer_append(out, c, 1);
		begins = *c == '\n';
	}
}

/* Lines as they are set; an empty one is a request, as roff wants it. */
static void roff_lines(const char *text, struct buffer *out)
{
	buffer_text(out, ".nf\n");
	for (const char *at = text; *at;) {
		size_t n = strcspn(at, "\n");
		char *line = mem_copy(at, n);
		if (!line)
			out->failed = true;
		else if (n == 0)
			buffer_text(out, ".sp");
		else
			roff(line, out);
		free(line);
		buffer_text(out, "\n");
		at += n + (at[n] == '\n');
	}
	buffer_text(out, ".fi\n");
}

static void man_option(const struct option_spec *spec, struct buffer *out)
{
	buffer_text(out, ".TP\n");
	if (spec->letter)
		buffer_format(out, "\\fB\\-%c\\fR, ", spec->letter);
	buffer_text(out, "\\fB\\-\\-");
	roff(spec->name, out);
	buffer_text(out, "\\fR");
	if (spec->value) {
		buffer_text(out, is_bare(spec) ? "[=\\fI" : " \\fI");
		roff(spec->value, out);
		buffer_text(out, is_bare(spec) ? "\\fR]" : "\\fR");
	}
	buffer_text(out, "\n");
	help_of(spec, roff, out);
	buffer_text(out, spec->kind & OPTION_MANY ? "; may be given more than once\n" : "\n");
}

static void man_options(const struct option_spec *spec, struct buffer *out)
{
	for (; spec && spec->name; spec++)
		man_option(spec, out);
}

static void man_command(const struct cli_manual *manual, const struct command *command, struct buffer *out)
{
	buffer_text(out, ".SS ");
	roff(manual->name, out);
	buffer_text(out, " ");
	roff(command->name, out);
	buffer_text(out, command->synopsis[0] ? " " : "");
	roff(command->synopsis, out);
	buffer_text(out, "\n");
	roff(command->summary, out);
	buffer_text(out, ".\n");
	man_options(command->options, out);
	if (command->details) {
		buffer_text(out, ".PP\n");
		roff_lines(command->details, out);
	}
}

void cli_pages_man(const struct cli_manual *manual, struct buffer *out)
{
	buffer_format(out, ".\\\" Made by `%s help --man`.\n.TH ", manual->name);
	for (const char *c = manual->name; *c; c++)
		buffer_format(out, "%c", *c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
	buffer_format(out, " 1 \"\" \"%s %s\"\n.SH NAME\n%s \\- ", manual->name, manual->version, manual->name);
	roff(manual->summary, out);
	buffer_format(out, "\n.SH SYNOPSIS\n\\fB%s\\fR \\fIcommand\\fR [\\fIoption\\fR...] [\\fIword\\fR...]\n.SH COMMANDS\n", manual->name);
	for (size_t i = 0; i < manual->count; i++)
		man_command(manual, manual->commands[i], out);
	buffer_text(out, ".SH OPTIONS OF EVERY COMMAND\nOptions may stand anywhere; \\fB\\-\\-\\fR ends them.\n");
	man_options(cli_common_options, out);
	buffer_text(out, ".SH EXIT STATUS\n");
	static const char *const exits[] = {"done", "failed", "wrong usage", "no result", "done, but some files were skipped; they are listed"};
	for (size_t i = 0; i < sizeof exits / sizeof *exits; i++)
		buffer_format(out, ".TP\n%zu\n%s\n", i, exits[i]);
	if (manual->environment) {
		buffer_text(out, ".SH ENVIRONMENT\n");
		roff_lines(manual->environment, out);
	}
}

/* ---- bash ------------------------------------------------------------------------------------------------------- */

/* Inside single quotes: to fish a backslash escapes itself and the quote, the others end the quotes for a while. */
static void quoted(const char *text, bool is_fish, struct buffer *out)
{
	for (; *text; text++)
		if (*text == '\'')
			buffer_text(out, is_fish ? "\\'" : "'\\''");
		else if (*text == '\\' && is_fish)
			buffer_text(out, "\\\\");
		else
			buffer_append(out, text, 1);
}

static void names_of(const struct cli_manual *manual, struct buffer *out)
{
	for (size_t i = 0; i < manual->count; i++)
		buffer_format(out, "%s%s", i ? " " : "", manual->commands[i]->name);
}

enum wanted { WANTED_ALL, WANTED_VALUE, WANTED_FILE, WANTED_FOLDER };

static bool is_wanted(const struct option_spec *spec, enum wanted wanted)
{
	int path = spec->kind & (OPTION_FILE | OPTION_FOLDER);

	if (wanted == WANTED_ALL)
		return true;
	return needs_value(spec) && path == (wanted == WANTED_FILE ? OPTION_FILE : wanted == WANTED_FOLDER ? OPTION_FOLDER : 0);
}

static void bash_names(const struct option_spec *spec, enum wanted wanted, struct buffer *out)
{
	for (; spec && spec->name; spec++) {
		if (!is_wanted(spec, wanted))
			continue;
		buffer_format(out, " --%s", spec->name);
		if (spec->letter && wanted != WANTED_ALL)
			buffer_format(out, " -%c", spec->letter);
	}
}

static void bash(const struct cli_manual *manual, struct buffer *out)
{
	static const struct {
		const char *name;
		enum wanted wanted;
	} lists[] = {{"options", WANTED_ALL}, {"values", WANTED_VALUE}, {"files", WANTED_FILE}, {"folders", WANTED_FOLDER}};
	const char *name = manual->name;

	buffer_format(out, "# bash completion for %s, made by `%s help --completion bash`.\n_%s() {\n", name, name, name);
	buffer_text(out, "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} options values files folders\n"
			 "\tlocal commands='");
	names_of(manual, out);
	buffer_text(out, "'\n\tCOMPREPLY=()\n"
			 "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\tmapfile -t COMPREPLY < <(compgen -W \"$commands\" -- \"$cur\")\n\t\treturn\n\tfi\n"
			 "\t# bash splits --name=value into three words\n"
			 "\tif [ \"$cur\" = = ]; then cur=; elif [ \"$prev\" = = ]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
			 "\tcase ${COMP_WORDS[1]} in\n");
	for (size_t i = 0; i < manual->count; i++) {
		buffer_format(out, "\t%s)\n", manual->commands[i]->name);
		for (size_t l = 0; l < sizeof lists / sizeof *lists; l++) {
			buffer_format(out, "\t\t%s='", lists[l].name);
			bash_names(manual->commands[i]->options, lists[l].wanted, out);
			bash_names(cli_common_options, lists[l].wanted, out);
			buffer_text(out, " '\n");
		}
		buffer_text(out, "\t\t;;\n");
	}
	buffer_format(out, "\tesac\n"
			   "\tcase $values in *\" $prev \"*) return ;; esac\n"
			   "\tcase $folders in *\" $prev \"*)\n\t\tcompopt -o filenames 2>/dev/null\n"
			   "\t\tmapfile -t COMPREPLY < <(compgen -d -- \"$cur\")\n\t\treturn ;;\n\tesac\n"
			   "\tcase $files in *\" $prev \"*) ;; *)\n"
			   "\t\tcase $cur in -*) mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$cur\"); return ;; esac\n"
			   "\t\tif [ \"${COMP_WORDS[1]}\" = help ]; then\n"
			   "\t\t\tmapfile -t COMPREPLY < <(compgen -W \"$commands\" -- \"$cur\")\n\t\t\treturn\n\t\tfi ;;\n\tesac\n"
			   "\tcompopt -o filenames 2>/dev/null\n\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n}\n"
			   "complete -F _%s %s\n", name, name);
}

/* ---- zsh -------------------------------------------------------------------------------------------------------- */

/* Text of a specification: what has a meaning to _arguments is escaped. */
static void zsh_text(const char *text, struct buffer *out)
{
	for (; *text; text++) {
		if (strchr("[]:\\", *text))
			buffer_text(out, "\\");
		if (*text == '\'')
			buffer_text(out, "'\\''");
		else
			buffer_append(out, text, 1);
	}
}

static void zsh_option(const struct option_spec *spec, struct buffer *out)
{
	bool value = needs_value(spec), many = spec->kind & OPTION_MANY;
	const char *equals = value ? "=" : is_bare(spec) ? "=-" : "";

	buffer_text(out, " \\\n\t\t\t'");
	if (spec->letter && many)
		buffer_text(out, "*'");
	else if (spec->letter)
		buffer_format(out, "(-%c --%s)'", spec->letter, spec->name);
	if (spec->letter)
		buffer_format(out, "{-%c%s,--%s%s}'[", spec->letter, value ? "+" : "", spec->name, equals);
	else
		buffer_format(out, "%s--%s%s[", many ? "*" : "", spec->name, equals);
	help_of(spec, zsh_text, out);
	buffer_text(out, "]");
	if (value || is_bare(spec)) {
		buffer_text(out, value ? ":" : "::");
		zsh_text(spec->value, out);
		buffer_text(out, spec->kind & OPTION_FOLDER ? ":_files -/" : spec->kind & OPTION_FILE ? ":_files" : ": ");
	}
	buffer_text(out, "'");
}

static void zsh(const struct cli_manual *manual, struct buffer *out)
{
	const char *name = manual->name;

	buffer_format(out, "#compdef %s\n# zsh completion for %s, made by `%s help --completion zsh`.\n_%s() {\n", name, name, name, name);
	buffer_text(out, "\tlocal -a commands\n\tcommands=(\n");
	for (size_t i = 0; i < manual->count; i++) {
		buffer_format(out, "\t\t'%s:", manual->commands[i]->name);
		quoted(manual->commands[i]->summary, false, out);
		buffer_text(out, "'\n");
	}
	buffer_text(out, "\t)\n\tif (( CURRENT == 2 )); then\n\t\t_describe command commands\n\t\treturn\n\tfi\n"
			 "\tlocal command=$words[2]\n\tshift words\n\t(( CURRENT-- ))\n\tcase $command in\n");
	for (size_t i = 0; i < manual->count; i++) {
		const struct command *command = manual->commands[i];
		buffer_format(out, "\t%s)\n\t\t_arguments -s -S", command->name);
		for (const struct option_spec *spec = command->options; spec && spec->name; spec++)
			zsh_option(spec, out);
		for (const struct option_spec *spec = cli_common_options; spec->name; spec++)
			zsh_option(spec, out);
		buffer_text(out, strcmp(command->name, "help") == 0 ? " \\\n\t\t\t'*:command:{_describe command commands}' ;;\n"
								    : " \\\n\t\t\t'*:file:_files' ;;\n");
	}
	buffer_format(out, "\tesac\n}\n_%s \"$@\"\n", name);
}

/* ---- fish ------------------------------------------------------------------------------------------------------- */

static void fish_quoted(const char *text, struct buffer *out)
{
	quoted(text, true, out);
}

static void fish_options(const char *name, const char *command, const struct option_spec *spec, struct buffer *out)
{
	for (; spec && spec->name; spec++) {
		bool value = needs_value(spec);
		buffer_format(out, "complete -c %s -n '__fish_seen_subcommand_from %s' -l %s", name, command, spec->name);
		if (spec->letter)
			buffer_format(out, " -s %c", spec->letter);
		if (value && spec->kind & OPTION_FOLDER)
			buffer_text(out, " -x -a '(__fish_complete_directories)'");
		else if (value)
			buffer_text(out, spec->kind & OPTION_FILE ? " -r -F" : " -x");
		buffer_text(out, " -d '");
		help_of(spec, fish_quoted, out);
		buffer_text(out, "'\n");
	}
}

static void fish(const struct cli_manual *manual, struct buffer *out)
{
	const char *name = manual->name;

	buffer_format(out, "# fish completion for %s, made by `%s help --completion fish`.\n", name, name);
	for (size_t i = 0; i < manual->count; i++) {
		const struct command *command = manual->commands[i];
		buffer_format(out, "complete -c %s -n __fish_use_subcommand -f -a %s -d '", name, command->name);
		quoted(command->summary, true, out);
		buffer_text(out, "'\n");
		fish_options(name, command->name, command->options, out);
		fish_options(name, command->name, cli_common_options, out);
		if (strcmp(command->name, "help") == 0) {
			buffer_format(out, "complete -c %s -n '__fish_seen_subcommand_from help' -f -a '", name);
			names_of(manual, out);
			buffer_text(out, "'\n");
		}
	}
}

enum status cli_pages_completion(const struct cli_manual *manual, const char *shell, struct buffer *out, struct err *err)
{
	static const struct {
		const char *name;
		void (*make)(const struct cli_manual *manual, struct buffer *out);
	} shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};

	for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
		if (strcmp(shell, shells[i].name) == 0) {
			shells[i].make(manual, out);
			return out->failed ? err_memory(err, "a completion script") : STATUS_OK;
		}
	return err_set(err, STATUS_USAGE, "--completion takes bash, zsh or fish, not '%s'", shell);
}
