/* sidecar.c: which files beside a photograph are its own, and what XMP, IPTC, JSON and texts say. */
#include "indexer/facts/facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/catalog/catalog.h"
#include "tests/support.h"

#include "schema/base/banned.h"

static struct sidecars listing(const char *const *names)
{
	struct sidecars s = {0};
	struct err err;

	for (; *names; names++) {
		assert_true(sidecar_kind(*names) != SIDECAR_NONE);
		assert_ok(sidecars_add(&s, strdup(*names), 1, 1, 1, &err), &err);
	}
	sidecars_sort(&s);
	return s;
}

/* The names of those found, without their folder. */
static const char *beside(const struct sidecars *s, const char *photo)
{
	static char names[1024];
	const struct sidecar *found[SIDECARS_MOST];
	size_t n = sidecars_of(s, photo, found);

	names[0] = '\0';
	for (size_t i = 0; i < n; i++)
		snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? " " : "", strrchr(found[i]->path, '/') + 1);
	return names;
}

static void a_photo_has_what_is_named_after_it(void **state)
{
	struct sidecars s = listing((const char *[]){"/p/a.txt", "/p/a.jpg.txt", "/p/a.XMP", "/p/a.jpg.xmp", "/p/a.json", "/p/ab.txt",
		"/p/a.png.txt", "/p/q/a.txt", "/p/notes.txt", "/p/a.jpg.supplemental-metadata.json", "/p/b.jpg.supplemental-me.json",
		"/p/b.jpg(2).json", "/p/c.jpg.supplemental-metadata(3).json", "/p/b.jpg.json", "/p/b.jpg.other.json", NULL});

	(void)state;
	assert_string_equal(beside(&s, "/p/a.jpg"), "a.XMP a.jpg.xmp a.jpg.supplemental-metadata.json a.json a.jpg.txt a.txt");
	assert_string_equal(beside(&s, "/p/a.png"), "a.XMP a.json a.png.txt a.txt");
	assert_string_equal(beside(&s, "/p/b.jpg"), "b.jpg.json b.jpg.supplemental-me.json");
	assert_string_equal(beside(&s, "/p/b(2).jpg"), "b.jpg(2).json");
	assert_string_equal(beside(&s, "/p/c(3).jpg"), "c.jpg.supplemental-metadata(3).json");
	assert_string_equal(beside(&s, "/p/c.jpg"), "");
	assert_string_equal(beside(&s, "/p/q/a.jpg"), "a.txt");
	assert_string_equal(beside(&s, "/p/b(2.jpg"), "");
	assert_int_equal(sidecar_kind("a.jpg"), SIDECAR_NONE);
	assert_int_equal(sidecar_kind(".txt"), SIDECAR_NONE);
	sidecars_release(&s);
}

static void the_stamp_follows_name_size_and_time(void **state)
{
	struct sidecar a = {"/p/a.txt", 1, 1, 1}, b = {"/p/a.txt", 2, 1, 1}, c = {"/p/a.txt", 1, 2, 1}, d = {"/p/a.xmp", 1, 1, 1}, e = {"/p/a.txt", 1, 1, 2};
	const struct sidecar *lists[][2] = {{&a, &d}, {&b, &d}, {&c, &d}, {&d, &a}, {&e, &d}};
	int64_t stamps[7] = {facts_stamp(NULL, 0), facts_stamp(lists[0], 1)};

	(void)state;
	for (int i = 0; i < 5; i++)
		stamps[2 + i] = facts_stamp(lists[i], 2);
	for (int i = 0; i < 7; i++)
		for (int j = 0; j < i; j++)
			assert_true(stamps[i] != stamps[j] && stamps[i] != 0);
	assert_int_equal(stamps[2], facts_stamp(lists[0], 2));
}

