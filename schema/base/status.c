/* status.c: see status.h. */
#include "schema/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "schema/base/banned.h"

/* Copies text with control characters as \xNN, cut to size - 1 bytes. */
static void copy_visible(char *to, size_t size, const char *text)
{
	size_t n = 0;
	for (; *text && n + 5 < size; text++) {
		unsigned char c = (unsigned char)*text;
		if (c < 0x20 || c == 0x7f)
			n += (size_t)snprintf(to + n, size - n, "\\x%02x", c);
		else
			to[n++] = (char)c;
	}
	to[n] = '\0';
}

enum status err_set(struct err *err, enum status status, const char *format, ...)
{
	char text[sizeof err->text];
	va_list args;

	if (!err)
		return status;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	err->status = status;
	copy_visible(err->text, sizeof err->text, text);
	return status;
}

enum status err_prefix(struct err *err, const char *format, ...)
{
	char context[512], text[sizeof err->text];
	va_list args;

	if (!err)
		return STATUS_FAILED;
	va_start(args, format);
	vsnprintf(context, sizeof context, format, args);
	va_end(args);
	copy_visible(text, sizeof text, context);
	size_t n = strlen(text);
	snprintf(text + n, sizeof text - n, ": %.*s", (int)(sizeof text - n - 3), err->text);
	memcpy(err->text, text, sizeof text);
	return err->status;
}

enum status err_memory(struct err *err, const char *what)
{
	return err_set(err, STATUS_MEMORY, "out of memory for %s", what);
}
