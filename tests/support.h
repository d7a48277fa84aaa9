/* support.h: what every test program shares: cmocka, folders to work in, data, comparing tensors.
 *
 *     static void catalog_refuses_a_newer_version(void **state) { ... }
 *     TEST_MAIN(cmocka_unit_test(catalog_refuses_a_newer_version), ...)
 *
 * Tests run with the repository's root as working directory.
 */
#ifndef TESTS_SUPPORT_H
#define TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schema/base/blas.h"
#include "schema/base/status.h"

#define TEST_MAIN(...)                                                                   \
	int main(int argc, char **argv)                                                  \
	{                                                                                \
		(void)argc;                                                              \
		blas_guard(argv, true);                                                 \
		const struct CMUnitTest tests[] = {__VA_ARGS__};                         \
		return cmocka_run_group_tests(tests, NULL, test_folders_remove) ? 1 : 0; \
	}

/* Fails with the error's text unless status is STATUS_OK. */
#define assert_ok(status, err)                                                      \
	do {                                                                        \
		if ((status) != STATUS_OK)                                          \
			fail_msg("%s", (err)->text);                                \
	} while (0)

/* A new empty folder below $TMPDIR, removed at the end; valid until then. */
const char *test_folder(void);
int test_folders_remove(void **state);

/* folder/name; valid until the end. */
const char *test_path(const char *folder, const char *name);

/* "../shared/NAME" (or below $COCA_SHARED) if it is there; else NULL after a line that says what is not tested: then call
 * skip(). What is in it is no part of the repository, so such a test has a twin on data of our own. */
const char *test_shared(const char *name);

/* Largest |a-b|; prints name, the difference, and the first place that is off by more than tolerance. False if any is, or is
 * NaN. */
bool test_close(const char *name, const float *a, const float *b, size_t n, float tolerance);

/* Repeatable pseudo-random numbers. */
uint64_t test_random(uint64_t *state);
float test_uniform(uint64_t *state); /* in -1..1 */
/* n of them, in -scale..scale: the caller's to free. */
float *test_draw(size_t n, float scale, uint64_t *state);

/* Writes bytes to a file, failing the test when that fails. */
void test_write(const char *path, const void *bytes, size_t size);

#endif
