/* vectors.c: the vector cache's file. It is taken for one of the catalog that it names; the mutator mends its checksums, as a
 * file with wrong ones is never looked at any further. What FAISS reads itself is left out. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xxhash.h>

#include "schema/memory.h"
#include "schema/vectors_internal.h"
#include "tests/fuzz/fuzz.h"

#include "schema/banned.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t capacity, unsigned seed)
{
	struct vectors_header header;

	size = LLVMFuzzerMutate(data, size, capacity);
	if (size < sizeof header || seed % 8 == 0)
		return size;
	memcpy(&header, data, sizeof header);
	header.payload_size = size - sizeof header;
	header.payload_hash = XXH3_64bits(data + sizeof header, size - sizeof header);
	header.header_hash = XXH3_64bits(&header, offsetof(struct vectors_header, header_hash));
	memcpy(data, &header, sizeof header);
	return size;
}

/* Whether the floats lie where they can be used without FAISS: what it reads itself, it trusts. A file with right checksums and
 * floats elsewhere is forged. */
static bool floats_in_place(const struct vectors_header *header, size_t size)
{
	enum { ALIGNMENT = 64 };
	size_t floats = mem_product(mem_product(header->count, header->identity.dim), sizeof(float));
	size_t before = sizeof *header + mem_product(header->count, sizeof(int64_t));

	return !header->lists && header->padding < ALIGNMENT && before < size && floats <= size && floats + header->padding <= size - before &&
	       (size - floats) % ALIGNMENT == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vectors v = {.loading = PTHREAD_MUTEX_INITIALIZER};
	struct vectors_header header;
	struct err err;

	if (size < sizeof header)
		return 0;
	memcpy(&header, data, sizeof header);
	if (!floats_in_place(&header, size))
		return 0;
	if (vectors_file_read(fuzz_file(data, size), &header.identity, &v, &err) == STATUS_OK) {
		fuzz_check(v.count <= size && v.dim == header.identity.dim);
		fuzz_touch(v.ids, v.count * sizeof *v.ids);
		fuzz_touch(v.rows, v.count * v.dim * sizeof *v.rows);
	}
	if (v.index)
		faiss_Index_free(v.index);
	if (v.map)
		munmap(v.map, v.map_size);
	return 0;
}
