/* vector_math.h: functions of one number, without a branch or a call, so that the compiler turns loops over them into vector code, which
 * calls of libm would prevent. Polynomials are minimax in relative error, fitted in 40 digits. NaN stays NaN: training must see it. */
#ifndef MODEL_MATH_VECTOR_MATH_H
#define MODEL_MATH_VECTOR_MATH_H

#include <math.h>
#include <stdint.h>

/* e^x = 2^n e^r with n whole and |r| <= ln2 / 2, for any type that has the operators: vectors of intrinsics, too. */
#define EXPONENT_OF(x) ((x) * 1.44269504089f) /* n is this, rounded */
#define EXPONENT_REST(x, n) ((x) - (n) * 0.693145751953125f - (n) * 1.42860677e-6f)
#define EXPONENTIAL_OF_REST(r) \
	((((((r) * 0.001381459638311244f + 0.008368717090859987f) * (r) + 0.04166838809268478f) * (r) + 0.16666520629439202f) * (r) + \
	  0.4999999344756026f) * ((r) * (r)) + (r) + 1)

/* e^x for x <= 88, relative error 1.2e-7; 0 below -87, where e^x leaves the normal numbers. n is finite even where x is not; r takes a NaN
 * on. */
static inline float vector_exponential(float x)
{
	union {
		uint32_t i;
		float f;
	} power;
	float clipped = x > -87.0f ? x : -87.0f;
	float n = rintf(EXPONENT_OF(clipped < 88.0f ? clipped : 88.0f));
	float r = EXPONENT_REST(x, n);

	power.i = (uint32_t)((int32_t)n + 127) << 23;
	return x < -87.0f ? 0.0f : EXPONENTIAL_OF_REST(r) * power.f;
}

/* 1 / (1 + e^-x) */
static inline float vector_sigmoid(float x)
{
	return 1 / (1 + vector_exponential(-x));
}

/* Phi(x), the normal distribution, and in *bell e^(-x^2/2): Phi(-a) for a >= 0 is bell t P(t) with t = 1 / (1 + c a). The relative error of
 * the smaller of Phi(x) and Phi(-x) is below 1e-6 where |x| < 5. */
static inline float vector_normal(float x, float *bell)
{
	float a = fabsf(x), t = 1 / (a * 0.2316419f + 1), p = t * -0.07115160877411088f + 0.25082252297686936f;

	p = t * p - 0.20728821444941098f;
	p = t * p + 0.23069254811422707f;
	p = t * p + 0.010500732689651748f;
	p = t * p + 0.10364189559584958f;
	p = t * p + 0.0902475247812762f;
	p = t * p + 0.09253464552019726f;
	*bell = vector_exponential(-0.5f * a * a);
	p *= t * *bell;
	return x < 0 ? p : 1 - p;
}

#endif
