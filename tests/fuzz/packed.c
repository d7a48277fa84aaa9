/* packed.c: stored image tokens, and vectors in half precision, as a catalog's blobs hold them. */
#include "schema/base/packed.h"

#include <string.h>

#include "tests/fuzz/fuzz.h"

#include "schema/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { MOST = 64 };
	static float floats[MOST * MOST];
	uint32_t sizes[2] = {1, 1};
	struct err err;

	/* The sizes that the model asks for: mostly those that the blob claims, else blobs would not get far. */
	if (size >= 4 + sizeof sizes)
		memcpy(sizes, data + 4, sizeof sizes);
	size_t n = sizes[0] <= MOST ? sizes[0] : MOST, w = sizes[1] <= MOST ? sizes[1] : MOST;
	if (packed_tokens_read(data, size, n, w, floats, &err) == STATUS_OK) {
		fuzz_check(size == packed_tokens_size(n, w));
		fuzz_touch(floats, n * w * sizeof *floats);
	}
	size_t halves = size / 2 < MOST ? size / 2 : MOST;
	packed_from_half(data, floats, halves);
	fuzz_touch(floats, halves * sizeof *floats);
	return 0;
}
