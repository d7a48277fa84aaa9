/* quantize.c: see quantize.h. */
#include "model/net/quantize.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/files/checkpoint.h"
#include "model/net/decoder_int8.h"
#include "model/math/int8.h"
#include "schema/base/random.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

double quantize_mean(const struct quantize_loss *loss)
{
	return loss->images ? loss->sum / (double)loss->images : 1;
}

void quantize_picture(uint64_t number, size_t side, uint8_t *rgb)
{
	enum { SIZES = 4 }; /* a side holds 2, 4, 8 and 16 squares */

	for (size_t y = 0; y < side; y++)
		for (size_t x = 0; x < side; x++) {
			unsigned sum[3] = {0};
			for (size_t size = 0; size < SIZES; size++) {
				size_t squares = (size_t)2 << size;
				uint64_t colour = random_keyed(number, size, y * squares / side * squares + x * squares / side);
				for (int c = 0; c < 3; c++)
					sum[c] += (unsigned)(colour >> 8 * c & 0xff);
			}
			for (int c = 0; c < 3; c++)
				rgb[(y * side + x) * 3 + (size_t)c] = (uint8_t)(sum[c] / SIZES);
		}
}

enum status quantize_measure(struct coca *model, struct coca_scratch *scratch, const float *pixels, size_t B, struct quantize_loss *loss,
			     struct err *err)
{
	const enum precision before = coca_precision(model);
	size_t E = coca_config(model)->embed_dim;
	float *features[2] = {mem_floats(mem_product(B, E)), mem_floats(mem_product(B, E))};
	enum status status = features[0] && features[1] ? STATUS_OK : err_memory(err, "embeddings");

	for (int int8 = 0; int8 < 2 && status == STATUS_OK; int8++) {
		coca_set_precision(model, int8 ? PRECISION_INT8 : PRECISION_FP32);
		status = coca_encode_images(model, scratch, pixels, B, features[int8], NULL, err);
	}
	coca_set_precision(model, before);
	for (size_t b = 0; b < B && status == STATUS_OK; b++) {
		double cosine = 0;
		for (size_t i = 0; i < E; i++)
			cosine += (double)features[0][b * E + i] * (double)features[1][b * E + i];
		loss->worst = loss->images && loss->worst < cosine ? loss->worst : cosine;
		loss->sum += cosine;
		loss->images++;
	}
	free(features[0]);
	free(features[1]);
	return status;
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

enum { NAME_MOST = 112 };

/* The tensors of the file: a matrix in 8 bits is two of them. */
struct list {
	const struct weights *weights;
	size_t layers;
	size_t count, room;
	struct named_floats *tensors;
	char (*names)[NAME_MOST];
};

static bool is_block_matrix(const struct list *list, const float *slot)
{
	for (size_t l = 0; l < list->layers; l++) {
		const struct block *b = list->weights->vision + l;
		if (slot == b->attn.in_weight || slot == b->attn.out_weight || slot == b->fc_weight || slot == b->proj_weight)
			return true;
	}
	return false;
}

static struct named_floats *add(struct list *list, const char *name, const char *suffix)
{
	struct named_floats *t = &list->tensors[list->count];

	snprintf(list->names[list->count], NAME_MOST, "%s%s", name, suffix);
	t->name = list->names[list->count++];
	return t;
}

static enum status count_one(void *context, const struct weight_info *info, float **slot, struct err *err)
{
	struct list *list = context;

	(void)info;
	(void)err;
	list->room += is_block_matrix(list, *slot) ? 2 : 1;
	return STATUS_OK;
}

/* Adds a matrix in 8 bits with its scales, whose memory the list frees; either may be NULL. */
static void add_codes(struct list *list, const char *name, size_t rows, size_t columns, int8_t *codes, float *scale)
{
	struct named_floats *t = add(list, name, "");

	t->dims = 2;
	t->shape[0] = rows;
	t->shape[1] = columns;
	t->codes = codes;
	t = add(list, name, ".scale");
	t->dims = 1;
	t->shape[0] = rows;
	t->data = scale;
	t->whole = true;
}

static enum status add_one(void *context, const struct weight_info *info, float **slot, struct err *err)
{
	struct list *list = context;

