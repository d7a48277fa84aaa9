/* options.h: what a subcommand is. Its options are one table, from which come parsing, `coca help`, the man page and the
 * shell completions, so that they cannot disagree.
 *
 *     static const struct option_spec options[] = {
 *         {"limit", 'n', "N", OPTION_NUMBER, "show the best N (default 10)"},
 *         {"exclude", 0, "GLOB", OPTION_TEXT | OPTION_MANY, "leave out what matches"},
 *         {0},
 *     };
 *     const struct command command_search = {"search", "QUERY...", "find photographs by words", options, NULL, run};
 *
 *     static int run(struct cli *cli, const struct arguments *args) {
 *         size_t limit; struct err err;
 *         if (arguments_number(args, "limit", 10, 1, 1000000, &limit, &err) != STATUS_OK) return cli_fail(cli, &err);
 *         ...
 *
 * A command writes its results to cli->out and everything else to cli->log, never to stdout or stderr by name.
 */
#ifndef SCHEMA_CLI_OPTIONS_H
#define SCHEMA_CLI_OPTIONS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "schema/base/status.h"

enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_NO_RESULT = 3, EXIT_SKIPPED = 4 };

struct cli {
	FILE *out, *log;
	bool quiet;            /* --quiet: only results and errors */
	bool progress;         /* log is a terminal and not quiet: progress lines may be redrawn */
	const char *database;  /* path of the catalog: --db, else $COCA_DB, else $XDG_DATA_HOME/coca/library.db */
	const char *model;     /* model folder or file: --model, else $COCA_MODEL, else $XDG_DATA_HOME/coca/model if that
	                          exists, else the one that ships with the program */
	volatile sig_atomic_t *interrupted; /* set by Ctrl-C and SIGTERM for commands with handles_interrupt */
};

enum option_kind {
	OPTION_FLAG = 0,
	OPTION_TEXT = 1,       /* needs a value: --name VALUE or --name=VALUE */
	OPTION_NUMBER = 2,     /* an unsigned integer */
	OPTION_REAL = 3,
	OPTION_SIZE = 4,       /* bytes, with K M G T */
	OPTION_OPTIONAL = 5,   /* a value only as --name=VALUE */
	OPTION_KIND = 7,
	OPTION_MANY = 8,       /* may be given more than once; order among all options is kept */
	OPTION_FILE = 16,      /* the value is a path: completions offer files */
	OPTION_FOLDER = 32,
};

struct option_spec {
	const char *name;      /* without the dashes; NULL ends the table */
	char letter;           /* 0: none */
	const char *value;     /* what help calls the value: "N", "DIR" */
	int kind;              /* enum option_kind, or-ed */
	const char *help;
};

struct arguments {
	size_t count;                /* of positional words */
	const char *const *words;
	size_t given_count;          /* options in the order of the command line */
	const struct given_option {
		const struct option_spec *spec;
		const char *value;   /* NULL for a flag, and for OPTION_OPTIONAL without value */
	} *given;
};

struct command {
	const char *name;
	const char *synopsis;        /* its words, as help prints them: "DIR..." */
	const char *summary;         /* one line, lower case, no full stop */
	const struct option_spec *options; /* NULL: none beyond the common ones */
	const char *details;         /* further help, lines of at most 100 columns; may be NULL */
	int (*run)(struct cli *cli, const struct arguments *args); /* returns an enum exit_code */
	bool handles_interrupt;      /* the command looks at cli->interrupted and finishes by itself */
	bool passive_threads;        /* threads of its own compute beside OpenBLAS's: waiting threads must sleep */
};

/* Options every command takes: --db, --model, --precision, --quiet, --help. */
extern const struct option_spec cli_common_options[];

/* Splits argv (behind the subcommand's name) by command's table and the common options. Options may stand anywhere;
 * "--" ends them. arguments_release frees what it holds; the strings stay argv's. STATUS_USAGE names the bad word. */
enum status arguments_parse(const struct command *command, int argc, char **argv, struct arguments *args, struct err *err);
void arguments_release(struct arguments *args);

bool arguments_flag(const struct arguments *args, const char *name);
/* The last value given, or fallback. */
const char *arguments_text(const struct arguments *args, const char *name, const char *fallback);
enum status arguments_number(const struct arguments *args, const char *name, size_t fallback, size_t least, size_t most,
			     size_t *value, struct err *err);
enum status arguments_real(const struct arguments *args, const char *name, double fallback, double *value, struct err *err);
enum status arguments_size(const struct arguments *args, const char *name, size_t fallback, size_t *value, struct err *err);

/* Prints "coca: ..." to log and returns the exit code that fits err->status. */
int cli_fail(struct cli *cli, const struct err *err);

/* "12.3 MB", "1:02:03": for people. Returns text. */
const char *cli_bytes(double bytes, char text[16]);
const char *cli_duration(double seconds, char text[16]);

/* A progress line: "indexing  1,203 of 4,000  112 photos/s  0:25 left". Draws at most ten times a second, and only when
 * cli->progress; on a log that is no terminal it prints nothing. total 0: unknown. */
struct progress {
	struct cli *cli;
	const char *verb, *unit;
	double started, drawn;
};
void progress_start(struct progress *progress, struct cli *cli, const char *verb, const char *unit);
void progress_show(struct progress *progress, size_t done, size_t total);
void progress_end(struct progress *progress); /* clears the line */

/* Monotonic seconds. */
double cli_now(void);

#endif
