/* coca.c: the front door: the table of subcommands, help, where things are by default, exit codes. What a command does is
 * in the floor that owns it (indexer/commands/commands.h, query/commands/commands.h, model/commands/commands.h). */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <faiss/c_api/Index_c.h>
#include <sqlite3.h>

#include "indexer/commands/commands.h"
#include "model/commands/commands.h"
#include "model/math/int8.h"
#include "query/commands/commands.h"
#include "query/commands/open.h"
#include "schema/base/blas.h"
#include "schema/base/clock.h"
#include "schema/cli/options.h"
#include "schema/cli/pages.h"
#include "schema/cli/progress.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

#define COCA_VERSION "0.1.0"

static int run_help(struct cli *cli, const struct arguments *args);
static int run_version(struct cli *cli, const struct arguments *args);

struct help_options {
	bool man;
	const char *shell;
};
static const struct option_spec help_options[] = {
	OPTION_FLAG(struct help_options, man, "man", 0, "print the manual page, in roff: coca help --man | man -l -"),
	OPTION_TEXT(struct help_options, shell, "completion", 0, "SHELL", 0, "print a completion script for bash, zsh or fish"),
	{0},
};
static const struct command command_help = {
	.name = "help", .synopsis = "[COMMAND]", .summary = "explain a command", .options = help_options,
	.options_size = sizeof(struct help_options), .run = run_help};
static const struct command command_version = {
	.name = "version", .synopsis = "", .summary = "print versions, and which arithmetic kernels are in use", .run = run_version};

static const struct command *const commands[] = {
	&command_index,  &command_search, &command_similar, &command_duplicates, &command_match,  &command_caption, &command_classify,
	&command_texts,  &command_tune,   &command_heads, &command_ask,
	&command_embed,  &command_eval,   &command_inspect, &command_model, &command_status, &command_verify, &command_forget,
	&command_train,  &command_version, &command_help,
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

/* ---- help ------------------------------------------------------------------------------------------------------- */

static const struct cli_manual manual = {
	.name = "coca",
	.version = COCA_VERSION,
	.summary = "find photographs by meaning, offline",
	.opening = "coca finds photographs by meaning, offline.\n\n"
		   "  coca index ~/Pictures\n"
		   "  coca search \"two dogs running in the snow\"\n",
	.commands = commands,
	.count = COMMAND_COUNT,
	.environment =
		"COCA_DB          the catalog, as --db\n"
		"COCA_MODEL       the model, as --model\n"
		"XDG_DATA_HOME    where coca/library.db and coca/model are, unless said otherwise; default ~/.local/share\n"
		"NO_COLOR         not empty: no colours\n",
};
/* `coca help --man` and `--completion`: what packages install. */
static int print_page(struct cli *cli, const char *shell)
{
	struct buffer page = {0};
	struct err err;
	enum status status = STATUS_OK;

	if (shell)
		status = cli_pages_completion(&manual, shell, &page, &err);
	else
		cli_pages_man(&manual, &page);
	if (status == STATUS_OK && page.failed)
		status = err_memory(&err, "a page");
	if (status == STATUS_OK)
		fwrite(page.data, 1, page.size, cli->out);
	buffer_release(&page);
	return status == STATUS_OK ? EXIT_DONE : cli_fail(cli, &err);
}

static int run_help(struct cli *cli, const struct arguments *args)
{
	const struct help_options *given = args->options;

	if (given->man || given->shell)
		return print_page(cli, given->shell);
	if (args->count == 0) {
		cli_help(&manual, cli->out);
		return EXIT_DONE;
	}
	const struct command *command = find_command(args->words[0]);
	if (!command) {
		fprintf(cli->log, "coca: there is no command '%s'; hint: coca help\n", args->words[0]);
		return EXIT_USAGE;
	}
	cli_help_command(&manual, command, cli->out);
	return EXIT_DONE;
}

static int run_version(struct cli *cli, const struct arguments *args)
{
	(void)args;
	fprintf(cli->out, "coca %s\nOpenBLAS kernels: %s, %d threads\n8-bit kernels: %s\nSQLite %s\nFAISS %s\n", COCA_VERSION, blas_kernel(),
		blas_threads(), int8_kernel()->name, sqlite3_libversion(), COCA_FAISS_VERSION);
	return EXIT_DONE;
}

/* ---- defaults --------------------------------------------------------------------------------------------------- */

/* $XDG_DATA_HOME/coca/name, with the specification's default; NULL when there is no home. */
static char *data_path(const char *name)
{
	const char *base = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	struct buffer path = {0};

	if (base && base[0] == '/')
		buffer_format(&path, "%s/coca/%s", base, name);
	else if (home && *home)
		buffer_format(&path, "%s/.local/share/coca/%s", home, name);
	return path.data;
}

/* The model that ships: beside an installed program in ../share/coca/model, in the source tree in model/default. */
static char *shipped_model(void)
{
	static const char *const places[] = {"../share/coca/model", "../model/default", "../../model/default"};
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	if (n <= 0)
		return NULL;
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		char *place = path_join(self, places[i]);
		char *real = place ? realpath(place, NULL) : NULL;
		free(place);
		if (real)
			return real;
	}
	return NULL;
}

