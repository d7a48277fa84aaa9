/* plain.h: the plain twins of ops.h: libm, double sums, nothing clever. Tests, the plain network (model/net/plain.h) and the plain kernel
 * of int8.h are their only callers. */
#ifndef MODEL_MATH_PLAIN_H
#define MODEL_MATH_PLAIN_H

#include "model/math/ops.h"
#include "schema/base/status.h"

/* The mean of x[D], and in *deviation sqrt(variance + 1e-5). */
double plain_moments(const float *x, size_t D, double *deviation);
void plain_linear(const struct linear *map, const float *x, size_t T, float *y);
void plain_norm(const struct norm *norm, const float *x, size_t T, size_t D, float *y);
void plain_gelu(float *x, size_t n, bool quick);

/* out[Q,D] = attention of q[Q,D] over k, v [K,D]; seen[Q,K] says which query sees which key, NULL: each sees all.
 * STATUS_MEMORY is the only failure. */
enum status plain_attention(const float *q, size_t Q, const float *k, const float *v, size_t K, size_t D, size_t heads,
			    const uint8_t *seen, float *out, struct err *err);

#endif
