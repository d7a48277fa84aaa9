/* broader.h: what else a thing is: a golden retriever is a dog and an animal. Class names are narrower than what people ask for; a table
 * of broader terms lets photographs of classes teach those words, too.
 *
 *     struct broader broader;
 *     broader_read("broader.tsv", &broader, err);
 *     const struct broader_row *row = broader_find(&broader, "golden retriever");
 *     for (size_t i = 0; row && i < row->count; i++)
 *             puts(broader.terms[row->terms[i]]);      // dog, animal
 *     broader_release(&broader);
 *
 * A file has lines of NAME, tab, TERM, comma, TERM. Each term has one of 64 bits, so that one number tells which terms a photograph
 * shows; where there are more than 64 terms some share a bit, and a few texts that could be negatives are taken for none.
 */
#ifndef MODEL_DATA_BROADER_H
#define MODEL_DATA_BROADER_H

#include <stddef.h>
#include <stdint.h>

#include "schema/base/status.h"

struct broader_row {
	const char *name;
	const uint32_t *terms;  /* [count] numbers of terms */
	size_t count;           /* at least 1 */
};

struct broader {
	char *bytes;            /* what all names point into */
	const char **terms;     /* [term_count], each once */
	size_t term_count;
	uint32_t *numbers;      /* what rows point into */
	struct broader_row *rows; /* [row_count] by name */
	size_t row_count;
};

/* STATUS_FORMAT: a line without tab, or with an empty name or term; a NUL byte; more than 4,096 different terms. */
enum status broader_read(const char *path, struct broader *broader, struct err *err);
void broader_release(struct broader *broader); /* takes a zeroed one */

/* NULL: nothing is said of that name. */
const struct broader_row *broader_find(const struct broader *broader, const char *name);

uint64_t broader_bit(uint32_t term);
/* Bits of a row's terms; 0 for NULL. */
uint64_t broader_bits(const struct broader_row *row);
/* Bits of the terms that a text has in it, as words or with an s behind them. */
uint64_t broader_in(const struct broader *broader, const char *text, size_t size);

#endif
