/* format.c: see format.h. */
#include "query/show/format.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "schema/catalog/catalog.h"

#include "schema/base/banned.h"

const char *const format_names[] = {"text", "json", "paths0", NULL};

enum format format_for(enum format format, FILE *stream)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	if (format != FORMAT_TEXT || (no && *no) || !term || strcmp(term, "dumb") == 0 || !isatty(fileno(stream)))
		return format;
	return FORMAT_COLOURED;
}

void format_time(int64_t taken_at, int32_t offset, struct buffer *out)
{
	time_t t = (time_t)taken_at;
	struct tm tm = {0};
	char text[64] = "";

	if (!gmtime_r(&t, &tm) || strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		return;
	buffer_text(out, text);
	if (offset != CATALOG_NO_OFFSET) {
		int minutes = offset < 0 ? -offset : offset;
		buffer_format(out, "%c%02d:%02d", offset < 0 ? '-' : '+', minutes / 60, minutes % 60);
	}
}

void format_visible(const char *bytes, size_t size, struct buffer *out)
{
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)bytes[i];
		if (c < 0x20 || c == 0x7f)
			buffer_format(out, "\\x%02x", c);
		else
			buffer_append(out, bytes + i, 1);
	}
}

enum status format_print(FILE *out, struct buffer *buffer, struct err *err)
{
	enum status status = buffer->failed ? err_memory(err, "the output") : STATUS_OK;

	/* A write that fails is seen by the front door when it flushes. */
	if (status == STATUS_OK && buffer->size)
		fwrite(buffer->data, 1, buffer->size, out);
	buffer_release(buffer);
	return status;
}
