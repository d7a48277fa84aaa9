/* vocabulary.c: see vocabulary.h. Symbols are found by their bytes and merges by their two ids, each in a hash table. */
#include "model/words/vocabulary.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/utf8.h"

#include "schema/base/banned.h"

const char *const special_names[SPECIAL] = {"<start_of_text>", "<end_of_text>"};

void alphabet_make(struct alphabet *alphabet)
{
	size_t printed = 0, others = 0;
	uint8_t hidden[BYTES];

	memset(alphabet->byte_of, -1, sizeof alphabet->byte_of);
	for (int b = 0; b < BYTES; b++) {
		bool prints = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
		alphabet->code[b] = (uint16_t)(prints ? (size_t)b : 0x100 + others);
		alphabet->byte_of[alphabet->code[b]] = (int16_t)b;
		if (prints)
			alphabet->order[printed++] = (uint8_t)b;
		else
			hidden[others++] = (uint8_t)b;
	}
	memcpy(alphabet->order + printed, hidden, others);
}

void vocabulary_release(struct vocabulary *v)
{
	buffer_release(&v->pool);
	free(v->symbols);
	free(v->by_string);
	free(v->merges);
}

static uint64_t mix(uint64_t x)
{
	x *= 0x9e3779b97f4a7c15u;
	return x ^ x >> 32;
}

static uint64_t string_hash(const char *bytes, size_t size, bool ends_word)
{
	uint64_t h = ends_word;

	for (size_t i = 0; i < size; i++)
		h = (h ^ (uint8_t)bytes[i]) * 0x100000001b3u + 0x9e37;
	return mix(h);
}

int32_t *vocabulary_slot(const struct vocabulary *v, const char *bytes, size_t size, bool ends_word)
{
	for (size_t i = string_hash(bytes, size, ends_word);; i++) {
		int32_t *slot = &v->by_string[i & (v->string_slots - 1)];
		const struct symbol *s = *slot < 0 ? NULL : &v->symbols[*slot];
		if (!s || (s->size == size && s->ends_word == ends_word && memcmp(v->pool.data + s->at, bytes, size) == 0))
			return slot;
	}
}

bool vocabulary_put(struct vocabulary *v, size_t id, const char *bytes, size_t size, bool ends_word)
{
	int32_t *slot = vocabulary_slot(v, bytes, size, ends_word);

	v->symbols[id] = (struct symbol){v->pool.size, size, ends_word};
	buffer_append(&v->pool, bytes, size);
	*slot = (int32_t)id;
	return !v->pool.failed;
}

bool symbol_parse(const struct alphabet *alphabet, const char *text, size_t size, char *bytes, size_t *length, bool *ends_word)
{
	size_t end = strlen(END_OF_WORD), i = 0;

	*ends_word = size > end && memcmp(text + size - end, END_OF_WORD, end) == 0;
	if (*ends_word)
		size -= end;
	for (*length = 0; i < size; ++*length) {
		uint8_t c = (uint8_t)text[i];
		size_t code = c, n = 1;
		if (c >= 0x80) {
			if (!utf8_next(text + i, size - i, &n) || n != 2)
				return false;
			code = (size_t)(c & 0x1f) << 6 | ((uint8_t)text[i + 1] & 0x3f);
		}
		if (code >= sizeof alphabet->byte_of / sizeof *alphabet->byte_of || alphabet->byte_of[code] < 0)
			return false;
		bytes[*length] = (char)alphabet->byte_of[code];
		i += n;
	}
	return *length > 0;
}

/* The id of a file's spelling, or -1. scratch has room for size bytes. */
static int32_t symbol_find(const struct vocabulary *v, const char *text, size_t size, char *scratch)
{
	size_t length;
	bool ends_word;

	return symbol_parse(&v->alphabet, text, size, scratch, &length, &ends_word) ? *vocabulary_slot(v, scratch, length, ends_word) : -1;
}

static struct merge *merge_slot(const struct vocabulary *v, uint64_t pair)
{
	for (size_t i = mix(pair);; i++) {
		struct merge *m = &v->merges[i & (v->merge_slots - 1)];
		if (!m->used || m->pair == pair)
			return m;
	}
}

static uint64_t pair_of(int32_t left, int32_t right)
{
	return (uint64_t)left << 32 | (uint32_t)right;
}

static size_t slots_for(size_t n)
{
	size_t slots = 16;

	while (slots < 2 * n)
		slots *= 2;
	return slots;
}

enum status vocabulary_make(struct vocabulary *v, size_t size, size_t merges, struct err *err)
{
	v->size = size;
	v->string_slots = slots_for(size);
	v->merge_slots = slots_for(merges);
	v->symbols = mem_array(size, sizeof *v->symbols);
	v->by_string = mem_array(v->string_slots, sizeof *v->by_string);
	v->merges = mem_array(v->merge_slots, sizeof *v->merges);
	if (!v->symbols || !v->by_string || !v->merges)
		return err_memory(err, "a tokenizer");
	memset(v->by_string, -1, v->string_slots * sizeof *v->by_string);
	return STATUS_OK;
}

bool vocabulary_find_bytes(struct vocabulary *v)
{
	for (int b = 0; b < BYTES; b++)
		for (int end = 0; end < 2; end++) {
			char byte = (char)b;
			v->first[b][end] = *vocabulary_slot(v, &byte, 1, end);
			if (v->first[b][end] < 0)
				return false;
		}
	return true;
}

bool vocabulary_join(const struct vocabulary *v, const char *left, size_t left_size, const char *right, size_t right_size,
		     char *scratch, struct joined *joined)
{
	joined->left = symbol_find(v, left, left_size, scratch);
	joined->right = joined->left < 0 ? -1 : symbol_find(v, right, right_size, scratch);
	if (joined->right < 0 || v->symbols[joined->left].ends_word)
		return false;
	struct symbol l = v->symbols[joined->left], r = v->symbols[joined->right];
	memcpy(scratch, v->pool.data + l.at, l.size);
	memcpy(scratch + l.size, v->pool.data + r.at, r.size);
	joined->size = l.size + r.size;
	joined->ends_word = r.ends_word;
	return true;
}

void vocabulary_put_merge(struct vocabulary *v, int32_t left, int32_t right, size_t rank, int32_t id)
{
	*merge_slot(v, pair_of(left, right)) = (struct merge){pair_of(left, right), (uint32_t)rank, id, true};
}

const struct merge *vocabulary_merge(const struct vocabulary *v, int32_t left, int32_t right)
{
	const struct merge *m = merge_slot(v, pair_of(left, right));
	return m->used ? m : NULL;
}

enum status vocabulary_mismatch(const char *path, size_t has, size_t needs, struct err *err)
{
	return err_set(err, STATUS_FORMAT, "cannot use the tokenizer '%s': it has %zu ids, the model %zu; hint: take the one that came "
		       "with the model", path, has, needs);
}
