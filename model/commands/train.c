/* train.c: `coca train`: from captioned photographs to a model folder. What is trained, on what and how is put together
 * here; train.h does the work. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/words/bpe_train.h"
#include "model/net/coca.h"
#include "model/commands/commands.h"
#include "model/train/train.h"
#include "model/train/report.h"
#include "model/train/state.h"
#include "schema/base/blas.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "schema/base/embed.h"
#include "schema/cli/progress.h"

#include "schema/base/banned.h"

EMBED_TEXT(help_train, "model/commands/train.txt");

static const struct option_spec options[] = {
	{"shards", 0, "TAR[=W,...]", OPTION_TEXT | OPTION_MANY | OPTION_FILE,
	 "captioned photographs: a WebDataset tar, plain or .gz; its samples come W times an epoch (default 1)"},
	{"tsv", 0, "FILE[=W,...]", OPTION_TEXT | OPTION_MANY | OPTION_FILE, "captioned photographs: lines of path, tab, caption"},
	{"out", 'o', "DIR", OPTION_TEXT | OPTION_FOLDER, "where the model goes, its log and what --resume needs"},
	{"resume", 0, NULL, OPTION_FLAG, "go on with the run in --out as if it had never stopped; options given again replace its own"},
	{"report", 0, NULL, OPTION_FLAG,
	 "print a table about the runs in the folders given: best held-out recall, and how each was started"},
	{"config", 0, "JSON", OPTION_TEXT | OPTION_FILE,
	 "shape of a new model: an open_clip_config.json (default: that of --model); with --from, one with more layers to grow to"},
	{"from", 0, "DIR", OPTION_TEXT | OPTION_FOLDER, "go on from this model's weights instead of random ones"},
	{"image-size", 0, "PX", OPTION_NUMBER, "another side of the photographs than the model has; --from's positions are resampled"},
	{"new-tokenizer", 0, "N", OPTION_NUMBER,
	 "learn a vocabulary of N from the captions (default: the tokenizer beside --from or --config)"},
	{"epochs", 0, "X", OPTION_REAL, "how often to go through all samples (default 10)"},
	{"steps", 0, "N", OPTION_NUMBER, "how many steps, instead of --epochs"},
	{"batch", 0, "N", OPTION_NUMBER, "samples computed at once (default 160)"},
	{"accumulate", 0, "K", OPTION_NUMBER, "batches of a step; the samples of all are each other's negatives (default 1)"},
	{"lr", 0, "X", OPTION_REAL, "highest learning rate (default 1e-3)"},
	{"weight-decay", 0, "X", OPTION_REAL, "of matrices (default 0.05)"},
	{"warmup", 0, "N", OPTION_NUMBER, "steps until the learning rate is reached (default: a twentieth of all, at most 1000)"},
	{"clip", 0, "X", OPTION_REAL, "largest norm of the gradient; 0: any (default 1)"},
	{"contrastive-weight", 0, "X", OPTION_REAL, "of the contrastive loss (default 1)"},
	{"caption-weight", 0, "X", OPTION_REAL, "of the captioning loss (default 2)"},
	{"ema", 0, "X", OPTION_REAL, "decay of the averaged weights, which are what is saved; 0: no averaging (default 0.999)"},
	{"freeze", 0, "PARTS", OPTION_TEXT, "leave parts as they are: image, encoder, poolers, text, decoder, temperature; commas between"},
	{"crop", 0, "X", OPTION_REAL, "least share of a photograph's area that a random crop keeps; 1: no random crops (default 0.4)"},
	{"no-flip", 0, NULL, OPTION_FLAG, "do not mirror photographs at random (those whose caption says left or right never are)"},
	{"colour", 0, "X", OPTION_REAL, "change brightness, contrast and saturation by up to this share, each (default 0)"},
	{"mix", 0, "P", OPTION_REAL, "share of samples whose photograph is mixed with another one, by mixup or CutMix (default 0)"},
	{"forget", 0, "P", OPTION_REAL, "share of a caption's words that its embedding does not see; the decoder learns all (default 0)"},
	{"together", 0, "P", OPTION_REAL, "share of a batch that comes from one source, another one each time: harder negatives (default 0)"},
	{"broader", 0, "FILE", OPTION_TEXT | OPTION_FILE,
	 "what else class names are: lines of NAME, tab, TERM, comma, TERM; a class is called by these in a quarter of all cases"},
	{"prompts", 0, "FILE", OPTION_TEXT | OPTION_FILE, "what class names are put into: lines with {} in them (default: some built in)"},
	{"seed", 0, "N", OPTION_NUMBER, "of everything random (default 1)"},
	{"threads", 0, "N", OPTION_NUMBER, "cores to compute with (default: all)"},
	{"holdout", 0, "N", OPTION_NUMBER, "keep every Nth sample aside and measure recall on up to 1,000 of them; 0: none (default 10)"},
	{"eval-every", 0, "N", OPTION_NUMBER, "steps between measures (default: a twentieth of all, at least 25)"},
	{"save-every", 0, "N", OPTION_NUMBER, "steps between checkpoints (default: as --eval-every)"},
	{"memory", 0, "SIZE", OPTION_SIZE,
	 "keep this much of the compressed photographs in memory, the rest in a file in --out (default 2G)"},
	{"half", 0, NULL, OPTION_FLAG, "store the weights in half precision"},
	{0},
};

enum { BATCH = 160 }; /* unless --batch says otherwise */

