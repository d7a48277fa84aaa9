/* tokenizer.c: see tokenizer.h.
 *
 *     text -> valid UTF-8 -> entities unescaped, twice -> white space folded -> lower case -> words (CLIP's pattern)
 *          -> a symbol for each byte, the last one with "</w>" -> the merges, lowest rank first -> ids
 *
 * A symbol is a string of bytes and whether it ends a word. Files write bytes as printable characters (GPT-2's alphabet).
 * The ids of a list are: 256 bytes in the order of that alphabet, the same with "</w>", one for each merge, start, end. A
 * tokenizer.json says itself which id a symbol has.
 */
#include "model/words/tokenizer.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cJSON.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <utf8proc.h>
#include <zlib.h>

#include "model/words/entities.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "schema/base/utf8.h"

#include "schema/base/banned.h"

enum { BYTES = 256, SPECIAL = 2, OWN_IDS = 2 * BYTES + SPECIAL, OPENCLIP_MERGES = 49152 - 256 - 2 };
#define FILE_MOST ((size_t)256 << 20)
#define VOCAB_MOST ((size_t)1 << 24)
#define END_OF_WORD "</w>"

/* CLIP's pattern. Cleaned text has no white space but the blank, so that "not white space" is simply "not a blank". U+0345 is
 * a mark whose case folding is the letter iota: the regex module that CLIP uses matches it nowhere when case is ignored. */
#define WORDS "<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|\\p{L}+|\\p{N}|[^ \\p{L}\\p{N}\\x{345}]+"

static const char *const special_names[SPECIAL] = {"<start_of_text>", "<end_of_text>"};

struct symbol {
	size_t at, size;       /* in pool */
	bool ends_word;
};

struct merge {
	uint64_t pair;         /* left id << 32 | right id */
	uint32_t rank;
	int32_t id;            /* what the two become */
	bool used;
};

struct tokenizer {
	struct buffer pool;    /* the symbols' bytes */
	struct symbol *symbols; /* [V] */
	size_t vocab_size;
	int32_t *by_string;    /* hash table of ids, -1 is free; [string_slots], a power of 2 */
	size_t string_slots;
	struct merge *merges;  /* hash table; [merge_slots], a power of 2 */
	size_t merge_slots;
	int32_t first[BYTES][2]; /* the symbol of a byte, inside a word and at its end */
	int32_t special[SPECIAL];
	pcre2_code *words, *context;
	int16_t byte_of[0x180]; /* GPT-2's alphabet: the byte of a character, or -1 */
	uint8_t byte_order[BYTES]; /* the order of the list's ids */
};

/* ---- symbols ------------------------------------------------------------------------------------------------------ */

/* GPT-2's alphabet: bytes that print in Latin-1 stand for themselves, the others get the characters from U+0100 on. */
static void make_alphabet(struct tokenizer *t)
{
	size_t printed = 0, others = 0;
	uint8_t hidden[BYTES];

	memset(t->byte_of, -1, sizeof t->byte_of);
	for (int b = 0; b < BYTES; b++) {
		if ((b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae) {
			t->byte_of[b] = (int16_t)b;
			t->byte_order[printed++] = (uint8_t)b;
		} else {
			t->byte_of[0x100 + others] = (int16_t)b;
			hidden[others++] = (uint8_t)b;
		}
	}
	memcpy(t->byte_order + printed, hidden, others);
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

/* Where the symbol is, or the free place where it belongs. */
static int32_t *string_slot(const struct tokenizer *t, const char *bytes, size_t size, bool ends_word)
{
	for (size_t i = string_hash(bytes, size, ends_word);; i++) {
		int32_t *slot = &t->by_string[i & (t->string_slots - 1)];
		const struct symbol *s = *slot < 0 ? NULL : &t->symbols[*slot];
		if (!s || (s->size == size && s->ends_word == ends_word && memcmp(t->pool.data + s->at, bytes, size) == 0))
			return slot;
	}
}

/* Gives id the symbol. Where two ids have the same, the later one is found, as in OpenCLIP's dictionary. */
static bool symbol_put(struct tokenizer *t, size_t id, const char *bytes, size_t size, bool ends_word)
{
	int32_t *slot = string_slot(t, bytes, size, ends_word);

	t->symbols[id] = (struct symbol){t->pool.size, size, ends_word};
	buffer_append(&t->pool, bytes, size);
	*slot = (int32_t)id;
	return !t->pool.failed;
}

/* Turns a file's spelling into bytes (no longer than it). False: not of the alphabet. */
static bool parse_symbol(const struct tokenizer *t, const char *text, size_t size, char *bytes, size_t *length, bool *ends_word)
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
		if (code >= sizeof t->byte_of / sizeof *t->byte_of || t->byte_of[code] < 0)
			return false;
		bytes[*length] = (char)t->byte_of[code];
		i += n;
	}
	return *length > 0;
}

