/* said.c: what files say beside their pixels, where they have it in pieces, compressed, in odd places, or in a way that a library refuses.
 * The files are put together here.
 */
#include "model/image/said.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "model/image/codec.h"
#include "model/image/image.h"
#include "schema/base/file.h"
#include "tests/support.h"

#include "schema/base/banned.h"

static void put_big(struct buffer *to, size_t value, size_t bytes)
{
	for (size_t i = bytes; i-- > 0;)
		buffer_append(to, (const char[]){(char)(value >> 8 * i)}, 1);
}

static struct image_said said_by(const struct buffer *file, struct image_info *info)
{
	struct image_said said;
	struct err err;

	assert_ok(image_probe_said((const uint8_t *)file->data, file->size, info, &said, &err), &err);
	return said;
}

static void assert_block(const struct image_said *said, size_t i, enum said_kind kind, const void *bytes, size_t size)
{
	assert_true(i < said->count);
	assert_int_equal(said->blocks[i].kind, kind);
	assert_int_equal(said->blocks[i].size, size);
	assert_memory_equal(said->blocks[i].bytes, bytes, size);
}
#define BLOCK(said, i, kind, text) assert_block(said, i, kind, text, sizeof(text) - 1)

/* A TIFF block whose one entry is the orientation. */
#define TURNED(n) "II*\0\10\0\0\0\1\0\x12\1\3\0\1\0\0\0" n "\0\0\0\0\0\0\0"

/* --- JPEG --- */

static void add_segment(struct buffer *to, const char *name, size_t name_size, const void *body, size_t size)
{
	buffer_append(to, "\xff\xe1", 2);
	put_big(to, 2 + name_size + size, 2);
	buffer_append(to, name, name_size);
	buffer_append(to, body, size);
}

static void end_jpeg(struct buffer *file)
{
	buffer_append(file, "\xff\xc0\0\x0b\x08\0\2\0\3\1\1\x11\0\xff\xda", 15); /* a frame of 3 x 2, and the scan */
}

static void of_several_exif_segments_each_counts(void **state)
{
	struct buffer file = {0};
	struct image_info info;

	(void)state;
	buffer_append(&file, "\xff\xd8", 2);
	add_segment(&file, "Exif\0", 6, "garbage garbage", 15);
	add_segment(&file, "Exif\0", 6, "II*\0\10\0\0\0\0\0\0\0\0\0", 14);
	add_segment(&file, "Exif\0", 6, TURNED("\6"), sizeof TURNED("\6") - 1);
	add_segment(&file, "http://ns.adobe.com/xap/1.0/ ", 29, "<x/>", 4);
	end_jpeg(&file);
	struct image_said said = said_by(&file, &info);
	assert_int_equal(said.count, 3);
	BLOCK(&said, 1, SAID_EXIF, TURNED("\6"));
	BLOCK(&said, 2, SAID_XMP, "<x/>");
	assert_int_equal(info.orientation, 6);
	assert_true(info.width == 2 && info.height == 3);
	image_said_release(&said);
	buffer_release(&file);
}

static void exif_over_two_segments_is_joined(void **state)
{
	enum { FIRST = 65000, SECOND = 500 };
	struct buffer file = {0}, block = {0};
	struct image_info info;

	(void)state;
	buffer_append(&block, "II*\0\10\0\0\0", 8);
	while (block.size < FIRST + SECOND)
		put_big(&block, block.size % 251, 1);
	buffer_append(&file, "\xff\xd8", 2);
	add_segment(&file, "Exif\0", 6, block.data, FIRST);
	add_segment(&file, "Exif\0", 6, block.data + FIRST, SECOND);
	end_jpeg(&file);
	struct image_said said = said_by(&file, &info);
	assert_int_equal(said.count, 1);
	assert_block(&said, 0, SAID_EXIF, block.data, FIRST + SECOND);
	image_said_release(&said);
	buffer_release(&file);
	buffer_release(&block);
}

/* --- PNG --- */

static void add_chunk(struct buffer *to, const char *type, const void *body, size_t size)
{
	put_big(to, size, 4);
	buffer_append(to, type, 4);
	buffer_append(to, body, size);
	put_big(to, 0, 4); /* no reader of texts looks at the checksum */
}

/* key, NUL and what stands before the text; then the text, compressed. */
static void add_compressed(struct buffer *to, const char *type, const void *head, size_t head_size, const char *text)
{
	uint8_t packed[256];
	uLongf size = sizeof packed;
	struct buffer body = {0};

	assert_int_equal(compress(packed, &size, (const uint8_t *)text, strlen(text)), Z_OK);
	buffer_append(&body, head, head_size);
	buffer_append(&body, packed, size);
	add_chunk(to, type, body.data, body.size);
	buffer_release(&body);
}

