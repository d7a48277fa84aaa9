/* library.c: see library.h. */
#include "query/session/library.h"

#include <stdio.h>
#include <stdlib.h>

#include "query/session/remembered.h"
#include "schema/store/sqlite.h"

#include "schema/base/banned.h"

static enum status open_catalog(struct library *library, const struct library_options *options, struct err *err)
{
	enum catalog_mode mode = options->mode == LIBRARY_WRITE ? CATALOG_WRITE : CATALOG_READ;
	enum status status = catalog_open(options->database, mode, &library->catalog, err);

	if (status != STATUS_NOT_FOUND || options->mode == LIBRARY_WRITE || options->mode == LIBRARY_CATALOG)
		return status;
	library->empty = true;
	if (options->mode == LIBRARY_READ_OR_EMPTY)
		return STATUS_OK;
	return err_set(err, status, "nothing is indexed yet: there is no catalog '%s'; hint: coca index DIR", options->database);
}

/* The model's row, and a store of what it made. */
static enum status identify(struct library *library, enum library_mode mode, struct err *err)
{
	if (!library->catalog)
		return STATUS_OK;
	enum status status = engine_identify(&library->engine, library->catalog, &library->row, err);
	if (status == STATUS_NOT_FOUND) {
		library->empty = true;
		library->row.id = 0;
		if (mode == LIBRARY_READ)
			return err_set(err, status, "nothing is indexed by the model '%s' yet; hint: coca index DIR, or name another with --model",
				       library->model);
		status = STATUS_OK;
	}
	return status == STATUS_OK ? sqlite_store_open(library->catalog, &library->row, &library->store, err) : status;
}

enum status library_open(const struct library_options *options, struct library *library, struct err *err)
{
	*library = (struct library){.model = options->model, .precision = options->precision, .listener = options->listener};
	enum status status = open_catalog(library, options, err);

	if (status == STATUS_OK && options->mode == LIBRARY_CATALOG)
		return sqlite_store_open(library->catalog, NULL, &library->store, err);
	if (status == STATUS_OK)
		status = engine_open(options->model, options->precision, &library->engine, err);
	return status == STATUS_OK ? identify(library, options->mode, err) : status;
}

enum status library_write(struct library *library, const char *database, struct err *err)
{
	const struct library_options options = {.database = database, .mode = LIBRARY_WRITE};

	store_close(library->store);
	catalog_close(library->catalog);
	library->store = NULL;
	library->catalog = NULL;
	enum status status = open_catalog(library, &options, err);
	return status == STATUS_OK ? identify(library, LIBRARY_WRITE, err) : status;
}

enum status library_digests(const struct library *library, char config[33], char weights[33], struct err *err)
{
	if (!library->row.id)
		return coca_digest(library->engine.model, config, weights, err);
	snprintf(config, 33, "%s", library->row.config_digest);
	snprintf(weights, 33, "%s", library->row.weights_digest);
	return STATUS_OK;
}

enum status library_engine(struct library *library, struct err *err)
{
	if (library->engine.model)
		return STATUS_OK;
	enum status status = engine_open(library->model, library->precision, &library->engine, err);
	if (status == STATUS_OK)
		status = engine_identify(&library->engine, library->catalog, &library->row, err);
	if (status == STATUS_NOT_FOUND)
		library->row.id = 0;
	else if (status != STATUS_OK)
		return status;
	library_know(library, &library->row);
	return STATUS_OK;
}

void library_know(struct library *library, const struct catalog_model *row)
{
	library->row = *row;
	library->store->model = library->row;
}

void library_close(struct library *library)
{
	store_close(library->store);
	catalog_close(library->catalog);
	engine_close(&library->engine);
	*library = (struct library){0};
}

enum status library_embed_text(struct library *library, const char *text, size_t size, float *embedding, bool *cut, struct err *err)
{
	struct engine *engine = &library->engine;
	const char *path = catalog_path(library->catalog);
	int32_t *ids = NULL;
	struct coca_text encoded;
	enum status status = engine_text_ids(engine, text, size, &ids, &encoded, cut, err);

	if (status != STATUS_OK)
		return status;
	struct remembered_key key = remembered_key(&library->row, coca_precision(engine->model), &encoded);
	if (!remembered_get(path, &key, embedding, engine->embed)) {
		status = coca_encode_texts(engine->model, engine->state, &encoded, 1, embedding, NULL, err);
		if (status == STATUS_OK)
			remembered_put(path, &key, embedding, engine->embed);
	}
	free(ids);
	return status;
}

enum status library_path(struct library *library, int64_t content, const struct photo_filter *filter, struct buffer *path, struct err *err)
{
	struct store_photos photos;
	enum status status = store_photos(library->store, &content, 1, filter, &photos, err);

	if (status == STATUS_OK && photos.count)
		buffer_append(path, photos.rows[0].path, photos.rows[0].path_size);
	store_photos_release(&photos);
	return status == STATUS_OK && path->failed ? err_memory(err, "a path") : status;
}