/* The id of a file's spelling, or -1. scratch has room for size bytes. */
static int32_t symbol_find(const struct tokenizer *t, const char *text, size_t size, char *scratch)
{
	size_t length;
	bool ends_word;

	return parse_symbol(t, text, size, scratch, &length, &ends_word) ? *string_slot(t, scratch, length, ends_word) : -1;
}

static struct merge *merge_slot(const struct tokenizer *t, uint64_t pair)
{
	for (size_t i = mix(pair);; i++) {
		struct merge *m = &t->merges[i & (t->merge_slots - 1)];
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

static enum status make_tables(struct tokenizer *t, size_t vocab_size, size_t merges, struct err *err)
{
	t->vocab_size = vocab_size;
	t->string_slots = slots_for(vocab_size);
	t->merge_slots = slots_for(merges);
	t->symbols = mem_array(vocab_size, sizeof *t->symbols);
	t->by_string = mem_array(t->string_slots, sizeof *t->by_string);
	t->merges = mem_array(t->merge_slots, sizeof *t->merges);
	if (!t->symbols || !t->by_string || !t->merges)
		return err_memory(err, "a tokenizer");
	memset(t->by_string, -1, t->string_slots * sizeof *t->by_string);
	return STATUS_OK;
}

/* Looks up the symbol of each byte. False if one is missing. */
static bool find_bytes(struct tokenizer *t)
{
	for (int b = 0; b < BYTES; b++)
		for (int end = 0; end < 2; end++) {
			char byte = (char)b;
			t->first[b][end] = *string_slot(t, &byte, 1, end);
			if (t->first[b][end] < 0)
				return false;
		}
	return true;
}

/* ---- a list of merges --------------------------------------------------------------------------------------------- */

/* A line of a list; false at the end. */
static bool next_line(const char *text, size_t size, size_t *at, const char **line, size_t *length)
{
	if (*at >= size)
		return false;
	const char *end = memchr(text + *at, '\n', size - *at);
	*line = text + *at;
	*length = end ? (size_t)(end - *line) : size - *at;
	*at += *length + 1;
	if (*length && (*line)[*length - 1] == '\r')
		--*length;
	return true;
}

/* Lines behind the first that are not empty at the end of the file. */
static size_t count_merges(const char *text, size_t size)
{
	size_t at = 0, n = 0, last = 0, length;
	const char *line;

	while (next_line(text, size, &at, &line, &length)) {
		n++;
		if (length)
			last = n;
	}
	return last ? last - 1 : 0;
}

/* Enters the merge of rank; its symbol becomes id. scratch has room for length bytes. */
static enum status put_merge(struct tokenizer *t, const char *line, size_t length, size_t rank, size_t id, char *scratch, const char *path,
			     struct err *err)
{
	const char *blank = memchr(line, ' ', length);
	size_t left_size = blank ? (size_t)(blank - line) : 0, right_size = blank ? length - left_size - 1 : 0;
	int32_t left = blank ? symbol_find(t, line, left_size, scratch) : -1;
	int32_t right = left < 0 ? -1 : symbol_find(t, blank + 1, right_size, scratch);

	if (left < 0 || right < 0 || t->symbols[left].ends_word)
		return err_set(err, STATUS_FORMAT, "cannot read '%s': line %zu, '%.*s', joins no two symbols of the lines before it", path,
			       rank + 2, (int)(length < 80 ? length : 80), line);
	struct symbol l = t->symbols[left], r = t->symbols[right];
	memcpy(scratch, t->pool.data + l.at, l.size);
	memcpy(scratch + l.size, t->pool.data + r.at, r.size);
	if (!symbol_put(t, id, scratch, l.size + r.size, r.ends_word))
		return err_memory(err, "a tokenizer");
	*merge_slot(t, pair_of(left, right)) = (struct merge){pair_of(left, right), (uint32_t)rank, (int32_t)id, true};
	return STATUS_OK;
}

static enum status vocab_mismatch(const char *path, size_t has, size_t needs, struct err *err)
{
	return err_set(err, STATUS_FORMAT, "cannot use the tokenizer '%s': it has %zu ids, the model %zu; hint: take the one that came "
		       "with the model", path, has, needs);
}

static enum status read_list(struct tokenizer *t, const char *text, size_t size, size_t vocab_size, const char *path, struct err *err)
{
	size_t n = count_merges(text, size), at = 0, length;
	const char *line;
	char *scratch = NULL;
	enum status status;

	if (vocab_size && n + OWN_IDS < vocab_size)
		return vocab_mismatch(path, n + OWN_IDS, vocab_size, err);
	if (vocab_size && vocab_size < OWN_IDS)
		return vocab_mismatch(path, OWN_IDS, vocab_size, err);
	if (vocab_size)
		n = vocab_size - OWN_IDS;
	else if (n > OPENCLIP_MERGES)
		n = OPENCLIP_MERGES;
	status = make_tables(t, n + OWN_IDS, n, err);
	if (status != STATUS_OK)
		return status;
	scratch = malloc(size + 1);
	if (!scratch)
		return err_memory(err, "a tokenizer");
	for (size_t id = 0; id < 2 * BYTES; id++)
		symbol_put(t, id, (const char *)&t->byte_order[id % BYTES], 1, id >= BYTES);
	next_line(text, size, &at, &line, &length);
	for (size_t rank = 0; rank < n && status == STATUS_OK; rank++) {
		next_line(text, size, &at, &line, &length);
		status = put_merge(t, line, length, rank, 2 * BYTES + rank, scratch, path, err);
	}
	free(scratch);
	for (size_t i = 0; i < SPECIAL; i++)
		t->special[i] = (int32_t)(t->vocab_size - SPECIAL + i);
	return status;
}

/* ---- tokenizer.json ----------------------------------------------------------------------------------------------- */

static const char *string_of(const cJSON *object, const char *name)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
	return text ? text : "";
}

static int special_index(const char *name)
{
	if (strcmp(name, "<|startoftext|>") == 0 || strcmp(name, special_names[0]) == 0)
		return 0;
	if (strcmp(name, "<|endoftext|>") == 0 || strcmp(name, special_names[1]) == 0)
		return 1;
	return -1;
}

/* A whole number in 0 <= x < VOCAB_MOST, or -1. */
static int64_t id_of(const cJSON *item)
{
	if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble < (double)VOCAB_MOST))
		return -1;
	int64_t id = (int64_t)item->valuedouble;
	return (double)id == item->valuedouble ? id : -1;
}

