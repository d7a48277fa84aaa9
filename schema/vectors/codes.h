/* codes.h: embeddings as 8-bit codes, and their inner products with a query in integers.
 *
 *     float scale, residual = codes_encode(row, dim, codes, &scale);
 *     codes_query(query, dim, coded, &step, &error);
 *     codes_kernel()->dot(codes, rows, stride, coded, 1, dots);
 *     // |<query, row> - step * scale * dot| <= |query| * residual + error * |scale * codes|
 *
 * The inequality is what makes a search through the codes exact: what it cannot rule out is scored again (search.c). A query has
 * 16 bits, as its precision costs no memory traffic, and so few of them that no sum can overflow: all kernels yield the same numbers.
 *
 * Letters: D components, S stride (D rounded up to CODES_ALIGNMENT, the rest zeros), R rows, Q queries.
 */
#ifndef SCHEMA_VECTORS_CODES_H
#define SCHEMA_VECTORS_CODES_H

#include <stddef.h>
#include <stdint.h>

enum { CODES_ALIGNMENT = 64 };

size_t codes_stride(size_t dim);

/* codes[S] and their scale: row[D] is scale * codes but for an error whose length is at most what is returned. */
float codes_encode(const float *row, size_t dim, int8_t *codes, float *scale);

/* coded[S]: query[D] is step * coded but for an error whose length is at most *error. */
void codes_query(const float *query, size_t dim, int16_t *coded, float *step, float *error);

struct codes_kernel {
	const char *name;
	/* dots[Q,R] of queries[Q,S] and codes[R,S] */
	void (*dot)(const int8_t *codes, size_t rows, size_t stride, const int16_t *queries, size_t n, int32_t *dots);
};
/* The fastest that this processor can do, and all of them, slowest (the plain twin) first. */
const struct codes_kernel *codes_kernel(void);
const struct codes_kernel *codes_kernels(size_t *n);

#endif
