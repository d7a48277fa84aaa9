/* few_rows.h: matrix products with few rows, where OpenBLAS spends more on packing the weights than on using them.
 *
 * One text is some 12 rows, a step of a caption one row per hypothesis: the weights are read once, straight from where they lie.
 */
#ifndef MODEL_MATH_FEW_ROWS_H
#define MODEL_MATH_FEW_ROWS_H

#include <stddef.h>

/* Up to this many rows these are the faster ones. */
enum { FEW_ROWS_MOST = 20 };

/* y[T,outputs], its rows stride apart, += x[T,in] w^T for w[outputs,in], */
void few_rows_add(const float *x, size_t T, size_t in, const float *w, size_t outputs, float *y, size_t stride);
/* += x w for w[in,outputs], its rows apart floats apart. */
void few_rows_add_columns(const float *x, size_t T, size_t in, const float *w, size_t apart, size_t outputs, float *y, size_t stride);

#endif
