/* blas.c: see blas.h. It lives on the lowest floor because FAISS computes with OpenBLAS, too. */
#include "schema/base/blas.h"

#include <cblas.h>
#include <limits.h>
#include <omp.h>
#include <stdio.h>
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

/* Sets what must not stay as it is; *changed, if anything was. False: memory. */
static bool put(const char *name, const char *value, bool *changed)
{
	*changed = true;
	return (value ? setenv(name, value, 1) : unsetenv(name)) == 0;
}

/* Loops here and in OpenBLAS share one level of threads, whose number is known beforehand: OpenBLAS waits for those that it was promised,
 * for ever, and scratch memory is divided by them. */
static bool flatten_openmp(bool *changed)
{
	const char *levels = getenv("OMP_MAX_ACTIVE_LEVELS"), *threads = getenv("OMP_NUM_THREADS"), *limit = getenv("OMP_THREAD_LIMIT");
	char first[24];
	bool good = true;

	if (getenv("OMP_NESTED"))
		good = put("OMP_NESTED", NULL, changed);
	if (getenv("OMP_DYNAMIC"))
		good = put("OMP_DYNAMIC", NULL, changed) && good;
	if (levels && strcmp(levels, "1") != 0)
		good = put("OMP_MAX_ACTIVE_LEVELS", "1", changed) && good;
	if (threads && strchr(threads, ',')) {
		snprintf(first, sizeof first, "%.*s", (int)strcspn(threads, ","), threads);
		good = put("OMP_NUM_THREADS", first, changed) && good;
		threads = getenv("OMP_NUM_THREADS");
	}
	if (limit) {
		long most = strtol(limit, NULL, 10), wanted = threads ? strtol(threads, NULL, 10) : omp_get_num_procs();
		snprintf(first, sizeof first, "%ld", most > 0 && most < wanted ? most : wanted);
		good = put("OMP_NUM_THREADS", first, changed) && put("OMP_THREAD_LIMIT", NULL, changed) && good;
	}
	return good;
}

void blas_guard(char **argv, bool passive)
{
	char self[PATH_MAX];
	const char *kernel = kernel_wanted();
	bool changed = false, good = flatten_openmp(&changed);

	if (kernel)
		good = put("OPENBLAS_CORETYPE", kernel, &changed) && good;
	if (passive && !getenv("OMP_WAIT_POLICY"))
		good = put("OMP_WAIT_POLICY", "passive", &changed) && setenv("GOMP_SPINCOUNT", "1000", 0) == 0 && good;
	/* Not "/proc/self/exe" itself: under valgrind that is valgrind. */
	ssize_t n = changed && good ? readlink("/proc/self/exe", self, sizeof self - 1) : 0;
	if (n <= 0)
		return;
	self[n] = '\0';
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
