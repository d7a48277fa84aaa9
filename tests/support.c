/* support.c: see support.h. */
#include "tests/support.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "schema/base/random.h"

#include "schema/base/banned.h"

enum { STRINGS_MOST = 4096 };
static char *strings[STRINGS_MOST];
static size_t string_count, folder_count;
static char *folders[256];

static const char *keep(char *text)
{
	assert_non_null(text);
	assert_true(string_count < STRINGS_MOST);
	return strings[string_count++] = text;
}

const char *test_folder(void)
{
	const char *base = getenv("TMPDIR");
	char *path = path_join(base && *base ? base : "/tmp", "coca-test-XXXXXX");

	keep(path);
	assert_non_null(mkdtemp(path));
	assert_true(folder_count < sizeof folders / sizeof *folders);
	folders[folder_count++] = path;
	return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int test_folders_remove(void **state)
{
	(void)state;
	while (folder_count)
		nftw(folders[--folder_count], remove_one, 16, FTW_DEPTH | FTW_PHYS);
	while (string_count)
		free(strings[--string_count]);
	return 0;
}

const char *test_path(const char *folder, const char *name)
{
	return keep(path_join(folder, name));
}

const char *test_shared(const char *name)
{
	const char *base = getenv("COCA_SHARED");
	const char *path = test_path(base && *base ? base : "../shared", name);

	if (access(path, R_OK) == 0)
		return path;
	printf("not tested, as '%s' is not here\n", path);
	return NULL;
}

bool test_close(const char *name, const float *a, const float *b, size_t n, float tolerance)
{
	float largest = 0;
	size_t first = n;

	for (size_t i = 0; i < n; i++) {
		float d = fabsf(a[i] - b[i]);
		if (!(d <= tolerance) && first == n)
			first = i;
		if (!(d <= largest))
			largest = d;
	}
	printf("%s: largest difference %.3g (tolerance %.3g)\n", name, (double)largest, (double)tolerance);
	if (first < n)
		printf("%s: first mismatch at %zu: %.9g and %.9g\n", name, first, (double)a[first], (double)b[first]);
	return first == n;
}

uint64_t test_random(uint64_t *state)
{
	return random_next(state);
}

float test_uniform(uint64_t *state)
{
	return (float)(test_random(state) >> 40) / (float)(1 << 23) - 1;
}

float *test_draw(size_t n, float scale, uint64_t *state)
{
	float *x = mem_floats(n);

	assert_non_null(x);
	for (size_t i = 0; i < n; i++)
		x[i] = scale * test_uniform(state);
	return x;
}

void test_write(const char *path, const void *bytes, size_t size)
{
	FILE *f = fopen(path, "wb");

	if (!f)
		fail_msg("cannot create '%s'", path);
	assert_int_equal(fwrite(bytes, 1, size, f), size);
	assert_int_equal(fclose(f), 0);
}
