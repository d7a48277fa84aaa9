/* model.c: coca model: what a model is, and the same model in 8 bits. */
#include "query/commands/commands.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/image/image.h"
#include "model/net/quantize.h"
#include "query/session/engine.h"
#include "query/show/format.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "schema/base/embed.h"

#include "schema/base/banned.h"

EMBED_TEXT(help_model, "query/commands/model.txt");

enum { PICTURES = 64 };

static const char config_name[] = "open_clip_config.json", weights_name[] = "open_clip_model.safetensors";

struct options {
	const char *out;
	bool keep, force;
};

static const struct option_spec options[] = {
	OPTION_TEXT(struct options, out, "out", 0, "DIR", OPTION_FOLDER, "quantize: the folder to write, which has no model yet"),
	OPTION_FLAG(struct options, keep, "keep", 0,
		    "quantize: leave the weights as they are, to train on; int8 becomes the default all the same"),
	OPTION_FLAG(struct options, force, "force", 0, "quantize: write the model whatever was measured"),
	{0},
};

struct job {
	struct cli *cli;
	struct engine engine;
	struct quantize_loss loss;
	float *pixels; /* [3,S,S] */
	char *from;    /* the model's folder */
	const char *to;
};

/* ---- what it is ------------------------------------------------------------------------------------------------------ */

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

enum status model_info(struct cli *cli, const char *path, struct err *err)
{
	struct engine engine = {0};
	struct buffer out = {0};
	char config[33], weights[33];
	enum status status = engine_open(path, coca_precision_named(cli->precision), &engine, err);

	if (status == STATUS_OK)
		status = coca_digest(engine.model, config, weights, err);
	if (status == STATUS_OK) {
		model_lines(engine.model, config, weights, &out);
		status = format_print(cli->out, &out, err);
	}
	engine_close(&engine);
	return status;
}

/* ---- measuring ---------------------------------------------------------------------------------------------------- */

static enum status measure_photo(struct job *job, const char *path, struct err *err)
{
	struct file_map map;
	enum status status = file_map_open(path, &map, err);

	if (status != STATUS_OK)
		return status;
	status = engine_pixels(&job->engine, map.data, map.size, ENGINE_LEAST(&job->engine), job->pixels, err);
	if (status == STATUS_OK)
		status = quantize_measure(job->engine.model, job->engine.state, job->pixels, 1, &job->loss, err);
	else
		err_prefix(err, "'%s'", path);
	file_map_close(&map);
	return status;
}

static enum status measure_made_up(struct job *job, struct err *err)
{
	size_t side = job->engine.side;
	const struct config *config = coca_config(job->engine.model);
	uint8_t *rgb = mem_array(mem_product(side, side), 3);
	enum status status = rgb ? STATUS_OK : err_memory(err, "a picture");

	for (uint64_t seed = 0; seed < PICTURES && status == STATUS_OK; seed++) {
		quantize_picture(seed, side, rgb);
		image_normalise(rgb, side, config->mean, config->std, job->pixels);
		status = quantize_measure(job->engine.model, job->engine.state, job->pixels, 1, &job->loss, err);
	}
	free(rgb);
	return status;
}

static enum status measure(struct job *job, const struct arguments *args, struct err *err)
{
	enum status status = STATUS_OK;

	job->pixels = mem_floats(mem_product(3 * job->engine.side, job->engine.side));
	if (!job->pixels)
		return err_memory(err, "a picture");
	for (size_t i = 1; i < args->count && status == STATUS_OK; i++)
		status = measure_photo(job, args->words[i], err);
	if (args->count == 1)
		status = measure_made_up(job, err);
	return status;
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

/* Copies a file of the model's folder; one that is not there is passed over. */
static enum status copy(const struct job *job, const char *name, struct err *err)
{
	char *from = path_join(job->from, name), *to = path_join(job->to, name);
	enum status status = from && to ? STATUS_OK : err_memory(err, "a path");

