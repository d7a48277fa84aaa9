/* vectors.c: the vector cache's file. It is taken for one of the catalog that it names; the mutator mends its checksums, as a
 * file with wrong ones is never looked at any further. What FAISS reads of an inverted file is its own: left out here. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xxhash.h>

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

/* FAISS 1.7.3 loses the index that it was reading when it finds the file damaged. That needs a file with forged checksums whose
 * floats are not where we put them, and happens once. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:faiss::read_index";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vectors v = {.loading = PTHREAD_MUTEX_INITIALIZER};
	struct vectors_header header;
	struct err err;

	if (size < sizeof header)
		return 0;
	memcpy(&header, data, sizeof header);
	if (header.lists)
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
