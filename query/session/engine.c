/* engine.c: see engine.h. */
#include "query/session/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/catalog/models.h"
#include "schema/base/file.h"
#include "schema/catalog/identity.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum status engine_open(const char *path, enum precision precision, struct engine *engine, struct err *err)
{
	*engine = (struct engine){0};
	enum status status = coca_open(path, &engine->model, err);

	if (status != STATUS_OK)
		return status;
	coca_set_precision(engine->model, precision);
	const struct config *config = coca_config(engine->model);
	engine->embed = config->embed_dim;
	engine->tokens = config->image_tokens;
	engine->width = config->decoder.width;
	engine->side = config->image_size;
	engine->state = coca_scratch_new();
	if (!engine->state) {
		engine_close(engine);
		return err_memory(err, "the model's scratch memory");
	}
	return STATUS_OK;
}

void engine_close(struct engine *engine)
{
	coca_scratch_free(engine->state);
	coca_close(engine->model);
	*engine = (struct engine){0};
}

static enum status digest(const void *model, char config[33], char weights[33], struct err *err)
{
	return coca_digest(model, config, weights, err);
}

enum status engine_identify(const struct engine *engine, struct catalog *catalog, struct catalog_model *row, struct err *err)
{
	struct identity_source source = {
		.weights_path = coca_weights_path(engine->model),
		.config_name = "open_clip_config.json",
		.digest = digest,
		.model = engine->model,
	};

	*row = (struct catalog_model){
		.dim = (int64_t)engine->embed, .tokens = (int64_t)engine->tokens, .width = (int64_t)engine->width};
	snprintf(row->name, sizeof row->name, "%s", source.weights_path);
	char *slash = strrchr(row->name, '/');
	if (slash && slash != row->name)
		*slash = '\0';
	return identity_of_model(catalog, &source, row, err);
}

/* ---- texts ------------------------------------------------------------------------------------------------------ */

enum status engine_text_ids(const struct engine *engine, const char *text, size_t size, int32_t **ids, struct coca_text *out,
			    bool *cut, struct err *err)
{
	const struct tokenizer *tokenizer = coca_tokenizer(engine->model);
	size_t context = coca_config(engine->model)->context_length;

	*ids = NULL;
	if (!tokenizer)
		return err_set(err, STATUS_UNSUPPORTED,
			       "the model '%s' has no tokenizer; hint: put its merges.txt, tokenizer.json or "
			       "bpe_simple_vocab_16e6.txt.gz beside it",
			       coca_weights_path(engine->model));
	/* One more than fits shows whether the text was longer. */
	int32_t *all = mem_array(context + 1, sizeof *all);
	size_t n = all ? tokenizer_encode(tokenizer, text, size, all, context + 1) : 0;
	*cut = n > context;
	if (*cut)
		n = tokenizer_encode(tokenizer, text, size, all, context);
	if (n == 0) {
		free(all);
		return err_memory(err, "a text");
	}
	*ids = all;
	*out = (struct coca_text){all, n};
	return STATUS_OK;
}

enum status engine_embed_text(struct engine *engine, const char *text, size_t size, float *embedding, bool *cut, struct err *err)
{
	int32_t *ids = NULL;
	struct coca_text encoded;
	enum status status = engine_text_ids(engine, text, size, &ids, &encoded, cut, err);

	if (status == STATUS_OK)
		status = coca_encode_texts(engine->model, engine->state, &encoded, 1, embedding, NULL, err);
	free(ids);
	return status;
}

/* ---- photographs ------------------------------------------------------------------------------------------------ */

enum status engine_pixels(const struct engine *engine, const uint8_t *bytes, size_t size, size_t least, float *pixels, struct err *err)
{
	const struct config *config = coca_config(engine->model);
	size_t side = config->image_size;
	struct image image = {0};
	uint8_t *rgb = mem_array(mem_product(side, side), 3);
	enum status status = rgb ? image_decode(bytes, size, least, 0, &image, err) : err_memory(err, "a picture");

	if (status == STATUS_OK)
		status = image_crop(&image, side, rgb, err);
	if (status == STATUS_OK)
		image_normalise(rgb, side, config->mean, config->std, pixels);
	image_release(&image);
	free(rgb);
	return status;
}

size_t engine_pixels_all(const struct engine *engine, struct engine_picture *pictures, size_t n, size_t least, float *pixels)
{
	size_t area = 3 * engine->side * engine->side, good = 0;

#pragma omp parallel for schedule(dynamic)
	for (size_t i = 0; i < n; i++) {
		struct engine_picture *p = &pictures[i];
		p->err.status = STATUS_OK;
		if (p->bytes)
			engine_pixels(engine, p->bytes, p->size, least, pixels + i * area, &p->err);
	}
	for (size_t i = 0; i < n; i++) {
		if (!pictures[i].bytes || pictures[i].err.status != STATUS_OK)
			continue;
		if (good < i)
			memmove(pixels + good * area, pixels + i * area, area * sizeof *pixels);
		pictures[i].place = good++;
	}
	return good;
}

enum status engine_encode_bytes(struct engine *engine, const uint8_t *bytes, size_t size, size_t least, float *embedding,
				float *tokens, struct err *err)
{
	float *pixels = mem_floats(mem_product(3 * engine->side, engine->side));
	enum status status = pixels ? engine_pixels(engine, bytes, size, least, pixels, err) : err_memory(err, "a picture");

	if (status == STATUS_OK)
		status = coca_encode_images(engine->model, engine->state, pixels, 1, embedding, tokens, err);
	free(pixels);
	return status;
}

enum status engine_encode_file(struct engine *engine, const char *path, size_t least, float *embedding, float *tokens, struct err *err)
{
	struct file_map map;
	enum status status = file_map_open(path, &map, err);

	if (status != STATUS_OK)
		return status;
	status = engine_encode_bytes(engine, map.data, map.size, least, embedding, tokens, err);
	if (status != STATUS_OK)
		err_prefix(err, "'%s'", path);
	file_map_close(&map);
	return status;
}

double engine_dot(const float *a, const float *b, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)a[i] * (double)b[i];
	return sum;
}
