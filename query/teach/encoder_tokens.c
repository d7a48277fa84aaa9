/* encoder_tokens.c: see encoder_tokens.h. */
#include "query/teach/encoder_tokens.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "model/net/vision.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "schema/base/packed.h"

#include "schema/base/banned.h"

static size_t count_tokens(const struct engine *engine)
{
	return vision_encoder_tokens(coca_config(engine->model));
}

static size_t token_width(const struct engine *engine)
{
	return coca_config(engine->model)->vision.width;
}

size_t encoded_size(const struct engine *engine)
{
	return mem_product(count_tokens(engine), token_width(engine));
}

/* A photograph's bytes; *blob is the caller's to free. embedding[E]. */
static enum status encode(struct engine *engine, const uint8_t *bytes, size_t size, float *embedding, void **blob, size_t *blob_size,
			  struct err *err)
{
	size_t M = count_tokens(engine), D = token_width(engine);
	float *pixels = mem_floats(mem_product(3 * engine->side, engine->side)), *tokens = mem_floats(mem_product(M, D));
	enum status status = pixels && tokens ? STATUS_OK : err_memory(err, "a picture");

	*blob = NULL;
	if (status == STATUS_OK)
		status = engine_pixels(engine, bytes, size, ENGINE_LEAST(engine), pixels, err);
	if (status == STATUS_OK)
		status = coca_encode_tokens(engine->model, engine->state, pixels, 1, embedding, NULL, tokens, err);
	if (status == STATUS_OK) {
		*blob_size = packed_tokens_size(M, D);
		*blob = mem_array(*blob_size, 1);
		if (*blob)
			packed_tokens_write(tokens, M, D, *blob);
		else
			status = err_memory(err, "tokens");
	}
	free(pixels);
	free(tokens);
	return status;
}

/* What is stored; *blob NULL if there is none, or none of this model's shape. */
static enum status stored(struct library *library, int64_t content, void **blob, size_t *size, struct err *err)
{
	size_t M, D;
	enum status status = catalog_encoder_get(library->catalog, content, library->row.id, blob, size, err);

	if (status != STATUS_OK || !*blob)
		return status;
	packed_tokens_shape(*blob, *size, &M, &D);
	if (M == count_tokens(&library->engine) && D == token_width(&library->engine))
		return STATUS_OK;
	free(*blob);
	*blob = NULL;
	return STATUS_OK;
}

enum status encoded_file(struct library *library, const char *path, float *tokens, float *embedding, struct err *err)
{
	struct engine *engine = &library->engine;
	size_t M = count_tokens(engine), D = token_width(engine), size = 0;
	float *spare = mem_floats(engine->embed);
	bool embedded = !embedding, tokenised = !tokens;
	XXH128_canonical_t hash;
	struct file_map map;
	int64_t content = 0;
	void *blob = NULL;
	enum status status = spare ? file_map_open(path, &map, err) : err_memory(err, "an embedding");

	if (status != STATUS_OK) {
		free(spare);
		return status;
	}
	if (library->catalog && library->row.id) {
		XXH128_canonicalFromHash(&hash, XXH3_128bits(map.data, map.size));
		status = catalog_content_find(library->catalog, hash.digest, &content, err);
	}
	if (status == STATUS_OK && content && tokens)
		status = stored(library, content, &blob, &size, err);
	if (status == STATUS_OK && content && embedding)
		status = catalog_embedding_get(library->catalog, content, library->row.id, embedding, engine->embed, &embedded, err);
	if (status == STATUS_OK && ((!tokenised && !blob) || !embedded)) {
		free(blob);
		status = encode(engine, map.data, map.size, embedded ? spare : embedding, &blob, &size, err);
		if (status != STATUS_OK)
			err_prefix(err, "'%s'", path);
	}
	if (status == STATUS_OK && tokens)
		status = packed_tokens_read(blob, size, M, D, tokens, err);
	free(blob);
	free(spare);
	file_map_close(&map);
	return status;
}

/* ---- contents --------------------------------------------------------------------------------------------------- */

struct file_search {
	struct library *library;
	float *embedding;
	void *blob;
	size_t size;
};

/* A file that has changed since it was indexed is another photograph. One that cannot be read counts as away. */
static enum status try_file(void *context, const struct photo *photo, struct err *err)
{
	struct file_search *s = context;
	struct file_map map;
	struct stat st;

	if (s->blob || photo->state != PHOTO_READY || stat(photo->path, &st) != 0 || (int64_t)st.st_size != photo->size ||
	    (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec != photo->mtime_ns ||
	    file_map_open(photo->path, &map, err) != STATUS_OK)
		return STATUS_OK;
	enum status status = encode(&s->library->engine, map.data, map.size, s->embedding, &s->blob, &s->size, err);
	file_map_close(&map);
	return status == STATUS_MEMORY ? status : STATUS_OK;
}

enum status encoded_content(struct library *library, int64_t content, void **blob, size_t *size, enum encoded *how, struct err *err)
{
	struct file_search s = {.library = library};
	enum status status = stored(library, content, blob, size, err);

	*how = ENCODED_STORED;
	if (status != STATUS_OK || *blob)
		return status;
	s.embedding = mem_floats(library->engine.embed);
	status = s.embedding ? catalog_photos_of_content(library->catalog, content, false, try_file, &s, err)
			     : err_memory(err, "an embedding");
	free(s.embedding);
	*how = s.blob ? ENCODED_NOW : ENCODED_AWAY;
	*blob = s.blob;
	*size = s.size;
	return status;
}
