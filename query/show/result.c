/* result.c: see result.h. */
#include "query/show/result.h"

#include <math.h>
#include <string.h>

#include "query/show/explain.h"
#include "schema/catalog/photos.h"
#include "schema/base/json.h"

#include "schema/base/banned.h"

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

void result_format(const struct results *results, size_t i, enum format format, struct buffer *out)
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
