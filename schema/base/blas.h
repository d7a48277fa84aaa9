/* blas.h: OpenBLAS with the right kernels.
 *
 * Debian's OpenBLAS 0.3.21 does not know every processor and then silently takes its SSE kernels, five times slower.
 * OPENBLAS_CORETYPE cures it, but must be in the environment before the library is loaded; hence one re-execution. So must OpenMP's
 * variables: nested, dynamic or limited threads make OpenBLAS wait for threads that never come, and are taken out on the way
 * (OMP_THREAD_LIMIT becomes OMP_NUM_THREADS, of a list of numbers the first counts).
 */
#ifndef SCHEMA_BASE_BLAS_H
#define SCHEMA_BASE_BLAS_H

#include <stdbool.h>

/* First thing in every main: re-executes the program with OPENBLAS_CORETYPE set if OpenBLAS chose a kernel below what the
 * processor has and the user did not choose one. passive: also with OMP_WAIT_POLICY=passive, if unset, which programs
 * with threads of their own beside OpenBLAS's need: waiting threads look for work some 30 microseconds and sleep then. (Sleeping at once
 * makes training on 16 cores 8 % slower; ten times as long, what runs on a busy machine 20 %.) Returns where nothing is to be done, and
 * when execv fails. */
void blas_guard(char **argv, bool passive);

/* "SkylakeX", "Zen": OpenBLAS's name of the kernels in use. */
const char *blas_kernel(void);

/* Threads that OpenBLAS and our own loops use; set_threads(0) goes back to all cores. */
int blas_threads(void);
void blas_set_threads(int n);

#endif
