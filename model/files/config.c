/* config.c: see config.h. Reading goes in three steps: the tables of config_options.h say which options exist and which of those we do not
 * implement must stand at their default; parse_* take the values; check_network sees that they fit together. */
#include "model/files/config.h"

#include <cJSON.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/files/config_options.h"
#include "schema/base/file.h"

#include "schema/base/banned.h"

/* Wide enough for any model that a processor can run; small enough that no product of them overflows. */
enum {
	FILE_MOST = 1 << 20,
	LAYERS_MOST = 512,
	WIDTH_MOST = 1 << 14,
	HIDDEN_MOST = 1 << 17,
	IMAGE_MOST = 1 << 13,
	PATCHES_MOST = 1 << 16,
	STRIDE_MOST = 4,
	CONTEXT_MOST = 1 << 14,
	VOCAB_MOST = 1 << 22,
	MLP_RATIO = 4, /* of the decoder, whatever multimodal_cfg.mlp_ratio says */
};

static const float openai_mean[3] = {0.48145466f, 0.4578275f, 0.40821073f};
static const float openai_std[3] = {0.26862954f, 0.26130258f, 0.27577711f};

/* ---- reading one section ---- */

/* The first failure stays; later reads return their fallback. */
struct reader {
	const char *file;
	const char *prefix; /* "vision_cfg." */
	const cJSON *object;
	struct err *err;
	enum status status;
};

__attribute__((format(printf, 3, 4)))
static void fail(struct reader *r, enum status status, const char *format, ...)
{
	char text[512];
	va_list args;

	if (r->status != STATUS_OK)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	r->status = err_set(r->err, status, "cannot use the configuration '%s': %s", r->file, text);
}

/* The value as JSON, cut short for a message. */
static const char *shown(const cJSON *item, char text[80])
{
	char *json = cJSON_PrintUnformatted(item);

	snprintf(text, 80, "%.70s%s", json ? json : "?", json && strlen(json) > 70 ? "..." : "");
	cJSON_free(json);
	return text;
}

/* Every option of the section is known, given once, and at its default where we have nothing else. */
static void check_options(struct reader *r, const struct config_option *options)
{
	char value[80], only[80];
	const cJSON *item;

	cJSON_ArrayForEach(item, r->object) {
		const struct config_option *option = options;
		while (option->name && strcmp(option->name, item->string) != 0)
			option++;
		if (!option->name)
			fail(r, STATUS_UNSUPPORTED, "the option %s%.100s is unknown", r->prefix, item->string);
		else if (cJSON_GetObjectItemCaseSensitive(r->object, item->string) != item)
			fail(r, STATUS_FORMAT, "%s%s is given twice", r->prefix, option->name);
		else if (!config_option_obeyed(option, item))
			fail(r, STATUS_UNSUPPORTED, "%s%s is %s, and only %s is supported", r->prefix, option->name,
			     shown(item, value), config_option_rule(option, only));
	}
}

static const cJSON *get(const struct reader *r, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(r->object, key);
}

static size_t take_size(struct reader *r, const char *key, const cJSON *item, size_t least, size_t most)
{
	char value[80];
	double d = cJSON_IsNumber(item) ? item->valuedouble : -1;

	if (d >= (double)least && d <= (double)most && d == floor(d))
		return (size_t)d;
	fail(r, STATUS_FORMAT, "%s%s is %s, not a whole number from %zu to %zu", r->prefix, key, shown(item, value), least, most);
	return least;
}

static size_t get_size(struct reader *r, const char *key, size_t fallback, size_t least, size_t most)
{
	const cJSON *item = get(r, key);
	return item ? take_size(r, key, item, least, most) : fallback;
}

