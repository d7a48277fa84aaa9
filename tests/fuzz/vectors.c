/* vectors.c: the vector cache's file. It is taken for one of the catalog that it names; the mutator mends its checksums, as a
 * file with wrong ones is never looked at any further. What FAISS reads itself is left out. */
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "schema/base/memory.h"
#include "schema/vectors/internal.h"
#include "tests/fuzz/fuzz.h"

#include "schema/base/banned.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t capacity, unsigned seed)
{
	struct vectors_header header;
	struct vectors_layout layout;

	size = LLVMFuzzerMutate(data, size, capacity);
	if (size < sizeof header || seed % 8 == 0)
		return size;
	memcpy(&header, data, sizeof header);
	if (seed % 2 && vectors_layout(header.count, header.identity.dim, &layout) && layout.index <= size) {
		header.index_size = size - layout.index;
		header.table_hash = XXH3_64bits(data + layout.table, layout.heads - layout.table);
	}
	header.header_hash = XXH3_64bits(&header, offsetof(struct vectors_header, header_hash));
	memcpy(data, &header, sizeof header);
	return size;
}

/* Every block is looked at, and searched as if it were intact. */
static void search_all(struct vectors *v)
{
	float *query = mem_floats(v->dim), scores[3];
	int64_t ids[3], some[2] = {1, INT64_MAX};
	struct err err;

	if (!query)
		return;
	for (size_t i = 0; i < v->dim; i++)
		query[i] = 1;
	fuzz_check(vectors_intact(v) || v->checked);
	vectors_seek(v, NULL, 0, query, 1, 3, scores, ids, &err);
	vectors_seek(v, some, 2, query, 1, 3, scores, ids, &err);
	free(v->checked);
	v->checked = NULL;
	fuzz_check(vectors_seek(v, NULL, 0, query, 1, 3, scores, ids, &err) == STATUS_OK);
	free(query);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vectors v = {.loading = PTHREAD_MUTEX_INITIALIZER};
	struct vectors_header header;
	struct err err;

	if (size < sizeof header)
		return 0;
	memcpy(&header, data, sizeof header);
	if (header.lists || header.identity.dim > 4096)
		return 0;
	if (vectors_file_read(fuzz_file(data, size), &header.identity, &v, &err) == STATUS_OK) {
		fuzz_check(v.count <= size && v.dim == header.identity.dim);
		fuzz_touch(v.heads, v.layout.blocks * sizeof *v.heads);
		fuzz_touch(v.rows, v.count * v.dim * sizeof *v.rows);
		search_all(&v);
	}
	vectors_release(&v);
	return 0;
}
