/* exif.c: a TIFF block of EXIF data: orientation, time, place, camera, texts. */
#include "indexer/facts/probe.h"
#include "model/image/codec.h"
#include "tests/fuzz/fuzz.h"

#include "schema/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct probe probe;
	int orientation = image_exif_orientation(data, size);

	fuzz_check(orientation >= 0 && orientation <= 8);
	probe_init(&probe);
	for (enum said_kind kind = SAID_EXIF; kind <= SAID_EXIF_GPS; kind++)
		probe_exif(&probe, kind, data, size);
	fuzz_check_probe(&probe);
	probe_release(&probe);
	return 0;
}
