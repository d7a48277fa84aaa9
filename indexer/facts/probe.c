/* probe.c: see probe.h; each source has a file of its own. Cameras write blanks, zeros and worse where they know
 * nothing: a value that cannot be true is left out rather than believed. */
#include "indexer/facts/probe.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <utf8proc.h>

#include "schema/catalog/catalog.h"
#include "schema/base/utf8.h"

#include "schema/base/banned.h"

enum { TEXT_MOST = 16384 };

void probe_init(struct probe *probe)
{
	*probe = (struct probe){.taken_offset = CATALOG_NO_OFFSET};
}

void probe_release(struct probe *probe)
{
	for (int i = 0; i < PROBE_TEXTS; i++)
		buffer_release(&probe->texts[i]);
	probe_init(probe);
}

const char *probe_collection(enum probe_text kind)
{
	static const char *const names[] = {"title", "description", "keywords", "place", "sidecar"};
	return names[kind];
}

/* --- texts --- */

static bool is_utf8(const char *text, size_t size)
{
	for (size_t i = 0, n; i < size; i += n)
		if (!utf8_next(text + i, size - i, &n))
			return false;
	return true;
}

static bool has_text(const struct buffer *texts, const char *text, size_t size)
{
	for (size_t at = 0; at < texts->size; at += strlen(texts->data + at) + 1)
		if (strlen(texts->data + at) == size && memcmp(texts->data + at, text, size) == 0)
			return true;
	return false;
}

static void append_character(struct buffer *out, uint32_t c)
{
	utf8proc_uint8_t utf8[4];

	buffer_append(out, utf8, (size_t)utf8proc_encode_char((utf8proc_int32_t)c, utf8));
}

/* Halves of a pair that stand alone are left out. */
static void append_utf16(const uint8_t *bytes, size_t size, bool little, struct buffer *out)
{
	uint32_t high = 0;

	for (size_t i = 0; i + 1 < size; i += 2) {
		uint32_t c = little ? bytes[i] | (uint32_t)bytes[i + 1] << 8 : (uint32_t)bytes[i] << 8 | bytes[i + 1];
		if (c >= 0xdc00 && c < 0xe000 && high)
			append_character(out, 0x10000 + ((high & 0x3ff) << 10 | (c & 0x3ff)));
		else if (c < 0xd800 || c > 0xdfff)
			append_character(out, c);
		high = c >= 0xd800 && c < 0xdc00 ? c : 0;
	}
}

/* The numbers 0x80 to 0x9f; 0: not used. */
static const uint16_t windows_1252[32] = {
	0x20ac, 0, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017d, 0,
	0, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0, 0x017e, 0x0178,
};

void probe_utf8(const char *bytes, size_t size, struct buffer *out)
{
	const uint8_t *p = (const uint8_t *)bytes;

	if (size >= 2 && ((p[0] == 0xff && p[1] == 0xfe) || (p[0] == 0xfe && p[1] == 0xff))) {
		append_utf16(p + 2, size - 2, p[0] == 0xff, out);
	} else if (is_utf8(bytes, size)) {
		size_t mark = size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
		buffer_append(out, bytes + mark, size - mark);
	} else {
		for (size_t i = 0; i < size; i++) {
			uint32_t c = p[i] >= 0x80 && p[i] < 0xa0 ? windows_1252[p[i] - 0x80] : p[i];
			if (c || !p[i])
				append_character(out, c);
		}
	}
}

void probe_add_text(struct probe *probe, enum probe_text kind, const char *text, size_t size)
{
	struct buffer utf8 = {0}, clean = {0}, *texts = &probe->texts[kind];

	probe_utf8(text, size, &utf8);
	size = utf8.failed ? 0 : strnlen(utf8.data ? utf8.data : "", utf8.size);
	if (size > TEXT_MOST)
		for (size = TEXT_MOST; ((unsigned char)utf8.data[size] & 0xc0) == 0x80;)
			size--;
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)utf8.data[i];
		bool space = c == ' ' || (c >= '\t' && c <= '\r');
		if (space ? clean.size > 0 : c > ' ' && c != 0x7f)
			buffer_append(&clean, utf8.data + i, 1);
	}
	while (clean.size && isspace((unsigned char)clean.data[clean.size - 1]))
		clean.size--;
	if (clean.size && !clean.failed && !has_text(texts, clean.data, clean.size)) {
		buffer_append(texts, clean.data, clean.size);
		buffer_append(texts, "", 1);
	}
	buffer_release(&clean);
	buffer_release(&utf8);
}

bool probe_is_boilerplate(const char *text)
{
	static const char *const always[] = {"DIGITAL CAMERA", "SONY DSC", "Minolta DSC", "Exif_JPEG", "DCF 1.0", "Jenoptik", "untitled",
					     "default", "DCIM", "Digital StillCamera", "DIGITAL STILL CAMERA"};

	for (size_t i = 0; i < sizeof always / sizeof *always; i++)
		if (strcasestr(text, always[i]) && strlen(text) < 40)
			return true;
	return false;
}

void probe_add_path(struct probe *probe, const char *path, size_t size, char separator)
{
	for (size_t at = 0; at < size;) {
		const char *end = memchr(path + at, separator, size - at);
		size_t length = end ? (size_t)(end - path) - at : size - at;
		probe_add_text(probe, PROBE_KEYWORDS, path + at, length);
		at += length + 1;
	}
}

