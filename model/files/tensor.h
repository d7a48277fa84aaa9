/* tensor.h: a tensor of a weights file, as every format has it. */
#ifndef MODEL_FILES_TENSOR_H
#define MODEL_FILES_TENSOR_H

#include <stddef.h>
#include <stdint.h>

enum dtype { DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_F64, DTYPE_I64, DTYPE_I32, DTYPE_U8, DTYPE_I8, DTYPE_OTHER };

struct tensor {
	const char *name;
	enum dtype dtype;
	int dims;
	size_t shape[8];
	size_t count;          /* elements; 1 for a scalar */
	const void *data;      /* contiguous, may be unaligned; valid until checkpoint_close */
	size_t size;           /* bytes */
};

/* A text that stands beside the tensors. */
struct metadata {
	const char *key, *value;
};

#endif
