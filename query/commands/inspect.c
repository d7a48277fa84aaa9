/* inspect.c: coca inspect: what the tokenizer makes of a text, what the model sees of a photograph, what a model is. */
#include "query/commands/commands.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model/image/image.h"
#include "model/net/coca.h"
#include "query/show/format.h"
#include "query/ask/parse.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "schema/base/embed.h"

#include "schema/base/banned.h"

EMBED_TEXT(help_inspect, "query/commands/inspect.txt");

struct options {
	const char *tokenizer;
	size_t side;           /* 0: not given */
};

static const struct option_spec options[] = {
	OPTION_TEXT(struct options, tokenizer, "tokenizer", 0, "FILE", OPTION_FILE,
		    "tokens: merges.txt, tokenizer.json, bpe_simple_vocab_16e6.txt.gz or a model folder"),
	OPTION_NUMBER(struct options, side, "size", 0, "N", 1, 8192, 0, "pixels: the side of the crop"),
	{0},
};

/* ---- tokens ----------------------------------------------------------------------------------------------------- */

static enum status inspect_tokens(struct cli *cli, const struct arguments *args, struct err *err)
{
	const struct options *given = args->options;
	struct tokenizer *tokenizer = NULL;
	struct buffer out = {0};
	char *text = NULL;
	int32_t *ids = NULL;
	size_t n = 0;
	enum status status = tokenizer_open(given->tokenizer ? given->tokenizer : cli->model, 0, &tokenizer, err);

	if (status == STATUS_OK)
		status = compose_words(args->words + 1, args->count - 1, "text", &text, err);
	if (status == STATUS_OK)
		status = tokenizer_encode_all(tokenizer, text, strlen(text), &ids, &n, err);
	if (status == STATUS_OK) {
		for (size_t i = 0; i < n; i++)
			buffer_format(&out, i ? " %" PRId32 : "%" PRId32, ids[i]);
		buffer_text(&out, "\n");
		status = format_print(cli->out, &out, err);
	}
	free(ids);
	free(text);
	tokenizer_close(tokenizer);
	return status;
}

/* ---- pixels ----------------------------------------------------------------------------------------------------- */

static enum status inspect_pixels(struct cli *cli, const struct arguments *args, struct err *err)
{
	const struct options *given = args->options;
	struct file_map map = {0};
	struct image image = {0};
	uint8_t *rgb = NULL;
	size_t side = given->side;

	if (args->count != 2)
		return err_set(err, STATUS_USAGE, "coca inspect pixels takes one file");
	if (!side)
		return err_set(err, STATUS_USAGE, "coca inspect pixels needs --size N");
	enum status status = file_map_open(args->words[1], &map, err);
	if (status == STATUS_OK) {
		rgb = mem_array(side * side, 3);
		status = rgb ? image_decode(map.data, map.size, 0, 0, &image, err) : err_memory(err, "a picture");
		if (status == STATUS_OK)
			status = image_crop(&image, side, rgb, err);
		if (status != STATUS_OK)
			err_prefix(err, "'%s'", args->words[1]);
	}
	if (status == STATUS_OK) {
		fprintf(cli->out, "P6\n%zu %zu\n255\n", side, side);
		fwrite(rgb, 1, side * side * 3, cli->out);
	}
	free(rgb);
	image_release(&image);
	file_map_close(&map);
	return status;
}

/* ---- command ----------------------------------------------------------------------------------------------------- */

static enum status inspect_folder(struct cli *cli, const struct arguments *args, struct err *err)
{
	if (args->count > 2)
		return err_set(err, STATUS_USAGE, "coca inspect model takes one folder");
	return model_info(cli, args->count == 2 ? args->words[1] : cli->model, err);
}

static int run(struct cli *cli, const struct arguments *args)
{
	static const struct {
		const char *name;
		enum status (*inspect)(struct cli *cli, const struct arguments *args, struct err *err);
	} kinds[] = {{"tokens", inspect_tokens}, {"pixels", inspect_pixels}, {"model", inspect_folder}};
	const char *name = args->count ? args->words[0] : "";
	struct err err;

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strcmp(name, kinds[i].name) == 0)
			return kinds[i].inspect(cli, args, &err) == STATUS_OK ? EXIT_DONE : cli_fail(cli, &err);
	err_set(&err, STATUS_USAGE, "coca inspect takes tokens, pixels or model%s%s%s", *name ? ", not '" : "", name, *name ? "'" : "");
	return cli_fail(cli, &err);
}

const struct command command_inspect = {
	.name = "inspect",
	.synopsis = "tokens [--tokenizer FILE] -- TEXT | pixels --size N FILE | model [DIR]",
	.summary = "print a text's ids, the crop a model sees of a photograph, or what a model is",
	.options = options,
	.options_size = sizeof(struct options),
	.details = help_inspect,
	.run = run,
};
