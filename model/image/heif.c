/* heif.c: HEIC and AVIF through libheif, which turns and mirrors the picture itself (irot, imir): an EXIF orientation
 * beside them says the same and must not be applied again. More than 8 bits are scaled down.
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

#include "model/image/boxes.h"
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
	struct buffer eased;              /* the file as the library can read it, where it cannot as it is */
};

/* --- the box "meta" --- */

static bool is_box(const struct box *box, const char type[5])
{
	return memcmp(box->type, type, 4) == 0;
}

/* A number of a full box's body, which begins with u8 version, u24 flags. 0 where the body ends before it. */
static uint32_t number_at(const struct box *box, size_t at, bool wide)
{
	size_t bytes = wide ? 4 : 2;

	if (at > box->size || box->size - at < bytes)
		return 0;
	return wide ? big32(box->body + at) : big16(box->body + at);
}

/* The first item of the picture: 0 where none is named. meta: a full box. */
static uint32_t primary_item(const struct box *meta)
{
	struct box primary;

	if (meta->size < 4 || !box_find(meta->body + 4, meta->size - 4, "pitm", &primary) || primary.size < 4)
		return 0;
	return number_at(&primary, 4, primary.body[0] > 0);
}

/* Whether the n-th property, from 1, of those in ipco turns or mirrors. */
static bool is_turn(const struct box *properties, size_t n)
{
	struct box property;

	for (size_t at = 0, i = 1; box_next(properties->body, properties->size, &at, &property); i++)
		if (i == n)
			return is_box(&property, "irot") || is_box(&property, "imir");
	return false;
}

/* Whether the primary item is turned or mirrored: ipma is u32 entries, each of u16 or u32 item, u8 count, and the count of u8 or u16 whose
 * highest bit is no part of the number. */
static bool turns(const struct box *meta)
{
	uint32_t primary = primary_item(meta);
	struct box all, properties, links;

	if (meta->size < 4 || !box_find(meta->body + 4, meta->size - 4, "iprp", &all) ||
	    !box_find(all.body, all.size, "ipco", &properties) || !box_find(all.body, all.size, "ipma", &links) || links.size < 8)
		return false;
	size_t wide_item = links.body[0] > 0 ? 4 : 2, wide = links.body[3] & 1 ? 2 : 1, at = 8;
	for (uint32_t entries = big32(links.body + 4); entries && links.size - at > wide_item; entries--) {
		uint32_t item = number_at(&links, at, wide_item == 4);
		size_t count = links.body[at + wide_item];
		at += wide_item + 1;
		for (; count && links.size - at >= wide; count--, at += wide) {
			size_t n = wide == 2 ? big16(links.body + at) & 0x7fff : links.body[at] & 0x7f;
			if (item == primary && is_turn(&properties, n))
				return true;
		}
		if (count)
			return false;
	}
	return false;
}

/* A reference: u16 or u32 item, u16 count, count items. Debian's libheif 1.15 refuses a file in which an auxiliary picture or a
 * description is of two items, as phones write it since 2024: of the picture and of its tone map. */
static bool is_refused(const struct box *reference, size_t wide)
{
	return reference->body - reference->start == 8 && (is_box(reference, "auxl") || is_box(reference, "cdsc")) && number_at(reference, wide, false) > 1;
}

static void put32(struct buffer *to, size_t at, size_t value)
{
	for (size_t i = 0; i < 4; i++)
		to->data[at + i] = (char)(value >> (24 - 8 * i));
}

/* Appends iref without such references; what describes the primary item, too, describes it alone. */
static void ease_references(const struct box *iref, uint32_t primary, struct buffer *out)
{
	size_t start = out->size, wide = iref->body[0] ? 4 : 2;
	struct box reference;

	buffer_append(out, iref->start, (size_t)(iref->body - iref->start) + 4);
	for (size_t at = 0; box_next(iref->body + 4, iref->size - 4, &at, &reference);) {
		size_t length = (size_t)(reference.body - reference.start) + reference.size, head = length - reference.size + wide;
		if (!is_refused(&reference, wide)) {
			buffer_append(out, reference.start, length);
			continue;
		}
		bool described = false;
		for (size_t i = 0, n = number_at(&reference, wide, false); i < n && is_box(&reference, "cdsc"); i++)
			described |= number_at(&reference, wide + 2 + i * wide, wide == 4) == primary;
		if (!described)
			continue;
		size_t own = out->size;
		const uint8_t item[4] = {(uint8_t)(primary >> 24), (uint8_t)(primary >> 16), (uint8_t)(primary >> 8), (uint8_t)primary};
		buffer_append(out, reference.start, head);
		buffer_append(out, "\0\1", 2);
		buffer_append(out, item + 4 - wide, wide);
		if (!out->failed)
			put32(out, own, head + 2 + wide);
	}
	if (!out->failed)
		put32(out, start, out->size - start);
}