/* Enters one pair of model.vocab or added_tokens; taken[id] says which ids have been given. */
static enum status put_json_symbol(struct tokenizer *t, const char *name, const cJSON *number, bool *taken, char *scratch,
				   const char *path, struct err *err)
{
	int64_t id = id_of(number);
	int special = special_index(name);
	size_t length;
	bool ends_word;

	if (id < 0 || (size_t)id >= t->vocab_size)
		return err_set(err, STATUS_FORMAT, "cannot read '%s': the id of '%.80s' is not below the number of symbols", path, name);
	if (special >= 0) {
		if (taken[id] && t->special[special] != id)
			return err_set(err, STATUS_FORMAT, "cannot read '%s': '%.80s' has the id of another symbol", path, name);
		t->special[special] = (int32_t)id;
	} else {
		if (!parse_symbol(t, name, strlen(name), scratch, &length, &ends_word))
			return err_set(err, STATUS_UNSUPPORTED, "cannot use '%s': '%.80s' is no symbol of CLIP's byte-pair encoding",
				       path, name);
		int32_t there = *string_slot(t, scratch, length, ends_word);
		if (there == id) /* an added token that is in the vocabulary, such as the padding */
			return STATUS_OK;
		if (there >= 0 || taken[id])
			return err_set(err, STATUS_FORMAT, "cannot read '%s': '%.80s' has the id of another symbol", path, name);
		if (!symbol_put(t, (size_t)id, scratch, length, ends_word))
			return err_memory(err, "a tokenizer");
	}
	taken[id] = true;
	return STATUS_OK;
}

/* One of model.merges: "a b" or ["a","b"]. */
static enum status put_json_merge(struct tokenizer *t, const cJSON *item, size_t rank, char *scratch, const char *path, struct err *err)
{
	const char *left = NULL, *right = NULL;
	size_t left_size = 0;

	if (cJSON_IsArray(item) && cJSON_GetArraySize(item) == 2) {
		left = cJSON_GetStringValue(cJSON_GetArrayItem(item, 0));
		right = cJSON_GetStringValue(cJSON_GetArrayItem(item, 1));
		left_size = left ? strlen(left) : 0;
	} else if (cJSON_IsString(item) && (right = strchr(item->valuestring, ' '))) {
		left = item->valuestring;
		left_size = (size_t)(right++ - left);
	}
	int32_t l = left ? symbol_find(t, left, left_size, scratch) : -1;
	int32_t r = right ? symbol_find(t, right, strlen(right), scratch) : -1;
	int32_t id = -1;
	if (l >= 0 && r >= 0 && !t->symbols[l].ends_word) {
		struct symbol a = t->symbols[l], b = t->symbols[r];
		memcpy(scratch, t->pool.data + a.at, a.size);
		memcpy(scratch + a.size, t->pool.data + b.at, b.size);
		id = *string_slot(t, scratch, a.size + b.size, b.ends_word);
	}
	if (id < 0)
		return err_set(err, STATUS_FORMAT, "cannot read '%s': merge %zu joins what is not in the vocabulary", path, rank + 1);
	*merge_slot(t, pair_of(l, r)) = (struct merge){pair_of(l, r), (uint32_t)rank, id, true};
	return STATUS_OK;
}

