/* int8_avx_vnni.c: 8-bit products by the 256-bit VNNI of processors without AVX-512. */
#include "model/math/int8.h"

#define KERNEL(name) avx_vnni_##name
#define TARGET __attribute__((target("avxvnni")))
#define LANES 8
#define LEVELS INT8_BYTE_LEVELS
enum { ROWS = 6, PANELS = 1 };
#define DOT(sum, x, w) _mm256_dpbusd_avx_epi32(sum, x, w)

#include "model/math/int8_lanes.h"

#include "model/math/int8_kernel.h"

#include "schema/base/banned.h"

const struct int8_kernel int8_avx_vnni = {"AVX-VNNI", LEVELS, KERNEL(multiply), KERNEL(quantise), KERNEL(norm), KERNEL(gelu)};
