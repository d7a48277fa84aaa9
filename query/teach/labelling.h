/* labelling.h: heads at work on a library: what an installed head says of each photograph is written into the catalog, so that a search
 * for a label is a look-up.
 *
 *     labelling_find(&library, "pets", &head, &id, err);                   // a file, or the name of an installed head
 *     labelling_run(&library, id, &head, &done, err);                 // what is not labelled yet, from stored tokens
 *     labelling_resolve(&library, &query, err);                       // label:dog -> photo_filter.label_id, all of it labelled
 */
#ifndef QUERY_TEACH_LABELLING_H
#define QUERY_TEACH_LABELLING_H

#include "schema/catalog/filter.h"
#include "model/heads/head.h"
#include "query/session/library.h"
#include "query/ask/parse.h"
#include "query/find/search.h"

struct labelled {
	size_t stored, encoded, away; /* photographs: by stored tokens; encoded again; neither can be had */
};

/* A head by the path of its file, or else by its name in the catalog; it must be this model's (STATUS_USAGE), and of one of the two sorts:
 * answers or not. */
enum status labelling_find(struct library *library, const char *name, bool answers, struct head *head, struct err *err);

/* Installs a head under a name, in the place of one of that name. The catalog is open for writing. */
enum status labelling_install(struct library *library, const char *name, struct head *head, int64_t *id, struct err *err);

enum status labelling_run(struct library *library, int64_t id, const struct head *head, struct labelled *done,
			  struct err *err);
void labelling_report(const struct listener *listener, const char *name, const struct labelled *done);

/* Gives each filter of a query that has a label its number, and has every photograph labelled that is not yet. library: its catalog is
 * open; its engine may be closed, and is opened when it is wanted. */
enum status labelling_resolve(struct library *library, struct query *query, struct err *err);

/* What passes a filter with labels, by the first label's probability, which is its match. */
enum status labelling_list(struct catalog *catalog, const struct photo_filter *filter, size_t limit, struct results *results,
			   struct err *err);

#endif
