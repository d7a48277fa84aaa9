/* checkpoint_formats.h: what checkpoint.c shares with the readers of the two formats. For those alone. */
#ifndef MODEL_FILES_CHECKPOINT_FORMATS_H
#define MODEL_FILES_CHECKPOINT_FORMATS_H

#include <stdbool.h>

#include "model/files/tensor.h"
#include "schema/base/file.h"
#include "schema/base/status.h"

enum { TENSOR_DIMS_MOST = 8, TENSORS_MOST = 1 << 20 };

struct checkpoint {
	char *path;
	struct file_map map;
	bool borrowed;          /* the map is the caller's memory */
	struct metadata *metadata; /* strings are owned */
	size_t metadata_count;
	struct tensor *tensors; /* names are owned */
	size_t count, capacity;
	const struct tensor **by_name;
};

/* How a format calls a type of elements. dtype is DTYPE_OTHER where the rest of the program has no use for it. */
struct element {
	const char *name;
	enum dtype dtype;
	size_t size;
};

/* Appends a tensor; tensor->name need not be terminated and is copied. Sets count and checks that it, with element, makes
 * tensor->size without overflow. */
enum status checkpoint_add(struct checkpoint *checkpoint, const struct tensor *tensor, size_t name_size,
			   const struct element *element, struct err *err);

/* Fill a checkpoint whose map is open. Messages name the tensor, not the file. */
enum status safetensors_read(struct checkpoint *checkpoint, struct err *err);
enum status torch_read(struct checkpoint *checkpoint, struct err *err);

#endif
