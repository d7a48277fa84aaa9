/* inflate.c: see inflate.h. */
#include "schema/base/inflate.h"

#include <zlib.h>

#include "schema/base/banned.h"

bool inflate_bytes(const uint8_t *bytes, size_t size, size_t most, struct buffer *out)
{
	enum { EITHER = 32 }; /* zlib and gzip are told apart by their headers */
	z_stream z = {.next_in = (Bytef *)(uintptr_t)bytes, .avail_in = (uInt)size};
	unsigned char part[1 << 15];

	if (size > UINT32_MAX || inflateInit2(&z, EITHER + MAX_WBITS) != Z_OK)
		return false;
	int code;
	do {
		z.next_out = part;
		z.avail_out = sizeof part;
		code = inflate(&z, Z_NO_FLUSH);
		buffer_append(out, part, sizeof part - z.avail_out);
		if (code == Z_STREAM_END && z.avail_in >= 2 && z.next_in[0] == 0x1f && z.next_in[1] == 0x8b)
			code = inflateReset(&z);
	} while (code == Z_OK && out->size <= most && !out->failed);
	inflateEnd(&z);
	return code == Z_STREAM_END && out->size <= most && !out->failed;
}
