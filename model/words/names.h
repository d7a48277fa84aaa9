/* names.h: which of some names are the same.
 *
 *     names_number(names, n, owner, first, &distinct, err);       // owner[i]: number of the i-th name, counted by first appearance
 *     names_repeated(names, n, &twice, err);                      // NULL: all are distinct
 */
#ifndef MODEL_WORDS_NAMES_H
#define MODEL_WORDS_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "schema/base/status.h"

/* first[*distinct]: where each was. Both arrays [n]. */
enum status names_number(const char *const *names, size_t n, uint32_t *owner, uint32_t *first, size_t *distinct, struct err *err);
/* The first name that was there before. */
enum status names_repeated(const char *const *names, size_t n, const char **name, struct err *err);

#endif
