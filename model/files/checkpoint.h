/* checkpoint.h: the tensors of a weights file: safetensors, or a torch .bin/.pt read without running anything in it.
 *
 *     struct checkpoint *checkpoint;
 *     if (checkpoint_open(path, &checkpoint, err) == STATUS_OK) {
 *         const struct tensor *t = checkpoint_find(checkpoint, "visual.proj");
 *         ...
 *         checkpoint_close(checkpoint);   // tensors point into the mapped file
 *     }
 *
 * The torch reader knows zip containers (stored, zip64 too) and the pickle opcodes that a state dict of tensors needs;
 * every other opcode and every other global is an error. "state_dict" is unwrapped and "module." stripped; tensors of an
 * optimizer are not listed.
 */
#ifndef MODEL_FILES_CHECKPOINT_H
#define MODEL_FILES_CHECKPOINT_H

#include <stdbool.h>
#include <stdio.h>

#include "model/files/tensor.h"
#include "schema/base/status.h"

struct checkpoint;

enum status checkpoint_open(const char *path, struct checkpoint **checkpoint, struct err *err);
/* safetensors in memory, which must outlive the checkpoint. name: for messages. */
enum status checkpoint_parse(const void *bytes, size_t size, const char *name, struct checkpoint **checkpoint, struct err *err);
void checkpoint_close(struct checkpoint *checkpoint); /* takes NULL */

size_t checkpoint_count(const struct checkpoint *checkpoint);
const struct tensor *checkpoint_at(const struct checkpoint *checkpoint, size_t i);
const struct tensor *checkpoint_find(const struct checkpoint *checkpoint, const char *name); /* NULL: not there */
const char *checkpoint_path(const struct checkpoint *checkpoint);
/* A text of a safetensors file's __metadata__; NULL: not there. */
const char *checkpoint_metadata(const struct checkpoint *checkpoint, const char *key);

/* STATUS_UNSUPPORTED if the tensor is of integers or of another type that tensor_floats cannot read. */
enum status tensor_check(const struct tensor *tensor, struct err *err);
/* Copies a floating tensor as F32: what tensor_check accepts does not fail. */
enum status tensor_floats(const struct tensor *tensor, float *to /* [count] */, struct err *err);

/* Writes tensors as safetensors, atomically. Every tensor's dtype is F32 in memory; store is DTYPE_F32 or DTYPE_F16. */
struct named_floats {
	const char *name;
	int dims;
	size_t shape[8];
	const float *data;
	const int8_t *codes; /* if not NULL: stored as I8 instead of data */
	bool whole;          /* stored as F32 whatever the file's type is */
};
/* metadata[m] beside "format": "pt". */
enum status checkpoint_write(const char *path, const struct named_floats *tensors, size_t n, enum dtype store,
			     const struct metadata *metadata, size_t m, struct err *err);
/* The same into a stream. */
enum status checkpoint_print(FILE *stream, const struct named_floats *tensors, size_t n, enum dtype store, const struct metadata *metadata,
			     size_t m, struct err *err);

#endif
