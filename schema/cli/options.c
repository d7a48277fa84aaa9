/* options.c: see options.h. The parser knows nothing of any command: it is driven by the tables. */
#include "schema/cli/options.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "schema/base/memory.h"

#include "schema/base/banned.h"

const struct option_spec cli_common_options[] = {
	{"db", 0, "FILE", OPTION_TEXT | OPTION_FILE, "the catalog (default $COCA_DB, else ~/.local/share/coca/library.db)"},
	{"model", 0, "DIR", OPTION_TEXT | OPTION_FOLDER,
	 "model folder or weights file (default $COCA_MODEL, else ~/.local/share/coca/model, else the one that ships)"},
	{"precision", 0, "fp32|int8", OPTION_TEXT,
	 "arithmetic of the image encoder and of reranking (default int8 where the model was quantised, else fp32)"},
	{"quiet", 'q', NULL, OPTION_FLAG, "print results and errors only"},
	{"help", 'h', NULL, OPTION_FLAG, "print this help"},
	{0},
};

/* ---- parsing ---------------------------------------------------------------------------------------------------- */

static const struct option_spec *find_in(const struct option_spec *table, const char *name, size_t size, char letter)
{
	for (; table && table->name; table++)
		if (letter ? table->letter == letter : strlen(table->name) == size && memcmp(table->name, name, size) == 0)
			return table;
	return NULL;
}

static const struct option_spec *find(const struct command *command, const char *name, size_t size, char letter)
{
	const struct option_spec *spec = find_in(command->options, name, size, letter);
	return spec ? spec : find_in(cli_common_options, name, size, letter);
}

struct parser {
	const struct command *command;
	const char **words;
	struct given_option *given;
	size_t word_count, given_count;
};

static enum status give(struct parser *p, const struct option_spec *spec, const char *value, struct err *err)
{
	if (!(spec->kind & OPTION_MANY))
		for (size_t i = 0; i < p->given_count; i++)
			if (p->given[i].spec == spec && (spec->kind & OPTION_KIND) != OPTION_FLAG)
				return err_set(err, STATUS_USAGE, "--%s is given twice", spec->name);
	p->given[p->given_count++] = (struct given_option){spec, value};
	return STATUS_OK;
}

/* "--name", "--name=value" or "--name" "value"; *used is how many further words were taken. */
static enum status parse_long(struct parser *p, const char *word, const char *next, int *used, struct err *err)
{
	const char *name = word + 2, *equals = strchr(name, '=');
	size_t size = equals ? (size_t)(equals - name) : strlen(name);
	const struct option_spec *spec = find(p->command, name, size, 0);

	if (!spec)
		return err_set(err, STATUS_USAGE, "coca %s has no option '--%.*s'; hint: coca help %s", p->command->name, (int)size, name,
			       p->command->name);
	int kind = spec->kind & OPTION_KIND;
	if (kind == OPTION_FLAG && equals)
		return err_set(err, STATUS_USAGE, "--%s takes no value", spec->name);
	if (kind == OPTION_FLAG || kind == OPTION_OPTIONAL || equals)
		return give(p, spec, equals ? equals + 1 : NULL, err);
	if (!next)
		return err_set(err, STATUS_USAGE, "--%s needs a value: --%s %s", spec->name, spec->name, spec->value);
	*used = 1;
	return give(p, spec, next, err);
}

/* "-n10", "-n" "10", "-q": one letter a word, but flags may stand together. */
static enum status parse_letters(struct parser *p, const char *word, const char *next, int *used, struct err *err)
{
	for (const char *c = word + 1; *c; c++) {
		const struct option_spec *spec = find(p->command, NULL, 0, *c);
		if (!spec)
			return err_set(err, STATUS_USAGE, "coca %s has no option '-%c'; hint: coca help %s", p->command->name, *c,
				       p->command->name);
		int kind = spec->kind & OPTION_KIND;
		if (kind == OPTION_FLAG || kind == OPTION_OPTIONAL) {
			enum status status = give(p, spec, NULL, err);
			if (status != STATUS_OK)
				return status;
			continue;
		}
		if (c[1])
			return give(p, spec, c + 1, err);
		if (!next)
			return err_set(err, STATUS_USAGE, "-%c needs a value: -%c %s", *c, *c, spec->value);
		*used = 1;
		return give(p, spec, next, err);
	}
	return STATUS_OK;
}

/* "-label:x", where there is an option --label: a word of the query, whatever letters options have. */
static bool is_negated_word(const struct command *command, const char *word)
{
	size_t size = strcspn(word + 1, ":");

	return size > 1 && word[1] != '-' && word[1 + size] == ':' && find(command, word + 1, size, 0);
}

enum status arguments_parse(const struct command *command, int argc, char **argv, struct arguments *args, struct err *err)
{
	size_t room = argc > 0 ? (size_t)argc : 0;
	/* Each word is at most as many options as it has letters. */
	for (int i = 0; i < argc; i++)
		room += strlen(argv[i]);
	struct parser p = {.command = command};
	enum status status = STATUS_OK;
	bool ended = false;

	*args = (struct arguments){0};
	p.words = mem_array(room, sizeof *p.words);
	p.given = mem_array(room, sizeof *p.given);
	if (!p.words || !p.given)
		status = err_memory(err, "the command line");
	for (int i = 0; i < argc && status == STATUS_OK; i++) {
		const char *word = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
		int used = 0;
		if (ended || word[0] != '-' || word[1] == '\0' || is_negated_word(command, word))
			p.words[p.word_count++] = word;
		else if (strcmp(word, "--") == 0)
			ended = true;
		else if (word[1] == '-')
			status = parse_long(&p, word, next, &used, err);
		else
			status = parse_letters(&p, word, next, &used, err);
		i += used;
	}
	if (status != STATUS_OK) {
		free(p.words);
		free(p.given);
		return status;
	}
	*args = (struct arguments){p.word_count, p.words, p.given_count, p.given};
	return STATUS_OK;
}

