/* notes.c: see notes.h. */
#include "indexer/walk/notes.h"

#include <stdarg.h>
#include <stdio.h>

#include "schema/base/status.h"

#include "schema/base/banned.h"

void notes_add(struct buffer *notes, const char *format, ...)
{
	char text[1024];
	struct err line;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	err_set(&line, STATUS_FAILED, "%s", text);
	buffer_text(notes, line.text);
	buffer_text(notes, "\n");
}
