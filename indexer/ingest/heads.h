/* heads.h: what installed heads say of photographs as they are indexed, while what the encoder makes of them is at hand.
 *
 *     heads_open(catalog, model, rows_most, &heads, err);
 *     heads_put(heads, catalog, content, tokens, M, embedding, err);
 *     heads_close(heads);
 */
#ifndef INDEXER_INGEST_HEADS_H
#define INDEXER_INGEST_HEADS_H

#include "schema/catalog/catalog.h"

struct heads;

/* The heads of this model that label. *heads NULL: there are none. One that cannot be read is passed over: `coca heads list` names it. */
enum status heads_open(struct catalog *catalog, int64_t model, size_t rows_most, struct heads **heads, struct err *err);
void heads_close(struct heads *heads); /* takes NULL */

/* tokens[M,D] as they are stored, embedding[E]. */
enum status heads_put(struct heads *heads, struct catalog *catalog, int64_t content, const float *tokens, size_t M, const float *embedding,
		      struct err *err);

#endif
