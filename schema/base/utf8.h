/* utf8.h: which bytes are valid UTF-8 (Unicode's table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF).
 *
 *     for (size_t i = 0, n; i < size; i += n)
 *         if (!utf8_next(bytes + i, size - i, &n)) { ... the n bytes at i are wrong ... }
 */
#ifndef SCHEMA_BASE_UTF8_H
#define SCHEMA_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Looks at the first character of size >= 1 bytes. True: it is valid and has *n bytes. False: its first *n bytes are the
 * longest start of a valid sequence (at least one byte), which decoders replace by one U+FFFD. */
bool utf8_next(const char *bytes, size_t size, size_t *n);

#endif
