/* labels.h: what installed heads say of photographs as they are indexed, while what the encoder makes of them is at hand.
 *
 *     labels_open(catalog, model, &labels, err);
 *     labels_put(labels, catalog, content, tokens, M, embedding, err);
 *     labels_close(labels);
 */
#ifndef INDEXER_INGEST_LABELS_H
#define INDEXER_INGEST_LABELS_H

#include "schema/catalog/catalog.h"

struct labels;

/* The heads of this model that label. *labels NULL: there are none. One that cannot be read is passed over: `coca heads list` names it. */
enum status labels_open(struct catalog *catalog, int64_t model, size_t rows_most, struct labels **labels, struct err *err);
void labels_close(struct labels *labels); /* takes NULL */

/* tokens[M,D] as they are stored, embedding[E]. */
enum status labels_put(struct labels *labels, struct catalog *catalog, int64_t content, const float *tokens, size_t M, const float *embedding,
		       struct err *err);

#endif