/* --- values, from whichever source --- */

static bool number(const char *digits, size_t n, int least, int most, int *value)
{
	*value = 0;
	for (size_t i = 0; i < n; i++) {
		if (digits[i] < '0' || digits[i] > '9')
			return false;
		*value = *value * 10 + digits[i] - '0';
	}
	return *value >= least && *value <= most;
}

static bool parse_day(const char *text, struct tm *tm)
{
	static const int month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int year, month;

	if (strlen(text) < 10 || !number(text, 4, 1826, 9999, &year) || !number(text + 5, 2, 1, 12, &month) ||
	    !number(text + 8, 2, 1, month_days[month - 1], &tm->tm_mday))
		return false;
	tm->tm_year = year - 1900;
	tm->tm_mon = month - 1;
	return month != 2 || tm->tm_mday != 29 || (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
}

/* "+05:30", "-08:00", "Z". */
static int32_t parse_offset(const char *text)
{
	int hours, minutes;

	if (strcmp(text, "Z") == 0)
		return 0;
	if ((*text != '+' && *text != '-') || strlen(text) != 6 || text[3] != ':' || !number(text + 1, 2, 0, 14, &hours) ||
	    !number(text + 4, 2, 0, 59, &minutes))
		return CATALOG_NO_OFFSET;
	return (*text == '-' ? -1 : 1) * (hours * 60 + minutes);
}

/* "T18:05:09.12+02:00", "T18:05": what follows in *rest. False: no clock that can be. Hour 24 is 0 of the same day: phones of 2013 to 2019
 * count so. */
static bool parse_clock(const char *text, struct tm *tm, const char **rest)
{
	if (strlen(text) < 6 || text[3] != ':' || !number(text + 1, 2, 0, 24, &tm->tm_hour) || !number(text + 4, 2, 0, 59, &tm->tm_min)) {
		tm->tm_hour = tm->tm_min = 0;
		return false;
	}
	tm->tm_hour %= 24;
	text += 6;
	if (strlen(text) >= 3 && *text == ':' && !number(text + 1, 2, 0, 60, &tm->tm_sec))
		tm->tm_sec = 0;
	text += strcspn(text, "+-Z");
	*rest = text;
	return true;
}

/* What a camera's clock shows that was never set, and what programs write for no time. */
static bool is_default_clock(int64_t at, bool day_alone)
{
	static const int64_t clocks[] = {-2082844800 /* 1904 */, 0 /* 1970 */, 315532800 /* 1980 */, 946684800 /* 2000 */,
					 1039348800 /* 2002-12-08 12:00 */};

	for (size_t i = 0; i < sizeof clocks / sizeof *clocks && !day_alone; i++)
		if (at == clocks[i])
			return true;
	return at == 0;
}

void probe_taken(struct probe *probe, enum probe_moment moment, int64_t at, bool day_alone, int32_t offset)
{
	if (is_default_clock(at, day_alone))
		return;
	bool same = probe->has_taken && !day_alone && !probe->day_alone && at == probe->taken_at;
	if (same && probe->taken_offset == CATALOG_NO_OFFSET)
		probe->taken_offset = offset;
	bool hour = probe->has_taken && probe->day_alone && !day_alone && moment != MOMENT_MODIFIED &&
		    at >= probe->taken_at && at - probe->taken_at < 86400; /* the hour of a day that is known */
	if (probe->has_taken && moment >= probe->moment && !hour)
		return;
	probe->moment = hour && probe->moment < moment ? probe->moment : moment;
	probe->has_taken = true;
	probe->day_alone = day_alone;
	probe->taken_at = at;
	probe->taken_offset = same ? probe->taken_offset : offset;
}

void probe_time(struct probe *probe, enum probe_moment moment, const char *time, const char *offset)
{
	struct tm tm = {0};
	const char *rest = "";

	if (!parse_day(time, &tm))
		return;
	bool clock = parse_clock(time + 10, &tm, &rest);
	probe_taken(probe, moment, timegm(&tm), !clock, clock ? parse_offset(offset && *offset ? offset : rest) : CATALOG_NO_OFFSET);
}

void probe_position(struct probe *probe, double latitude, double longitude)
{
	/* Exactly 0, 0 is what a receiver without a fix writes. */
	if (probe->has_position || !(fabs(latitude) <= 90) || !(fabs(longitude) <= 180) || (latitude == 0 && longitude == 0))
		return;
	probe->has_position = true;
	probe->latitude = latitude;
	probe->longitude = longitude;
}

/* "Canon" and "Canon EOS 5D" are one "Canon EOS 5D"; "NIKON CORPORATION" and "NIKON D90" are "NIKON D90". */
void probe_camera(struct probe *probe, const char *make, const char *model)
{
	if (*probe->camera)
		return;
	size_t word = strcspn(make, " ");
	bool doubled = word && strncasecmp(make, model, word) == 0 && !isalnum((unsigned char)model[word]);
	if (doubled || !*make || !*model)
		snprintf(probe->camera, sizeof probe->camera, "%s", *model ? model : make);
	else
		snprintf(probe->camera, sizeof probe->camera, "%.62s %.62s", make, model);
}
