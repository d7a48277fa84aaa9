/* probe_exif.c: EXIF data: a TIFF block with directories of its own for the camera and for the position. What is of another type than it
 * should be is converted where that is plain; a bad entry is dropped alone. */
#include "indexer/facts/probe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/image/ifd.h"

#include "schema/base/banned.h"

struct exif {
	struct ifd_block block;
	size_t first, camera, gps; /* directories */
};

static bool is_text(const struct ifd_entry *entry)
{
	return entry->type == IFD_ASCII || entry->type == IFD_UTF8 || entry->type == IFD_UNDEFINED || entry->type == IFD_BYTE;
}

/* An entry's text without control characters and without blanks at its ends. */
static void read_text(const struct exif *exif, size_t directory, unsigned tag, char *text, size_t size)
{
	struct ifd_entry entry;
	size_t n = 0;

	if (ifd_find(&exif->block, directory, tag, &entry) && is_text(&entry))
		for (size_t i = 0; i < entry.size && entry.value[i] && n + 1 < size; i++) {
			unsigned char c = entry.value[i];
			if (c == ' ' ? n > 0 : c > ' ' && c != 0x7f)
				text[n++] = (char)c;
		}
	while (n && text[n - 1] == ' ')
		n--;
	text[n] = '\0';
}

/* EXIF's own tags stand in the first directory, too, where TIFF/EP has them. */
static void read_time(const struct exif *exif, struct probe *probe)
{
	static const struct {
		unsigned time, offset;
		enum probe_moment moment;
	} sources[] = {{0x9003, 0x9011, MOMENT_ORIGINAL}, {0x9004, 0x9012, MOMENT_DIGITISED}, {0x0132, 0x9010, MOMENT_MODIFIED}};
	char time[40], offset[32];

	for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
		for (int k = 0; k < 2; k++) {
			read_text(exif, k ? exif->first : exif->camera, sources[i].time, time, sizeof time);
			read_text(exif, exif->camera, sources[i].offset, offset, sizeof offset);
			probe_time(probe, sources[i].moment, time, offset);
		}
}

/* Degrees, then minutes and seconds where they are not in the degrees' fraction, with their direction. */
static bool read_angle(const struct exif *exif, unsigned tag, unsigned direction_tag, const char *directions, double *degrees)
{
	struct ifd_entry entry;
	double sum = 0, unit = 1;
	char direction[8];

	read_text(exif, exif->gps, direction_tag, direction, sizeof direction);
	if (!ifd_find(&exif->block, exif->gps, tag, &entry) || !entry.count)
		return false;
	char way = (char)(direction[0] & ~0x20); /* small letters are seen, too */
	for (size_t i = 0; i < 3 && i < entry.count; i++, unit /= 60) {
		double part = ifd_real(&exif->block, &entry, i);
		if (isinf(part) || (i == 0 && isnan(part)))
			return false;
		if (!isnan(part)) /* 0/0: not said */
			sum += unit * part;
	}
	if (way != directions[0] && way != directions[1] && !(sum < 0))
		return false;
	*degrees = way == directions[1] ? -fabs(sum) : sum;
	return true;
}

static void read_description(const struct exif *exif, struct probe *probe)
{
	struct ifd_entry entry;

	if (!ifd_find(&exif->block, exif->first, 0x010e, &entry) || !is_text(&entry))
		return;
	char *text = mem_copy(entry.value, entry.size);
	if (text && !probe_is_boilerplate(text))
		probe_add_text(probe, PROBE_DESCRIPTION, text, entry.size);
	free(text);
}

/* As if the text had its mark: u16 each, in the given order. */
static void add_utf16(struct probe *probe, enum probe_text kind, const uint8_t *value, size_t size, bool little)
{
	struct buffer marked = {0}, utf8 = {0};
	size_t n = 0;

	while (n + 1 < size && (value[n] || value[n + 1]))
		n += 2;
	buffer_append(&marked, little ? "\xff\xfe" : "\xfe\xff", 2);
	buffer_append(&marked, value, n);
	if (!marked.failed)
		probe_utf8(marked.data, marked.size, &utf8);
	if (!utf8.failed && utf8.size && kind == PROBE_KEYWORDS)
		probe_add_path(probe, utf8.data, utf8.size, ';');
	else if (!utf8.failed && utf8.size)
		probe_add_text(probe, kind, utf8.data, utf8.size);
	buffer_release(&marked);
	buffer_release(&utf8);
}

/* Windows's own tags: UTF-16, little endian. Keywords end in semicolons. */
static void read_windows(const struct exif *exif, unsigned tag, enum probe_text kind, struct probe *probe)
{
	struct ifd_entry entry;

	if (ifd_find(&exif->block, exif->first, tag, &entry) && (entry.type == IFD_BYTE || entry.type == IFD_UNDEFINED))
		add_utf16(probe, kind, entry.value, entry.size, true);
}

/* u8[8] code, then the text. UTF-16 has the block's order as a rule; programs differ, and Latin letters tell. */
static void read_comment(const struct exif *exif, struct probe *probe)
{
	enum { COMMENT = 0x9286, CODE = 8 };
	struct ifd_entry entry;

	if (!ifd_find(&exif->block, exif->camera, COMMENT, &entry) || entry.size <= CODE || !is_text(&entry))
		return;
	const uint8_t *text = entry.value + CODE;
	size_t size = entry.size - CODE;
	if (memcmp(entry.value, "UNICODE", 7) == 0) {
		size_t even = 0, odd = 0;
		for (size_t i = 0; i + 1 < size; i += 2) {
			even += !text[i];
			odd += !text[i + 1];
		}
		add_utf16(probe, PROBE_DESCRIPTION, text, size, even == odd ? exif->block.little : odd > even);
	} else if (memcmp(entry.value, "ASCII\0\0", 8) == 0 || memcmp(entry.value, "\0\0\0\0\0\0\0", 8) == 0) {
		probe_add_text(probe, PROBE_DESCRIPTION, (const char *)text, size);
	}
}

void probe_exif(struct probe *probe, enum said_kind kind, const uint8_t *bytes, size_t size)
{
	struct exif exif = {0};
	double latitude, longitude;
	char make[64], model[64];

	size_t directory = bytes ? ifd_open(bytes, size, &exif.block) : 0;
	if (!directory)
		return;
	if (kind == SAID_EXIF) {
		exif.first = directory;
		exif.camera = ifd_below(&exif.block, directory, 0x8769);
		exif.gps = ifd_below(&exif.block, directory, 0x8825);
	} else {
		*(kind == SAID_EXIF_CAMERA ? &exif.camera : &exif.gps) = directory;
	}
	read_time(&exif, probe);
	if (read_angle(&exif, 2, 1, "NS", &latitude) && read_angle(&exif, 4, 3, "EW", &longitude))
		probe_position(probe, latitude, longitude);
	read_text(&exif, exif.first, 0x010f, make, sizeof make);
	read_text(&exif, exif.first, 0x0110, model, sizeof model);
	probe_camera(probe, make, model);
	if (!*probe->lens)
		read_text(&exif, exif.camera, 0xa434, probe->lens, sizeof probe->lens);
	read_description(&exif, probe);
	read_comment(&exif, probe);
	read_windows(&exif, 0x9c9b, PROBE_TITLE, probe);
	read_windows(&exif, 0x9c9c, PROBE_DESCRIPTION, probe);
	read_windows(&exif, 0x9c9f, PROBE_DESCRIPTION, probe);
	read_windows(&exif, 0x9c9e, PROBE_KEYWORDS, probe);
}
