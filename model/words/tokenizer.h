/* tokenizer.h: CLIP's byte-pair encoding.
 *
 *     struct tokenizer *t;
 *     tokenizer_open("model/merges.txt", 0, &t, err);
 *     int32_t ids[76];
 *     size_t n = tokenizer_encode(t, "two dogs", 8, ids, 76);   // start, two</w>, dogs</w>, end
 *
 * As OpenCLIP's SimpleTokenizer, but without ftfy: HTML entities unescaped twice, white space folded, lower case, then
 * CLIP's regular expression (Unicode classes) and the merges. A tokenizer is read only once open: threads share it.
 */
#ifndef MODEL_WORDS_TOKENIZER_H
#define MODEL_WORDS_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#include "schema/base/status.h"

struct tokenizer;

/* The tokenizer's file in a folder, the first there is of tokenizer.json, merges.txt, bpe_simple_vocab_16e6.txt.gz; *path is the
 * caller's to free. */
enum status tokenizer_find(const char *folder, char **path, struct err *err);

/* path: bpe_simple_vocab_16e6.txt.gz, merges.txt or tokenizer.json (by content), or a folder that holds one of them. vocab_size: the
 * model's V, which the tokenizer must then have (STATUS_FORMAT says both numbers), or 0. A list with more merges than V has room
 * for is cut, as OpenCLIP cuts the 262,145 lines of the published one to its 49,408 ids; so it is without V.
 * "<start_of_text>" and "<end_of_text>" in a text are the start and end id, whatever the file calls them, as in OpenCLIP. */
enum status tokenizer_open(const char *path, size_t vocab_size, struct tokenizer **tokenizer, struct err *err);
/* One without merges: each byte of a word is an id. */
enum status tokenizer_of_bytes(struct tokenizer **tokenizer, struct err *err);
void tokenizer_close(struct tokenizer *tokenizer); /* takes NULL */

size_t tokenizer_vocab_size(const struct tokenizer *tokenizer);
int32_t tokenizer_start(const struct tokenizer *tokenizer);
int32_t tokenizer_end(const struct tokenizer *tokenizer);

/* Writes start, the text's ids and end; a text that is too long is cut and its last id is the end. Returns the number of
 * ids (2 <= n <= capacity; capacity >= 2), or 0 when out of memory. Bytes that are not UTF-8 are replaced as Python's
 * errors="replace" does. */
size_t tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t size, int32_t *ids, size_t capacity);

/* All ids of a text, however many, without start and end. *ids is the caller's to free. */
enum status tokenizer_encode_all(const struct tokenizer *tokenizer, const char *text, size_t size, int32_t **ids, size_t *n,
				 struct err *err);

/* The text of ids, start, end and padding (what follows the end) left out; "</w>" becomes a space, none at the end.
 * The caller's to free; NULL when out of memory. */
char *tokenizer_decode(const struct tokenizer *tokenizer, const int32_t *ids, size_t n);

#endif
