/* tokens.c: see tokens.h. */
#include "query/session/tokens.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "model/net/vision.h"
#include "schema/catalog/contents.h"
#include "schema/catalog/photos.h"
#include "schema/catalog/tokens.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "schema/base/packed.h"

#include "schema/base/banned.h"

void tokens_shape(const struct engine *engine, enum tokens_kind kind, size_t *n, size_t *w)
{
	const struct config *config = coca_config(engine->model);

	*n = kind == TOKENS_IMAGE ? engine->tokens : vision_encoder_tokens(config);
	*w = kind == TOKENS_IMAGE ? engine->width : config->vision.width;
}

size_t tokens_floats(const struct engine *engine, enum tokens_kind kind)
{
	size_t n, w;

	tokens_shape(engine, kind, &n, &w);
	return mem_product(n, w);
}

/* ---- as they are stored ----------------------------------------------------------------------------------------- */

enum status tokens_pack(const float *tokens, size_t n, size_t w, void **blob, size_t *size, struct err *err)
{
	*size = packed_tokens_size(n, w);
	*blob = mem_array(*size, 1);
	if (!*blob)
		return err_memory(err, "tokens");
	packed_tokens_write(tokens, n, w, *blob);
	return STATUS_OK;
}

enum status tokens_round(float *tokens, size_t n, size_t w, struct err *err)
{
	void *blob;
	size_t size;
	enum status status = tokens_pack(tokens, n, w, &blob, &size, err);

	if (status == STATUS_OK)
		status = packed_tokens_read(blob, size, n, w, tokens, err);
	free(blob);
	return status;
}

enum status tokens_stored(const struct engine *engine, struct catalog *catalog, int64_t model, enum tokens_kind kind, int64_t content,
			  void **blob, size_t *size, struct err *err)
{
	size_t n, w;
	const float *scales;
	const int8_t *bytes;
	enum status status = STATUS_OK;

	*blob = NULL;
	if (model && kind == TOKENS_IMAGE)
		status = catalog_tokens_get(catalog, content, model, blob, size, err);
	else if (model)
		status = catalog_encoder_get(catalog, content, model, blob, size, err);
	tokens_shape(engine, kind, &n, &w);
	if (status == STATUS_OK && *blob && packed_tokens_view(*blob, *size, n, w, &scales, &bytes, NULL) != STATUS_OK) {
		free(*blob);
		*blob = NULL;
	}
	return status;
}

/* ---- encoded again ---------------------------------------------------------------------------------------------- */

/* A photograph's bytes as tokens[N,W] or NULL, not rounded, and embedding[E] or NULL. */
static enum status encode(struct engine *engine, const struct file_map *file, enum tokens_kind kind, float *tokens, float *embedding,
			  struct err *err)
{
	float *pixels = mem_floats(mem_product(3 * engine->side, engine->side)), *spare = embedding ? NULL : mem_floats(engine->embed);
	enum status status = pixels && (embedding || spare) ? STATUS_OK : err_memory(err, "a picture");

	if (status == STATUS_OK)
		status = engine_pixels(engine, file->data, file->size, ENGINE_LEAST(engine), pixels, err);
	if (status == STATUS_OK)
		status = coca_encode_tokens(engine->model, engine->state, pixels, 1, embedding ? embedding : spare,
					    kind == TOKENS_IMAGE ? tokens : NULL, kind == TOKENS_ENCODER ? tokens : NULL, err);
	free(pixels);
	free(spare);
	return status;
}

struct file_search {
	struct engine *engine;
	enum tokens_kind kind;
	float *tokens;
	bool found;
};

/* A file that has changed since it was indexed is another photograph. One that cannot be read counts as away. */
static enum status try_file(void *context, const struct photo *photo, struct err *err)
{
	struct file_search *s = context;
	struct file_map map;
	struct stat st;

