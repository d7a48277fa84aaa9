/* classify.c: coca classify: which of some labels photographs have: by words, without training, or by a head that was taught. */
#include "query/commands/commands.h"

#include <stdlib.h>
#include <string.h>

#include "query/session/library.h"
#include "query/teach/classes.h"
#include "query/teach/choices.h"
#include "query/show/format.h"
#include "query/teach/labelling.h"
#include "query/session/tokens.h"
#include "schema/catalog/contents.h"
#include "schema/base/embed.h"

#include "schema/base/banned.h"

EMBED_TEXT(help_classify, "query/commands/classify.txt");

struct options {
	const char *labels, *labels_file, *head, *templates;
	bool all, exact;
	size_t limit;
	enum format format;
};

static const struct option_spec options[] = {
	OPTION_TEXT(struct options, labels, "labels", 0, "A,B,C", 0, "the labels to choose from"),
	OPTION_TEXT(struct options, labels_file, "labels-file", 0, "FILE", OPTION_FILE, "labels, one a line: those with commas, and many"),
	OPTION_TEXT(struct options, head, "head", 0, "HEAD", OPTION_FILE,
		    "a head that was taught (coca tune): its file, or the name it is installed under"),
	OPTION_TEXT(struct options, templates, "templates", 0, "FILE", OPTION_FILE,
		    "prompts, one a line, {} for the label (default: some are built in)"),
	OPTION_FLAG(struct options, all, "all", 0, "the whole library"),
	OPTION_FLAG(struct options, exact, "exact", 0, "decode every pixel of a file that is not indexed: the reference, slower"),
	OPTION_NUMBER(struct options, limit, "limit", 'n', "N", 1, 1000000, 5, "show the best N labels of each photo (default %)"),
	OPTION_CHOICE(struct options, format, "format", 0, "FORMAT", format_names, FORMAT_JSON, FORMAT_TEXT,
		      "text or json (one object a line)"),
	{0},
};

struct classifier {
	struct cli *cli;
	struct library *library;
	struct choices labels;
	struct head head;             /* of --head; else zeroed, and labels are words */
	struct head_pass *pass;       /* NULL: without a head */
	float *tokens;                /* [M,D] */
	float *embeddings;            /* [labels,E] */
	float *photo;                 /* [E] */
	struct ranked_choice *ranked;  /* [labels] */
	size_t limit, done, failed, again;
	enum format format;
	bool several, exact;
};

/* What is said of the photograph whose tokens, or embedding, are there. */
static enum status print(struct classifier *c, const char *path, size_t path_size, struct err *err)
{
	struct choices_said said = {.format = c->format, .path = path, .path_size = path_size, .headed = c->several};
	struct engine *engine = &c->library->engine;
	struct buffer out = {0};

	if (c->pass) {
		size_t M = c->head.n ? tokens_floats(engine, TOKENS_ENCODER) / c->head.D : 1;
		choices_sort(head_read(c->pass, c->head.n ? c->tokens : c->photo, M), c->head.labels_count, c->ranked);
	} else {
		choices_rank(c->photo, c->embeddings, c->labels.count, engine->embed, (double)coca_logit_scale(engine->model), c->ranked);
	}
	c->done++;
	choices_format(&said, c->pass ? (const char *const *)c->head.labels : c->labels.names, c->ranked, c->limit, &out);
	return format_print(c->cli->out, &out, err);
}

static enum status classify_file(struct classifier *c, const char *path, struct err *err)
{
	bool reads_tokens = c->pass && c->head.n;
	int64_t content;
	enum status status = tokens_of_file(c->library, path, TOKENS_ENCODER, reads_tokens ? c->tokens : NULL,
					    reads_tokens ? NULL : c->photo, &content, err);

	if (status == STATUS_OK)
		return print(c, path, strlen(path), err);
	if (status == STATUS_MEMORY)
		return status;
	cli_fail(c->cli, err);
	c->failed++;
	return STATUS_OK;
}

static enum status classify_content(void *context, int64_t content, const float *embedding, struct err *err)
{
	struct classifier *c = context;
	struct buffer path = {0};
	enum tokens_found found = TOKENS_STORED;
	enum status status = library_path(c->library, content, NULL, &path, err);

	memcpy(c->photo, embedding, c->library->engine.embed * sizeof *embedding);
	if (status == STATUS_OK && path.data && c->pass && c->head.n)
		status = tokens_of_content(c->library, TOKENS_ENCODER, content, c->tokens, &found, err);
	c->again += found == TOKENS_ENCODED;
	if (status == STATUS_OK && path.data && found)
		status = print(c, path.data, path.size, err);
	buffer_release(&path);
	return status;
}

