/* raw.c: raw files of cameras through the preview that the camera put into them, found by LibRaw: what the camera showed is
 * what people look for, and it takes a hundredth of the time that developing takes.
 */
#include <libraw/libraw.h>
#include <stdlib.h>
#include <string.h>

#include "model/image/boxes.h"
#include "model/image/codec.h"
#include "model/image/ifd.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* Whether a TIFF directory or one below or behind it holds a sensor's values. */
static bool has_sensor(const struct ifd_block *block, size_t directory, int depth)
{
	enum { PHOTOMETRIC = 262, BELOW = 330, CFA = 32803, LINEAR_RAW = 34892, DNG_VERSION = 50706, COMPRESSION = 259, NIKON = 34713,
	       PENTAX = 65535, BELOW_MOST = 8, BEHIND_MOST = 8, DEPTH_MOST = 2 };
	struct ifd_entry entry;

	for (int i = 0; directory && i < BEHIND_MOST; i++, directory = depth ? 0 : ifd_next(block, directory)) {
		if (ifd_find(block, directory, DNG_VERSION, &entry))
			return true;
		uint32_t photometric = ifd_find(block, directory, PHOTOMETRIC, &entry) ? ifd_number(block, &entry, 0) : 0;
		uint32_t compression = ifd_find(block, directory, COMPRESSION, &entry) ? ifd_number(block, &entry, 0) : 0;
		if (photometric == CFA || photometric == LINEAR_RAW || compression == NIKON || compression == PENTAX)
			return true;
		if (depth == DEPTH_MOST || !ifd_find(block, directory, BELOW, &entry))
			continue;
		for (size_t below = 0; below < entry.count && below < BELOW_MOST; below++)
			if (has_sensor(block, ifd_number(block, &entry, below), depth + 1))
				return true;
	}
	return false;
}

bool image_raw_is(const uint8_t *bytes, size_t size)
{
	struct ifd_block block;
	size_t directory = ifd_open(bytes, size, &block);

	if (!directory)
		return (size > 16 && memcmp(bytes, "FUJIFILMCCD-RAW", 15) == 0) || (size > 12 && memcmp(bytes + 4, "ftypcrx ", 8) == 0);
	if (bytes[2] != '*' && bytes[3] != '*')
		return true; /* ORF, RW2 */
	return (size > 10 && memcmp(bytes + 8, "CR", 2) == 0) || has_sensor(&block, directory, 0);
}

/* Canon's CR3: a box of Canon's own has three TIFF blocks, each with one directory: the first, EXIF's, positions. */
static void canon_said(const uint8_t *bytes, size_t size, struct image_said *said)
{
	static const uint8_t canon[16] = {0x85, 0xc0, 0xb6, 0x87, 0x82, 0x0f, 0x11, 0xe0, 0x81, 0x11, 0xf4, 0xce, 0x46, 0x2b, 0x6a, 0x48};
	static const struct {
		char type[5];
		enum said_kind kind;
	} blocks[] = {{"CMT1", SAID_EXIF}, {"CMT2", SAID_EXIF_CAMERA}, {"CMT4", SAID_EXIF_GPS}};
	struct box movie, own, block;

	if (!box_find(bytes, size, "moov", &movie))
		return;
	for (size_t at = 0; box_next(movie.body, movie.size, &at, &own);)
		for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
			if (memcmp(own.type, "uuid", 4) == 0 && own.size > sizeof canon && memcmp(own.body, canon, sizeof canon) == 0 &&
			    box_find(own.body + sizeof canon, own.size - sizeof canon, blocks[i].type, &block))
				image_said_add(said, blocks[i].kind, block.body, block.size);
}

void image_raw_said(const uint8_t *bytes, size_t size, struct image_said *said)
{
	struct ifd_block block;

	if (ifd_open(bytes, size, &block))
		image_tiff_said(bytes, size, said);
	else
		canon_said(bytes, size, said);
}

/* Before LibRaw unpacks a preview: LibRaw 0.20 reads one that is stored in planes by the length that the file gives into planes of the
 * width and height that the file gives. So these are raised until the length fits; of a JPEG they say nothing. False: a length
 * that cannot be. */
