/* caption.c: coca caption: photographs described in a sentence each; kept as texts with --store.
 *
 *     words -> jobs (a file or a content each) -> image tokens, CAPTION_BATCH at a time -> captions -> printed, stored
 */
#include "query/commands/commands.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "query/session/library.h"
#include "query/find/caption.h"
#include "query/show/format.h"
#include "query/ask/parse.h"
#include "query/session/tokens.h"
#include "query/find/texts.h"
#include "schema/catalog/filter.h"
#include "schema/catalog/texts.h"
#include "schema/base/json.h"

#include "schema/base/embed.h"
#include "schema/base/clock.h"
#include "schema/cli/progress.h"

#include "schema/base/banned.h"

EMBED_TEXT(help_caption, "query/commands/caption.txt");

enum { COMMIT_SECONDS = 3 };

struct options {
	bool all, store;
	size_t beams, most;       /* most 0: as many as the model takes */
	enum format format;
};

static const struct option_spec options[] = {
	OPTION_FLAG(struct options, all, "all", 0, "the whole library"),
	OPTION_FLAG(struct options, store, "store", 0, "keep the captions as texts of the collection 'captions', tied to their photos"),
	OPTION_NUMBER(struct options, beams, "beams", 0, "K", 1, 64, CAPTION_BEAMS,
		      "captions that are followed at a time (default %; 1: greedy, the quickest)"),
	OPTION_NUMBER(struct options, most, "most", 0, "N", 1, 100000, 0, "tokens of a caption at most (default: as many as the model takes)"),
	OPTION_CHOICE(struct options, format, "format", 0, "FORMAT", format_names, FORMAT_JSON, FORMAT_TEXT, "text or json (one object a line)"),
	{0},
};

struct work {
	char *path;          /* a file that was named; else NULL, and */
	int64_t content;     /* a content of the catalog */
	const char *in;      /* the folder that it was found below; NULL: the whole library */
};

struct captioning {
	struct cli *cli;
	struct library *library;
	size_t beams, most;
	enum format format;
	bool store;
	struct work *work;
	size_t count, capacity;
	size_t failed, kept, stored; /* kept: have a caption already */
	char **folders;              /* what work.in points to */
	size_t folder_count;
	/* the batch under way */
	float *tokens;               /* [CAPTION_BATCH,N,W] */
	struct buffer paths[CAPTION_BATCH];
	int64_t contents[CAPTION_BATCH];
	size_t batched;
	double committed;
};

/* ---- what is to be captioned ------------------------------------------------------------------------------------ */

static enum status add_work(struct captioning *c, struct work work, struct err *err)
{
	if (c->count == c->capacity) {
		size_t capacity = c->capacity ? 2 * c->capacity : 64;
		struct work *more = mem_resize(c->work, capacity, sizeof *more);
		if (!more)
			return err_memory(err, "the list of photographs");
		c->work = more;
		c->capacity = capacity;
	}
	c->work[c->count++] = work;
	return STATUS_OK;
}

/* A folder's indexed photographs, or all; without those that are captioned already, if captions are stored. */
static enum status add_folder(struct captioning *c, const char *folder, struct err *err)
{
	struct photo_filter filter = {.in = folder};
	int64_t *contents = NULL;
	size_t n = 0;
	double likelihood;
	enum status status = STATUS_OK;

	if (c->library->catalog)
		status = catalog_filter(c->library->catalog, &filter, &contents, &n, err);
	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		int64_t text = 0;
		if (c->store)
			status = catalog_caption_get(c->library->catalog, contents[i], c->library->row.id, &text, &likelihood, err);
		if (status == STATUS_OK && text)
			c->kept++;
		else if (status == STATUS_OK)
			status = add_work(c, (struct work){NULL, contents[i], folder}, err);
	}
	free(contents);
	if (status == STATUS_OK && n == 0)
		fprintf(c->cli->log, "coca: no indexed photograph lies below '%s'; hint: coca index DIR\n", folder ? folder : "/");
	return status;
}

static enum status add_word(struct captioning *c, const char *word, struct err *err)
{
	struct stat st;

	if (stat(word, &st) != 0 || !S_ISDIR(st.st_mode)) {
		char *path = mem_copy(word, strlen(word));
		enum status status = path ? add_work(c, (struct work){path, 0, NULL}, err) : err_memory(err, "a path");
		if (status != STATUS_OK)
			free(path);
		return status;
	}
	char **folders = mem_resize(c->folders, c->folder_count + 1, sizeof *folders);
	char *folder = parse_folder(word);
	if (folders)
		c->folders = folders;
	if (!folders || !folder) {
		free(folder);
		return err_memory(err, "a path");
	}
	c->folders[c->folder_count++] = folder;
	return add_folder(c, folder, err);
}

