/* parameters.c: see parameters.h. */
#include "model/train/parameters.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"
#include "schema/base/random.h"

#include "schema/base/banned.h"

enum { ALIGNED_FLOATS = 16, ROWS = 5 };

/* ---- the rows --------------------------------------------------------------------------------------------------- */

static enum status list_one(void *context, const struct weight_info *info, float **slot, struct err *err)
{
	struct parameters *p = context;

	(void)slot;
	if (!mem_grow(&p->list, &p->room, p->count + 1, sizeof *p->list))
		return err_memory(err, "the list of parameters");
	p->list[p->count++] = (struct parameter){.info = *info, .offset = p->floats, .decay = info->dims >= 2};
	p->floats += (info->count + ALIGNED_FLOATS - 1) / ALIGNED_FLOATS * ALIGNED_FLOATS;
	return STATUS_OK;
}

/* A row of floats spread over the slots. */
struct spread {
	const struct parameters *p;
	float *row;
	size_t next;
	bool skip_frozen;
};

static enum status spread_one(void *context, const struct weight_info *info, float **slot, struct err *err)
{
	struct spread *s = context;
	const struct parameter *parameter = &s->p->list[s->next++];

	(void)info;
	(void)err;
	*slot = s->skip_frozen && parameter->frozen ? NULL : s->row + parameter->offset;
	return STATUS_OK;
}

static void spread_row(struct parameters *p, struct weights *weights, float *row, bool skip_frozen)
{
	struct spread spread = {p, row, 0, skip_frozen};

	weights_visit(weights, &p->config, spread_one, &spread, NULL);
	weights_link(weights, &p->config);
}

enum status parameters_init(struct parameters *p, const struct config *config, struct err *err)
{
	enum status status;

	*p = (struct parameters){.config = *config};
	if ((status = weights_init(&p->weights, config, err)) != STATUS_OK ||
	    (status = weights_init(&p->gradients, config, err)) != STATUS_OK ||
	    (status = weights_init(&p->averages, config, err)) != STATUS_OK ||
	    (status = weights_visit(&p->weights, config, list_one, p, err)) != STATUS_OK)
		goto fail;
	p->memory = mem_floats(mem_product(ROWS, p->floats));
	if (!p->memory) {
		status = err_set(err, STATUS_MEMORY, "a model of %zu parameters needs %.1f GB of memory for training",
				 weights_count(config), (double)p->floats * ROWS * sizeof(float) / 1e9);
		goto fail;
	}
	size_t floats = p->floats;
	memset(p->memory, 0, ROWS * floats * sizeof *p->memory);
	p->value = p->memory;
	p->gradient = p->value + floats;
	p->first = p->gradient + floats;
	p->second = p->first + floats;
	p->average = p->second + floats;
	spread_row(p, &p->weights, p->value, false);
	spread_row(p, &p->gradients, p->gradient, true);
	spread_row(p, &p->averages, p->average, false);
	return STATUS_OK;
fail:
	parameters_release(p);
	return status;
}

void parameters_release(struct parameters *p)
{
	weights_release(&p->weights);
	weights_release(&p->gradients);
	weights_release(&p->averages);
	free(p->list);
	free(p->memory);
	*p = (struct parameters){0};
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

static bool ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);
	return n >= m && strcmp(name + n - m, end) == 0;
}

static bool starts_with(const char *name, const char *start)
{
	return strncmp(name, start, strlen(start)) == 0;
}

static void fill(float *to, size_t n, float value)
{
	for (size_t i = 0; i < n; i++)
		to[i] = value;
}

static void draw(float *to, size_t n, double deviation, uint64_t *random)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (float)(deviation * random_normal(random));
}

static const struct tower *tower_of(const struct config *c, const char *name)
{
	return starts_with(name, "visual.") ? &c->vision : starts_with(name, "text.") ? &c->text : &c->decoder;
}

/* Deviation of a matrix: CLIP's for the towers (attention D^-0.5, fc (2D)^-0.5, what adds to the residual scaled down by
 * depth), OpenCLIP's for embeddings and projections, Xavier's for poolers. */
