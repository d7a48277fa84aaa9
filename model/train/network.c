/* network.c: see network.h. Everything a batch needs is carved from one block of memory that grows to the largest batch. */
#include "model/train/network.h"

#include <stdlib.h>
#include <string.h>

#include "model/train/passes.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum status network_new(const struct config *config, struct network **network, struct err *err)
{
	struct network *n = mem_array(1, sizeof *n);

	*network = NULL;
	if (!n)
		return err_memory(err, "the network");
	n->config = *config;
	n->image.blocks = mem_array(config->vision.layers, sizeof *n->image.blocks);
	n->text.blocks = mem_array(config->text.layers, sizeof *n->text.blocks);
	n->decoder.blocks = mem_array(config->decoder.layers, sizeof *n->decoder.blocks);
	n->decoder.cross = mem_array(config->decoder.layers, sizeof *n->decoder.cross);
	if (!n->image.blocks || !n->text.blocks || !n->decoder.blocks || !n->decoder.cross) {
		network_free(n);
		return err_memory(err, "the network");
	}
	*network = n;
	return STATUS_OK;
}

void network_free(struct network *n)
{
	if (!n)
		return;
	free(n->image.blocks);
	free(n->text.blocks);
	free(n->decoder.blocks);
	free(n->decoder.cross);
	free(n->memory);
	free(n);
}

size_t network_memory(const struct network *n)
{
	return n->capacity;
}

size_t network_embed_dim(const struct network *n)
{
	return n->config.embed_dim;
}

const float *network_image_features(const struct network *n)
{
	return n->image.features;
}

const float *network_text_features(const struct network *n)
{
	return n->text.features;
}

size_t network_counted(const struct batch_inputs *batch)
{
	size_t counted = 0;

	for (size_t i = 0; i < batch->B; i++)
		for (size_t j = batch->begin[i] + 1; j < batch->begin[i + 1]; j++)
			counted += batch->ids[j] != 0;
	return counted;
}

/* ---- layout ----------------------------------------------------------------------------------------------------- */

static void carve_all(struct carver *carver, struct network *n)
{
	image_pass_carve(carver, n);
	text_pass_carve(carver, n);
	if (n->want & NETWORK_CAPTION)
		decoder_pass_carve(carver, n);
	grad_scratch_carve(carver, &n->scratch); /* by now as wide as all of them need */
}

static enum status lay_out(struct network *n, struct err *err)
{
	struct carver carver = {0};

	n->scratch = (struct grad_scratch){.partial_width = n->config.vision.width + n->config.embed_dim};
	image_pass_shape(n);
	text_pass_shape(n);
	if (n->want & NETWORK_CAPTION)
		decoder_pass_shape(n);
	carve_all(&carver, n);
	if (carver.used > n->capacity) {
		/* Some room to spare: text lengths differ from batch to batch. */
		size_t capacity = carver.used > SIZE_MAX / 2 ? SIZE_MAX : carver.used + carver.used / 32;
		free(n->memory);
		n->memory = mem_floats(capacity / sizeof(float));
		n->capacity = n->memory ? capacity : 0;
		if (!n->memory)
			return err_set(err, STATUS_MEMORY,
				       "a batch of %zu samples needs %.1f GB of memory; hint: a smaller --batch with --accumulate",
				       n->batch.B, (double)carver.used / 1e9);
	}
	carver = (struct carver){.base = n->memory};
	carve_all(&carver, n);
	image_pass_fill(n);
	text_pass_fill(n);
	if (n->want & NETWORK_CAPTION)
		decoder_pass_fill(n);
	return STATUS_OK;
}

/* ---- the whole -------------------------------------------------------------------------------------------------- */

enum status network_forward(struct network *n, const struct weights *w, const struct batch_inputs *batch, enum network_want want,
			    struct err *err)
{
	n->batch = *batch;
	n->want = want;
	enum status status = lay_out(n, err);
	if (status != STATUS_OK)
		return status;
	if (n->image.B)
		image_pass_forward(n, w);
	text_pass_forward(n, w);
	if (want & NETWORK_CAPTION)
		decoder_pass_forward(n, w);
	return STATUS_OK;
}

void network_backward(struct network *n, const struct weights *w, const struct weights *g, const float *dimage, const float *dtext,
		      float caption_weight, double *caption_sum)
{
	*caption_sum = 0;
	if (n->want & NETWORK_CAPTION)
		decoder_pass_backward(n, w, g, caption_weight, caption_sum);
	else if (g)
		memset(n->image.dtokens, 0, n->batch.B * n->config.image_tokens * n->config.embed_dim * sizeof(float));
	if (!g)
		return;
	text_pass_backward(n, w, g, dtext);
	image_pass_backward(n, w, g, dimage);
}
