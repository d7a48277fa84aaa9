/* names.c: see names.h. */
#include "model/words/names.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"

#include "schema/base/banned.h"

static int by_name(const void *a, const void *b, void *context)
{
	const char *const *names = context;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	int order = strcmp(names[x], names[y]);

	return order ? order : (x > y) - (x < y);
}

enum status names_number(const char *const *names, size_t n, uint32_t *owner, uint32_t *first, size_t *distinct, struct err *err)
{
	uint32_t *sorted = mem_array(n, sizeof *sorted), *leader = mem_array(n, sizeof *leader);
	enum status status = sorted && leader ? STATUS_OK : err_memory(err, "names");

	*distinct = 0;
	if (status == STATUS_OK && n) {
		for (size_t i = 0; i < n; i++)
			sorted[i] = (uint32_t)i;
		qsort_r(sorted, n, sizeof *sorted, by_name, (void *)names);
		/* Equal names follow each other, the earliest first: it leads them. */
		for (size_t i = 0; i < n; i++)
			leader[sorted[i]] = i && strcmp(names[sorted[i - 1]], names[sorted[i]]) == 0 ? leader[sorted[i - 1]] : sorted[i];
		for (size_t i = 0; i < n; i++)
			if (leader[i] == i) {
				first[*distinct] = (uint32_t)i;
				owner[i] = (uint32_t)(*distinct)++;
			} else {
				owner[i] = owner[leader[i]];
			}
	}
	free(sorted);
	free(leader);
	return status;
}

enum status names_repeated(const char *const *names, size_t n, const char **name, struct err *err)
{
	uint32_t *owner = mem_array(n, sizeof *owner), *first = mem_array(n, sizeof *first);
	size_t distinct;
	enum status status = owner && first ? names_number(names, n, owner, first, &distinct, err) : err_memory(err, "names");

	*name = NULL;
	for (size_t i = 0; i < n && !*name && status == STATUS_OK; i++)
		if (first[owner[i]] != i)
			*name = names[i];
	free(owner);
	free(first);
	return status;
}
