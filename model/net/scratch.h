/* scratch.h: a caller's memory for activations: grows to what the largest call needed. One thread at a time has it; the model is shared.
 *
 *     struct coca_scratch *scratch = coca_scratch_new();
 *     coca_encode_images(model, scratch, pixels, B, features, tokens, err);
 *     coca_scratch_free(scratch);
 */
#ifndef MODEL_NET_SCRATCH_H
#define MODEL_NET_SCRATCH_H

#include <stddef.h>

struct coca_scratch;

struct coca_scratch *coca_scratch_new(void);            /* NULL when out of memory */
void coca_scratch_free(struct coca_scratch *scratch);   /* takes NULL */

/* For model/net: at least size bytes for each of lanes threads, aligned to 64; NULL when out of memory. *stride: bytes from one thread's to
 * the next. Valid until the next call. */
char *scratch_block(struct coca_scratch *scratch, size_t size, size_t lanes, size_t *stride);

#endif
