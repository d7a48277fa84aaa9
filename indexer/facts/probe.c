/* probe.c: see probe.h; XMP and JSON are in probe_xmp.c and probe_json.c. Cameras write blanks, zeros and worse where they know
 * nothing: a value that cannot be true is left out rather than believed. */
#include "indexer/facts/probe.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <utf8proc.h>

#include "model/image/ifd.h"
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
	static const char *const names[] = {"title", "description", "keywords", "sidecar"};
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

void probe_add_text(struct probe *probe, enum probe_text kind, const char *text, size_t size)
{
	struct buffer clean = {0}, *texts = &probe->texts[kind];
	bool utf8;

	size = strnlen(text, size);
	if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark */
		text += 3;
		size -= 3;
	}
	utf8 = is_utf8(text, size);
	if (size > TEXT_MOST)
		for (size = TEXT_MOST; utf8 && ((unsigned char)text[size] & 0xc0) == 0x80;)
			size--;
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];
		bool space = c == ' ' || (c >= '\t' && c <= '\r');
		if (space ? clean.size > 0 : c > ' ' && c != 0x7f) {
			if (!utf8 && c >= 0x80)
				buffer_append(&clean, (char[]){(char)(0xc0 | c >> 6), (char)(0x80 | (c & 0x3f))}, 2);
			else
				buffer_append(&clean, text + i, 1);
		}
	}
	while (clean.size && isspace((unsigned char)clean.data[clean.size - 1]))
		clean.size--;
	if (clean.size && !clean.failed && !has_text(texts, clean.data, clean.size)) {
		buffer_append(texts, clean.data, clean.size);
		buffer_append(texts, "", 1);
	}
	buffer_release(&clean);
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

/* Behind the day: nothing (ISO 8601 alone), or HH:MM with seconds, and what follows them in *rest. */
static bool parse_clock(const char *text, bool iso, struct tm *tm, const char **rest)
{
	*rest = "";
	if (!*text)
		return iso;
	if (strlen(text) < 6 || !number(text + 1, 2, 0, 23, &tm->tm_hour) || !number(text + 4, 2, 0, 59, &tm->tm_min))
		return false;
	text += 6;
	if (*text && strlen(text) >= 3 && *text == ':') {
		if (!number(text + 1, 2, 0, 60, &tm->tm_sec))
			return false;
		text += 3;
	} else if (!iso) {
		return strlen(text) >= 3 && number(text + 1, 2, 0, 60, &tm->tm_sec);
	}
	if (*text == '.')
		for (text++; isdigit((unsigned char)*text);)
			text++;
	*rest = text;
	return true;
}

