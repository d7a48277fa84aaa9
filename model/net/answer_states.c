/* answer_states.c: see answer_states.h. */
#include "model/net/answer_states.h"

#include <stdlib.h>

#include "model/net/block.h"
#include "model/net/encode.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

struct work {
	float *q;              /* [n,W] */
	float *normed_tokens;  /* [N,W] */
	float *kv;             /* [N,2W] */
	size_t *begin;         /* [2] */
	struct block_scratch block;
};

static size_t work_carve(const struct config *config, size_t n, void *base, struct work *work)
{
	struct carver carver = {base, 0};
	size_t W = config->decoder.width, N = config->image_tokens, keys = n > N ? n : N;

	work->q = carve_floats(&carver, n, W);
	work->normed_tokens = carve_floats(&carver, N, W);
	work->kv = carve_floats(&carver, N, 2 * W);
	work->begin = carve(&carver, 2, sizeof *work->begin);
	block_carve(&carver, &work->block, &config->decoder, config->quick_gelu, n, 1, keys, op_threads());
	return carver.used;
}

/* x[n,W] += cross attention over the image, and the MLP. */
static void cross(const struct config *config, const struct block *block, const float *tokens, size_t n, struct work *work, float *x)
{
	size_t W = config->decoder.width, N = config->image_tokens;
	struct attend_shape shape = {config->decoder.heads, W, W, 2 * W, W, false};

	block_queries(block, &work->block, x, n, work->q);
	op_norm(&block->ln_1_kv, tokens, N, W, work->normed_tokens);
	attention_keys(&block->attn, W, W, work->normed_tokens, N, work->kv);
	work->block.jobs[0] = (struct attend){work->q, work->kv, work->kv + W, NULL, work->block.normed, n, N};
	op_attention(&shape, work->block.jobs, 1, work->block.scores);
	block_finish(block, NULL, &work->block, work->block.normed, n, x);
}

enum status answer_states_make(const struct coca *model, struct coca_scratch *scratch, const float *tokens, const struct coca_text *text,
				float *states, struct err *err)
{
	const struct config *config = coca_config(model);
	const struct weights *weights = coca_weights_of(model, WEIGHTS_DECODER);
	float *feature = mem_floats(config->embed_dim);
	size_t n = text->count, stride;
	struct work work;

	if (!feature)
		return err_memory(err, "the decoder's activations");
	enum status status = coca_encode_texts(model, scratch, text, 1, feature, states, err);
	free(feature);
	if (status != STATUS_OK)
		return status;
	char *block = scratch_block(scratch, work_carve(config, n, NULL, &work), 1, &stride);
	if (!block)
		return err_memory(err, "the decoder's activations");
	work_carve(config, n, block, &work);
	work.begin[0] = 0;
	work.begin[1] = n;
	struct pack pack = {work.begin, 1, NULL, true};
	for (size_t l = 0; l < config->decoder.layers; l++) {
		block_self(weights->decoder + l, NULL, &work.block, &pack, states);
		cross(config, weights->cross + l, tokens, n, &work, states);
	}
	op_norm(&weights->decoder_ln_final, states, n, config->decoder.width, states);
	return coca_check_finite(model, states, n * config->decoder.width, "an answer", err);
}
