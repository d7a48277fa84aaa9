/* tiff.c: TIFF through libtiff, first page: any compression that it knows, bilevel to 16 bits, palette, YCbCr, Lab, CMYK; alpha
 * is dropped without blending. Bands of rows are read at a time, so that memory stays bounded by the picture.
 */
#include <stdlib.h>
#include <string.h>
#include <tiffio.h>

#include "model/image/ifd.h"
#include "model/image/codec.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { BAND = 256 /* rows at least */, TAG_ICC = 34675, TAG_XMP = 700, TAG_IPTC = 33723, TAG_PHOTOSHOP = 34377 };

struct source {
	const uint8_t *bytes;
	size_t size, at;
	char message[128];     /* the first complaint */
};

/* --- libtiff's way to memory --- */

static tmsize_t read_bytes(thandle_t handle, void *to, tmsize_t n)
{
	struct source *source = handle;
	size_t take = n > 0 ? (size_t)n : 0, left = source->at < source->size ? source->size - source->at : 0;

	if (take > left)
		take = left;
	memcpy(to, source->bytes + (take ? source->at : 0), take);
	source->at += take;
	return (tmsize_t)take;
}

static tmsize_t write_bytes(thandle_t handle, void *from, tmsize_t n)
{
	(void)handle;
	(void)from;
	(void)n;
	return -1;
}

static toff_t seek(thandle_t handle, toff_t offset, int whence)
{
	struct source *source = handle;

	source->at = (size_t)offset + (whence == SEEK_CUR ? source->at : whence == SEEK_END ? source->size : 0);
	return source->at;
}

static int close_source(thandle_t handle)
{
	(void)handle;
	return 0;
}

static toff_t source_size(thandle_t handle)
{
	return ((struct source *)handle)->size;
}

static int map_source(thandle_t handle, void **base, toff_t *size)
{
	struct source *source = handle;

	*base = (void *)(uintptr_t)source->bytes; /* opened for reading only */
	*size = source->size;
	return 1;
}

static void unmap_source(thandle_t handle, void *base, toff_t size)
{
	(void)handle;
	(void)base;
	(void)size;
}

static int on_error(TIFF *tiff, void *context, const char *module, const char *format, va_list args)
{
	struct source *source = context;

	(void)tiff;
	(void)module;
	if (!source->message[0])
		vsnprintf(source->message, sizeof source->message, format, args);
	return 1; /* and nothing is printed */
}

static int on_warning(TIFF *tiff, void *context, const char *module, const char *format, va_list args)
{
	(void)tiff;
	(void)context;
	(void)module;
	(void)format;
	(void)args;
	return 1;
}

static TIFF *open_source(struct source *source)
{
	TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
	TIFF *tiff = NULL;

	if (options) {
		TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, source);
		TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, source);
		TIFFOpenOptionsSetMaxSingleMemAlloc(options, (tmsize_t)4 * IMAGE_PIXELS_MOST);
		tiff = TIFFClientOpenExt("", "r", source, read_bytes, write_bytes, seek, close_source, source_size, map_source,
					 unmap_source, options);
		TIFFOpenOptionsFree(options);
	}
	return tiff;
}

/* --- the header --- */

void image_tiff_said(const uint8_t *bytes, size_t size, struct image_said *said)
{
	struct ifd_block block;
	struct ifd_entry entry;
	size_t directory = ifd_open(bytes, size, &block);

	image_said_add(said, SAID_EXIF, bytes, size);
	if (ifd_find(&block, directory, TAG_XMP, &entry))
		image_said_add(said, SAID_XMP, entry.value, entry.size);
	if (ifd_find(&block, directory, TAG_IPTC, &entry))
		image_said_add(said, SAID_IPTC, entry.value, entry.size);
	if (ifd_find(&block, directory, TAG_PHOTOSHOP, &entry))
		image_photoshop_iptc(entry.value, entry.size, said);
}

enum status image_tiff_probe(const uint8_t *bytes, size_t size, struct image_info *info, struct image_said *said, struct err *err)
{
	enum { TAG_WIDTH = 256, TAG_HEIGHT = 257, TAG_PHOTOMETRIC = 262, TAG_COLOURS = 320 };
	struct ifd_block block;
	struct ifd_entry width, height, entry;
	size_t directory = ifd_open(bytes, size, &block);

	if (!ifd_find(&block, directory, TAG_WIDTH, &width) || !ifd_find(&block, directory, TAG_HEIGHT, &height))
		return err_set(err, STATUS_FORMAT, "damaged TIFF: no directory");
	info->width = ifd_number(&block, &width, 0);
	info->height = ifd_number(&block, &height, 0);
	if (!info->width || !info->height || info->width > INT32_MAX || info->height > INT32_MAX)
		return err_set(err, STATUS_FORMAT, "damaged TIFF: %zu x %zu pixels", info->width, info->height);
	/* Without its colours libtiff would take a palette's indices for grays. */
	if (ifd_find(&block, directory, TAG_PHOTOMETRIC, &entry) && ifd_number(&block, &entry, 0) == PHOTOMETRIC_PALETTE &&
	    !ifd_find(&block, directory, TAG_COLOURS, &entry))
		return err_set(err, STATUS_FORMAT, "damaged TIFF: a palette without colours");
	image_tiff_said(bytes, size, said);
	return STATUS_OK;
}

void image_tiff_profile(const uint8_t *bytes, size_t size, struct buffer *icc)
{
	struct ifd_block block;
	struct ifd_entry entry;
	size_t directory = ifd_open(bytes, size, &block);

	if (ifd_find(&block, directory, TAG_ICC, &entry))
		buffer_append(icc, entry.value, entry.size);
}

