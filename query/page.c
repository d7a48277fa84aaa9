/* page.c: see page.h. */
#include "query/page.h"

#include <stdlib.h>
#include <string.h>

#include "model/image.h"
#include "query/format.h"
#include "schema/file.h"
#include "schema/utf8.h"

#include "schema/banned.h"

enum { THUMB_WIDTH = 320, THUMB_HEIGHT = 240, THUMB_QUALITY = 82 };

static const char head[] =
	"<style>\n"
	"body{font:15px/1.4 system-ui,sans-serif;margin:1.5em;background:#fff;color:#222}\n"
	"ol{display:flex;flex-wrap:wrap;gap:1em;padding:0;list-style:none}\n"
	"li{width:320px}\n"
	"li a{display:flex;height:240px;align-items:center;justify-content:center;background:#eee;color:#666;text-decoration:none}\n"
	"img{max-width:100%;max-height:100%}\n"
	"p{margin:.3em 0;overflow-wrap:anywhere}\n"
	".score{color:#666;font-variant-numeric:tabular-nums}\n"
	"@media(prefers-color-scheme:dark){body{background:#161616;color:#ddd}li a{background:#2a2a2a}}\n"
	"</style>\n";

void page_escape(const char *bytes, size_t size, struct buffer *out)
{
	for (size_t i = 0, n; i < size; i += n) {
		bool valid = utf8_next(bytes + i, size - i, &n);
		unsigned char c = (unsigned char)bytes[i];
		if (!valid)
			buffer_text(out, "\xef\xbf\xbd");
		else if (c < 0x20 || c == 0x7f)
			format_visible(bytes + i, 1, out);
		else if (c == '&')
			buffer_text(out, "&amp;");
		else if (c == '<')
			buffer_text(out, "&lt;");
		else if (c == '>')
			buffer_text(out, "&gt;");
		else if (c == '"')
			buffer_text(out, "&quot;");
		else if (c == '\'')
			buffer_text(out, "&#39;");
		else
			buffer_append(out, bytes + i, n);
	}
}

void page_address(const char *path, size_t size, struct buffer *out)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";

	buffer_text(out, "file://");
	for (size_t i = 0; i < size; i++)
		if (path[i] && strchr(plain, path[i]))
			buffer_append(out, path + i, 1);
		else
			buffer_format(out, "%%%02X", (unsigned char)path[i]);
}

void page_base64(const uint8_t *bytes, size_t size, struct buffer *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < size; i += 3) {
		size_t left = size - i;
		uint32_t v = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) | (left > 2 ? bytes[i + 2] : 0);
		char four[4] = {digits[v >> 18], digits[v >> 12 & 63], left > 1 ? digits[v >> 6 & 63] : '=',
				left > 2 ? digits[v & 63] : '='};
		buffer_append(out, four, sizeof four);
	}
}

/* The photo as <img>, or nothing if it cannot be read. */
static bool thumbnail(const struct photo *photo, struct buffer *out)
{
	struct file_map map = {0};
	struct image image = {0}, small = {0};
	uint8_t *jpeg = NULL;
	size_t size;
	bool done = false;

	if (file_map_open(photo->path, &map, NULL) == STATUS_OK &&
	    image_decode(map.data, map.size, THUMB_WIDTH, 0, &image, NULL) == STATUS_OK &&
	    image_fit(&image, THUMB_WIDTH, THUMB_HEIGHT, &small, NULL) == STATUS_OK &&
	    image_encode_jpeg(small.rgb, small.width, small.height, THUMB_QUALITY, &jpeg, &size, NULL) == STATUS_OK) {
		buffer_format(out, "<img width=\"%zu\" height=\"%zu\" alt=\"\" src=\"data:image/jpeg;base64,", small.width, small.height);
		page_base64(jpeg, size, out);
		buffer_text(out, "\">");
		done = true;
	}
	free(jpeg);
	image_release(&small);
	image_release(&image);
	file_map_close(&map);
	return done;
}

static void result_item(const struct result *r, struct buffer *out)
{
	const struct photo *p = &r->photo;

	buffer_text(out, "<li><a href=\"");
	page_address(p->path, p->path_size, out);
	buffer_text(out, "\">");
	if (r->missing || !thumbnail(p, out))
		buffer_text(out, r->missing ? "not there now" : "cannot be read");
	buffer_format(out, "</a>\n<p class=\"score\">%zu. score %.4f, similarity %.4f", r->rank, r->score, (double)r->similarity);
	if (r->reranked)
		buffer_format(out, ", caption %.2f", (double)r->likelihood);
	if (p->has_taken) {
		buffer_text(out, ", ");
		format_time(p->taken_at, p->taken_offset, out);
	}
	buffer_text(out, "</p>\n<p>");
	page_escape(p->path, p->path_size, out);
	buffer_text(out, "</p></li>\n");
}

enum status page_write(const char *path, const char *title, const struct results *results, struct err *err)
{
	struct file_writer writer = {0};
	struct buffer page = {0};
	enum status status = file_writer_open(path, &writer, err);

	if (status != STATUS_OK)
		return status;
	buffer_text(&page, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
			   "<meta name=\"viewport\" content=\"width=device-width\">\n<title>");
	page_escape(title, strlen(title), &page);
	buffer_text(&page, " - coca</title>\n");
	buffer_text(&page, head);
	buffer_text(&page, "</head><body>\n<h1>");
	page_escape(title, strlen(title), &page);
	buffer_format(&page, "</h1>\n<p>%zu photograph%s</p>\n<ol>\n", results->count, results->count == 1 ? "" : "s");
	/* One photo at a time goes out, so that a long list needs little memory. */
	for (size_t i = 0; i < results->count && status == STATUS_OK; i++) {
		result_item(&results->items[i], &page);
		status = format_print(writer.stream, &page, err);
	}
	buffer_text(&page, "</ol>\n</body></html>\n");
	if (status == STATUS_OK)
		status = format_print(writer.stream, &page, err);
	buffer_release(&page);
	if (status == STATUS_OK)
		return file_writer_commit(&writer, err);
	file_writer_abort(&writer);
	return status;
}
