/* int8_avx2.c: 8-bit products by AVX2. */
#include "model/math/int8.h"

#define KERNEL(name) avx2_##name
#define TARGET
#define LANES 8
#define LEVELS INT8_LEVELS
enum { ROWS = 5, PANELS = 1 };

#include "model/math/int8_lanes.h"

#include "model/math/int8_kernel.h"

#include "schema/base/banned.h"

const struct int8_kernel int8_avx2 = {"AVX2", LEVELS, KERNEL(multiply), KERNEL(quantise), KERNEL(norm), KERNEL(gelu)};
