/* train_options.c: the options of `coca train`, and what they mean together. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/commands/train_run.h"
#include "schema/base/blas.h"

#include "schema/base/banned.h"

#define UNSAID SIZE_MAX /* a number that has not been given */

const struct option_spec train_option_table[] = {
	OPTION_LIST(struct train_line, sources, "shards", 0, "TAR[=W,...]", OPTION_MANY | OPTION_FILE, SOURCE_SHARD,
		    "captioned photographs: a WebDataset tar, plain or .gz; its samples come W times an epoch (default 1)"),
	OPTION_LIST(struct train_line, sources, "tsv", 0, "FILE[=W,...]", OPTION_MANY | OPTION_FILE, SOURCE_TABLE,
		    "captioned photographs: lines of path, tab, caption"),
	OPTION_TEXT(struct train_line, out, "out", 'o', "DIR", OPTION_FOLDER, "where the model goes, its log and what --resume needs"),
	OPTION_FLAG(struct train_line, resume, "resume", 0,
		    "go on with the run in --out as if it had never stopped; options given again replace its own"),
	OPTION_FLAG(struct train_line, report, "report", 0,
		    "print a table about the runs in the folders given: best held-out recall, and how each was started"),
	OPTION_TEXT(struct train_line, config, "config", 0, "JSON", OPTION_FILE,
		    "shape of a new model: an open_clip_config.json (default: that of --model); "
		    "with --from, one with more layers to grow to"),
	OPTION_TEXT(struct train_line, from, "from", 0, "DIR", OPTION_FOLDER, "go on from this model's weights instead of random ones"),
	OPTION_NUMBER(struct train_line, image_size, "image-size", 0, "PX", 1, 4096, 0,
		    "another side of the photographs than the model has; --from's positions are resampled"),
	OPTION_NUMBER(struct train_line, vocabulary, "new-tokenizer", 0, "N", 515, 1 << 20, 0,
		    "learn a vocabulary of N from the captions (default: the tokenizer beside --from or --config)"),
	OPTION_REAL(struct train_line, epochs, "epochs", 0, "X", 1e-6, 1e6, 10, "how often to go through all samples (default %)"),
	OPTION_NUMBER(struct train_line, run.optimizer.steps, "steps", 0, "N", 1, (size_t)1 << 40, 0,
		    "how many steps, instead of --epochs"),
	OPTION_NUMBER(struct train_line, run.batch, "batch", 0, "N", 1, 1 << 20, 160, "samples computed at once (default %)"),
	OPTION_NUMBER(struct train_line, run.accumulate, "accumulate", 0, "K", 1, 1 << 16, 1,
		    "batches of a step; the samples of all are each other's negatives (default %)"),
	OPTION_REAL(struct train_line, run.optimizer.rate, "lr", 0, "X", 0, 1e30, 1e-3, "highest learning rate (default %)"),
	OPTION_REAL(struct train_line, run.optimizer.weight_decay, "weight-decay", 0, "X", 0, 100, 0.05, "of matrices (default %)"),
	OPTION_NUMBER(struct train_line, run.optimizer.warmup, "warmup", 0, "N", 0, (size_t)1 << 40, UNSAID,
		    "steps until the learning rate is reached (default: a twentieth of all, at most 1000)"),
	OPTION_REAL(struct train_line, run.optimizer.clip, "clip", 0, "X", 0, 1e30, 1, "largest norm of the gradient; 0: any (default %)"),
	OPTION_REAL(struct train_line, contrastive_weight, "contrastive-weight", 0, "X", 0, 1e6, 1, "of the contrastive loss (default %)"),
	OPTION_REAL(struct train_line, caption_weight, "caption-weight", 0, "X", 0, 1e6, 2, "of the captioning loss (default %)"),
	OPTION_REAL(struct train_line, run.optimizer.average, "ema", 0, "X", 0, 0.9999999, 0.999,
		    "decay of the averaged weights, which are what is saved; 0: no averaging (default %)"),
	OPTION_TEXT(struct train_line, run.freeze, "freeze", 0, "PARTS", 0,
		    "leave parts as they are: image, encoder, poolers, text, decoder, temperature; commas between"),
	OPTION_REAL(struct train_line, run.augment.scale_least, "crop", 0, "X", 0.01, 1, 0.4,
		    "least share of a photograph's area that a random crop keeps; 1: no random crops (default %)"),
	OPTION_FLAG(struct train_line, no_flip, "no-flip", 0,
		    "do not mirror photographs at random (those whose caption says left or right never are)"),
	OPTION_REAL(struct train_line, run.augment.colour, "colour", 0, "X", 0, 1, 0,
		    "change brightness, contrast and saturation by up to this share, each (default %)"),
	OPTION_REAL(struct train_line, run.mix, "mix", 0, "P", 0, 1, 0,
		    "share of samples whose photograph is mixed with another one, by mixup or CutMix (default %)"),
	OPTION_REAL(struct train_line, run.forget, "forget", 0, "P", 0, 1, 0,
		    "share of a caption's words that its embedding does not see; the decoder learns all (default %)"),
	OPTION_REAL(struct train_line, run.together, "together", 0, "P", 0, 1, 0,
		    "share of a batch that comes from one source, another one each time: harder negatives (default %)"),
	OPTION_TEXT(struct train_line, broader, "broader", 0, "FILE", OPTION_FILE,
		    "what else class names are: lines of NAME, tab, TERM, comma, TERM; "
		    "a class is called by these in a quarter of all cases"),
	OPTION_TEXT(struct train_line, prompts, "prompts", 0, "FILE", OPTION_FILE,
		    "what class names are put into: lines with {} in them (default: some built in)"),
	OPTION_NUMBER(struct train_line, run.seed, "seed", 0, "N", 0, SIZE_MAX, 1, "of everything random (default %)"),
	OPTION_NUMBER(struct train_line, threads, "threads", 0, "N", 0, 4096, 0, "cores to compute with (default: all)"),
	OPTION_NUMBER(struct train_line, holdout, "holdout", 0, "N", 0, 1 << 30, 10,
		    "keep every Nth sample aside and measure recall on up to 1,000 of them; 0: none (default %)"),
	OPTION_NUMBER(struct train_line, eval_every, "eval-every", 0, "N", 1, SIZE_MAX, 0,
		    "steps between measures (default: a twentieth of all, at least 25)"),
	OPTION_NUMBER(struct train_line, save_every, "save-every", 0, "N", 1, SIZE_MAX, 0,
		    "steps between checkpoints (default: as --eval-every)"),
	OPTION_SIZE(struct train_line, memory, "memory", 0, "SIZE", (size_t)2 << 30,
		    "keep this much of the compressed photographs in memory, the rest in a file in --out (default %)"),
	OPTION_FLAG(struct train_line, half, "half", 0, "store the weights in half precision"),
	{0},
};