static const char xmp[] =
	"<?xpacket begin='\xef\xbb\xbf' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta xmlns:x='adobe:ns:meta/'>"
	"<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description rdf:about=''"
	" xmlns:dc='http://purl.org/dc/elements/1.1/' xmlns:exif='http://ns.adobe.com/exif/1.0/' xmlns:tiff='http://ns.adobe.com/tiff/1.0/'"
	" xmlns:photoshop='http://ns.adobe.com/photoshop/1.0/' xmlns:aux='http://ns.adobe.com/exif/1.0/aux/'"
	" exif:DateTimeOriginal='2023-07-14T21:05:09.25+02:00' tiff:Make='Canon' tiff:Model='Canon EOS R5' aux:Lens='RF 50'"
	" exif:GPSLatitude='48,51.5N' exif:GPSLongitude='2,21,30W'>"
	"<dc:title><rdf:Alt><rdf:li xml:lang='x-default'>Bastille &amp; co</rdf:li></rdf:Alt></dc:title>"
	"<dc:description> <rdf:Alt> <rdf:li xml:lang='x-default'>Fireworks over the Seine</rdf:li>"
	"<rdf:li xml:lang='fr'>Feux d\xe2\x80\x99" "artifice</rdf:li></rdf:Alt></dc:description>"
	"<dc:subject><rdf:Bag><rdf:li>night</rdf:li><rdf:li>Paris</rdf:li><rdf:li>night</rdf:li></rdf:Bag></dc:subject>"
	"<photoshop:Headline>14 juillet</photoshop:Headline></rdf:Description></rdf:RDF></x:xmpmeta>   <?xpacket end='w'?>";

static void assert_texts(const struct probe *p, enum probe_text kind, const char *texts, size_t size)
{
	assert_int_equal(p->texts[kind].size, size);
	if (size)
		assert_memory_equal(p->texts[kind].data, texts, size);
}
#define TEXTS(p, kind, texts) assert_texts(p, kind, texts, sizeof texts)

static void xmp_is_read_in_all_its_forms(void **state)
{
	struct probe p;

	(void)state;
	probe_init(&p);
	probe_xmp(&p, (const uint8_t *)xmp, sizeof xmp);
	TEXTS(&p, PROBE_TITLE, "Bastille & co\00014 juillet");
	TEXTS(&p, PROBE_DESCRIPTION, "Fireworks over the Seine\0Feux d\xe2\x80\x99" "artifice");
	TEXTS(&p, PROBE_KEYWORDS, "night\0Paris");
	assert_int_equal(p.taken_at, 1689368709);
	assert_int_equal(p.taken_offset, 120);
	assert_string_equal(p.camera, "Canon EOS R5");
	assert_string_equal(p.lens, "RF 50");
	assert_true(p.has_position && p.latitude > 48.8583 && p.latitude < 48.8584 && p.longitude > -2.3584 && p.longitude < -2.3583);
	/* What is known stays. */
	probe_xmp(&p, (const uint8_t *)"<a xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><r:Description"
				       " xmlns:e='http://ns.adobe.com/exif/1.0/' e:DateTimeOriginal='1999-01-01'/></a>", 149);
	assert_int_equal(p.taken_at, 1689368709);
	probe_release(&p);
}

static void shorter_times_are_read(void **state)
{
	static const struct {
		const char *time;
		int64_t taken_at;
		int32_t offset;
	} cases[] = {{"2023-07-14", 1689292800, CATALOG_NO_OFFSET}, {"2023-07-14T21:05", 1689368700, CATALOG_NO_OFFSET},
		     {"2023-07-14T21:05Z", 1689368700, 0}, {"2023-07-14T21:05:09-03:30", 1689368709, -210},
		     {"2023-07", -1, 0}, {"2023-02-30", -1, 0}, {"2023-07-14T25:00", 1689292800, CATALOG_NO_OFFSET},
		     {"2023:07:14", 1689292800, CATALOG_NO_OFFSET}, {"2023:07:14   :  :  ", 1689292800, CATALOG_NO_OFFSET},
		     {"2023:07:14 24:05:09", 1689293109, CATALOG_NO_OFFSET}, {"1970:01:01 00:00:00", -1, 0}, {"1970:01:01", -1, 0},
		     {"2000:01:01 00:00:00", -1, 0}, {"2000:01:01", 946684800, CATALOG_NO_OFFSET}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct probe p;
		probe_init(&p);
		probe_time(&p, MOMENT_ORIGINAL, cases[i].time, NULL);
		assert_int_equal(p.has_taken, cases[i].taken_at >= 0);
		if (p.has_taken) {
			assert_int_equal(p.taken_at, cases[i].taken_at);
			assert_int_equal(p.taken_offset, cases[i].offset);
		}
	}
}

static struct probe probed(const char *first, enum probe_moment a, const char *second, enum probe_moment b)
{
	struct probe p;