/* Refuses what would not be CLIP's encoding. */
static enum status check_json_model(const cJSON *model, const char *path, struct err *err)
{
	const cJSON *type = cJSON_GetObjectItemCaseSensitive(model, "type");

	if (!cJSON_IsObject(model))
		return err_set(err, STATUS_FORMAT, "cannot read '%s': it has no \"model\"", path);
	if (type && strcmp(string_of(model, "type"), "BPE") != 0)
		return err_set(err, STATUS_UNSUPPORTED, "cannot use '%s': its model is '%.40s', only BPE is supported", path,
			       string_of(model, "type"));
	if (strcmp(string_of(model, "end_of_word_suffix"), END_OF_WORD) != 0)
		return err_set(err, STATUS_UNSUPPORTED, "cannot use '%s': its words do not end in '" END_OF_WORD "', so it is not CLIP's",
			       path);
	if (*string_of(model, "continuing_subword_prefix"))
		return err_set(err, STATUS_UNSUPPORTED, "cannot use '%s': it has a continuing_subword_prefix, so it is not CLIP's", path);
	if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(model, "ignore_merges")))
		return err_set(err, STATUS_UNSUPPORTED, "cannot use '%s': ignore_merges is not supported", path);
	return STATUS_OK;
}

/* Ids run from 0 to the largest one, and there are not fewer symbols than ids. */
static bool count_json_ids(const cJSON *vocab, const cJSON *added, size_t *n)
{
	const cJSON *item;
	int64_t largest = -1;
	size_t items = 0;

	cJSON_ArrayForEach(item, vocab) {
		largest = id_of(item) > largest ? id_of(item) : largest;
		items++;
	}
	cJSON_ArrayForEach(item, added) {
		int64_t id = id_of(cJSON_GetObjectItemCaseSensitive(item, "id"));
		largest = id > largest ? id : largest;
		items++;
	}
	*n = (size_t)(largest + 1);
	return *n <= items;
}

static enum status put_json_symbols(struct tokenizer *t, const cJSON *vocab, const cJSON *added, char *scratch, const char *path,
				    struct err *err)
{
	bool *taken = mem_array(t->vocab_size, sizeof *taken);
	enum status status = taken ? STATUS_OK : err_memory(err, "a tokenizer");
	const cJSON *item;

	t->special[0] = t->special[1] = -1;
	if (status == STATUS_OK)
		cJSON_ArrayForEach(item, vocab) {
			status = put_json_symbol(t, item->string, item, taken, scratch, path, err);
			if (status != STATUS_OK)
				goto out;
		}
	if (status == STATUS_OK)
		cJSON_ArrayForEach(item, added) {
			const cJSON *id = cJSON_GetObjectItemCaseSensitive(item, "id");
			status = put_json_symbol(t, string_of(item, "content"), id, taken, scratch, path, err);
			if (status != STATUS_OK)
				goto out;
		}
	for (size_t id = 0; id < t->vocab_size && status == STATUS_OK; id++)
		if (!taken[id])
			status = err_set(err, STATUS_FORMAT, "cannot read '%s': no symbol has the id %zu", path, id);
	if (status == STATUS_OK && (t->special[0] < 0 || t->special[1] < 0))
		status = err_set(err, STATUS_FORMAT, "cannot read '%s': it has no start and end symbol", path);
	if (status == STATUS_OK && !find_bytes(t))
		status = err_set(err, STATUS_FORMAT, "cannot read '%s': its vocabulary lacks symbols for single bytes", path);
out:
	free(taken);
	return status;
}

static enum status read_json(struct tokenizer *t, const char *text, size_t size, size_t vocab_size, const char *path, struct err *err)
{
	cJSON *json = cJSON_ParseWithLength(text, size);
	const cJSON *model = cJSON_GetObjectItemCaseSensitive(json, "model");
	const cJSON *vocab = cJSON_GetObjectItemCaseSensitive(model, "vocab");
	const cJSON *merges = cJSON_GetObjectItemCaseSensitive(model, "merges");
	const cJSON *added = cJSON_GetObjectItemCaseSensitive(json, "added_tokens");
	const cJSON *item;
	char *scratch = NULL;
	size_t rank = 0, n;
	enum status status;