struct source {
	char *path;
	struct dataset_source kind;
	bool table;
};

/* Everything a run consists of. */
struct run {
	struct cli *cli;
	const struct arguments *args;
	const char *out;
	bool resume;
	struct source *sources;
	size_t source_count;
	struct train_options options;
	size_t memory, holdout, vocabulary, eval_every, save_every;
	struct buffer note;
	struct dataset *data;
	struct coca *from;
	struct config config;
	struct tokenizer *tokenizer;
	struct train *train;
};

static void say(const struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(const struct run *run, const char *format, ...)
{
	va_list list;

	if (run->cli->quiet)
		return;
	va_start(list, format);
	vfprintf(run->cli->log, format, list);
	va_end(list);
	fputc('\n', run->cli->log);
	fflush(run->cli->log);
}

/* ---- options ---------------------------------------------------------------------------------------------------- */

/* What stands from text to stop, all of it: a number from 0 to 1. */
static bool parse_share(const char *text, const char *stop, double *share)
{
	char *end;

	*share = strtod(text, &end);
	return end == stop && *share >= 0 && *share <= 1;
}

/* "2.5", "2.5,classes,mix:0.1", "whole,pairs": what stands behind a source's last '='. */
static bool parse_kind(const char *text, struct dataset_source *kind)
{
	for (const char *at = text, *next; at; at = next) {
		size_t size = strcspn(at, ",");
		char *end;
		next = at[size] ? at + size + 1 : NULL;
		double weight = strtod(at, &end);
		if (end == at + size && size && weight > 0 && weight <= 1000)
			kind->weight = weight;
		else if (size == 7 && memcmp(at, "classes", size) == 0)
			kind->classes = true;
		else if (size == 5 && memcmp(at, "whole", size) == 0)
			kind->whole = true;
		else if (size == 5 && memcmp(at, "pairs", size) == 0)
			kind->pairs = true;
		else if (size > 4 && memcmp(at, "mix:", 4) == 0 && parse_share(at + 4, at + size, &kind->mix))
			kind->own_mix = true;
		else
			return false;
	}
	return true;
}

/* "path=2.5,whole", unless there is a file of that whole name. */
static enum status parse_source(struct run *run, const char *text, bool table, struct err *err)
{
	const char *equals = strrchr(text, '=');
	size_t size = strlen(text);
	struct dataset_source kind = {.weight = 1};

	if (equals && access(text, F_OK) != 0) {
		size = (size_t)(equals - text);
		if (!parse_kind(equals + 1, &kind))
			return err_set(err, STATUS_USAGE,
				       "'%s' has something else than a weight from 0 to 1000, 'classes', 'whole', 'pairs' and 'mix:P' behind "
				       "the '='", text);
	}
	char *name = mem_copy(text, size);
	char *path = name ? realpath(name, NULL) : NULL;
	struct source *grown = mem_resize(run->sources, run->source_count + 1, sizeof *grown);
	if (grown)
		run->sources = grown;
	enum status status = STATUS_OK;
	if (!name || !grown)
		status = err_memory(err, "the list of sources");
	else if (!path)
		status = err_set(err, STATUS_NOT_FOUND, "cannot open '%s': %s", name, strerror(errno));
	if (status == STATUS_OK)
		run->sources[run->source_count++] = (struct source){path, kind, table};
	else
		free(path);
	free(name);
	return status;
}

static enum status parse_sources(struct run *run, struct err *err)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < run->args->given_count && status == STATUS_OK; i++) {
		const struct given_option *given = &run->args->given[i];
		if (strcmp(given->spec->name, "shards") == 0 || strcmp(given->spec->name, "tsv") == 0)
			status = parse_source(run, given->value, given->spec->name[0] == 't', err);
	}
	/* --shards *.tar: the shell gives the others as words. */
	for (size_t i = 0; i < run->args->count && status == STATUS_OK; i++)
		status = parse_source(run, run->args->words[i], false, err);
	if (status == STATUS_OK && !run->source_count)
		status = err_set(err, STATUS_USAGE, "coca train needs photographs: --shards TAR... or --tsv FILE");
	return status;
}

