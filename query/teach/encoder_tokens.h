/* encoder_tokens.h: what the encoder makes of photographs, for heads to read: stored in the catalog, or encoded now.
 *
 *     encoded_file(&library, "dog.jpg", tokens, embedding, err);
 *     encoded_content(&library, content, tokens, &how, err);
 *
 * Both are as the catalog stores them, 8 bit a component, so that the answer does not depend on what is stored.
 *
 * Letters: M encoder tokens, D the encoder's width, E embedding.
 */
#ifndef QUERY_TEACH_ENCODER_TOKENS_H
#define QUERY_TEACH_ENCODER_TOKENS_H

#include "query/session/library.h"

/* Floats of the tokens of one photograph. */
size_t encoded_size(const struct engine *engine);

/* tokens[M,D] or NULL, embedding[E] or NULL. */
enum status encoded_file(struct library *library, const char *path, float *tokens, float *embedding, struct err *err);

enum encoded { ENCODED_STORED, ENCODED_NOW, ENCODED_AWAY /* no file of it can be read */ };

/* The blob of a content's tokens, the caller's to free; NULL if it is away. */
enum status encoded_content(struct library *library, int64_t content, void **blob, size_t *size, enum encoded *how, struct err *err);

#endif
