/* int8_avx512_vnni.c: 8-bit products by AVX-512 VNNI. */
#include <immintrin.h>

#include "model/int8.h"

#include "schema/banned.h"

#define KERNEL(name) avx512_vnni_##name
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
enum { LANES = 16, ROWS = 8, PANELS = 2 };

typedef __m512i ints;
typedef __m512 floats;
#define INTS_ZERO _mm512_setzero_si512()
#define INTS_LOAD(p) _mm512_load_si512((const void *)(p))
#define INTS_STORE(p, v) _mm512_store_si512((void *)(p), v)
#define INTS_SPLAT(p) _mm512_set1_epi32(load_4(p))
#define FLOATS_OF(v) _mm512_cvtepi32_ps(v)
#define FLOATS_LOAD(p) _mm512_loadu_ps(p)
#define FLOATS_STORE(p, v) _mm512_storeu_ps(p, v)
#define FLOATS_SPLAT(f) _mm512_set1_ps(f)
#define DOT(sum, x, v, y, w) \
	_mm512_dpbusd_epi32(_mm512_dpbusd_epi32(sum, x, v), y, w)

static inline int32_t load_4(const uint8_t *p)
{
	int32_t four;
	__builtin_memcpy(&four, p, sizeof four);
	return four;
}

#include "model/int8_kernel.h"

const struct int8_kernel int8_avx512_vnni = {"AVX-512 VNNI", KERNEL(multiply), KERNEL(quantise), KERNEL(norm), KERNEL(gelu)};