/* A side: n, or [n, n]. */
static size_t get_side(struct reader *r, const char *key, size_t fallback, size_t most)
{
	const cJSON *item = get(r, key);

	if (!cJSON_IsArray(item))
		return get_size(r, key, fallback, 1, most);
	if (cJSON_GetArraySize(item) != 2) {
		fail(r, STATUS_FORMAT, "%s%s is neither a number nor two", r->prefix, key);
		return fallback;
	}
	size_t height = take_size(r, key, cJSON_GetArrayItem(item, 0), 1, most);
	size_t width = take_size(r, key, cJSON_GetArrayItem(item, 1), 1, most);
	if (height != width)
		fail(r, STATUS_UNSUPPORTED, "%s%s is %zu x %zu, and only squares are supported", r->prefix, key, height, width);
	return height;
}

static double get_real(struct reader *r, const char *key, double fallback, double least, double most)
{
	const cJSON *item = get(r, key);
	char value[80];

	if (!item)
		return fallback;
	double d = cJSON_IsNumber(item) ? item->valuedouble : NAN;
	if (d >= least && d <= most)
		return d;
	fail(r, STATUS_FORMAT, "%s%s is %s, not a number from %g to %g", r->prefix, key, shown(item, value), least, most);
	return fallback;
}

static bool get_flag(struct reader *r, const char *key, bool fallback)
{
	const cJSON *item = get(r, key);
	char value[80];

	if (item && !cJSON_IsBool(item))
		fail(r, STATUS_FORMAT, "%s%s is %s, neither true nor false", r->prefix, key, shown(item, value));
	return item ? cJSON_IsTrue(item) : fallback;
}

/* Three numbers, or one for all three. */
static void get_channels(struct reader *r, const char *key, double least, float to[3])
{
	const cJSON *item = get(r, key);
	char value[80];

	if (!item)
		return;
	for (int c = 0; c < 3; c++) {
		const cJSON *number = cJSON_IsArray(item) && cJSON_GetArraySize(item) == 3 ? cJSON_GetArrayItem(item, c) : item;
		if (!cJSON_IsNumber(number) || !(number->valuedouble >= least && number->valuedouble <= 1e6)) {
			fail(r, STATUS_FORMAT, "%s%s is %s, not three numbers of at least %g", r->prefix, key, shown(item, value), least);
			return;
		}
		to[c] = (float)number->valuedouble;
	}
}

/* A reader of the object under key. After a failure, also of r, all it yields are fallbacks. */
static struct reader section(struct reader *r, const char *key, const char *prefix, const struct config_option *options)
{
	struct reader s = *r;

	s.prefix = prefix;
	s.object = get(r, key);
	if (!s.object)
		fail(&s, STATUS_UNSUPPORTED, "it has no %s, so it is not a CoCa", key);
	else if (!cJSON_IsObject(s.object))
		fail(&s, STATUS_FORMAT, "%s is not an object", key);
	if (s.status == STATUS_OK)
		check_options(&s, options);
	return s;
}

/* ---- the sections ---- */

static void parse_layer_scale(struct reader *r, struct tower *tower)
{
	const cJSON *item = get(r, "ls_init_value");

	tower->layer_scale = item && !cJSON_IsNull(item);
	if (tower->layer_scale)
		tower->layer_scale_init = (float)get_real(r, "ls_init_value", 0, -1e6, 1e6);
}

static void parse_hidden(struct reader *r, struct tower *tower)
{
	double hidden = (double)tower->width * get_real(r, "mlp_ratio", 4, 1e-6, 1e6);

	if (!(hidden >= 1 && hidden <= HIDDEN_MOST))
		fail(r, STATUS_FORMAT, "%smlp_ratio makes an MLP of %g columns, not of 1 to %d", r->prefix, floor(hidden), HIDDEN_MOST);
	else
		tower->hidden = (size_t)hidden;
}

static void check_heads(struct reader *r, const char *what, size_t width, size_t heads)
{
	if (heads == 0 || width % heads != 0)
		fail(r, STATUS_FORMAT, "%s%s: a width of %zu cannot be divided among %zu heads", r->prefix, what, width, heads);
}

