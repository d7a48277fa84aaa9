/* image_png.c: PNG files, through libpng. The mutator mends the chunks' checksums. */
#include <string.h>
#include <zlib.h>

#include "tests/fuzz/fuzz.h"

#include "schema/base/banned.h"

enum { SIGNATURE = 8, FRAME = 12 }; /* of a chunk: length, type, checksum */

static size_t big(const uint8_t *at)
{
	return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t capacity, unsigned seed)
{
	size = LLVMFuzzerMutate(data, size, capacity);
	if (seed % 8 == 0)
		return size;
	for (size_t at = SIGNATURE; at + FRAME <= size;) {
		size_t length = big(data + at);
		if (length > size - at - FRAME)
			break;
		uLong sum = crc32(0, data + at + 4, (uInt)length + 4);
		for (size_t i = 0; i < 4; i++)
			data[at + 8 + length + i] = (uint8_t)(sum >> (24 - 8 * i));
		at += FRAME + length;
	}
	return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_image(data, size);
	return 0;
}
