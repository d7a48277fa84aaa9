/* facts.h: what photographs say about themselves, beyond their columns: texts that came with a photo's file or lie beside it.
 *
 * Such a text belongs to the photos whose files brought it, and stays as long as one of them brings it: two copies may have
 * different files beside them. It is an ordinary row of `texts` otherwise, tied to the photo's content.
 */
#ifndef SCHEMA_CATALOG_FACTS_H
#define SCHEMA_CATALOG_FACTS_H

#include "schema/catalog/catalog.h"

struct catalog_fact {
	const char *collection; /* "title", "description", "keywords", "sidecar" */
	const char *text;
	size_t text_size;
};

/* Replaces the texts of a photo, and keeps `stamp` (photo_known.facts) to tell when they must be read again. content 0: no texts. All of it
 * or nothing, at once outside a transaction. */
enum status catalog_facts_put(struct catalog *catalog, int64_t photo, int64_t content, int64_t stamp, const struct catalog_fact *facts,
			      size_t n, struct err *err);

#endif
