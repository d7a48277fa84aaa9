/* page.c: see page.h. */
#include "query/show/page.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "query/show/base64.h"
#include "query/show/explain.h"
#include "query/show/format.h"
#include "query/show/preview.h"
#include "schema/catalog/photos.h"
#include "schema/base/file.h"
#include "schema/base/utf8.h"

#include "schema/base/banned.h"

enum { THUMB_WIDTH = 320, THUMB_HEIGHT = 240, THUMB_QUALITY = 82 };

static const char head[] =
	"<style>\n"
	":root{color-scheme:light dark;--ground:#f6f6f4;--card:#fff;--ink:#1d1d1b;--faint:#6a6a66;--line:#dededa;--well:#ecece8;--mark:#2f6f4f}\n"
	"@media(prefers-color-scheme:dark){:root{--ground:#151514;--card:#1f1f1e;--ink:#e8e8e4;--faint:#9d9d97;--line:#343432;--well:#2a2a28;"
	"--mark:#7cc4a0}}\n"
	"body{font:15px/1.45 system-ui,sans-serif;margin:0 auto;max-width:88rem;padding:1.5rem;background:var(--ground);color:var(--ink)}\n"
	"h1{font-size:1.5rem;margin:0;overflow-wrap:anywhere}\n"
	"header p{margin:.2em 0 1.2em;color:var(--faint)}\n"
	"ol{display:grid;grid-template-columns:repeat(auto-fill,minmax(16rem,1fr));gap:1rem;padding:0;margin:0;list-style:none}\n"
	"li{display:flex;flex-direction:column;background:var(--card);border:1px solid var(--line);border-radius:8px;overflow:hidden}\n"
	"li>a{display:flex;height:13rem;align-items:center;justify-content:center;background:var(--well);"
	"color:var(--faint);text-decoration:none}\n"
	"img{width:100%;height:100%;object-fit:contain}\n"
	"section{padding:.7rem .8rem .8rem;display:flex;flex-direction:column;gap:.35rem}\n"
	"p{margin:0;overflow-wrap:anywhere}\n"
	".rank{display:flex;justify-content:space-between;gap:1em;font-weight:600}\n"
	".match{color:var(--mark)}\n"
	".bar{height:3px;background:var(--well)}.bar i{display:block;height:3px;background:var(--mark)}\n"
	".caption{font-style:italic}\n"
	".path strong{display:block;font-weight:600}.path,.facts,.words{font-size:.85rem;color:var(--faint)}.path strong{color:var(--ink)}\n"
	".facts,.words,.rank{font-variant-numeric:tabular-nums}\n"
	".words span{white-space:nowrap;margin-right:.7em}.words .for{color:var(--mark)}\n"
	"@media print{li{break-inside:avoid}}\n"
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

/* The photo as <img>, or nothing if it cannot be read. */
static bool thumbnail(const struct photo *photo, struct buffer *out)
{
	struct image small = {0};
	uint8_t *jpeg = NULL;
	size_t size;
	bool done = false;

	if (preview_thumbnail(photo->path, THUMB_WIDTH, THUMB_HEIGHT, &small, NULL) == STATUS_OK &&
	    image_encode_jpeg(small.rgb, small.width, small.height, THUMB_QUALITY, &jpeg, &size, NULL) == STATUS_OK) {
		buffer_format(out, "<img loading=\"lazy\" decoding=\"async\" width=\"%zu\" height=\"%zu\" alt=\"\" src=\"data:image/jpeg;base64,",
			      small.width, small.height);
		base64_append(jpeg, size, out);
		buffer_text(out, "\">");
		done = true;
	}
	free(jpeg);
	image_release(&small);
	return done;
}

static void ranking(const struct result *r, struct buffer *out)
{
	buffer_format(out, "<p class=\"rank\"><span>%zu.</span>", r->rank);
	if (!isnan(r->match))
		buffer_format(out, "<span class=\"match\">match %.0f %%</span></p>\n<div class=\"bar\"><i style=\"width:%.0f%%\"></i></div>\n",
			      100 * r->match, 100 * r->match);
	else
		buffer_text(out, "</p>\n");
}

