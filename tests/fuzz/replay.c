/* replay.c: runs a fuzz target without a fuzzer: every file of the folders given, then variations of them that are the same on
 * every run, for at most about two seconds. Prints "ok - fuzz NAME: N cases".
 *
 *     build/tests/fuzz/config tests/fuzz/seeds/config tests/fuzz/found/config
 *     build/tests/fuzz/config FILE          one case alone
 *
 * A target that dies takes the process along; the case is then left in $TMPDIR/fuzz-NAME.case.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "schema/base/blas.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "tests/fuzz/fuzz.h"

#include "schema/base/banned.h"

enum { VARIATIONS = 5000, SECONDS = 2, CASE_MOST = 1 << 17, GROWTH = 4096 };

#pragma weak LLVMFuzzerCustomMutator

/* Of the sanitizers, where they are linked. */
void __sanitizer_set_death_callback(void (*callback)(void));
#pragma weak __sanitizer_set_death_callback

struct bytes {
	uint8_t *data;
	size_t size;
};

static struct {
	struct bytes *list;
	size_t count;
} seeds;

/* ---- what is left behind when a target dies ---- */

static const char *name;
static char crash_path[512];
static struct bytes current;

/* Only what a signal handler may do. */
static void keep_case(void)
{
	static const char said[] = "not ok - a fuzz target died; the case is in ";
	int fd = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

	if (fd < 0 || write(fd, current.data, current.size) < 0)
		return;
	close(fd);
	if (write(1, said, sizeof said - 1) > 0 && write(1, crash_path, strlen(crash_path)) > 0 && write(1, "\n", 1) > 0)
		return;
}

static void died(int sig)
{
	keep_case();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void watch_for_death(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
	const char *folder = getenv("TMPDIR");

	snprintf(crash_path, sizeof crash_path, "%s/fuzz-%s.case", folder ? folder : "/tmp", name);
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(keep_case);
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		if (!__sanitizer_set_death_callback || signals[i] == SIGABRT)
			signal(signals[i], died);
}

/* ---- running ---- */

/* In memory of its exact size, so that a byte too far is seen. */
static void run_case(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	fuzz_check(copy);
	memcpy(copy, data, size);
	current = (struct bytes){copy, size};
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
	current = (struct bytes){0};
}

static void add_seed(const char *path)
{
	struct bytes seed;
	struct err err;
	struct bytes *grown = mem_resize(seeds.list, seeds.count + 1, sizeof *grown);

	fuzz_check(grown);
	seeds.list = grown;
	if (file_read(path, CASE_MOST, &seed.data, &seed.size, &err) != STATUS_OK) {
		printf("not ok - fuzz %s: %s\n", name, err.text);
		exit(1);
	}
	seeds.list[seeds.count++] = seed;
}

/* A file, or those of a folder by name; nothing at all is no error: not every target has failed yet. */
static void add_seeds(const char *path)
{
	struct dirent **entries;
	struct stat st;

	if (stat(path, &st) != 0)
		return;
	if (!S_ISDIR(st.st_mode)) {
		add_seed(path);
		return;
	}
	int n = scandir(path, &entries, NULL, alphasort);
	fuzz_check(n >= 0);
	for (int i = 0; i < n; i++) {
		char *file = path_join(path, entries[i]->d_name);
		fuzz_check(file);
		if (entries[i]->d_name[0] != '.')
			add_seed(file);
		free(file);
		free(entries[i]);
	}
	free(entries);
}

/* ---- varying ---- */

static uint64_t state = 1;

static size_t random_below(size_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return n ? (size_t)(state >> 11) % n : 0;
}

/* A number in 1, 2, 4 or 8 bytes, in either order. */
static void put_number(uint8_t *data, size_t size)
{
	static const uint64_t numbers[] = {0, 1, 2, 7, 16, 127, 128, 255, 256, 32767, 32768, 65535, 65536, INT32_MAX, 1u << 31, UINT32_MAX,
					   1ull << 32, 1ull << 40, INT64_MAX, 1ull << 63, UINT64_MAX};
	size_t width = (size_t)1 << random_below(4);
	uint64_t number = numbers[random_below(sizeof numbers / sizeof *numbers)] - random_below(2);
	bool big = random_below(2);

	if (width > size)
		return;
	size_t at = random_below(size - width + 1);
	for (size_t i = 0; i < width; i++)
		data[at + (big ? width - 1 - i : i)] = (uint8_t)(number >> 8 * i);
}

/* Makes room of n bytes at `at` and fills it from `from`, or from data itself. */
static size_t insert(uint8_t *data, size_t size, size_t capacity, const struct bytes *from)
{
	size_t begin = random_below(from->size), n = random_below(from->size - begin) % 64 + 1, at = random_below(size + 1);
	uint8_t part[64];

	if (from->size == 0 || begin + n > from->size || size + n > capacity)
		return size;
	memcpy(part, from->data + begin, n);
	memmove(data + at + n, data + at, size - at);
	memcpy(data + at, part, n);
	return size + n;
}

static size_t vary_once(uint8_t *data, size_t size, size_t capacity)
{
	size_t at = random_below(size), n = size ? random_below(size - at) % 32 + 1 : 0;

	switch (size ? random_below(8) : 7) {
	case 0:
		data[at] ^= (uint8_t)(1 << random_below(8));
		return size;
	case 1:
		data[at] = (uint8_t)random_below(256);
		return size;
	case 2:
	case 3:
		put_number(data, size);
		return size;
	case 4:
		memmove(data + at, data + at + n, size - at - n);
		return size - n;
	case 5:
		return insert(data, size, capacity, &(struct bytes){data, size});
	case 6:
		return at ? at : size; /* cut off */
	default:
		return insert(data, size, capacity, &seeds.list[random_below(seeds.count)]);
	}
}

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t capacity)
{
	for (size_t times = random_below(4) + 1; times; times--)
		size = vary_once(data, size, capacity);
	return size;
}

