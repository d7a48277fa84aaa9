/* format.c: see format.h. */
#include "query/show/format.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "query/show/explain.h"
#include "schema/catalog/photos.h"
#include "schema/base/json.h"

#include "schema/base/banned.h"

const char *const format_names[] = {"text", "json", "paths0", NULL};

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

static void text_or_null(const char *text, struct buffer *out)
{
	if (text)
		json_string(out, text, strlen(text));
	else
		buffer_text(out, "null");
}

static void number_or_null(bool known, double value, struct buffer *out)
{
	if (known)
		json_number(out, value);
	else
		buffer_text(out, "null");
}

static void result_json(const struct result *r, const struct explanation *why, struct buffer *out)
{
	const struct photo *p = &r->photo;

	buffer_format(out, "{\"rank\":%zu,\"path\":", r->rank);
	json_string(out, p->path, p->path_size);
	buffer_text(out, ",\"score\":");
	json_number(out, r->score);
	buffer_text(out, ",\"match\":");
	json_number(out, r->match);
	buffer_text(out, ",\"similarity\":");
	json_number(out, (double)r->similarity);
	buffer_text(out, ",\"caption_logprob\":");
	number_or_null(r->reranked, (double)r->likelihood, out);
	if (isnan(r->score))
		buffer_text(out, ",\"found_by\":\"filter\",\"text\":");
	else
		buffer_format(out, ",\"found_by\":\"%s\",\"text\":", r->text ? "text" : "pixels");
	if (r->text)
		json_string(out, r->text, r->text_size);
	else
		buffer_text(out, "null");
	buffer_text(out, ",\"text_similarity\":");
	number_or_null(r->text != NULL, (double)r->text_similarity, out);
	buffer_format(out, ",\"width\":%lld,\"height\":%lld,\"taken_at\":", (long long)p->width, (long long)p->height);
	if (p->has_taken) {
		buffer_text(out, "\"");
		format_time(p->taken_at, p->taken_offset, out);
		buffer_text(out, "\"");
	} else {
		buffer_text(out, "null");
	}
	buffer_text(out, ",\"latitude\":");
	number_or_null(p->has_position, p->latitude, out);
	buffer_text(out, ",\"longitude\":");
	number_or_null(p->has_position, p->longitude, out);
	buffer_text(out, ",\"camera\":");
	text_or_null(p->camera, out);
	buffer_text(out, ",\"lens\":");
	text_or_null(p->lens, out);
	buffer_text(out, ",\"format\":");
	text_or_null(p->format, out);
	buffer_format(out, ",\"missing\":%s", r->missing ? "true" : "false");
	if (why)
		explain_json(why, r, out);
	buffer_text(out, "}\n");
}

enum format format_for(enum format format, FILE *stream)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	if (format != FORMAT_TEXT || (no && *no) || !term || strcmp(term, "dumb") == 0 || !isatty(fileno(stream)))
		return format;
	return FORMAT_COLOURED;
}

/* The text that found the photograph, cut to what fits beside a path. */
static void result_tied(const char *text, size_t size, struct buffer *out)
{
	enum { SHOWN_MOST = 72 };
	size_t shown = size;

	if (shown > SHOWN_MOST)
		for (shown = SHOWN_MOST; shown && ((unsigned char)text[shown] & 0xc0) == 0x80;)
			shown--; /* not inside a character */
	buffer_text(out, "  [text: ");
	format_visible(text, shown, out);
	buffer_text(out, shown < size ? "...]" : "]");
}

/* The folder is dim, so that the file's name stands out; the score is bold. */
static void result_text(const struct result *r, bool coloured, struct buffer *out)
{
	const struct photo *p = &r->photo;
	const char *slash = memrchr(p->path, '/', p->path_size);
	size_t folder = slash && coloured ? (size_t)(slash - p->path) + 1 : 0;

	if (isnan(r->score)) {
		buffer_format(out, "%3zu  ", r->rank);
		if (p->has_taken)
			format_time(p->taken_at, CATALOG_NO_OFFSET, out);
		buffer_text(out, p->has_taken ? "  " : "                     ");
	} else {
		buffer_format(out, coloured ? "%3zu  \033[1m%8.4f\033[0m  " : "%3zu  %8.4f  ", r->rank, r->score);
	}
	if (!isnan(r->match))
		buffer_format(out, "%3.0f%%  ", 100 * r->match);
	if (coloured) {
		buffer_text(out, "\033[2m");
		format_visible(p->path, folder, out);
		buffer_text(out, "\033[0m");
	}
	format_visible(p->path + folder, p->path_size - folder, out);
	if (r->text) {
		result_tied(r->text, r->text_size, out);
	}
	buffer_text(out, r->missing ? "  (missing)\n" : "\n");
}

void format_result(const struct results *results, size_t i, enum format format, struct buffer *out)
{
	const struct result *r = &results->items[i];

	switch (format) {
	case FORMAT_TEXT:
	case FORMAT_COLOURED:
		result_text(r, format == FORMAT_COLOURED, out);
		if (results->why)
			explain_text(results->why, r, out);
		break;
	case FORMAT_JSON:
		result_json(r, results->why, out);
		break;
	case FORMAT_PATHS0:
		buffer_append(out, r->photo.path, r->photo.path_size);
		buffer_append(out, "", 1);
		break;
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
