/* probe.c: what is read from EXIF data, and what is not believed. The blocks are built here, entry by entry. */
#include "indexer/facts/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/catalog/catalog.h"
#include "tests/support.h"

#include "schema/base/banned.h"

enum { BYTE = 1, ASCII = 2, SHORT = 3, LONG = 4, RATIONAL = 5, UNDEFINED = 7, SLONG = 9, SRATIONAL = 10, UTF8 = 129 };

struct entry {
	int directory;          /* 0: the first, 1: EXIF's, 2: GPS's */
	unsigned tag, type, count; /* count of a text: 0 for its length and its NUL */
	const char *text;
	unsigned numbers[6];    /* RATIONAL */
};

struct block {
	uint8_t bytes[2048];
	size_t size;
};

static void put(struct block *b, size_t at, unsigned value, size_t n)
{
	assert_true(at + n <= sizeof b->bytes);
	for (size_t i = 0; i < n; i++)
		b->bytes[at + i] = (uint8_t)(value >> 8 * i);
}

static unsigned pointer_type = LONG; /* of the entries that point to directories */

/* One directory at b->size; its values behind it. sub: offsets of the EXIF and GPS directories, 0 if there is none. */
static void put_directory(struct block *b, const struct entry *entries, size_t n, int directory, const size_t sub[2])
{
	static const unsigned pointers[] = {0x8769, 0x8825};
	size_t at = b->size, count = 0;

	for (size_t i = 0; i < n; i++)
		count += entries[i].directory == directory;
	for (int s = 0; s < 2; s++)
		count += directory == 0 && sub[s];
	put(b, at, (unsigned)count, 2);
	size_t values = at + 2 + 12 * count + 4;
	at += 2;
	for (size_t i = 0; i < n; i++) {
		const struct entry *e = &entries[i];
		if (e->directory != directory)
			continue;
		unsigned components = e->text && !e->count ? (unsigned)strlen(e->text) + 1 : e->count;
		size_t bytes = e->text ? components : 8 * components;
		put(b, at, e->tag, 2);
		put(b, at + 2, e->type, 2);
		put(b, at + 4, components, 4);
		size_t place = bytes > 4 ? values : at + 8;
		if (bytes > 4) {
			put(b, at + 8, (unsigned)values, 4);
			values += bytes;
		}
		assert_true(place + bytes <= sizeof b->bytes);
		if (e->text)
			memcpy(b->bytes + place, e->text, bytes);
		else
			for (size_t k = 0; k < 2 * components; k++)
				put(b, place + 4 * k, e->numbers[k], 4);
		at += 12;
	}
	for (int s = 0; s < 2; s++)
		if (directory == 0 && sub[s]) {
			put(b, at, pointers[s], 2);
			put(b, at + 2, pointer_type, 2);
			put(b, at + 4, 1, 4);
			put(b, at + 8, (unsigned)sub[s], 4);
			at += 12;
		}
	b->size = values;
}

static struct block build(const struct entry *entries, size_t n)
{
	struct block b = {.bytes = "II*", .size = 8};
	size_t sub[2];

	for (int directory = 1; directory <= 2; directory++) {
		sub[directory - 1] = b.size;
		put_directory(&b, entries, n, directory, sub);
	}
	put(&b, 4, (unsigned)b.size, 4);
	put_directory(&b, entries, n, 0, sub);
	return b;
}

static void read_exif(const uint8_t *bytes, size_t size, struct probe *probe)
{
	probe_init(probe);
	probe_exif(probe, SAID_EXIF, bytes, size);
}

static struct probe probe_of(const struct entry *entries, size_t n)
{
	struct block b = build(entries, n);
	struct probe probe;

	read_exif(b.bytes, b.size, &probe);
	return probe;
}

#define PROBE(...) probe_of((const struct entry[]){__VA_ARGS__}, sizeof((const struct entry[]){__VA_ARGS__}) / sizeof(struct entry))
#define TEXT(directory, tag, text) {directory, tag, ASCII, 0, text, {0}}
#define TYPED(directory, tag, type, text) {directory, tag, type, 0, text, {0}}
#define BYTES(directory, tag, type, text) {directory, tag, type, sizeof(text) - 1, text, {0}}
#define ANGLE(tag, ...) {2, tag, RATIONAL, 3, NULL, {__VA_ARGS__}}

static void expect_unknown(const struct probe *probe)
{
	assert_false(probe->has_taken);
	assert_false(probe->has_position);
	assert_int_equal(probe->taken_offset, CATALOG_NO_OFFSET);
	assert_string_equal(probe->camera, "");
	assert_string_equal(probe->lens, "");
}

static void nothing_is_known_without_exif(void **state)
{
	(void)state;
	struct probe probe;

	read_exif(NULL, 0, &probe);
	expect_unknown(&probe);
	read_exif((const uint8_t *)"", 0, &probe);
	expect_unknown(&probe);
}

