/* broader.c: see broader.h. */
#include "model/data/broader.h"

#include <stdlib.h>
#include <string.h>

#include "model/words/words.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* More terms than this are no terms: each is looked for in every caption. */
enum { BYTES_MOST = 1 << 24, TERMS_MOST = 4096 };

void broader_release(struct broader *b)
{
	free(b->bytes);
	free(b->terms);
	free(b->numbers);
	free(b->rows);
	*b = (struct broader){0};
}

/* A term's number; a new one's is the next. */
static uint32_t number_of(struct broader *b, const char *term)
{
	for (uint32_t t = 0; t < b->term_count; t++)
		if (strcmp(b->terms[t], term) == 0)
			return t;
	b->terms[b->term_count] = term;
	return (uint32_t)b->term_count++;
}

/* text without the blanks around it. */
static char *trimmed(char *text)
{
	text += strspn(text, " \t");
	for (size_t n = strlen(text); n && strchr(" \t\r", text[n - 1]); n--)
		text[n - 1] = '\0';
	return text;
}

/* One line; *numbers: how many numbers of terms there are already. */
static bool read_line(struct broader *b, char *line, size_t *numbers)
{
	char *tab = strchr(line, '\t'), *rest;
	struct broader_row *row = &b->rows[b->row_count];

	if (!tab)
		return false;
	*tab = '\0';
	rest = tab + 1;
	*row = (struct broader_row){.name = trimmed(line), .terms = b->numbers + *numbers};
	for (char *term; (term = strsep(&rest, ","));) {
		term = trimmed(term);
		if (!*term)
			return false;
		b->numbers[(*numbers)++] = number_of(b, term);
		row->count++;
	}
	b->row_count++;
	return *row->name != '\0';
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct broader_row *)a)->name, ((const struct broader_row *)b)->name);
}

enum status broader_read(const char *path, struct broader *b, struct err *err)
{
	size_t size, lines = 1, terms = 0, numbers = 0, number = 0;
	char *rest = NULL;

	*b = (struct broader){0};
	enum status status = file_read_text(path, BYTES_MOST, &b->bytes, &size, err);
	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < size; i++) {
		lines += b->bytes[i] == '\n';
		terms += b->bytes[i] == '\t' || b->bytes[i] == ',';
	}
	b->rows = mem_array(lines, sizeof *b->rows);
	b->terms = mem_array(terms, sizeof *b->terms);
	b->numbers = mem_array(terms, sizeof *b->numbers);
	if (!b->rows || !b->terms || !b->numbers)
		status = err_memory(err, "broader terms");
	for (char *line = status == STATUS_OK ? strtok_r(b->bytes, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
		number++;
		if (!read_line(b, line, &numbers)) {
			status = err_set(err, STATUS_FORMAT, "cannot read '%s': line %zu with text is not NAME, tab, TERM, comma, TERM", path,
					 number);
			break;
		}
		if (b->term_count > TERMS_MOST) {
			status = err_set(err, STATUS_FORMAT, "cannot read '%s': it has more than %d different terms", path, TERMS_MOST);
			break;
		}
	}
	if (status == STATUS_OK)
		qsort(b->rows, b->row_count, sizeof *b->rows, by_name);
	else
		broader_release(b);
	return status;
}

const struct broader_row *broader_find(const struct broader *b, const char *name)
{
	const struct broader_row key = {.name = name};

	return b->row_count ? bsearch(&key, b->rows, b->row_count, sizeof *b->rows, by_name) : NULL;
}

uint64_t broader_bit(uint32_t term)
{
	return (uint64_t)1 << term % 64;
}

uint64_t broader_bits(const struct broader_row *row)
{
	uint64_t bits = 0;

	for (size_t i = 0; row && i < row->count; i++)
		bits |= broader_bit(row->terms[i]);
	return bits;
}

uint64_t broader_in(const struct broader *b, const char *text, size_t size)
{
	uint64_t bits = 0;

	for (uint32_t t = 0; t < b->term_count; t++)
		if (words_have(text, size, b->terms[t], true))
			bits |= broader_bit(t);
	return bits;
}
