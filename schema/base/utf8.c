/* utf8.c: see utf8.h. */
#include "schema/base/utf8.h"

#include <stdint.h>

#include "schema/base/banned.h"

bool utf8_next(const char *bytes, size_t size, size_t *n)
{
	const uint8_t *p = (const uint8_t *)bytes;
	uint8_t low = 0x80, high = 0xbf; /* of the second byte; the others always have this range */
	size_t length;

	*n = 1;
	if (p[0] < 0x80)
		return true;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return false;
	length = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	switch (p[0]) {
	case 0xe0: low = 0xa0; break;
	case 0xed: high = 0x9f; break;
	case 0xf0: low = 0x90; break;
	case 0xf4: high = 0x8f; break;
	}
	for (; *n < length; ++*n) {
		if (*n == size || p[*n] < low || p[*n] > high)
			return false;
		low = 0x80;
		high = 0xbf;
	}
	return true;
}