static void parse_pooling(struct reader *r, struct config *c)
{
	const cJSON *item = get(r, "attentional_pool");
	char value[80];

	c->pool_queries = get_size(r, "attn_pooler_queries", 256, 1, PATCHES_MOST);
	c->pool_heads = get_size(r, "attn_pooler_heads", 8, 1, WIDTH_MOST);
	if (!item || cJSON_IsFalse(item))
		c->pooling = POOL_NONE;
	else if (cJSON_IsTrue(item))
		c->pooling = POOL_SINGLE;
	else if (cJSON_IsString(item) && strcmp(item->valuestring, "parallel") == 0)
		c->pooling = POOL_PARALLEL;
	else if (cJSON_IsString(item) && strcmp(item->valuestring, "cascade") == 0)
		c->pooling = POOL_CASCADE;
	else
		fail(r, STATUS_UNSUPPORTED, "%sattentional_pool is %s, not true, false, \"parallel\" or \"cascade\"", r->prefix,
		     shown(item, value));
}

/* [[32, 2], [64, 2]]: widths and strides. Every map's side must be a multiple of its stride, and the patches of the last map's. */
static void parse_stem(struct reader *r, struct config *c)
{
	const cJSON *list = get(r, "stem"), *layer;
	size_t strides = 1;

	if (!list || cJSON_IsNull(list))
		return;
	if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > STEM_MOST) {
		fail(r, STATUS_FORMAT, "%sstem is not a list of at most %d convolutions", r->prefix, STEM_MOST);
		return;
	}
	cJSON_ArrayForEach(layer, list) {
		if (!cJSON_IsArray(layer) || cJSON_GetArraySize(layer) != 2) {
			fail(r, STATUS_FORMAT, "%sstem has an entry that is not [width, stride]", r->prefix);
			return;
		}
		struct stem_layer *to = &c->stem[c->stem_layers++];
		to->width = take_size(r, "stem", cJSON_GetArrayItem(layer, 0), 1, WIDTH_MOST);
		to->stride = take_size(r, "stem", cJSON_GetArrayItem(layer, 1), 1, STRIDE_MOST);
		strides *= to->stride;
	}
	if (r->status == STATUS_OK && c->patch_size % strides != 0)
		fail(r, STATUS_UNSUPPORTED, "%spatch_size %zu is no multiple of the stem's strides, %zu in all", r->prefix, c->patch_size, strides);
}

static void parse_vision(struct reader *r, struct config *c)
{
	struct tower *t = &c->vision;

	if (cJSON_IsArray(get(r, "layers")))
		fail(r, STATUS_UNSUPPORTED, "%slayers is a list, which means a ResNet; only vision transformers are supported", r->prefix);
	t->layers = get_size(r, "layers", 12, 1, LAYERS_MOST);
	t->width = get_size(r, "width", 768, 1, WIDTH_MOST);
	t->heads = t->width / get_size(r, "head_width", 64, 1, WIDTH_MOST);
	check_heads(r, "head_width", t->width, t->heads);
	parse_hidden(r, t);
	parse_layer_scale(r, t);
	c->image_size = get_side(r, "image_size", 224, IMAGE_MOST);
	c->patch_size = get_side(r, "patch_size", 16, IMAGE_MOST);
	c->no_ln_pre = get_flag(r, "no_ln_pre", false);
	parse_stem(r, c);
	parse_pooling(r, c);
	if (r->status != STATUS_OK)
		return;
	size_t side = c->image_size / c->patch_size;
	c->patches = side * side;
	if (c->image_size % c->patch_size != 0)
		fail(r, STATUS_UNSUPPORTED, "%simage_size %zu is no multiple of patch_size %zu", r->prefix, c->image_size, c->patch_size);
	else if (c->patches > PATCHES_MOST)
		fail(r, STATUS_FORMAT, "%spatch_size %zu makes %zu patches, more than %d", r->prefix, c->patch_size, c->patches, PATCHES_MOST);
}

