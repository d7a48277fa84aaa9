/* json_check.c: reads JSON Lines from standard input and fails unless each line is one valid JSON value.
 *
 *     coca search dog --format json | build/tests/tools/json_check [KEY...]
 *
 * Each line must then also be an object that has every KEY, in this order, and no other. Prints the first line that is wrong.
 * A lone surrogate escape, as a path with stray bytes has it, is valid by JSON's grammar; cJSON refuses it, so it is taken for
 * a letter here. The lines themselves must be UTF-8.
 */
#include <cJSON.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/utf8.h"

#include "schema/base/banned.h"

static bool is_utf8(const char *line, size_t size)
{
	for (size_t i = 0, n; i < size; i += n)
		if (!utf8_next(line + i, size - i, &n))
			return false;
	return true;
}

static bool has_keys(const cJSON *object, char **keys, int count)
{
	const cJSON *item = cJSON_IsObject(object) ? object->child : NULL;

	for (int i = 0; i < count; i++, item = item->next)
		if (!item || strcmp(item->string, keys[i]) != 0)
			return false;
	return count == 0 || !item;
}

static bool check(char *line, size_t size, char **keys, int count)
{
	const char *end;

	if (memchr(line, '\0', size) || !is_utf8(line, size))
		return false;
	for (char *at = line; (at = strstr(at, "\\udc")); at++)
		at[2] = '0';
	cJSON *value = cJSON_ParseWithOpts(line, &end, true);
	bool good = value && has_keys(value, keys, count);
	cJSON_Delete(value);
	return good;
}

int main(int argc, char **argv)
{
	char *line = NULL;
	size_t room = 0, number = 0;
	ssize_t size;

	while ((size = getline(&line, &room, stdin)) >= 0) {
		number++;
		if (line[size - 1] != '\n' || !check(line, (size_t)size, argv + 1, argc - 1)) {
			printf("line %zu: %s\n", number, line);
			free(line);
			return 1;
		}
	}
	free(line);
	if (number == 0)
		printf("no line\n");
	return number == 0;
}
