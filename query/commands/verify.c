/* verify.c: coca verify: is the catalog sound, and does the vector index find what an exact scan finds? */
#include "query/commands/commands.h"

#include "query/commands/open.h"
#include "query/session/library.h"
#include "schema/catalog/maintenance.h"
#include "schema/vectors/vectors.h"

#include "schema/base/embed.h"

#include "schema/base/banned.h"

EMBED_TEXT(help_verify, "query/commands/verify.txt");

enum { RECALL_SAMPLE = 200, RECALL_DEPTH = 10 };

/* Below this an approximate index is a finding. It is tuned to 0.99 when it is built. */
static const double RECALL_LEAST = 0.95;

struct options {
	bool repair;
};

static const struct option_spec options[] = {
	OPTION_FLAG(struct options, repair, "repair", 0,
		    "save what can be read of a damaged file, drop damaged embeddings, make the vector index anew"),
	{0},
};

static void print_problem(void *context, const char *problem)
{
	struct cli *cli = context;
	fprintf(cli->out, "problem: %s\n", problem);
}

static enum status check_vectors(struct cli *cli, struct library *library, size_t *problems, struct err *err)
{
	const struct vectors_options checked = {.check = true};
	struct vectors *vectors = NULL;
	double recall = 1;
	enum status status = vectors_open(library->catalog, &library->row, &checked, &vectors, err);

	if (status == STATUS_OK && vectors_count(vectors))
		status = vectors_recall(vectors, library->catalog, &library->row, RECALL_SAMPLE, RECALL_DEPTH, &recall, err);
	if (status == STATUS_OK) {
		fprintf(cli->out, "vector index: %s, %zu vectors%s\n", vectors_describe(vectors), vectors_count(vectors),
			vectors_rebuilt(vectors) ? ", made anew just now" : "");
		fprintf(cli->out, "recall at %d against the exact scan: %.4f\n", RECALL_DEPTH, recall);
		if (recall < RECALL_LEAST) {
			fprintf(cli->out, "problem: the vector index misses too much\n");
			++*problems;
		}
	}
	vectors_close(vectors);
	return status;
}

static enum status salvage(struct cli *cli, struct err *err)
{
	struct catalog_salvage saved;
	enum status status = catalog_salvage(cli->database, &saved, err);

	if (status == STATUS_FORMAT)
		return err_prefix(err, "nothing can be saved; hint: move the file away and run coca index again");
	if (status == STATUS_OK)
		fprintf(cli->out, "repair: saved %zu photos, %zu embeddings and %zu texts of the damaged catalog; %zu photos must be read again; hint: coca "
			"index\nrepair: the damaged file is kept as '%s'\n", saved.photos, saved.embeddings, saved.texts, saved.unread, saved.kept);
	return status;
}

/* Needs the catalog for writing: no run of `coca index` may be under way. */
static enum status repair(struct cli *cli, struct err *err)
{
	struct catalog *catalog = NULL;
	struct catalog_repairs done = {0};
	bool intact = false;
	enum status status = catalog_open(cli->database, CATALOG_WRITE, &catalog, err);

	if (status == STATUS_OK)
		status = catalog_intact(catalog, &intact, err);
	if (status == STATUS_FORMAT || (status == STATUS_OK && !intact)) {
		catalog_close(catalog);
		catalog = NULL;
		status = salvage(cli, err);
		if (status == STATUS_OK)
			status = catalog_open(cli->database, CATALOG_WRITE, &catalog, err);
	}

	if (status == STATUS_OK)
		status = catalog_repair(catalog, &done, err);
	if (status == STATUS_OK)
		fprintf(cli->out, "repair: dropped %zu damaged embeddings of photos, %zu of texts and %zu damaged sets of image tokens; "
			"vector indexes are made anew%s\n", done.embeddings, done.text_embeddings, done.tokens,
			done.embeddings + done.text_embeddings ? "; hint: coca index makes the embeddings again" : "");
	catalog_close(catalog);
	return status;
}

static int run(struct cli *cli, const struct arguments *args)
{
	const struct options *given = args->options;
	struct library *library = cli->library;
	struct err err;
	size_t problems = 0;
	enum status status = STATUS_OK;

	if (given->repair)
		status = repair(cli, &err);
	cli->needs = NEEDS_LIBRARY;
	if (status == STATUS_OK)
		status = open_needs(cli, library, &err);
	/* A catalog without rows of this model can be checked all the same. */
	bool known = status == STATUS_OK;
	if (status == STATUS_NOT_FOUND && library->catalog && library->empty)
		status = STATUS_OK;
	if (status == STATUS_OK)
		status = catalog_check(library->catalog, print_problem, cli, &problems, &err);
	/* The index is made from the embeddings: it cannot be better than they are. */
	if (status == STATUS_OK && known && problems == 0)
		status = check_vectors(cli, library, &problems, &err);
	if (status != STATUS_OK)
		return open_failed(cli, &err);
	if (problems)
		fprintf(cli->out, "%zu problem%s found; hint: %s\n", problems, problems == 1 ? "" : "s",
			given->repair ? "coca index makes again what was dropped" : "coca verify --repair");
	else
		fprintf(cli->out, "the catalog is sound\n");
	return problems ? EXIT_FAILED : EXIT_DONE;
}

const struct command command_verify = {
	.name = "verify",
	.synopsis = "",
	.summary = "check the catalog, and the vector index against an exact scan",
	.options = options,
	.options_size = sizeof(struct options),
	.details = help_verify,
	.needs = NEEDS_NOTHING, /* at first: what is damaged is repaired before it is opened */
	.run = run,
};