struct real_option {
	const char *name;
	double fallback, least, most;
	double *value;
};

static enum status parse_real(const struct run *run, const char *name, double fallback, double least, double most, double *value,
			      struct err *err)
{
	enum status status = arguments_real(run->args, name, fallback, value, err);

	if (status == STATUS_OK && !(*value >= least && *value <= most))
		return err_set(err, STATUS_USAGE, "--%s takes a number from %g to %g, not %g", name, least, most, *value);
	return status;
}

static enum status parse_weights(struct run *run, struct err *err)
{
	struct optimizer *o = &run->options.optimizer;
	double contrastive, caption;
	const struct real_option reals[] = {
		{"lr", 1e-3, 0, 1e30, &o->rate},
		{"weight-decay", 0.05, 0, 100, &o->weight_decay},
		{"clip", 1, 0, 1e30, &o->clip},
		{"ema", 0.999, 0, 0.9999999, &o->average},
		{"contrastive-weight", 1, 0, 1e6, &contrastive},
		{"caption-weight", 2, 0, 1e6, &caption},
		{"crop", 0.4, 0.01, 1, &run->options.augment.scale_least},
		{"colour", 0, 0, 1, &run->options.augment.colour},
		{"mix", 0, 0, 1, &run->options.mix},
		{"forget", 0, 0, 1, &run->options.forget},
		{"together", 0, 0, 1, &run->options.together},
	};

	o->beta1 = 0.9;
	o->beta2 = 0.98;
	o->epsilon = 1e-6;
	for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
		enum status status = parse_real(run, reals[i].name, reals[i].fallback, reals[i].least, reals[i].most, reals[i].value, err);
		if (status != STATUS_OK)
			return status;
	}
	run->options.objective = (struct objective){(float)contrastive, (float)caption};
	if (contrastive == 0 && caption == 0)
		return err_set(err, STATUS_USAGE, "--contrastive-weight and --caption-weight are both 0: there is nothing to learn");
	return STATUS_OK;
}

static enum status parse_numbers(struct run *run, struct err *err)
{
	size_t seed, threads, batch, accumulate;
	const struct {
		const char *name;
		size_t fallback, least, most, *value;
	} numbers[] = {
		{"batch", BATCH, 1, 1 << 20, &batch},
		{"accumulate", 1, 1, 1 << 16, &accumulate},
		{"seed", 1, 0, SIZE_MAX, &seed},
		{"threads", 0, 0, 4096, &threads},
		{"holdout", 10, 0, 1 << 30, &run->holdout},
		{"new-tokenizer", 0, 515, 1 << 20, &run->vocabulary},
	};

	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		enum status status = arguments_number(run->args, numbers[i].name, numbers[i].fallback, numbers[i].least, numbers[i].most,
						      numbers[i].value, err);
		if (status != STATUS_OK)
			return status;
	}
	if (run->holdout == 1)
		return err_set(err, STATUS_USAGE, "--holdout 1 keeps every sample aside: nothing is left to train on");
	blas_set_threads((int)threads);
	run->options.batch = batch;
	run->options.accumulate = accumulate;
	run->options.seed = seed;
	/* Decoding needs about a tenth of the arithmetic's time. */
	run->options.decoders = (size_t)blas_threads() / 4 + 1;
	run->options.held_out_most = 1000;
	run->options.augment.flip = !arguments_flag(run->args, "no-flip");
	run->options.store = arguments_flag(run->args, "half") ? DTYPE_F16 : DTYPE_F32;
	run->options.freeze = arguments_text(run->args, "freeze", NULL);
	return arguments_size(run->args, "memory", (size_t)2 << 30, &run->memory, err);
}

