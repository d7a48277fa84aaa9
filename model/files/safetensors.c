/* safetensors.c: reads the safetensors format.
 *
 *     8 bytes   N, little endian
 *     N bytes   JSON: {"NAME": {"dtype": "F32", "shape": [2,3], "data_offsets": [begin,end]}, ..., "__metadata__": {...}}
 *     the rest  data; offsets count from its first byte
 *
 * Tensors neither overlap nor leave holes, and the last ends where the file ends: all of it is checked before a tensor is
 * listed.
 */
#include <cJSON.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "model/files/checkpoint_formats.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* 8 MiB name some 60,000 tensors; the parsed form takes 30 times as much. */
enum { HEADER_MOST = 8 << 20 };
static const double LARGEST_EXACT = 9007199254740992.0; /* 2^53: JSON numbers are doubles */

static const struct element elements[] = {
	{"F32", DTYPE_F32, 4}, {"F16", DTYPE_F16, 2}, {"BF16", DTYPE_BF16, 2}, {"F64", DTYPE_F64, 8}, {"I64", DTYPE_I64, 8},
	{"I32", DTYPE_I32, 4}, {"U8", DTYPE_U8, 1}, {"I8", DTYPE_I8, 1}, {"BOOL", DTYPE_OTHER, 1}, {"I16", DTYPE_OTHER, 2},
	{"U16", DTYPE_OTHER, 2}, {"U32", DTYPE_OTHER, 4}, {"U64", DTYPE_OTHER, 8}, {"F8_E4M3", DTYPE_OTHER, 1},
	{"F8_E5M2", DTYPE_OTHER, 1}, {"C64", DTYPE_OTHER, 8},
};

static bool whole(const cJSON *item, size_t *value)
{
	if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= LARGEST_EXACT) ||
	    item->valuedouble != floor(item->valuedouble))
		return false;
	*value = (size_t)item->valuedouble;
	return true;
}

static bool read_shape(const cJSON *shape, struct tensor *t)
{
	const cJSON *item;

	if (!cJSON_IsArray(shape))
		return false;
	cJSON_ArrayForEach(item, shape) {
		if (t->dims == TENSOR_DIMS_MOST || !whole(item, &t->shape[t->dims]))
			return false;
		t->dims++;
	}
	return true;
}

static enum status read_tensor(struct checkpoint *c, const cJSON *item, const uint8_t *data, size_t size, struct err *err)
{
	const char *name = item->string;
	const cJSON *dtype = cJSON_GetObjectItemCaseSensitive(item, "dtype");
	const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(item, "data_offsets");
	const struct element *element = elements, *last = elements + sizeof elements / sizeof *elements;
	struct tensor t = {.name = name};
	size_t begin, end;

	if (!cJSON_IsString(dtype))
		return err_set(err, STATUS_FORMAT, "'%s' has no dtype", name);
	while (element < last && strcmp(element->name, dtype->valuestring) != 0)
		element++;
	if (element == last)
		return err_set(err, STATUS_UNSUPPORTED, "'%s' has the unknown dtype '%s'", name, dtype->valuestring);
	if (!read_shape(cJSON_GetObjectItemCaseSensitive(item, "shape"), &t))
		return err_set(err, STATUS_FORMAT, "'%s' has no shape of at most %d whole numbers", name, TENSOR_DIMS_MOST);
	if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 || !whole(cJSON_GetArrayItem(offsets, 0), &begin) ||
	    !whole(cJSON_GetArrayItem(offsets, 1), &end) || begin > end)
		return err_set(err, STATUS_FORMAT, "'%s' has no two data_offsets", name);
	if (end > size)
		return err_set(err, STATUS_FORMAT, "'%s' ends at byte %zu of the data, which have %zu; hint: download it again", name, end, size);
	t.data = data + begin;
	t.size = end - begin;
	return checkpoint_add(c, &t, strlen(name), element, err);
}

static int compare_data(const void *a, const void *b)
{
	const struct tensor *s = *(const struct tensor *const *)a, *t = *(const struct tensor *const *)b;

	if (s->data != t->data)
		return s->data < t->data ? -1 : 1;
	return (s->size > t->size) - (s->size < t->size);
}

