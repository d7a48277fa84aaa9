/* photo.c: see photo.h. */
#include "query/ask/photo.h"

#include <stdlib.h>

#include <xxhash.h>

#include "query/find/rerank.h"
#include "schema/base/file.h"
#include "schema/base/packed.h"

#include "schema/base/banned.h"

enum status subject_library(struct cli *cli, enum catalog_mode mode, struct library *library, struct err *err)
{
	*library = (struct library){0};
	enum status status = catalog_open(cli->database, mode, &library->catalog, err);

	if (status == STATUS_NOT_FOUND && mode == CATALOG_READ) {
		library->empty = true;
		status = STATUS_OK;
	}
	if (status == STATUS_OK)
		status = engine_open(cli->model, &library->engine, err);
	if (status != STATUS_OK || !library->catalog)
		return status;
	status = engine_identify(&library->engine, library->catalog, &library->row, err);
	if (status == STATUS_NOT_FOUND) {
		library->empty = true;
		library->row.id = 0;
		status = STATUS_OK;
	}
	return status;
}

enum status subject_round(const struct engine *engine, float *tokens, struct err *err)
{
	size_t size = packed_tokens_size(engine->tokens, engine->width);
	void *blob = mem_array(size, 1);

	if (!blob)
		return err_memory(err, "image tokens");
	packed_tokens_write(tokens, engine->tokens, engine->width, blob);
	enum status status = packed_tokens_read(blob, size, engine->tokens, engine->width, tokens, err);
	free(blob);
	return status;
}

enum status subject_tokens(struct library *library, int64_t content, float *tokens, bool *found, struct err *err)
{
	struct reranker reranker = {.engine = &library->engine, .catalog = library->catalog, .row = &library->row};

	return rerank_tokens(&reranker, content, tokens, found, err);
}

/* What is stored of a content. */
static enum status look_up(struct library *library, int64_t content, float *embedding, float *tokens, bool *embedded, bool *tokenised,
			   struct err *err)
{
	void *blob = NULL;
	size_t size;
	enum status status = STATUS_OK;

	if (embedding)
		status = catalog_embedding_get(library->catalog, content, library->row.id, embedding, library->engine.embed, embedded, err);
	if (status == STATUS_OK && tokens)
		status = catalog_tokens_get(library->catalog, content, library->row.id, &blob, &size, err);
	/* A damaged blob is verify's to report; here it is as if there were none. */
	if (blob)
		*tokenised = packed_tokens_read(blob, size, library->engine.tokens, library->engine.width, tokens, NULL) == STATUS_OK;
	free(blob);
	return status;
}

/* What was not stored, from the file's bytes; what was stays as it is. */
static enum status encode(struct engine *engine, const struct file_map *map, float *embedding, float *tokens, struct err *err)
{
	float *spare = embedding ? NULL : mem_floats(engine->embed);

	if (!embedding && !spare)
		return err_memory(err, "an embedding");
	enum status status = engine_encode_bytes(engine, map->data, map->size, ENGINE_LEAST(engine), embedding ? embedding : spare, tokens, err);
	if (status == STATUS_OK && tokens)
		status = subject_round(engine, tokens, err);
	free(spare);
	return status;
}

enum status subject_file(struct library *library, const char *path, float *embedding, float *tokens, int64_t *content, struct err *err)
{
	XXH128_canonical_t hash;
	struct file_map map;
	bool embedded = false, tokenised = false;
	enum status status = file_map_open(path, &map, err);

	*content = 0;
	if (status != STATUS_OK)
		return status;
	if (library->catalog) {
		XXH128_canonicalFromHash(&hash, XXH3_128bits(map.data, map.size));
		status = catalog_content_find(library->catalog, hash.digest, content, err);
	}
	if (status == STATUS_OK && *content && library->row.id)
		status = look_up(library, *content, embedding, tokens, &embedded, &tokenised, err);
	embedding = embedded ? NULL : embedding;
	tokens = tokenised ? NULL : tokens;
	if (status == STATUS_OK && (embedding || tokens)) {
		status = encode(&library->engine, &map, embedding, tokens, err);
		if (status != STATUS_OK)
			err_prefix(err, "'%s'", path);
	}
	file_map_close(&map);
	return status;
}

/* ---- paths ------------------------------------------------------------------------------------------------------ */

struct path_search {
	struct catalog *catalog;
	const struct photo_filter *filter;
	struct buffer *path;
	bool found;
};

static enum status take_path(void *context, const struct photo *photo, struct err *err)
{
	struct path_search *search = context;
	bool passes = true;
	enum status status = STATUS_OK;

	if (search->found || photo->state != PHOTO_READY)
		return STATUS_OK;
	if (search->filter && !photo_filter_empty(search->filter))
		status = catalog_filter_photo(search->catalog, search->filter, photo->id, &passes, err);
	if (status != STATUS_OK || !passes)
		return status;
	buffer_append(search->path, photo->path, photo->path_size);
	search->found = true;
	return search->path->failed ? err_memory(err, "a path") : STATUS_OK;
}

enum status subject_path(struct library *library, int64_t content, const struct photo_filter *filter, struct buffer *path, struct err *err)
{
	struct path_search search = {library->catalog, filter, path, false};

	return catalog_photos_of_content(library->catalog, content, false, take_path, &search, err);
}
