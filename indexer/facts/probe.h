/* probe.h: what a photograph knows about itself: when, where, with which camera, and what was written about it, from EXIF, XMP,
 * IPTC and JSON. Which of them there are, and in which order they are read, says facts.h.
 *
 *     struct probe probe;
 *     probe_init(&probe);
 *     probe_exif(&probe, info.exif, info.exif_size);     // damaged data are no error: what can be read is read
 *     probe_xmp(&probe, info.xmp, info.xmp_size);
 *     probe_iptc(&probe, info.iptc, info.iptc_size);
 *     probe_release(&probe);
 *
 * What comes first stays: a later source only fills what is missing, and adds texts that are not there yet. A time without an offset is
 * local wall time, and stays that. The file's own time is never taken for the photograph's.
 */
#ifndef INDEXER_FACTS_PROBE_H
#define INDEXER_FACTS_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/memory.h"

enum probe_text { PROBE_TITLE, PROBE_DESCRIPTION, PROBE_KEYWORDS, PROBE_SIDECAR, PROBE_TEXTS };

struct probe {
	bool has_taken;
	int64_t taken_at;      /* local wall time, seconds since 1970 as if it were UTC */
	int32_t taken_offset;  /* minutes east of UTC or CATALOG_NO_OFFSET */
	bool has_position;
	double latitude, longitude; /* degrees, north and east positive */
	char camera[128], lens[128]; /* "" unknown */
	struct buffer texts[PROBE_TEXTS]; /* UTF-8, each ending in NUL, none twice */
};

void probe_init(struct probe *probe);
void probe_release(struct probe *probe); /* and init: nothing is known any more */

/* bytes NULL: there is none. exif: a TIFF block. */
void probe_exif(struct probe *probe, const uint8_t *exif, size_t size);
void probe_xmp(struct probe *probe, const uint8_t *xmp, size_t size);
void probe_iptc(struct probe *probe, const uint8_t *iptc, size_t size);
/* A description by Google Takeout, or any object with title, description, keywords. name: the photograph's, which is no title. */
void probe_json(struct probe *probe, const uint8_t *json, size_t size, const char *name);

/* White space at the ends and control characters are left out; bytes that are no UTF-8 are taken for Latin-1. */
void probe_add_text(struct probe *probe, enum probe_text kind, const char *text, size_t size);
/* The catalog's collection for a kind: "title", "description", "keywords", "sidecar". */
const char *probe_collection(enum probe_text kind);

/* "2024:07:31 18:05:09" as EXIF has it, or "2024-07-31T18:05:09.12+02:00" and shorter forms. Only where none is known yet. */
void probe_time(struct probe *probe, const char *time, const char *offset);
/* Ignored where one is known or it cannot be true. */
void probe_position(struct probe *probe, double latitude, double longitude);
void probe_camera(struct probe *probe, const char *make, const char *model);

#endif