static void the_time_is_local_with_its_offset(void **state)
{
	(void)state;
	struct probe p = PROBE(TEXT(1, 0x9003, "2024:02:29 23:59:59"), TEXT(1, 0x9011, "-03:30"));

	assert_true(p.has_taken);
	assert_int_equal(p.taken_at, 1709251199);
	assert_int_equal(p.taken_offset, -210);
	p = PROBE(TEXT(1, 0x9003, "1969:12:31 23:59:58"));
	assert_int_equal(p.taken_at, -2);
	assert_int_equal(p.taken_offset, CATALOG_NO_OFFSET);
}

static void the_original_time_comes_first(void **state)
{
	(void)state;
	struct probe p = PROBE(TEXT(0, 0x0132, "2001:01:01 00:00:00"), TEXT(1, 0x9004, "2002:01:01 00:00:00"),
			       TEXT(1, 0x9003, "2003:01:01 00:00:00"));

	assert_int_equal(p.taken_at, 1041379200);
	p = PROBE(TEXT(0, 0x0132, "2001:01:01 00:00:00"), TEXT(1, 0x9004, "2002:01:01 00:00:00"), TEXT(1, 0x9003, "    :  :     :  :  "));
	assert_int_equal(p.taken_at, 1009843200);
	p = PROBE(TEXT(0, 0x0132, "2001:01:01 00:00:00"), TEXT(1, 0x9010, "+01:00"), TEXT(1, 0x9011, "+02:00"));
	assert_int_equal(p.taken_at, 978307200);
	assert_int_equal(p.taken_offset, 60);
}

static void impossible_times_are_not_believed(void **state)
{
	(void)state;
	static const char *const times[] = {
		"0000:00:00 00:00:00", "2023:02:29 00:00:00", "2024:13:01 00:00:00", "2024:01:32 00:00:00", "", "yesterday at about ten", "2024:-1:01 00:00:00", "1900:02:29 00:00:00",
	};

	for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
		struct probe p = PROBE(TEXT(1, 0x9003, times[i]));
		if (p.has_taken)
			fail_msg("'%s' was believed", times[i]);
	}
	static const char *const offsets[] = {"+25:00", "02:00", "+0200", "   :  ", "+02:60", ""};
	for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
		struct probe p = PROBE(TEXT(1, 0x9003, "2024:01:01 00:00:00"), TEXT(1, 0x9011, offsets[i]));
		assert_true(p.has_taken);
		assert_int_equal(p.taken_offset, CATALOG_NO_OFFSET);
	}
}

static void the_position_has_its_signs(void **state)
{
	(void)state;
	struct probe p = PROBE(TEXT(2, 1, "S"), ANGLE(2, 33, 1, 51, 1, 3540, 100), TEXT(2, 3, "E"), ANGLE(4, 151, 1, 12, 1, 36, 1));

	assert_true(p.has_position);
	assert_true(p.latitude > -33.8599 && p.latitude < -33.8597);
	assert_true(p.longitude > 151.2099 && p.longitude < 151.2101);
	p = PROBE(TEXT(2, 1, "N"), ANGLE(2, 40, 1, 446, 10, 0, 0), TEXT(2, 3, "W"), ANGLE(4, 74, 1, 0, 1, 0, 1));
	assert_true(p.has_position);
	assert_true(p.latitude > 40.7433 && p.latitude < 40.7434);
	assert_true(p.longitude == -74);
}

static void impossible_positions_are_not_believed(void **state)
{
	(void)state;
	struct probe p = PROBE(TEXT(2, 1, "N"), ANGLE(2, 91, 1, 0, 1, 0, 1), TEXT(2, 3, "E"), ANGLE(4, 10, 1, 0, 1, 0, 1));
	assert_false(p.has_position);
	p = PROBE(TEXT(2, 1, "N"), ANGLE(2, 10, 1, 0, 1, 0, 1), TEXT(2, 3, "E"), ANGLE(4, 180, 1, 1, 1, 0, 1));
	assert_false(p.has_position);
	p = PROBE(TEXT(2, 1, "N"), ANGLE(2, 10, 0, 0, 1, 0, 1), TEXT(2, 3, "E"), ANGLE(4, 10, 1, 0, 1, 0, 1));
	assert_false(p.has_position);
	p = PROBE(TEXT(2, 1, "N"), ANGLE(2, 0, 1, 0, 1, 0, 1), TEXT(2, 3, "E"), ANGLE(4, 0, 1, 0, 1, 0, 1));
	assert_false(p.has_position);
	p = PROBE(ANGLE(2, 10, 1, 0, 1, 0, 1), TEXT(2, 3, "E"), ANGLE(4, 10, 1, 0, 1, 0, 1));
	assert_false(p.has_position);
	p = PROBE(TEXT(2, 1, "N"), ANGLE(2, 10, 1, 0, 1, 0, 1));
	assert_false(p.has_position);
}

