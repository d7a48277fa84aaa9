/* weights_load.c: see weights_load.h. Two walks over the table: the first sees that everything is there and has its shape, the second gives
 * every slot its place. */
#include "model/files/weights_load.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { ALIGNED_FLOATS = 16 }; /* every converted tensor starts on a cache line */

struct conversion {
	const struct tensor *from, *scale; /* scale: NULL but for 8 bits */
	float *to;
};

/* Converting a large model takes seconds, and its memory twice the file's size: a part waits until it is used. */
struct weights_storage {
	float *block;                    /* no page of it is touched before the conversion */
	struct conversion *conversions;  /* the checkpoint's tensors, part after part as they are visited */
	size_t count;
	struct part {
		pthread_mutex_t lock;    /* over made */
		size_t first, count;     /* conversions */
		bool made;
	} parts[WEIGHTS_PARTS];
};

struct loading {
	const struct checkpoint *checkpoint;
	bool *used;       /* [tensors of the checkpoint] */
	size_t floats;    /* first walk: that need a place; second walk: that have one */
	size_t tensors;   /* first walk: that they are of */
	struct weights_storage *storage; /* second walk */
};

static bool in_place(const struct tensor *t)
{
	return t->dtype == DTYPE_F32 && (uintptr_t)t->data % _Alignof(float) == 0;
}

static size_t padded(size_t count)
{
	return (count + ALIGNED_FLOATS - 1) / ALIGNED_FLOATS * ALIGNED_FLOATS;
}

static const char *shape_text(int dims, const size_t *shape, char text[128])
{
	size_t n = 0;

	text[n++] = '[';
	for (int i = 0; i < dims && n < 100; i++)
		n += (size_t)snprintf(text + n, 128 - n, "%s%zu", i ? "," : "", shape[i]);
	snprintf(text + n, 128 - n, "]");
	return text;
}

static enum status misshaped(const struct loading *l, const struct weight_info *info, const struct tensor *t, struct err *err)
{
	char has[128], needs[128];
	const char *hint = "it belongs to another configuration";

	if (strcmp(info->name, "visual.positional_embedding") == 0 && t->dims == 2 && t->shape[1] == info->shape[1])
		hint = "it was trained with another image_size or patch_size";
	if (strcmp(info->name, "text.positional_embedding") == 0 && t->dims == 2 && t->shape[1] == info->shape[1])
		hint = "it was trained with another context_length";
	return err_set(err, STATUS_FORMAT, "cannot use the weights '%s': '%s' has the shape %s, the configuration needs %s; hint: %s",
		       checkpoint_path(l->checkpoint), info->name, shape_text(t->dims, t->shape, has),
		       shape_text(info->dims, info->shape, needs), hint);
}

/* A scalar may also come as one element in a row: OpenCLIP's nonscalar_logit_scale. */
static bool fits(const struct weight_info *info, const struct tensor *t)
{
	if (info->dims == 0)
		return t->count == 1 && t->dims <= 1;
	return t->dims == info->dims && memcmp(t->shape, info->shape, (size_t)info->dims * sizeof *t->shape) == 0;
}

/* Of a matrix in 8 bits, NAME.scale[rows]; NULL if it is not there as it should be. */
static const struct tensor *scale_of(const struct checkpoint *checkpoint, const struct tensor *t)
{
	char name[128];
	const struct tensor *scale;

	snprintf(name, sizeof name, "%s.scale", t->name);
	scale = checkpoint_find(checkpoint, name);
	return t->dims == 2 && scale && scale->dtype == DTYPE_F32 && scale->dims == 1 && scale->shape[0] == t->shape[0] ? scale : NULL;
}

/* to[rows,columns] = codes times the row's scale */
static void load_int8(const struct tensor *t, const struct tensor *scale, float *to)
{
	const int8_t *codes = t->data;

#pragma omp parallel for schedule(static) if (t->count >= 1 << 16)
	for (size_t r = 0; r < t->shape[0]; r++) {
		float step;
		memcpy(&step, (const char *)scale->data + r * sizeof step, sizeof step);
		for (size_t i = 0; i < t->shape[1]; i++)
			to[r * t->shape[1] + i] = step * codes[r * t->shape[1] + i];
	}
}

/* First walk: everything is there and has its shape. */
static enum status check_one(void *context, const struct weight_info *info, float **slot, struct err *err)
{
	struct loading *l = context;
	const struct tensor *t = checkpoint_find(l->checkpoint, info->name);

	(void)slot;
	if (!t)
		return err_set(err, STATUS_FORMAT, "cannot use the weights '%s': it has no tensor '%s'; hint: it belongs to another configuration",
			       checkpoint_path(l->checkpoint), info->name);
	if (!fits(info, t))
		return misshaped(l, info, t, err);
	l->used[t - checkpoint_at(l->checkpoint, 0)] = true;
	if (t->dtype == DTYPE_I8) {
		const struct tensor *scale = scale_of(l->checkpoint, t);
		if (!scale)
			return err_set(err, STATUS_FORMAT, "cannot use the weights '%s': '%s' is in 8 bits, but has no '%s.scale' of a number a row; "
				       "hint: write it again with coca model quantize", checkpoint_path(l->checkpoint), info->name, info->name);
		l->used[scale - checkpoint_at(l->checkpoint, 0)] = true;
	}
	if (!in_place(t)) {
		l->floats += padded(t->count);
		l->tensors++;
	}
	return STATUS_OK;
}

