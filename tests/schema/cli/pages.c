/* The manual page and the completions: nothing of the table is left out, and what has a meaning to roff or a shell is escaped. */
#include "tests/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/cli/pages.h"

#include "schema/base/banned.h"

struct options {
	size_t limit, rerank;
	const char *in, *page;
	struct option_list terms;
	bool all;
};
static const struct option_spec options[] = {
	OPTION_NUMBER(struct options, limit, "limit", 'n', "N", 1, 10, 1, "a [number], it's \\ one"),
	OPTION_TEXT(struct options, in, "in", 0, "DIR", OPTION_FOLDER, "a folder"),
	OPTION_TEXT(struct options, page, "html", 0, "FILE", OPTION_FILE, "a file"),
	OPTION_BARE_NUMBER(struct options, rerank, "rerank", 0, "N", 1, 10, 0, 1, "an optional value"),
	OPTION_LIST(struct options, terms, "add", 'a', "X", OPTION_MANY, 0, "many"),
	OPTION_FLAG(struct options, all, "all", 'A', "a flag"),
	{0},
};
static const struct command find = {.name = "find", .synopsis = "WORD...", .summary = "find what's there", .options = options,
				    .details = ".not a request\n\n'nor this\n"};
static const struct command help = {.name = "help", .synopsis = "", .summary = "explain"};
static const struct command *const commands[] = {&find, &help};
static const struct cli_manual manual = {"thing", "1.2", "do things", commands, 2, "THING_DB  a file\n", "thing does things\n"};

static struct err err;

static char *completion(const char *shell)
{
	struct buffer out = {0};
	assert_ok(cli_pages_completion(&manual, shell, &out, &err), &err);
	return out.data;
}

static void every_option_is_in_the_manual(void **state)
{
	struct buffer out = {0};
	char name[64];

	(void)state;
	cli_pages_man(&manual, &out);
	assert_non_null(strstr(out.data, "\n.TH THING 1 "));
	for (const struct option_spec *spec = options; spec->name; spec++) {
		snprintf(name, sizeof name, "\\fB\\-\\-%s\\fR", spec->name);
		assert_non_null(strstr(out.data, name));
	}
	for (const struct option_spec *spec = cli_common_options; spec->name; spec++) {
		snprintf(name, sizeof name, "\\fB\\-\\-%s\\fR", spec->name);
		assert_non_null(strstr(out.data, name));
	}
	assert_non_null(strstr(out.data, "\\fB\\-n\\fR, \\fB\\-\\-limit\\fR \\fIN\\fR\n"));
	assert_non_null(strstr(out.data, "\\fB\\-\\-rerank\\fR[=\\fIN\\fR]\n"));
	assert_non_null(strstr(out.data, "THING_DB"));
	buffer_release(&out);
}

static void text_of_the_manual_is_no_request(void **state)
{
	struct buffer out = {0};

	(void)state;
	cli_pages_man(&manual, &out);
	assert_non_null(strstr(out.data, "\n\\&.not a request\n.sp\n\\&\\(aqnor this\n"));
	assert_non_null(strstr(out.data, "it\\(aqs \\e one\n"));
	buffer_release(&out);
}

static void bash_offers_names_and_knows_what_values_are(void **state)
{
	char *script = completion("bash");

	(void)state;
	assert_non_null(strstr(script, "commands='find help'"));
	assert_non_null(strstr(script, "options=' --limit --in --html --rerank --add --all --db --model --precision --quiet --help '"));
	assert_non_null(strstr(script, "values=' --limit -n --add -a --precision '"));
	assert_non_null(strstr(script, "files=' --html --db '"));
	assert_non_null(strstr(script, "folders=' --in --model '"));
	free(script);
}

static void zsh_escapes_what_arguments_reads(void **state)
{
	char *script = completion("zsh");

	(void)state;
	assert_int_equal(strncmp(script, "#compdef thing\n", 15), 0);
	assert_non_null(strstr(script, "'(-n --limit)'{-n+,--limit=}'[a \\[number\\], it'\\''s \\\\ one]:N: '"));
	assert_non_null(strstr(script, "'--in=[a folder]:DIR:_files -/'"));
	assert_non_null(strstr(script, "'--rerank=-[an optional value]::N: '"));
	assert_non_null(strstr(script, "'*'{-a+,--add=}'[many]:X: '"));
	assert_non_null(strstr(script, "'find:find what'\\''s there'"));
	free(script);
}

static void fish_offers_folders_for_folders(void **state)
{
	char *script = completion("fish");

	(void)state;
	assert_non_null(strstr(script, "from find' -l limit -s n -x -d 'a [number], it\\'s \\\\ one'\n"));
	assert_non_null(strstr(script, "-l in -x -a '(__fish_complete_directories)'"));
	assert_non_null(strstr(script, "-l html -r -F"));
	assert_non_null(strstr(script, "-l rerank -d"));
	free(script);
}

static void another_shell_is_refused(void **state)
{
	struct buffer out = {0};

	(void)state;
	assert_int_equal(cli_pages_completion(&manual, "csh", &out, &err), STATUS_USAGE);
}

TEST_MAIN(cmocka_unit_test(every_option_is_in_the_manual), cmocka_unit_test(text_of_the_manual_is_no_request),
	  cmocka_unit_test(bash_offers_names_and_knows_what_values_are), cmocka_unit_test(zsh_escapes_what_arguments_reads),
	  cmocka_unit_test(fish_offers_folders_for_folders), cmocka_unit_test(another_shell_is_refused))
