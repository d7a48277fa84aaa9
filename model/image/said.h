/* said.h: what a picture's file says beside its pixels, as blocks of bytes in the order in which they are to be believed. Nothing in a
 * block has been looked at yet: who reads it lives with any damage.
 *
 *     struct image_said said;
 *     image_probe_said(bytes, size, &info, &said, err);
 *     for (size_t i = 0; i < said.count; i++) ... said.blocks[i].kind ...
 *     image_said_release(&said);
 */
#ifndef MODEL_IMAGE_SAID_H
#define MODEL_IMAGE_SAID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/memory.h"

enum said_kind {
	SAID_EXIF,        /* a TIFF block; of TIFF and most raw files the whole file */
	SAID_EXIF_CAMERA, /* a TIFF block whose first directory is EXIF's own, as in Canon's CR3 */
	SAID_EXIF_GPS,    /* likewise that of positions */
	SAID_XMP,         /* an XMP packet */
	SAID_IPTC,        /* IPTC-IIM data sets */
	SAID_TITLE, SAID_DESCRIPTION, SAID_TIME, /* of a PNG */
};

struct said_block {
	enum said_kind kind;
	const uint8_t *bytes; /* [size], within the file's bytes or in made[] */
	size_t size;
};

enum { SAID_MOST = 24 };

struct image_said {
	struct said_block blocks[SAID_MOST];
	size_t count;
	void *made[SAID_MOST]; /* what stands in the file compressed or in pieces */
	size_t made_count;
};

/* Beyond SAID_MOST blocks nothing is added. */
void image_said_add(struct image_said *said, enum said_kind kind, const void *bytes, size_t size);
/* Wherever the TIFF block begins: containers put "Exif\0\0", an offset or a JPEG marker before it, or nothing. Without one: nothing. */
void image_said_add_exif(struct image_said *said, const uint8_t *bytes, size_t size);
/* Takes memory from malloc, which blocks point into, to be freed with them. False, and freed at once: there are too many. */
bool image_said_keep(struct image_said *said, void *memory);
/* As image_said_add, of a buffer whose memory it takes. */
void image_said_take(struct image_said *said, enum said_kind kind, struct buffer *made);
void image_said_release(struct image_said *said);

#endif
