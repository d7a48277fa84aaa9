/* sidecar.c: the description of a photograph that lies beside it as JSON. */
#include "indexer/facts/probe.h"
#include "tests/fuzz/fuzz.h"

#include "schema/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct probe probe;

	probe_init(&probe);
	probe_json(&probe, data, size, "photo.jpg");
	fuzz_check_probe(&probe);
	return 0;
}
