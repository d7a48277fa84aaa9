/* entities.c: see entities.h. The names are those of the HTML standard (https://html.spec.whatwg.org/entities.json), with
 * and, where the standard has both, without the semicolon; they stand in entities.txt. The references that stand for something else
 * than their number (0, 13 and what windows-1252 has at 128 to 159) are the standard's, too.
 */
#include "model/words/entities.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "schema/base/embed.h"

#include "schema/base/banned.h"

enum { NAME_MOST = 32 };

/* A line a name: the name, and its code points in hexadecimal. Sorted by the names' bytes. */
EMBED_TEXT(entities, "model/words/entities.txt");

/* The line of a name of exactly size bytes, behind the name, or NULL. */
static const char *find(const char *name, size_t size)
{
	const char *low = entities, *high = entities + strlen(entities);

	while (low < high) {
		const char *line = low + (high - low) / 2;
		while (line > low && line[-1] != '\n')
			line--;
		size_t length = strcspn(line, " ");
		int order = memcmp(line, name, length < size ? length : size);
		if (order == 0 && length == size)
			return line + length;
		if (order < 0 || (order == 0 && length < size))
			low = strchr(line, '\n') + 1;
		else
			high = line;
	}
	return NULL;
}

static void append_code_point(struct buffer *to, uint32_t c)
{
	utf8proc_uint8_t bytes[4];
	utf8proc_ssize_t n = utf8proc_encode_char((utf8proc_int32_t)c, bytes);

	buffer_append(to, bytes, (size_t)n);
}

/* What a numeric reference stands for. */
static void append_number(struct buffer *to, uint32_t c)
{
	/* windows-1252 from 0x80 on; where it has nothing the number stands for itself */
	static const uint16_t windows[32] = {
		0x20ac, 0x81, 0x201a, 0x192, 0x201e, 0x2026, 0x2020, 0x2021, 0x2c6, 0x2030, 0x160, 0x2039, 0x152, 0x8d, 0x17d, 0x8f,
		0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x2dc, 0x2122, 0x161, 0x203a, 0x153, 0x9d, 0x17e, 0x178,
	};
	bool control = (c < 0x20 && c != '\t' && c != '\n' && c != '\f' && c != '\r') || c == 0x7f;
	bool no_character = (c >= 0xfdd0 && c <= 0xfdef) || (c & 0xfffe) == 0xfffe;

	if (c == 0 || (c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff)
		append_code_point(to, 0xfffd);
	else if (c >= 0x80 && c <= 0x9f)
		append_code_point(to, windows[c - 0x80]);
	else if (!control && !no_character)
		append_code_point(to, c);
}

static int digit_value(char c, int base)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return base == 16 && c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* text starts with "&#". Returns the bytes used, 0 if this is no reference. */
static size_t unescape_number(const char *text, size_t size, struct buffer *to)
{
	int base = size > 2 && (text[2] | 0x20) == 'x' ? 16 : 10, digit;
	size_t start = base == 16 ? 3 : 2, i = start;
	uint32_t c = 0;

	for (; i < size && (digit = digit_value(text[i], base)) >= 0; i++)
		c = c > 0x10ffff ? c : c * (uint32_t)base + (uint32_t)digit;
	if (i == start)
		return 0;
	append_number(to, c);
	return i < size && text[i] == ';' ? i + 1 : i;
}

/* text starts with "&". The longest name wins: "&notit;" is the sign "not" and "it;". */
static size_t unescape_name(const char *text, size_t size, struct buffer *to)
{
	size_t n = 0, most = size - 1 < NAME_MOST ? size - 1 : NAME_MOST;
	const char *name = text + 1, *found = NULL;

	while (n < most && ((name[n] >= '0' && name[n] <= '9') || ((name[n] | 0x20) >= 'a' && (name[n] | 0x20) <= 'z')))
		n++;
	if (n < most && name[n] == ';')
		n++;
	while (n > 1 && !(found = find(name, n)))
		n--;
	if (!found)
		return 0;
	for (char *end; *found == ' '; found = end)
		append_code_point(to, (uint32_t)strtoul(found, &end, 16));
	return n + 1;
}

void entities_unescape(const char *text, size_t size, struct buffer *to)
{
	while (size) {
		const char *sign = memchr(text, '&', size);
		size_t plain = sign ? (size_t)(sign - text) : size;
		buffer_append(to, text, plain);
		text += plain;
		size -= plain;
		if (!size)
			break;
		size_t used = size > 1 && text[1] == '#' ? unescape_number(text, size, to) : unescape_name(text, size, to);
		if (!used) {
			buffer_append(to, text, 1);
			used = 1;
		}
		text += used;
		size -= used;
	}
}
