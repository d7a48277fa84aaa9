/* int8_avx_vnni.c: 8-bit products by the 256-bit VNNI of processors without AVX-512. */
#include <immintrin.h>

#include "model/int8.h"

#include "schema/banned.h"

#define KERNEL(name) avx_vnni_##name
#define TARGET __attribute__((target("avxvnni")))
enum { LANES = 8, ROWS = 6, PANELS = 1 };

typedef __m256i ints;
typedef __m256 floats;
#define INTS_ZERO _mm256_setzero_si256()
#define INTS_LOAD(p) _mm256_load_si256((const void *)(p))
#define INTS_STORE(p, v) _mm256_store_si256((void *)(p), v)
#define INTS_SPLAT(p) _mm256_set1_epi32(load_4(p))
#define FLOATS_OF(v) _mm256_cvtepi32_ps(v)
#define FLOATS_LOAD(p) _mm256_loadu_ps(p)
#define FLOATS_STORE(p, v) _mm256_storeu_ps(p, v)
#define FLOATS_SPLAT(f) _mm256_set1_ps(f)
#define DOT(sum, x, v, y, w) \
	_mm256_dpbusd_avx_epi32(_mm256_dpbusd_avx_epi32(sum, x, v), y, w)

static inline int32_t load_4(const uint8_t *p)
{
	int32_t four;
	__builtin_memcpy(&four, p, sizeof four);
	return four;
}

#include "model/int8_kernel.h"

const struct int8_kernel int8_avx_vnni = {"AVX-VNNI", KERNEL(multiply), KERNEL(quantise), KERNEL(norm), KERNEL(gelu)};
