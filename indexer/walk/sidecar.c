/* sidecar.c: see sidecar.h. */
#include "indexer/walk/sidecar.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum sidecar_kind sidecar_kind(const char *name)
{
	static const char *const extensions[] = {".xmp", ".json", ".txt"};
	const char *dot = strrchr(name, '.');

	for (enum sidecar_kind kind = SIDECAR_XMP; dot && dot != name && kind < SIDECAR_NONE; kind++)
		if (strcasecmp(dot, extensions[kind]) == 0)
			return kind;
	return SIDECAR_NONE;
}

enum status sidecars_add(struct sidecars *sidecars, char *path, int64_t size, int64_t mtime_ns, int64_t ctime_ns, struct err *err)
{
	if (!path || !mem_grow(&sidecars->items, &sidecars->capacity, sidecars->count + 1, sizeof *sidecars->items)) {
		free(path);
		return err_memory(err, "the list of files beside photographs");
	}
	sidecars->items[sidecars->count++] = (struct sidecar){path, size, mtime_ns, ctime_ns};
	return STATUS_OK;
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct sidecar *)a)->path, ((const struct sidecar *)b)->path);
}

void sidecars_sort(struct sidecars *sidecars)
{
	size_t kept = 0;

	if (sidecars->count)
		qsort(sidecars->items, sidecars->count, sizeof *sidecars->items, compare);
	for (size_t i = 0; i < sidecars->count; i++) {
		if (kept && compare(&sidecars->items[i], &sidecars->items[kept - 1]) == 0)
			free(sidecars->items[i].path);
		else
			sidecars->items[kept++] = sidecars->items[i];
	}
	sidecars->count = kept;
}

void sidecars_release(struct sidecars *sidecars)
{
	while (sidecars->count)
		free(sidecars->items[--sidecars->count].path);
	free(sidecars->items);
	*sidecars = (struct sidecars){0};
}

/* --- whose it is --- */

struct names {
	const char *base;   /* "IMG_1(2).jpg" */
	size_t base_size, stem_size;
	const char *number; /* "(2)", NULL if there is none */
	size_t number_size;
};

static struct names names_of(const char *photo)
{
	const char *slash = strrchr(photo, '/'), *base = slash ? slash + 1 : photo, *dot = strrchr(base, '.');
	struct names n = {.base = base, .base_size = strlen(base)};

	n.stem_size = dot && dot != base ? (size_t)(dot - base) : n.base_size;
	size_t at = n.stem_size;
	if (at && base[at - 1] == ')')
		for (at--; at && isdigit((unsigned char)base[at - 1]);)
			at--;
	if (at > 1 && at < n.stem_size - 1 && base[at - 1] == '(') {
		n.number = base + at - 1;
		n.number_size = n.stem_size - at + 1;
	}
	return n;
}

/* What may follow the photograph's name in Takeout's: nothing, or ".supplemental-metadata", of which long names leave less. */
static bool is_takeout_tail(const char *tail, size_t size)
{
	static const char whole[] = ".supplemental-metadata";
	return size < sizeof whole && memcmp(tail, whole, size) == 0;
}

/* body: the sidecar's name without its extension. */
static bool belongs(const struct names *n, const char *body, size_t size, enum sidecar_kind kind)
{
	enum { TAKEOUT_MOST = 46 };
	size_t extension = n->base_size - n->stem_size, front = n->stem_size - n->number_size;

	if ((size == n->stem_size || size == n->base_size) && memcmp(body, n->base, size) == 0)
		return true;
	if (kind != SIDECAR_JSON)
		return false;
	if (size > n->base_size && memcmp(body, n->base, n->base_size) == 0)
		return is_takeout_tail(body + n->base_size, size - n->base_size);
	if (size == TAKEOUT_MOST && size < n->base_size && memcmp(body, n->base, size) == 0)
		return true;
	/* "IMG_1", ".jpg", then the tail, and the number last. */
	return n->number && size >= n->base_size && memcmp(body, n->base, front) == 0 &&
	       memcmp(body + front, n->base + n->stem_size, extension) == 0 &&
	       memcmp(body + size - n->number_size, n->number, n->number_size) == 0 &&
	       is_takeout_tail(body + front + extension, size - n->base_size);
}

/* The first that does not come before the first `size` bytes of path. */
static size_t lower_bound(const struct sidecars *sidecars, const char *path, size_t size)
{
	size_t low = 0, high = sidecars->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strncmp(sidecars->items[middle].path, path, size) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

size_t sidecars_of(const struct sidecars *sidecars, const char *photo, const struct sidecar *found[SIDECARS_MOST])
{
	enum { FRONT_MOST = 40 };
	struct names names = names_of(photo);
	size_t folder = (size_t)(names.base - photo), front = names.stem_size - names.number_size, n = 0;

	if (!sidecars->count)
		return 0;
	front = folder + (front < FRONT_MOST ? front : FRONT_MOST);
	for (enum sidecar_kind kind = SIDECAR_XMP; kind < SIDECAR_NONE; kind++)
		for (size_t i = lower_bound(sidecars, photo, front); i < sidecars->count && n < SIDECARS_MOST; i++) {
			const struct sidecar *sidecar = &sidecars->items[i];
			if (strncmp(sidecar->path, photo, front) != 0)
				break;
			const char *name = sidecar->path + folder;
			if (!strchr(name, '/') && sidecar_kind(name) == kind &&
			    belongs(&names, name, (size_t)(strrchr(name, '.') - name), kind))
				found[n++] = sidecar;
		}
	return n;
}
