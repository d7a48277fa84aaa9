/* sidecar.h: files beside photographs that say something about them, and whose they are, by their names. For "IMG_1.jpg":
 *
 *     IMG_1.xmp IMG_1.jpg.xmp      XMP, as Lightroom, darktable and digiKam write it
 *     IMG_1.txt IMG_1.jpg.txt      a text a line
 *     IMG_1.json IMG_1.jpg.json    a description, as Google Takeout writes it; its IMG_1.jpg.supplemental-metadata.json, also cut short,
 *                                  and IMG_1.jpg(2).json for IMG_1(2).jpg, too
 *
 * The walk sees their names and times anyway: an unchanged library costs no further call.
 */
#ifndef INDEXER_WALK_SIDECAR_H
#define INDEXER_WALK_SIDECAR_H

#include <stddef.h>
#include <stdint.h>

#include "schema/base/status.h"

/* By extension; in this order a photograph's are read. */
enum sidecar_kind { SIDECAR_XMP, SIDECAR_JSON, SIDECAR_TXT, SIDECAR_NONE };

struct sidecar {
	char *path;
	int64_t size, mtime_ns, ctime_ns; /* ctime_ns: when the inode changed; programs put the time back when they write */
};

struct sidecars {
	struct sidecar *items;
	size_t count, capacity;
};

/* How many of one photograph are looked at. */
enum { SIDECARS_MOST = 8 };

enum sidecar_kind sidecar_kind(const char *name);
/* Takes path over, also when it fails. */
enum status sidecars_add(struct sidecars *sidecars, char *path, int64_t size, int64_t mtime_ns, int64_t ctime_ns, struct err *err);
void sidecars_sort(struct sidecars *sidecars); /* and drops what is there twice; then sidecars_of */
void sidecars_release(struct sidecars *sidecars);

/* Those of a photograph: XMP first, then JSON, then texts; their number. */
size_t sidecars_of(const struct sidecars *sidecars, const char *photo, const struct sidecar *found[SIDECARS_MOST]);

#endif
