/* colour.c: an embedded colour profile, through Little CMS, put to use on a few pixels. */
#include "model/image/codec.h"
#include "tests/fuzz/fuzz.h"

#include "schema/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { PIXELS = 16 };
	uint8_t inks[PIXELS][4], rgb[PIXELS][3];
	struct image_colour *colour = image_colour_open(data, size);

	if (!colour)
		return 0;
	for (int i = 0; i < PIXELS; i++)
		for (int c = 0; c < 4; c++) {
			inks[i][c] = (uint8_t)(i * 16 + c * 50);
			rgb[i][c % 3] = inks[i][c];
		}
	if (image_colour_cmyk(colour))
		image_colour_inks(colour, inks[0], rgb[0], PIXELS);
	image_colour_apply(colour, rgb[0], PIXELS);
	fuzz_touch(rgb, sizeof rgb);
	image_colour_free(colour);
	return 0;
}