/* How long, once the number of samples is known. */
static enum status parse_length(struct run *run, struct err *err)
{
	struct optimizer *o = &run->options.optimizer;
	double epochs, samples = (double)(run->options.batch * run->options.accumulate);
	size_t steps, warmup;
	enum status status = parse_real(run, "epochs", 10, 1e-6, 1e6, &epochs, err);

	if (status == STATUS_OK)
		status = arguments_number(run->args, "steps", 0, 1, (size_t)1 << 40, &steps, err);
	if (status != STATUS_OK)
		return status;
	if (arguments_flag(run->args, "steps") && arguments_flag(run->args, "epochs"))
		return err_set(err, STATUS_USAGE, "--steps and --epochs both say how long to train; give one");
	if (!steps)
		steps = (size_t)fmax(1, round(epochs * (double)dataset_epoch_samples(run->data) / samples));
	o->steps = steps;
	size_t often = steps / 20 > 25 ? steps / 20 : 25, twentieth = steps / 20 < 1000 ? steps / 20 : 1000;
	status = arguments_number(run->args, "warmup", twentieth, 0, steps, &warmup, err);
	o->warmup = warmup;
	if (status == STATUS_OK)
		status = arguments_number(run->args, "eval-every", often, 1, SIZE_MAX, &run->eval_every, err);
	if (status == STATUS_OK)
		status = arguments_number(run->args, "save-every", run->eval_every, 1, SIZE_MAX, &run->save_every, err);
	return status;
}

/* ---- the note: how a run was started, for --resume ------------------------------------------------------------------ */

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

/* Options as "--name=value", each with a NUL behind it; sources with whole paths. What belongs to one call alone is left out. */
static void write_note(struct run *run)
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
}

static bool given(const struct arguments *args, const char *name)
{
	return arguments_flag(args, name);
}

/* Whether this call's options replace a kept word. */
static bool replaced(const struct arguments *args, const char *word)
{
	const char *name = word + 2;
	size_t size = strcspn(name, "=");
	bool source = strncmp(name, "shards=", 7) == 0 || strncmp(name, "tsv=", 4) == 0;
	bool length = strncmp(name, "steps=", 6) == 0 || strncmp(name, "epochs=", 7) == 0;

	if (source)
		return given(args, "shards") || given(args, "tsv") || args->count;
	if (length)
		return given(args, "steps") || given(args, "epochs");
	for (size_t i = 0; i < args->given_count; i++)
		if (strlen(args->given[i].spec->name) == size && memcmp(args->given[i].spec->name, name, size) == 0)
			return true;
	return false;
}

/* The kept options, as far as this call does not replace them, before its own. note and args must outlive *merged. */
static enum status merge_note(const char *note, size_t size, const struct arguments *args, struct buffer *storage, struct arguments *merged,
			      struct err *err)
{
	size_t words = 0;

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

/* ---- data, shape, tokenizer ------------------------------------------------------------------------------------------ */

static enum status read_sources(struct run *run, struct err *err)
{
	struct dataset_counts counts;
	char memory[16], spilled[16];
	const char *prompts = arguments_text(run->args, "prompts", NULL), *broader = arguments_text(run->args, "broader", NULL);
	enum status status = dataset_new(run->memory, run->out, run->holdout, &run->data, err);

	if (status == STATUS_OK && prompts)
		status = dataset_prompts(run->data, prompts, err);
	if (status == STATUS_OK && broader)
		status = dataset_broader(run->data, broader, err);
	for (size_t i = 0; i < run->source_count && status == STATUS_OK; i++) {
		const struct source *s = &run->sources[i];
		if (run->cli->progress)
			fprintf(run->cli->log, "\r\033[Kreading %s", s->path);
		status = s->table ? dataset_add_table(run->data, s->path, &s->kind, err)
				  : dataset_add_shard(run->data, s->path, &s->kind, err);
		if (*run->cli->interrupted && status == STATUS_OK)
			status = err_set(err, STATUS_INTERRUPTED, "stopped while reading the photographs; nothing was trained");
	}
	if (run->cli->progress)
		fputs("\r\033[K", run->cli->log);
	if (status == STATUS_OK)
		status = dataset_finish(run->data, err);
	if (status != STATUS_OK)
		return status;
	dataset_count(run->data, &counts);
	say(run, "%zu photographs to train on, %zu held out, %zu captions; %s in memory%s%s", counts.samples, counts.held_out,
	    counts.captions, cli_bytes((double)counts.memory, memory), counts.spilled ? ", in a file " : "",
	    counts.spilled ? cli_bytes((double)counts.spilled, spilled) : "");
	if (counts.skipped)
		say(run, "%zu samples without a photograph or a caption are left out", counts.skipped);
	if (counts.twins)
		say(run, "%zu photographs are left out, as the same ones are held out", counts.twins);
	return STATUS_OK;
}

static enum status add_caption(void *context, const char *caption, size_t size, struct err *err)
{
	return bpe_add(context, caption, size, err);
}

static enum status learn_tokenizer(struct run *run, const char *path, struct err *err)
{
	struct bpe *bpe = NULL;
	size_t learned;
	enum status status = bpe_new(&bpe, err);