static double deviation_of(const struct config *c, const struct weight_info *info)
{
	const char *name = info->name;
	const struct tower *tower = tower_of(c, name);
	double width = (double)tower->width, depth = 2 * (double)tower->layers;

	if (ends_with(name, "token_embedding.weight"))
		return 0.02;
	if (strcmp(name, "text.positional_embedding") == 0 || ends_with(name, "cls_emb"))
		return 0.01;
	if (ends_with(name, "conv.weight")) /* He's: a GELU follows */
		return sqrt(2 / (double)(9 * info->shape[3]));
	if (ends_with(name, "conv1.weight"))
		return pow((double)(info->shape[1] * info->shape[2] * info->shape[3]), -0.5);
	if (starts_with(name, "visual.attn_pool"))
		return ends_with(name, "query") ? 1 : sqrt(2 / (double)(info->shape[0] + info->shape[1]));
	if (strcmp(name, "visual.proj") == 0)
		return pow((double)info->shape[0], -0.5);
	if (ends_with(name, "out_proj.weight") || ends_with(name, "c_proj.weight"))
		return pow(width * depth, -0.5);
	if (ends_with(name, "c_fc.weight"))
		return pow(2 * width, -0.5);
	return pow(width, -0.5);
}

static bool is_norm(const char *name)
{
	const char *last = strrchr(name, '.');
	while (last > name && last[-1] != '.')
		last--;
	return starts_with(last, "ln_");
}

void parameters_random(struct parameters *p, uint64_t seed)
{
	for (size_t i = 0; i < p->count; i++) {
		const struct weight_info *info = &p->list[i].info;
		float *to = p->value + p->list[i].offset;
		uint64_t random = random_keyed(seed, 0x77656967687473, i);
		if (info->dims == 0)
			*to = (float)log(1 / 0.07);
		else if (ends_with(info->name, ".gamma"))
			fill(to, info->count, (float)tower_of(&p->config, info->name)->layer_scale_init);
		else if (info->dims == 1 && ends_with(info->name, ".weight") && is_norm(info->name))
			fill(to, info->count, 1);
		else if (ends_with(info->name, "bias"))
			fill(to, info->count, 0);
		else
			draw(to, info->count, deviation_of(&p->config, info), &random);
	}
	memcpy(p->average, p->value, p->floats * sizeof *p->value);
}

/* Keys's cubic with a = -1/2. */
static double cubic(double x)
{
	x = fabs(x);
	if (x < 1)
		return (1.5 * x - 2.5) * x * x + 1;
	return x < 2 ? ((2.5 - 0.5 * x) * x - 4) * x + 2 : 0;
}

/* to[outer,n,inner] from from[outer,m,inner]: one axis of a grid, widened where it shrinks so that nothing aliases. */
static void resample_axis(const float *from, size_t outer, size_t m, size_t n, size_t inner, float *to)
{
	double step = (double)m / (double)n, wide = step > 1 ? step : 1;

	for (size_t i = 0; i < n; i++) {
		double centre = ((double)i + 0.5) * step, total = 0;
		for (size_t j = 0; j < m; j++)
			total += cubic(((double)j + 0.5 - centre) / wide);
		for (size_t o = 0; o < outer; o++)
			for (size_t k = 0; k < inner; k++) {
				double sum = 0;
				for (size_t j = 0; j < m; j++)
					sum += cubic(((double)j + 0.5 - centre) / wide) * (double)from[(o * m + j) * inner + k];
				to[(o * n + i) * inner + k] = (float)(sum / total);
			}
	}
}

/* to[1+n*n,D] from from[1+m*m,D]; the class's position stays as it is. */
static enum status resample_positions(const float *from, size_t m, size_t n, size_t D, float *to, struct err *err)
{
	float *across = mem_floats(mem_product(m * n, D));

	if (!across)
		return err_memory(err, "the positions of patches");
	memcpy(to, from, D * sizeof *to);
	resample_axis(from + D, m, m, n, D, across);
	resample_axis(across, 1, m, n, n * D, to + D);
	free(across);
	return STATUS_OK;
}

struct copying {
	struct parameters *p;
	const struct config *from;
	size_t next;
};

/* Whether a parameter is of a layer that the other model lacks, and that adds to what it is given. */
static bool is_added(const struct copying *c, const char *name)
{
	const char *blocks = strstr(name, "resblocks."), *layers = blocks ? blocks : strstr(name, "cross_attn.");
	size_t layer;

	if (sscanf(name, "visual.stem.%zu.", &layer) == 1)
		return layer >= c->from->stem_layers && config_stem_keeps(&c->p->config, layer);
	return layers && sscanf(strchr(layers, '.'), ".%zu.", &layer) == 1 && layer >= tower_of(c->from, name)->layers;
}

