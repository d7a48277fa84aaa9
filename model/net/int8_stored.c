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

void int8_block_maps(const struct block *b, const struct tower *tower, bool cross, struct linear maps[INT8_BLOCK_MAPS])
{
	size_t D = tower->width, F = tower->hidden;

	maps[0] = (struct linear){cross ? b->attn.q_weight : b->attn.in_weight, b->attn.in_bias, D, cross ? D : 3 * D, false};
	maps[1] = (struct linear){b->attn.out_weight, b->attn.out_bias, D, D, false};
	maps[2] = (struct linear){b->fc_weight, b->fc_bias, D, F, false};
	maps[3] = (struct linear){b->proj_weight, b->proj_bias, F, D, false};
}

/* Map i of layer l. */
static enum status make_map(const struct int8_tower *from, size_t l, size_t i, struct int8_block *made, struct err *err)
{
	const struct block *b = from->blocks + l;
	const float *gain = i == 1 ? b->ls_1 : i == 3 ? b->ls_2 : NULL;
	struct int8_matrix *matrix = (struct int8_matrix *const[]){&made->qkv, &made->out, &made->fc, &made->proj}[i];
	struct linear maps[INT8_BLOCK_MAPS];
	struct int8_stored stored;
	char name[112];

	int8_block_maps(b, from->tower, from->cross, maps);
	snprintf(name, sizeof name, "%s.%zu.%s", from->prefix, l, from->names[i]);
	enum status status = int8_stored_find(from->checkpoint, name, maps[i].out, maps[i].in, &stored, err);
	if (status != STATUS_OK)
		return status;
	return stored.codes ? int8_stored_pack(&stored, 0, maps + i, gain, matrix, err) :
			      int8_matrix_init(matrix, maps + i, INT8_PAIRS, gain, err);
}

enum status int8_tower_new(const struct int8_tower *from, struct int8_block **made, struct err *err)
{
	struct int8_block *result = mem_array(from->tower->layers, sizeof *result);
	enum status status = result ? STATUS_OK : err_memory(err, "8-bit weights");
	size_t maps = result ? from->tower->layers * INT8_BLOCK_MAPS : 0;

#pragma omp parallel for schedule(dynamic, 1)
	for (size_t i = 0; i < maps; i++) {
		struct err own;
		enum status one = make_map(from, i / INT8_BLOCK_MAPS, i % INT8_BLOCK_MAPS, result + i / INT8_BLOCK_MAPS, &own);
		if (one == STATUS_OK)
			continue;
#pragma omp critical(int8_tower_failed)
		{
			status = one;
			*err = own;
		}
	}
	if (status != STATUS_OK) {
		int8_tower_free(result, from->tower);
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