	say(run, "learning a vocabulary of %zu", run->vocabulary);
	if (status == STATUS_OK)
		status = dataset_captions_each(run->data, add_caption, bpe, err);
	if (status == STATUS_OK)
		status = bpe_write(bpe, run->vocabulary, path, &learned, err);
	if (status == STATUS_OK && learned < run->vocabulary)
		say(run, "the captions have no more than %zu ids in them", learned);
	bpe_free(bpe);
	return status;
}

static enum status copy_file(const char *from, const char *to, struct err *err)
{
	uint8_t *bytes = NULL;
	size_t size;
	struct file_writer writer;
	enum status status = file_read(from, (size_t)1 << 30, &bytes, &size, err);

	if (status == STATUS_OK)
		status = file_writer_open(to, &writer, err);
	if (status == STATUS_OK) {
		fwrite(bytes, 1, size, writer.stream);
		status = file_writer_commit(&writer, err);
	}
	free(bytes);
	return status;
}

/* The tokenizer beside a model, into --out: the one that tokenizer_open would take. */
static enum status copy_tokenizer(const struct run *run, const char *folder, struct err *err)
{
	static const char *const names[] = {"tokenizer.json", "merges.txt", "bpe_simple_vocab_16e6.txt.gz"};
	enum status status = STATUS_NOT_FOUND;

	for (size_t i = 0; i < sizeof names / sizeof *names && status == STATUS_NOT_FOUND; i++) {
		char *from = path_join(folder, names[i]), *to = path_join(run->out, names[i]);
		if (!from || !to)
			status = err_memory(err, "a path");
		else if (access(from, R_OK) == 0)
			status = copy_file(from, to, err);
		free(from);
		free(to);
	}
	if (status == STATUS_NOT_FOUND)
		return err_set(err, STATUS_NOT_FOUND,
			       "there is no tokenizer in '%s'; hint: --new-tokenizer 4096 learns one from the captions", folder);
	return status;
}

/* The folder that a path names or lies in, the caller's to free. */
static char *folder_of(const char *path, const char *file)
{
	char *inside = path_join(path, file);
	bool folder = inside && access(inside, F_OK) == 0;
	const char *slash = strrchr(path, '/');

	free(inside);
	if (folder)
		return mem_copy(path, strlen(path));
	return slash ? mem_copy(path, slash == path ? 1 : (size_t)(slash - path)) : mem_copy(".", 1);
}

/* --image-size: a multiple of the patch's side. */
static enum status resize(struct run *run, struct err *err)
{
	size_t side, patch = run->config.patch_size;
	enum status status = arguments_number(run->args, "image-size", run->config.image_size, patch, 4096, &side, err);

	if (status != STATUS_OK || run->resume)
		return status;
	if (side % patch != 0)
		return err_set(err, STATUS_USAGE, "--image-size takes a multiple of the patch's side, %zu, not %zu", patch, side);
	run->config.image_size = side;
	run->config.patches = side / patch * (side / patch);
	if (run->config.pooling == POOL_NONE)
		run->config.image_tokens = run->config.patches;
	return STATUS_OK;
}

/* The shape: of --from's model, of --config, or of the model that is used otherwise. *folder: where a tokenizer may lie. */
static enum status choose_shape(struct run *run, char **folder, struct err *err)
{
	static const char config_name[] = "open_clip_config.json";
	const char *from = arguments_text(run->args, "from", NULL), *config = arguments_text(run->args, "config", NULL);
	const char *place = run->resume ? run->out : from ? from : config ? config : run->cli->model;

