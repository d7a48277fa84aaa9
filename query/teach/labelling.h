/* labelling.h: heads at work on a library: what an installed head says of each photograph is written into the catalog, so that a search
 * for a label is a look-up.
 *
 *     labelling_install(&library, "pets", &head, err);                // labels what is there, from stored tokens
 *     labelling_find(&library, "pets", false, &head, err);            // a file, or the name of an installed head
 *     labelling_resolve(&library, &query, err);                       // label:dog -> photo_filter.label_id, all of it labelled
 */
#ifndef QUERY_TEACH_LABELLING_H
#define QUERY_TEACH_LABELLING_H

#include "schema/catalog/filter.h"
#include "model/heads/head.h"
#include "query/session/library.h"
#include "query/ask/parse.h"
#include "query/find/search.h"

/* A head by the path of its file, or else by its name in the catalog; it must be this model's (STATUS_USAGE), and of one of the two sorts:
 * answers or not. */
enum status labelling_find(struct library *library, const char *name, bool answers, struct head *head, struct err *err);

/* Installs a head under a name, in the place of one of that name; has the whole library labelled by it, and says so. The catalog is open
 * for writing. */
enum status labelling_install(struct library *library, const char *name, struct head *head, struct err *err);

/* Gives each filter of a query that has a label its number, and has every photograph labelled that is not yet. library: its catalog is
 * open; its engine may be closed, and is opened when it is wanted. */
enum status labelling_resolve(struct library *library, struct query *query, struct err *err);

/* What passes a filter with labels, by the first label's probability, which is its match. */
enum status labelling_list(struct library *library, const struct photo_filter *filter, size_t limit, struct results *results,
			   struct err *err);

#endif
