/* json.c: see json.h. */
#include "schema/base/json.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "schema/base/utf8.h"

#include "schema/base/banned.h"

/* The two-character escape of a byte, or 0. */
static char short_escape(char c)
{
	switch (c) {
	case '"': return '"';
	case '\\': return '\\';
	case '\b': return 'b';
	case '\f': return 'f';
	case '\n': return 'n';
	case '\r': return 'r';
	case '\t': return 't';
	default: return 0;
	}
}

void json_string(struct buffer *buffer, const char *bytes, size_t size)
{
	size_t plain = 0; /* start of what is yet to be copied as it is */
	size_t n;

	buffer_text(buffer, "\"");
	for (size_t i = 0; i < size; i += n) {
		bool valid = utf8_next(bytes + i, size - i, &n);
		unsigned char c = (unsigned char)bytes[i];
		char escape = short_escape(bytes[i]);
		if (valid && c >= 0x20 && !escape)
			continue;
		buffer_append(buffer, bytes + plain, i - plain);
		plain = i + n;
		if (escape)
			buffer_append(buffer, (char[]){'\\', escape}, 2);
		else if (valid)
			buffer_format(buffer, "\\u%04x", c);
		else
			for (size_t k = 0; k < n; k++)
				buffer_format(buffer, "\\udc%02x", (unsigned char)bytes[i + k]);
	}
	buffer_append(buffer, bytes + plain, size - plain);
	buffer_text(buffer, "\"");
}

void json_number(struct buffer *buffer, double value)
{
	char text[40];
	bool single = (double)(float)value == value;

	if (!isfinite(value)) {
		buffer_text(buffer, "null");
		return;
	}
	if (value == rint(value) && fabs(value) < 0x1p53) {
		buffer_format(buffer, "%.0f", value);
		return;
	}
	for (int digits = 1; digits <= 17; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, value);
		if (single ? (double)strtof(text, NULL) == value : strtod(text, NULL) == value)
			break;
	}
	buffer_text(buffer, text);
}
