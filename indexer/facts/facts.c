/* facts.c: see facts.h. */
#include "indexer/facts/facts.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "schema/base/file.h"

#include "schema/base/banned.h"

/* Rows of numbers are labels of detectors, and no caption. */
static bool has_letters(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (isalpha((unsigned char)text[i]) || (unsigned char)text[i] >= 0x80)
			return true;
	return false;
}

/* Each line is a text of its own, as captions beside photographs are written: a model reads only a sentence or two at once. */
static void read_lines(struct probe *facts, const char *bytes, size_t size)
{
	enum { LINES_MOST = 200 };
	struct buffer utf8 = {0};

	probe_utf8(bytes, size, &utf8);
	const char *text = utf8.data, *end = utf8.data + utf8.size;
	for (int n = 0; !utf8.failed && text < end && n < LINES_MOST; n++) {
		const char *line = memchr(text, '\n', (size_t)(end - text));
		size_t length = (size_t)((line ? line : end) - text);
		if (has_letters(text, length))
			probe_add_text(facts, PROBE_SIDECAR, text, length);
		text += length + 1;
	}
	buffer_release(&utf8);
}

static void read_sidecar(struct probe *facts, const char *path, const char *photo)
{
	enum { SIZE_MOST = 16 << 20 };
	const char *slash = strrchr(photo, '/');
	enum sidecar_kind kind = sidecar_kind(path);
	uint8_t *bytes = NULL;
	size_t size;

	if (file_read(path, SIZE_MOST, &bytes, &size, NULL) != STATUS_OK)
		return;
	if (kind == SIDECAR_XMP)
		probe_xmp(facts, bytes, size);
	else if (kind == SIDECAR_JSON)
		probe_json(facts, bytes, size, slash ? slash + 1 : photo);
	else
		read_lines(facts, (const char *)bytes, size);
	free(bytes);
}

static void read_said(struct probe *facts, const struct said_block *block)
{
	const char *text = (const char *)block->bytes;
	char time[40];

	switch (block->kind) {
	case SAID_EXIF:
	case SAID_EXIF_CAMERA:
	case SAID_EXIF_GPS:
		probe_exif(facts, block->kind, block->bytes, block->size);
		break;
	case SAID_XMP:
		probe_xmp(facts, block->bytes, block->size);
		break;
	case SAID_IPTC:
		probe_iptc(facts, block->bytes, block->size);
		break;
	case SAID_TITLE:
		probe_add_text(facts, PROBE_TITLE, text, block->size);
		break;
	case SAID_DESCRIPTION:
		probe_add_text(facts, PROBE_DESCRIPTION, text, block->size);
		break;
	case SAID_TIME: /* Windows writes it as EXIF does */
		snprintf(time, sizeof time, "%.*s", (int)(block->size < sizeof time ? block->size : sizeof time), text);
		probe_time(facts, MOMENT_DIGITISED, time, NULL);
		break;
	}
}

void facts_read(struct probe *facts, const struct image_said *said, const char *photo, const struct sidecar *const *beside, size_t n)
{
	size_t i = 0;

	for (; i < n && sidecar_kind(beside[i]->path) == SIDECAR_XMP; i++)
		read_sidecar(facts, beside[i]->path, photo);
	for (enum said_kind kind = SAID_EXIF; kind <= SAID_TIME; kind++)
		for (size_t k = 0; k < said->count; k++)
			if (said->blocks[k].kind == kind)
				read_said(facts, &said->blocks[k]);
	for (; i < n; i++)
		read_sidecar(facts, beside[i]->path, photo);
}

int64_t facts_stamp(const struct sidecar *const *beside, size_t n)
{
	uint64_t stamp = FACTS_VERSION;

	for (size_t i = 0; i < n; i++) {
		int64_t values[] = {beside[i]->size, beside[i]->mtime_ns, beside[i]->ctime_ns};
		stamp = XXH3_64bits_withSeed(beside[i]->path, strlen(beside[i]->path), stamp);
		stamp = XXH3_64bits_withSeed(values, sizeof values, stamp);
	}
	return stamp ? (int64_t)stamp : 1;
}
