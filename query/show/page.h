/* page.h: results as one HTML file that needs nothing else: thumbnails are inside, nothing is fetched, no script. */
#ifndef QUERY_SHOW_PAGE_H
#define QUERY_SHOW_PAGE_H

#include "query/find/search.h"
#include "schema/base/memory.h"
#include "schema/base/status.h"

/* Writes the page to path (atomically); title is the query. A photo that is missing or cannot be read has a plain box. */
enum status page_write(const char *path, const char *title, const struct results *results, struct err *err);

/* Text as HTML shows it: markup and control characters escaped, bytes that are not UTF-8 as U+FFFD. */
void page_escape(const char *bytes, size_t size, struct buffer *out);

/* file:// address of an absolute path, fit for an attribute. */
void page_address(const char *path, size_t size, struct buffer *out);

#endif