/* The file's name stands out from its folder. */
static void path_line(const struct photo *p, struct buffer *out)
{
	const char *slash = memrchr(p->path, '/', p->path_size);
	size_t folder = slash ? (size_t)(slash - p->path) + 1 : 0;

	buffer_text(out, "<p class=\"path\">");
	page_escape(p->path, folder, out);
	buffer_text(out, "<strong>");
	page_escape(p->path + folder, p->path_size - folder, out);
	buffer_text(out, "</strong></p>\n");
}

static void facts(const struct result *r, struct buffer *out)
{
	const struct photo *p = &r->photo;

	if (!isnan(r->score)) {
		buffer_format(out, "<p class=\"facts\">score %.4f, similarity %.4f", r->score, (double)r->similarity);
		if (r->reranked)
			buffer_format(out, ", likelihood %.2f", (double)r->likelihood);
		buffer_text(out, "</p>\n");
	}
	if (!p->has_taken && !p->camera)
		return;
	buffer_text(out, "<p class=\"facts\">");
	if (p->has_taken)
		format_time(p->taken_at, p->taken_offset, out);
	if (p->camera) {
		buffer_text(out, p->has_taken ? ", " : "");
		page_escape(p->camera, strlen(p->camera), out);
	}
	buffer_text(out, "</p>\n");
}

static void words(const struct explanation *why, const struct result *r, struct buffer *out)
{
	buffer_format(out, "<p class=\"facts\">number %zu by similarity alone</p>\n", r->slot + 1);
	if (!why->reranker || !r->reranked)
		return;
	buffer_text(out, "<p class=\"words\">");
	for (size_t i = 0; i < why->word_count; i++) {
		double above = explain_word(why, &why->words[i], r->slot);
		buffer_text(out, above >= 0.05 ? "<span class=\"for\">" : "<span>");
		page_escape(why->words[i].text, strlen(why->words[i].text), out);
		buffer_format(out, " %+.2f</span> ", above);
	}
	buffer_text(out, "</p>\n");
}

static void result_item(const struct result *r, const struct explanation *why, struct buffer *out)
{
	const struct photo *p = &r->photo;

	buffer_text(out, "<li><a href=\"");
	page_address(p->path, p->path_size, out);
	buffer_text(out, "\">");
	if (r->missing || !thumbnail(p, out))
		buffer_text(out, r->missing ? "not there now" : "cannot be read");
	buffer_text(out, "</a>\n<section>");
	ranking(r, out);
	if (r->text || r->caption) {
		buffer_text(out, r->text ? "<p class=\"caption\">found by its text: " : "<p class=\"caption\">");
		page_escape(r->text ? r->text : r->caption, r->text ? r->text_size : strlen(r->caption), out);
		buffer_text(out, "</p>\n");
	}
	path_line(p, out);
	facts(r, out);
	if (why)
		words(why, r, out);
	buffer_text(out, "</section></li>\n");
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
	buffer_text(&page, "</head><body>\n<header><h1>");
	page_escape(title, strlen(title), &page);
	buffer_format(&page, "</h1>\n<p>%zu photograph%s, found by coca</p></header>\n<main><ol>\n", results->count,
		      results->count == 1 ? "" : "s");
	/* One photo at a time goes out, so that a long list needs little memory. */
	for (size_t i = 0; i < results->count && status == STATUS_OK; i++) {
		result_item(&results->items[i], results->why, &page);
		status = format_print(writer.stream, &page, err);
	}
	buffer_text(&page, "</ol></main>\n</body></html>\n");
	if (status == STATUS_OK)
		status = format_print(writer.stream, &page, err);
	buffer_release(&page);
	if (status == STATUS_OK)
		return file_writer_commit(&writer, err);
	file_writer_abort(&writer);
	return status;
}
