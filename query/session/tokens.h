/* tokens.h: what the model makes of photographs: stored in the catalog, else encoded again as `coca index` would.
 *
 *     tokens_of_file(&library, "dog.jpg", TOKENS_IMAGE, tokens, embedding, &content, err);     // indexed or not
 *     tokens_of_content(&library, TOKENS_ENCODER, content, tokens, &found, err);
 *
 * What is encoded now is rounded as the catalog stores it, 8 bits a component: no answer depends on what happens to be stored. A damaged
 * blob is verify's to report; here it is as if there were none.
 *
 * Letters: N tokens, W their width; E embedding.
 */
#ifndef QUERY_SESSION_TOKENS_H
#define QUERY_SESSION_TOKENS_H

#include "query/session/library.h"

enum tokens_kind {
	TOKENS_IMAGE,   /* what the decoder sees: captions and likelihoods are made of them */
	TOKENS_ENCODER, /* what the encoder gives its poolers: heads are taught on them */
};
void tokens_shape(const struct engine *engine, enum tokens_kind kind, size_t *n, size_t *w);
/* N * W */
size_t tokens_floats(const struct engine *engine, enum tokens_kind kind);

enum tokens_found { TOKENS_AWAY /* no file of it can be read */, TOKENS_STORED, TOKENS_ENCODED };

/* Of n contents, each once, as blobs (packed.h): blobs[n], each the caller's to free, NULL where they are away, as found[n] says. store: of
 * the engine's model; NULL: no library knows it. */
enum status tokens_get(struct engine *engine, struct store *store, enum tokens_kind kind, const int64_t *contents, size_t n, void **blobs,
		       enum tokens_found *found, struct err *err);
/* The same, only those that are stored in this model's shape. */
enum status tokens_stored(const struct engine *engine, struct store *store, enum tokens_kind kind, const int64_t *contents, size_t n, void **blobs,
			  struct err *err);
/* tokens[N,W] of a content. */
enum status tokens_of_content(struct library *library, enum tokens_kind kind, int64_t content, float *tokens, enum tokens_found *found,
			      struct err *err);
/* tokens[N,W] or NULL, embedding[E] or NULL of a file, whatever it is called in the catalog. *content 0: the catalog does not hold it. */
enum status tokens_of_file(struct library *library, const char *path, enum tokens_kind kind, float *tokens, float *embedding,
			   int64_t *content, struct err *err);

/* tokens[n,w] as a blob, the caller's to free; and as they are once they have been one. */
enum status tokens_pack(const float *tokens, size_t n, size_t w, void **blob, size_t *size, struct err *err);
enum status tokens_round(float *tokens, size_t n, size_t w, struct err *err);

#endif
