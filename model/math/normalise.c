/* normalise.c: see normalise.h. */
#include "model/math/normalise.h"

#include <math.h>

#include "schema/base/banned.h"

void normalise_rows(const float *x, size_t rows, size_t E, float *u, float *length)
{
	for (size_t r = 0; r < rows; r++, x += E, u += E) {
		double square = 0;
		for (size_t i = 0; i < E; i++)
			square += (double)x[i] * (double)x[i];
		const double by = fmax(sqrt(square), 1e-12);
		for (size_t i = 0; i < E; i++)
			u[i] = (float)((double)x[i] / by);
		if (length)
			length[r] = (float)by;
	}
}