	probe_init(&p);
	probe_time(&p, a, first, NULL);
	probe_time(&p, b, second, NULL);
	return p;
}

/* Whatever comes first; then what is known of a clock is put together. */
static void a_time_is_chosen_by_what_it_means(void **state)
{
	(void)state;
	struct probe p = probed("2023-03-04T10:00:00", MOMENT_MODIFIED, "1975-08-01T12:00:00", MOMENT_ORIGINAL);
	assert_int_equal(p.taken_at, 176126400);
	p = probed("1975-08-01T12:00:00", MOMENT_ORIGINAL, "2023-03-04T10:00:00", MOMENT_MODIFIED);
	assert_int_equal(p.taken_at, 176126400);
	p = probed("2023-03-04T10:00:00", MOMENT_MODIFIED, "2023-03-04T08:00:00Z", MOMENT_UTC);
	assert_int_equal(p.taken_at, 1677916800);
	p = probed("1975-08-01T12:00:00", MOMENT_ORIGINAL, "1976-08-01T12:00:00", MOMENT_ORIGINAL);
	assert_int_equal(p.taken_at, 176126400);
	/* The same clock with its offset, and another one that says nothing about it. */
	p = probed("2020-02-03T04:05:06", MOMENT_ORIGINAL, "2020-02-03T04:05:06+02:00", MOMENT_DIGITISED);
	assert_int_equal(p.taken_offset, 120);
	p = probed("2020-02-03T04:05:06+02:00", MOMENT_MODIFIED, "2020-02-03T04:05:06", MOMENT_ORIGINAL);
	assert_int_equal(p.taken_offset, 120);
	p = probed("2020-02-03T04:05:06", MOMENT_ORIGINAL, "2020-02-03T04:05:07+02:00", MOMENT_ORIGINAL);
	assert_int_equal(p.taken_offset, CATALOG_NO_OFFSET);
	/* A day takes its hour from what was not changed since; another day does not. */
	p = probed("1975-08-01", MOMENT_ORIGINAL, "1975-08-01T12:00:00", MOMENT_DIGITISED);
	assert_int_equal(p.taken_at, 176126400);
	p = probed("1975-08-01", MOMENT_ORIGINAL, "1975-08-01T12:00:00", MOMENT_MODIFIED);
	assert_int_equal(p.taken_at, 176083200);
	p = probed("1975-08-01", MOMENT_ORIGINAL, "1975-08-02T00:00:00", MOMENT_ORIGINAL);
	assert_int_equal(p.taken_at, 176083200);
}

#define XMP(body) \
	"<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description" \
	" xmlns:exif='http://ns.adobe.com/exif/1.0/' xmlns:ext='http://iptc.org/std/Iptc4xmpExt/2008-02-29/'" \
	" xmlns:mwg='http://www.metadataworkinggroup.com/schemas/regions/' xmlns:reg='http://ns.microsoft.com/photo/1.2/t/Region#'" \
	" xmlns:lr='http://ns.adobe.com/lightroom/1.0/' xmlns:digiKam='http://www.digikam.org/ns/1.0/'" \
	" xmlns:photoshop='http://ns.adobe.com/photoshop/1.0/' xmlns:dc='http://purl.org/dc/elements/1.1/'" body "</rdf:Description></rdf:RDF>"

static struct probe probed_xmp(const void *packet, size_t size)
{
	struct probe p;

	probe_init(&p);
	probe_xmp(&p, packet, size);
	return p;
}
#define PROBED(packet) probed_xmp(packet, sizeof packet - 1)

static void positions_in_xmp_are_the_cameras_own(void **state)
{
	(void)state;
	struct probe p = PROBED(XMP(" exif:GPSLatitude='40.7127' exif:GPSLatitudeRef='N'>"
				    "<exif:GPSLongitude>74.0059</exif:GPSLongitude><exif:GPSLongitudeRef>W</exif:GPSLongitudeRef>"));
	assert_true(p.has_position && p.latitude == 40.7127 && p.longitude == -74.0059);
	p = PROBED(XMP(" exif:GPSLatitude='40.7127' exif:GPSLongitude='-74.0059'>"));
	assert_true(p.has_position && p.latitude == 40.7127 && p.longitude == -74.0059);
	p = PROBED(XMP(" exif:GPSLatitude='40.7127X' exif:GPSLongitude='-74.0059'>"));
	assert_false(p.has_position);
	/* What is shown, as elements and as attributes. */
	p = PROBED(XMP("><ext:LocationShown><rdf:Bag><rdf:li><rdf:Description exif:GPSLatitude='1,0N'>"
		       "<exif:GPSLongitude>2,0E</exif:GPSLongitude></rdf:Description></rdf:li></rdf:Bag></ext:LocationShown>"));
	assert_false(p.has_position);
}