#define CHUNK(type, body) add_chunk(&file, type, body, sizeof(body) - 1)
#define COMPRESSED(type, head, text) add_compressed(&file, type, head, sizeof(head) - 1, text)

static void all_texts_of_a_png_are_read(void **state)
{
	struct buffer file = {0};
	struct image_info info;

	(void)state;
	buffer_append(&file, "\x89PNG\r\n\x1a\n", 8);
	CHUNK("IHDR", "\0\0\0\3\0\0\0\2\10\2\0\0\0");
	CHUNK("tEXt", "Title\0A boat");
	COMPRESSED("zTXt", "Description\0\0", "on the sea");
	CHUNK("iTXt", "Creation Time\0\0\0\0\0" "2016:02:03 04:05:06");
	CHUNK("tEXt", "Software\0unsaid");
	COMPRESSED("iTXt", "XML:com.adobe.xmp\0\1\0\0\0", "<x/>");
	CHUNK("iTXt", "XML:com.adobe.xmp\0\0\0en\0name\0<y/>");
	CHUNK("tEXt", "Raw profile type xmp\0\nxmp\n       4\n3c7a2f3e\n");
	COMPRESSED("zTXt", "Raw profile type iptc\0\0", "\niptc\n      17\n3842494d040400000000000431323334\n");
	CHUNK("tEXt", "Raw profile type iptc\0\niptc\n       3\n1c0205\n");
	CHUNK("tEXt", "Raw profile type exif\0\nexif\n      14\n45786966000049492a0008000000\n0000\n");
	CHUNK("eXIf", "Exif\0\0MM\0*\0\0\0\10");
	struct image_said said = said_by(&file, &info);
	assert_int_equal(said.count, 10);
	BLOCK(&said, 0, SAID_TITLE, "A boat");
	BLOCK(&said, 1, SAID_DESCRIPTION, "on the sea");
	BLOCK(&said, 2, SAID_TIME, "2016:02:03 04:05:06");
	BLOCK(&said, 3, SAID_XMP, "<x/>");
	BLOCK(&said, 4, SAID_XMP, "<y/>");
	BLOCK(&said, 5, SAID_XMP, "<z/>");
	BLOCK(&said, 6, SAID_IPTC, "1234");
	BLOCK(&said, 7, SAID_IPTC, "\x1c\2\5");
	BLOCK(&said, 8, SAID_EXIF, "II*\0\10\0\0\0\0\0");
	BLOCK(&said, 9, SAID_EXIF, "MM\0*\0\0\0\10");
	image_said_release(&said);
	for (size_t size = 33; size < file.size; size++) { /* cut anywhere; under sanitizers this says more */
		struct buffer cut = {0};
		buffer_append(&cut, file.data, size);
		said = said_by(&cut, &info);
		image_said_release(&said);
		buffer_release(&cut);
	}
	buffer_release(&file);
}

/* --- boxes --- */

static void add_box(struct buffer *to, const char *type, const void *body, size_t size)
{
	put_big(to, 8 + size, 4);
	buffer_append(to, type, 4);
	buffer_append(to, body, size);
}

static void a_cr3_says_what_it_knows_in_three_blocks(void **state)
{
	static const char canon[] = "\x85\xc0\xb6\x87\x82\x0f\x11\xe0\x81\x11\xf4\xce\x46\x2b\x6a\x48";
	struct buffer own = {0}, movie = {0}, file = {0};
	struct image_said said = {0};

	(void)state;
	buffer_append(&own, canon, 16);
	add_box(&own, "CNCV", "x", 1);
	add_box(&own, "CMT1", TURNED("\6"), sizeof TURNED("\6") - 1);
	add_box(&own, "CMT2", "II*\0camera", 10);
	add_box(&own, "CMT4", "II*\0place", 9);
	add_box(&movie, "uuid", "another that is longer than that", 32);
	add_box(&movie, "uuid", own.data, own.size);
	add_box(&file, "ftyp", "crx ", 4);
	add_box(&file, "moov", movie.data, movie.size);
	image_raw_said((uint8_t *)file.data, file.size, &said);
	assert_int_equal(said.count, 3);
	BLOCK(&said, 0, SAID_EXIF, TURNED("\6"));
	BLOCK(&said, 1, SAID_EXIF_CAMERA, "II*\0camera");
	BLOCK(&said, 2, SAID_EXIF_GPS, "II*\0place");
	image_said_release(&said);
	for (size_t size = 0; size < file.size; size++) {
		image_raw_said((uint8_t *)file.data, size, &said);
		image_said_release(&said);
	}
	buffer_release(&own);
	buffer_release(&movie);
	buffer_release(&file);
}

