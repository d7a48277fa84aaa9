/* packed.h: numbers as they are stored: F16 vectors, 8-bit image tokens with a scale each.
 *
 * Letters: N vectors, W components each.
 */
#ifndef SCHEMA_BASE_PACKED_H
#define SCHEMA_BASE_PACKED_H

#include <stddef.h>
#include <stdint.h>

#include "schema/base/status.h"

/* IEEE half precision; float to half rounds to nearest even. from and to do not overlap; from may be unaligned. */
void packed_from_half(const void *from, float *to, size_t n);
void packed_to_half(const float *from, void *to, size_t n);

/* Image tokens as one blob: "CTK1", u32 N, u32 W (little endian), N scales (F32), then N x W signed bytes.
 * Value = byte * scale of its token; scale = largest magnitude / 127. */
size_t packed_tokens_size(size_t n, size_t w);
void packed_tokens_write(const float *tokens /* [N,W] */, size_t n, size_t w, void *blob);
/* What a blob's header says; 0 and 0 unless its size agrees. */
void packed_tokens_shape(const void *blob, size_t size, size_t *n, size_t *w);
/* STATUS_FORMAT unless blob holds exactly n x w tokens. */
enum status packed_tokens_view(const void *blob, size_t size, size_t n, size_t w, const float **scales /* [N] */,
			       const int8_t **bytes /* [N,W] */, struct err *err); /* both point into blob, which is aligned to 4 */
enum status packed_tokens_read(const void *blob, size_t size, size_t n, size_t w, float *tokens /* [N,W] */, struct err *err);

#endif