/* The file with its meta box passed over, and one behind everything that the library can read; empty where it reads the file as it is.
 * Places in the file stay what they are. */
static void ease(const uint8_t *bytes, size_t size, struct buffer *eased)
{
	struct box meta, iref, box;
	bool refused = false;

	if (!box_find(bytes, size, "meta", &meta) || meta.body - meta.start != 8 || meta.size < 4 ||
	    !box_find(meta.body + 4, meta.size - 4, "iref", &iref) || iref.size < 4 || iref.body - iref.start != 8)
		return;
	for (size_t at = 0; box_next(iref.body + 4, iref.size - 4, &at, &box);)
		refused |= is_refused(&box, iref.body[0] ? 4 : 2);
	size_t last = 0;
	for (size_t at = 0; box_next(bytes, size, &at, &box);)
		last = (size_t)(box.start - bytes);
	if (!refused)
		return;
	buffer_append(eased, bytes, size);
	size_t start = eased->size;
	buffer_append(eased, meta.start, 12);
	for (size_t at = 0; box_next(meta.body + 4, meta.size - 4, &at, &box);) {
		if (is_box(&box, "iref"))
			ease_references(&box, primary_item(&meta), eased);
		else
			buffer_append(eased, box.start, (size_t)(box.body - box.start) + box.size);
	}
	if (eased->failed)
		return;
	put32(eased, start, eased->size - start);
	memcpy(eased->data + (meta.start - bytes) + 4, "free", 4);
	if (big32(bytes + last) == 0) /* "to the end" ends here now */
		put32(eased, last, size - last);
}

/* --- the library's view of it --- */

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
	ease(bytes, size, &reader->eased);
	if (reader->eased.failed)
		return err_memory(err, "reading a HEIF picture");
	if (reader->eased.size) {
		bytes = (const uint8_t *)reader->eased.data;
		size = reader->eased.size;
	}
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
	buffer_release(&reader->eased);
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

static void read_metadata(const struct reader *reader, const uint8_t *bytes, size_t size, struct image_said *said)
{
	enum { BLOCKS_MOST = 16 };
	heif_item_id ids[BLOCKS_MOST];
	int n = heif.image_handle_get_list_of_metadata_block_IDs(reader->handle, NULL, ids, BLOCKS_MOST);

	for (int i = 0; i < n && i < BLOCKS_MOST; i++) {
		const char *type = heif.image_handle_get_metadata_type(reader->handle, ids[i]);
		const char *content = heif.image_handle_get_metadata_content_type(reader->handle, ids[i]);
		size_t found;
		bool exif = type && strcmp(type, "Exif") == 0; /* u32 offset of the TIFF block, what comes before it, the block */
		if (!exif && !(type && content && strcmp(type, "mime") == 0 && strcmp(content, "application/rdf+xml") == 0))
			continue;
		const uint8_t *block = find_block(reader, ids[i], bytes, size, &found);
		if (block && exif)
			image_said_add_exif(said, block, found);
		else if (block)
			image_said_add(said, SAID_XMP, block, found);
	}
}

enum status image_heif_probe(const uint8_t *bytes, size_t size, struct image_info *info, struct image_said *said, struct err *err)
{
	struct reader reader;
	struct box meta;
	enum status status = reader_open(bytes, size, &reader, err);

	if (status == STATUS_OK) {
		int width = heif.image_handle_get_width(reader.handle), height = heif.image_handle_get_height(reader.handle);
		if (width > 0 && height > 0) {
			info->width = (size_t)width;
			info->height = (size_t)height;
			read_metadata(&reader, bytes, size, said);
		} else {
			status = err_set(err, STATUS_FORMAT, "damaged HEIF: a picture without a size");
		}
	}
	/* Some cameras' programs turn a HEIC by EXIF alone; in an AVIF nobody looks there. */
	if (info->format == IMAGE_AVIF || !box_find(bytes, size, "meta", &meta) || turns(&meta))
		info->orientation = 1;
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
