/* int8_lanes.h: what int8_kernel.h asks for, by intrinsics of 256 or (LANES 16) 512 bits. With DOT(sum, x, w), an instruction that adds
 * four products of bytes in 32 bits, that is used. Without, pairs of products are added in 16 bits for as many inputs as int8.h says
 * can be, and only then in 32: this is what makes 8 bits worth while without VNNI.
 */
#include <immintrin.h>
#include <string.h>

#if LANES == 16
typedef __m512i ints;
typedef __m512 floats;
#define BITS(name) _mm512_##name
#define INTS(name) _mm512_##name##_si512
#else
typedef __m256i ints;
typedef __m256 floats;
#define BITS(name) _mm256_##name
#define INTS(name) _mm256_##name##_si256
#endif

#define INTS_LOAD(p) INTS(load)((const void *)(p))
#define INTS_STORE(p, v) INTS(store)((void *)(p), v)
#define INTS_SPLAT(p) BITS(set1_epi32)(KERNEL(four)(p))
#define FLOATS_OF(v) BITS(cvtepi32_ps)(v)
#define FLOATS_LOAD(p) BITS(loadu_ps)(p)
#define FLOATS_STORE(p, v) BITS(storeu_ps)(p, v)
#define FLOATS_SPLAT(f) BITS(set1_ps)(f)

#ifdef DOT
#define WHOLE 1
#define GROUP(matrix, panel) (matrix)->depth
#define GROUP_START(sums, first) ((first) ? INTS(setzero)() : INTS_LOAD(sums))
#define GROUP_ADD(part, x, w) DOT(part, x, w)
#define GROUP_END(sums, part) INTS_STORE(sums, part)
#else
#define WHOLE 0
#define GROUP(matrix, panel) (matrix)->group[panel]
#define GROUP_START(sums, first) INTS(setzero)()
#define GROUP_ADD(part, x, w) KERNEL(add_pairs)(part, x, w)
#define GROUP_END(sums, part) KERNEL(add_part)(sums, part)
#endif

static inline int32_t KERNEL(four)(const uint8_t *p)
{
	int32_t four;
	memcpy(&four, p, sizeof four);
	return four;
}

#ifndef DOT
/* gcc would reorder these sums, or keep sums in registers that the parts need: the empty instructions stand in its way. */
static inline TARGET ints KERNEL(add_pairs)(ints part, ints x, ints w)
{
	part = BITS(add_epi16)(part, BITS(maddubs_epi16)(x, w));
	__asm__("" : "+v"(part));
	return part;
}

static inline TARGET void KERNEL(add_part)(int32_t *sums, ints part)
{
	INTS_STORE(sums, BITS(add_epi32)(INTS_LOAD(sums), BITS(madd_epi16)(part, BITS(set1_epi16)(1))));
	__asm__("" : : : "memory");
}
#endif
