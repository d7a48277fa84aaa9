/* train_note.c: how a run was started: its options as words, kept in train_state.bin. --resume parses them as if they stood
 * on the command line, before those that do. */
#include <stdlib.h>
#include <string.h>

#include "model/commands/commands.h"
#include "model/commands/train_run.h"
#include "model/train/state.h"
#include "schema/base/file.h"

#include "schema/base/banned.h"

static bool is_one_of(const char *name, const char *const *names)
{
	for (; *names; names++)
		if (strcmp(name, *names) == 0)
			return true;
	return false;
}

/* As few digits as bring the same number back. */
static const char *print_real(double x, char text[32])
{
	snprintf(text, 32, "%.15g", x);
	if (strtod(text, NULL) != x)
		snprintf(text, 32, "%.17g", x);
	return text;
}

enum status train_note_write(struct run *run, struct err *err)
{
	static const char *const not_kept[] = {"shards", "tsv", "out", "resume", "report", "config", "from", "image-size", "new-tokenizer",
					       "threads", "quiet", "db", "model", "help", NULL};

	for (size_t i = 0; i < run->source_count; i++) {
		const struct source *s = &run->sources[i];
		char weight[32], mix[32];
		buffer_format(&run->note, "--%s=%s=%s%s%s%s", s->table ? "tsv" : "shards", s->path, print_real(s->kind.weight, weight),
			      s->kind.classes ? ",classes" : "", s->kind.whole ? ",whole" : "", s->kind.pairs ? ",pairs" : "");
		if (s->kind.own_mix)
			buffer_format(&run->note, ",mix:%s", print_real(s->kind.mix, mix));
		buffer_append(&run->note, "", 1);
	}
	for (size_t i = 0; i < run->args->given_count; i++) {
		const struct given_option *given = &run->args->given[i];
		if (is_one_of(given->spec->name, not_kept))
			continue;
		/* Files, too, are found again from another folder. */
		char *whole = given->spec->kind & OPTION_FILE ? realpath(given->value, NULL) : NULL;
		const char *value = whole ? whole : given->value;
		buffer_format(&run->note, value ? "--%s=%s" : "--%s", given->spec->name, value ? value : "");
		buffer_append(&run->note, "", 1);
		free(whole);
	}
	run->options.note = run->note.data;
	run->options.note_size = run->note.size;
	return run->note.failed ? err_memory(err, "the options of the run") : STATUS_OK;
}

/* ---- going on ---------------------------------------------------------------------------------------------------- */

enum status train_note_read(const char *folder, char **note, size_t *size, struct err *err)
{
	char *path = path_join(folder, "train_state.bin");
	enum status status = path ? train_state_note(path, note, size, err) : err_memory(err, "a path");

	free(path);
	return status;
}

static bool is_given(const struct arguments *args, const char *name, size_t size)
{
	for (size_t i = 0; i < args->given_count; i++)
		if (strlen(args->given[i].spec->name) == size && memcmp(args->given[i].spec->name, name, size) == 0)
			return true;
	return false;
}

/* Whether this call's options replace a kept word, "--name" or "--name=value". */
static bool replaced(const struct arguments *args, const char *word)
{
	const char *name = word + 2;

	if (strncmp(name, "shards=", 7) == 0 || strncmp(name, "tsv=", 4) == 0)
		return is_given(args, "shards", 6) || is_given(args, "tsv", 3) || args->count;
	if (strncmp(name, "steps=", 6) == 0 || strncmp(name, "epochs=", 7) == 0)
		return is_given(args, "steps", 5) || is_given(args, "epochs", 6);
	return is_given(args, name, strcspn(name, "="));
}

enum status train_note_merge(const char *note, size_t size, const struct arguments *args, struct buffer *storage, struct arguments *merged,
			     struct err *err)
{
	size_t words = 0;

	if (size && note[size - 1] != '\0')
		return err_set(err, STATUS_FORMAT, "the options of the run to go on with are damaged");
	for (size_t at = 0; at < size; at += strlen(note + at) + 1)
		if (strncmp(note + at, "--", 2) != 0)
			return err_set(err, STATUS_FORMAT, "the options of the run to go on with are damaged");
	for (size_t at = 0; at < size; at += strlen(note + at) + 1)
		if (!replaced(args, note + at))
			buffer_append(storage, note + at, strlen(note + at) + 1);
	for (size_t i = 0; i < args->given_count; i++) {
		const struct given_option *option = &args->given[i];
		buffer_format(storage, option->value ? "--%s=%s" : "--%s", option->spec->name, option->value ? option->value : "");
		buffer_append(storage, "", 1);
	}
	for (size_t i = 0; i < args->count; i++) {
		buffer_format(storage, "--shards=%s", args->words[i]);
		buffer_append(storage, "", 1);
	}
	for (size_t i = 0; i < storage->size; i++)
		words += storage->data[i] == '\0';
	char **argv = mem_array(words, sizeof *argv);
	if (!argv || storage->failed) {
		free(argv);
		return err_memory(err, "the options of the run");
	}
	for (size_t at = 0, i = 0; i < words; at += strlen(storage->data + at) + 1)
		argv[i++] = storage->data + at;
	enum status status = arguments_parse(&command_train, (int)words, argv, merged, err);
	free(argv);
	return status;
}

void train_note_print(const char *note, size_t size, struct buffer *out)
{
	for (size_t at = 0; at < size; at += strlen(note + at) + 1) {
		const char *word = note + at, *value = strchr(word, '='), *slash = strrchr(word, '/');
		bool source = strncmp(word, "--shards=", 9) == 0 || strncmp(word, "--tsv=", 6) == 0;
		if (source && slash && slash > value)
			buffer_format(out, "%s%.*s%s", at ? " " : "", (int)(value + 1 - word), word, slash + 1);
		else
			buffer_format(out, "%s%s", at ? " " : "", word);
	}
}
