/* blas.c: see blas.h. It lives on the lowest floor because FAISS computes with OpenBLAS, too. */
#include "schema/base/blas.h"

#include <cblas.h>
#include <limits.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "schema/base/banned.h"

/* Kernels that use at least AVX2; with any other on such a processor, OpenBLAS has guessed wrong. */
static bool kernel_is_modern(const char *name)
{
	static const char *const modern[] = {"Haswell", "Zen", "SkylakeX", "Cooperlake", "Sapphirerapids", "SapphireRapids"};

	for (size_t i = 0; i < sizeof modern / sizeof *modern; i++)
		if (strcasecmp(name, modern[i]) == 0)
			return true;
	return false;
}

static const char *kernel_wanted(void)
{
	if (getenv("OPENBLAS_CORETYPE") || kernel_is_modern(openblas_get_corename()))
		return NULL;
	if (__builtin_cpu_supports("avx512f"))
		return "SKYLAKEX";
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return "HASWELL";
	return NULL;
}

void blas_guard(char **argv, bool passive)
{
	char self[PATH_MAX];
	const char *kernel = kernel_wanted();
	bool sleepy = passive && !getenv("OMP_WAIT_POLICY");

	if (!kernel && !sleepy)
		return;
	/* Not "/proc/self/exe" itself: under valgrind that is valgrind. */
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	if (n <= 0)
		return;
	self[n] = '\0';
	if ((kernel && setenv("OPENBLAS_CORETYPE", kernel, 1) != 0) ||
	    (sleepy && (setenv("OMP_WAIT_POLICY", "passive", 1) != 0 || setenv("GOMP_SPINCOUNT", "1000", 0) != 0)))
		return;
	execv(self, argv);
}

const char *blas_kernel(void)
{
	return openblas_get_corename();
}

int blas_threads(void)
{
	return openblas_get_num_threads();
}

void blas_set_threads(int n)
{
	if (n <= 0)
		n = omp_get_num_procs();
	omp_set_num_threads(n);
	openblas_set_num_threads(n);
}
