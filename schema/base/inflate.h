/* inflate.h: compressed bytes that lie in memory.
 *
 *     struct buffer plain = {0};
 *     if (!inflate_bytes(bytes, size, most, &plain)) { ... damaged, cut off, or plain.failed or plain.size > most ... }
 */
#ifndef SCHEMA_BASE_INFLATE_H
#define SCHEMA_BASE_INFLATE_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/base/memory.h"

/* Appends what a zlib stream or a gzip file (of several members, too) decompresses to. False: the data are damaged or end early, or
 * out has more than `most` bytes by then, or memory ran out. */
bool inflate_bytes(const uint8_t *bytes, size_t size, size_t most, struct buffer *out);

#endif
