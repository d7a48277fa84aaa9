/* json.h: writing JSON that is valid UTF-8 whatever bytes go in. Reading is cJSON's business.
 *
 * A string is escaped as JSON requires. A byte that is not part of valid UTF-8 is written as the escape \udcXX with XX the
 * byte (a lone low surrogate, as Python's "surrogateescape" has it), so that the path can be had back without loss.
 */
#ifndef SCHEMA_BASE_JSON_H
#define SCHEMA_BASE_JSON_H

#include <stddef.h>

#include "schema/base/memory.h"

/* Appends "..." with quotes. */
void json_string(struct buffer *buffer, const char *bytes, size_t size);

/* Appends a number in the fewest digits that read back as the same float (as the same double, where it is no float); whole
 * numbers below 2^53 in full; null for NaN and infinities. */
void json_number(struct buffer *buffer, double value);

#endif
