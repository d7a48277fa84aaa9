/* facts.h: all that is said of one photograph, in the file and in those beside it.
 *
 *     struct probe facts;
 *     probe_init(&facts);
 *     size_t n = sidecars_of(&walk.sidecars, path, beside);
 *     facts_read(&facts, &said, path, beside, n);          // said: image_probe_said's
 *     ... facts.taken_at, facts.texts[PROBE_TITLE] ...
 *     probe_release(&facts);
 *
 * The order is that of trust (probe.h: what comes first stays): XMP beside the file, which people changed last; then EXIF, XMP and
 * IPTC within it, and PNG's texts; then JSON and text files beside it. A file that cannot be read says nothing.
 */
#ifndef INDEXER_FACTS_FACTS_H
#define INDEXER_FACTS_FACTS_H

#include "indexer/facts/probe.h"
#include "indexer/walk/sidecar.h"
#include "model/image/said.h"

/* Raised when more is read than before: what was indexed by an older version is then read again. */
enum { FACTS_VERSION = 2 };

/* beside[n]: as sidecars_of found them. */
void facts_read(struct probe *facts, const struct image_said *said, const char *photo, const struct sidecar *const *beside, size_t n);

/* A number, never 0, that is another when a file beside the photograph comes, goes or changes, and when FACTS_VERSION is raised. */
int64_t facts_stamp(const struct sidecar *const *beside, size_t n);

#endif
