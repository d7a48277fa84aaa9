/* heif.c: HEIC and AVIF through libheif, which turns and mirrors the picture itself (irot, imir): an EXIF orientation
 * beside it says the same and must not be applied again. More than 8 bits are scaled down.
 *
 * The library is loaded when the first such picture comes: with the codecs that it brings it takes half of the time in which the
 * program starts, and most commands decode nothing.
 */
#include <dlfcn.h>
#include <libheif/heif.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "model/image/bytes.h"
#include "model/image/codec.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

#define FUNCTIONS(X) \
	X(context_alloc) X(context_set_max_decoding_threads) X(context_read_from_memory_without_copy) \
	X(context_get_primary_image_handle) X(image_handle_release) X(context_free) X(image_handle_get_metadata_size) \
	X(image_handle_get_metadata) X(image_handle_get_list_of_metadata_block_IDs) X(image_handle_get_metadata_type) \
	X(image_handle_get_metadata_content_type) X(image_handle_get_width) X(image_handle_get_height) \
	X(image_handle_get_raw_color_profile_size) X(image_handle_get_raw_color_profile) \
	X(image_handle_get_nclx_color_profile) X(nclx_color_profile_free) X(image_get_plane_readonly) X(image_get_width) \
	X(image_get_height) X(decoding_options_alloc) X(decode_image) X(image_release) X(decoding_options_free)

/* libheif's functions, without their prefix. */
static struct {
#define DECLARE(name) __typeof__(heif_##name) *name;
	FUNCTIONS(DECLARE)
	bool loaded;
} heif;

static void load(void)
{
	void *library = dlopen("libheif.so.1", RTLD_NOW | RTLD_LOCAL);

	heif.loaded = library != NULL;
#define FIND(name) heif.loaded = heif.loaded && (heif.name = (__typeof__(heif.name))dlsym(library, "heif_" #name)) != NULL;
	FUNCTIONS(FIND)
}

static enum status need_library(struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, load);
	return heif.loaded ? STATUS_OK
			   : err_set(err, STATUS_UNSUPPORTED, "HEIC and AVIF need the library libheif.so.1, which cannot be loaded; "
							      "hint: install libheif1");
}

struct reader {
	struct heif_context *context;
	struct heif_image_handle *handle; /* of the primary picture */
};

static enum status fail(struct heif_error error, struct err *err)
{
	const char *message = error.message ? error.message : "bad data";

	switch (error.code) {
	case heif_error_Memory_allocation_error:
		/* libheif's own limits on sizes report as this, too. */
		return err_set(err, STATUS_MEMORY, "HEIF picture needs too much memory: %s", message);
	case heif_error_Unsupported_filetype:
	case heif_error_Unsupported_feature:
		return err_set(err, STATUS_UNSUPPORTED, "HEIF of a kind that is not supported: %s", message);
	default:
		return err_set(err, STATUS_FORMAT, "damaged HEIF: %s", message);
	}
}

static enum status reader_open(const uint8_t *bytes, size_t size, struct reader *reader, struct err *err)
{
	enum status status = need_library(err);

	*reader = (struct reader){0};
	if (status != STATUS_OK)
		return status;
	reader->context = heif.context_alloc();
	if (!reader->context)
		return err_memory(err, "reading a HEIF picture");
	heif.context_set_max_decoding_threads(reader->context, 1); /* pictures are decoded side by side already */
	struct heif_error error = heif.context_read_from_memory_without_copy(reader->context, bytes, size, NULL);
	if (error.code == heif_error_Ok)
		error = heif.context_get_primary_image_handle(reader->context, &reader->handle);
	return error.code == heif_error_Ok ? STATUS_OK : fail(error, err);
}

static void reader_close(struct reader *reader)
{
	if (reader->handle)
		heif.image_handle_release(reader->handle);
	if (reader->context)
		heif.context_free(reader->context);
}

/* A metadata block as it stands in the file: libheif hands out copies, the file has it in one piece. NULL if it has not. */
static const uint8_t *find_block(const struct reader *reader, heif_item_id id, const uint8_t *bytes, size_t size, size_t *found)
{
	enum { BLOCK_MOST = 64 << 20 };
	size_t length = heif.image_handle_get_metadata_size(reader->handle, id);
	uint8_t *copy = length && length <= size && length <= BLOCK_MOST ? malloc(length) : NULL;
	const uint8_t *at = NULL;

	if (copy && heif.image_handle_get_metadata(reader->handle, id, copy).code == heif_error_Ok)
		at = memmem(bytes, size, copy, length);
	*found = at ? length : 0;
	free(copy);
	return at;
}

