/* vision_int8.c: see vision_int8.h. */
#include "model/net/vision_int8.h"

#include <stdlib.h>

#include "model/net/int8_stored.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* from: the width of what the pooler attends to. */
static enum status make_pooler(const struct attention *attn, size_t E, size_t from, struct int8_pooler *made, struct err *err)
{
	const struct linear both = {NULL, attn->in_bias + E, from, 2 * E, false}, out = {attn->out_weight, attn->out_bias, E, E, false};
	int8_t *codes = mem_array(mem_product(both.out, from), 1);
	float *scale = mem_floats(both.out);
	enum status status = codes && scale ? STATUS_OK : err_memory(err, "8-bit weights");

	if (status == STATUS_OK) {
		int8_weights(attn->k_weight, E, from, INT8_BYTES, codes, scale);
		int8_weights(attn->v_weight, E, from, INT8_BYTES, codes + E * from, scale + E);
		status = int8_matrix_pack(&made->kv, codes, scale, &both, NULL, err);
	}
	if (status == STATUS_OK)
		status = int8_matrix_init(&made->out, &out, INT8_BYTES, NULL, err);
	free(codes);
	free(scale);
	return status;
}

static enum status make_ends(const struct config *config, const struct weights *weights, struct vision_int8 *made, struct err *err)
{
	size_t D = config->vision.width, E = config->embed_dim;
	const struct linear patch = {weights->patch_weight, NULL, config_patch_inputs(config), D, false};
	enum status status = int8_matrix_init(&made->patch, &patch, INT8_BYTES, NULL, err);

	if (status == STATUS_OK && config->pooling != POOL_NONE)
		status = make_pooler(&weights->pool.attn, E, D, &made->pool, err);
	if (status == STATUS_OK && (config->pooling == POOL_PARALLEL || config->pooling == POOL_CASCADE))
		status = make_pooler(&weights->pool_contrastive.attn, E, config->pooling == POOL_CASCADE ? E : D,
				     &made->pool_contrastive, err);
	return status;
}

static enum status make_stem(const struct config *config, const struct weights *weights, struct vision_int8 *made, struct err *err)
{
	enum status status = STATUS_OK;

	for (size_t l = 1; l < config->stem_layers && status == STATUS_OK; l++) {
		const struct linear map = {weights->stem[l].conv, NULL, 9 * config_stem_channels(config, l), config->stem[l].width, false};
		status = int8_matrix_init(made->stem + l, &map, int8_range(), NULL, err);
	}
	return status;
}

enum status vision_int8_new(const struct config *config, const struct weights *weights, const struct checkpoint *checkpoint,
			    struct vision_int8 **result, struct err *err)
{
	static const char *const names[INT8_BLOCK_MAPS] = {"attn.in_proj_weight", "attn.out_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight"};
	const struct int8_tower tower = {checkpoint, "visual.transformer.resblocks", names, weights->vision, &config->vision, false};
	struct vision_int8 *made = mem_array(1, sizeof *made);
	enum status status = made ? STATUS_OK : err_memory(err, "8-bit weights");

	if (status == STATUS_OK)
		status = make_stem(config, weights, made, err);
	if (status == STATUS_OK && int8_range() == INT8_BYTES)
		status = make_ends(config, weights, made, err);
	if (status == STATUS_OK)
		status = int8_tower_new(&tower, &made->blocks, err);
	if (status != STATUS_OK) {
		vision_int8_free(made, config);
		made = NULL;
	}
	*result = made;
	return status;
}

void vision_int8_free(struct vision_int8 *made, const struct config *config)
{
	if (!made)
		return;
	int8_tower_free(made->blocks, &config->vision);
	for (size_t l = 0; l < config->stem_layers; l++)
		int8_matrix_release(made->stem + l);
	int8_matrix_release(&made->patch);
	int8_matrix_release(&made->pool.kv);
	int8_matrix_release(&made->pool.out);
	int8_matrix_release(&made->pool_contrastive.kv);
	int8_matrix_release(&made->pool_contrastive.out);
	free(made);
}