static struct buffer read_heic(void)
{
	struct buffer file = {0};
	uint8_t *bytes;
	size_t size;
	struct err err;

	assert_ok(file_read("tests/data/images/orientation-6-61x47.heic", 1 << 20, &bytes, &size, &err), &err);
	buffer_append(&file, bytes, size);
	free(bytes);
	return file;
}

static char *find(struct buffer *file, const char *text, size_t size)
{
	char *at = memmem(file->data, file->size, text, size);

	assert_non_null(at);
	return at;
}

static struct image decoded(const struct buffer *file)
{
	struct image image;
	struct err err;

	assert_ok(image_decode((const uint8_t *)file->data, file->size, 0, 0, &image, &err), &err);
	return image;
}

/* Of a file that turns its picture EXIF says the same once more; without that only EXIF says it. */
static void a_heic_is_turned_by_exif_where_nothing_else_turns_it(void **state)
{
	struct buffer file = read_heic();
	struct image_info info;

	(void)state;
	struct image upright = decoded(&file);
	struct image_said said = said_by(&file, &info);
	assert_int_equal(info.orientation, 1);
	image_said_release(&said);
	memcpy(find(&file, "irot", 4), "free", 4);
	struct image turned = decoded(&file);
	said = said_by(&file, &info);
	assert_int_equal(info.orientation, 6);
	assert_true(info.width == upright.width && info.height == upright.height);
	assert_true(turned.width == upright.width && turned.height == upright.height);
	assert_memory_equal(turned.rgb, upright.rgb, 3 * upright.width * upright.height);
	image_said_release(&said);
	image_release(&upright);
	image_release(&turned);
	buffer_release(&file);
}

/* A description of two items is refused by libheif 1.15: "meta" once more behind everything, with a second target in its reference. */
static void a_heic_whose_description_is_of_two_items_is_read(void **state)
{
	struct buffer file = read_heic(), changed = {0};
	struct image_info info;

	(void)state;
	struct image plain = decoded(&file);
	struct image_said said = said_by(&file, &info);
	size_t exif = said.blocks[0].size;
	assert_int_equal(said.count, 1);
	image_said_release(&said);

	char *meta = find(&file, "meta", 4) - 4, *iref = find(&file, "iref", 4) - 4, *cdsc = find(&file, "cdsc", 4) - 4;
	size_t meta_size = (size_t)(uint8_t)meta[2] << 8 | (uint8_t)meta[3], iref_size = (uint8_t)iref[3];
	assert_true(cdsc[3] == 14 && cdsc[11] == 1 && iref_size < 128);
	buffer_append(&changed, file.data, file.size);
	memcpy(changed.data + (meta - file.data) + 4, "free", 4);
	size_t start = changed.size, before = (size_t)(cdsc - meta);
	buffer_append(&changed, meta, before);
	buffer_append(&changed, "\0\0\0\20cdsc", 8);
	buffer_append(&changed, cdsc + 8, 2);
	buffer_append(&changed, "\0\2", 2);
	buffer_append(&changed, cdsc + 12, 2);
	buffer_append(&changed, "\0\x5a", 2);
	buffer_append(&changed, cdsc + 14, meta_size - before - 14);
	changed.data[start + 2] = (char)((meta_size + 2) >> 8);
	changed.data[start + 3] = (char)(meta_size + 2);
	changed.data[start + (size_t)(iref - meta) + 3] = (char)(iref_size + 2);

	said = said_by(&changed, &info);
	assert_int_equal(said.count, 1);
	assert_int_equal(said.blocks[0].size, exif);
	struct image seen = decoded(&changed);
	assert_true(seen.width == plain.width && seen.height == plain.height);
	assert_memory_equal(seen.rgb, plain.rgb, 3 * plain.width * plain.height);
	image_said_release(&said);
	image_release(&plain);
	image_release(&seen);
	buffer_release(&file);
	buffer_release(&changed);
}

TEST_MAIN(cmocka_unit_test(of_several_exif_segments_each_counts), cmocka_unit_test(exif_over_two_segments_is_joined),
	  cmocka_unit_test(all_texts_of_a_png_are_read), cmocka_unit_test(a_cr3_says_what_it_knows_in_three_blocks),
	  cmocka_unit_test(a_heic_is_turned_by_exif_where_nothing_else_turns_it),
	  cmocka_unit_test(a_heic_whose_description_is_of_two_items_is_read))