/* Ends a new layer with 0. */
static void still(struct parameters *p, const struct parameter *new)
{
	const char *name = new->info.name;
	bool last = starts_with(name, "visual.stem.") ? is_norm(name)
						      : ends_with(name, "out_proj.weight") || ends_with(name, "c_proj.weight");

	if (last)
		fill(p->value + new->offset, new->info.count, 0);
}

/* The parameter of that name; those before it that the other weights lack are new. NULL: there is none. */
static const struct parameter *next_named(struct copying *c, const char *name)
{
	for (; c->next < c->p->count; c->next++) {
		const struct parameter *to = &c->p->list[c->next];
		if (strcmp(to->info.name, name) == 0) {
			c->next++;
			return to;
		}
		if (!is_added(c, to->info.name))
			return NULL;
		still(c->p, to);
	}
	return NULL;
}

static enum status copy_one(void *context, const struct weight_info *info, float **slot, struct err *err)
{
	struct copying *c = context;
	const struct parameter *to = next_named(c, info->name);
	const struct config *config = &c->p->config;

	if (to && strcmp(info->name, "visual.positional_embedding") == 0 && to->info.shape[1] == info->shape[1] &&
	    config->patches != c->from->patches)
		return resample_positions(*slot, c->from->image_size / c->from->patch_size, config->image_size / config->patch_size,
					  config->vision.width, c->p->value + to->offset, err);
	if (!to || memcmp(to->info.shape, info->shape, sizeof info->shape) != 0)
		return err_set(err, STATUS_FORMAT, "cannot go on from other weights: '%s' has another shape there", info->name);
	memcpy(c->p->value + to->offset, *slot, info->count * sizeof **slot);
	return STATUS_OK;
}

enum status parameters_copy(struct parameters *p, const struct weights *weights, const struct config *config, struct err *err)
{
	struct weights from = *weights; /* the walk hands out slots; none is written */
	struct copying copying = {p, config, 0};
	enum status status = weights_visit(&from, config, copy_one, &copying, err);

	memcpy(p->average, p->value, p->floats * sizeof *p->value);
	return status;
}

/* ---- frozen parts ----------------------------------------------------------------------------------------------- */

static bool is_pooler(const char *name)
{
	return starts_with(name, "visual.attn_pool");
}

static bool in_part(const char *name, const char *part, size_t size)
{
	static const char *const parts[] = {"image", "encoder", "poolers", "text", "decoder", "temperature"};
	size_t which = 0;

	while (which < sizeof parts / sizeof *parts && (strlen(parts[which]) != size || memcmp(parts[which], part, size) != 0))
		which++;
	switch (which) {
	case 0:
		return starts_with(name, "visual.");
	case 1:
		return starts_with(name, "visual.") && !is_pooler(name) && !starts_with(name, "visual.ln_post") &&
		       strcmp(name, "visual.proj") != 0;
	case 2:
		return is_pooler(name);
	case 3:
		return starts_with(name, "text.");
	case 4:
		return starts_with(name, "text_decoder.");
	case 5:
		return strcmp(name, "logit_scale") == 0;
	default:
		return false;
	}
}

enum status parameters_freeze(struct parameters *p, const char *parts, struct err *err)
{
	size_t left = 0;

	for (const char *part = parts; *part;) {
		size_t size = strcspn(part, ","), found = 0;
		for (size_t i = 0; i < p->count; i++)
			if (in_part(p->list[i].info.name, part, size))
				p->list[i].frozen = ++found;
		if (!found)
			return err_set(err, STATUS_USAGE,
				       "cannot freeze '%.*s'; hint: parts are image, encoder, poolers, text, decoder, temperature",
				       (int)size, part);
		part += size + (part[size] == ',');
	}
	for (size_t i = 0; i < p->count; i++)
		left += !p->list[i].frozen;
	if (!left)
		return err_set(err, STATUS_USAGE, "cannot train: every part is frozen by '%s'", parts);
	/* From empty slots: views into a stacked matrix that is frozen now would stay otherwise. */
	weights_release(&p->gradients);
	enum status status = weights_init(&p->gradients, &p->config, err);
	if (status == STATUS_OK)
		spread_row(p, &p->gradients, p->gradient, true);
	return status;
}