static bool make_room(libraw_thumbnail_t *thumb, size_t size)
{
	if (thumb->tlength > size)
		return false;
	if ((size_t)thumb->twidth * thumb->theight < thumb->tlength) {
		thumb->twidth = UINT16_MAX;
		thumb->theight = (ushort)(thumb->tlength / UINT16_MAX + 1);
	}
	return thumb->tlength / UINT16_MAX < UINT16_MAX;
}

/* Whether a directory anywhere holds a CFAPattern (33422) of 6 x 6, as a DNG of an X-Trans sensor does: Debian's LibRaw 0.20.2 writes far
 * beyond its 36 bytes. Looked for byte by byte, as LibRaw follows offsets that we do not know. */
static bool breaks_libraw(const uint8_t *bytes, size_t size)
{
	static const uint8_t little[2] = {0x8e, 0x82}, big[2] = {0x82, 0x8e};

	for (int order = 0; order < 2; order++) {
		const uint8_t *tag = order ? big : little, *count = order ? (const uint8_t *)"\0\0\0\44" : (const uint8_t *)"\44\0\0\0";
		const uint8_t *at = bytes, *end = bytes + size;
		for (; (at = memmem(at, (size_t)(end - at), tag, 2)) && end - at >= 8; at++)
			if (memcmp(at + 4, count, 4) == 0)
				return true;
	}
	return false;
}

enum status image_raw_preview(const uint8_t *bytes, size_t size, struct image_preview *preview, struct err *err)
{
	libraw_data_t *raw = libraw_init(LIBRAW_OPIONS_NO_MEMERR_CALLBACK | LIBRAW_OPIONS_NO_DATAERR_CALLBACK);
	int error;

	*preview = (struct image_preview){0};
	if (!raw)
		return err_memory(err, "reading a raw file");
	if (breaks_libraw(bytes, size)) {
		libraw_close(raw);
		return err_set(err, STATUS_UNSUPPORTED, "raw file of a kind that is not supported: a sensor with a pattern of 6 x 6");
	}
	error = libraw_open_buffer(raw, (void *)(uintptr_t)bytes, size); /* only read */
	const libraw_thumbnail_t claimed = raw->thumbnail;
	size_t pixels = (size_t)claimed.twidth * claimed.theight;
	if (error == LIBRAW_SUCCESS)
		error = make_room(&raw->thumbnail, size) ? libraw_unpack_thumb(raw) : LIBRAW_NO_THUMBNAIL;
	const libraw_thumbnail_t *thumb = &raw->thumbnail;
	if (error == LIBRAW_SUCCESS && thumb->thumb && thumb->tformat == LIBRAW_THUMBNAIL_JPEG && thumb->tlength > 4) {
		preview->bytes = preview->owned = (uint8_t *)mem_copy(thumb->thumb, thumb->tlength);
		preview->size = thumb->tlength;
		if (!preview->owned)
			error = LIBRAW_UNSUFFICIENT_MEMORY;
		preview->lying = raw->sizes.width > raw->sizes.height;
	} else if (error == LIBRAW_SUCCESS && thumb->thumb && thumb->tformat == LIBRAW_THUMBNAIL_BITMAP && thumb->tcolors == 3 &&
		   pixels && thumb->tlength >= 3 * pixels) {
		preview->owned = (uint8_t *)mem_copy(thumb->thumb, 3 * pixels);
		preview->width = claimed.twidth;
		preview->height = claimed.theight;
		if (!preview->owned)
			error = LIBRAW_UNSUFFICIENT_MEMORY;
	} else if (error == LIBRAW_SUCCESS || error == LIBRAW_NO_THUMBNAIL || error == LIBRAW_UNSUPPORTED_THUMBNAIL) {
		error = LIBRAW_NO_THUMBNAIL;
	}
	libraw_close(raw);
	switch (error) {
	case LIBRAW_SUCCESS:
		return STATUS_OK;
	case LIBRAW_UNSUFFICIENT_MEMORY:
		return err_memory(err, "reading a raw file");
	case LIBRAW_NO_THUMBNAIL:
		return err_set(err, STATUS_UNSUPPORTED, "raw file without a preview that can be read");
	case LIBRAW_FILE_UNSUPPORTED:
		return err_set(err, STATUS_UNSUPPORTED, "raw file of a kind that is not supported");
	default:
		return err_set(err, STATUS_FORMAT, "damaged raw file: %s", libraw_strerror(error));
	}
}

void image_preview_release(struct image_preview *preview)
{
	free(preview->owned);
	*preview = (struct image_preview){0};
}
