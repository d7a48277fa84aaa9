/* options.h: what a subcommand is. Its options are one table, from which come parsing, `coca help`, the man page and the
 * shell completions, so that they cannot disagree. A row says where its value goes: into a member of the command's own
 * struct, whose type the macro checks, and what stands there when the option is not given.
 *
 *     struct search_options {
 *         size_t limit;
 *         int format;                      // an index of formats
 *         struct option_list terms;        // --add and --sub, in the order of the command line
 *     };
 *     static const struct option_spec options[] = {
 *         OPTION_NUMBER(struct search_options, limit, "limit", 'n', "N", 1, 1000000, 10, "show the best N (default %)"),
 *         OPTION_CHOICE(struct search_options, format, "format", 0, "FORMAT", formats, 1, 0, "text or json"),
 *         OPTION_LIST(struct search_options, terms, "add", 0, "X", OPTION_MANY, ADD, "add words to the query"),
 *         OPTION_LIST(struct search_options, terms, "sub", 0, "X", OPTION_MANY, SUBTRACT, "subtract words"),
 *         {0},
 *     };
 *     static int run(struct cli *cli, const struct arguments *args) {
 *         const struct search_options *o = args->options;
 *         ... o->limit, o->terms.items[i].tag, args->words[i] ...
 *     }
 *     const struct command command_search = {"search", "QUERY...", "find photographs by words", options, NULL, run,
 *                                            .options_size = sizeof(struct search_options)};
 *
 * A command writes its results to cli->out and everything else to cli->log, never to stdout or stderr by name.
 */
#ifndef SCHEMA_CLI_OPTIONS_H
#define SCHEMA_CLI_OPTIONS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "schema/base/listener.h"
#include "schema/base/status.h"
#include "schema/cli/table.h"

enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_NO_RESULT = 3, EXIT_SKIPPED = 4 };

/* What the front door opens before a command runs, and closes behind it. */
enum command_needs {
	NEEDS_NOTHING,         /* or something of its own */
	NEEDS_MODEL,           /* no catalog */
	NEEDS_CATALOG,         /* no model; exit code 1 where there is none */
	NEEDS_CATALOG_WRITER,
	NEEDS_LIBRARY,         /* a catalog and a model; exit code 3 where nothing was indexed by it */
	NEEDS_LIBRARY_OR_NONE, /* a model, and a catalog where there is one */
	NEEDS_LIBRARY_WRITER,  /* makes the catalog where there is none */
};

struct cli {
	FILE *out, *log;
	bool quiet;            /* --quiet: only results and errors */
	bool progress;         /* log is a terminal and not quiet: progress lines may be redrawn */
	const char *database;  /* path of the catalog: --db, else $COCA_DB, else $XDG_DATA_HOME/coca/library.db */
	int precision;         /* --precision: 0 fp32, 1 int8; -1: as the model has it */
	const char *model;     /* model folder or file: --model, else $COCA_MODEL, else $XDG_DATA_HOME/coca/model if that
	                          exists, else the one that ships with the program */
	enum command_needs needs; /* the command's; its check may say otherwise */
	double started;        /* clock_now() before it was opened */
	struct library *library; /* what it needs is in it (query/session/library.h) */
	struct catalog *catalog; /* the library's; NULL: none */
	struct listener listener; /* notes, faults and progress on the log as said above (cli_listen) */
	volatile sig_atomic_t *interrupted; /* set by Ctrl-C and SIGTERM for commands with handles_interrupt */
};

/* The options that every command takes. */
struct common_options {
	const char *database, *model;
	int precision;         /* index of fp32, int8; -1: not given */
	bool quiet, help;
};

struct arguments {
	size_t count;                /* of positional words */
	const char *const *words;
	size_t given_count;          /* options in the order of the command line */
	const struct given_option {
		const struct option_spec *spec;
		const char *value;   /* NULL for a flag, and for OPTION_BARE without value */
	} *given;
	const void *options;         /* the command's struct, filled by its table; NULL where options_size is 0 */
	struct common_options common;
	struct option_item *items;   /* of all lists */
};

struct command {
	const char *name;
	const char *synopsis;        /* its words, as help prints them: "DIR..." */
	const char *summary;         /* one line, lower case, no full stop */
	const struct option_spec *options; /* NULL: none beyond the common ones */
	const char *details;         /* further help, lines of at most 100 columns; may be NULL */
	enum command_needs needs;
	enum status (*check)(struct cli *cli, const struct arguments *args, struct err *err); /* wrong usage, before anything is opened; or NULL */
	int (*run)(struct cli *cli, const struct arguments *args); /* returns an enum exit_code */
	size_t options_size;         /* of the struct that the options fill; 0 without options */
	bool handles_interrupt;      /* the command looks at cli->interrupted and finishes by itself */
	bool passive_threads;        /* threads of its own compute beside OpenBLAS's: waiting threads must sleep */
};

/* Options every command takes: --db, --model, --precision, --quiet, --help. */
extern const struct option_spec cli_common_options[];

/* Splits argv (behind the subcommand's name) by command's table and the common options, and fills the command's struct.
 * Options may stand anywhere; "--" ends them. With --help no value is looked at. arguments_release frees what it holds; the
 * strings stay argv's. STATUS_USAGE names the bad word. */
enum status arguments_parse(const struct command *command, int argc, char **argv, struct arguments *args, struct err *err);
void arguments_release(struct arguments *args);

/* Was it on the command line? For options that exclude others; else the member says it. */
#define OPTION_GIVEN(args, type, member) option_given(args, offsetof(type, member))
bool option_given(const struct arguments *args, size_t at);

/* Prints "coca: ..." to log and returns the exit code that fits err->status. */
int cli_fail(struct cli *cli, const struct err *err);

#endif
