/* library.h: what each run of `coca index` needs of a library before it begins, and leaves behind when it is over.
 *
 *     catalog_open(cli->database, CATALOG_WRITE, &catalog, &err);
 *     library_identify(catalog, coca, cli->model, &model, &err);
 *     ... a run ...
 *     library_refresh(cli, catalog, &model);
 */
#ifndef INDEXER_COMMANDS_LIBRARY_H
#define INDEXER_COMMANDS_LIBRARY_H

#include "model/net/coca.h"
#include "schema/catalog/models.h"
#include "schema/cli/options.h"

/* The model's row; one is made for a model that is new. name: as the user knows it. */
enum status library_identify(struct catalog *catalog, const struct coca *coca, const char *name, struct catalog_model *model,
			     struct err *err);

/* Brings the vectors up to date. A search would do it as well; done here, the first one need not wait. That it fails is no loss. */
void library_refresh(struct cli *cli, struct catalog *catalog, const struct catalog_model *model);

#endif
