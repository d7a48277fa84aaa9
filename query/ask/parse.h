/* parse.h: what the user typed becomes a query: words and photographs (compose.h), and the filters.
 *
 *     struct query query;
 *     if (query_parse(&asked, &query, err) == STATUS_OK) { ... query.text, &query.filter ...; query_release(&query); }
 */
#ifndef QUERY_ASK_PARSE_H
#define QUERY_ASK_PARSE_H

#include <stddef.h>
#include <stdint.h>

#include "query/ask/compose.h"
#include "schema/catalog/catalog.h"
#include "schema/catalog/filter.h"
#include "schema/cli/options.h"
#include "schema/base/status.h"

struct query {
	struct composition composition;
	char *text;                 /* what is asked, for people: compose_title; ours */
	struct photo_filter filter; /* its strings are the command line's, but for `in`, ours */
	struct photo_filter *except; /* [except_count] linked from filter.except; ours, with their `in` */
	size_t except_count;
	char **words;               /* [word_count] what is left of the words without labels; ours */
	size_t word_count;
	char **names;               /* [name_count] of labels; ours */
	size_t name_count;
};

/* What was typed: words, --add and --sub, filters, each in the order of the command line. */
struct asked {
	size_t count;
	const char *const *words;
	struct option_list terms, filters;
};

enum filter_option {
	FILTER_IN, FILTER_SINCE, FILTER_UNTIL, FILTER_CAMERA, FILTER_NEAR, FILTER_TEXT, FILTER_LABEL,
	FILTER_NOT = 16, /* or-ed: --not-in and its like */
};

/* What filters photographs, for every command that takes filters; member: a struct option_list. */
#define FILTER_OPTIONS(type, member)                                                                                                    \
	OPTION_LIST(type, member, "in", 0, "DIR", OPTION_FOLDER, FILTER_IN, "only photos below this folder"),                          \
	OPTION_LIST(type, member, "since", 0, "DATE", 0, FILTER_SINCE,                                                                 \
		    "only photos taken then or later: 2024, 2024-05, 2024-05-31, 2024-05-31T18:30"),                                   \
	OPTION_LIST(type, member, "until", 0, "DATE", 0, FILTER_UNTIL,                                                                 \
		    "only photos taken until the end of that year, month, day or minute"),                                             \
	OPTION_LIST(type, member, "camera", 0, "TEXT", 0, FILTER_CAMERA, "only photos whose camera or lens contains this"),            \
	OPTION_LIST(type, member, "near", 0, "LAT,LON,KM", 0, FILTER_NEAR, "only photos taken within KM kilometres of a place"),       \
	OPTION_LIST(type, member, "text", 0, "WORDS", 0, FILTER_TEXT, "only photos with a text that contains these words"),            \
	OPTION_LIST(type, member, "label", 0, "LABEL[@X]", OPTION_MANY, FILTER_LABEL,                                                  \
		    "only photos with this label of an installed head; @0.8: at least as probable"),                                   \
	OPTION_LIST(type, member, "not-in", 0, "DIR", OPTION_MANY | OPTION_FOLDER, FILTER_NOT | FILTER_IN,                             \
		    "all but what --in DIR lets through; so for each filter"),                                                         \
	OPTION_LIST(type, member, "not-since", 0, "DATE", OPTION_MANY, FILTER_NOT | FILTER_SINCE,                                      \
		    "photos taken before, and those without a date"),                                                                  \
	OPTION_LIST(type, member, "not-until", 0, "DATE", OPTION_MANY, FILTER_NOT | FILTER_UNTIL,                                      \
		    "photos taken after, and those without a date"),                                                                   \
	OPTION_LIST(type, member, "not-camera", 0, "TEXT", OPTION_MANY, FILTER_NOT | FILTER_CAMERA, "no photos of that camera or lens"), \
	OPTION_LIST(type, member, "not-near", 0, "LAT,LON,KM", OPTION_MANY, FILTER_NOT | FILTER_NEAR,                                  \
		    "no photos taken around that place"),                                                                              \
	OPTION_LIST(type, member, "not-text", 0, "WORDS", OPTION_MANY, FILTER_NOT | FILTER_TEXT,                                       \
		    "no photos with a text that contains these words"),                                                                \
	OPTION_LIST(type, member, "not-label", 0, "LABEL[@X]", OPTION_MANY, FILTER_NOT | FILTER_LABEL, "no photos with this label")

/* Among the words, label:NAME and -label:NAME (or - label:NAME) are --label and --not-label: as a word of their own up to its end, inside of
 * a word up to the next space, or in double quotes.
 * STATUS_USAGE for a filter that makes no sense, and for an empty query without a
 * filter; with one, composition.count is then 0, and text names the filters. */
enum status query_parse(const struct asked *asked, struct query *query, struct err *err);
/* The filters alone, which may be none. */
enum status query_parse_filters(const struct option_list *filters, struct query *query, struct err *err);
void query_release(struct query *query);

/* A year, month, day, minute or second: YYYY[-MM[-DD[(T| )HH:MM[:SS]]]] as the half-open span [*from, *to) of local seconds that it
 * names, so that "until 2024-05" includes all of May. */
enum status parse_date(const char *text, int64_t *from, int64_t *to, struct err *err);

/* "LAT,LON,KM" into the filter. */
enum status parse_near(const char *text, struct photo_filter *filter, struct err *err);

/* A path as the catalog would hold it: absolute and without links; where it does not exist (a drive that is away), lexically
 * absolute. The caller's to free; NULL when out of memory. */
char *parse_folder(const char *path);

#endif