	if (!json) {
		status = err_set(err, STATUS_FORMAT, "cannot read '%s': it is not valid JSON", path);
		goto out;
	}
	status = check_json_model(model, path, err);
	if (status != STATUS_OK)
		goto out;
	if (!cJSON_IsObject(vocab) || !cJSON_IsArray(merges)) {
		status = err_set(err, STATUS_FORMAT, "cannot read '%s': its model lacks \"vocab\" or \"merges\"", path);
		goto out;
	}
	if (!count_json_ids(vocab, added, &n)) {
		status = err_set(err, STATUS_FORMAT, "cannot read '%s': its ids have gaps", path);
		goto out;
	}
	if (vocab_size && n != vocab_size) {
		status = vocab_mismatch(path, n, vocab_size, err);
		goto out;
	}
	scratch = malloc(size + 1);
	status = scratch ? make_tables(t, n, (size_t)cJSON_GetArraySize(merges), err) : err_memory(err, "a tokenizer");
	if (status == STATUS_OK)
		status = put_json_symbols(t, vocab, added, scratch, path, err);
	if (status != STATUS_OK)
		goto out;
	cJSON_ArrayForEach(item, merges) {
		status = put_json_merge(t, item, rank++, scratch, path, err);
		if (status != STATUS_OK)
			goto out;
	}
out:
	cJSON_Delete(json);
	free(scratch);
	return status;
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */

/* Decompresses a whole gzip file. */
static enum status inflate_all(const uint8_t *bytes, size_t size, struct buffer *out, const char *path, struct err *err)
{
	z_stream z = {.next_in = (Bytef *)bytes, .avail_in = (uInt)size};
	char part[1 << 15];
	int code = inflateInit2(&z, 16 + MAX_WBITS);
	enum status status = STATUS_OK;

	if (code != Z_OK)
		return err_memory(err, "a tokenizer");
	do {
		z.next_out = (Bytef *)part;
		z.avail_out = sizeof part;
		code = inflate(&z, Z_NO_FLUSH);
		buffer_append(out, part, sizeof part - z.avail_out);
		if (code == Z_STREAM_END && z.avail_in >= 2 && z.next_in[0] == 0x1f && z.next_in[1] == 0x8b)
			code = inflateReset(&z); /* files of several members are one text */
	} while (code == Z_OK && out->size <= FILE_MOST && !out->failed);
	inflateEnd(&z);
	if (out->failed)
		status = err_memory(err, "a tokenizer");
	else if (out->size > FILE_MOST)
		status = err_set(err, STATUS_MEMORY, "cannot read '%s': decompressed it has more than %zu bytes", path, FILE_MOST);
	else if (code != Z_STREAM_END)
		status = err_set(err, STATUS_FORMAT, "cannot read '%s': its compressed data are damaged or end early", path);
	return status;
}

static pcre2_code *compile(const char *pattern, uint32_t options)
{
	int code;
	PCRE2_SIZE at;
	pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP | options, &code, &at, NULL);

	if (compiled)
		pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE); /* where there is none, the interpreter matches */
	return compiled;
}

/* Reads the bytes of a file, whichever of the three it is. */
static enum status read_bytes(struct tokenizer *t, const char *text, size_t size, size_t vocab_size, const char *path, struct err *err)
{
	static const char header[] = "#version";
	size_t start = 0, at = 0, length;
	const char *line;

	while (start < size && strchr(" \t\r\n", text[start]) && text[start])
		start++;
	if (start < size && text[start] == '{')
		return read_json(t, text, size, vocab_size, path, err);
	if (!next_line(text, size, &at, &line, &length) || !memmem(line, length, header, strlen(header)))
		return err_set(err, STATUS_FORMAT, "cannot read '%s': it is neither a list of merges, whose first line has '%s', nor a "
			       "tokenizer.json", path, header);
	enum status status = read_list(t, text, size, vocab_size, path, err);
	if (status == STATUS_OK)
		find_bytes(t);
	return status;
}

static enum status open_file(const char *path, size_t vocab_size, struct tokenizer **tokenizer, struct err *err)
{
	struct tokenizer *t = mem_array(1, sizeof *t);
	struct buffer plain = {0};
	uint8_t *bytes = NULL;
	size_t size;
	enum status status;

	if (!t)
		return err_memory(err, "a tokenizer");
	make_alphabet(t);
	status = file_read(path, FILE_MOST, &bytes, &size, err);
	if (status != STATUS_OK)
		goto out;
	if (size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b) {
		status = inflate_all(bytes, size, &plain, path, err);
		if (status == STATUS_OK)
			status = read_bytes(t, plain.data ? plain.data : "", plain.size, vocab_size, path, err);
	} else {
		status = read_bytes(t, (const char *)bytes, size, vocab_size, path, err);
	}
	if (status != STATUS_OK)
		goto out;
	t->words = compile(WORDS, PCRE2_CASELESS);
	t->context = compile("\\p{Case_Ignorable}|(\\p{Cased})", PCRE2_ANCHORED);
	if (!t->words || !t->context)
		status = err_set(err, STATUS_FAILED, "cannot compile the tokenizer's patterns; hint: PCRE2 10.40 or later is needed");
out:
	free(bytes);
	buffer_release(&plain);
	if (status == STATUS_OK)
		*tokenizer = t;
	else
		tokenizer_close(t);
	return status;
}