/* --- the pixels --- */

/* As many rows as are stored together, or a multiple. */
static size_t band_rows(TIFF *tiff, size_t height)
{
	uint32_t together = 1;

	if (TIFFIsTiled(tiff))
		TIFFGetField(tiff, TIFFTAG_TILELENGTH, &together);
	else
		TIFFGetFieldDefaulted(tiff, TIFFTAG_ROWSPERSTRIP, &together);
	if (!together || together >= height)
		return height;
	size_t rows = (BAND + together - 1) / together * (size_t)together;
	return rows < height ? rows : height;
}

static enum status read_bands(TIFF *tiff, TIFFRGBAImage *picture, const struct image_sink *sink, struct source *source, struct err *err)
{
	size_t rows = band_rows(tiff, sink->height), w = sink->width;
	uint32_t *raster = mem_array(mem_product(rows, w), sizeof *raster);
	uint8_t *rgb = mem_array(w, 3);
	enum status status = raster && rgb ? STATUS_OK : err_memory(err, "decoding a TIFF");

	for (size_t y = 0; y < sink->height && status == STATUS_OK; y += rows) {
		size_t n = sink->height - y < rows ? sink->height - y : rows;
		picture->row_offset = (int)y;
		picture->col_offset = 0;
		if (!TIFFRGBAImageGet(picture, raster, (uint32_t)w, (uint32_t)n)) {
			status = err_set(err, STATUS_FORMAT, "damaged TIFF: %s", source->message[0] ? source->message : "bad data");
			break;
		}
		for (size_t r = 0; r < n; r++) {
			for (size_t x = 0; x < w; x++) {
				uint32_t pixel = raster[r * w + x];
				rgb[3 * x] = (uint8_t)TIFFGetR(pixel);
				rgb[3 * x + 1] = (uint8_t)TIFFGetG(pixel);
				rgb[3 * x + 2] = (uint8_t)TIFFGetB(pixel);
			}
			image_rows_put(sink, y + r, 1, rgb);
		}
	}
	free(raster);
	free(rgb);
	return status;
}

/* CMYK of 8 bits whose inks a profile describes. */
static bool has_profiled_inks(TIFF *tiff, const struct image_sink *sink)
{
	uint16_t photometric = 0, samples = 0, bits = 0, planar = 0;

	TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &photometric);
	TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &samples);
	TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &bits);
	TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &planar);
	return image_colour_cmyk(sink->colour) && photometric == PHOTOMETRIC_SEPARATED && samples == 4 && bits == 8 &&
	       planar == PLANARCONFIG_CONTIG && !TIFFIsTiled(tiff) && (size_t)TIFFScanlineSize(tiff) == 4 * sink->width;
}

static enum status read_inks(TIFF *tiff, const struct image_sink *sink, struct source *source, struct err *err)
{
	uint8_t *inks = mem_array(sink->width, 4), *rgb = mem_array(sink->width, 3);
	enum status status = inks && rgb ? STATUS_OK : err_memory(err, "decoding a TIFF");

	for (size_t y = 0; y < sink->height && status == STATUS_OK; y++) {
		if (TIFFReadScanline(tiff, inks, (uint32_t)y, 0) < 0) {
			status = err_set(err, STATUS_FORMAT, "damaged TIFF: %s", source->message[0] ? source->message : "bad data");
			break;
		}
		for (size_t i = 0; i < 4 * sink->width; i++)
			inks[i] = (uint8_t)~inks[i];
		image_colour_inks(sink->colour, inks, rgb, sink->width);
		image_rows_put(sink, y, 1, rgb);
	}
	free(inks);
	free(rgb);
	return status;
}

static enum status decode(TIFF *tiff, const struct image_sink *sink, struct source *source, struct err *err)
{
	static const uint16_t straight[] = {EXTRASAMPLE_ASSOCALPHA};
	TIFFRGBAImage picture = {0};
	uint32_t width = 0, height = 0;
	uint16_t extras = 0, *kinds = NULL;
	char message[1024] = "";

	TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width);
	TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &height);
	if (width != sink->width || height != sink->height)
		return err_set(err, STATUS_FORMAT, "damaged TIFF: its headers contradict each other");
	if (has_profiled_inks(tiff, sink))
		return read_inks(tiff, sink, source, err);
	/* libtiff would blend colours with their alpha; called premultiplied, they are left as they are. */
	if (TIFFGetFieldDefaulted(tiff, TIFFTAG_EXTRASAMPLES, &extras, &kinds) && extras == 1 && kinds[0] == EXTRASAMPLE_UNASSALPHA)
		TIFFSetField(tiff, TIFFTAG_EXTRASAMPLES, 1, straight);
	if (!TIFFRGBAImageOK(tiff, message) || !TIFFRGBAImageBegin(&picture, tiff, 1, message))
		return err_set(err, STATUS_UNSUPPORTED, "TIFF of a kind that is not supported: %s", message);
	picture.orientation = picture.req_orientation = ORIENTATION_TOPLEFT; /* rows as they are stored */
	enum status status = read_bands(tiff, &picture, sink, source, err);
	TIFFRGBAImageEnd(&picture);
	return status;
}

enum status image_tiff_decode(const uint8_t *bytes, size_t size, const struct image_sink *sink, struct err *err)
{
	struct source source = {.bytes = bytes, .size = size};
	TIFF *tiff = open_source(&source);

	if (!tiff)
		return err_set(err, STATUS_FORMAT, "damaged TIFF: %s", source.message[0] ? source.message : "no directory");
	enum status status = decode(tiff, sink, &source, err);
	TIFFClose(tiff);
	return status;
}
