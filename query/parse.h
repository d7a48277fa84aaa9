/* parse.h: what the user typed becomes a query: words and photographs (compose.h), and the filters.
 *
 *     struct query query;
 *     if (query_parse(args, &query, err) == STATUS_OK) { ... query.text, &query.filter ...; query_release(&query); }
 */
#ifndef QUERY_PARSE_H
#define QUERY_PARSE_H

#include <stddef.h>
#include <stdint.h>

#include "query/compose.h"
#include "schema/catalog.h"
#include "schema/cli.h"
#include "schema/status.h"

struct query {
	struct composition composition;
	char *text;                 /* what is asked, for people: compose_title; ours */
	struct photo_filter filter; /* its strings are the arguments', but for `in` */
	char *in;                   /* filter.in, ours */
};

/* The options it reads: add, sub, in, since, until, camera, near, text. STATUS_USAGE for an empty query or a filter that makes no sense. */
enum status query_parse(const struct arguments *args, struct query *query, struct err *err);
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
