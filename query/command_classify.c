/* command_classify.c: coca classify: which of some labels photographs have, without training. */
#include "query/commands.h"

#include <stdlib.h>
#include <string.h>

#include "query/classes.h"
#include "query/classify.h"
#include "query/format.h"
#include "query/subject.h"
#include "schema/json.h"

#include "schema/banned.h"

struct classifier {
	struct cli *cli;
	struct library library;
	struct labels labels;
	float *embeddings;            /* [labels,E] */
	float *photo;                 /* [E] */
	struct ranked_label *ranked;  /* [labels] */
	size_t limit, done, failed;
	enum format format;
	bool several, exact;
};

static void print_json(const struct classifier *c, const char *path, size_t path_size, struct buffer *out)
{
	buffer_text(out, "{\"path\":");
	json_string(out, path, path_size);
	buffer_text(out, ",\"labels\":[");
	for (size_t i = 0; i < c->limit; i++) {
		const char *name = c->labels.names[c->ranked[i].label];
		buffer_text(out, i ? ",{\"label\":" : "{\"label\":");
		json_string(out, name, strlen(name));
		buffer_text(out, ",\"probability\":");
		json_number(out, c->ranked[i].probability);
		buffer_text(out, ",\"similarity\":");
		json_number(out, (double)c->ranked[i].similarity);
		buffer_text(out, "}");
	}
	buffer_text(out, "]}\n");
}

static enum status print(struct classifier *c, const char *path, size_t path_size, struct err *err)
{
	struct buffer out = {0};

	classify(c->photo, c->embeddings, c->labels.count, c->library.engine.embed, (double)coca_logit_scale(c->library.engine.model), c->ranked);
	c->done++;
	if (c->format == FORMAT_JSON) {
		print_json(c, path, path_size, &out);
		return format_print(c->cli->out, &out, err);
	}
	if (c->several) {
		format_visible(path, path_size, &out);
		buffer_text(&out, "\n");
	}
	for (size_t i = 0; i < c->limit; i++) {
		const char *name = c->labels.names[c->ranked[i].label];
		buffer_format(&out, "%3zu  %6.2f %%  ", i + 1, 100 * c->ranked[i].probability);
		format_visible(name, strlen(name), &out);
		buffer_text(&out, "\n");
	}
	return format_print(c->cli->out, &out, err);
}

static enum status classify_file(struct classifier *c, const char *path, struct err *err)
{
	int64_t content;
	enum status status = subject_file(&c->library, path, c->photo, NULL, &content, err);

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
	enum status status = subject_path(&c->library, content, NULL, &path, err);

	memcpy(c->photo, embedding, c->library.engine.embed * sizeof *embedding);
	if (status == STATUS_OK && path.data)
		status = print(c, path.data, path.size, err);
	buffer_release(&path);
	return status;
}

static enum status read_labels(const struct arguments *args, struct labels *labels, struct err *err)
{
	const char *list = arguments_text(args, "labels", NULL), *file = arguments_text(args, "labels-file", NULL);

	if (!list == !file)
		return err_set(err, STATUS_USAGE, "coca classify takes --labels A,B,C or --labels-file FILE, one of them");
	return list ? labels_split(list, labels, err) : labels_read(file, labels, err);
}

static enum status parse(const struct arguments *args, struct classifier *c, struct err *err)
{
	bool all = arguments_flag(args, "all");

	if (args->count == 0 && !all)
		return err_set(err, STATUS_USAGE, "coca classify takes photographs, or --all");
	if (args->count && all)
		return err_set(err, STATUS_USAGE, "--all stands for the whole library: give it or photographs");
	c->exact = arguments_flag(args, "exact");
	c->several = all || args->count > 1;
	enum status status = arguments_number(args, "limit", 5, 1, 1000000, &c->limit, err);
	if (status == STATUS_OK)
		status = format_parse(arguments_text(args, "format", "text"), &c->format, err);
	if (status == STATUS_OK && c->format == FORMAT_PATHS0)
		status = err_set(err, STATUS_USAGE, "--format takes text or json here");
	if (status == STATUS_OK)
		status = read_labels(args, &c->labels, err);
	if (c->limit > c->labels.count)
		c->limit = c->labels.count;
	return status;
}

static enum status prepare(struct classifier *c, const char *templates, struct err *err)
{
	enum status status = subject_library(c->cli, CATALOG_READ, &c->library, err);
	size_t n = c->labels.count, embed = c->library.engine.embed;

	if (status != STATUS_OK)
		return status;
	c->library.engine.exact = c->exact;
	c->embeddings = mem_floats(mem_product(n, embed));
	c->photo = mem_floats(embed);
	c->ranked = mem_array(n, sizeof *c->ranked);
	if (!c->embeddings || !c->photo || !c->ranked)
		return err_memory(err, "labels");
	return classes_embed(c->cli, &c->library.engine, c->labels.names, n, templates, c->embeddings, err);
}

static int run(struct cli *cli, const struct arguments *args)
{
	struct classifier c = {.cli = cli};
	struct err err;
	int code = EXIT_DONE;
	enum status status = parse(args, &c, &err);

	if (status == STATUS_OK)
		status = prepare(&c, arguments_text(args, "templates", NULL), &err);
	for (size_t i = 0; i < args->count && status == STATUS_OK; i++)
		status = classify_file(&c, args->words[i], &err);
	if (status == STATUS_OK && args->count == 0 && c.library.row.id)
		status = catalog_embeddings_each(c.library.catalog, c.library.row.id, c.library.engine.embed, classify_content, &c, &err);
	if (status != STATUS_OK) {
		code = cli_fail(cli, &err);
	} else if (c.failed) {
		code = c.done ? EXIT_SKIPPED : EXIT_FAILED;
	} else if (c.done == 0) {
		fprintf(cli->log, "coca: the library holds no photograph that is indexed by this model; hint: coca index DIR\n");
		code = EXIT_NO_RESULT;
	}
	labels_release(&c.labels);
	free(c.embeddings);
	free(c.photo);
	free(c.ranked);
	library_close(&c.library);
	return code;
}

static const struct option_spec options[] = {
	{"labels", 0, "A,B,C", OPTION_TEXT, "the labels to choose from"},
	{"labels-file", 0, "FILE", OPTION_TEXT | OPTION_FILE, "labels, one a line: those with commas, and many"},
	{"templates", 0, "FILE", OPTION_TEXT | OPTION_FILE, "prompts, one a line, {} for the label (default: some are built in)"},
	{"all", 0, NULL, OPTION_FLAG, "the whole library"},
	{"exact", 0, NULL, OPTION_FLAG, "decode every pixel of a file that is not indexed: the reference, slower"},
	{"limit", 'n', "N", OPTION_NUMBER, "show the best N labels of each photo (default 5)"},
	{"format", 0, "FORMAT", OPTION_TEXT, "text or json (one object a line)"},
	{0},
};

const struct command command_classify = {
	.name = "classify",
	.synopsis = "FILE...|--all",
	.summary = "choose among labels, without training",
	.options = options,
	.details = "Each label is put into some prompts (\"a photo of a {}.\"); the mean of their embeddings stands for it. Probabilities are\n"
		   "the softmax of logit scale x similarity: they say which of these labels fits best, not whether any fits.\n"
		   "--all uses the stored embeddings: no photo is read.\n",
	.run = run,
	.passive_threads = true,
};
