/* probe.c: see probe.h. Cameras write blanks, zeros and worse where they know nothing: a value that cannot be true is left
 * out rather than believed. */
#include "indexer/probe.h"

#include <ctype.h>
#include <libexif/exif-data.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "schema/catalog.h"

#include "schema/banned.h"

/* An entry's text without control characters and without blanks at its ends. */
static void read_text(const ExifContent *ifd, ExifTag tag, char *text, size_t size)
{
	const ExifEntry *entry = exif_content_get_entry((ExifContent *)ifd, tag);
	size_t n = 0;

	if (entry && entry->data && entry->format == EXIF_FORMAT_ASCII)
		for (size_t i = 0; i < entry->size && entry->data[i] && n + 1 < size; i++) {
			unsigned char c = entry->data[i];
			if (c == ' ' ? n > 0 : c > ' ' && c != 0x7f)
				text[n++] = (char)c;
		}
	while (n && text[n - 1] == ' ')
		n--;
	text[n] = '\0';
}

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

/* "2024:07:31 18:05:09", with any separators. */
static bool parse_time(const char *text, int64_t *seconds)
{
	static const int month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	struct tm tm = {0};
	int year, month;

	if (strlen(text) < 19 || !number(text, 4, 1826, 9999, &year) || !number(text + 5, 2, 1, 12, &month) ||
	    !number(text + 8, 2, 1, month_days[month - 1], &tm.tm_mday) || !number(text + 11, 2, 0, 23, &tm.tm_hour) ||
	    !number(text + 14, 2, 0, 59, &tm.tm_min) || !number(text + 17, 2, 0, 60, &tm.tm_sec))
		return false;
	if (month == 2 && tm.tm_mday == 29 && (year % 4 != 0 || (year % 100 == 0 && year % 400 != 0)))
		return false;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	*seconds = timegm(&tm);
	return true;
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

static void read_time(const ExifData *data, struct probe *probe)
{
	static const struct {
		ExifIfd ifd;
		ExifTag time, offset;
	} sources[] = {
		{EXIF_IFD_EXIF, EXIF_TAG_DATE_TIME_ORIGINAL, EXIF_TAG_OFFSET_TIME_ORIGINAL},
		{EXIF_IFD_EXIF, EXIF_TAG_DATE_TIME_DIGITIZED, EXIF_TAG_OFFSET_TIME_DIGITIZED},
		{EXIF_IFD_0, EXIF_TAG_DATE_TIME, EXIF_TAG_OFFSET_TIME},
	};
	char text[32];

	for (size_t i = 0; i < sizeof sources / sizeof *sources && !probe->has_taken; i++) {
		read_text(data->ifd[sources[i].ifd], sources[i].time, text, sizeof text);
		probe->has_taken = parse_time(text, &probe->taken_at);
		if (probe->has_taken) {
			read_text(data->ifd[EXIF_IFD_EXIF], sources[i].offset, text, sizeof text);
			probe->taken_offset = parse_offset(text);
		}
	}
}

/* Degrees, minutes and seconds with their direction. */
static bool read_angle(const ExifData *data, int tag, int direction_tag, const char *directions, double most, double *degrees)
{
	const ExifContent *gps = data->ifd[EXIF_IFD_GPS];
	const ExifEntry *entry = exif_content_get_entry((ExifContent *)gps, (ExifTag)tag);
	ExifByteOrder order = exif_data_get_byte_order((ExifData *)data);
	double sum = 0, unit = 1;
	char direction[4];

	read_text(gps, (ExifTag)direction_tag, direction, sizeof direction);
	if (!entry || !entry->data || entry->format != EXIF_FORMAT_RATIONAL || entry->components != 3 || entry->size < 24)
		return false;
	if (direction[0] == '\0' || !strchr(directions, direction[0]))
		return false;
	for (int i = 0; i < 3; i++, unit /= 60) {
		ExifRational r = exif_get_rational(entry->data + 8 * i, order);
		if (r.denominator == 0 && r.numerator != 0)
			return false;
		if (r.denominator)
			sum += unit * (double)r.numerator / (double)r.denominator;
	}
	*degrees = direction[0] == directions[1] ? -sum : sum;
	return sum <= most;
}

static void read_position(const ExifData *data, struct probe *probe)
{
	if (!read_angle(data, 2, 1, "NS", 90, &probe->latitude) || !read_angle(data, 4, 3, "EW", 180, &probe->longitude))
		return;
	/* Exactly 0, 0 is what a receiver without a fix writes. */
	probe->has_position = probe->latitude != 0 || probe->longitude != 0;
}

/* "Canon" and "Canon EOS 5D" are one "Canon EOS 5D"; "NIKON CORPORATION" and "NIKON D90" are "NIKON D90". */
static void read_camera(const ExifData *data, struct probe *probe)
{
	char make[64], model[64];

	read_text(data->ifd[EXIF_IFD_0], EXIF_TAG_MAKE, make, sizeof make);
	read_text(data->ifd[EXIF_IFD_0], EXIF_TAG_MODEL, model, sizeof model);
	size_t word = strcspn(make, " ");
	bool doubled = word && strncasecmp(make, model, word) == 0 && !isalnum((unsigned char)model[word]);
	if (doubled || !*make || !*model)
		snprintf(probe->camera, sizeof probe->camera, "%s", *model ? model : make);
	else
		snprintf(probe->camera, sizeof probe->camera, "%s %s", make, model);
}

void probe_read(const uint8_t *exif, size_t size, struct probe *probe)
{
	static const uint8_t header[6] = "Exif\0";
	enum { EXIF_MOST = 16 << 20 };

	*probe = (struct probe){.taken_offset = CATALOG_NO_OFFSET};
	if (!exif || size > EXIF_MOST)
		return;
	/* libexif wants the block as it stands in a JPEG. */
	uint8_t *block = malloc(sizeof header + size);
	ExifData *data = exif_data_new();
	if (block && data) {
		memcpy(block, header, sizeof header);
		memcpy(block + sizeof header, exif, size);
		exif_data_unset_option(data, EXIF_DATA_OPTION_IGNORE_UNKNOWN_TAGS);
		exif_data_unset_option(data, EXIF_DATA_OPTION_FOLLOW_SPECIFICATION);
		exif_data_load_data(data, block, (unsigned)(sizeof header + size));
		read_time(data, probe);
		read_position(data, probe);
		read_camera(data, probe);
		read_text(data->ifd[EXIF_IFD_EXIF], EXIF_TAG_LENS_MODEL, probe->lens, sizeof probe->lens);
	}
	if (data)
		exif_data_unref(data);
	free(block);
}
