/* xmp.c: an XMP packet, through expat. */
#include "indexer/facts/probe.h"
#include "tests/fuzz/fuzz.h"

#include "schema/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct probe probe;

	probe_init(&probe);
	probe_xmp(&probe, data, size);
	fuzz_check_probe(&probe);
	return 0;
}
