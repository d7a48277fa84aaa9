/* words.h: whether a caption has a word in it. */
#ifndef MODEL_WORDS_WORDS_H
#define MODEL_WORDS_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/* Whether text has `word` (which may be several) standing by itself, in any case; many: or with an s behind it. */
bool words_have(const char *text, size_t size, const char *word, bool many);

#endif
