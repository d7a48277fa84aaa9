/* vector_math.h: the exponential, and sums and maxima of rows, in a form that the compiler turns into vector code. NaN stays
 * NaN in all of them: training must see it. */
#ifndef MODEL_MATH_VECTOR_MATH_H
#define MODEL_MATH_VECTOR_MATH_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

enum { VECTOR_LANES = 16 };

/* e^x for x <= 88, to about 1e-7: 2^n times a polynomial on -ln2/2..ln2/2 (coefficients of Cephes' expf). Below -87: 0.
 * n is finite even where x is not; r takes a NaN on. */
static inline float vector_exponential(float x)
{
	float clipped = x > -87.0f ? x : -87.0f;
	float n = __builtin_floorf((clipped < 88.0f ? clipped : 88.0f) * 1.44269504f + 0.5f);
	float r = x - n * 0.693359375f + n * 2.12194440e-4f;
	float p = 1.9875691500e-4f;
	p = p * r + 1.3981999507e-3f;
	p = p * r + 8.3334519073e-3f;
	p = p * r + 4.1665795894e-2f;
	p = p * r + 1.6666665459e-1f;
	p = p * r + 5.0000001201e-1f;
	p = p * r * r + r + 1;
	union {
		uint32_t i;
		float f;
	} power = {.i = (uint32_t)((int32_t)n + 127) << 23};
	return x < -87.0f ? 0 : p * power.f;
}

static inline float vector_sum(const float *x, size_t n)
{
	float lane[VECTOR_LANES] = {0}, sum = 0;
	size_t i = 0;

	for (; i + VECTOR_LANES <= n; i += VECTOR_LANES)
		for (size_t j = 0; j < VECTOR_LANES; j++)
			lane[j] += x[i + j];
	for (size_t j = 0; j < VECTOR_LANES; j++)
		sum += lane[j];
	for (; i < n; i++)
		sum += x[i];
	return sum;
}

/* NaN may be passed over: it comes back from what is done with the maximum. */
static inline float vector_most(const float *x, size_t n)
{
	float lane[VECTOR_LANES], most = -INFINITY;
	size_t i = 0;

	for (size_t j = 0; j < VECTOR_LANES; j++)
		lane[j] = -INFINITY;
	for (; i + VECTOR_LANES <= n; i += VECTOR_LANES)
		for (size_t j = 0; j < VECTOR_LANES; j++)
			lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
	for (size_t j = 0; j < VECTOR_LANES; j++)
		most = lane[j] > most ? lane[j] : most;
	for (; i < n; i++)
		most = x[i] > most ? x[i] : most;
	return most;
}

/* x = e^(x - most); returns their sum. */
static inline float vector_exponentials(float *x, size_t n, float most)
{
	for (size_t i = 0; i < n; i++)
		x[i] = vector_exponential(x[i] - most);
	return vector_sum(x, n);
}

static inline void vector_scale(float *x, size_t n, float factor)
{
	for (size_t i = 0; i < n; i++)
		x[i] *= factor;
}

#endif