/* u32 offset of the TIFF header behind this number, then what comes before it, then the block. */
static void take_exif(const uint8_t *block, size_t size, struct image_info *info)
{
	if (size < 4)
		return;
	size_t skip = big32(block);
	if (skip > size - 4)
		return;
	info->exif = block + 4 + skip;
	info->exif_size = size - 4 - skip;
}

static void read_metadata(const struct reader *reader, const uint8_t *bytes, size_t size, struct image_info *info)
{
	enum { BLOCKS_MOST = 16 };
	heif_item_id ids[BLOCKS_MOST];
	int n = heif.image_handle_get_list_of_metadata_block_IDs(reader->handle, NULL, ids, BLOCKS_MOST);

	for (int i = 0; i < n && i < BLOCKS_MOST; i++) {
		const char *type = heif.image_handle_get_metadata_type(reader->handle, ids[i]);
		const char *content = heif.image_handle_get_metadata_content_type(reader->handle, ids[i]);
		size_t found;
		const uint8_t *block = NULL;
		if (type && strcmp(type, "Exif") == 0 && !info->exif) {
			block = find_block(reader, ids[i], bytes, size, &found);
			if (block)
				take_exif(block, found, info);
		} else if (type && content && strcmp(type, "mime") == 0 && strcmp(content, "application/rdf+xml") == 0 && !info->xmp) {
			info->xmp = find_block(reader, ids[i], bytes, size, &info->xmp_size);
		}
	}
}

enum status image_heif_probe(const uint8_t *bytes, size_t size, struct image_info *info, struct err *err)
{
	struct reader reader;
	enum status status = reader_open(bytes, size, &reader, err);

	if (status == STATUS_OK) {
		int width = heif.image_handle_get_width(reader.handle), height = heif.image_handle_get_height(reader.handle);
		if (width > 0 && height > 0) {
			info->width = (size_t)width;
			info->height = (size_t)height;
			read_metadata(&reader, bytes, size, info);
		} else {
			status = err_set(err, STATUS_FORMAT, "damaged HEIF: a picture without a size");
		}
	}
	reader_close(&reader);
	return status;
}

void image_heif_profile(const uint8_t *bytes, size_t size, struct buffer *icc)
{
	struct reader reader;

	if (reader_open(bytes, size, &reader, NULL) == STATUS_OK) {
		size_t length = heif.image_handle_get_raw_color_profile_size(reader.handle);
		struct heif_color_profile_nclx *coded = NULL;
		if (length && length <= size) {
			void *profile = malloc(length);
			if (profile && heif.image_handle_get_raw_color_profile(reader.handle, profile).code == heif_error_Ok)
				buffer_append(icc, profile, length);
			free(profile);
		} else if (heif.image_handle_get_nclx_color_profile(reader.handle, &coded).code == heif_error_Ok && coded) {
			image_colour_coded((unsigned)coded->color_primaries, (unsigned)coded->transfer_characteristics, icc);
		}
		if (coded) /* which comes with an error, too */
			heif.nclx_color_profile_free(coded);
	}
	reader_close(&reader);
}

static enum status put_rows(const struct heif_image *picture, const struct image_sink *sink, struct err *err)
{
	int stride = 0;
	const uint8_t *rows = heif.image_get_plane_readonly(picture, heif_channel_interleaved, &stride);

	if (!rows || heif.image_get_width(picture, heif_channel_interleaved) != (int)sink->width ||
	    heif.image_get_height(picture, heif_channel_interleaved) != (int)sink->height || stride < 3 * (int)sink->width)
		return err_set(err, STATUS_FORMAT, "damaged HEIF: its headers contradict each other");
	for (size_t y = 0; y < sink->height; y++)
		image_rows_put(sink, y, 1, rows + y * (size_t)stride);
	return STATUS_OK;
}

enum status image_heif_decode(const uint8_t *bytes, size_t size, const struct image_sink *sink, struct err *err)
{
	struct reader reader;
	struct heif_image *picture = NULL;
	struct heif_decoding_options *options = NULL;
	enum status status = reader_open(bytes, size, &reader, err);

	if (status == STATUS_OK && !(options = heif.decoding_options_alloc()))
		status = err_memory(err, "decoding a HEIF picture");
	if (status == STATUS_OK) {
		options->convert_hdr_to_8bit = 1;
		struct heif_error error = heif.decode_image(reader.handle, &picture, heif_colorspace_RGB, heif_chroma_interleaved_RGB,
							    options);
		status = error.code == heif_error_Ok ? put_rows(picture, sink, err) : fail(error, err);
	}
	if (picture)
		heif.image_release(picture);
	if (options)
		heif.decoding_options_free(options);
	reader_close(&reader);
	return status;
}
