/* bench.h: what the parts of `make bench` share. A part is tests/bench/NAME.c with one function, listed below and in bench.c's table.
 *
 *     static void fast(void *context) { ... }          // one run of what is measured
 *
 *     void bench_int8(struct bench *bench)
 *     {
 *             struct bench_run runs[2] = {{fast, &data}, {slow, &data}};
 *             bench_rounds(runs, 2, 7);                 // each once to warm up, then fast slow fast slow ...
 *             bench_print(bench, "encoder.int8_over_fp32", bench_ratio(&runs[1], &runs[0]), "x", 3.5);
 *     }
 *
 * Others use the machine, too: what is compared runs side by side, and a figure is the median of its rounds.
 */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>

#include "model/files/config.h"
#include "schema/base/status.h"

struct bench {
	const char *model; /* a folder: the model that ships, or BENCH_MODEL */
	const char *shape; /* a folder: random weights in the shape of coca_ViT-B-32, fp32, no tokenizer */
	bool json;
	enum status status; /* a part that fails sets both; the others run all the same */
	struct err err;
};

void bench_decode(struct bench *bench);
void bench_index(struct bench *bench);
void bench_int8(struct bench *bench);
void bench_model(struct bench *bench);
void bench_rerank(struct bench *bench);
void bench_scan(struct bench *bench);
void bench_train(struct bench *bench);

/* Seconds on a clock that only goes forward. */
double bench_now(void);

enum { BENCH_ROUNDS_MOST = 31 };

struct bench_run {
	void (*work)(void *context);
	void *context;
	double seconds[BENCH_ROUNDS_MOST];   /* of each round */
	double processor[BENCH_ROUNDS_MOST]; /* the same, of all threads' processor time: others do not count in it */
	size_t rounds;
};

void bench_rounds(struct bench_run *runs, size_t n, size_t rounds);
/* Seconds: the median of the rounds. */
double bench_median(const struct bench_run *run);
/* The median of each round's a / b: what slowed a round down slowed both. */
double bench_ratio(const struct bench_run *a, const struct bench_run *b);
/* Of n values, which it puts in order. */
double bench_median_of(double *values, size_t n);

/* Multiplications of one photograph's encoding, in its matrices alone: the stem's convolutions, conv1, blocks, pooler, projection. */
double bench_image_products(const struct config *config);

/* One line. target: at least that; negative: at most its absolute; 0: none. */
void bench_print(struct bench *bench, const char *name, double value, const char *unit, double target);

#endif
