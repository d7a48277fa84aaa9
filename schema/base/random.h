/* random.h: repeatable random numbers: a generator is a number, and one for (seed, epoch, sample) is had without having drawn
 * the ones before it, so that threads may work in any order. */
#ifndef SCHEMA_BASE_RANDOM_H
#define SCHEMA_BASE_RANDOM_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* splitmix64 (Steele, Lea and Flood 2014) */
static inline uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* A generator of its own for each (seed, a, b). */
static inline uint64_t random_keyed(uint64_t seed, uint64_t a, uint64_t b)
{
	uint64_t state = seed;
	state = random_next(&state) ^ a;
	state = random_next(&state) ^ b;
	return random_next(&state);
}

/* 0 <= x < 1 */
static inline double random_unit(uint64_t *state)
{
	return (double)(random_next(state) >> 11) * 0x1p-53;
}

/* 0 <= i < n; n is far below 2^64, so the bias is none that matters. */
static inline size_t random_below(uint64_t *state, size_t n)
{
	return (size_t)(random_next(state) % n);
}

/* Normally distributed with deviation 1 (Box and Muller). */
static inline double random_normal(uint64_t *state)
{
	double u = 1 - random_unit(state), v = random_unit(state);
	return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

#endif
