/* normalise.h: rows of length 1, as torch's normalize makes them.
 *
 *     normalise_rows(features, B, E, features, NULL);
 */
#ifndef MODEL_MATH_NORMALISE_H
#define MODEL_MATH_NORMALISE_H

#include <stddef.h>

/* u[rows,E] = x / max(|x|, 1e-12); u may be x. length[rows], if not NULL: what each row was divided by. */
void normalise_rows(const float *x, size_t rows, size_t E, float *u, float *length);

#endif