	if (!is_block_matrix(list, *slot)) {
		struct named_floats *t = add(list, info->name, "");
		t->dims = info->dims;
		memcpy(t->shape, info->shape, sizeof info->shape);
		t->data = *slot;
		return STATUS_OK;
	}
	int8_t *codes = mem_array(info->count, 1);
	float *scale = mem_floats(info->shape[0]);
	add_codes(list, info->name, info->shape[0], info->shape[1], codes, scale);
	if (!codes || !scale)
		return err_memory(err, "8-bit weights");
	int8_weights(*slot, info->shape[0], info->shape[1], INT8_PAIRS, codes, scale);
	return STATUS_OK;
}

static enum status add_decoder(struct list *list, const struct config *config, struct err *err)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < decoder_int8_count(config) && status == STATUS_OK; i++) {
		struct decoder_matrix matrix = decoder_int8_matrix(config, list->weights, i);
		size_t rows = matrix.map.out, columns = matrix.map.in;
		int8_t *codes = mem_array(mem_product(rows, columns), 1);
		float *scale = mem_floats(rows);
		add_codes(list, matrix.name, rows, columns, codes, scale);
		status = codes && scale ? decoder_int8_codes(config, list->weights, &matrix, codes, scale, err) :
					  err_memory(err, "8-bit weights");
	}
	return status;
}

static void list_release(struct list *list)
{
	for (size_t i = 0; list->tensors && i < list->count; i++) {
		free((void *)list->tensors[i].codes);
		if (list->tensors[i].whole)
			free((void *)list->tensors[i].data);
	}
	free(list->tensors);
	free(list->names);
}

static enum status save(const struct list *list, enum dtype store, const struct quantize_loss *loss, const char *path, struct err *err)
{
	char mean[32], worst[32], images[32];
	struct metadata metadata[] = {{INT8_COSINE_MEAN, mean}, {QUANTIZE_WORST, worst}, {QUANTIZE_IMAGES, images}};

	snprintf(mean, sizeof mean, "%.5f", quantize_mean(loss));
	snprintf(worst, sizeof worst, "%.5f", loss->worst);
	snprintf(images, sizeof images, "%zu", loss->images);
	return checkpoint_write(path, list->tensors, list->count, store, metadata, loss->images ? 3 : 0, err);
}

enum status quantize_write(const struct coca *model, const char *path, const struct quantize_loss *loss, bool keep, struct err *err)
{
	const struct config *config = coca_config(model);
	/* The visitor's slots are not written to. */
	struct weights *weights = (struct weights *)(uintptr_t)coca_weights(model);
	struct list list = {.weights = weights, .layers = keep ? 0 : config->vision.layers, .room = 2 * decoder_int8_count(config)};
	enum status status;

	if (coca_holds_int8(model))
		return err_set(err, STATUS_UNSUPPORTED, "'%s' has 8-bit weights already; hint: start from the model it was made from",
			       coca_weights_path(model));
	status = weights_visit(weights, config, count_one, &list, err);
	list.tensors = mem_array(list.room, sizeof *list.tensors);
	list.names = mem_array(list.room, sizeof *list.names);
	if (status == STATUS_OK && (!list.tensors || !list.names))
		status = err_memory(err, "the list of tensors");
	if (status == STATUS_OK)
		status = weights_visit(weights, config, add_one, &list, err);
	if (status == STATUS_OK && !keep)
		status = add_decoder(&list, config, err);
	if (status == STATUS_OK)
		status = save(&list, coca_in_halves(model) ? DTYPE_F16 : DTYPE_F32, loss, path, err);
	list_release(&list);
	return status;
}
