/* vocabulary.h: symbols and their ids, and the merges that make symbols of symbols.
 *
 * A symbol is a string of bytes and whether it ends a word. Files write bytes as printable characters (GPT-2's alphabet) and
 * put "</w>" behind what ends a word. The ids of a list are: 256 bytes in the order of that alphabet, the same with "</w>",
 * one for each merge, start, end. A tokenizer.json says itself which id a symbol has.
 *
 *     alphabet_make(&v->alphabet);
 *     vocabulary_read_list(v, text, size, vocab_size, path, err);       // or vocabulary_read_json
 *     const struct merge *m = vocabulary_merge(v, left, right);         // NULL: these two are never joined
 *     vocabulary_release(v);
 */
#ifndef MODEL_WORDS_VOCABULARY_H
#define MODEL_WORDS_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/memory.h"
#include "schema/base/status.h"

enum { BYTES = 256, SPECIAL = 2, FIRST_MERGE = 2 * BYTES, OWN_IDS = FIRST_MERGE + SPECIAL };
#define END_OF_WORD "</w>"

/* The start and the end of a text, as texts may spell them. */
extern const char *const special_names[SPECIAL];

/* GPT-2's: bytes that print in Latin-1 stand for themselves, the others get the characters from U+0100 on. */
struct alphabet {
	uint8_t order[BYTES];     /* the byte of each of the first ids: those that print come first */
	uint16_t code[BYTES];     /* the character of a byte */
	int16_t byte_of[0x180];   /* the byte of a character, or -1 */
};

struct symbol {
	size_t at, size;          /* in pool */
	bool ends_word;
};

struct merge {
	uint64_t pair;            /* left id << 32 | right id */
	uint32_t rank;
	int32_t id;               /* what the two become */
	bool used;
};

struct vocabulary {
	struct alphabet alphabet;
	struct buffer pool;       /* the symbols' bytes */
	struct symbol *symbols;   /* [size] */
	size_t size;
	int32_t *by_string;       /* hash table of ids, -1 is free; [string_slots], a power of 2 */
	size_t string_slots;
	struct merge *merges;     /* hash table; [merge_slots], a power of 2 */
	size_t merge_slots;
	int32_t first[BYTES][2];  /* the symbol of a byte, inside a word and at its end */
	int32_t special[SPECIAL];
};

void alphabet_make(struct alphabet *alphabet);

/* Room for so many symbols and merges. */
enum status vocabulary_make(struct vocabulary *v, size_t size, size_t merges, struct err *err);
void vocabulary_release(struct vocabulary *v);

/* Where the symbol's id is, or the free place (-1) where it belongs. */
int32_t *vocabulary_slot(const struct vocabulary *v, const char *bytes, size_t size, bool ends_word);
/* Gives id the symbol. Where two ids have the same, the later one is found, as in OpenCLIP's dictionary. False: out of memory. */
bool vocabulary_put(struct vocabulary *v, size_t id, const char *bytes, size_t size, bool ends_word);
/* Looks up the symbol of each byte. False if one is missing. */
bool vocabulary_find_bytes(struct vocabulary *v);

/* Turns a file's spelling into bytes (no longer than it). False: not of the alphabet. */
bool symbol_parse(const struct alphabet *alphabet, const char *text, size_t size, char *bytes, size_t *length, bool *ends_word);

/* Two symbols that a file spells and a merge can join. */
struct joined {
	int32_t left, right;
	size_t size;              /* of the bytes of both */
	bool ends_word;
};
/* The bytes of both go to scratch, which has room for either spelling and for both together. False: one of them is no symbol, or
 * the left one ends a word. */
bool vocabulary_join(const struct vocabulary *v, const char *left, size_t left_size, const char *right, size_t right_size,
		     char *scratch, struct joined *joined);

void vocabulary_put_merge(struct vocabulary *v, int32_t left, int32_t right, size_t rank, int32_t id);
const struct merge *vocabulary_merge(const struct vocabulary *v, int32_t left, int32_t right);

/* A list of merges. vocab_size: ids that there must be, or 0: as many as OpenCLIP takes. */
enum status vocabulary_read_list(struct vocabulary *v, const char *text, size_t size, size_t vocab_size, const char *path, struct err *err);
/* A tokenizer.json. */
enum status vocabulary_read_json(struct vocabulary *v, const char *text, size_t size, size_t vocab_size, const char *path, struct err *err);
/* STATUS_FORMAT: it has one number of ids and the model another. */
enum status vocabulary_mismatch(const char *path, size_t has, size_t needs, struct err *err);

#endif