static void values_of_other_types_are_converted(void **state)
{
	static const unsigned types[] = {BYTE, ASCII, UNDEFINED, UTF8};

	(void)state;
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		struct probe p = PROBE(TYPED(1, 0x9003, types[i], "2020:02:03 04:05:06"), TYPED(0, 0x010e, types[i], "Gr\xc3\xbc\xc3\x9f" "e"));
		assert_int_equal(p.taken_at, 1580702706);
		assert_string_equal(p.texts[PROBE_DESCRIPTION].data, "Gr\xc3\xbc\xc3\x9f" "e");
		probe_release(&p);
	}
	struct probe p = PROBE(TEXT(0, 0x9003, "2020:02:03 04:05:06")); /* as TIFF/EP has it */
	assert_int_equal(p.taken_at, 1580702706);
	/* One number of degrees, small letters, signed numbers. */
	p = PROBE(TEXT(2, 1, "n"), {2, 2, RATIONAL, 1, NULL, {482, 10}}, TEXT(2, 3, "w"), {2, 4, SRATIONAL, 3, NULL, {16, 1, 30, 1, 0, 1}});
	assert_true(p.has_position && p.latitude == 48.2 && p.longitude == -16.5);
	p = PROBE(TEXT(2, 1, "N"), {2, 2, SRATIONAL, 1, NULL, {482, 10}}, {2, 4, SRATIONAL, 1, NULL, {(unsigned)-165, 10}});
	assert_true(p.has_position && p.latitude == 48.2 && p.longitude == -16.5);
	pointer_type = SLONG;
	p = PROBE(TEXT(1, 0x9003, "2020:02:03 04:05:06"), TEXT(2, 1, "N"), ANGLE(2, 10, 1, 0, 1, 0, 1), TEXT(2, 3, "E"), ANGLE(4, 10, 1, 0, 1, 0, 1));
	pointer_type = LONG;
	assert_true(p.has_taken && p.has_position);
}

static void comments_are_read_in_their_code(void **state)
{
	(void)state;
	struct probe p = PROBE(BYTES(1, 0x9286, UNDEFINED, "ASCII\0\0\0a note   "));
	assert_string_equal(p.texts[PROBE_DESCRIPTION].data, "a note");
	probe_release(&p);
	p = PROBE(BYTES(1, 0x9286, UNDEFINED, "UNICODE\0a\0 \0\xfc\0"));
	assert_string_equal(p.texts[PROBE_DESCRIPTION].data, "a \xc3\xbc");
	probe_release(&p);
	p = PROBE(BYTES(1, 0x9286, UNDEFINED, "UNICODE\0\0a\0 \0\xfc")); /* in the other order than the block */
	assert_string_equal(p.texts[PROBE_DESCRIPTION].data, "a \xc3\xbc");
	probe_release(&p);
	p = PROBE(BYTES(1, 0x9286, UNDEFINED, "JIS\0\0\0\0\0\x1b$B"));
	assert_int_equal(p.texts[PROBE_DESCRIPTION].size, 0);
}

/* As Canon's CR3 has them. */
static void directories_in_blocks_of_their_own_are_read(void **state)
{
	(void)state;
	const struct entry camera[] = {TEXT(0, 0x9003, "2020:02:03 04:05:06"), TEXT(0, 0xa434, "RF 50")};
	const struct entry place[] = {TEXT(0, 1, "N"), {0, 2, RATIONAL, 1, NULL, {48, 1}}, TEXT(0, 3, "E"), {0, 4, RATIONAL, 1, NULL, {16, 1}}};
	struct block b = build(camera, 2), c = build(place, 4);
	struct probe p;

	probe_init(&p);
	probe_exif(&p, SAID_EXIF_CAMERA, b.bytes, b.size);
	probe_exif(&p, SAID_EXIF_GPS, c.bytes, c.size);
	assert_int_equal(p.taken_at, 1580702706);
	assert_string_equal(p.lens, "RF 50");
	assert_true(p.has_position && p.latitude == 48 && p.longitude == 16);
}

