/* train_prepare.c: what a run of `coca train` is made of: photographs with captions, the model's shape, its tokenizer. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/commands/train_run.h"
#include "model/words/bpe_train.h"
#include "schema/base/file.h"
#include "schema/cli/progress.h"

#include "schema/base/banned.h"

/* ---- photographs ------------------------------------------------------------------------------------------------------ */

static enum status read_sources(struct run *run, struct err *err)
{
	struct dataset_counts counts;
	char memory[16], spilled[16];
	const char *prompts = run->line->prompts, *broader = run->line->broader;
	enum status status = dataset_new(run->line->memory, run->line->out, run->line->holdout, &run->data, err);

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
	train_say(run, "%zu photographs to train on, %zu held out, %zu captions; %s in memory%s%s", counts.samples, counts.held_out,
	    counts.captions, cli_bytes((double)counts.memory, memory), counts.spilled ? ", in a file " : "",
	    counts.spilled ? cli_bytes((double)counts.spilled, spilled) : "");
	if (counts.skipped)
		train_say(run, "%zu samples without a photograph or a caption are left out", counts.skipped);
	if (counts.twins)
		train_say(run, "%zu photographs are left out, as the same ones are held out", counts.twins);
	return STATUS_OK;
}

/* ---- shape ------------------------------------------------------------------------------------------------------------ */

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
	size_t side = run->line->image_size, patch = run->config.patch_size;

	if (!side)
		return STATUS_OK;
	if (side < patch)
		return err_set(err, STATUS_USAGE, "--image-size takes a whole number from %zu to 4096, not '%zu'", patch, side);
	if (run->resume)
		return STATUS_OK;
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
	const char *from = run->line->from, *config = run->line->config;
	const char *place = run->resume ? run->line->out : from ? from : config ? config : run->cli->model;

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

/* ---- tokenizer -------------------------------------------------------------------------------------------------------- */

static enum status add_caption(void *context, const char *caption, size_t size, struct err *err)
{
	return bpe_add(context, caption, size, err);
}

static enum status learn_tokenizer(struct run *run, const char *path, struct err *err)
{
	struct bpe *bpe = NULL;
	size_t learned;
	enum status status = bpe_new(&bpe, err);

	train_say(run, "learning a vocabulary of %zu", run->line->vocabulary);
	if (status == STATUS_OK)
		status = dataset_captions_each(run->data, add_caption, bpe, err);
	if (status == STATUS_OK)
		status = bpe_write(bpe, run->line->vocabulary, path, &learned, err);
	if (status == STATUS_OK && learned < run->line->vocabulary)
		train_say(run, "the captions have no more than %zu ids in them", learned);
	bpe_free(bpe);
	return status;
}

/* The tokenizer beside a model, into --out. */
static enum status copy_tokenizer(const struct run *run, const char *folder, struct err *err)
{
	char *from = NULL, *to = NULL;
	enum status status = tokenizer_find(folder, &from, err);

	if (status == STATUS_NOT_FOUND)
		return err_set(err, STATUS_NOT_FOUND,
			       "there is no tokenizer in '%s'; hint: --new-tokenizer 4096 learns one from the captions", folder);
	if (status == STATUS_OK) {
		to = path_join(run->line->out, strrchr(from, '/') + 1);
		status = to ? file_copy(from, to, err) : err_memory(err, "a path");
	}
	free(from);
	free(to);
	return status;
}

static enum status choose_tokenizer(struct run *run, const char *folder, struct err *err)
{
	char *path = path_join(run->line->out, "merges.txt");
	enum status status = path ? STATUS_OK : err_memory(err, "a path");
	bool learn = run->line->vocabulary && !run->resume;

	if (status == STATUS_OK && learn && run->from)
		status = err_set(err, STATUS_USAGE, "the model of --from knows its own ids: leave out --new-tokenizer");
	if (status == STATUS_OK && learn)
		status = learn_tokenizer(run, path, err);
	else if (status == STATUS_OK && !run->resume)
		status = copy_tokenizer(run, folder, err);
	if (status == STATUS_OK)
		status = tokenizer_open(run->line->out, learn ? 0 : run->config.vocab_size, &run->tokenizer, err);
	if (status == STATUS_OK && learn)
		run->config.vocab_size = tokenizer_vocab_size(run->tokenizer);
	if (status == STATUS_OK)
		status = dataset_tokenise(run->data, run->tokenizer, run->config.context_length, err);
	free(path);
	return status;
}

/* ---- all of it -------------------------------------------------------------------------------------------------------- */

static enum status check_out(struct run *run, struct err *err)
{
	const char *out = run->line->out;

	if (!out)
		return err_set(err, STATUS_USAGE, "coca train needs a folder for the model: --out DIR");
	char *state = path_join(out, "train_state.bin");
	bool there = state && access(state, F_OK) == 0;
	free(state);
	if (there && !run->resume)
		return err_set(err, STATUS_USAGE,
			       "'%s' holds a run already; hint: --resume goes on with it, another --out begins a new one", out);
	return path_make_folder(out, err);
}

/* The run itself, once everything that it needs is there. */
static enum status make_run(struct run *run, struct err *err)
{
	bool same = true;
	enum status status = train_note_write(run, err);

	if (status == STATUS_OK)
		status = train_new(&run->options, &run->config, run->data, &run->train, err);
	if (status == STATUS_OK && run->from)
		status = train_from(run->train, coca_weights(run->from), coca_config(run->from), err);
	if (status == STATUS_OK && run->resume)
		status = train_resume(run->train, &same, err);
	if (status == STATUS_OK && !same)
		train_say(run, "the photographs, their captions or the seed are not what they were: a new epoch begins");
	return status;
}

enum status train_prepare(struct run *run, struct err *err)
{
	char *folder = NULL;
	enum status status = check_out(run, err);

	if (status == STATUS_OK)
		status = train_options_take(run, err);
	if (status == STATUS_OK)
		status = choose_shape(run, &folder, err);
	if (status == STATUS_OK)
		status = resize(run, err);
	if (status == STATUS_OK)
		status = read_sources(run, err);
	if (status == STATUS_OK)
		status = train_options_length(run, err);
	if (status == STATUS_OK)
		status = choose_tokenizer(run, folder, err);
	if (status == STATUS_OK)
		status = make_run(run, err);
	coca_close(run->from);
	run->from = NULL;
	free(folder);
	return status;
}
