/* torch.c: reads the files of torch.save, without running what is in them.
 *
 *     NAME/data.pkl     a pickle of the state dict; tensors name their storage, offset, size and stride
 *     NAME/data/KEY     each storage
 *     NAME/byteorder    "little", where it is there
 *
 * A training checkpoint holds the state dict under "state_dict", its names behind "module.", and beside it an optimizer,
 * which is not looked at.
 */
#include <stdbool.h>
#include <string.h>
#include <zlib.h>

#include "model/files/checkpoint_formats.h"
#include "model/files/pickle.h"
#include "model/files/zip.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

struct torch {
	struct checkpoint *checkpoint;
	struct zip zip;
	struct pickle pickle;
	const char *prefix; /* "NAME/", not terminated */
	size_t prefix_size;
};

static bool is_text(const struct value *value, const char *text)
{
	return value->kind == VALUE_TEXT && value->count == strlen(text) && memcmp(value->text, text, value->count) == 0;
}

/* Finds NAME/data.pkl and with it what all members' names begin with. */
static const struct zip_member *find_pickle(struct torch *t)
{
	static const char name[] = "data.pkl";
	size_t size = sizeof name - 1;

	for (size_t i = 0; i < t->zip.count; i++) {
		const struct zip_member *m = &t->zip.members[i];
		if (m->name_size <= size || memcmp(m->name + m->name_size - size, name, size) != 0)
			continue;
		t->prefix = m->name;
		t->prefix_size = m->name_size - size;
		if (memchr(t->prefix, '/', t->prefix_size) == t->prefix + t->prefix_size - 1)
			return m;
	}
	return NULL;
}

static enum status check_members(struct torch *t, const struct zip_member **pickle, struct err *err)
{
	static const char order[] = "byteorder";

	*pickle = find_pickle(t);
	if (!*pickle)
		return err_set(err, STATUS_FORMAT, "it is a zip file, but none of torch.save: it has no data.pkl");
	const struct zip_member *m = zip_find(&t->zip, t->prefix, t->prefix_size, order, sizeof order - 1);
	if (m && (m->size != 6 || memcmp(m->data, "little", 6) != 0))
		return err_set(err, STATUS_UNSUPPORTED, "its byte order is '%.*s', and only 'little' is supported",
			       (int)(m->size < 20 ? m->size : 20), (const char *)m->data);
	m = *pickle;
	if (m->size > UINT32_MAX || crc32(0, m->data, (uInt)m->size) != m->crc)
		return err_set(err, STATUS_FORMAT, "its data.pkl is damaged: the checksum is wrong; hint: download it again");
	return STATUS_OK;
}

/* Whether all items are whole numbers from 0, into sizes. */
static bool read_sizes(const struct value *value, size_t sizes[TENSOR_DIMS_MOST])
{
	if (value->kind != VALUE_TUPLE || value->count > TENSOR_DIMS_MOST)
		return false;
	for (size_t i = 0; i < value->count; i++) {
		if (value->items[i]->kind != VALUE_INTEGER || value->items[i]->integer < 0)
			return false;
		sizes[i] = (size_t)value->items[i]->integer;
	}
	return true;
}

/* Row by row without gaps. The stride of a dimension of one does not matter, nor any of a tensor without elements. */
static bool is_contiguous(const struct tensor *tensor, const size_t *strides)
{
	size_t expected = 1;

	for (int i = tensor->dims - 1; i >= 0; i--) {
		if (tensor->shape[i] == 0)
			return true;
		if (tensor->shape[i] != 1 && strides[i] != expected)
			return false;
		expected = mem_product(expected, tensor->shape[i]);
	}
	return true;
}

