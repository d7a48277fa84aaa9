/* image_raw.c: raw files of cameras: telling them apart, and the preview in them, through LibRaw. */
#include "tests/fuzz/fuzz.h"

#include "schema/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_image(data, size);
	return 0;
}