void probe_time(struct probe *probe, const char *time, const char *offset)
{
	struct tm tm = {0};
	const char *rest;
	bool iso = strlen(time) >= 10 && time[4] == '-';

	if (probe->has_taken || !parse_day(time, &tm) || !parse_clock(time + 10, iso, &tm, &rest))
		return;
	probe->has_taken = true;
	probe->taken_at = timegm(&tm);
	probe->taken_offset = parse_offset(offset && *offset ? offset : rest);
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

/* --- EXIF --- */

struct exif {
	struct ifd_block block;
	size_t first, camera, gps; /* directories */
};

/* An entry's text without control characters and without blanks at its ends. */
static void read_text(const struct exif *exif, size_t directory, unsigned tag, char *text, size_t size)
{
	struct ifd_entry entry;
	size_t n = 0;

	if (ifd_find(&exif->block, directory, tag, &entry) && entry.type == IFD_ASCII)
		for (size_t i = 0; i < entry.size && entry.value[i] && n + 1 < size; i++) {
			unsigned char c = entry.value[i];
			if (c == ' ' ? n > 0 : c > ' ' && c != 0x7f)
				text[n++] = (char)c;
		}
	while (n && text[n - 1] == ' ')
		n--;
	text[n] = '\0';
}

static void read_time(const struct exif *exif, struct probe *probe)
{
	const struct {
		size_t directory;
		unsigned time, offset;
	} sources[] = {{exif->camera, 0x9003, 0x9011}, {exif->camera, 0x9004, 0x9012}, {exif->first, 0x0132, 0x9010}}; /* original,
		digitised, changed */
	char time[32], offset[32];

	for (size_t i = 0; i < sizeof sources / sizeof *sources && !probe->has_taken; i++) {
		read_text(exif, sources[i].directory, sources[i].time, time, sizeof time);
		read_text(exif, exif->camera, sources[i].offset, offset, sizeof offset);
		if (strlen(time) >= 19)
			probe_time(probe, time, offset);
	}
}

/* Degrees, minutes and seconds with their direction. */
static bool read_angle(const struct exif *exif, unsigned tag, unsigned direction_tag, const char *directions, double *degrees)
{
	struct ifd_entry entry;
	double sum = 0, unit = 1;
	char direction[4];

	read_text(exif, exif->gps, direction_tag, direction, sizeof direction);
	if (!ifd_find(&exif->block, exif->gps, tag, &entry) || entry.type != IFD_RATIONAL || entry.count != 3)
		return false;
	if (direction[0] == '\0' || !strchr(directions, direction[0]))
		return false;
	for (size_t i = 0; i < 3; i++, unit /= 60) {
		double part = ifd_real(&exif->block, &entry, i);
		if (isinf(part))
			return false;
		if (!isnan(part)) /* 0/0: not said */
			sum += unit * part;
	}
	*degrees = direction[0] == directions[1] ? -sum : sum;
	return true;
}

/* What cameras write as a description of every photograph. */
static bool is_boilerplate(const char *text)
{
	static const char *const always[] = {"DIGITAL CAMERA", "SONY DSC", "Minolta DSC", "Exif_JPEG", "DCF 1.0", "Jenoptik", "untitled",
					     "default", "DCIM", "Digital StillCamera", "DIGITAL STILL CAMERA"};

	for (size_t i = 0; i < sizeof always / sizeof *always; i++)
		if (strcasestr(text, always[i]) && strlen(text) < 40)
			return true;
	return false;
}

static void read_description(const struct exif *exif, struct probe *probe)
{
	struct ifd_entry entry;

	if (!ifd_find(&exif->block, exif->first, 0x010e, &entry) || entry.type != IFD_ASCII)
		return;
	char *text = mem_copy(entry.value, entry.size);
	if (text && !is_boilerplate(text))
		probe_add_text(probe, PROBE_DESCRIPTION, text, entry.size);
	free(text);
}

/* Windows's own tags: UTF-16, little endian. Keywords end in semicolons. */
static void read_windows(const struct exif *exif, unsigned tag, enum probe_text kind, struct probe *probe)
{
	struct ifd_entry entry;
	struct buffer text = {0};
	utf8proc_uint8_t utf8[4];

	if (!ifd_find(&exif->block, exif->first, tag, &entry) || (entry.type != IFD_BYTE && entry.type != IFD_UNDEFINED))
		return;
	for (size_t i = 0; i + 1 < entry.size && text.size < TEXT_MOST; i += 2) {
		uint32_t c = (uint32_t)entry.value[i] | (uint32_t)entry.value[i + 1] << 8;
		if (c >= 0xd800 && c < 0xdc00 && i + 3 < entry.size) {
			uint32_t low = (uint32_t)entry.value[i + 2] | (uint32_t)entry.value[i + 3] << 8;
			if (low >= 0xdc00 && low < 0xe000) {
				c = 0x10000 + ((c & 0x3ff) << 10 | (low & 0x3ff));
				i += 2;
			}
		}
		if (!c)
			break;
		if (kind == PROBE_KEYWORDS && c == ';') {
			if (text.size)
				probe_add_text(probe, kind, text.data, text.size);
			buffer_release(&text);
		} else if (c < 0xd800 || c > 0xdfff) {
			buffer_append(&text, utf8, (size_t)utf8proc_encode_char((utf8proc_int32_t)c, utf8));
		}
	}
	if (text.size && !text.failed)
		probe_add_text(probe, kind, text.data, text.size);
	buffer_release(&text);
}

void probe_exif(struct probe *probe, const uint8_t *bytes, size_t size)
{
	struct exif exif;
	double latitude, longitude;
	char make[64], model[64];

	exif.first = bytes ? ifd_open(bytes, size, &exif.block) : 0;
	if (!exif.first)
		return;
	exif.camera = ifd_below(&exif.block, exif.first, 0x8769);
	exif.gps = ifd_below(&exif.block, exif.first, 0x8825);
	read_time(&exif, probe);
	if (read_angle(&exif, 2, 1, "NS", &latitude) && read_angle(&exif, 4, 3, "EW", &longitude))
		probe_position(probe, latitude, longitude);
	read_text(&exif, exif.first, 0x010f, make, sizeof make);
	read_text(&exif, exif.first, 0x0110, model, sizeof model);
	probe_camera(probe, make, model);
	if (!*probe->lens)
		read_text(&exif, exif.camera, 0xa434, probe->lens, sizeof probe->lens);
	read_description(&exif, probe);
	read_windows(&exif, 0x9c9b, PROBE_TITLE, probe);
	read_windows(&exif, 0x9c9c, PROBE_DESCRIPTION, probe);
	read_windows(&exif, 0x9c9f, PROBE_DESCRIPTION, probe);
	read_windows(&exif, 0x9c9e, PROBE_KEYWORDS, probe);
}

/* --- IPTC --- */

/* "20240731" and "180509+0200". */
static void read_iptc_time(struct probe *probe, const char *day, const char *clock)
{
	char time[32] = "";

	if (strlen(day) != 8)
		return;
	snprintf(time, sizeof time, "%.4s-%.2s-%.2s", day, day + 4, day + 6);
	if (strlen(clock) >= 6)
		snprintf(time + 10, sizeof time - 10, "T%.2s:%.2s:%.2s", clock, clock + 2, clock + 4);
	if (strlen(clock) == 11)
		snprintf(time + 19, sizeof time - 19, "%.3s:%.2s", clock + 6, clock + 9);
	probe_time(probe, time, NULL);
}

/* Data sets: 0x1c, u8 record, u8 number, u16 size (big endian), the value. */
void probe_iptc(struct probe *probe, const uint8_t *iptc, size_t size)
{
	static const struct {
		uint8_t number;
		enum probe_text kind;
	} texts[] = {{5, PROBE_TITLE}, {105, PROBE_TITLE}, {120, PROBE_DESCRIPTION}, {25, PROBE_KEYWORDS}};
	enum { APPLICATION = 2, DAY = 55, CLOCK = 60 };
	char day[16] = "", clock[16] = "";

	for (size_t at = 0; iptc && at < size && size - at >= 5 && iptc[at] == 0x1c;) {
		unsigned record = iptc[at + 1], data_set = iptc[at + 2];
		size_t length = (size_t)iptc[at + 3] << 8 | iptc[at + 4];
		const char *value = (const char *)iptc + at + 5;
		if (length > size - at - 5)
			break;
		for (size_t i = 0; i < sizeof texts / sizeof *texts && record == APPLICATION; i++)
			if (data_set == texts[i].number)
				probe_add_text(probe, texts[i].kind, value, length);
		if (record == APPLICATION && data_set == DAY)
			snprintf(day, sizeof day, "%.*s", (int)length, value);
		if (record == APPLICATION && data_set == CLOCK)
			snprintf(clock, sizeof clock, "%.*s", (int)length, value);
		at += 5 + length;
	}
	read_iptc_time(probe, day, clock);
}
