/* facts.c: see facts.h. */
#include "indexer/facts/facts.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "schema/base/file.h"

#include "schema/base/banned.h"

/* Each line is a text of its own, as captions beside photographs are written: a model reads only a sentence or two at once. */
static void read_lines(struct probe *facts, const char *text, size_t size)
{
	enum { LINES_MOST = 200 };
	const char *end = text + size;

	for (int n = 0; text < end && n < LINES_MOST; n++) {
		const char *line = memchr(text, '\n', (size_t)(end - text));
		size_t length = (size_t)((line ? line : end) - text);
		probe_add_text(facts, PROBE_SIDECAR, text, length);
		text += length + 1;
	}
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

void facts_read(struct probe *facts, const struct image_info *info, const char *photo, const struct sidecar *const *beside, size_t n)
{
	size_t i = 0;

	for (; i < n && sidecar_kind(beside[i]->path) == SIDECAR_XMP; i++)
		read_sidecar(facts, beside[i]->path, photo);
	probe_exif(facts, info->exif, info->exif_size);
	probe_xmp(facts, info->xmp, info->xmp_size);
	probe_iptc(facts, info->iptc, info->iptc_size);
	for (; i < n; i++)
		read_sidecar(facts, beside[i]->path, photo);
}

int64_t facts_stamp(const struct sidecar *const *beside, size_t n)
{
	uint64_t stamp = FACTS_VERSION;

	for (size_t i = 0; i < n; i++) {
		int64_t values[] = {beside[i]->size, beside[i]->mtime_ns};
		stamp = XXH3_64bits_withSeed(beside[i]->path, strlen(beside[i]->path), stamp);
		stamp = XXH3_64bits_withSeed(values, sizeof values, stamp);
	}
	return stamp ? (int64_t)stamp : 1;
}