enum status tokenizer_open(const char *path, size_t vocab_size, struct tokenizer **tokenizer, struct err *err)
{
	static const char *const names[] = {"tokenizer.json", "merges.txt", "bpe_simple_vocab_16e6.txt.gz"};
	struct stat st;

	*tokenizer = NULL;
	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
		return open_file(path, vocab_size, tokenizer, err);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char *file = path_join(path, names[i]);
		if (!file)
			return err_memory(err, "a path");
		bool there = stat(file, &st) == 0;
		enum status status = there ? open_file(file, vocab_size, tokenizer, err) : STATUS_NOT_FOUND;
		free(file);
		if (there)
			return status;
	}
	return err_set(err, STATUS_NOT_FOUND, "no tokenizer in '%s'; hint: it is a %s, %s or %s", path, names[0], names[1], names[2]);
}

void tokenizer_close(struct tokenizer *tokenizer)
{
	if (!tokenizer)
		return;
	pcre2_code_free(tokenizer->words);
	pcre2_code_free(tokenizer->context);
	buffer_release(&tokenizer->pool);
	free(tokenizer->symbols);
	free(tokenizer->by_string);
	free(tokenizer->merges);
	free(tokenizer);
}

size_t tokenizer_vocab_size(const struct tokenizer *tokenizer)
{
	return tokenizer->vocab_size;
}

int32_t tokenizer_start(const struct tokenizer *tokenizer)
{
	return tokenizer->special[0];
}

int32_t tokenizer_end(const struct tokenizer *tokenizer)
{
	return tokenizer->special[1];
}

/* ---- cleaning a text ---------------------------------------------------------------------------------------------- */

/* Bytes that are not UTF-8 become U+FFFD, one for each start of a sequence. */
static void append_valid(const char *text, size_t size, struct buffer *to)
{
	size_t plain = 0, n;

	for (size_t i = 0; i < size; i += n) {
		if (utf8_next(text + i, size - i, &n))
			continue;
		buffer_append(to, text + plain, i - plain);
		buffer_text(to, "\xef\xbf\xbd");
		plain = i + n;
	}
	buffer_append(to, text + plain, size - plain);
}