/* ---- sources ---------------------------------------------------------------------------------------------------- */

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

static enum status take_sources(struct run *run, struct err *err)
{
	const struct option_list *given = &run->line->sources;
	enum status status = STATUS_OK;

	for (size_t i = 0; i < given->count && status == STATUS_OK; i++)
		status = parse_source(run, given->items[i].value, given->items[i].tag == SOURCE_TABLE, err);
	/* --shards *.tar: the shell gives the others as words. */
	for (size_t i = 0; i < run->args->count && status == STATUS_OK; i++)
		status = parse_source(run, run->args->words[i], false, err);
	if (status == STATUS_OK && !run->source_count)
		status = err_set(err, STATUS_USAGE, "coca train needs photographs: --shards TAR... or --tsv FILE");
	return status;
}

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

static enum status check_ranges(const struct train_line *line, struct err *err)
{
	if (line->contrastive_weight == 0 && line->caption_weight == 0)
		return err_set(err, STATUS_USAGE, "--contrastive-weight and --caption-weight are both 0: there is nothing to learn");
	if (line->holdout == 1)
		return err_set(err, STATUS_USAGE, "--holdout 1 keeps every sample aside: nothing is left to train on");
	return STATUS_OK;
}

enum status train_options_take(struct run *run, struct err *err)
{
	const struct train_line *line = run->line;
	struct train_options *o = &run->options;
	enum status status = check_ranges(line, err);

	if (status == STATUS_OK && line->run.optimizer.steps && OPTION_GIVEN(run->args, struct train_line, epochs))
		status = err_set(err, STATUS_USAGE, "--steps and --epochs both say how long to train; give one");
	if (status != STATUS_OK)
		return status;
	blas_set_threads((int)line->threads);
	*o = line->run;
	o->folder = line->out;
	o->objective = (struct objective){(float)line->contrastive_weight, (float)line->caption_weight};
	o->optimizer.beta1 = 0.9;
	o->optimizer.beta2 = 0.98;
	o->optimizer.epsilon = 1e-6;
	/* Decoding needs about a tenth of the arithmetic's time. */
	o->decoders = (size_t)blas_threads() / 4 + 1;
	o->held_out_most = 1000;
	o->augment.flip = !line->no_flip;
	o->store = line->half ? DTYPE_F16 : DTYPE_F32;
	return take_sources(run, err);
}

enum status train_options_length(struct run *run, struct err *err)
{
	struct optimizer *o = &run->options.optimizer;
	double samples = (double)(run->options.batch * run->options.accumulate);

	if (!o->steps)
		o->steps = (size_t)fmax(1, round(run->line->epochs * (double)dataset_epoch_samples(run->data) / samples));
	size_t twentieth = o->steps / 20;
	if (o->warmup == UNSAID)
		o->warmup = twentieth < 1000 ? twentieth : 1000;
	if (o->warmup > o->steps)
		return err_set(err, STATUS_USAGE, "--warmup takes a whole number from 0 to %zu, not '%zu'", (size_t)o->steps,
			       (size_t)o->warmup);
	run->eval_every = run->line->eval_every ? run->line->eval_every : twentieth > 25 ? twentieth : 25;
	run->save_every = run->line->save_every ? run->line->save_every : run->eval_every;
	return STATUS_OK;
}
