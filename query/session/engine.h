/* engine.h: an opened model with scratch memory, and the ways from a text or a file into it.
 *
 *     struct engine engine;
 *     engine_open(folder, PRECISION_AUTO, &engine, err);
 *     engine_embed_text(&engine, "two dogs", 8, embedding, &cut, err);
 *     engine_encode_file(&engine, path, 0, embedding, tokens, err);
 *     engine_close(&engine);
 *
 * Letters: E embedding, N image tokens, W their width.
 */
#ifndef QUERY_SESSION_ENGINE_H
#define QUERY_SESSION_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/net/encode.h"
#include "model/image/image.h"
#include "schema/catalog/catalog.h"
#include "schema/catalog/models.h"
#include "schema/base/status.h"

struct engine {
	struct coca *model;
	struct coca_scratch *state;
	size_t embed;         /* E */
	size_t tokens, width; /* N, W */
	size_t side;          /* S */
	bool exact;           /* photographs are decoded in full; false after engine_open */
};

enum status engine_open(const char *path, enum precision precision, struct engine *engine, struct err *err);
void engine_close(struct engine *engine); /* takes a zeroed one */

/* The model's row in a catalog; STATUS_NOT_FOUND if it is open for reading and nothing was indexed by the model. */
enum status engine_identify(const struct engine *engine, struct catalog *catalog, struct catalog_model *row, struct err *err);

/* A text as the model takes it. *ids is the caller's to free; text->ids points to it. *cut: it was longer than the context. */
enum status engine_text_ids(const struct engine *engine, const char *text, size_t size, int32_t **ids, struct coca_text *out,
			    bool *cut, struct err *err);
enum status engine_embed_text(struct engine *engine, const char *text, size_t size, float *embedding /* [E] */, bool *cut,
			      struct err *err);

/* A photograph's bytes as tensor; touches nothing but its arguments, so threads may share the engine. least: image_decode's. */
enum status engine_pixels(const struct engine *engine, const uint8_t *bytes, size_t size, size_t least, float *pixels /* [3,S,S] */,
			  struct err *err);
/* image_decode's least as `coca index` has it, so that an embedding made now equals the stored one. */
#define ENGINE_LEAST(engine) ((engine)->exact ? 0 : image_enough((engine)->side))
/* Many of them on all threads: those that can be decoded come one after the other in pixels[.,3,S,S]; returns how many. */
struct engine_picture {
	const uint8_t *bytes; /* NULL: passed over */
	size_t size;
	size_t place;         /* set: its number in pixels */
	struct err err;       /* set, unless passed over: STATUS_OK, or why it has no place */
};
size_t engine_pixels_all(const struct engine *engine, struct engine_picture *pictures, size_t n, size_t least, float *pixels);
/* tokens may be NULL. */
enum status engine_encode_bytes(struct engine *engine, const uint8_t *bytes, size_t size, size_t least, float *embedding /* [E] */,
				float *tokens /* [N,W] */, struct err *err);
enum status engine_encode_file(struct engine *engine, const char *path, size_t least, float *embedding /* [E] */,
			       float *tokens /* [N,W] */, struct err *err);

/* Inner product of two embeddings, summed as doubles. */
double engine_dot(const float *a, const float *b, size_t n);

#endif
