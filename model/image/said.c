/* said.c: see said.h. */
#include "model/image/said.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/banned.h"

void image_said_add(struct image_said *said, enum said_kind kind, const void *bytes, size_t size)
{
	if (bytes && size && said->count < SAID_MOST)
		said->blocks[said->count++] = (struct said_block){kind, bytes, size};
}

void image_said_add_exif(struct image_said *said, const uint8_t *bytes, size_t size)
{
	enum { BEFORE_MOST = 64 };

	for (size_t at = 0; at < BEFORE_MOST && at + 8 <= size; at++)
		if (memcmp(bytes + at, "II*\0", 4) == 0 || memcmp(bytes + at, "MM\0*", 4) == 0) {
			image_said_add(said, SAID_EXIF, bytes + at, size - at);
			return;
		}
}

bool image_said_keep(struct image_said *said, void *memory)
{
	if (said->made_count == SAID_MOST) {
		free(memory);
		return false;
	}
	said->made[said->made_count++] = memory;
	return true;
}

void image_said_take(struct image_said *said, enum said_kind kind, struct buffer *made)
{
	if (!made->failed && made->size && image_said_keep(said, made->data)) {
		if (kind == SAID_EXIF)
			image_said_add_exif(said, (const uint8_t *)made->data, made->size);
		else
			image_said_add(said, kind, made->data, made->size);
		*made = (struct buffer){0};
	}
	buffer_release(made);
}

void image_said_release(struct image_said *said)
{
	for (size_t i = 0; i < said->made_count; i++)
		free(said->made[i]);
	*said = (struct image_said){0};
}
