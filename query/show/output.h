/* output.h: where results go, for every command that lists photos: its options, text with thumbnails, JSON, paths, and the page.
 *
 *     static const struct option_spec options[] = {..., OUTPUT_OPTIONS(struct options, output), {0}};
 *     output_parse(&given->output, cli->out, &output, err);
 *     output_results(cli, &output, title, library.store, &results, err);
 */
#ifndef QUERY_SHOW_OUTPUT_H
#define QUERY_SHOW_OUTPUT_H

#include "query/show/format.h"
#include "query/show/preview.h"
#include "query/find/search.h"
#include "schema/cli/options.h"

struct output_options {
	enum format format;
	const char *preview;  /* NULL: none asked for */
	const char *page;
};

#define OUTPUT_OPTIONS(type, member)                                                                                                 \
	OPTION_CHOICE(type, member.format, "format", 0, "FORMAT", format_names, FORMAT_PATHS0, FORMAT_TEXT,                          \
		      "text, json (one object a line) or paths0 (for xargs -0)"),                                                    \
	OPTION_BARE_TEXT(type, member.preview, "preview", 0, "HOW", "auto",                                                          \
			 "thumbnails in the terminal: % (default), kitty, iterm, sixel or none"),                                    \
	OPTION_TEXT(type, member.page, "html", 0, "FILE", OPTION_FILE, "also write a page with thumbnails")

struct output {
	enum format format;
	enum preview preview;
	bool blind;       /* thumbnails were asked for, but the terminal shows none */
	const char *page; /* NULL: none */
};

enum status output_parse(const struct output_options *given, FILE *stream, struct output *output, struct err *err);
/* title: what was asked. */
enum status output_results(struct cli *cli, const struct output *output, const char *title, struct store *store,
			   struct results *results, struct err *err);

#endif
