/* library.h: what most commands start with: the catalog for reading, the model, and the model's row in the catalog.
 *
 *     struct library library;
 *     if (library_open(cli, &library, &err) != STATUS_OK) return library_fail(cli, &library, &err);
 *     ...
 *     library_close(&library);
 */
#ifndef QUERY_SESSION_LIBRARY_H
#define QUERY_SESSION_LIBRARY_H

#include <stdbool.h>

#include "query/session/engine.h"
#include "schema/catalog/catalog.h"
#include "schema/catalog/models.h"
#include "schema/cli/options.h"

struct library {
	struct engine engine;
	struct catalog *catalog;
	struct catalog_model row;
	bool empty; /* nothing was indexed (by this model): no failure, but no answer either */
};

enum status library_open(struct cli *cli, struct library *library, struct err *err);
void library_close(struct library *library);

/* engine_embed_text, but what was asked before is remembered (remembered.h). */
enum status library_embed_text(struct library *library, const char *text, size_t size, float *embedding /* [E] */, bool *cut,
			       struct err *err);

/* As cli_fail, with exit code 3 where the library is empty. Closes it. */
int library_fail(struct cli *cli, struct library *library, const struct err *err);

/* "coca: TEXT" on the log unless --quiet. */
void note(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