	*folder = folder_of(place, config_name);
	if (!*folder)
		return err_memory(err, "a path");
	if (from && !run->resume) {
		enum status status = coca_open(from, &run->from, err);
		if (status == STATUS_OK && config)
			status = config_read(config, &run->config, err);
		else if (status == STATUS_OK)
			run->config = *coca_config(run->from);
		return status;
	}
	if (config && !run->resume)
		return config_read(config, &run->config, err);
	char *path = path_join(*folder, config_name);
	enum status status = path ? config_read(path, &run->config, err) : err_memory(err, "a path");
	free(path);
	return status;
}

static enum status choose_tokenizer(struct run *run, const char *folder, struct err *err)
{
	char *path = path_join(run->out, "merges.txt");
	enum status status = path ? STATUS_OK : err_memory(err, "a path");
	bool learn = run->vocabulary && !run->resume;

	if (status == STATUS_OK && learn && run->from)
		status = err_set(err, STATUS_USAGE, "the model of --from knows its own ids: leave out --new-tokenizer");
	if (status == STATUS_OK && learn)
		status = learn_tokenizer(run, path, err);
	else if (status == STATUS_OK && !run->resume)
		status = copy_tokenizer(run, folder, err);
	if (status == STATUS_OK)
		status = tokenizer_open(run->out, learn ? 0 : run->config.vocab_size, &run->tokenizer, err);
	if (status == STATUS_OK && learn)
		run->config.vocab_size = tokenizer_vocab_size(run->tokenizer);
	if (status == STATUS_OK)
		status = dataset_tokenise(run->data, run->tokenizer, run->config.context_length, err);
	free(path);
	return status;
}

/* ---- the run ---------------------------------------------------------------------------------------------------- */

static enum status check_out(struct run *run, struct err *err)
{
	run->out = arguments_text(run->args, "out", NULL);
	if (!run->out)
		return err_set(err, STATUS_USAGE, "coca train needs a folder for the model: --out DIR");
	char *state = path_join(run->out, "train_state.bin");
	bool there = state && access(state, F_OK) == 0;
	free(state);
	if (there && !run->resume)
		return err_set(err, STATUS_USAGE,
			       "'%s' holds a run already; hint: --resume goes on with it, another --out begins a new one", run->out);
	return path_make_folder(run->out, err);
}

static enum status prepare(struct run *run, struct err *err)
{
	char *folder = NULL;
	bool same = true;
	enum status status = check_out(run, err);

	if (status == STATUS_OK)
		status = parse_weights(run, err);
	if (status == STATUS_OK)
		status = parse_numbers(run, err);
	if (status == STATUS_OK)
		status = parse_sources(run, err);
	if (status == STATUS_OK)
		status = choose_shape(run, &folder, err);
	if (status == STATUS_OK)
		status = resize(run, err);
	if (status == STATUS_OK)
		status = read_sources(run, err);
	if (status == STATUS_OK)
		status = parse_length(run, err);
	if (status == STATUS_OK)
		status = choose_tokenizer(run, folder, err);
	if (status == STATUS_OK) {
		write_note(run);
		run->options.folder = run->out;
		run->options.note = run->note.data;
		run->options.note_size = run->note.size;
		status = run->note.failed ? err_memory(err, "the options of the run")
					  : train_new(&run->options, &run->config, run->data, &run->train, err);
	}
	if (status == STATUS_OK && run->from)
		status = train_from(run->train, coca_weights(run->from), coca_config(run->from), err);
	if (status == STATUS_OK && run->resume)
		status = train_resume(run->train, &same, err);
	if (status == STATUS_OK && !same)
		say(run, "the photographs, their captions or the seed are not what they were: a new epoch begins");
	coca_close(run->from);
	run->from = NULL;
	free(folder);
	return status;
}

static void say_plan(const struct run *run)
{
	const struct train_options *o = &run->options;
	size_t trained, all = train_parameters(run->train, &trained), samples = o->batch * o->accumulate;

	say(run, "%.2f million parameters, %s; %zu samples a step, %llu steps (%.3g epochs)", (double)all / 1e6,
	    trained == all ? "all trained" : "some frozen", samples, (unsigned long long)o->optimizer.steps,
	    (double)o->optimizer.steps * (double)samples / (double)dataset_epoch_samples(run->data));
	if (train_steps(run->train))
		say(run, "going on behind step %llu", (unsigned long long)train_steps(run->train));
}

static void say_step(const struct run *run, const struct train_row *row, const struct train_measure *held_out)
{
	say(run, "step %llu  epoch %.2f  loss %.4f (contrastive %.4f, caption %.4f)  %.0f samples/s%s", (unsigned long long)row->step,
	    row->epoch, row->loss, row->contrastive, row->caption, row->samples_per_second, held_out ? "" : "  saved");
	if (held_out)
		say(run, "    held out: contrastive %.4f, caption %.4f; recall at 1, 5, 10 in percent: text to image %.1f %.1f %.1f, "
		    "image to text %.1f %.1f %.1f", held_out->contrastive, held_out->caption, held_out->text_to_image[0],
		    held_out->text_to_image[1], held_out->text_to_image[2], held_out->image_to_text[0],
		    held_out->image_to_text[1], held_out->image_to_text[2]);
}

/* What is due behind a step: a measure, a checkpoint. */
static enum status look_up(struct run *run, const struct train_row *row, struct err *err)
{
	struct train_measure measure;
	size_t count = 0;
	bool last = row->step == run->options.optimizer.steps, save = last || row->step % run->save_every == 0;
	enum status status = STATUS_OK;

