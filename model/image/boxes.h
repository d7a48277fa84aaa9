/* boxes.h: the boxes that ISO media files are made of (ISO/IEC 14496-12): HEIC, AVIF, CR3. Reads in place, never beyond the bytes.
 *
 *     struct box box;
 *     for (size_t at = 0; box_next(bytes, size, &at, &box);) ... box.type, box.body, box.size ...
 */
#ifndef MODEL_IMAGE_BOXES_H
#define MODEL_IMAGE_BOXES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct box {
	const uint8_t *start; /* its size, its type, then the body */
	const uint8_t *type;  /* [4] */
	const uint8_t *body;
	size_t size;          /* of the body */
};

/* The box at *at; moves on to the next. False: no whole box is there. */
bool box_next(const uint8_t *bytes, size_t size, size_t *at, struct box *box);
/* The first box of a type among those in bytes. */
bool box_find(const uint8_t *bytes, size_t size, const char type[5], struct box *box);

#endif
