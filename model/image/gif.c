/* gif.c: the first frame of a GIF through giflib, on the canvas that its header promises. What the frame does not cover has
 * the transparent colour, or the first one of the table, as Pillow has it.
 */
#include <gif_lib.h>
#include <stdlib.h>
#include <string.h>

#include "model/image/bytes.h"
#include "model/image/codec.h"

#include "schema/base/banned.h"

struct source {
	const uint8_t *bytes; /* what is left */
	size_t size;
};

static int read_bytes(GifFileType *gif, GifByteType *to, int n)
{
	struct source *source = gif->UserData;
	size_t take = n > 0 ? (size_t)n : 0;

	if (take > source->size)
		take = source->size;
	memcpy(to, source->bytes, take);
	source->bytes += take;
	source->size -= take;
	return (int)take;
}

enum status image_gif_probe(const uint8_t *bytes, size_t size, struct image_info *info, struct image_said *said, struct err *err)
{
	(void)said;
	if (size < 13)
		return err_set(err, STATUS_FORMAT, "damaged GIF: no header");
	info->width = little16(bytes + 6);
	info->height = little16(bytes + 8);
	if (!info->width || !info->height)
		return err_set(err, STATUS_FORMAT, "damaged GIF: a picture without a size");
	return STATUS_OK;
}

/* The transparent colour of a graphic control extension: u8 size, u8 flags, u16 delay, u8 index. */
static bool read_extensions(GifFileType *gif, int *transparent)
{
	GifByteType *block;
	int code;

	if (DGifGetExtension(gif, &code, &block) == GIF_ERROR)
		return false;
	if (block && code == GRAPHICS_EXT_FUNC_CODE && block[0] >= 4 && block[1] & 1)
		*transparent = block[4];
	while (block)
		if (DGifGetExtensionNext(gif, &block) == GIF_ERROR)
			return false;
	return true;
}

static void put_colour(const ColorMapObject *map, int index, uint8_t *rgb)
{
	static const GifColorType black;
	const GifColorType *colour = map && index >= 0 && index < map->ColorCount ? &map->Colors[index] : &black;

	rgb[0] = colour->Red;
	rgb[1] = colour->Green;
	rgb[2] = colour->Blue;
}

static bool read_lines(GifFileType *gif, const ColorMapObject *map, const struct image_sink *sink, uint8_t *line)
{
	static const struct {
		int first, step;
	} plain[] = {{0, 1}}, interlaced[] = {{0, 8}, {4, 8}, {2, 4}, {1, 2}}, *passes;
	const GifImageDesc *frame = &gif->Image;

	passes = frame->Interlace ? interlaced : plain;
	for (int pass = 0; pass < (frame->Interlace ? 4 : 1); pass++)
		for (int y = passes[pass].first; y < frame->Height; y += passes[pass].step) {
			if (DGifGetLine(gif, line, frame->Width) == GIF_ERROR)
				return false;
			uint8_t *to = sink->rgb + 3 * ((size_t)(frame->Top + y) * sink->width + (size_t)frame->Left);
			for (int x = 0; x < frame->Width; x++, to += 3)
				put_colour(map, line[x], to);
		}
	return true;
}

/* *message: why not, if it returns false. */
static bool read_frame(GifFileType *gif, const struct image_sink *sink, uint8_t *line, const char **message)
{
	GifRecordType record;
	int transparent = -1;

	for (;;) {
		if (DGifGetRecordType(gif, &record) == GIF_ERROR)
			return false;
		if (record == EXTENSION_RECORD_TYPE && !read_extensions(gif, &transparent))
			return false;
		if (record == TERMINATE_RECORD_TYPE || record == UNDEFINED_RECORD_TYPE)
			*message = "it has no picture";
		if (*message)
			return false;
		if (record == IMAGE_DESC_RECORD_TYPE)
			break;
	}
	if (DGifGetImageHeader(gif) == GIF_ERROR)
		return false;
	const GifImageDesc *frame = &gif->Image;
	const ColorMapObject *map = frame->ColorMap ? frame->ColorMap : gif->SColorMap;
	if (frame->Left < 0 || frame->Top < 0 || frame->Width <= 0 || frame->Height <= 0 ||
	    (size_t)frame->Left + (size_t)frame->Width > sink->width || (size_t)frame->Top + (size_t)frame->Height > sink->height) {
		*message = "a frame lies outside the picture";
		return false;
	}
	if ((size_t)frame->Width < sink->width || (size_t)frame->Height < sink->height)
		for (size_t i = 0; i < sink->width * sink->height; i++)
			put_colour(map, transparent >= 0 ? transparent : 0, sink->rgb + 3 * i);
	return read_lines(gif, map, sink, line);
}

enum status image_gif_decode(const uint8_t *bytes, size_t size, const struct image_sink *sink, struct err *err)
{
	struct source source = {bytes, size};
	const char *message = NULL;
	int error = 0;
	uint8_t *line = malloc(sink->width);
	GifFileType *gif = line ? DGifOpen(&source, read_bytes, &error) : NULL;
	enum status status = STATUS_OK;

	if (!line)
		return err_memory(err, "decoding a GIF");
	if (!gif || !read_frame(gif, sink, line, &message)) {
		if (!message)
			message = GifErrorString(gif ? gif->Error : error);
		status = err_set(err, STATUS_FORMAT, "damaged GIF: %s", message ? message : "bad data");
	}
	if (gif)
		DGifCloseFile(gif, &error);
	free(line);
	return status;
}
