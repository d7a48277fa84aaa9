/* train_run.h: what the parts of `coca train` share: its options, and a run that is put together from them.
 *
 *     train_options.c    the options' table, and what they mean
 *     train_note.c       how a run was started, kept in train_state.bin for --resume and --report
 *     train_prepare.c    photographs, the model's shape, its tokenizer
 *     train.c            the run itself, what it prints, and reports
 */
#ifndef MODEL_COMMANDS_TRAIN_RUN_H
#define MODEL_COMMANDS_TRAIN_RUN_H

#include "model/net/coca.h"
#include "model/train/train.h"
#include "schema/base/memory.h"
#include "schema/cli/options.h"

enum { SOURCE_SHARD, SOURCE_TABLE };

/* The command line. Of `run` what options say alone; the rest is filled when the run is put together. */
struct train_line {
	struct option_list sources;
	const char *out, *config, *from, *broader, *prompts;
	bool resume, report, no_flip, half;
	size_t image_size, vocabulary, eval_every, save_every; /* 0: not given */
	size_t threads, holdout, memory;
	double epochs, contrastive_weight, caption_weight;
	struct train_options run;
};
extern const struct option_spec train_option_table[];

struct source {
	char *path;
	struct dataset_source kind;
	bool table;
};

/* Everything a run consists of. */
struct run {
	struct cli *cli;
	const struct arguments *args;
	const struct train_line *line;
	bool resume;
	struct source *sources;
	size_t source_count;
	struct train_options options;
	size_t eval_every, save_every;
	struct buffer note;
	struct dataset *data;
	struct coca *from;
	struct config config;
	struct tokenizer *tokenizer;
	struct train *train;
};

/* A line of the log, unless --quiet. */
void train_say(const struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Fills options and sources from the command line. */
enum status train_options_take(struct run *run, struct err *err);
/* How long, once the number of samples is known. */
enum status train_options_length(struct run *run, struct err *err);

/* Options as "--name=value", each with a NUL behind it; sources with whole paths. What belongs to one call alone is left out. */
enum status train_note_write(struct run *run, struct err *err);
/* The note of the run in a folder; the caller's to free. */
enum status train_note_read(const char *folder, char **note, size_t *size, struct err *err);
/* The kept options, as far as this call does not replace them, before its own. note, args and storage must outlive *merged. */
enum status train_note_merge(const char *note, size_t size, const struct arguments *args, struct buffer *storage, struct arguments *merged,
			     struct err *err);
/* In words, sources by name alone. */
void train_note_print(const char *note, size_t size, struct buffer *out);

/* Reads the photographs, chooses shape and tokenizer, and makes run->train. */
enum status train_prepare(struct run *run, struct err *err);

#endif