static enum status check(struct cli *cli, const struct arguments *args, struct err *err)
{
	const struct options *given = args->options;

	(void)cli;
	if (args->count == 0 && !given->all)
		return err_set(err, STATUS_USAGE, "coca classify takes photographs, or --all");
	if (args->count && given->all)
		return err_set(err, STATUS_USAGE, "--all stands for the whole library: give it or photographs");
	if (given->head) {
		if (given->labels || given->labels_file || given->templates)
			return err_set(err, STATUS_USAGE,
				       "--head has its own labels: --labels, --labels-file and --templates do not go with it");
		return STATUS_OK;
	}
	if (!given->labels == !given->labels_file)
		return err_set(err, STATUS_USAGE, "coca classify takes --labels A,B,C, --labels-file FILE or --head HEAD, one of them");
	return STATUS_OK;
}

static enum status parse(const struct options *given, size_t photos, struct classifier *c, struct err *err)
{
	c->exact = given->exact;
	c->several = given->all || photos > 1;
	c->limit = given->limit;
	c->format = given->format;
	if (given->head)
		return STATUS_OK;
	return given->labels ? choices_split(given->labels, &c->labels, err) : choices_read(given->labels_file, &c->labels, err);
}

static enum status prepare_head(struct classifier *c, const char *name, struct err *err)
{
	size_t size = tokens_floats(&c->library->engine, TOKENS_ENCODER);
	enum status status = labelling_find(c->library, name, false, &c->head, err);

	if (status == STATUS_OK)
		status = head_pass_new(&c->head, 1, c->head.n ? size / c->head.D : 1, &c->pass, err);
	if (status != STATUS_OK)
		return status;
	size_t C = c->head.labels_count;
	c->tokens = mem_floats(size);
	c->photo = mem_floats(c->library->engine.embed);
	c->ranked = mem_array(C, sizeof *c->ranked);
	c->limit = c->limit < C ? c->limit : C;
	return c->tokens && c->photo && c->ranked ? STATUS_OK : err_memory(err, "labels");
}

static enum status prepare(struct classifier *c, const char *templates, const char *head, struct err *err)
{
	size_t n = c->labels.count, embed = c->library->engine.embed;

	if (head)
		return prepare_head(c, head, err);
	c->limit = c->limit < n ? c->limit : n;
	c->library->engine.exact = c->exact;
	c->embeddings = mem_floats(mem_product(n, embed));
	c->photo = mem_floats(embed);
	c->ranked = mem_array(n, sizeof *c->ranked);
	if (!c->embeddings || !c->photo || !c->ranked)
		return err_memory(err, "labels");
	return classes_embed(&c->cli->listener, &c->library->engine, c->labels.names, n, templates, c->embeddings, err);
}

static int run(struct cli *cli, const struct arguments *args)
{
	const struct options *given = args->options;
	struct classifier c = {.cli = cli, .library = cli->library};
	struct err err;
	int code = EXIT_DONE;
	enum status status = parse(given, args->count, &c, &err);

	if (status == STATUS_OK)
		status = prepare(&c, given->templates, given->head, &err);
	for (size_t i = 0; i < args->count && status == STATUS_OK; i++)
		status = classify_file(&c, args->words[i], &err);
	if (status == STATUS_OK && args->count == 0 && c.library->row.id)
		status = catalog_embeddings_each(c.library->catalog, c.library->row.id, c.library->engine.embed, classify_content, &c, &err);
	if (status != STATUS_OK) {
		code = cli_fail(cli, &err);
	} else if (c.failed) {
		code = c.done ? EXIT_SKIPPED : EXIT_FAILED;
	} else if (c.done == 0) {
		fprintf(cli->log, "coca: the library holds no photograph that is indexed by this model; hint: coca index DIR\n");
		code = EXIT_NO_RESULT;
	}
	if (status == STATUS_OK && c.again)
		listener_note(&cli->listener,
			      "%zu photos had no stored tokens and were encoded again; hint: coca index has --encoder-budget", c.again);
	choices_release(&c.labels);
	head_pass_free(c.pass);
	head_release(&c.head);
	free(c.tokens);
	free(c.embeddings);
	free(c.photo);
	free(c.ranked);
	return code;
}

const struct command command_classify = {
	.name = "classify",
	.synopsis = "FILE...|--all",
	.summary = "choose among labels, without training, or by a head that was taught",
	.options = options,
	.options_size = sizeof(struct options),
	.details = help_classify,
	.needs = NEEDS_LIBRARY_OR_NONE,
	.check = check,
	.run = run,
	.passive_threads = true,
};
