/* probe.h: what a photograph knows about itself: when, where, with which camera, read from its EXIF data by libexif.
 *
 *     struct image_info info;
 *     image_probe(bytes, size, &info, err);
 *     struct probe probe;
 *     probe_read(info.exif, info.exif_size, &probe);     // damaged data are no error: what can be read is read
 */
#ifndef INDEXER_PROBE_H
#define INDEXER_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct probe {
	bool has_taken;
	int64_t taken_at;      /* local wall time, seconds since 1970 as if it were UTC */
	int32_t taken_offset;  /* minutes east of UTC or CATALOG_NO_OFFSET */
	bool has_position;
	double latitude, longitude; /* degrees, north and east positive */
	char camera[128], lens[128]; /* "" unknown */
};

/* exif: the TIFF block; NULL if there is none. */
void probe_read(const uint8_t *exif, size_t size, struct probe *probe);

#endif