	if (s->found || photo->state != PHOTO_READY || stat(photo->path, &st) != 0 || (int64_t)st.st_size != photo->size ||
	    (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec != photo->mtime_ns ||
	    file_map_open(photo->path, &map, err) != STATUS_OK)
		return STATUS_OK;
	enum status status = encode(s->engine, &map, s->kind, s->tokens, NULL, err);
	s->found = status == STATUS_OK;
	file_map_close(&map);
	return status == STATUS_MEMORY ? status : STATUS_OK;
}

enum status tokens_blob(struct engine *engine, struct catalog *catalog, int64_t model, enum tokens_kind kind, int64_t content, void **blob,
			size_t *size, enum tokens_found *found, struct err *err)
{
	struct file_search s = {.engine = engine, .kind = kind};
	size_t n, w;
	enum status status = tokens_stored(engine, catalog, model, kind, content, blob, size, err);

	*found = *blob ? TOKENS_STORED : TOKENS_AWAY;
	if (status != STATUS_OK || *blob)
		return status;
	tokens_shape(engine, kind, &n, &w);
	s.tokens = mem_floats(mem_product(n, w));
	status = s.tokens ? catalog_photos_of_content(catalog, content, false, try_file, &s, err) : err_memory(err, "tokens");
	if (status == STATUS_OK && s.found)
		status = tokens_pack(s.tokens, n, w, blob, size, err);
	if (status == STATUS_OK && s.found)
		*found = TOKENS_ENCODED;
	free(s.tokens);
	return status;
}

/* ---- contents and files ----------------------------------------------------------------------------------------- */

enum status tokens_of_content(struct library *library, enum tokens_kind kind, int64_t content, float *tokens, enum tokens_found *found,
			      struct err *err)
{
	void *blob;
	size_t size, n, w;
	enum status status =
		tokens_blob(&library->engine, library->catalog, library->row.id, kind, content, &blob, &size, found, err);

	tokens_shape(&library->engine, kind, &n, &w);
	if (status == STATUS_OK && blob)
		status = packed_tokens_read(blob, size, n, w, tokens, err);
	free(blob);
	return status;
}

/* What is stored of a content; what is not stays wanted. */
static enum status read_stored(struct library *library, int64_t content, enum tokens_kind kind, float **tokens, float **embedding,
			       struct err *err)
{
	struct engine *engine = &library->engine;
	void *blob = NULL;
	size_t size, n, w;
	bool embedded = false;
	enum status status = STATUS_OK;

	if (*embedding)
		status = catalog_embedding_get(library->catalog, content, library->row.id, *embedding, engine->embed, &embedded, err);
	if (status == STATUS_OK && *tokens)
		status = tokens_stored(engine, library->catalog, library->row.id, kind, content, &blob, &size, err);
	tokens_shape(engine, kind, &n, &w);
	if (status == STATUS_OK && blob)
		status = packed_tokens_read(blob, size, n, w, *tokens, err);
	*embedding = embedded ? NULL : *embedding;
	*tokens = blob ? NULL : *tokens;
	free(blob);
	return status;
}

enum status tokens_of_file(struct library *library, const char *path, enum tokens_kind kind, float *tokens, float *embedding,
			   int64_t *content, struct err *err)
{
	uint8_t hash[CATALOG_HASH];
	struct file_map map;
	size_t n, w;
	enum status status = file_map_open(path, &map, err);

	*content = 0;
	if (status != STATUS_OK)
		return status;
	if (library->catalog) {
		catalog_content_hash(map.data, map.size, hash);
		status = catalog_content_find(library->catalog, hash, content, err);
	}
	if (status == STATUS_OK && *content && library->row.id)
		status = read_stored(library, *content, kind, &tokens, &embedding, err);
	if (status == STATUS_OK && (embedding || tokens)) {
		status = encode(&library->engine, &map, kind, tokens, embedding, err);
		tokens_shape(&library->engine, kind, &n, &w);
		if (status == STATUS_OK && tokens)
			status = tokens_round(tokens, n, w, err);
		if (status != STATUS_OK)
			err_prefix(err, "'%s'", path);
	}
	file_map_close(&map);
	return status;
}