/* The member that a storage's persistent id means; NULL if the id or the member is wrong. */
static const struct zip_member *find_storage(const struct torch *t, const struct value *storage, const struct element **element)
{
	char name[64] = "data/";
	struct value *const *id = storage->items;

	if (storage->kind != VALUE_STORAGE || storage->count < 5 || !is_text(id[0], "storage") || id[1]->kind != VALUE_GLOBAL ||
	    id[1]->global != GLOBAL_STORAGE || id[2]->kind != VALUE_TEXT || id[4]->kind != VALUE_INTEGER || id[4]->integer < 0)
		return NULL;
	size_t start = strlen(name);
	if (id[2]->count > sizeof name - start)
		return NULL;
	memcpy(name + start, id[2]->text, id[2]->count);
	*element = id[1]->element;
	const struct zip_member *m = zip_find(&t->zip, t->prefix, t->prefix_size, name, start + id[2]->count);
	return m && m->size == mem_product((size_t)id[4]->integer, (*element)->size) ? m : NULL;
}

static enum status add_tensor(struct torch *t, const struct value *name, const struct value *value, struct err *err)
{
	struct value *const *args = value->items;
	struct tensor tensor = {.name = name->text};
	size_t name_size = name->count, strides[TENSOR_DIMS_MOST], count = 1;
	const struct element *element = NULL;
	static const char module[] = "module.";

	if (name_size > sizeof module - 1 && memcmp(name->text, module, sizeof module - 1) == 0) {
		tensor.name += sizeof module - 1;
		name_size -= sizeof module - 1;
	}
	int shown = (int)(name_size < 200 ? name_size : 200);
	if (value->count < 4 || args[1]->kind != VALUE_INTEGER || args[1]->integer < 0 || !read_sizes(args[2], tensor.shape) ||
	    !read_sizes(args[3], strides) || args[2]->count != args[3]->count)
		return err_set(err, STATUS_FORMAT, "'%.*s' has no proper shape", shown, tensor.name);
	tensor.dims = (int)args[2]->count;
	const struct zip_member *m = find_storage(t, args[0], &element);
	if (!m)
		return err_set(err, STATUS_FORMAT, "the data of '%.*s' are missing or of another size than it says; hint: download it again",
			       shown, tensor.name);
	if (!is_contiguous(&tensor, strides))
		return err_set(err, STATUS_UNSUPPORTED, "'%.*s' is not stored row by row; hint: save it after .contiguous()", shown, tensor.name);
	for (int i = 0; i < tensor.dims; i++)
		count = mem_product(count, tensor.shape[i]);
	size_t offset = mem_product((size_t)args[1]->integer, element->size);
	size_t size = mem_product(count, element->size);
	if (offset > m->size || size > m->size - offset)
		return err_set(err, STATUS_FORMAT, "'%.*s' reaches beyond its data", shown, tensor.name);
	tensor.data = m->data + offset;
	tensor.size = size;
	return checkpoint_add(t->checkpoint, &tensor, name_size, element, err);
}

static const struct value *state_dict(const struct value *root)
{
	for (size_t i = 0; root->kind == VALUE_DICT && i + 1 < root->count; i += 2)
		if (is_text(root->items[i], "state_dict") && root->items[i + 1]->kind == VALUE_DICT)
			return root->items[i + 1];
	return root;
}

static enum status add_tensors(struct torch *t, struct err *err)
{
	const struct value *dict = state_dict(t->pickle.root);

	for (size_t i = 0; dict->kind == VALUE_DICT && i + 1 < dict->count; i += 2) {
		const struct value *name = dict->items[i], *value = dict->items[i + 1];
		if (name->kind != VALUE_TEXT || value->kind != VALUE_TENSOR)
			continue;
		enum status status = add_tensor(t, name, value, err);
		if (status != STATUS_OK)
			return status;
	}
	if (t->checkpoint->count == 0)
		return err_set(err, STATUS_FORMAT, "it holds no dictionary of tensors");
	return STATUS_OK;
}

enum status torch_read(struct checkpoint *checkpoint, struct err *err)
{
	struct torch t = {.checkpoint = checkpoint};
	const struct zip_member *pickle = NULL;

	enum status status = zip_open(checkpoint->map.data, checkpoint->map.size, &t.zip, err);
	if (status == STATUS_OK)
		status = check_members(&t, &pickle, err);
	if (status == STATUS_OK)
		status = pickle_open(pickle->data, pickle->size, &t.pickle, err);
	if (status == STATUS_OK)
		status = add_tensors(&t, err);
	pickle_close(&t.pickle);
	zip_close(&t.zip);
	return status;
}