/* ---- a batch ---------------------------------------------------------------------------------------------------- */

/* A photograph that cannot be had is named and counted. */
static enum status load(struct captioning *c, const struct work *work, struct err *err)
{
	struct engine *engine = &c->library->engine;
	float *tokens = c->tokens + c->batched * engine->tokens * engine->width;
	struct photo_filter filter = {.in = work->in};
	struct buffer *path = &c->paths[c->batched];
	enum status status;
	enum tokens_found found = TOKENS_STORED;

	c->contents[c->batched] = work->content;
	if (work->path) {
		buffer_text(path, work->path);
		status = tokens_of_file(c->library, work->path, TOKENS_IMAGE, tokens, NULL, &c->contents[c->batched], err);
	} else {
		status = library_path(c->library, work->content, &filter, path, err);
		if (status == STATUS_OK)
			status = tokens_of_content(c->library, TOKENS_IMAGE, work->content, tokens, &found, err);
		if (status == STATUS_OK && !found)
			status = err_set(err, STATUS_NOT_FOUND, "cannot read '%s': it is away or has changed, and its image tokens are not stored",
					 path->data ? path->data : "");
	}
	if (status == STATUS_OK) {
		c->batched++;
		return STATUS_OK;
	}
	buffer_release(path);
	if (status == STATUS_MEMORY)
		return status;
	cli_fail(c->cli, err);
	c->failed++;
	return STATUS_OK;
}

static enum status store(struct captioning *c, int64_t content, const struct written *written, struct err *err)
{
	struct catalog *catalog = c->library->catalog;
	struct catalog_text text = {
		.collection = CAPTION_COLLECTION, .photo_content = content, .text = written->text, .text_size = strlen(written->text)};
	enum status status = catalog_text_put(catalog, &text, err);

	if (status == STATUS_OK)
		status = catalog_caption_put(catalog, content, c->library->row.id, text.id, (double)written->likelihood, err);
	c->stored += status == STATUS_OK;
	return status;
}

static void print(const struct captioning *c, const struct buffer *path, const struct written *w, bool stored, struct buffer *out)
{
	if (c->format == FORMAT_TEXT) {
		buffer_format(out, "%8.2f  ", (double)w->likelihood);
		format_visible(w->text, strlen(w->text), out);
		buffer_text(out, "  [");
		format_visible(path->data, path->size, out);
		buffer_text(out, "]\n");
		return;
	}
	buffer_text(out, "{\"path\":");
	json_string(out, path->data, path->size);
	buffer_text(out, ",\"caption\":");
	json_string(out, w->text, strlen(w->text));
	buffer_text(out, ",\"caption_logprob\":");
	json_number(out, (double)w->likelihood);
	buffer_format(out, ",\"tokens\":%zu,\"beams\":%zu,\"stored\":%s}\n", w->tokens, c->beams, stored ? "true" : "false");
}

/* Captions, prints and stores the batch, and empties it. */
static enum status flush(struct captioning *c, struct err *err)
{
	struct written written[CAPTION_BATCH] = {0};
	struct buffer out = {0};
	enum status status = c->batched ? caption_write(&c->library->engine, c->tokens, c->batched, c->beams, c->most, written, err) : STATUS_OK;

	for (size_t i = 0; i < c->batched && status == STATUS_OK; i++) {
		bool stored = c->store && c->contents[i];
		if (stored)
			status = store(c, c->contents[i], &written[i], err);
		else if (c->store) {
			fprintf(c->cli->log, "coca: '%s' is not indexed: its caption is not stored; hint: coca index\n", c->paths[i].data);
			c->failed++;
		}
		if (status == STATUS_OK)
			print(c, &c->paths[i], &written[i], stored, &out);
	}
	if (status == STATUS_OK)
		status = format_print(c->cli->out, &out, err);
	buffer_release(&out);
	written_release(written, c->batched);
	while (c->batched)
		buffer_release(&c->paths[--c->batched]);
	if (status == STATUS_OK && c->store && clock_now() - c->committed > COMMIT_SECONDS) {
		status = catalog_commit(c->library->catalog, err);
		if (status == STATUS_OK)
			status = catalog_begin(c->library->catalog, err);
		c->committed = clock_now();
	}
	return status;
}