static void people_places_and_paths_of_keywords_are_read(void **state)
{
	(void)state;
	struct probe p = PROBED(
		XMP(" photoshop:City='Reykjavik' photoshop:Country='Iceland'><mwg:Regions rdf:parseType='Resource'><mwg:RegionList><rdf:Bag>"
		    "<rdf:li><rdf:Description mwg:Name='Ada'/></rdf:li><rdf:li rdf:parseType='Resource'><mwg:Name>Bo</mwg:Name></rdf:li>"
		    "<rdf:li reg:PersonDisplayName='Cy'/></rdf:Bag></mwg:RegionList></mwg:Regions>"
		    "<lr:hierarchicalSubject><rdf:Bag><rdf:li>Places|Iceland</rdf:li></rdf:Bag></lr:hierarchicalSubject>"
		    "<digiKam:TagsList><rdf:Seq><rdf:li>Places/Harbour</rdf:li></rdf:Seq></digiKam:TagsList>"
		    "<exif:UserComment><rdf:Alt><rdf:li xml:lang='x-default'>a note</rdf:li></rdf:Alt></exif:UserComment>"));
	TEXTS(&p, PROBE_KEYWORDS, "Ada\0Bo\0Cy\0Places\0Iceland\0Harbour");
	TEXTS(&p, PROBE_PLACE, "Reykjavik\0Iceland");
	TEXTS(&p, PROBE_DESCRIPTION, "a note");
	probe_release(&p);
}

/* NULs before, within and behind, a blank in their place, and UTF-16. */
static void packets_of_careless_programs_are_read(void **state)
{
	static const char odd[] = " \0" XMP("><dc:subject>sea\0</dc:subject>") "\0\0";
	static const char plain[] = "\xff\xfe" XMP("><dc:subject>sea</dc:subject>");
	struct buffer wide = {0};

	(void)state;
	struct probe p = PROBED(odd);
	TEXTS(&p, PROBE_KEYWORDS, "sea");
	probe_release(&p);
	buffer_append(&wide, plain, 2);
	for (size_t i = 2; i < sizeof plain - 1; i++)
		buffer_append(&wide, (const char[]){plain[i], 0}, 2);
	p = probed_xmp(wide.data, wide.size);
	TEXTS(&p, PROBE_KEYWORDS, "sea");
	probe_release(&p);
	buffer_release(&wide);
}

static void iptc_is_read(void **state)
{
	static const uint8_t iptc[] = "\x1c\1\x5a\0\3\x1b%G" "\x1c\2\5\0\4Boat" "\x1c\2\x78\0\6Caf\xe9 x" "\x1c\2\x19\0\3sea"
				      "\x1c\2\x19\0\4sand" "\x1c\2\x5a\0\4Rome" "\x1c\2\x65\0\5Italy"
				      "\x1c\2\x3e\0\x08" "20240714"
				      "\x1c\2\x37\0\x08" "20230714" "\x1c\2\x3c\0\x0b" "210509+0200";
	struct probe p;

	(void)state;
	for (size_t size = 0; size < sizeof iptc; size++) { /* cut anywhere */
		uint8_t *part = malloc(size ? size : 1);
		memcpy(part, iptc, size);
		probe_init(&p);
		probe_iptc(&p, part, size);
		free(part);
		probe_release(&p);
	}
	probe_iptc(&p, iptc, sizeof iptc - 1);
	TEXTS(&p, PROBE_TITLE, "Boat");
	TEXTS(&p, PROBE_DESCRIPTION, "Caf\xc3\xa9 x"); /* Latin-1 */
	TEXTS(&p, PROBE_KEYWORDS, "sea\0sand");
	TEXTS(&p, PROBE_PLACE, "Rome\0Italy");
	assert_int_equal(p.taken_at, 1689368709);
	assert_int_equal(p.taken_offset, 120);
	probe_release(&p);
}

