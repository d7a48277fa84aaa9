/* words.c: see words.h. */
#include "model/words/words.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "schema/base/banned.h"

static bool is_letter(const char *text, size_t size, size_t i)
{
	return i < size && isalpha((unsigned char)text[i]);
}

bool words_have(const char *text, size_t size, const char *word, bool many)
{
	size_t n = strlen(word);

	for (size_t i = 0; i + n <= size; i++) {
		if ((i && is_letter(text, size, i - 1)) || strncasecmp(text + i, word, n) != 0)
			continue;
		size_t end = i + n;
		end += many && end < size && (text[end] == 's' || text[end] == 'S');
		if (!is_letter(text, size, end))
			return true;
	}
	return false;
}
