/* inspect.c: coca inspect: what the tokenizer makes of a text, what the model sees of a photograph, what a model is. */
#include "query/commands/commands.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model/image/image.h"
#include "model/net/quantize.h"
#include "query/session/engine.h"
#include "query/show/format.h"
#include "query/commands/inspect.h"
#include "query/ask/parse.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "schema/base/embed.h"

#include "schema/base/banned.h"

EMBED_TEXT(help_inspect, "query/commands/inspect.txt");

/* ---- tokens ----------------------------------------------------------------------------------------------------- */

static enum status inspect_tokens(struct cli *cli, const struct arguments *args, struct err *err)
{
	struct tokenizer *tokenizer = NULL;
	struct buffer out = {0};
	char *text = NULL;
	int32_t *ids = NULL;
	size_t n = 0;
	const char *path = arguments_text(args, "tokenizer", cli->model);
	enum status status = tokenizer_open(path, 0, &tokenizer, err);

	if (status == STATUS_OK)
		status = parse_words(args->words + 1, args->count - 1, "text", &text, err);
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
	enum { SIDE_MOST = 8192 };
	struct file_map map = {0};
	struct image image = {0};
	uint8_t *rgb = NULL;
	size_t side;

	if (args->count != 2)
		return err_set(err, STATUS_USAGE, "coca inspect pixels takes one file");
	if (!arguments_flag(args, "size"))
		return err_set(err, STATUS_USAGE, "coca inspect pixels needs --size N");
	enum status status = arguments_number(args, "size", 0, 1, SIDE_MOST, &side, err);
	if (status == STATUS_OK)
		status = file_map_open(args->words[1], &map, err);
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

/* ---- model ------------------------------------------------------------------------------------------------------ */

static const char *pooling_name(enum pooling pooling)
{
	static const char *const names[] = {
		[POOL_NONE] = "none: class token and patch tokens",
		[POOL_SINGLE] = "one attentional pooler, query 0 is the embedding",
		[POOL_PARALLEL] = "parallel attentional poolers",
		[POOL_CASCADE] = "cascade of attentional poolers",
	};
	return names[pooling];
}

static const char *file_format(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && strcmp(dot, ".safetensors") == 0 ? "safetensors" : "torch zip archive";
}

static void tower_line(struct buffer *out, const char *name, const struct tower *t)
{
	buffer_format(out, "%-14s %zu layers, width %zu, %zu heads, hidden %zu%s\n", name, t->layers, t->width, t->heads, t->hidden,
		      t->layer_scale ? ", layer scale" : "");
}

static void precision_line(const struct coca *model, struct buffer *out)
{
	const char *mean = coca_metadata(model, INT8_COSINE_MEAN), *worst = coca_metadata(model, QUANTIZE_WORST);
	const char *images = coca_metadata(model, QUANTIZE_IMAGES);

	buffer_format(out, "precision      %s", coca_precision(model) == PRECISION_INT8 ? "int8" : "fp32");
	if (mean && worst && images)
		buffer_format(out, "; weights in 8 bits: against fp32, %s pictures have a cosine of %s, the worst %s", images, mean, worst);
	buffer_text(out, "\n");
}

static void model_lines(const struct coca *model, const char *config_digest, const char *weights_digest, struct buffer *out)
{
	const struct config *c = coca_config(model);
	const struct tokenizer *tokenizer = coca_tokenizer(model);
	const char *path = coca_weights_path(model);

	buffer_text(out, "weights        ");
	format_visible(path, strlen(path), out);
	buffer_format(out, "\nformat         %s\n", file_format(path));
	buffer_format(out, "parameters     %.2f million\n", (double)weights_count(c) / 1e6);
	buffer_format(out, "embedding      %zu\n", c->embed_dim);
	buffer_format(out, "image          %zu x %zu pixels, patches of %zu: %zu positions\n", c->image_size, c->image_size, c->patch_size,
		      c->patches + 1);
	tower_line(out, "image encoder", &c->vision);
	buffer_format(out, "pooling        %s\n", pooling_name(c->pooling));
	buffer_format(out, "image tokens   %zu of width %zu\n", c->image_tokens, c->decoder.width);
	tower_line(out, "text decoder", &c->text);
	tower_line(out, "joint decoder", &c->decoder);
	buffer_format(out, "text           %zu ids at most, of %zu\n", c->context_length, c->vocab_size);
	buffer_format(out, "activation     %s\n", c->quick_gelu ? "quick GELU" : "GELU");
	precision_line(model, out);
	buffer_format(out, "logit scale    %.4f\n", (double)coca_logit_scale(model));
	if (tokenizer)
		buffer_format(out, "tokenizer      %zu ids, start %" PRId32 ", end %" PRId32 "\n", tokenizer_vocab_size(tokenizer),
			      tokenizer_start(tokenizer), tokenizer_end(tokenizer));
	else
		buffer_text(out, "tokenizer      none\n");
	buffer_format(out, "config digest  %s\nweights digest %s\n", config_digest, weights_digest);
}

enum status inspect_model(struct cli *cli, const char *path, struct err *err)
{
	struct engine engine = {0};
	struct buffer out = {0};
	char config[33], weights[33];
	enum status status = engine_open(path, &engine, err);

	if (status == STATUS_OK)
		status = coca_digest(engine.model, config, weights, err);
	if (status == STATUS_OK) {
		model_lines(engine.model, config, weights, &out);
		status = format_print(cli->out, &out, err);
	}
	engine_close(&engine);
	return status;
}

static enum status inspect_folder(struct cli *cli, const struct arguments *args, struct err *err)
{
	if (args->count > 2)
		return err_set(err, STATUS_USAGE, "coca inspect model takes one folder");
	return inspect_model(cli, args->count == 2 ? args->words[1] : cli->model, err);
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

static const struct option_spec options[] = {
	{"tokenizer", 0, "FILE", OPTION_TEXT | OPTION_FILE,
	 "tokens: merges.txt, tokenizer.json, bpe_simple_vocab_16e6.txt.gz or a model folder"},
	{"size", 0, "N", OPTION_NUMBER, "pixels: the side of the crop"},
	{0},
};

const struct command command_inspect = {
	.name = "inspect",
	.synopsis = "tokens [--tokenizer FILE] -- TEXT | pixels --size N FILE | model [DIR]",
	.summary = "print a text's ids, the crop a model sees of a photograph, or what a model is",
	.options = options,
	.details = help_inspect,
	.run = run,
};
