/* passes.c: what the passes of all towers share: see passes.h. */
#include "model/train/passes.h"

#include "schema/base/banned.h"

/* ---- layout ----------------------------------------------------------------------------------------------------- */

size_t pass_ids(const struct network *n, size_t i)
{
	return n->batch.begin[i + 1] - n->batch.begin[i];
}

struct block_shape pass_block_shape(const struct config *config, const struct tower *tower, size_t R)
{
	return (struct block_shape){.R = R,
				    .D = tower->width,
				    .F = tower->hidden,
				    .quick = config->quick_gelu,
				    .layer_scale = tower->layer_scale,
				    .attention = {.heads = tower->heads, .head = tower->width / tower->heads}};
}

void pass_add_rows(struct block_shape *shape, size_t rows)
{
	shape->R += rows;
	shape->p += shape->attention.heads * rows * rows;
	if (rows * rows > shape->attention.most)
		shape->attention.most = rows * rows;
}

void pass_carve_norm(struct carver *carver, struct norm_pass *norm, size_t R, size_t D)
{
	norm->y = carve_floats(carver, R, D);
	norm->stat = carve_floats(carver, R, 2);
}

void pass_carve_blocks(struct carver *carver, struct network *n, const struct block_shape *shape, struct block_pass *blocks, size_t layers)
{
	float *x = carve_floats(carver, shape->R, shape->D);

	for (size_t l = 0; l < layers; l++) {
		block_pass_carve(carver, shape, &blocks[l], &n->scratch);
		blocks[l].x = x;
		x = blocks[l].out;
	}
}

/* ---- what is trained -------------------------------------------------------------------------------------------- */

bool pass_trains(const void *pointers, size_t size)
{
	float *const *pointer = pointers;

	for (size_t i = 0; i < size / sizeof *pointer; i++)
		if (pointer[i])
			return true;
	return false;
}

size_t pass_lowest(const struct block *blocks, size_t layers, bool below)
{
	size_t l = 0;

	while (!below && l < layers && !pass_trains(&blocks[l], sizeof blocks[l]))
		l++;
	return l;
}