static void takeouts_json_is_read(void **state)
{
	static const char json[] = "{\"title\":\"IMG_1.jpg\",\"description\":\"A goat\\non a roof\","
				   "\"photoTakenTime\":{\"timestamp\":\"1689361509\"},"
				   "\"geoData\":{\"latitude\":48.5,\"longitude\":-2.25},"
				   "\"people\":[{\"name\":\"Anna\"},{\"name\":\"Bo\"}]}";
	struct probe p;

	(void)state;
	probe_init(&p);
	probe_json(&p, (const uint8_t *)json, sizeof json - 1, "IMG_1.jpg");
	TEXTS(&p, PROBE_DESCRIPTION, "A goat\non a roof");
	TEXTS(&p, PROBE_KEYWORDS, "Anna\0Bo");
	assert_int_equal(p.texts[PROBE_TITLE].size, 0); /* the file's name is no title */
	assert_int_equal(p.taken_at, 1689361509);
	assert_int_equal(p.taken_offset, 0);
	assert_true(p.has_position && p.latitude == 48.5 && p.longitude == -2.25);
	probe_release(&p);
	probe_json(&p, (const uint8_t *)json, sizeof json - 1, "other.jpg");
	TEXTS(&p, PROBE_TITLE, "IMG_1.jpg");
	probe_release(&p);
	for (size_t size = 0; size < sizeof json; size++) {
		probe_json(&p, (const uint8_t *)json, size, "a.jpg");
		probe_release(&p);
	}
}

static void what_exiftool_writes_is_read(void **state)
{
	static const char *const forms[] = {
		"[{\"SourceFile\":\"a.jpg\",\"DateTimeOriginal\":\"2023:07:14 21:05:09\",\"OffsetTimeOriginal\":\"+02:00\","
		"\"ModifyDate\":\"2024:07:14 21:05:09\",\"GPSLatitude\":\"48 deg 30' 0.00\\\" N\",\"GPSLongitude\":\"2 deg 15' 0.00\\\" W\","
		"\"Make\":\"Canon\",\"Model\":\"Canon EOS R5\",\"LensModel\":\"RF 50\",\"Keywords\":[\"sea\",\"sand\"],\"City\":\"Rome\","
		"\"HierarchicalSubject\":\"Places|Italy\",\"ImageDescription\":\"OLYMPUS DIGITAL CAMERA\",\"Title\":\"Boat\"}]",
		"[{\"EXIF:DateTimeOriginal\":\"2023:07:14 21:05:09+02:00\",\"EXIF:GPSLatitude\":48.5,\"EXIF:GPSLongitude\":-2.25,"
		"\"EXIF:Model\":\"Canon EOS R5\",\"EXIF:LensModel\":\"RF 50\",\"IPTC:Keywords\":[\"sea\",\"sand\"],"
		"\"XMP:TagsList\":[\"Places/Italy\"],\"XMP:City\":\"Rome\",\"XMP:Title\":\"Boat\"}]",
		"[{\"EXIF\":{\"DateTimeOriginal\":\"2023:07:14 21:05:09+02:00\",\"GPSLatitude\":48.5,\"GPSLongitude\":-2.25,"
		"\"Model\":\"Canon EOS R5\",\"LensModel\":\"RF 50\"},\"IPTC\":{\"Keywords\":[\"sea\",\"sand\"]},"
		"\"XMP\":{\"HierarchicalSubject\":[\"Places|Italy\"],\"City\":\"Rome\",\"Title\":\"Boat\"}}]"};

	(void)state;
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		struct probe p;
		probe_init(&p);
		probe_json(&p, (const uint8_t *)forms[i], strlen(forms[i]), "a.jpg");
		assert_int_equal(p.taken_at, 1689368709);
		if (i)
			assert_int_equal(p.taken_offset, 120);
		assert_true(p.has_position && p.latitude == 48.5 && p.longitude == -2.25);
		assert_string_equal(p.camera, "Canon EOS R5");
		assert_string_equal(p.lens, "RF 50");
		TEXTS(&p, PROBE_KEYWORDS, "sea\0sand\0Places\0Italy");
		TEXTS(&p, PROBE_PLACE, "Rome");
		TEXTS(&p, PROBE_TITLE, "Boat");
		assert_int_equal(p.texts[PROBE_DESCRIPTION].size, 0);
		probe_release(&p);
	}
}

