/* exif.c: a TIFF block of EXIF data: orientation, time, place, camera. */
#include <math.h>
#include <string.h>

#include "indexer/probe.h"
#include "model/image_codec.h"
#include "tests/fuzz/fuzz.h"

#include "schema/banned.h"

static void check_text(const char *text, size_t size)
{
	fuzz_check(memchr(text, '\0', size));
	for (; *text; text++)
		fuzz_check((unsigned char)*text >= ' ');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct probe probe;
	int orientation = image_exif_orientation(data, size);

	fuzz_check(orientation >= 1 && orientation <= 8);
	probe_read(data, size, &probe);
	check_text(probe.camera, sizeof probe.camera);
	check_text(probe.lens, sizeof probe.lens);
	fuzz_check(!probe.has_position || (fabs(probe.latitude) <= 90 && fabs(probe.longitude) <= 180));
	probe_release(&probe);
	return 0;
}
