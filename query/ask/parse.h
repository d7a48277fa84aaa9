/* parse.h: what the user typed becomes a query: words and photographs (compose.h), and the filters.
 *
 *     struct query query;
 *     if (query_parse(args, &query, err) == STATUS_OK) { ... query.text, &query.filter ...; query_release(&query); }
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
	struct photo_filter filter; /* its strings are the arguments', but for `in` */
	char *in;                   /* filter.in, ours */
	struct photo_filter *except; /* [except_count] linked from filter.except; ours, with their `in` */
	size_t except_count;
	char **words;               /* [word_count] what is left of the words without labels; ours */
	size_t word_count;
	char **names;               /* [name_count] of labels; ours */
	size_t name_count;
};

/* What filters photographs, for every command that takes filters. */
#define FILTER_OPTIONS                                                                                                                 \
	{"in", 0, "DIR", OPTION_TEXT | OPTION_FOLDER, "only photos below this folder"},                                                \
	{"since", 0, "DATE", OPTION_TEXT, "only photos taken then or later: 2024, 2024-05, 2024-05-31, 2024-05-31T18:30"},             \
	{"until", 0, "DATE", OPTION_TEXT, "only photos taken until the end of that year, month, day or minute"},                       \
	{"camera", 0, "TEXT", OPTION_TEXT, "only photos whose camera or lens contains this"},                                          \
	{"near", 0, "LAT,LON,KM", OPTION_TEXT, "only photos taken within KM kilometres of a place"},                                   \
	{"text", 0, "WORDS", OPTION_TEXT, "only photos with a text that contains these words"},                                        \
	{"label", 0, "LABEL[@X]", OPTION_TEXT | OPTION_MANY, "only photos with this label of an installed head; @0.8: at least as probable"}, \
	{"not-in", 0, "DIR", OPTION_TEXT | OPTION_MANY | OPTION_FOLDER, "all but what --in DIR lets through; so for each filter"},     \
	{"not-since", 0, "DATE", OPTION_TEXT | OPTION_MANY, "photos taken before, and those without a date"},                          \
	{"not-until", 0, "DATE", OPTION_TEXT | OPTION_MANY, "photos taken after, and those without a date"},                           \
	{"not-camera", 0, "TEXT", OPTION_TEXT | OPTION_MANY, "no photos of that camera or lens"},                                      \
	{"not-near", 0, "LAT,LON,KM", OPTION_TEXT | OPTION_MANY, "no photos taken around that place"},                                 \
	{"not-text", 0, "WORDS", OPTION_TEXT | OPTION_MANY, "no photos with a text that contains these words"},                        \
	{"not-label", 0, "LABEL[@X]", OPTION_TEXT | OPTION_MANY, "no photos with this label"}

/* Among the words, label:NAME and -label:NAME (or - label:NAME) are --label and --not-label: as a word of their own up to its end, inside of
 * a word up to the next space, or in double quotes.
 * The options it reads: add, sub, and FILTER_OPTIONS. STATUS_USAGE for a filter that makes no sense, and for an empty query without a
 * filter; with one, composition.count is then 0, and text names the filters. */
enum status query_parse(const struct arguments *args, struct query *query, struct err *err);
/* The filters alone, which may be none; words, --add and --sub are not looked at. */
enum status query_parse_filters(const struct arguments *args, struct query *query, struct err *err);
void query_release(struct query *query);

/* The words joined by a space, white space at both ends left out; the caller's to free. STATUS_USAGE when nothing is left. */
enum status parse_words(const char *const *words, size_t count, const char *what, char **text, struct err *err);

/* A year, month, day, minute or second: YYYY[-MM[-DD[(T| )HH:MM[:SS]]]] as the half-open span [*from, *to) of local seconds that it
 * names, so that "until 2024-05" includes all of May. */
enum status parse_date(const char *text, int64_t *from, int64_t *to, struct err *err);

/* "LAT,LON,KM" into the filter. */
enum status parse_near(const char *text, struct photo_filter *filter, struct err *err);

/* A path as the catalog would hold it: absolute and without links; where it does not exist (a drive that is away), lexically
 * absolute. The caller's to free; NULL when out of memory. */
char *parse_folder(const char *path);

#endif