static enum status caption_all(struct captioning *c, struct err *err)
{
	struct progress progress;
	enum status status = c->store ? catalog_begin(c->library->catalog, err) : STATUS_OK;
	size_t i = 0;

	c->committed = clock_now();
	progress_start(&progress, &c->cli->listener, "captioning", "photos");
	while (i < c->count && status == STATUS_OK && !(c->cli->interrupted && *c->cli->interrupted)) {
		for (; i < c->count && c->batched < CAPTION_BATCH && status == STATUS_OK; i++)
			status = load(c, &c->work[i], err);
		if (status == STATUS_OK)
			status = flush(c, err);
		progress_show(&progress, i, c->count);
	}
	progress_end(&progress);
	if (c->store && status == STATUS_OK)
		status = catalog_commit(c->library->catalog, err);
	if (status == STATUS_OK && i < c->count)
		status = err_set(err, STATUS_INTERRUPTED, c->store ? "interrupted; what was captioned is kept; run it again to go on" : "interrupted");
	return status;
}

/* The captions' embeddings, so that a search finds photographs by them at once. */
static enum status embed(struct captioning *c, struct err *err)
{
	size_t n;
	enum status status = texts_embed(&c->cli->listener, &c->library->engine, c->library->catalog, &c->library->row, &n, err);

	return status == STATUS_OK ? texts_index(c->library, err) : status;
}

/* ---- command ---------------------------------------------------------------------------------------------------- */

static enum status check(struct cli *cli, const struct arguments *args, struct err *err)
{
	const struct options *given = args->options;

	if (args->count == 0 && !given->all)
		return err_set(err, STATUS_USAGE, "coca caption takes photographs, folders, or --all");
	if (args->count && given->all)
		return err_set(err, STATUS_USAGE, "--all stands for the whole library: give it or photographs");
	if (given->store)
		cli->needs = NEEDS_LIBRARY_WRITER;
	return STATUS_OK;
}

static enum status prepare(struct captioning *c, const struct arguments *args, struct err *err)
{
	const struct options *given = args->options;
	const struct engine *engine = &c->library->engine;
	enum status status = STATUS_OK;

	c->store = given->store;
	c->beams = given->beams;
	c->most = given->most;
	c->format = given->format;
	if (status == STATUS_OK && args->count == 0)
		status = add_folder(c, NULL, err);
	for (size_t i = 0; i < args->count && status == STATUS_OK; i++)
		status = add_word(c, args->words[i], err);
	if (status != STATUS_OK)
		return status;
	c->tokens = mem_floats(mem_product(CAPTION_BATCH, mem_product(engine->tokens, engine->width)));
	return c->tokens ? STATUS_OK : err_memory(err, "image tokens");
}

static void release(struct captioning *c)
{
	for (size_t i = 0; i < CAPTION_BATCH; i++)
		buffer_release(&c->paths[i]);
	for (size_t i = 0; i < c->count; i++)
		free(c->work[i].path);
	while (c->folder_count)
		free(c->folders[--c->folder_count]);
	free(c->folders);
	free(c->work);
	free(c->tokens);
}

static int run(struct cli *cli, const struct arguments *args)
{
	struct captioning c = {.cli = cli, .library = cli->library};
	struct err err;
	int code = EXIT_DONE;
	enum status status = prepare(&c, args, &err);

	if (status == STATUS_OK && c.count)
		status = caption_all(&c, &err);
	if (status == STATUS_OK && c.store)
		status = embed(&c, &err);
	if (c.store && (c.stored || c.kept))
		listener_note(&cli->listener, "%zu captions stored, %zu photos had one already", c.stored, c.kept);
	if (status != STATUS_OK)
		code = cli_fail(cli, &err);
	else if (c.failed)
		code = c.failed == c.count && !c.kept ? EXIT_FAILED : EXIT_SKIPPED;
	else if (c.count == 0 && c.kept == 0)
		code = EXIT_NO_RESULT;
	release(&c);
	return code;
}

const struct command command_caption = {
	.name = "caption",
	.synopsis = "FILE...|DIR|--all",
	.summary = "describe photographs in a sentence each",
	.options = options,
	.options_size = sizeof(struct options),
	.details = help_caption,
	.needs = NEEDS_LIBRARY_OR_NONE,
	.check = check,
	.run = run,
	.passive_threads = true,
	.handles_interrupt = true,
};
