/* grad_stem.c: see grad_stem.h. Convolutions go image by image, each thread its own run of them, so that columns stay small; their
 * weights' gradients are summed by thread, in order. */
#include "model/train/grad_stem.h"

#include <omp.h>
#include <string.h>

#include "model/train/grad_ops.h"
#include "model/net/stem.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

static size_t places(const struct config *config, size_t l)
{
	return config_stem_side(config, l) * config_stem_side(config, l);
}

static size_t weights_of(const struct config *config, size_t l)
{
	return config->stem[l].width * 9 * config_stem_channels(config, l);
}

void stem_pass_carve(struct carver *carver, const struct config *config, size_t B, struct stem_pass *pass, struct grad_scratch *shared)
{
	size_t threads = (size_t)omp_get_max_threads(), most = 0;
	float *x = pass->pixels = carve_floats(carver, B * places(config, 0), 3);

	for (size_t l = 0; l < config->stem_layers; l++) {
		size_t rows = B * places(config, l + 1), O = config->stem[l].width;
		struct stem_kept *layer = &pass->layers[l];
		layer->x = x;
		layer->conv = carve_floats(carver, rows, O);
		layer->stat = carve_floats(carver, rows, 2);
		layer->slope = carve_floats(carver, rows, O);
		layer->out = x = carve_floats(carver, rows, O);
		most = weights_of(config, l) > most ? weights_of(config, l) : most;
		shared->partial_width = O > shared->partial_width ? O : shared->partial_width;
	}
	if (!config->stem_layers)
		return;
	pass->columns = carve_floats(carver, threads, stem_columns_most(config));
	pass->weights = carve_floats(carver, threads, most);
	pass->dmap = carve_floats(carver, B, stem_map_most(config));
	pass->other = carve_floats(carver, B, stem_map_most(config));
}

static void layer_forward(const struct config *config, const struct weights *w, size_t l, size_t B, const struct stem_pass *stem)
{
	const struct stem_kept *pass = &stem->layers[l];
	size_t C = config_stem_channels(config, l), O = config->stem[l].width, s = config_stem_side(config, l), n = places(config, l + 1);

#pragma omp parallel for schedule(static)
	for (size_t b = 0; b < B; b++) {
		float *columns = stem->columns + (size_t)omp_get_thread_num() * stem_columns_most(config);
		stem_columns(pass->x + b * s * s * C, s, C, config->stem[l].stride, columns);
		grad_linear_forward(columns, n, 9 * C, w->stem[l].conv, NULL, O, pass->conv + b * n * O, O);
	}
	grad_norm_forward(pass->conv, B * n, O, &w->stem[l].ln, pass->slope, pass->stat);
	grad_gelu_forward(pass->slope, B * n * O, config->quick_gelu, pass->out);
	if (config_stem_keeps(config, l))
		grad_add(pass->out, pass->x, B * n * O);
}

void stem_pass_forward(const struct config *config, const struct weights *w, size_t B, struct stem_pass *stem, float *patches)
{
	size_t layers = config->stem_layers, s = config_stem_side(config, layers), C = config_stem_channels(config, layers);

	for (size_t l = 0; l < layers; l++)
		layer_forward(config, w, l, B, stem);
	const float *map = layers ? stem->layers[layers - 1].out : stem->pixels;
#pragma omp parallel for schedule(static)
	for (size_t b = 0; b < B; b++)
		stem_patches(map + b * s * s * C, s, C, config_patch_side(config),
			     patches + b * config->patches * config_patch_inputs(config));
}

/* dmap[B,o,o,O] comes in; dx[B,s,s,C], if wanted, goes out. */
static void layer_backward(const struct config *config, const struct weights *w, const struct weights *g, size_t l, size_t B,
			   const struct stem_pass *stem, float *dmap, float *dx, float *partial)
{
	const struct stem_kept *pass = &stem->layers[l];
	size_t C = config_stem_channels(config, l), O = config->stem[l].width, s = config_stem_side(config, l), n = places(config, l + 1);
	size_t count = weights_of(config, l);

	/* A layer that adds its input hands its gradient down as it came. */
	if (dx && config_stem_keeps(config, l)) {
#pragma omp parallel for schedule(static)
		for (size_t b = 0; b < B; b++)
			memcpy(dx + b * n * O, dmap + b * n * O, n * O * sizeof *dx);
	}
	grad_gelu_backward(dmap, pass->slope, B * n, O, NULL, partial);
	grad_norm_backward(dmap, pass->conv, pass->stat, B * n, O, &w->stem[l].ln, &g->stem[l].ln, 0, dmap, partial);
#pragma omp parallel
	{
		size_t me = (size_t)omp_get_thread_num();
		float *columns = stem->columns + me * stem_columns_most(config), *dw = stem->weights + me * count;
		memset(dw, 0, count * sizeof *dw);
#pragma omp for schedule(static)
		for (size_t b = 0; b < B; b++) {
			float *dconv = dmap + b * n * O, *own = dx ? dx + b * s * s * C : NULL;
			stem_columns(pass->x + b * s * s * C, s, C, config->stem[l].stride, columns);
			grad_linear_weight(dconv, n, O, O, columns, 9 * C, dw, NULL, NULL);
			if (!dx)
				continue;
			if (!config_stem_keeps(config, l))
				memset(own, 0, s * s * C * sizeof *own);
			grad_linear_input(dconv, n, O, O, w->stem[l].conv, 9 * C, 0, columns);
			stem_columns_add(columns, s, C, config->stem[l].stride, own);
		}
		/* All threads' sums, in order; each thread has the same weights every time, so none waits for another. */
		for (size_t t = 0; t < (size_t)omp_get_num_threads() && g->stem[l].conv; t++) {
#pragma omp for schedule(static) nowait
			for (size_t i = 0; i < count; i++)
				g->stem[l].conv[i] += stem->weights[t * count + i];
		}
	}
}

void stem_pass_backward(const struct config *config, const struct weights *w, const struct weights *g, size_t B,
			const struct stem_pass *stem, const float *dpatches, const struct grad_scratch *shared)
{
	size_t layers = config->stem_layers, s = config_stem_side(config, layers), C = config_stem_channels(config, layers);
	float *dmap = stem->dmap, *other = stem->other;

#pragma omp parallel for schedule(static)
	for (size_t b = 0; b < B; b++)
		stem_patches_back(dpatches + b * config->patches * config_patch_inputs(config), s, C, config_patch_side(config),
				  dmap + b * s * s * C);
	for (size_t l = layers; l-- > 0;) {
		layer_backward(config, w, g, l, B, stem, dmap, l ? other : NULL, shared->partial);
		float *swap = dmap;
		dmap = other;
		other = swap;
	}
}
