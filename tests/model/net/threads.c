/* threads.c: threads are made once, not for every matrix product: an operation that uses all threads must not stand in a parallel
 * region of one thread, where OpenMP's runtime makes and ends a team for each region inside. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "model/math/ops.h"
#include "model/net/split.h"
#include "schema/base/memory.h"
#include "tests/support.h"

#include "schema/base/banned.h"

static atomic_int made;

/* Stands before the library's: counts, and passes on. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
	int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

	*(void **)&next = dlsym(RTLD_NEXT, "pthread_create");
	atomic_fetch_add(&made, 1);
	return next(thread, attributes, start, argument);
}

enum { ROWS = 64, WIDTH = 256 };

struct product {
	float *x, *weight, *y;
};

static void multiply(void *context, size_t piece, size_t lane)
{
	const struct product *p = context;
	struct linear map = {p->weight, NULL, WIDTH, WIDTH, false};

	(void)piece;
	assert_int_equal(lane, 0);
	op_linear(&map, p->x, ROWS, p->y);
}

static void one_item_uses_the_same_threads_again(void **state)
{
	struct product p = {mem_floats(ROWS * WIDTH), mem_floats(WIDTH * WIDTH), mem_floats(ROWS * WIDTH)};
	uint64_t seed = 1;

	(void)state;
	blas_set_threads(2);
	for (size_t i = 0; i < WIDTH * WIDTH; i++)
		p.weight[i] = test_uniform(&seed);
	for (size_t i = 0; i < ROWS * WIDTH; i++)
		p.x[i] = test_uniform(&seed);
	struct split split = split_work(1, 10 * ROWS, ROWS);
	assert_int_equal(split.lanes, 1);
	split_run(&split, multiply, &p);
	int before = atomic_load(&made);
	assert_true(before > 0);
	for (size_t i = 0; i < 20; i++)
		split_run(&split, multiply, &p);
	assert_int_equal(atomic_load(&made), before);
	free(p.x);
	free(p.weight);
	free(p.y);
}

TEST_MAIN(cmocka_unit_test(one_item_uses_the_same_threads_again))
