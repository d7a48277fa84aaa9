/* command_scenes.c: `coca scenes`: draws pictures with captions, to try, test and train with. */
#include "model/commands.h"
#include "model/scenes.h"

#include "schema/banned.h"

static const struct option_spec options[] = {
	{"count", 'n', "N", OPTION_NUMBER, "how many (default 100)"},
	{"seed", 0, "S", OPTION_NUMBER, "the same seed draws the same pictures (default 1)"},
	{"first", 0, "N", OPTION_NUMBER, "number of the first (default 0): scene N depends on the seed and N alone"},
	{"size", 0, "PX", OPTION_NUMBER, "side of the square pictures (default 224)"},
	{"heldout", 0, NULL, OPTION_FLAG, "only pairs of colour and shape that are in no other scene, for benchmarks"},
	{0},
};

static int run(struct cli *cli, const struct arguments *args)
{
	size_t count, seed, first, side;
	struct err err;

	if (args->count != 1) {
		err_set(&err, STATUS_USAGE, "coca scenes takes one folder or tar to write; hint: coca help scenes");
		return cli_fail(cli, &err);
	}
	if (arguments_number(args, "count", 100, 1, 10000000, &count, &err) != STATUS_OK ||
	    arguments_number(args, "seed", 1, 0, SIZE_MAX, &seed, &err) != STATUS_OK ||
	    arguments_number(args, "first", 0, 0, 999999999, &first, &err) != STATUS_OK ||
	    arguments_number(args, "size", 224, 16, 4096, &side, &err) != STATUS_OK)
		return cli_fail(cli, &err);
	if (scenes_write(args->words[0], count, seed, first, side, arguments_flag(args, "heldout"), &err) != STATUS_OK)
		return cli_fail(cli, &err);
	if (!cli->quiet)
		fprintf(cli->log, "%zu drawings with captions in '%s'\n", count, args->words[0]);
	return EXIT_DONE;
}

const struct command command_scenes = {
	.name = "scenes",
	.synopsis = "DIR|FILE.tar|FILE.tar.gz",
	.summary = "draw pictures with captions, to try, test and train with",
	.options = options,
	.details = "Writes NNNNNN.jpg beside NNNNNN.txt (two captions, one a line), into a folder or a WebDataset tar.\n",
	.run = run,
};