/* What Python's str.split takes for white space. */
static bool is_space(utf8proc_int32_t c)
{
	return c == ' ' || (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x1f) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
	       (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

/* One blank between words, none at the ends. */
static void append_folded(const struct buffer *from, struct buffer *to)
{
	bool pending = false;
	utf8proc_int32_t c;
	utf8proc_ssize_t n;

	for (size_t i = 0; i < from->size; i += (size_t)n) {
		n = utf8proc_iterate((const utf8proc_uint8_t *)from->data + i, (utf8proc_ssize_t)(from->size - i), &c);
		if (is_space(c)) {
			pending = to->size > 0;
			continue;
		}
		if (pending)
			buffer_text(to, " ");
		pending = false;
		buffer_append(to, from->data + i, (size_t)n);
	}
}

/* Whether the character at text[at] is one that a final sigma's rule looks through (1), cased (2) or neither (-1). */
static int case_context(const struct tokenizer *t, const struct buffer *text, size_t at, pcre2_match_data *match)
{
	return pcre2_match(t->context, (PCRE2_SPTR)text->data, text->size, at, PCRE2_NO_UTF_CHECK, match, NULL);
}

/* Unicode's Final_Sigma: a cased letter before it and none behind it, whatever is case-ignorable between. */
static bool is_final_sigma(const struct tokenizer *t, const struct buffer *text, size_t at, pcre2_match_data *match)
{
	int context = 0;
	size_t i = at;

	do {
		if (i == 0)
			return false;
		do
			i--;
		while (((uint8_t)text->data[i] & 0xc0) == 0x80);
		context = case_context(t, text, i, match);
	} while (context == 1);
	if (context != 2)
		return false;
	for (i = at + 2; i < text->size; i += (size_t)utf8proc_utf8class[(uint8_t)text->data[i]]) {
		context = case_context(t, text, i, match);
		if (context != 1)
			return context != 2;
	}
	return true;
}

/* As Python's str.lower. */
static void append_lower(const struct tokenizer *t, const struct buffer *from, struct buffer *to, pcre2_match_data *match)
{
	utf8proc_int32_t c;
	utf8proc_ssize_t n;
	utf8proc_uint8_t bytes[4];

	for (size_t i = 0; i < from->size; i += (size_t)n) {
		n = utf8proc_iterate((const utf8proc_uint8_t *)from->data + i, (utf8proc_ssize_t)(from->size - i), &c);
		if (c == 0x130) /* I with dot: the one letter whose lower case is two characters */
			buffer_text(to, "i\xcc\x87");
		else if (c == 0x3a3 && is_final_sigma(t, from, i, match))
			buffer_text(to, "\xcf\x82");
		else
			buffer_append(to, bytes, (size_t)utf8proc_encode_char(utf8proc_tolower(c), bytes));
	}
}

static void clean(const struct tokenizer *t, const char *text, size_t size, struct buffer *cleaned, pcre2_match_data *match)
{
	struct buffer a = {0}, b = {0};

	append_valid(text, size, &a);
	entities_unescape(a.data, a.size, &b);
	a.size = 0;
	entities_unescape(b.data, b.size, &a);
	b.size = 0;
	append_folded(&a, &b);
	append_lower(t, &b, cleaned, match);
	if (a.failed || b.failed)
		cleaned->failed = true;
	buffer_release(&a);
	buffer_release(&b);
}

/* ---- merging ------------------------------------------------------------------------------------------------------ */

/* A symbol of a word, in a list from left to right. */
struct piece {
	int32_t id;            /* -1: it has been joined to the one before */
	int32_t before, after; /* -1 at the ends */
};

/* A pair that can be merged, as it was when it was found. */
struct candidate {
	uint32_t rank;
	int32_t left;          /* piece */
	int32_t ids[2], merged;
};

struct encoder {
	const struct tokenizer *t;
	struct piece *pieces;
	struct candidate *heap, *round; /* the lowest rank first, then from the left; those of one rank */
	size_t heap_size, capacity;
	int32_t *ids;
	size_t n, ids_capacity, most;
	bool failed;
};

static bool comes_before(const struct candidate *a, const struct candidate *b)
{
	return a->rank != b->rank ? a->rank < b->rank : a->left < b->left;
}

static void heap_push(struct encoder *e, struct candidate c)
{
	size_t i = e->heap_size++;

	for (; i && comes_before(&c, &e->heap[(i - 1) / 2]); i = (i - 1) / 2)
		e->heap[i] = e->heap[(i - 1) / 2];
	e->heap[i] = c;
}

static struct candidate heap_pop(struct encoder *e)
{
	struct candidate top = e->heap[0], last = e->heap[--e->heap_size];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < e->heap_size) {
		if (child + 1 < e->heap_size && comes_before(&e->heap[child + 1], &e->heap[child]))
			child++;
		if (!comes_before(&e->heap[child], &last))
			break;
		e->heap[i] = e->heap[child];
		i = child;
	}
	e->heap[i] = last;
	return top;
}

/* Offers the pair that begins at a piece. */
static void offer(struct encoder *e, int32_t left)
{
	if (left < 0 || e->pieces[left].after < 0)
		return;
	int32_t a = e->pieces[left].id, b = e->pieces[e->pieces[left].after].id;
	const struct merge *m = merge_slot(e->t, pair_of(a, b));
	if (m->used)
		heap_push(e, (struct candidate){m->rank, left, {a, b}, m->id});
}

static bool still_there(const struct encoder *e, const struct candidate *c)
{
	const struct piece *left = &e->pieces[c->left];
	return left->id == c->ids[0] && left->after >= 0 && e->pieces[left->after].id == c->ids[1];
}

static void join(struct encoder *e, const struct candidate *c)
{
	struct piece *left = &e->pieces[c->left], *right = &e->pieces[left->after];

	left->id = c->merged;
	right->id = -1;
	left->after = right->after;
	if (left->after >= 0)
		e->pieces[left->after].before = c->left;
}

/* As CLIP does it: all occurrences of the pair with the lowest rank are joined, from the left, before others are looked at. */
static void merge_word(struct encoder *e)
{
	while (e->heap_size) {
		size_t n = 0;
		uint32_t rank = e->heap[0].rank;
		while (e->heap_size && e->heap[0].rank == rank) {
			struct candidate c = heap_pop(e);
			if (still_there(e, &c)) {
				join(e, &c);
				e->round[n++] = c;
			}
		}
		for (size_t i = 0; i < n; i++) {
			int32_t left = e->round[i].left;
			offer(e, e->pieces[left].before);
			offer(e, left);
		}
	}
}

/* Room for a word of size bytes: each byte but one begins a pair, and each join takes one pair away and makes at most two. */
static bool reserve_word(struct encoder *e, size_t size)
{
	if (size <= e->capacity)
		return true;
	size_t capacity = size + size / 2 + 64;
	void *pieces = mem_resize(e->pieces, capacity, sizeof *e->pieces);
	if (pieces)
		e->pieces = pieces;
	void *heap = mem_resize(e->heap, mem_product(capacity, 2), sizeof *e->heap);
	if (heap)
		e->heap = heap;
	void *round = mem_resize(e->round, capacity, sizeof *e->round);
	if (round)
		e->round = round;
	if (!pieces || !heap || !round || capacity > INT32_MAX)
		return false;
	e->capacity = capacity;
	return true;
}

static void put_id(struct encoder *e, int32_t id)
{
	if (e->n == e->most || e->failed)
		return;
	if (e->n == e->ids_capacity) {
		size_t capacity = e->ids_capacity ? 2 * e->ids_capacity : 128;
		int32_t *ids = mem_resize(e->ids, capacity, sizeof *ids);
		if (!ids) {
			e->failed = true;
			return;
		}
		e->ids = ids;
		e->ids_capacity = capacity;
	}
	e->ids[e->n++] = id;
}

static void encode_word(struct encoder *e, const char *word, size_t size)
{
	for (size_t i = 0; i < SPECIAL; i++)
		if (size == strlen(special_names[i]) && memcmp(word, special_names[i], size) == 0) {
			put_id(e, e->t->special[i]);
			return;
		}
	if (!reserve_word(e, size)) {
		e->failed = true;
		return;
	}
	e->heap_size = 0;
	for (size_t i = 0; i < size; i++) {
		bool last = i + 1 == size;
		e->pieces[i] = (struct piece){e->t->first[(uint8_t)word[i]][last], (int32_t)i - 1, last ? -1 : (int32_t)i + 1};
	}
	for (size_t i = 0; i + 1 < size; i++)
		offer(e, (int32_t)i);
	merge_word(e);
	for (int32_t i = 0; i >= 0; i = e->pieces[i].after)
		put_id(e, e->pieces[i].id);
}

/* The first `most` ids of a text, without start and end, in e->ids. */
static bool encode(struct encoder *e, const char *text, size_t size)
{
	struct buffer cleaned = {0};
	pcre2_match_data *match = pcre2_match_data_create(2, NULL);
	PCRE2_SIZE at = 0, *found;
	bool done = false;

	if (!match)
		goto out;
	clean(e->t, text, size, &cleaned, match);
	if (cleaned.failed)
		goto out;
	found = pcre2_get_ovector_pointer(match);
	while (at < cleaned.size && e->n < e->most && !e->failed) {
		int code = pcre2_match(e->t->words, (PCRE2_SPTR)cleaned.data, cleaned.size, at, PCRE2_NO_UTF_CHECK, match, NULL);
		if (code == PCRE2_ERROR_NOMATCH)
			break;
		if (code < 0)
			goto out;
		encode_word(e, cleaned.data + found[0], found[1] - found[0]);
		at = found[1];
	}
	done = !e->failed;
out:
	pcre2_match_data_free(match);
	buffer_release(&cleaned);
	free(e->pieces);
	free(e->heap);
	free(e->round);
	return done;
}

size_t tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t size, int32_t *ids, size_t capacity)
{
	struct encoder e = {.t = tokenizer, .most = capacity - 2};
	size_t n = 0;

	if (encode(&e, text, size)) {
		ids[n++] = tokenizer->special[0];
		for (size_t i = 0; i < e.n; i++)
			ids[n++] = e.ids[i];
		ids[n++] = tokenizer->special[1];
	}
	free(e.ids);
	return n;
}

