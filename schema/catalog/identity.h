/* identity.h: which row of a catalog's `models` the opened model is, without reading large weights again on every run.
 *
 *     struct catalog_model model = {.dim = E, .tokens = N, .width = W};        // and model.name, for messages
 *     struct identity_source source = {coca_weights_path(coca), "open_clip_config.json", digest, coca};
 *     status = identity_of_model(catalog, &source, &model, err);              // sets the digests and model.id
 *
 * The digests of both files are remembered in the catalog by path, size and time. What computes them is the caller's: this
 * floor knows nothing of networks.
 */
#ifndef SCHEMA_CATALOG_IDENTITY_H
#define SCHEMA_CATALOG_IDENTITY_H

#include "schema/catalog/models.h"
#include "schema/base/status.h"

struct identity_source {
	const char *weights_path;
	const char *config_name;  /* of the file in the weights' folder */
	/* Called only when a digest is not remembered. */
	enum status (*digest)(const void *model, char config[33], char weights[33], struct err *err);
	const void *model;
};

/* model: name, dim, tokens and width are given; id and digests are set. STATUS_NOT_FOUND if the catalog is open for reading
 * and does not know the model: nothing was indexed by it. */
enum status identity_of_model(struct catalog *catalog, const struct identity_source *source, struct catalog_model *model,
			      struct err *err);

#endif