static void the_make_is_not_doubled(void **state)
{
	(void)state;
	static const struct {
		const char *make, *model, *camera;
	} cases[] = {
		{"Canon", "Canon EOS 5D", "Canon EOS 5D"},    {"NIKON CORPORATION", "NIKON D90", "NIKON D90"},
		{"Apple", "iPhone 12", "Apple iPhone 12"},    {"LG Electronics", "LG-H870", "LG-H870"},
		{"HP", "hp Photosmart", "hp Photosmart"},     {"Can", "Canon EOS", "Can Canon EOS"},
		{"  SONY \n", " DSC-W30   ", "SONY DSC-W30"}, {"Canon", "", "Canon"},
		{"", "EOS", "EOS"},                           {"A\x01\x1b[31mB", "C\x7f", "A[31mB C"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct probe p = PROBE(TEXT(0, 0x010f, cases[i].make), TEXT(0, 0x0110, cases[i].model));
		assert_string_equal(p.camera, cases[i].camera);
	}
}

static void the_lens_is_read(void **state)
{
	(void)state;
	struct probe p = PROBE(TEXT(1, 0xa434, "EF50mm f/1.8 II  "));

	assert_string_equal(p.lens, "EF50mm f/1.8 II");
}

static void long_names_are_cut(void **state)
{
	(void)state;
	char name[400];

	memset(name, 'x', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	struct probe p = PROBE(TEXT(0, 0x010f, name), TEXT(0, 0x0110, name), TEXT(1, 0xa434, name));
	assert_true(strlen(p.camera) < sizeof p.camera);
	assert_int_equal(strlen(p.lens), sizeof p.lens - 1);
}

static void descriptions_are_read_and_boilerplate_is_not(void **state)
{
	(void)state;
	static const uint8_t windows[] = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x9e, 0x9c, 1, 0, 20, 0, 0, 0, 26, 0, 0, 0, 0, 0, 0, 0,
					  'a', 0, 0xe9, 0, ';', 0, 0xac, 0x20, ';', 0, 0x3d, 0xd8, 0x00, 0xde, 'x', 0, 0, 0, 'y', 0};
	struct probe p = PROBE(TEXT(0, 0x010e, "  A boat on the Thames "));

	assert_int_equal(p.texts[PROBE_DESCRIPTION].size, 21);
	assert_string_equal(p.texts[PROBE_DESCRIPTION].data, "A boat on the Thames");
	probe_release(&p);
	p = PROBE(TEXT(0, 0x010e, "OLYMPUS DIGITAL CAMERA         "));
	assert_int_equal(p.texts[PROBE_DESCRIPTION].size, 0);
	probe_release(&p);
	read_exif(windows, sizeof windows, &p); /* keywords in UTF-16, one beyond its first 65536 */
	assert_int_equal(p.texts[PROBE_KEYWORDS].size, 14);
	assert_memory_equal(p.texts[PROBE_KEYWORDS].data, "a\xc3\xa9\0\xe2\x82\xac\0\xf0\x9f\x98\x80x", 14);
	probe_release(&p);
}

/* Cut at every length, and with bytes changed: read or left out, never a crash. Under sanitizers this says more. */
static void damaged_blocks_are_survived(void **state)
{
	(void)state;
	const struct entry entries[] = {TEXT(0, 0x010f, "Canon"), TEXT(0, 0x0110, "Canon EOS 5D"),
					TEXT(1, 0x9003, "2024:02:29 23:59:59"), TEXT(2, 1, "N"),
					ANGLE(2, 33, 1, 51, 1, 3540, 100), TEXT(2, 3, "E"), ANGLE(4, 151, 1, 12, 1, 36, 1)};
	struct block b = build(entries, sizeof entries / sizeof *entries);
	uint64_t random = 1;
	struct probe probe;

	for (size_t n = 0; n < b.size; n++) {
		uint8_t *cut = malloc(n ? n : 1);
		memcpy(cut, b.bytes, n);
		read_exif(cut, n, &probe);
		probe_release(&probe);
		free(cut);
	}
	for (int i = 0; i < 3000; i++) {
		struct block damaged = b;
		for (int k = 0; k < 3; k++)
			damaged.bytes[test_random(&random) % b.size] = (uint8_t)test_random(&random);
		read_exif(damaged.bytes, b.size, &probe);
		assert_true(!probe.has_position ||
			(probe.latitude >= -90 && probe.latitude <= 90 && probe.longitude >= -180 && probe.longitude <= 180));
		probe_release(&probe);
	}
}

TEST_MAIN(cmocka_unit_test(nothing_is_known_without_exif), cmocka_unit_test(the_time_is_local_with_its_offset),
	  cmocka_unit_test(the_original_time_comes_first), cmocka_unit_test(impossible_times_are_not_believed),
	  cmocka_unit_test(the_position_has_its_signs), cmocka_unit_test(impossible_positions_are_not_believed),
	  cmocka_unit_test(the_make_is_not_doubled), cmocka_unit_test(the_lens_is_read), cmocka_unit_test(long_names_are_cut),
	  cmocka_unit_test(descriptions_are_read_and_boilerplate_is_not),
	  cmocka_unit_test(values_of_other_types_are_converted), cmocka_unit_test(comments_are_read_in_their_code),
	  cmocka_unit_test(directories_in_blocks_of_their_own_are_read),
	  cmocka_unit_test(damaged_blocks_are_survived))