enum status tokenizer_encode_all(const struct tokenizer *tokenizer, const char *text, size_t size, int32_t **ids, size_t *n,
				 struct err *err)
{
	struct encoder e = {.t = tokenizer, .most = SIZE_MAX};

	*ids = NULL;
	*n = 0;
	if (!encode(&e, text, size)) {
		free(e.ids);
		return err_memory(err, "the ids of a text");
	}
	*ids = e.ids;
	*n = e.n;
	return STATUS_OK;
}

char *tokenizer_decode(const struct tokenizer *tokenizer, const int32_t *ids, size_t n)
{
	struct buffer bytes = {0}, text = {0};

	for (size_t i = 0; i < n && ids[i] != tokenizer->special[1]; i++) {
		if (ids[i] == tokenizer->special[0])
			continue;
		if (ids[i] < 0 || (size_t)ids[i] >= tokenizer->vocab_size) {
			buffer_text(&bytes, "\xef\xbf\xbd");
			continue;
		}
		const struct symbol *s = &tokenizer->symbols[ids[i]];
		buffer_append(&bytes, tokenizer->pool.data + s->at, s->size);
		if (s->ends_word)
			buffer_text(&bytes, " ");
	}
	if (bytes.size && bytes.data[bytes.size - 1] == ' ')
		bytes.size--;
	append_valid(bytes.size ? bytes.data : "", bytes.size, &text);
	buffer_append(&text, "", 0); /* a string even if it is empty */
	if (bytes.failed || text.failed)
		buffer_release(&text);
	buffer_release(&bytes);
	return text.data;
}