/* Each tensor begins where its predecessor ends, the first at the data's begin, and the last ends at their end. */
static enum status check_cover(const struct checkpoint *c, const uint8_t *data, size_t size, struct err *err)
{
	const struct tensor **order = mem_array(c->count, sizeof *order);
	const uint8_t *at = data;
	enum status status = STATUS_OK;

	if (!order)
		return err_memory(err, "the list of tensors");
	for (size_t i = 0; i < c->count; i++)
		order[i] = &c->tensors[i];
	qsort(order, c->count, sizeof *order, compare_data);
	for (size_t i = 0; i < c->count && status == STATUS_OK; i++) {
		const uint8_t *begin = order[i]->data;
		if (begin < at)
			status = err_set(err, STATUS_FORMAT, "'%s' overlaps another tensor", order[i]->name);
		else if (begin > at)
			status = err_set(err, STATUS_FORMAT, "a hole of %zu bytes lies before '%s'", (size_t)(begin - at), order[i]->name);
		at = begin + order[i]->size;
	}
	if (status == STATUS_OK && at != data + size)
		status = err_set(err, STATUS_FORMAT, "%zu bytes at the end belong to no tensor", (size_t)(data + size - at));
	free(order);
	return status;
}

/* Texts by name; what is no text is passed over. */
static enum status read_metadata(struct checkpoint *c, const cJSON *object, struct err *err)
{
	size_t n = (size_t)cJSON_GetArraySize(object);
	const cJSON *item;

	if (c->metadata)
		return err_set(err, STATUS_FORMAT, "it has __metadata__ twice");
	c->metadata = mem_array(n, sizeof *c->metadata);
	if (!c->metadata)
		return err_memory(err, "the metadata");
	cJSON_ArrayForEach(item, object) {
		if (!item->string || !cJSON_IsString(item))
			continue;
		struct metadata *m = &c->metadata[c->metadata_count++];
		m->key = mem_copy(item->string, strlen(item->string));
		m->value = mem_copy(item->valuestring, strlen(item->valuestring));
		if (!m->key || !m->value)
			return err_memory(err, "the metadata");
	}
	return STATUS_OK;
}

static enum status read_header(struct checkpoint *c, const cJSON *root, const uint8_t *data, size_t size, struct err *err)
{
	const cJSON *item;

	if (!cJSON_IsObject(root))
		return err_set(err, STATUS_FORMAT, "its header is not a JSON object");
	cJSON_ArrayForEach(item, root) {
		bool is_metadata = strcmp(item->string, "__metadata__") == 0;
		enum status status = is_metadata ? read_metadata(c, item, err) : read_tensor(c, item, data, size, err);
		if (status != STATUS_OK)
			return status;
	}
	return check_cover(c, data, size, err);
}

enum status safetensors_read(struct checkpoint *c, struct err *err)
{
	uint64_t header;
	const char *end = NULL;
	enum status status;

	if (c->map.size < sizeof header + 2)
		return err_set(err, STATUS_FORMAT, "it has %zu bytes, which is no weights file; hint: download it again", c->map.size);
	memcpy(&header, c->map.data, sizeof header);
	const char *json = (const char *)c->map.data + sizeof header;
	if (*json != '{')
		return err_set(err, STATUS_FORMAT, "it is neither safetensors nor a zip file of torch");
	if (header > c->map.size - sizeof header)
		return err_set(err, STATUS_FORMAT, "its header says %llu bytes, the file has %zu; hint: download it again",
			       (unsigned long long)header, c->map.size);
	if (header > HEADER_MOST)
		return err_set(err, STATUS_UNSUPPORTED, "its header has %llu bytes, more than %d", (unsigned long long)header, HEADER_MOST);
	cJSON *root = cJSON_ParseWithLengthOpts(json, (size_t)header, &end, false);
	while (root && end < json + header && *end == ' ')
		end++;
	if (!root || end != json + header)
		status = err_set(err, STATUS_FORMAT, "its header is not JSON from byte %zu on", end ? (size_t)(end - json) : (size_t)0);
	else
		status = read_header(c, root, c->map.data + sizeof header + header, c->map.size - sizeof header - (size_t)header, err);
	cJSON_Delete(root);
	return status;
}
