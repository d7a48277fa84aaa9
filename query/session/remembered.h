/* remembered.h: embeddings of queries that were asked before, in a small file beside the catalog, so that words that are asked again need
 * no text tower.
 *
 *     struct remembered_key key = remembered_key(&row, precision, &text);
 *     if (!remembered_get(catalog_path(catalog), &key, embedding, E)) {
 *             coca_encode_texts(...);
 *             remembered_put(catalog_path(catalog), &key, embedding, E);
 *     }
 *
 * It is never in the way: what cannot be read, is damaged, or belongs to another model is not remembered, and what cannot be written
 * is forgotten. Any number of processes and threads may use it at once.
 */
#ifndef QUERY_SESSION_REMEMBERED_H
#define QUERY_SESSION_REMEMBERED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/net/coca.h"
#include "schema/catalog/catalog.h"
#include "schema/catalog/models.h"

/* So many are kept; of four that compete for a place, the one that was not asked for the longest goes. */
enum { REMEMBERED_MOST = 1024 };

/* Of the model's configuration and weights, the precision that it computes with, and the text's ids. */
struct remembered_key {
	uint8_t hash[16];
};
struct remembered_key remembered_key(const struct catalog_model *row, enum precision precision, const struct coca_text *text);

/* embedding: [dim] */
bool remembered_get(const char *catalog, const struct remembered_key *key, float *embedding, size_t dim);
void remembered_put(const char *catalog, const struct remembered_key *key, const float *embedding, size_t dim);

#endif