	if (last || row->step % run->eval_every == 0)
		status = train_measure_held_out(run->train, &measure, &count, err);
	if (status == STATUS_OK && count)
		status = train_save_best(run->train, err);
	if (status == STATUS_OK && save)
		status = train_save(run->train, err);
	if (status == STATUS_OK && (count || save)) {
		if (run->cli->progress)
			fputs("\r\033[K", run->cli->log);
		say_step(run, row, count ? &measure : NULL);
	}
	return status;
}

static enum status train_all(struct run *run, struct err *err)
{
	uint64_t steps = run->options.optimizer.steps, first = train_steps(run->train);
	size_t samples = run->options.batch * run->options.accumulate;
	struct progress progress;
	struct train_row row;
	char verb[96] = "training";
	enum status status = STATUS_OK;

	progress_start(&progress, run->cli, verb, "samples");
	while (train_steps(run->train) < steps && status == STATUS_OK && !*run->cli->interrupted) {
		status = train_step(run->train, &row, err);
		if (status != STATUS_OK)
			break;
		snprintf(verb, sizeof verb, "step %llu of %llu  loss %.3f (contrastive %.3f, caption %.3f)", (unsigned long long)row.step,
			 (unsigned long long)steps, row.loss, row.contrastive, row.caption);
		progress_show(&progress, (row.step - first) * samples, (steps - first) * samples);
		status = look_up(run, &row, err);
	}
	progress_end(&progress);
	bool stopped = train_steps(run->train) < steps;
	if (status == STATUS_OK && stopped)
		status = train_save(run->train, err);
	if (status == STATUS_OK && stopped)
		status = err_set(err, STATUS_INTERRUPTED,
				 "stopped and saved at step %llu of %llu; hint: coca train --out '%s' --resume goes on",
				 (unsigned long long)train_steps(run->train), (unsigned long long)steps, run->out);
	return status;
}

static void finish(const struct run *run)
{
	char example[256], memory[16];
	size_t failed = train_failed(run->train, example);

	if (failed)
		say(run, "%zu times a photograph could not be decoded and another took its place; the first: %s", failed, example);
	const struct train_log *log = train_history(run->train);
	const struct train_row *best = train_report_best(log);
	size_t samples = run->options.batch * run->options.accumulate;
	char time[16];
	say(run, "%zu steps, %zu samples in %s", log->count, log->count * samples,
	    cli_duration(train_report_seconds(log, samples), time));
	if (best)
		say(run, "best recall at 10: text to image %.1f, image to text %.1f at step %llu", best->held_out.text_to_image[2],
		    best->held_out.image_to_text[2], (unsigned long long)best->step);
	say(run, "%s of memory for parameters and activations", cli_bytes((double)train_memory(run->train), memory));
}

static void release(struct run *run)
{
	train_free(run->train);
	tokenizer_close(run->tokenizer);
	coca_close(run->from);
	dataset_free(run->data);
	for (size_t i = 0; i < run->source_count; i++)
		free(run->sources[i].path);
	free(run->sources);
	buffer_release(&run->note);
}

static int train(struct cli *cli, const struct arguments *args, bool resume)
{
	struct run run = {.cli = cli, .args = args, .resume = resume};
	struct err err;
	enum status status = prepare(&run, &err);

	if (status == STATUS_OK) {
		say_plan(&run);
		status = train_all(&run, &err);
		finish(&run);
	}
	if (status == STATUS_OK && !cli->quiet)
		fprintf(cli->out, "%s\n", run.out);
	release(&run);
	return status == STATUS_OK ? EXIT_DONE : cli_fail(cli, &err);
}

static int resume_run(struct cli *cli, const struct arguments *args)
{
	const char *out = arguments_text(args, "out", NULL);
	char *path = out ? path_join(out, "train_state.bin") : NULL, *note = NULL;
	struct buffer storage = {0};
	struct arguments merged = {0};
	struct err err;
	size_t size;
	enum status status;

	if (!out)
		status = err_set(&err, STATUS_USAGE, "--resume needs the folder of the run: --out DIR");
	else
		status = path ? train_state_note(path, &note, &size, &err) : err_memory(&err, "a path");
	if (status == STATUS_OK)
		status = merge_note(note, size, args, &storage, &merged, &err);
	int code = status == STATUS_OK ? train(cli, &merged, true) : cli_fail(cli, &err);
	arguments_release(&merged);
	buffer_release(&storage);
	free(note);
	free(path);
	return code;
}

/* ---- reports ---------------------------------------------------------------------------------------------------- */

/* How a run was started, in words; its sources by name alone. */
static void print_options(const char *note, size_t size, struct buffer *out)
{
	for (size_t at = 0; at < size; at += strlen(note + at) + 1) {
		const char *word = note + at, *value = strchr(word, '='), *slash = strrchr(word, '/');
		bool source = strncmp(word, "--shards=", 9) == 0 || strncmp(word, "--tsv=", 6) == 0;
		if (source && slash && slash > value)
			buffer_format(out, "%s%.*s%s", at ? " " : "", (int)(value + 1 - word), word, slash + 1);
		else
			buffer_format(out, "%s%s", at ? " " : "", word);
	}
	buffer_append(out, "", 1);
}

static enum status report_one(const char *folder, struct buffer *out, struct err *err)
{
	char *path = path_join(folder, "train_state.bin"), *note = NULL;
	struct buffer storage = {0}, words = {0};
	struct arguments none = {0}, args = {0};
	size_t size, batch, accumulate;
	enum status status = path ? train_state_note(path, &note, &size, err) : err_memory(err, "a path");

