/* checkpoint_formats.c: see checkpoint_formats.h. */
#include "model/files/checkpoint_formats.h"

#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum status checkpoint_add(struct checkpoint *c, const struct tensor *tensor, size_t name_size, const struct element *element,
			   struct err *err)
{
	size_t count = 1;

	for (int i = 0; i < tensor->dims; i++)
		count = mem_product(count, tensor->shape[i]);
	if (count == SIZE_MAX || mem_product(count, element->size) != tensor->size)
		return err_set(err, STATUS_FORMAT, "the shape of '%.*s' does not make its %zu bytes", (int)name_size, tensor->name, tensor->size);
	if (c->count == TENSORS_MOST)
		return err_set(err, STATUS_MEMORY, "it has more than %d tensors", TENSORS_MOST);
	if (!mem_grow(&c->tensors, &c->capacity, c->count + 1, sizeof *c->tensors))
		return err_memory(err, "the list of tensors");
	struct tensor *t = &c->tensors[c->count];
	*t = *tensor;
	t->name = mem_copy(tensor->name, name_size);
	if (!t->name)
		return err_memory(err, "the name of a tensor");
	t->dtype = element->dtype;
	t->count = count;
	c->count++;
	return STATUS_OK;
}