static void parse_text(struct reader *r, struct config *c)
{
	c->context_length = get_size(r, "context_length", 77, 2, CONTEXT_MOST);
	c->vocab_size = get_size(r, "vocab_size", 49408, 3, VOCAB_MOST);
	c->text.width = get_size(r, "width", 512, 1, WIDTH_MOST);
	c->text.heads = get_size(r, "heads", 8, 1, WIDTH_MOST);
	c->text.layers = get_size(r, "layers", 12, 1, LAYERS_MOST);
	check_heads(r, "heads", c->text.width, c->text.heads);
	parse_hidden(r, &c->text);
	parse_layer_scale(r, &c->text);
	if (!get_flag(r, "embed_cls", false))
		fail(r, STATUS_UNSUPPORTED, "%sembed_cls is false, and only true is supported", r->prefix);
}

static void parse_multimodal(struct reader *r, struct config *c)
{
	c->decoder.width = get_size(r, "width", 512, 1, WIDTH_MOST);
	c->decoder.heads = get_size(r, "heads", 8, 1, WIDTH_MOST);
	c->decoder.layers = get_size(r, "layers", 12, 1, LAYERS_MOST);
	c->decoder.hidden = MLP_RATIO * c->decoder.width;
	c->decoder_pool_heads = get_size(r, "attn_pooler_heads", 8, 1, WIDTH_MOST);
	check_heads(r, "heads", c->decoder.width, c->decoder.heads);
	parse_layer_scale(r, &c->decoder);
	/* OpenCLIP takes the text tower's, so these need not be given. */
	size_t context = get_size(r, "context_length", c->context_length, 2, CONTEXT_MOST);
	size_t vocab = get_size(r, "vocab_size", c->vocab_size, 3, VOCAB_MOST);
	if (context != c->context_length)
		fail(r, STATUS_UNSUPPORTED, "%scontext_length is %zu, but text_cfg.context_length %zu", r->prefix, context, c->context_length);
	if (vocab != c->vocab_size)
		fail(r, STATUS_UNSUPPORTED, "%svocab_size is %zu, but text_cfg.vocab_size %zu", r->prefix, vocab, c->vocab_size);
}

static void parse_preprocess(struct reader *r, struct config *c)
{
	const cJSON *interpolation = get(r, "interpolation");
	char value[80];

	get_channels(r, "mean", -1e6, c->mean);
	get_channels(r, "std", 1e-6, c->std);
	size_t size = get_side(r, "size", c->image_size, IMAGE_MOST);
	if (size != c->image_size)
		fail(r, STATUS_UNSUPPORTED, "%ssize is %zu, but vision_cfg.image_size %zu", r->prefix, size, c->image_size);
	/* "random" is for training: OpenCLIP evaluates such a model with bicubic. */
	if (interpolation && !(cJSON_IsString(interpolation) && (strcmp(interpolation->valuestring, "bicubic") == 0 ||
								 strcmp(interpolation->valuestring, "random") == 0)))
		fail(r, STATUS_UNSUPPORTED, "%sinterpolation is %s, and only \"bicubic\" is supported", r->prefix, shown(interpolation, value));
}

/* What the towers must agree on, and the number of image tokens. */
static void check_network(struct reader *r, struct config *c)
{
	size_t width = c->decoder.width;

	if (c->text.width != width)
		fail(r, STATUS_UNSUPPORTED, "multimodal_cfg.width is %zu, but text_cfg.width %zu", width, c->text.width);
	if (c->embed_dim != width)
		fail(r, STATUS_UNSUPPORTED, "multimodal_cfg.width is %zu, but embed_dim %zu", width, c->embed_dim);
	if (c->pooling != POOL_NONE)
		check_heads(r, "vision_cfg.attn_pooler_heads", c->embed_dim, c->pool_heads);
	if (c->pooling != POOL_SINGLE && c->vision.width != width)
		fail(r, STATUS_UNSUPPORTED, "vision_cfg.width is %zu, but multimodal_cfg.width %zu: "
		     "they may differ only where attentional_pool is true", c->vision.width, width);
	if (c->pooling == POOL_SINGLE && c->pool_queries < 2)
		fail(r, STATUS_FORMAT, "vision_cfg.attn_pooler_queries is 1, which leaves no image token to the decoder");
	if (c->pooling == POOL_NONE)
		c->image_tokens = c->patches;
	else
		c->image_tokens = c->pool_queries - (c->pooling == POOL_SINGLE);
}

