/* options.c: see options.h. The parser knows nothing of any command: it is driven by the tables. */
#include "schema/cli/options.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"

#include "schema/base/banned.h"

static const char *const precisions[] = {"fp32", "int8", NULL};

const struct option_spec cli_common_options[] = {
	OPTION_TEXT(struct common_options, database, "db", 0, "FILE", OPTION_FILE,
		    "the catalog (default $COCA_DB, else ~/.local/share/coca/library.db)"),
	OPTION_TEXT(struct common_options, model, "model", 0, "DIR", OPTION_FOLDER,
		    "model folder or weights file (default $COCA_MODEL, else ~/.local/share/coca/model, else the one that ships)"),
	OPTION_CHOICE(struct common_options, precision, "precision", 0, "fp32|int8", precisions, 1, -1,
		      "arithmetic of the image encoder and of reranking (default int8 where the model was quantised, else fp32)"),
	OPTION_FLAG(struct common_options, quiet, "quiet", 'q', "print results and errors only"),
	OPTION_FLAG(struct common_options, help, "help", 'h', "print this help"),
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

static bool is_common(const struct option_spec *spec)
{
	return find_in(cli_common_options, spec->name, strlen(spec->name), 0) == spec;
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
	if (!(spec->kind & OPTION_MANY) && (spec->kind & OPTION_KIND) != KIND_FLAG)
		for (size_t i = 0; i < p->given_count; i++)
			if (p->given[i].spec == spec)
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
	bool flag = (spec->kind & OPTION_KIND) == KIND_FLAG;
	if (flag && equals)
		return err_set(err, STATUS_USAGE, "--%s takes no value", spec->name);
	if (flag || spec->kind & OPTION_BARE || equals)
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
		if ((spec->kind & OPTION_KIND) == KIND_FLAG || spec->kind & OPTION_BARE) {
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

/* ---- filling ---------------------------------------------------------------------------------------------------- */

static enum status read_number(const struct option_spec *spec, const char *text, size_t *value, struct err *err)
{
	char *end;

	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || n < spec->least.number || n > spec->most.number)
		return err_set(err, STATUS_USAGE, "--%s takes a whole number from %zu to %zu, not '%s'", spec->name, spec->least.number,
			       spec->most.number, text);
	*value = (size_t)n;
	return STATUS_OK;
}

static enum status read_real(const struct option_spec *spec, const char *text, double *value, struct err *err)
{
	char *end;
	double x = strtod(text, &end);

	if (end == text || *end || !isfinite(x))
		return err_set(err, STATUS_USAGE, "--%s takes a number, not '%s'", spec->name, text);
	if (x < spec->least.real || x > spec->most.real)
		return err_set(err, STATUS_USAGE, "--%s takes a number from %g to %g, not %g", spec->name, spec->least.real, spec->most.real, x);
	*value = x;
	return STATUS_OK;
}

static const char size_units[] = "KMGT";

static enum status read_size(const struct option_spec *spec, const char *text, size_t *value, struct err *err)
{
	char *end;
	double x = strtod(text, &end);
	const char *unit = *end ? strchr(size_units, *end >= 'a' ? *end - 'a' + 'A' : *end) : NULL;
	bool good = end != text && text[0] >= '0' && text[0] <= '9';

	if (unit) {
		x = ldexp(x, 10 * (int)(unit - size_units + 1));
		end++;
		if (*end == 'B' || *end == 'b')
			end++;
	}
	if (!good || *end || !(x < (double)PTRDIFF_MAX))
		return err_set(err, STATUS_USAGE, "--%s takes a size such as 500M or 2G, not '%s'", spec->name, text);
	*value = (size_t)x;
	return STATUS_OK;
}

/* "text, json or paths0" */
static void list_choices(const struct option_spec *spec, size_t last, struct buffer *out)
{
	for (size_t i = 0; spec->choices[i] && i <= last; i++)
		buffer_format(out, "%s%s", i == 0 ? "" : i == last || !spec->choices[i + 1] ? " or " : ", ", spec->choices[i]);
}

static enum status read_choice(const struct option_spec *spec, const char *text, int *value, struct err *err)
{
	struct buffer words = {0};
	size_t i = 0;

	while (spec->choices[i] && strcmp(spec->choices[i], text) != 0)
		i++;
	if (spec->choices[i] && i <= spec->most.number) {
		*value = (int)i;
		return STATUS_OK;
	}
	/* What another command takes is no mistake of spelling. */
	bool known = spec->choices[i];
	list_choices(spec, known ? spec->most.number : SIZE_MAX, &words);
	if (words.failed)
		err_memory(err, "the command line");
	else if (known)
		err_set(err, STATUS_USAGE, "--%s takes %s here", spec->name, words.data);
	else
		err_set(err, STATUS_USAGE, "--%s takes %s, not '%s'", spec->name, words.data, text);
	buffer_release(&words);
	return err->status;
}

/* A value into its member; NULL: what the option is without a value. */
static enum status fill(const struct option_spec *spec, const char *text, void *member, struct err *err)
{
	switch (spec->kind & OPTION_KIND) {
	case KIND_FLAG:
		*(bool *)member = true;
		break;
	case KIND_TEXT:
		*(const char **)member = text ? text : spec->bare.text;
		break;
	case KIND_NUMBER:
		if (text)
			return read_number(spec, text, member, err);
		*(size_t *)member = spec->bare.number;
		break;
	case KIND_REAL:
		if (text)
			return read_real(spec, text, member, err);
		*(double *)member = spec->bare.real;
		break;
	case KIND_SIZE:
		return read_size(spec, text, member, err);
	case KIND_CHOICE:
		return read_choice(spec, text, member, err);
	default:
		break; /* lists: below */
	}
	return STATUS_OK;
}

static void fill_defaults(const struct option_spec *spec, char *options)
{
	for (; spec && spec->name; spec++) {
		char *member = options + spec->at;
		switch (spec->kind & OPTION_KIND) {
		case KIND_TEXT:
			*(const char **)member = spec->fallback.text;
			break;
		case KIND_NUMBER:
		case KIND_SIZE:
			*(size_t *)member = spec->fallback.number;
			break;
		case KIND_REAL:
			*(double *)member = spec->fallback.real;
			break;
		case KIND_CHOICE:
			*(int *)member = (int)spec->fallback.number;
			break;
		default:
			break; /* false, and an empty list */
		}
	}
}

static bool is_listed(const struct option_spec *spec)
{
	return (spec->kind & OPTION_KIND) == KIND_LIST;
}

/* The lists of a command are few: each is collected when its first value is met. They share one array, as they share no value. */
static enum status fill_lists(struct arguments *args, char *options, struct err *err)
{
	struct option_item *next = args->items = mem_array(args->given_count, sizeof *args->items);

	if (!next)
		return err_memory(err, "the command line");
	for (size_t i = 0; i < args->given_count; i++) {
		const struct option_spec *first = args->given[i].spec;
		struct option_list *list = (struct option_list *)(options + first->at);
		if (!is_listed(first) || list->items)
			continue;
		list->items = next;
		for (size_t k = i; k < args->given_count; k++) {
			const struct option_spec *spec = args->given[k].spec;
			if (is_listed(spec) && spec->at == first->at)
				list->items[list->count++] = (struct option_item){spec->tag, args->given[k].value};
		}
		next += list->count;
	}
	return STATUS_OK;
}

static enum status fill_all(const struct command *command, struct arguments *args, struct err *err)
{
	enum status status = STATUS_OK;

	fill_defaults(cli_common_options, (char *)&args->common);
	for (size_t i = 0; i < args->given_count && !args->common.help; i++)
		args->common.help = is_common(args->given[i].spec) && args->given[i].spec->letter == 'h';
	if (args->common.help)
		return STATUS_OK;
	for (size_t i = 0; i < args->given_count && status == STATUS_OK; i++)
		if (is_common(args->given[i].spec))
			status = fill(args->given[i].spec, args->given[i].value, (char *)&args->common + args->given[i].spec->at, err);
	if (status != STATUS_OK || !command->options_size)
		return status;
	char *options = calloc(1, command->options_size);
	if (!options)
		return err_memory(err, "the command line");
	args->options = options;
	fill_defaults(command->options, options);
	for (size_t i = 0; i < args->given_count && status == STATUS_OK; i++)
		if (!is_common(args->given[i].spec))
			status = fill(args->given[i].spec, args->given[i].value, options + args->given[i].spec->at, err);
	return status == STATUS_OK ? fill_lists(args, options, err) : status;
}

/* ---- all of it -------------------------------------------------------------------------------------------------- */

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
	*args = (struct arguments){p.word_count, p.words, p.given_count, p.given, NULL, {0}, NULL};
	status = fill_all(command, args, err);
	if (status != STATUS_OK)
		arguments_release(args);
	return status;
}

void arguments_release(struct arguments *args)
{
	free((void *)args->words);
	free((void *)args->given);
	free((void *)args->options);
	free(args->items);
	*args = (struct arguments){0};
}

bool option_given(const struct arguments *args, size_t at)
{
	for (size_t i = 0; i < args->given_count; i++)
		if (args->given[i].spec->at == at && !is_common(args->given[i].spec))
			return true;
	return false;
}

/* ---- help ------------------------------------------------------------------------------------------------------- */

static void print_size(size_t n, struct buffer *out)
{
	size_t u = 0;

	for (; u < sizeof size_units - 1 && n >= 1024 && n % 1024 == 0; u++)
		n /= 1024;
	buffer_format(out, "%zu", n);
	if (u)
		buffer_append(out, &size_units[u - 1], 1);
}

/* 0.5, 40, 1e-3 */
static void print_real(double x, struct buffer *out)
{
	int exponent = x > 0 && x < 0.01 ? (int)floor(log10(x) + 1e-9) : 0;

	buffer_format(out, "%g", exponent ? x / pow(10, exponent) : x);
	if (exponent)
		buffer_format(out, "e%d", exponent);
}

static void print_default(const struct option_spec *spec, struct buffer *out)
{
	const union option_value *value = spec->kind & OPTION_BARE ? &spec->bare : &spec->fallback;

	switch (spec->kind & OPTION_KIND) {
	case KIND_TEXT:
		buffer_text(out, value->text);
		break;
	case KIND_NUMBER:
		buffer_format(out, "%zu", value->number);
		break;
	case KIND_REAL:
		print_real(value->real, out);
		break;
	case KIND_SIZE:
		print_size(value->number, out);
		break;
	case KIND_CHOICE:
		buffer_text(out, spec->choices[value->number]);
		break;
	default:
		break;
	}
}

void option_help(const struct option_spec *spec, struct buffer *out)
{
	for (const char *c = spec->help; *c; c++)
		if (*c == '%')
			print_default(spec, out);
		else
			buffer_append(out, c, 1);
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
