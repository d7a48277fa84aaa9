/* int8_avx512.c: 8-bit products by AVX-512 without VNNI. */
#include "model/math/int8.h"

#define KERNEL(name) avx512_##name
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#define LANES 16
#define LEVELS INT8_LEVELS
enum { ROWS = 8, PANELS = 2 };

#include "model/math/int8_lanes.h"

#include "model/math/int8_kernel.h"

#include "schema/base/banned.h"

const struct int8_kernel int8_avx512 = {"AVX-512", LEVELS, KERNEL(multiply), KERNEL(quantise), KERNEL(norm), KERNEL(gelu)};
