/* clean.c: see clean.h. */
#include "model/words/clean.h"

#include <stdbool.h>

#include <utf8proc.h>

#include "model/words/entities.h"
#include "schema/base/utf8.h"

#include "schema/base/banned.h"

void clean_utf8(const char *text, size_t size, struct buffer *to)
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
static int case_context(const pcre2_code *context, const struct buffer *text, size_t at, pcre2_match_data *match)
{
	return pcre2_match(context, (PCRE2_SPTR)text->data, text->size, at, PCRE2_NO_UTF_CHECK, match, NULL);
}

/* Unicode's Final_Sigma: a cased letter before it and none behind it, whatever is case-ignorable between. */
static bool is_final_sigma(const pcre2_code *context, const struct buffer *text, size_t at, pcre2_match_data *match)
{
	int kind = 0;
	size_t i = at;

	do {
		if (i == 0)
			return false;
		do
			i--;
		while (((uint8_t)text->data[i] & 0xc0) == 0x80);
		kind = case_context(context, text, i, match);
	} while (kind == 1);
	if (kind != 2)
		return false;
	for (i = at + 2; i < text->size; i += (size_t)utf8proc_utf8class[(uint8_t)text->data[i]]) {
		kind = case_context(context, text, i, match);
		if (kind != 1)
			return kind != 2;
	}
	return true;
}

/* As Python's str.lower. */
static void append_lower(const pcre2_code *context, const struct buffer *from, struct buffer *to, pcre2_match_data *match)
{
	utf8proc_int32_t c;
	utf8proc_ssize_t n;
	utf8proc_uint8_t bytes[4];

	for (size_t i = 0; i < from->size; i += (size_t)n) {
		n = utf8proc_iterate((const utf8proc_uint8_t *)from->data + i, (utf8proc_ssize_t)(from->size - i), &c);
		if (c == 0x130) /* I with dot: the one letter whose lower case is two characters */
			buffer_text(to, "i\xcc\x87");
		else if (c == 0x3a3 && is_final_sigma(context, from, i, match))
			buffer_text(to, "\xcf\x82");
		else
			buffer_append(to, bytes, (size_t)utf8proc_encode_char(utf8proc_tolower(c), bytes));
	}
}

void clean_text(const pcre2_code *context, const char *text, size_t size, struct buffer *cleaned, pcre2_match_data *match)
{
	struct buffer a = {0}, b = {0};

	clean_utf8(text, size, &a);
	entities_unescape(a.data, a.size, &b);
	a.size = 0;
	entities_unescape(b.data, b.size, &a);
	b.size = 0;
	append_folded(&a, &b);
	append_lower(context, &b, cleaned, match);
	if (a.failed || b.failed)
		cleaned->failed = true;
	buffer_release(&a);
	buffer_release(&b);
}
