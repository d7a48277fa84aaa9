/* forget.c: `coca forget`: a folder leaves the library. */
#include "indexer/commands/commands.h"

#include <stdlib.h>

#include "indexer/walk/path.h"
#include "schema/base/embed.h"
#include "schema/catalog/catalog.h"
#include "schema/catalog/contents.h"
#include "schema/catalog/photos.h"

#include "schema/base/banned.h"

EMBED_TEXT(help_forget, "indexer/commands/forget.txt");

struct options {
	bool prune;
};

static const struct option_spec options[] = {
	OPTION_FLAG(struct options, prune, "prune", 0, "delete their embeddings, too: indexed again, they are embedded again"),
	{0},
};

static enum status forget(struct catalog *catalog, const char *folder, bool prune, size_t *photos, struct err *err)
{
	size_t contents;
	char *path = path_resolve(folder);
	enum status status = path ? catalog_forget(catalog, path, photos, err) : err_memory(err, "a path");

	if (status == STATUS_OK && prune)
		status = catalog_purge(catalog, &contents, err);
	free(path);
	return status;
}

static enum status check(struct cli *cli, const struct arguments *args, struct err *err)
{
	(void)cli;
	return args->count ? STATUS_OK : err_set(err, STATUS_USAGE, "forget what? hint: coca forget DIR");
}

static int run(struct cli *cli, const struct arguments *args)
{
	const struct options *given = args->options;
	size_t photos = 0;
	struct err err;
	enum status status = STATUS_OK;

	for (size_t i = 0; i < args->count && status == STATUS_OK; i++) {
		status = forget(cli->catalog, args->words[i], given->prune, &photos, &err);
		if (status == STATUS_OK && !cli->quiet)
			fprintf(cli->log, "forgot %zu photo%s of '%s'%s\n", photos, photos == 1 ? "" : "s", args->words[i],
				given->prune ? "" : "; what was embedded is kept for a return; hint: --prune");
	}
	if (status == STATUS_OK)
		return EXIT_DONE;
	int code = cli_fail(cli, &err);
	return status == STATUS_NOT_FOUND ? EXIT_NO_RESULT : code;
}

const struct command command_forget = {
	.name = "forget",
	.synopsis = "DIR...",
	.summary = "take a folder out of the library; its files stay as they are",
	.options = options,
	.options_size = sizeof(struct options),
	.details = help_forget,
	.needs = NEEDS_CATALOG_WRITER,
	.check = check,
	.run = run,
};
