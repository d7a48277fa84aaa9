/* bpe_train.h: a tokenizer of one's own: byte pairs merged by how often they stand together in the captions.
 *
 *     bpe_new(&bpe, err);
 *     bpe_add(bpe, caption, size, err);  ...
 *     bpe_write(bpe, 4096, "merges.txt", &vocab_size, err);
 *
 * Words are cut as the tokenizer itself cuts them: a list without merges encodes a text into its bytes, with the ends of words
 * marked. The file has the layout of the published merges.txt; ids are 256 bytes, the same with "</w>", the merges, start, end.
 */
#ifndef MODEL_WORDS_BPE_TRAIN_H
#define MODEL_WORDS_BPE_TRAIN_H

#include <stddef.h>

#include "schema/base/status.h"

struct bpe;

enum status bpe_new(struct bpe **bpe, struct err *err);
void bpe_free(struct bpe *bpe); /* takes NULL */
enum status bpe_add(struct bpe *bpe, const char *text, size_t size, struct err *err);

/* Learns and writes at most vocab_size - 514 merges: fewer where no pair stands together twice. *learned: ids in all. */
enum status bpe_write(struct bpe *bpe, size_t vocab_size, const char *path, size_t *learned, struct err *err);

#endif
