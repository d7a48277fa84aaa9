/* pickle.h: what a pickle of torch.save says, without doing what it asks for.
 *
 * A pickle is a program for a stack machine. This one knows the opcodes that dictionaries, lists, tuples, texts, numbers and
 * tensors are made of (protocol 2), and a handful of globals by name. "Calling" one of them only notes its arguments.
 * Everything else is refused. Time and memory are bounded by the size of the pickle and by limits.
 */
#ifndef MODEL_FILES_PICKLE_H
#define MODEL_FILES_PICKLE_H

#include <stddef.h>
#include <stdint.h>

#include "model/files/checkpoint_formats.h"
#include "schema/base/status.h"

enum value_kind {
	VALUE_MARK,    /* stays inside the machine */
	VALUE_OPAQUE,  /* nothing that a tensor needs: None, truth values, floating point, what an optimizer keeps */
	VALUE_INTEGER,
	VALUE_TEXT,
	VALUE_GLOBAL,
	VALUE_TUPLE,
	VALUE_LIST,
	VALUE_DICT,    /* items: key, value, key, value, ... in order of insertion */
	VALUE_STORAGE, /* items: those of its persistent id: "storage", type, key, device, elements */
	VALUE_TENSOR,  /* items: the arguments of _rebuild_tensor_v2: storage, offset, size, stride, ... */
};

enum global_kind { GLOBAL_ORDERED_DICT, GLOBAL_TENSOR, GLOBAL_PARAMETER, GLOBAL_STORAGE, GLOBAL_INERT };

struct value {
	enum value_kind kind;
	enum global_kind global;               /* VALUE_GLOBAL */
	union {
		int64_t integer;
		const struct element *element; /* GLOBAL_STORAGE: its type */
		const char *text;              /* not terminated; points into the pickle */
		struct value **items;
	};
	size_t count;                          /* bytes of a text, items of the others */
	size_t capacity;
};

struct pickle {
	struct value *root;
	struct pickle_chunk *chunks; /* all memory of the values */
	size_t used;                 /* bytes, of all chunks */
};

/* Values are valid until pickle_close, and as long as bytes are. */
enum status pickle_open(const uint8_t *bytes, size_t size, struct pickle *pickle, struct err *err);
void pickle_close(struct pickle *pickle); /* takes a closed or zeroed one */

#endif
