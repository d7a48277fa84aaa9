/* bpe_train.c: see bpe_train.h (Sennrich, Haddow and Birch 2016). Each distinct word is kept once with its count; a merge walks
 * all words and corrects the counts of pairs where it changes one, so that pairs are never counted anew. */
#include "model/words/bpe_train.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "model/words/tokenizer.h"
#include "model/words/vocabulary.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { TEXT_IDS = 4096 };

static const char header[] = "#version: 0.2 - BPE merges\n";

struct word {
	size_t at, size;   /* its symbols in bpe->symbols */
	size_t count;
};

struct pair {
	uint64_t key;      /* left << 32 | right, plus 1: 0 is a free place */
	int64_t count;
};

struct bpe {
	struct tokenizer *bytes;
	int32_t *symbols;
	size_t symbol_count, symbol_room;
	struct word *words;
	size_t word_count, word_room;
	uint32_t *by_word; /* hash table: index + 1; 0 is free */
	size_t word_slots;
	struct pair *pairs; /* hash table */
	size_t pair_slots, pair_count;
};

enum status bpe_new(struct bpe **result, struct err *err)
{
	struct bpe *bpe = mem_array(1, sizeof *bpe);
	enum status status = bpe ? tokenizer_of_bytes(&bpe->bytes, err) : err_memory(err, "a tokenizer");

	if (status != STATUS_OK) {
		bpe_free(bpe);
		bpe = NULL;
	}
	*result = bpe;
	return status;
}

void bpe_free(struct bpe *bpe)
{
	if (!bpe)
		return;
	tokenizer_close(bpe->bytes);
	free(bpe->symbols);
	free(bpe->words);
	free(bpe->by_word);
	free(bpe->pairs);
	free(bpe);
}

/* ---- words ------------------------------------------------------------------------------------------------------ */

static uint32_t *word_slot(const struct bpe *bpe, const int32_t *symbols, size_t size)
{
	for (size_t i = XXH3_64bits(symbols, size * sizeof *symbols);; i++) {
		uint32_t *slot = &bpe->by_word[i & (bpe->word_slots - 1)];
		const struct word *word = *slot ? &bpe->words[*slot - 1] : NULL;
		if (!word || (word->size == size && memcmp(bpe->symbols + word->at, symbols, size * sizeof *symbols) == 0))
			return slot;
	}
}

static bool make_room(struct bpe *bpe, size_t size)
{
	if (!mem_grow(&bpe->symbols, &bpe->symbol_room, bpe->symbol_count + size, sizeof *bpe->symbols) ||
	    !mem_grow(&bpe->words, &bpe->word_room, bpe->word_count + 1, sizeof *bpe->words))
		return false;
	if (2 * (bpe->word_count + 1) <= bpe->word_slots)
		return true;
	size_t slots = bpe->word_slots ? 2 * bpe->word_slots : 4096;
	uint32_t *grown = mem_array(slots, sizeof *grown);
	if (!grown)
		return false;
	free(bpe->by_word);
	bpe->by_word = grown;
	bpe->word_slots = slots;
	for (size_t i = 0; i < bpe->word_count; i++)
		*word_slot(bpe, bpe->symbols + bpe->words[i].at, bpe->words[i].size) = (uint32_t)i + 1;
	return true;
}

static bool add_word(struct bpe *bpe, const int32_t *symbols, size_t size)
{
	if (!make_room(bpe, size))
		return false;
	uint32_t *slot = word_slot(bpe, symbols, size);
	if (!*slot) {
		memcpy(bpe->symbols + bpe->symbol_count, symbols, size * sizeof *symbols);
		bpe->words[bpe->word_count++] = (struct word){bpe->symbol_count, size, 0};
		bpe->symbol_count += size;
		*slot = (uint32_t)bpe->word_count;
	}
	bpe->words[*slot - 1].count++;
	return true;
}

enum status bpe_add(struct bpe *bpe, const char *text, size_t size, struct err *err)
{
	int32_t ids[TEXT_IDS];
	size_t n = tokenizer_encode(bpe->bytes, text, size, ids, TEXT_IDS), from = 1;

	if (!n)
		return err_memory(err, "a caption's bytes");
	for (size_t i = 1; i < n; i++) {
		if (ids[i] >= FIRST_MERGE) { /* start or end, also where a caption spells them */
			from = i + 1;
		} else if (ids[i] >= BYTES) {
			if (!add_word(bpe, ids + from, i + 1 - from))
				return err_memory(err, "the captions' words");
			from = i + 1;
		}
	}
	return STATUS_OK;
}

/* ---- pairs ------------------------------------------------------------------------------------------------------ */

static uint64_t pair_key(int32_t left, int32_t right)
{
	return ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) + 1;
}

static struct pair *pair_slot(struct pair *pairs, size_t slots, uint64_t key)
{
	for (size_t i = key * 0x9e3779b97f4a7c15u >> 20;; i++) {
		struct pair *pair = &pairs[i & (slots - 1)];
		if (!pair->key || pair->key == key)
			return pair;
	}
}

