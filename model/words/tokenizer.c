/* tokenizer.c: see tokenizer.h.
 *
 *     text -> cleaned (clean.h) -> words (CLIP's pattern) -> a symbol for each byte, the last one with "</w>"
 *          -> the merges, lowest rank first (merging.h) -> ids (vocabulary.h)
 */
#include "model/words/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/words/clean.h"
#include "model/words/merging.h"
#include "schema/base/file.h"
#include "schema/base/inflate.h"

#include "schema/base/banned.h"

#define FILE_MOST ((size_t)256 << 20)

/* CLIP's pattern. Cleaned text has no white space but the blank, so that "not white space" is simply "not a blank". U+0345 is
 * a mark whose case folding is the letter iota: the regex module that CLIP uses matches it nowhere when case is ignored. */
#define WORDS "<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|\\p{L}+|\\p{N}|[^ \\p{L}\\p{N}\\x{345}]+"

struct tokenizer {
	struct vocabulary vocabulary;
	pcre2_code *words, *context;
};

/* ---- opening ------------------------------------------------------------------------------------------------------ */

static enum status inflate_all(const uint8_t *bytes, size_t size, struct buffer *out, const char *path, struct err *err)
{
	if (inflate_bytes(bytes, size, FILE_MOST, out))
		return STATUS_OK;
	if (out->failed)
		return err_memory(err, "a tokenizer");
	if (out->size > FILE_MOST)
		return err_set(err, STATUS_MEMORY, "cannot read '%s': decompressed it has more than %zu bytes", path, FILE_MOST);
	return err_set(err, STATUS_FORMAT, "cannot read '%s': its compressed data are damaged or end early", path);
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

/* Reads the bytes of a file, whichever of the three it is, and compiles the patterns. */
static enum status read_bytes(struct tokenizer *t, const char *text, size_t size, size_t vocab_size, const char *path, struct err *err)
{
	size_t start = 0;

	while (start < size && strchr(" \t\r\n", text[start]) && text[start])
		start++;
	bool json = start < size && text[start] == '{';
	enum status status = (json ? vocabulary_read_json : vocabulary_read_list)(&t->vocabulary, text, size, vocab_size, path, err);
	if (status != STATUS_OK)
		return status;
	t->words = compile(WORDS, PCRE2_CASELESS);
	t->context = compile(CLEAN_CONTEXT, PCRE2_ANCHORED);
	if (!t->words || !t->context)
		return err_set(err, STATUS_FAILED, "cannot compile the tokenizer's patterns; hint: PCRE2 10.40 or later is needed");
	return STATUS_OK;
}

static enum status tokenizer_new(struct tokenizer **tokenizer, struct err *err)
{
	*tokenizer = mem_array(1, sizeof **tokenizer);
	if (!*tokenizer)
		return err_memory(err, "a tokenizer");
	alphabet_make(&(*tokenizer)->vocabulary.alphabet);
	return STATUS_OK;
}

/* Hands over a tokenizer that was opened well, closes any other. */
static enum status hand_over(struct tokenizer *t, enum status status, struct tokenizer **tokenizer)
{
	if (status == STATUS_OK)
		*tokenizer = t;
	else
		tokenizer_close(t);
	return status;
}

static enum status open_file(const char *path, size_t vocab_size, struct tokenizer **tokenizer, struct err *err)
{
	struct tokenizer *t;
	struct buffer plain = {0};
	uint8_t *bytes = NULL;
	size_t size;
	enum status status = tokenizer_new(&t, err);

	if (status == STATUS_OK)
		status = file_read(path, FILE_MOST, &bytes, &size, err);
	if (status == STATUS_OK && size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b) {
		status = inflate_all(bytes, size, &plain, path, err);
		if (status == STATUS_OK)
			status = read_bytes(t, plain.data ? plain.data : "", plain.size, vocab_size, path, err);
	} else if (status == STATUS_OK) {
		status = read_bytes(t, (const char *)bytes, size, vocab_size, path, err);
	}
	free(bytes);
	buffer_release(&plain);
	return hand_over(t, status, tokenizer);
}

enum status tokenizer_of_bytes(struct tokenizer **tokenizer, struct err *err)
{
	static const char none[] = "#version\n";
	struct tokenizer *t;
	enum status status = tokenizer_new(&t, err);

