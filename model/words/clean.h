/* clean.h: what a text is before it is cut into words:
 *
 *     valid UTF-8 -> entities unescaped, twice -> white space folded -> lower case
 *
 * White space and lower case are Python's, as CLIP's tokenizer is written in it.
 */
#ifndef MODEL_WORDS_CLEAN_H
#define MODEL_WORDS_CLEAN_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "schema/base/memory.h"

/* What a final sigma's rule asks of a character, compiled anchored: case-ignorable, or cased in a group. */
#define CLEAN_CONTEXT "\\p{Case_Ignorable}|(\\p{Cased})"

/* Appends the cleaned text. match: scratch for two pairs. */
void clean_text(const pcre2_code *context, const char *text, size_t size, struct buffer *cleaned, pcre2_match_data *match);

/* Appends text; bytes that are not UTF-8 become U+FFFD, one for each start of a sequence. */
void clean_utf8(const char *text, size_t size, struct buffer *to);

#endif
