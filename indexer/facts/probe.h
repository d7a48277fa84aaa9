/* probe.h: what a photograph knows about itself: when, where, with which camera, and what was written about it, from EXIF, XMP,
 * IPTC, PNG's texts and JSON. Which of them there are, and in which order they are read, says facts.h.
 *
 *     struct probe probe;
 *     probe_init(&probe);
 *     probe_exif(&probe, SAID_EXIF, bytes, size);     // damaged data are no error: what can be read is read
 *     probe_xmp(&probe, bytes, size);
 *     probe_release(&probe);
 *
 * What comes first stays: a later source only fills what is missing, and adds texts that are not there yet; but a time that means more
 * (enum probe_moment) is taken whatever came before. A time without an offset is local wall time, and stays that, unless another source
 * has the same clock with one. The file's own time is never taken for the photograph's.
 */
#ifndef INDEXER_FACTS_PROBE_H
#define INDEXER_FACTS_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/image/said.h"
#include "schema/base/memory.h"

enum probe_text { PROBE_TITLE, PROBE_DESCRIPTION, PROBE_KEYWORDS, PROBE_PLACE, PROBE_SIDECAR, PROBE_TEXTS };

/* What a time is of, the best first. Of a scan the picture's own comes before the scanner's. */
enum probe_moment { MOMENT_ORIGINAL, MOMENT_DIGITISED, MOMENT_UTC /* when it was taken, but not by whose clock */, MOMENT_MODIFIED };

struct probe {
	bool has_taken, day_alone; /* day_alone: taken_at is the day's first second, as no hour is known */
	enum probe_moment moment;
	int64_t taken_at;      /* local wall time, seconds since 1970 as if it were UTC */
	int32_t taken_offset;  /* minutes east of UTC or CATALOG_NO_OFFSET */
	bool has_position;
	double latitude, longitude; /* degrees, north and east positive */
	char camera[128], lens[128]; /* "" unknown */
	struct buffer texts[PROBE_TEXTS]; /* UTF-8, each ending in NUL, none twice */
};

void probe_init(struct probe *probe);
void probe_release(struct probe *probe); /* and init: nothing is known any more */

/* bytes NULL: there is none. kind: SAID_EXIF or one of its parts. */
void probe_exif(struct probe *probe, enum said_kind kind, const uint8_t *exif, size_t size);
void probe_xmp(struct probe *probe, const uint8_t *xmp, size_t size);
void probe_iptc(struct probe *probe, const uint8_t *iptc, size_t size);
/* A description by Google Takeout, what exiftool -json writes, or any object with title, description, keywords. name: the photograph's,
 * which is no title. */
void probe_json(struct probe *probe, const uint8_t *json, size_t size, const char *name);

/* Bytes as UTF-8: UTF-16 with its mark is turned into it, a mark of UTF-8 is left out, what is no UTF-8 is taken for Windows-1252. */
void probe_utf8(const char *bytes, size_t size, struct buffer *out);
/* White space at the ends and control characters are left out; bytes as in probe_utf8. */
void probe_add_text(struct probe *probe, enum probe_text kind, const char *text, size_t size);
/* What cameras write as a description of every photograph. */
bool probe_is_boilerplate(const char *text);
/* "Places|Iceland|Reykjavik": each part is a keyword. */
void probe_add_path(struct probe *probe, const char *path, size_t size, char separator);
/* The catalog's collection for a kind: "title", "description", "keywords", "place", "sidecar". */
const char *probe_collection(enum probe_text kind);

/* "2024:07:31 18:05:09" as EXIF has it, or "2024-07-31T18:05:09.12+02:00" and shorter forms. A clock that cannot be costs the clock, not the
 * day. */
void probe_time(struct probe *probe, enum probe_moment moment, const char *time, const char *offset);
/* at: seconds since 1970 of a local clock as if it were UTC. offset: minutes or CATALOG_NO_OFFSET. */
void probe_taken(struct probe *probe, enum probe_moment moment, int64_t at, bool day_alone, int32_t offset);
/* Ignored where one is known or it cannot be true. */
void probe_position(struct probe *probe, double latitude, double longitude);
void probe_camera(struct probe *probe, const char *make, const char *model);

#endif