	if (status == STATUS_OK && access(from, F_OK) == 0)
		status = file_copy(from, to, err);
	free(from);
	free(to);
	return status;
}

/* The weights come last: a folder that was left half-way is no model. */
static enum status write_folder(struct job *job, bool keep, struct err *err)
{
	static const char *const others[] = {config_name, "merges.txt", "bpe_simple_vocab_16e6.txt.gz", "tokenizer.json", "README.md"};
	char *weights = path_join(job->to, weights_name);
	enum status status = weights ? path_make_folder(job->to, err) : err_memory(err, "a path");

	for (size_t i = 0; i < sizeof others / sizeof *others && status == STATUS_OK; i++)
		status = copy(job, others[i], err);
	if (status == STATUS_OK)
		status = quantize_write(job->engine.model, weights, &job->loss, keep, err);
	free(weights);
	return status;
}

static enum status refuse_existing(const char *folder, struct err *err)
{
	char *config = path_join(folder, config_name), *weights = path_join(folder, weights_name);
	enum status status = config && weights ? STATUS_OK : err_memory(err, "a path");

	if (status == STATUS_OK && (access(config, F_OK) == 0 || access(weights, F_OK) == 0))
		status = err_set(err, STATUS_USAGE, "'%s' has a model already; hint: --out names a folder that is to be made", folder);
	free(config);
	free(weights);
	return status;
}

static double megabytes(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (double)st.st_size / 1e6 : 0;
}

static enum status quantize(struct cli *cli, const struct arguments *args, struct err *err)
{
	const struct options *given = args->options;
	struct job job = {.cli = cli, .to = given->out};
	enum status status = job.to ? refuse_existing(job.to, err) : err_set(err, STATUS_USAGE, "coca model quantize needs --out DIR");

	if (status == STATUS_OK)
		status = engine_open(cli->model, coca_precision_named(cli->precision), &job.engine, err);
	if (status == STATUS_OK) {
		const char *path = coca_weights_path(job.engine.model), *slash = strrchr(path, '/');
		job.from = slash ? mem_copy(path, (size_t)(slash - path) + (slash == path)) : mem_copy(".", 1);
		status = job.from ? measure(&job, args, err) : err_memory(err, "a path");
	}
	if (status == STATUS_OK && quantize_mean(&job.loss) < INT8_COSINE_LEAST && !given->force)
		status = err_set(err, STATUS_FORMAT, "embeddings in 8 bits have a cosine of %.5f to those in fp32 on average, less than %.3f; "
				 "hint: --force writes the model all the same", quantize_mean(&job.loss), INT8_COSINE_LEAST);
	if (status == STATUS_OK)
		status = write_folder(&job, given->keep, err);
	if (status == STATUS_OK) {
		char *weights = path_join(job.to, weights_name);
		fprintf(cli->out, "%zu pictures: cosine to fp32 %.5f on average, %.5f at worst\n", job.loss.images, quantize_mean(&job.loss),
			job.loss.worst);
		fprintf(cli->out, "%.1f MB became %.1f MB: %s\n", megabytes(coca_weights_path(job.engine.model)), weights ? megabytes(weights) : 0,
			job.to);
		free(weights);
	}
	engine_close(&job.engine);
	free(job.pixels);
	free(job.from);
	return status;
}

/* ---- the command -------------------------------------------------------------------------------------------------- */

static int run(struct cli *cli, const struct arguments *args)
{
	const char *name = args->count ? args->words[0] : "";
	enum status status;
	struct err err;

	if (strcmp(name, "info") == 0 && args->count <= 2)
		status = model_info(cli, args->count == 2 ? args->words[1] : cli->model, &err);
	else if (strcmp(name, "quantize") == 0)
		status = quantize(cli, args, &err);
	else
		status = err_set(&err, STATUS_USAGE, "coca model takes info [DIR] or quantize --out DIR [PHOTO...]");
	return status == STATUS_OK ? EXIT_DONE : cli_fail(cli, &err);
}

const struct command command_model = {
	.name = "model",
	.synopsis = "info [DIR] | quantize --out DIR [PHOTO...]",
	.summary = "print what a model is, or write it in 8 bits",
	.options = options,
	.options_size = sizeof(struct options),
	.details = help_model,
	.run = run,
};