static enum status parse_model(struct reader *r, struct config *c)
{
	if (r->status == STATUS_OK)
		check_options(r, config_model_options);
	c->embed_dim = get_size(r, "embed_dim", 0, 1, WIDTH_MOST);
	if (c->embed_dim == 0)
		fail(r, STATUS_FORMAT, "it has no embed_dim");
	c->quick_gelu = get_flag(r, "quick_gelu", false);
	struct reader s = section(r, "vision_cfg", "vision_cfg.", config_vision_options);
	parse_vision(&s, c);
	r->status = s.status;
	s = section(r, "text_cfg", "text_cfg.", config_text_options);
	parse_text(&s, c);
	r->status = s.status;
	s = section(r, "multimodal_cfg", "multimodal_cfg.", config_multimodal_options);
	parse_multimodal(&s, c);
	r->status = s.status;
	if (r->status == STATUS_OK)
		check_network(r, c);
	return r->status;
}

static enum status parse_root(const cJSON *root, const char *name, struct config *c, struct err *err)
{
	struct reader file = {name, "", root, err, STATUS_OK};

	*c = (struct config){0};
	memcpy(c->mean, openai_mean, sizeof c->mean);
	memcpy(c->std, openai_std, sizeof c->std);
	if (!cJSON_IsObject(root)) {
		fail(&file, STATUS_FORMAT, "it is not a JSON object");
		return file.status;
	}
	if (!get(&file, "model_cfg")) /* OpenCLIP's model_configs/ hold the model alone */
		return parse_model(&file, c);
	check_options(&file, config_file_options);
	struct reader model = file;
	model.object = get(&file, "model_cfg");
	if (!cJSON_IsObject(model.object))
		fail(&model, STATUS_FORMAT, "model_cfg is not an object");
	if (parse_model(&model, c) != STATUS_OK)
		return model.status;
	if (!get(&file, "preprocess_cfg"))
		return STATUS_OK;
	struct reader preprocess = section(&file, "preprocess_cfg", "preprocess_cfg.", config_preprocess_options);
	parse_preprocess(&preprocess, c);
	return preprocess.status;
}

enum status config_parse(const char *json, size_t size, const char *name, struct config *config, struct err *err)
{
	const char *end = NULL;
	enum status status;

	cJSON *root = size <= FILE_MOST ? cJSON_ParseWithLengthOpts(json, size, &end, false) : NULL;
	while (root && end < json + size && strchr(" \t\r\n", *end) && *end)
		end++;
	if (!root || end != json + size)
		status = err_set(err, STATUS_FORMAT, "cannot use the configuration '%s': it is not JSON from byte %zu on", name,
				 end ? (size_t)(end - json) : (size_t)0);
	else
		status = parse_root(root, name, config, err);
	cJSON_Delete(root);
	return status;
}

enum status config_read(const char *path, struct config *config, struct err *err)
{
	uint8_t *bytes;
	size_t size;

	enum status status = file_read(path, FILE_MOST, &bytes, &size, err);
	if (status != STATUS_OK)
		return status;
	status = config_parse((const char *)bytes, size, path, config, err);
	free(bytes);
	return status;
}

/* ---- the stem's shapes ---- */

size_t config_stem_side(const struct config *config, size_t l)
{
	size_t side = config->image_size;

	for (size_t i = 0; i < l; i++)
		side /= config->stem[i].stride;
	return side;
}

size_t config_stem_channels(const struct config *config, size_t l)
{
	return l ? config->stem[l - 1].width : 3;
}

size_t config_patch_side(const struct config *config)
{
	return config_stem_side(config, config->stem_layers) / (config->image_size / config->patch_size);
}

size_t config_patch_inputs(const struct config *config)
{
	return config_stem_channels(config, config->stem_layers) * config_patch_side(config) * config_patch_side(config);
}

bool config_stem_keeps(const struct config *config, size_t l)
{
	return config->stem[l].stride == 1 && config->stem[l].width == config_stem_channels(config, l);
}