	if (status == STATUS_OK)
		status = merge_note(note, size, &none, &storage, &args, err);
	if (status == STATUS_OK)
		status = arguments_number(&args, "batch", BATCH, 1, 1 << 20, &batch, err);
	if (status == STATUS_OK)
		status = arguments_number(&args, "accumulate", 1, 1, 1 << 16, &accumulate, err);
	if (status == STATUS_OK) {
		print_options(note, size, &words);
		status = words.failed ? err_memory(err, "a report") : train_report_row(folder, batch * accumulate, words.data, out, err);
	}
	arguments_release(&args);
	buffer_release(&storage);
	buffer_release(&words);
	free(note);
	free(path);
	return status;
}

static int report_runs(struct cli *cli, const struct arguments *args)
{
	struct buffer out = {0};
	struct err err;
	enum status status = args->count ? STATUS_OK : err_set(&err, STATUS_USAGE, "--report needs folders of runs");

	train_report_head(&out);
	for (size_t i = 0; i < args->count && status == STATUS_OK; i++)
		status = report_one(args->words[i], &out, &err);
	if (status == STATUS_OK && out.failed)
		status = err_memory(&err, "a report");
	if (status == STATUS_OK)
		fputs(out.data, cli->out);
	buffer_release(&out);
	return status == STATUS_OK ? EXIT_DONE : cli_fail(cli, &err);
}

static int run_train(struct cli *cli, const struct arguments *args)
{
	if (arguments_flag(args, "report"))
		return report_runs(cli, args);
	return arguments_flag(args, "resume") ? resume_run(cli, args) : train(cli, args, false);
}

const struct command command_train = {
	.name = "train",
	.synopsis = "--out DIR --shards TAR...",
	.summary = "train a model on captioned photographs, or go on from one",
	.options = options,
	.details = help_train,
	.run = run_train,
	.handles_interrupt = true,
	.passive_threads = true,
};