static size_t run_variations(void)
{
	static uint8_t data[CASE_MOST + GROWTH];
	size_t done = 0;
	clock_t end = clock() + SECONDS * CLOCKS_PER_SEC;

	for (; done < VARIATIONS && clock() < end; done++) {
		const struct bytes *seed = &seeds.list[random_below(seeds.count)];
		size_t size = seed->size, capacity = size + GROWTH;
		memcpy(data, seed->data, size);
		for (size_t times = random_below(3) + 1; times; times--)
			size = LLVMFuzzerCustomMutator ? LLVMFuzzerCustomMutator(data, size, capacity, (unsigned)random_below(1 << 20))
						       : LLVMFuzzerMutate(data, size, capacity);
		run_case(data, size);
	}
	return done;
}

int main(int argc, char **argv)
{
	struct stat st;

	blas_guard(argv, true);
	const char *slash = strrchr(argv[0], '/');
	name = slash ? slash + 1 : argv[0];
	watch_for_death();
	for (int i = 1; i < argc; i++)
		add_seeds(argv[i]);
	if (!seeds.count) {
		printf("not ok - fuzz %s: there are no cases; hint: give tests/fuzz/seeds/%s\n", name, name);
		return 1;
	}
	run_case((const uint8_t *)"", 0);
	for (size_t i = 0; i < seeds.count; i++)
		run_case(seeds.list[i].data, seeds.list[i].size);
	bool alone = argc == 2 && stat(argv[1], &st) == 0 && !S_ISDIR(st.st_mode);
	size_t varied = alone ? 0 : run_variations();
	printf("ok - fuzz %s: %zu cases, %zu variations\n", name, seeds.count, varied);
	for (size_t i = 0; i < seeds.count; i++)
		free(seeds.list[i].data);
	free(seeds.list);
	return 0;
}
