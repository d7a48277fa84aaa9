/* command_scenes.c: `coca scenes`: draws pictures with captions, to try, test and train with. */
#include "model/commands.h"
#include "model/scenes.h"

#include "schema/banned.h"

static const struct option_spec options[] = {
	{"count", 'n', "N", OPTION_NUMBER, "how many (default 100)"},
	{"seed", 0, "S", OPTION_NUMBER, "the same seed draws the same pictures (default 1)"},
	{"first", 0, "N", OPTION_NUMBER, "number of the first (default 0): scene N depends on the seed and N alone"},
	{"size", 0, "PX", OPTION_NUMBER, "side of the square pictures (default 224)"},
	{"pairs", 0, NULL, OPTION_FLAG,
	 "two things in each, and a twin with their colours or places swapped: the same words mean another picture"},
	{"heldout", 0, NULL, OPTION_FLAG, "only pairs of colour and shape that are in no other scene, for benchmarks"},
	{0},
};

static int run(struct cli *cli, const struct arguments *args)
{
	struct scenes_options o = {.heldout = arguments_flag(args, "heldout"), .pairs = arguments_flag(args, "pairs")};
	size_t seed;
	struct err err;

	if (args->count != 1) {
		err_set(&err, STATUS_USAGE, "coca scenes takes one folder or tar to write; hint: coca help scenes");
		return cli_fail(cli, &err);
	}
	if (arguments_number(args, "count", 100, 1, 10000000, &o.count, &err) != STATUS_OK ||
	    arguments_number(args, "seed", 1, 0, SIZE_MAX, &seed, &err) != STATUS_OK ||
	    arguments_number(args, "first", 0, 0, 999999999, &o.first, &err) != STATUS_OK ||
	    arguments_number(args, "size", 224, 16, 4096, &o.side, &err) != STATUS_OK)
		return cli_fail(cli, &err);
	o.seed = seed;
	if (scenes_write(args->words[0], &o, &err) != STATUS_OK)
		return cli_fail(cli, &err);
	if (!cli->quiet)
		fprintf(cli->log, "%zu %s with captions in '%s'\n", o.count, o.pairs ? "pairs of drawings" : "drawings", args->words[0]);
	return EXIT_DONE;
}

const struct command command_scenes = {
	.name = "scenes",
	.synopsis = "DIR|FILE.tar|FILE.tar.gz",
	.summary = "draw pictures with captions, to try, test and train with",
	.options = options,
	.details = "Writes NNNNNN.jpg beside NNNNNN.txt (two captions, one a line), into a folder or a WebDataset tar. Pairs are\n"
		   "NNNNNN-a and NNNNNN-b with one caption each; coca eval --pairs asks a model which caption goes with which drawing.\n\n"
		   "  coca scenes pairs.tar --pairs --heldout --count 1000 --size 96 --seed 7\n",
	.run = run,
};
