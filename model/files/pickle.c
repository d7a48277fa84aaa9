/* pickle.c: see pickle.h. */
#include "model/files/pickle.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum {
	PICKLE_MOST = 32 << 20,   /* bytes; a training checkpoint of ViT-L/14 has some 400,000 */
	MEMORY_MOST = 256 << 20,  /* bytes of values */
	STACK_MOST = 1 << 20,
	MEMO_MOST = 1 << 22,
	CHUNK = 1 << 16,
	PROTOCOL = 2,
};

/* ---- globals ---- */

static const struct {
	const char *module, *name;
	enum global_kind kind;
} globals[] = {
	{"collections", "OrderedDict", GLOBAL_ORDERED_DICT},
	{"torch._utils", "_rebuild_tensor_v2", GLOBAL_TENSOR},
	{"torch._utils", "_rebuild_parameter", GLOBAL_PARAMETER},
	{"torch", "Size", GLOBAL_INERT},
	/* A learning rate that came out of numpy, as OpenCLIP's schedules leave it in the optimizer. */
	{"numpy.core.multiarray", "scalar", GLOBAL_INERT},
	{"numpy._core.multiarray", "scalar", GLOBAL_INERT},
	{"numpy", "dtype", GLOBAL_INERT},
	{"_codecs", "encode", GLOBAL_INERT},
};

