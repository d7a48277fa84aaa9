/* base64.h: bytes as characters, for a picture within a page or within a terminal's control sequence. */
#ifndef QUERY_SHOW_BASE64_H
#define QUERY_SHOW_BASE64_H

#include <stdint.h>

#include "schema/base/memory.h"

/* With padding. */
void base64_append(const uint8_t *bytes, size_t size, struct buffer *out);

#endif
