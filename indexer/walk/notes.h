/* notes.h: lines that a run collects for the user, who reads them when it is over.
 *
 *     struct buffer warnings = {0};
 *     notes_add(&warnings, "cannot read the folder '%s': %s", path, reason);   // a line feed is put behind it
 */
#ifndef INDEXER_WALK_NOTES_H
#define INDEXER_WALK_NOTES_H

#include "schema/base/memory.h"

/* Control characters come out as \xNN: a path cannot forge a line. */
void notes_add(struct buffer *notes, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
