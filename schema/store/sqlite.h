/* sqlite.h: a store over a catalog (schema/catalog) and its vector indexes (schema/vectors).
 *
 *     struct store *store;
 *     sqlite_store_open(catalog, &model, &store, err);
 *     ... store.h ...
 *     store_close(store);                                    // then catalog_close(catalog)
 */
#ifndef SCHEMA_STORE_SQLITE_H
#define SCHEMA_STORE_SQLITE_H

#include "schema/store/store.h"

/* The catalog stays the caller's, outlives the store, and may be written by its owner between questions. model NULL: of none. Vector
 * indexes are opened when they are first asked, and again when the catalog has moved on. */
enum status sqlite_store_open(struct catalog *catalog, const struct catalog_model *model, struct store **store, struct err *err);

#endif
