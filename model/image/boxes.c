/* boxes.c: see boxes.h. A box is u32 size (0: to the end; 1: u64 size behind the type), type, body. Big endian. */
#include "model/image/boxes.h"

#include <string.h>

#include "model/image/bytes.h"

#include "schema/base/banned.h"

bool box_next(const uint8_t *bytes, size_t size, size_t *at, struct box *box)
{
	if (*at > size || size - *at < 8)
		return false;
	const uint8_t *p = bytes + *at;
	size_t left = size - *at, header = 8;
	uint64_t length = big32(p);
	if (length == 1) {
		if (left < 16)
			return false;
		header = 16;
		length = (uint64_t)big32(p + 8) << 32 | big32(p + 12);
	} else if (length == 0) {
		length = left;
	}
	if (length < header || length > left)
		return false;
	*box = (struct box){p, p + 4, p + header, (size_t)length - header};
	*at += (size_t)length;
	return true;
}

bool box_find(const uint8_t *bytes, size_t size, const char type[5], struct box *box)
{
	for (size_t at = 0; box_next(bytes, size, &at, box);)
		if (memcmp(box->type, type, 4) == 0)
			return true;
	return false;
}
