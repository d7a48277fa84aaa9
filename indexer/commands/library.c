/* library.c: see library.h. */
#include "indexer/commands/library.h"

#include <stdio.h>

#include "schema/catalog/identity.h"
#include "schema/vectors/vectors.h"

#include "schema/base/banned.h"

static enum status digest(const void *coca, char config[33], char weights[33], struct err *err)
{
	return coca_digest(coca, config, weights, err);
}

enum status library_identify(struct catalog *catalog, const struct coca *coca, const char *name, struct catalog_model *model,
			     struct err *err)
{
	const struct config *config = coca_config(coca);
	struct identity_source source = {coca_weights_path(coca), "open_clip_config.json", digest, coca};

	*model = (struct catalog_model){
		.dim = (int64_t)config->embed_dim,
		.tokens = (int64_t)config->image_tokens,
		.width = (int64_t)config->decoder.width,
	};
	snprintf(model->name, sizeof model->name, "%s", name);
	return identity_of_model(catalog, &source, model, err);
}

void library_refresh(struct cli *cli, struct catalog *catalog, const struct catalog_model *model)
{
	struct vectors *vectors = NULL;
	struct err err;

	if (vectors_open(catalog, model, NULL, &vectors, &err) != STATUS_OK)
		fprintf(cli->log, "coca: %s\n", err.text);
	vectors_close(vectors);
}
