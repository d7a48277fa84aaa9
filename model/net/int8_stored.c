/* int8_stored.c: see int8_stored.h. */
#include "model/net/int8_stored.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum status int8_stored_find(const struct checkpoint *checkpoint, const char *name, size_t rows, size_t columns, struct int8_stored *stored,
			     struct err *err)
{
	char with[128];
	const struct tensor *t = checkpoint ? checkpoint_find(checkpoint, name) : NULL;

	*stored = (struct int8_stored){.checkpoint = checkpoint, .name = name};
	if (!t || t->dtype != DTYPE_I8)
		return STATUS_OK;
	snprintf(with, sizeof with, "%s.scale", name);
	const struct tensor *scale = checkpoint_find(checkpoint, with);
	if (t->dims != 2 || t->shape[0] != rows || t->shape[1] != columns || !scale || scale->dtype != DTYPE_F32 || scale->dims != 1 ||
	    scale->shape[0] != rows)
		return err_set(err, STATUS_FORMAT, "cannot use the weights '%s': '%s' is not [%zu,%zu] in 8 bits with a scale a row; "
			       "hint: write it again with coca model quantize", checkpoint_path(checkpoint), name, rows, columns);
	stored->codes = t->data;
	stored->scale = scale->data;
	return STATUS_OK;
}

/* Beyond the range sums of products would overflow. */
static bool in_range(const int8_t *codes, size_t n)
{
	int most = 0;

#pragma omp simd reduction(max : most)
	for (size_t i = 0; i < n; i++) {
		int size = codes[i] < 0 ? -codes[i] : codes[i];
		most = size > most ? size : most;
	}
	return most <= INT8_WEIGHT_MOST;
}

enum status int8_stored_pack(const struct int8_stored *stored, size_t from, const struct linear *map, const float *gain,
			     struct int8_matrix *matrix, struct err *err)
{
	const int8_t *codes = stored->codes + from * map->in;
	float *scale = mem_floats(map->out);

	if (!scale)
		return err_memory(err, "8-bit weights");
	memcpy(scale, (const char *)stored->scale + from * sizeof *scale, map->out * sizeof *scale);
	enum status status = in_range(codes, map->out * map->in) ?
		int8_matrix_pack(matrix, codes, scale, map, gain, err) :
		err_set(err, STATUS_FORMAT, "cannot use the weights '%s': '%s' has codes beyond %d; hint: write it again with coca model "
			"quantize", checkpoint_path(stored->checkpoint), stored->name, INT8_WEIGHT_MOST);
	free(scale);
	return status;
}

static enum status one(const struct checkpoint *checkpoint, const char *prefix, size_t l, const char *name, const struct linear *map,
		       const float *gain, struct int8_matrix *matrix, struct err *err)
{
	char whole[112];
	struct int8_stored stored;

	snprintf(whole, sizeof whole, "%s.%zu.%s", prefix, l, name);
	enum status status = int8_stored_find(checkpoint, whole, map->out, map->in, &stored, err);
	if (status != STATUS_OK)
		return status;
	return stored.codes ? int8_stored_pack(&stored, 0, map, gain, matrix, err) : int8_matrix_init(matrix, map, INT8_PAIRS, gain, err);
}

enum status int8_stored_tower(const struct checkpoint *checkpoint, const char *prefix, const struct block *blocks,
			      const struct tower *tower, struct int8_block **made, struct err *err)
{
	size_t D = tower->width, F = tower->hidden;
	struct int8_block *result = mem_array(tower->layers, sizeof *result);
	enum status status = result ? STATUS_OK : err_memory(err, "8-bit weights");

	for (size_t l = 0; l < tower->layers && status == STATUS_OK; l++) {
		const struct block *b = blocks + l;
		const struct {
			const char *name;
			struct int8_matrix *matrix;
			struct linear map;
			const float *gain;
		} parts[] = {
			{"attn.in_proj_weight", &result[l].qkv, {b->attn.in_weight, b->attn.in_bias, D, 3 * D, false}, NULL},
			{"attn.out_proj.weight", &result[l].out, {b->attn.out_weight, b->attn.out_bias, D, D, false}, b->ls_1},
			{"mlp.c_fc.weight", &result[l].fc, {b->fc_weight, b->fc_bias, D, F, false}, NULL},
			{"mlp.c_proj.weight", &result[l].proj, {b->proj_weight, b->proj_bias, F, D, false}, b->ls_2},
		};
		for (size_t i = 0; i < sizeof parts / sizeof *parts && status == STATUS_OK; i++)
			status = one(checkpoint, prefix, l, parts[i].name, &parts[i].map, parts[i].gain, parts[i].matrix, err);
	}
	if (status != STATUS_OK) {
		int8_tower_free(result, tower);
		result = NULL;
	}
	*made = result;
	return status;
}

void int8_tower_free(struct int8_block *made, const struct tower *tower)
{
	for (size_t l = 0; made && l < tower->layers; l++) {
		int8_matrix_release(&made[l].qkv);
		int8_matrix_release(&made[l].out);
		int8_matrix_release(&made[l].fc);
		int8_matrix_release(&made[l].proj);
	}
	free(made);
}
