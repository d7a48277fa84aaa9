/* tokens.c: see tokens.h. */
#include "query/session/tokens.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "model/net/vision.h"
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

static bool has_shape(const struct engine *engine, enum tokens_kind kind, const void *blob, size_t size)
{
	size_t n, w;
	const float *scales;
	const int8_t *bytes;

	tokens_shape(engine, kind, &n, &w);
	return packed_tokens_view(blob, size, n, w, &scales, &bytes, NULL) == STATUS_OK;
}

enum status tokens_stored(const struct engine *engine, struct store *store, enum tokens_kind kind, const int64_t *contents, size_t n, void **blobs,
			  struct err *err)
{
	size_t *sizes = mem_array(n, sizeof *sizes);
	enum status status = sizes ? STATUS_OK : err_memory(err, "tokens");

	for (size_t i = 0; i < n; i++)
		blobs[i] = NULL;
	if (status == STATUS_OK && store)
		status = store_tokens(store, kind == TOKENS_IMAGE ? STORE_IMAGE_TOKENS : STORE_ENCODER_TOKENS, contents, n, blobs, sizes, err);
	for (size_t i = 0; i < n && status == STATUS_OK; i++)
		if (blobs[i] && !has_shape(engine, kind, blobs[i], sizes[i])) {
			free(blobs[i]);
			blobs[i] = NULL;
		}
	free(sizes);
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

/* The file of a row, mapped, unless it is away. One that has changed since it was indexed is another photograph. */
static bool still_there(const struct photo *photo, struct file_map *map)
{
	struct stat st;

	return stat(photo->path, &st) == 0 && (int64_t)st.st_size == photo->size &&
	       (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec == photo->mtime_ns &&
	       file_map_open(photo->path, map, NULL) == STATUS_OK;
}

/* A file that cannot be read counts as away. */
static enum status encode_row(struct engine *engine, enum tokens_kind kind, const struct photo *photo, float *tokens, void **blob, struct err *err)
{
	struct file_map map;
	size_t n, w, size;

	if (!still_there(photo, &map))
		return STATUS_OK;
	tokens_shape(engine, kind, &n, &w);
	enum status status = encode(engine, &map, kind, tokens, NULL, err);
	if (status == STATUS_OK)
		status = tokens_pack(tokens, n, w, blob, &size, err);
	file_map_close(&map);
	return status == STATUS_MEMORY ? status : STATUS_OK;
}

/* What is missing is encoded from the first of a content's files that can be. */
static enum status encode_missing(struct engine *engine, struct store *store, enum tokens_kind kind, const int64_t *contents, size_t n,
				  void **blobs, enum tokens_found *found, struct err *err)
{
	int64_t *missing = mem_array(n, sizeof *missing);
	float *tokens = mem_floats(tokens_floats(engine, kind));
	struct store_photos photos = {0};
	size_t count = 0, i = 0;
	enum status status = missing && tokens ? STATUS_OK : err_memory(err, "tokens");

	for (size_t k = 0; k < n && status == STATUS_OK; k++)
		if (!blobs[k])
			missing[count++] = contents[k];
	if (status == STATUS_OK && count)
		status = store_photos(store, missing, count, NULL, &photos, err);
	for (size_t r = 0; r < photos.count && status == STATUS_OK; r++) {
		while (contents[i] != photos.rows[r].content) /* rows come in the order of the contents */
			i++;
		if (!blobs[i])
			status = encode_row(engine, kind, &photos.rows[r], tokens, &blobs[i], err);
		if (blobs[i] && found[i] == TOKENS_AWAY)
			found[i] = TOKENS_ENCODED;
	}
	store_photos_release(&photos);
	free(missing);
	free(tokens);
	return status;
}

enum status tokens_get(struct engine *engine, struct store *store, enum tokens_kind kind, const int64_t *contents, size_t n, void **blobs,
		       enum tokens_found *found, struct err *err)
{
	enum status status = tokens_stored(engine, store, kind, contents, n, blobs, err);
	bool all = true;

	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		found[i] = blobs[i] ? TOKENS_STORED : TOKENS_AWAY;
		all = all && blobs[i];
	}
	if (status == STATUS_OK && !all && store)
		status = encode_missing(engine, store, kind, contents, n, blobs, found, err);
	for (size_t i = 0; i < n && status != STATUS_OK; i++) {
		free(blobs[i]);
		blobs[i] = NULL;
	}
	return status;
}

/* ---- contents and files ----------------------------------------------------------------------------------------- */

enum status tokens_of_content(struct library *library, enum tokens_kind kind, int64_t content, float *tokens, enum tokens_found *found,
			      struct err *err)
{
	void *blob;
	size_t n, w;
	enum status status = tokens_get(&library->engine, library->store, kind, &content, 1, &blob, found, err);

	tokens_shape(&library->engine, kind, &n, &w);
	if (status == STATUS_OK && blob)
		status = packed_tokens_read(blob, packed_tokens_size(n, w), n, w, tokens, err);
	free(blob);
	return status;
}

/* What is stored of a content; what is not stays wanted. */
static enum status read_stored(struct library *library, int64_t content, enum tokens_kind kind, float **tokens, float **embedding,
			       struct err *err)
{
	void *blob = NULL;
	size_t n, w;
	bool embedded = false;
	enum status status = STATUS_OK;

	if (*embedding)
		status = store_embeddings(library->store, STORE_PHOTOS, &content, 1, *embedding, &embedded, err);
	if (status == STATUS_OK && *tokens)
		status = tokens_stored(&library->engine, library->store, kind, &content, 1, &blob, err);
	tokens_shape(&library->engine, kind, &n, &w);
	if (status == STATUS_OK && blob)
		status = packed_tokens_read(blob, packed_tokens_size(n, w), n, w, *tokens, err);
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
	if (library->store) {
		catalog_content_hash(map.data, map.size, hash);
		status = store_content(library->store, hash, content, err);
	}
	if (status == STATUS_OK && *content)
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