static const struct element storages[] = {
	{"FloatStorage", DTYPE_F32, 4}, {"HalfStorage", DTYPE_F16, 2}, {"BFloat16Storage", DTYPE_BF16, 2},
	{"DoubleStorage", DTYPE_F64, 8}, {"LongStorage", DTYPE_I64, 8}, {"IntStorage", DTYPE_I32, 4}, {"ByteStorage", DTYPE_U8, 1},
	{"CharStorage", DTYPE_OTHER, 1}, {"BoolStorage", DTYPE_OTHER, 1}, {"ShortStorage", DTYPE_OTHER, 2},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static bool same(const char *text, size_t size, const char *word)
{
	return strlen(word) == size && memcmp(text, word, size) == 0;
}

/* ---- the machine ---- */

struct pickle_chunk {
	struct pickle_chunk *next;
	size_t used, size;
	_Alignas(16) uint8_t bytes[];
};

struct machine {
	struct pickle *pickle;
	const uint8_t *at, *end;
	struct value **stack, **memo;
	size_t depth, stack_capacity, memo_count;
	struct err *err;
	enum status status; /* of the first failure; no opcode is read after it */
};

static struct value mark = {.kind = VALUE_MARK};
static struct value opaque = {.kind = VALUE_OPAQUE};

static void fail(struct machine *m, const char *what)
{
	if (m->status == STATUS_OK)
		m->status = err_set(m->err, STATUS_FORMAT, "its pickle %s", what);
}

static void fail_memory(struct machine *m)
{
	if (m->status == STATUS_OK)
		m->status = err_set(m->err, STATUS_MEMORY, "its pickle needs more memory than any weights do");
}

/* Memory until pickle_close. */
static void *claim(struct machine *m, size_t size)
{
	struct pickle_chunk *chunk = m->pickle->chunks;

	size = (size + 15) / 16 * 16;
	if (!chunk || size > chunk->size - chunk->used) {
		size_t whole = size > CHUNK ? size : CHUNK;
		if (whole > MEMORY_MOST - m->pickle->used || !(chunk = malloc(sizeof *chunk + whole))) {
			fail_memory(m);
			return NULL;
		}
		*chunk = (struct pickle_chunk){m->pickle->chunks, 0, whole};
		m->pickle->chunks = chunk;
		m->pickle->used += whole;
	}
	void *memory = chunk->bytes + chunk->used;
	chunk->used += size;
	return memory;
}

static void push(struct machine *m, struct value *value)
{
	if (!value || m->status != STATUS_OK)
		return;
	if (m->depth == m->stack_capacity) {
		size_t capacity = m->stack_capacity ? 2 * m->stack_capacity : 1024;
		struct value **grown = capacity <= STACK_MOST ? mem_resize(m->stack, capacity, sizeof *grown) : NULL;
		if (!grown) {
			fail_memory(m);
			return;
		}
		m->stack = grown;
		m->stack_capacity = capacity;
	}
	m->stack[m->depth++] = value;
}

/* NULL after a failure. A mark is no value. */
static struct value *top(struct machine *m)
{
	if (m->status == STATUS_OK && m->depth && m->stack[m->depth - 1] != &mark)
		return m->stack[m->depth - 1];
	fail(m, "takes from an empty stack");
	return NULL;
}

static struct value *pop(struct machine *m)
{
	struct value *value = top(m);
	if (value)
		m->depth--;
	return value;
}

static struct value *new_value(struct machine *m, enum value_kind kind)
{
	struct value *value = claim(m, sizeof *value);
	if (value)
		*value = (struct value){.kind = kind};
	return value;
}

static void push_integer(struct machine *m, int64_t integer)
{
	struct value *value = new_value(m, VALUE_INTEGER);
	if (value)
		value->integer = integer;
	push(m, value);
}

static void append(struct machine *m, struct value *to, struct value *const *items, size_t n)
{
	if (n > to->capacity - to->count) {
		size_t capacity = 2 * to->capacity > to->count + n ? 2 * to->capacity : to->count + n;
		struct value **grown = claim(m, capacity * sizeof *grown);
		if (!grown)
			return;
		if (to->count)
			memcpy(grown, to->items, to->count * sizeof *grown);
		to->items = grown;
		to->capacity = capacity;
	}
	if (n)
		memcpy(to->items + to->count, items, n * sizeof *items);
	to->count += n;
}

/* The values above the topmost mark, which stay readable until the next push; mark and values leave the stack. */
static struct value **pop_to_mark(struct machine *m, size_t *n)
{
	size_t at = m->depth;

	while (at && m->stack[at - 1] != &mark)
		at--;
	if (at == 0) {
		fail(m, "lacks a mark");
		return NULL;
	}
	*n = m->depth - at;
	m->depth = at - 1;
	return m->stack + at;
}

/* n bytes of the program; NULL after a failure. */
static const uint8_t *take(struct machine *m, size_t n)
{
	if (n > (size_t)(m->end - m->at)) {
		fail(m, "ends early");
		return NULL;
	}
	m->at += n;
	return m->at - n;
}

static uint32_t take_number(struct machine *m, int bytes)
{
	const uint8_t *p = take(m, (size_t)bytes);
	uint32_t value = 0;

	for (int i = 0; p && i < bytes; i++)
		value |= (uint32_t)p[i] << (8 * i);
	return value;
}

static const char *take_line(struct machine *m, size_t *size)
{
	const uint8_t *feed = memchr(m->at, '\n', (size_t)(m->end - m->at));

	if (!feed) {
		fail(m, "ends early");
		return NULL;
	}
	const char *line = (const char *)m->at;
	*size = (size_t)(feed - m->at);
	m->at = feed + 1;
	return line;
}

/* ---- opcodes ---- */

static void op_text(struct machine *m)
{
	size_t size = take_number(m, 4);
	const uint8_t *text = take(m, size);
	struct value *value = text ? new_value(m, VALUE_TEXT) : NULL;

	if (!value)
		return;
	value->text = (const char *)text;
	value->count = size;
	push(m, value);
}

/* LONG1: two's complement, little endian. Those of a checkpoint fit into 64 bits or matter to nobody. */
static void op_long(struct machine *m)
{
	size_t size = take_number(m, 1);
	const uint8_t *p = take(m, size);
	uint64_t value = 0;

	if (!p)
		return;
	if (size > sizeof value) {
		push(m, &opaque);
		return;
	}
	for (size_t i = 0; i < size; i++)
		value |= (uint64_t)p[i] << (8 * i);
	if (size && size < sizeof value && p[size - 1] & 0x80)
		value |= UINT64_MAX << (8 * size);
	push_integer(m, (int64_t)value);
}

static void op_global(struct machine *m)
{
	size_t module_size = 0, name_size = 0;
	const char *module = take_line(m, &module_size);
	const char *name = module ? take_line(m, &name_size) : NULL;
	struct value *value = name ? new_value(m, VALUE_GLOBAL) : NULL;

	if (!value)
		return;
	for (size_t i = 0; i < COUNT(globals); i++) {
		if (same(module, module_size, globals[i].module) && same(name, name_size, globals[i].name)) {
			value->global = globals[i].kind;
			push(m, value);
			return;
		}
	}
	for (size_t i = 0; i < COUNT(storages) && same(module, module_size, "torch"); i++) {
		if (same(name, name_size, storages[i].name)) {
			value->global = GLOBAL_STORAGE;
			value->element = &storages[i];
			push(m, value);
			return;
		}
	}
	m->status = err_set(m->err, STATUS_UNSUPPORTED, "its pickle asks for '%.*s.%.*s', which weights have no need of and which "
			    "is not run; hint: save the state dict alone, or as safetensors",
			    (int)(module_size < 100 ? module_size : 100), module, (int)(name_size < 100 ? name_size : 100), name);
}

static void op_tuple(struct machine *m, struct value *const *items, size_t n)
{
	struct value *tuple = new_value(m, VALUE_TUPLE);

	if (!tuple)
		return;
	append(m, tuple, items, n);
	push(m, tuple);
}

/* TUPLE1, TUPLE2, TUPLE3 */
static void op_short_tuple(struct machine *m, size_t n)
{
	struct value *items[3];

	for (size_t i = n; i > 0; i--)
		if (!(items[i - 1] = pop(m)))
			return;
	op_tuple(m, items, n);
}

/* What lies above the mark goes into the list or dictionary below it. */
static void op_collect(struct machine *m, enum value_kind kind)
{
	size_t n = 0;
	struct value **items = pop_to_mark(m, &n);
	struct value *to = items ? top(m) : NULL;

	if (!to)
		return;
	if (to->kind != kind || (kind == VALUE_DICT && n % 2 != 0))
		fail(m, "fills something that is no container");
	else
		append(m, to, items, n);
}

static void op_collect_one(struct machine *m, enum value_kind kind)
{
	struct value *items[2];
	size_t n = kind == VALUE_DICT ? 2 : 1;

	for (size_t i = n; i > 0; i--)
		if (!(items[i - 1] = pop(m)))
			return;
	struct value *to = top(m);
	if (!to)
		return;
	if (to->kind != kind)
		fail(m, "fills something that is no container");
	else
		append(m, to, items, n);
}

static void op_memoize(struct machine *m, size_t index)
{
	struct value *value = top(m);

	if (!value)
		return;
	if (index >= m->memo_count) {
		size_t count = 2 * index > 1024 ? 2 * index : 1024;
		struct value **grown = index < MEMO_MOST ? mem_resize(m->memo, count, sizeof *grown) : NULL;
		if (!grown) {
			fail_memory(m);
			return;
		}
		memset(grown + m->memo_count, 0, (count - m->memo_count) * sizeof *grown);
		m->memo = grown;
		m->memo_count = count;
	}
	m->memo[index] = value;
}

static void op_recall(struct machine *m, size_t index)
{
	if (index >= m->memo_count || !m->memo[index])
		fail(m, "recalls what it has not stored");
	else
		push(m, m->memo[index]);
}

/* A call, of which only the arguments are noted. */
static void op_reduce(struct machine *m)
{
	struct value *args = pop(m), *callee = args ? pop(m) : NULL, *result = NULL;

	if (!callee)
		return;
	if (callee->kind != VALUE_GLOBAL || args->kind != VALUE_TUPLE || callee->global == GLOBAL_STORAGE) {
		fail(m, "calls something that is no function");
		return;
	}
	if (callee->global == GLOBAL_INERT) {
		result = &opaque;
	} else if (callee->global == GLOBAL_ORDERED_DICT && args->count == 0) {
		result = new_value(m, VALUE_DICT);
	} else if (callee->global == GLOBAL_PARAMETER && args->count && args->items[0]->kind == VALUE_TENSOR) {
		result = args->items[0];
	} else if (callee->global == GLOBAL_TENSOR && (result = new_value(m, VALUE_TENSOR))) {
		result->items = args->items;
		result->count = args->count;
	}
	if (!result)
		fail(m, "calls a function with the wrong arguments");
	push(m, result);
}

/* Attributes, such as the _metadata of a state dict, are dropped. */
static void op_build(struct machine *m)
{
	struct value *attributes = pop(m), *object = attributes ? top(m) : NULL;

	if (object && object->kind != VALUE_DICT && object->kind != VALUE_OPAQUE && object->kind != VALUE_TENSOR)
		fail(m, "gives attributes to something that has none");
}

static void op_storage(struct machine *m)
{
	struct value *id = pop(m), *storage = id ? new_value(m, VALUE_STORAGE) : NULL;

	if (!storage)
		return;
	if (id->kind != VALUE_TUPLE) {
		fail(m, "has a persistent id that is no storage");
		return;
	}
	storage->items = id->items;
	storage->count = id->count;
	push(m, storage);
}

static void op_protocol(struct machine *m)
{
	unsigned protocol = take_number(m, 1);

	if (m->status == STATUS_OK && protocol != PROTOCOL)
		m->status = err_set(m->err, STATUS_UNSUPPORTED, "its pickle is of protocol %u, not %d; hint: save it with torch.save's default",
				    protocol, PROTOCOL);
}

static void op_tuple_to_mark(struct machine *m)
{
	size_t n = 0;
	struct value **items = pop_to_mark(m, &n);

	if (items)
		op_tuple(m, items, n);
}

static void run_opcode(struct machine *m, uint8_t opcode)
{
	switch (opcode) {
	case 0x80: op_protocol(m); break;
	case '(': push(m, &mark); break;
	case 'N': case 0x88: case 0x89: push(m, &opaque); break; /* None, True, False */
	case 'G': take(m, 8); push(m, &opaque); break;
	case 'K': push_integer(m, take_number(m, 1)); break;
	case 'M': push_integer(m, take_number(m, 2)); break;
	case 'J': push_integer(m, (int32_t)take_number(m, 4)); break;
	case 0x8a: op_long(m); break;
	case 'X': op_text(m); break;
	case ')': push(m, new_value(m, VALUE_TUPLE)); break;
	case ']': push(m, new_value(m, VALUE_LIST)); break;
	case '}': push(m, new_value(m, VALUE_DICT)); break;
	case 't': op_tuple_to_mark(m); break;
	case 0x85: op_short_tuple(m, 1); break;
	case 0x86: op_short_tuple(m, 2); break;
	case 0x87: op_short_tuple(m, 3); break;
	case 'a': op_collect_one(m, VALUE_LIST); break;
	case 'e': op_collect(m, VALUE_LIST); break;
	case 's': op_collect_one(m, VALUE_DICT); break;
	case 'u': op_collect(m, VALUE_DICT); break;
	case 'q': op_memoize(m, take_number(m, 1)); break;
	case 'r': op_memoize(m, take_number(m, 4)); break;
	case 'h': op_recall(m, take_number(m, 1)); break;
	case 'j': op_recall(m, take_number(m, 4)); break;
	case 'c': op_global(m); break;
	case 'R': op_reduce(m); break;
	case 'b': op_build(m); break;
	case 'Q': op_storage(m); break;
	default:
		m->status = err_set(m->err, STATUS_UNSUPPORTED, "its pickle has the opcode 0x%02x, which weights have no need of", opcode);
	}
}

enum status pickle_open(const uint8_t *bytes, size_t size, struct pickle *pickle, struct err *err)
{
	struct machine m = {.pickle = pickle, .at = bytes, .end = bytes + size, .err = err};

	*pickle = (struct pickle){0};
	if (size > PICKLE_MOST)
		return err_set(err, STATUS_UNSUPPORTED, "its pickle has %zu bytes, more than %d", size, PICKLE_MOST);
	while (m.status == STATUS_OK && !pickle->root) {
		const uint8_t *opcode = take(&m, 1);
		if (opcode && *opcode == '.')
			pickle->root = pop(&m);
		else if (opcode)
			run_opcode(&m, *opcode);
	}
	free(m.stack);
	free(m.memo);
	if (m.status != STATUS_OK)
		pickle_close(pickle);
	return m.status;
}

void pickle_close(struct pickle *pickle)
{
	while (pickle->chunks) {
		struct pickle_chunk *next = pickle->chunks->next;
		free(pickle->chunks);
		pickle->chunks = next;
	}
	*pickle = (struct pickle){0};
}
