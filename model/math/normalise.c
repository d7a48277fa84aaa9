/* normalise.c: see normalise.h. */
#include "model/math/normalise.h"

#include <math.h>

#include "schema/base/banned.h"

/* Elements from which on a second thread pays. */
enum { PARALLEL_LEAST = 1 << 16 };

void normalise_rows(const float *x, size_t rows, size_t E, float *u, float *length)
{
#pragma omp parallel for schedule(static) if (rows * E >= PARALLEL_LEAST)
	for (size_t r = 0; r < rows; r++) {
		double square = 0;
		for (size_t i = r * E; i < (r + 1) * E; i++)
			square += (double)x[i] * (double)x[i];
		const double by = fmax(sqrt(square), 1e-12);
		for (size_t i = r * E; i < (r + 1) * E; i++)
			u[i] = (float)((double)x[i] / by);
		if (length)
			length[r] = (float)by;
	}
}
