/* merges_list.c: reads a list of merges (bpe_simple_vocab_16e6.txt, merges.txt): a head line, then two symbols a line, which become
 * one; the lines' order is their rank. */
#include <stdlib.h>
#include <string.h>

#include "model/words/vocabulary.h"

#include "schema/base/banned.h"

static const char header[] = "#version";

enum { OPENCLIP_MERGES = 49152 - 256 - 2 };

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

/* Enters the merge of rank; its symbol gets the next id. scratch has room for length bytes. */
static enum status put_line(struct vocabulary *v, const char *line, size_t length, size_t rank, char *scratch, const char *path,
			    struct err *err)
{
	const char *blank = memchr(line, ' ', length);
	size_t left_size = blank ? (size_t)(blank - line) : 0, id = FIRST_MERGE + rank;
	struct joined joined;

	if (!blank || !vocabulary_join(v, line, left_size, blank + 1, length - left_size - 1, scratch, &joined))
		return err_set(err, STATUS_FORMAT, "cannot read '%s': line %zu, '%.*s', joins no two symbols of the lines before it", path,
			       rank + 2, (int)(length < 80 ? length : 80), line);
	if (!vocabulary_put(v, id, scratch, joined.size, joined.ends_word))
		return err_memory(err, "a tokenizer");
	vocabulary_put_merge(v, joined.left, joined.right, rank, (int32_t)id);
	return STATUS_OK;
}

enum status vocabulary_read_list(struct vocabulary *v, const char *text, size_t size, size_t vocab_size, const char *path, struct err *err)
{
	size_t n = count_merges(text, size), at = 0, length;
	const char *line;
	char *scratch = NULL;
	enum status status;

	if (!next_line(text, size, &at, &line, &length) || !memmem(line, length, header, strlen(header)))
		return err_set(err, STATUS_FORMAT, "cannot read '%s': it is neither a list of merges, whose first line has '%s', nor a "
			       "tokenizer.json", path, header);
	if (vocab_size && n + OWN_IDS < vocab_size)
		return vocabulary_mismatch(path, n + OWN_IDS, vocab_size, err);
	if (vocab_size && vocab_size < OWN_IDS)
		return vocabulary_mismatch(path, OWN_IDS, vocab_size, err);
	if (vocab_size)
		n = vocab_size - OWN_IDS;
	else if (n > OPENCLIP_MERGES)
		n = OPENCLIP_MERGES;
	status = vocabulary_make(v, n + OWN_IDS, n, err);
	if (status != STATUS_OK)
		return status;
	scratch = malloc(size + 1);
	if (!scratch)
		return err_memory(err, "a tokenizer");
	for (size_t id = 0; id < FIRST_MERGE; id++)
		vocabulary_put(v, id, (const char *)&v->alphabet.order[id % BYTES], 1, id >= BYTES);
	for (size_t rank = 0; rank < n && status == STATUS_OK; rank++) {
		next_line(text, size, &at, &line, &length);
		status = put_line(v, line, length, rank, scratch, path, err);
	}
	free(scratch);
	for (size_t i = 0; i < SPECIAL; i++)
		v->special[i] = (int32_t)(v->size - SPECIAL + i);
	vocabulary_find_bytes(v);
	return status;
}
