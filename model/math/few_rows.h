/* few_rows.h: matrix products with few rows, where OpenBLAS spends more on packing the weights than on using them.
 *
 * One text is some 12 rows, a step of a caption one row per hypothesis: the weights are read once, straight from where they lie.
 */
#ifndef MODEL_MATH_FEW_ROWS_H
#define MODEL_MATH_FEW_ROWS_H

#include "model/math/ops.h"

/* Up to this many rows narrow_multiply_add is the faster one. */
enum { NARROW_ROWS = 20 };

/* y[T,to-from], its rows stride apart, += columns from..to-1 of x[T,in] W^T */
void narrow_multiply_add(const struct linear *map, const float *x, size_t T, size_t from, size_t to, float *y, size_t stride);

#endif