static bool count_pair(struct bpe *bpe, int32_t left, int32_t right, int64_t count)
{
	if (2 * (bpe->pair_count + 1) > bpe->pair_slots) {
		size_t slots = bpe->pair_slots ? 2 * bpe->pair_slots : 4096;
		struct pair *grown = mem_array(slots, sizeof *grown);
		if (!grown)
			return false;
		for (size_t i = 0; i < bpe->pair_slots; i++)
			if (bpe->pairs[i].key)
				*pair_slot(grown, slots, bpe->pairs[i].key) = bpe->pairs[i];
		free(bpe->pairs);
		bpe->pairs = grown;
		bpe->pair_slots = slots;
	}
	struct pair *pair = pair_slot(bpe->pairs, bpe->pair_slots, pair_key(left, right));
	if (!pair->key) {
		pair->key = pair_key(left, right);
		bpe->pair_count++;
	}
	pair->count += count;
	return true;
}

/* sign 1 or -1: adds or takes away all pairs of a word. */
static bool count_word(struct bpe *bpe, const struct word *word, int64_t sign)
{
	const int32_t *s = bpe->symbols + word->at;

	for (size_t i = 0; i + 1 < word->size; i++)
		if (!count_pair(bpe, s[i], s[i + 1], sign * (int64_t)word->count))
			return false;
	return true;
}

/* The most frequent pair; among equals the one of the lowest ids, so that the result does not depend on the table. */
static const struct pair *best_pair(const struct bpe *bpe)
{
	const struct pair *best = NULL;

	for (size_t i = 0; i < bpe->pair_slots; i++) {
		const struct pair *pair = &bpe->pairs[i];
		if (pair->key && pair->count >= 2 &&
		    (!best || pair->count > best->count || (pair->count == best->count && pair->key < best->key)))
			best = pair;
	}
	return best;
}

static bool word_has(const int32_t *s, size_t size, int32_t left, int32_t right)
{
	for (size_t i = 0; i + 1 < size; i++)
		if (s[i] == left && s[i + 1] == right)
			return true;
	return false;
}

/* Replaces left, right by merged in all words. */
static bool apply(struct bpe *bpe, int32_t left, int32_t right, int32_t merged)
{
	for (size_t w = 0; w < bpe->word_count; w++) {
		struct word *word = &bpe->words[w];
		int32_t *s = bpe->symbols + word->at;
		size_t n = 0;
		if (!word_has(s, word->size, left, right))
			continue;
		if (!count_word(bpe, word, -1))
			return false;
		for (size_t i = 0; i < word->size; n++) {
			bool joined = i + 1 < word->size && s[i] == left && s[i + 1] == right;
			s[n] = joined ? merged : s[i];
			i += joined ? 2 : 1;
		}
		word->size = n;
		if (!count_word(bpe, word, 1))
			return false;
	}
	return true;
}

/* ---- the file --------------------------------------------------------------------------------------------------- */

static void name_byte(struct buffer *name, unsigned code)
{
	char utf8[2] = {(char)(0xc0 | code >> 6), (char)(0x80 | (code & 0x3f))};

	if (code < 0x80)
		buffer_append(name, (char[]){(char)code}, 1);
	else
		buffer_append(name, utf8, 2);
}

/* The spellings of the first ids. */
static void name_bytes(struct buffer *names)
{
	struct alphabet alphabet;

	alphabet_make(&alphabet);
	for (size_t id = 0; id < FIRST_MERGE; id++) {
		name_byte(&names[id], alphabet.code[alphabet.order[id % BYTES]]);
		if (id >= BYTES)
			buffer_text(&names[id], END_OF_WORD);
	}
}

/* Learns merge after merge; each is written as it is found. */
static enum status learn(struct bpe *bpe, size_t merges, struct buffer *names, FILE *stream, size_t *learned, struct err *err)
{
	for (size_t w = 0; w < bpe->word_count; w++)
		if (!count_word(bpe, &bpe->words[w], 1))
			return err_memory(err, "the pairs of a tokenizer");
	for (*learned = 0; *learned < merges; ++*learned) {
		const struct pair *best = best_pair(bpe);
		if (!best)
			break;
		int32_t left = (int32_t)((best->key - 1) >> 32), right = (int32_t)(uint32_t)(best->key - 1);
		struct buffer *name = &names[FIRST_MERGE + *learned];
		fprintf(stream, "%s %s\n", names[left].data, names[right].data);
		buffer_text(name, names[left].data);
		buffer_text(name, names[right].data);
		if (name->failed || !apply(bpe, left, right, (int32_t)(FIRST_MERGE + *learned)))
			return err_memory(err, "the pairs of a tokenizer");
	}
	return STATUS_OK;
}

enum status bpe_write(struct bpe *bpe, size_t vocab_size, const char *path, size_t *learned, struct err *err)
{
	size_t merges = vocab_size > OWN_IDS ? vocab_size - OWN_IDS : 0, found = 0;
	struct buffer *names = mem_array(FIRST_MERGE + merges, sizeof *names);
	struct file_writer writer = {0};
	enum status status = names ? file_writer_open(path, &writer, err) : err_memory(err, "a tokenizer");

	if (status == STATUS_OK) {
		name_bytes(names);
		fputs(header, writer.stream);
		status = learn(bpe, merges, names, writer.stream, &found, err);
	}
	if (status == STATUS_OK)
		status = file_writer_commit(&writer, err);
	else
		file_writer_abort(&writer);
	for (size_t i = 0; names && i < FIRST_MERGE + merges; i++)
		buffer_release(&names[i]);
	free(names);
	*learned = OWN_IDS + found;
	return status;
}