static char *default_database(const char *given)
{
	const char *named = given ? given : getenv("COCA_DB");
	char *path = named && *named ? mem_copy(named, strlen(named)) : data_path("library.db");
	char *real = path ? path_follow(path) : NULL;

	free(path);
	return real;
}

static char *default_model(const char *given)
{
	const char *named = given ? given : getenv("COCA_MODEL");
	if (named && *named)
		return mem_copy(named, strlen(named));
	char *own = data_path("model");
	if (own && access(own, F_OK) == 0)
		return own;
	free(own);
	return shipped_model();
}

/* ---- running ---------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;

/* As if nothing had caught it, but what is half written goes. */
static void on_end(int signal_number)
{
	file_writers_remove();
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

/* The second time: leave at once. But timeout(1) signals its child and then its group, which is one wish, not two. */
static void on_interrupt(int signal_number)
{
	static struct timespec first;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!interrupted) {
		first = now;
		interrupted = 1;
	} else if ((now.tv_sec - first.tv_sec) * 1000 + (now.tv_nsec - first.tv_nsec) / 1000000 > 200) {
		on_end(signal_number);
	}
}

/* What is ignored, as by nohup, stays so. */
static void catch_signals(bool interrupts)
{
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
	struct sigaction action = {0}, old;

	signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of that write */
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
		sigaddset(&action.sa_mask, ends[i]);
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		action.sa_handler = interrupts && i < 2 ? on_interrupt : on_end;
		if (sigaction(ends[i], NULL, &old) == 0 && (old.sa_handler != SIG_IGN || action.sa_handler == on_interrupt))
			sigaction(ends[i], &action, NULL);
	}
}

static int run(const struct command *command, struct cli *cli, const struct arguments *args)
{
	char *database = default_database(args->common.database);
	char *model = default_model(args->common.model);
	struct library library = {0};
	struct err err;
	int code = EXIT_FAILED;

	if (!database) {
		fprintf(cli->log, "coca: neither $HOME nor $XDG_DATA_HOME is set; hint: say where the catalog is with --db FILE\n");
		goto out;
	}
	cli->database = database;
	cli->model = model ? model : "model/default";
	cli->quiet = args->common.quiet;
	cli->progress = !cli->quiet && isatty(fileno(cli->log));
	cli->interrupted = &interrupted;
	cli_listen(cli);
	cli->precision = args->common.precision;
	catch_signals(command->handles_interrupt);
	cli->needs = command->needs;
	cli->started = clock_now();
	enum status status = command->check ? command->check(cli, args, &err) : STATUS_OK;
	if (status == STATUS_OK)
		status = open_needs(cli, &library, &err);
	code = status == STATUS_OK ? command->run(cli, args) : open_failed(cli, &err);
	library_close(&library);
	if (fflush(cli->out) != 0 || ferror(cli->out)) {
		fprintf(cli->log, "coca: cannot write the results: %s\n", strerror(errno));
		code = EXIT_FAILED;
	}
out:
	free(database);
	free(model);
	return code;
}

int main(int argc, char **argv)
{
	struct cli cli = {.out = stdout, .log = stderr};
	struct arguments args;
	struct err err;

	const char *name = argc > 1 ? argv[1] : "help";
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		name = "help";
	if (strcmp(name, "--version") == 0)
		name = "version";
	const struct command *command = find_command(name);
	if (!command) {
		fprintf(stderr, "coca: there is no command '%s'; hint: coca help\n", name);
		return EXIT_USAGE;
	}
	blas_guard(argv, command->passive_threads);
	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("f16c")) {
		fprintf(stderr, "coca: this processor lacks AVX2, FMA or F16C, which coca is built for\n");
		return EXIT_FAILED;
	}
	int skip = argc > 1 ? 2 : 1;
	if (arguments_parse(command, argc - skip, argv + skip, &args, &err) != STATUS_OK)
		return cli_fail(&cli, &err);
	int code = EXIT_DONE;
	if (args.common.help)
		cli_help_command(&manual, command, stdout);
	else
		code = run(command, &cli, &args);
	arguments_release(&args);
	return code;
}
