/* scratch.c: see scratch.h. */
#include "model/net/scratch.h"

#include <stdint.h>
#include <stdlib.h>

#include "schema/base/memory.h"

#include "schema/base/banned.h"

struct coca_scratch {
	char *block; /* aligned to 64 */
	size_t size;
};

struct coca_scratch *coca_scratch_new(void)
{
	return mem_array(1, sizeof(struct coca_scratch));
}

void coca_scratch_free(struct coca_scratch *scratch)
{
	if (!scratch)
		return;
	free(scratch->block);
	free(scratch);
}

char *scratch_block(struct coca_scratch *scratch, size_t size, size_t lanes, size_t *stride)
{
	/* An odd number of cache lines apart, so that threads at the same step do not share cache sets. */
	size_t total = size < SIZE_MAX / 2 ? mem_product(size / 64 * 64 + 64, lanes) : SIZE_MAX;

	*stride = size / 64 * 64 + 64;
	if (total > scratch->size || !scratch->block) {
		free(scratch->block);
		scratch->block = (char *)mem_floats(total / sizeof(float));
		scratch->size = scratch->block ? total : 0;
	}
	return scratch->block;
}
