/* int8_avx512_vnni.c: 8-bit products by AVX-512 VNNI. */
#include "model/math/int8.h"

#define KERNEL(name) avx512_vnni_##name
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define LANES 16
#define LEVELS INT8_BYTE_LEVELS
enum { ROWS = 8, PANELS = 2 };
#define DOT(sum, x, w) _mm512_dpbusd_epi32(sum, x, w)

#include "model/math/int8_lanes.h"

#include "model/math/int8_kernel.h"

#include "schema/base/banned.h"

const struct int8_kernel int8_avx512_vnni = {"AVX-512 VNNI", LEVELS, KERNEL(multiply), KERNEL(quantise), KERNEL(norm), KERNEL(gelu)};