static enum weights_part part_of(const char *name)
{
	if (strncmp(name, "visual.", strlen("visual.")) == 0)
		return WEIGHTS_IMAGE;
	return strncmp(name, "text_decoder.", strlen("text_decoder.")) == 0 ? WEIGHTS_DECODER : WEIGHTS_TEXT;
}

/* Second walk. The cast drops const: gradients and training use the same slots on memory of their own. */
static enum status place_one(void *context, const struct weight_info *info, float **slot, struct err *err)
{
	struct loading *l = context;
	struct weights_storage *storage = l->storage;
	const struct tensor *t = checkpoint_find(l->checkpoint, info->name);
	const struct tensor *scale = t->dtype == DTYPE_I8 ? scale_of(l->checkpoint, t) : NULL;

	if (in_place(t)) {
		*slot = (float *)(uintptr_t)t->data;
		return STATUS_OK;
	}
	*slot = storage->block + l->floats;
	l->floats += padded(t->count);
	if (info->dims == 0)
		return tensor_floats(t, *slot, err);
	struct part *part = &storage->parts[part_of(info->name)];
	if (!part->count++)
		part->first = storage->count;
	storage->conversions[storage->count++] = (struct conversion){t, scale, *slot};
	return scale ? STATUS_OK : tensor_check(t, err);
}

/* What is no parameter, but may stand there; int8. is decoder_int8.h's. */
static bool is_buffer(const char *name)
{
	const char *dot = strrchr(name, '.');
	const char *last = dot ? dot + 1 : name;
	return strncmp(name, "int8.", strlen("int8.")) == 0 || strcmp(last, "attn_mask") == 0 || strcmp(last, "position_ids") == 0;
}

static enum status check_unknown(const struct loading *l, struct err *err)
{
	for (size_t i = 0; i < checkpoint_count(l->checkpoint); i++) {
		const struct tensor *t = checkpoint_at(l->checkpoint, i);
		if (!l->used[i] && !is_buffer(t->name))
			return err_set(err, STATUS_FORMAT, "cannot use the weights '%s': the configuration has no tensor '%s'; "
				       "hint: it belongs to another configuration", checkpoint_path(l->checkpoint), t->name);
	}
	return STATUS_OK;
}

static enum status storage_new(size_t floats, size_t tensors, struct weights_storage **storage, struct err *err)
{
	struct weights_storage *s = mem_array(1, sizeof *s);

	*storage = s;
	if (!s)
		return err_memory(err, "the weights");
	for (size_t i = 0; i < WEIGHTS_PARTS; i++)
		pthread_mutex_init(&s->parts[i].lock, NULL);
	s->block = mem_floats(floats);
	s->conversions = mem_array(tensors, sizeof *s->conversions);
	return s->block && s->conversions ? STATUS_OK : err_memory(err, "the weights");
}

void weights_storage_free(struct weights_storage *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < WEIGHTS_PARTS; i++)
		pthread_mutex_destroy(&s->parts[i].lock);
	free(s->block);
	free(s->conversions);
	free(s);
}

enum status weights_load(struct weights *weights, const struct config *config, const struct checkpoint *checkpoint,
			 struct weights_storage **storage, struct err *err)
{
	struct loading l = {.checkpoint = checkpoint, .used = mem_array(checkpoint_count(checkpoint), sizeof(bool))};
	enum status status;

	*storage = NULL;
	if (!l.used)
		return err_memory(err, "the list of tensors");
	status = weights_visit(weights, config, check_one, &l, err);
	if (status == STATUS_OK)
		status = check_unknown(&l, err);
	if (status == STATUS_OK)
		status = storage_new(l.floats, l.tensors, &l.storage, err);
	if (status != STATUS_OK)
		goto out;
	l.floats = 0;
	status = weights_visit(weights, config, place_one, &l, err);
	if (status != STATUS_OK) {
		err_prefix(err, "cannot use the weights '%s'", checkpoint_path(checkpoint));
		goto out;
	}
	weights_link(weights, config);
	*storage = l.storage;
	l.storage = NULL;
out:
	weights_storage_free(l.storage);
	free(l.used);
	return status;
}

void weights_make(struct weights_storage *s, enum weights_part which)
{
	struct part *part = &s->parts[which];
	struct err err;

	pthread_mutex_lock(&part->lock);
	for (size_t i = part->first; !part->made && i < part->first + part->count; i++) {
		const struct conversion *c = &s->conversions[i];
		if (c->scale)
			load_int8(c->from, c->scale, c->to);
		else
			tensor_floats(c->from, c->to, &err); /* of a type that was checked */
	}
	part->made = true;
	pthread_mutex_unlock(&part->lock);
}

bool weights_made(struct weights_storage *s, enum weights_part which)
{
	struct part *part = &s->parts[which];

	pthread_mutex_lock(&part->lock);
	bool made = part->made || !part->count;
	pthread_mutex_unlock(&part->lock);
	return made;
}