void arguments_release(struct arguments *args)
{
	free((void *)args->words);
	free((void *)args->given);
	*args = (struct arguments){0};
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

static const struct given_option *last_given(const struct arguments *args, const char *name)
{
	for (size_t i = args->given_count; i-- > 0;)
		if (strcmp(args->given[i].spec->name, name) == 0)
			return &args->given[i];
	return NULL;
}

bool arguments_flag(const struct arguments *args, const char *name)
{
	return last_given(args, name) != NULL;
}

const char *arguments_text(const struct arguments *args, const char *name, const char *fallback)
{
	const struct given_option *given = last_given(args, name);
	return given && given->value ? given->value : fallback;
}

enum status arguments_number(const struct arguments *args, const char *name, size_t fallback, size_t least, size_t most, size_t *value,
			     struct err *err)
{
	const char *text = arguments_text(args, name, NULL);
	char *end;

	*value = fallback;
	if (!text)
		return STATUS_OK;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || n < least || n > most)
		return err_set(err, STATUS_USAGE, "--%s takes a whole number from %zu to %zu, not '%s'", name, least, most, text);
	*value = (size_t)n;
	return STATUS_OK;
}

enum status arguments_real(const struct arguments *args, const char *name, double fallback, double *value, struct err *err)
{
	const char *text = arguments_text(args, name, NULL);
	char *end;

	*value = fallback;
	if (!text)
		return STATUS_OK;
	double x = strtod(text, &end);
	if (end == text || *end || !isfinite(x))
		return err_set(err, STATUS_USAGE, "--%s takes a number, not '%s'", name, text);
	*value = x;
	return STATUS_OK;
}

enum status arguments_size(const struct arguments *args, const char *name, size_t fallback, size_t *value, struct err *err)
{
	const char *text = arguments_text(args, name, NULL);
	static const char units[] = "KMGT";
	char *end;

	*value = fallback;
	if (!text)
		return STATUS_OK;
	double x = strtod(text, &end);
	const char *unit = *end ? strchr(units, *end >= 'a' ? *end - 'a' + 'A' : *end) : NULL;
	bool good = end != text && text[0] >= '0' && text[0] <= '9';
	if (unit) {
		x = ldexp(x, 10 * (int)(unit - units + 1));
		end++;
		if (*end == 'B' || *end == 'b')
			end++;
	}
	if (!good || *end || !(x < (double)PTRDIFF_MAX))
		return err_set(err, STATUS_USAGE, "--%s takes a size such as 500M or 2G, not '%s'", name, text);
	*value = (size_t)x;
	return STATUS_OK;
}

/* ---- messages --------------------------------------------------------------------------------------------------- */

int cli_fail(struct cli *cli, const struct err *err)
{
	fprintf(cli->log, "coca: %s\n", err->text);
	switch (err->status) {
	case STATUS_OK:
		return EXIT_DONE;
	case STATUS_USAGE:
		return EXIT_USAGE;
	default:
		return EXIT_FAILED;
	}
}

const char *cli_bytes(double bytes, char text[16])
{
	static const char *const units[] = {"bytes", "KB", "MB", "GB", "TB"};
	size_t u = 0;

	while (bytes >= 999.5 && u + 1 < sizeof units / sizeof *units) {
		bytes /= 1000;
		u++;
	}
	snprintf(text, 16, u && bytes < 9.95 ? "%.1f %s" : "%.0f %s", bytes, units[u]);
	return text;
}

const char *cli_duration(double seconds, char text[16])
{
	unsigned s = (unsigned)fmin(fmax(seconds + 0.5, 0), 359999999);

	if (s >= 3600)
		snprintf(text, 16, "%u:%02u:%02u", s / 3600 % 100000, s / 60 % 60, s % 60);
	else
		snprintf(text, 16, "%u:%02u", s / 60 % 60, s % 60);
	return text;
}

double cli_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* 1234567 as "1,234,567". */
static const char *grouped(size_t n, char text[32])
{
	char digits[24];
	int size = snprintf(digits, sizeof digits, "%zu", n);
	size_t at = 0;

	for (int i = 0; i < size; i++) {
		if (i && (size - i) % 3 == 0)
			text[at++] = ',';
		text[at++] = digits[i];
	}
	text[at] = '\0';
	return text;
}

void progress_start(struct progress *progress, struct cli *cli, const char *verb, const char *unit)
{
	*progress = (struct progress){cli, verb, unit, cli_now(), 0};
}

void progress_show(struct progress *progress, size_t done, size_t total)
{
	double now = cli_now(), seconds = now - progress->started;
	char a[32], b[32], left[16];

	if (!progress->cli->progress || now - progress->drawn < 0.1)
		return;
	progress->drawn = now;
	fprintf(progress->cli->log, "\r\033[K%s  %s", progress->verb, grouped(done, a));
	if (total)
		fprintf(progress->cli->log, " of %s", grouped(total, b));
	if (done && seconds > 0.5) {
		double rate = (double)done / seconds;
		fprintf(progress->cli->log, "  %.*f %s/s", rate < 10 ? 1 : 0, rate, progress->unit);
		if (total > done)
			fprintf(progress->cli->log, "  %s left", cli_duration((double)(total - done) / rate, left));
	}
	fflush(progress->cli->log);
}

void progress_end(struct progress *progress)
{
	if (progress->cli->progress && progress->drawn > 0) {
		fprintf(progress->cli->log, "\r\033[K");
		fflush(progress->cli->log);
	}
}