	*tokenizer = NULL;
	if (status == STATUS_OK)
		status = read_bytes(t, none, strlen(none), 0, "no merges", err);
	return hand_over(t, status, tokenizer);
}

enum status tokenizer_find(const char *folder, char **path, struct err *err)
{
	static const char *const names[] = {"tokenizer.json", "merges.txt", "bpe_simple_vocab_16e6.txt.gz"};
	struct stat st;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		*path = path_join(folder, names[i]);
		if (!*path)
			return err_memory(err, "a path");
		if (stat(*path, &st) == 0)
			return STATUS_OK;
		free(*path);
	}
	*path = NULL;
	return err_set(err, STATUS_NOT_FOUND, "no tokenizer in '%s'; hint: it is a %s, %s or %s", folder, names[0], names[1], names[2]);
}

enum status tokenizer_open(const char *path, size_t vocab_size, struct tokenizer **tokenizer, struct err *err)
{
	struct stat st;
	char *file = NULL;
	enum status status = STATUS_OK;

	*tokenizer = NULL;
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		status = tokenizer_find(path, &file, err);
	if (status == STATUS_OK)
		status = open_file(file ? file : path, vocab_size, tokenizer, err);
	free(file);
	return status;
}

void tokenizer_close(struct tokenizer *tokenizer)
{
	if (!tokenizer)
		return;
	pcre2_code_free(tokenizer->words);
	pcre2_code_free(tokenizer->context);
	vocabulary_release(&tokenizer->vocabulary);
	free(tokenizer);
}

size_t tokenizer_vocab_size(const struct tokenizer *tokenizer)
{
	return tokenizer->vocabulary.size;
}

int32_t tokenizer_start(const struct tokenizer *tokenizer)
{
	return tokenizer->vocabulary.special[0];
}

int32_t tokenizer_end(const struct tokenizer *tokenizer)
{
	return tokenizer->vocabulary.special[1];
}

/* ---- encoding ----------------------------------------------------------------------------------------------------- */

/* The ids of a text, as they are found. */
struct encoder {
	const struct tokenizer *t;
	struct merging merging;
	int32_t *ids;
	size_t n, capacity, most;
	bool failed;
};

static void put_id(struct encoder *e, int32_t id)
{
	if (e->n == e->most || e->failed)
		return;
	if (!mem_grow(&e->ids, &e->capacity, e->n + 1, sizeof *e->ids)) {
		e->failed = true;
		return;
	}
	e->ids[e->n++] = id;
}

static void encode_word(struct encoder *e, const char *word, size_t size)
{
	for (size_t i = 0; i < SPECIAL; i++)
		if (size == strlen(special_names[i]) && memcmp(word, special_names[i], size) == 0) {
			put_id(e, e->t->vocabulary.special[i]);
			return;
		}
	if (!merging_word(&e->merging, word, size)) {
		e->failed = true;
		return;
	}
	for (int32_t i = 0; i >= 0; i = e->merging.pieces[i].after)
		put_id(e, e->merging.pieces[i].id);
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
	clean_text(e->t->context, text, size, &cleaned, match);
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
	merging_release(&e->merging);
	return done;
}

size_t tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t size, int32_t *ids, size_t capacity)
{
	struct encoder e = {.t = tokenizer, .merging = {.vocabulary = &tokenizer->vocabulary}, .most = capacity - 2};
	size_t n = 0;

	if (encode(&e, text, size)) {
		ids[n++] = tokenizer->vocabulary.special[0];
		for (size_t i = 0; i < e.n; i++)
			ids[n++] = e.ids[i];
		ids[n++] = tokenizer->vocabulary.special[1];
	}
	free(e.ids);
	return n;
}

enum status tokenizer_encode_all(const struct tokenizer *tokenizer, const char *text, size_t size, int32_t **ids, size_t *n,
				 struct err *err)
{
	struct encoder e = {.t = tokenizer, .merging = {.vocabulary = &tokenizer->vocabulary}, .most = SIZE_MAX};

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

	for (size_t i = 0; i < n && ids[i] != tokenizer->vocabulary.special[1]; i++) {
		if (ids[i] == tokenizer->vocabulary.special[0])
			continue;
		if (ids[i] < 0 || (size_t)ids[i] >= tokenizer->vocabulary.size) {
			buffer_text(&bytes, "\xef\xbf\xbd");
			continue;
		}
		const struct symbol *s = &tokenizer->vocabulary.symbols[ids[i]];
		buffer_append(&bytes, tokenizer->vocabulary.pool.data + s->at, s->size);
		if (s->ends_word)
			buffer_text(&bytes, " ");
	}
	if (bytes.size && bytes.data[bytes.size - 1] == ' ')
		bytes.size--;
	clean_utf8(bytes.size ? bytes.data : "", bytes.size, &text);
	buffer_append(&text, "", 0); /* a string even if it is empty */
	if (bytes.failed || text.failed)
		buffer_release(&text);
	buffer_release(&bytes);
	return text.data;
}
