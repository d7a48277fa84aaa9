/* entities.h: HTML's character references, as Python's html.unescape reads them (the HTML5 rules for text):
 * "&amp;", "&eacute" (the old names need no semicolon), "&#8364;", "&#x20ac;". What is none stays as it is. */
#ifndef MODEL_WORDS_ENTITIES_H
#define MODEL_WORDS_ENTITIES_H

#include <stddef.h>

#include "schema/base/memory.h"

/* Appends text with its references replaced, once: "&amp;lt;" becomes "&lt;". text is valid UTF-8. */
void entities_unescape(const char *text, size_t size, struct buffer *to);

#endif