static void bytes_become_utf8(void **state)
{
	static const struct {
		const char *bytes, *utf8;
		size_t size;
	} cases[] = {{"plain", "plain", 5}, {"\xef\xbb\xbf" "caf\xc3\xa9", "caf\xc3\xa9", 8}, {"Our \x93Rome\x94 \x96 na\xefve\x81", "Our \xe2\x80\x9cRome\xe2\x80\x9d \xe2\x80\x93 na\xc3\xafve", 18},
		     {"\xff\xfe" "a\0\x3d\xd8\x00\xde", "a\xf0\x9f\x98\x80", 8}, {"\xfe\xff\0a\xd8\x3d\0b", "ab", 8}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct buffer out = {0};
		probe_utf8(cases[i].bytes, cases[i].size, &out);
		assert_string_equal(out.data, cases[i].utf8);
		buffer_release(&out);
	}
}

static void each_line_of_a_text_file_is_a_text(void **state)
{
	const char *folder = test_folder(), *path = test_path(folder, "a.txt");
	struct probe p;

	(void)state;
	test_write(path, "\xef\xbb\xbf  Two dogs\r\n\nIn the snow\nTwo dogs\n", 37);
	const struct sidecar text = {.path = (char *)path}, missing = {.path = (char *)test_path(folder, "missing.txt")};
	const struct sidecar *const beside[] = {&missing, &text};
	const struct image_said nothing = {0};
	probe_init(&p);
	facts_read(&p, &nothing, test_path(folder, "a.jpg"), beside, 1);
	assert_int_equal(p.texts[PROBE_SIDECAR].size, 0);
	facts_read(&p, &nothing, test_path(folder, "a.jpg"), beside, 2);
	TEXTS(&p, PROBE_SIDECAR, "Two dogs\0In the snow");
	probe_release(&p);
	test_write(path, "0 0.5 0.5 0.25 0.1\n16 0.1 0.2\n3 dogs\n", 38); /* a detector's labels, and words */
	facts_read(&p, &nothing, test_path(folder, "a.jpg"), beside, 2);
	TEXTS(&p, PROBE_SIDECAR, "3 dogs");
	probe_release(&p);
	test_write(path, "\xff\xfe" "D\0o\0g\0\r\0\n\0C\0a\0t\0", 18);
	facts_read(&p, &nothing, test_path(folder, "a.jpg"), beside, 2);
	TEXTS(&p, PROBE_SIDECAR, "Dog\0Cat");
	probe_release(&p);
}

static void damaged_xmp_is_survived(void **state)
{
	uint64_t random = 5;
	struct probe p;

	(void)state;
	probe_init(&p);
	for (size_t size = 0; size < sizeof xmp; size += 3) {
		uint8_t *part = malloc(size ? size : 1);
		memcpy(part, xmp, size);
		probe_xmp(&p, part, size);
		free(part);
		probe_release(&p);
	}
	for (int i = 0; i < 500; i++) {
		char damaged[sizeof xmp];
		memcpy(damaged, xmp, sizeof xmp);
		for (int k = 0; k < 4; k++)
			damaged[test_random(&random) % sizeof xmp] = (char)test_random(&random);
		probe_xmp(&p, (const uint8_t *)damaged, sizeof damaged);
		probe_release(&p);
	}
}

TEST_MAIN(cmocka_unit_test(a_photo_has_what_is_named_after_it), cmocka_unit_test(the_stamp_follows_name_size_and_time),
	  cmocka_unit_test(xmp_is_read_in_all_its_forms), cmocka_unit_test(shorter_times_are_read), cmocka_unit_test(a_time_is_chosen_by_what_it_means),
	  cmocka_unit_test(positions_in_xmp_are_the_cameras_own), cmocka_unit_test(people_places_and_paths_of_keywords_are_read),
	  cmocka_unit_test(packets_of_careless_programs_are_read), cmocka_unit_test(what_exiftool_writes_is_read), cmocka_unit_test(bytes_become_utf8),
	  cmocka_unit_test(iptc_is_read),
	  cmocka_unit_test(takeouts_json_is_read), cmocka_unit_test(each_line_of_a_text_file_is_a_text), cmocka_unit_test(damaged_xmp_is_survived))
