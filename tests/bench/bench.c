/* bench.c: how fast the program is here: `make bench`. See bench.h.
 *
 *     build/tests/bench/bench MODEL_DIR SHAPE_DIR [PART...]      a table; FORMAT=json: JSON Lines {"name","value","unit"}
 */
#include "tests/bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/files/config.h"
#include "schema/base/blas.h"
#include "schema/cli/options.h"
#include "schema/base/clock.h"

#include "schema/base/banned.h"

static const struct part {
	const char *name;
	void (*run)(struct bench *bench);
} parts[] = {
	{"int8", bench_int8}, {"decode", bench_decode}, {"index", bench_index}, {"rerank", bench_rerank},
	{"scan", bench_scan}, {"model", bench_model}, {"train", bench_train},
};

double bench_now(void)
{
	return clock_now();
}

static double processor_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void bench_rounds(struct bench_run *runs, size_t n, size_t rounds)
{
	rounds = rounds < BENCH_ROUNDS_MOST ? rounds : BENCH_ROUNDS_MOST;
	for (size_t i = 0; i < n; i++) {
		runs[i].rounds = rounds;
		runs[i].work(runs[i].context);
	}
	for (size_t r = 0; r < rounds; r++)
		for (size_t i = 0; i < n; i++) {
			double start = bench_now(), used = processor_seconds();
			runs[i].work(runs[i].context);
			runs[i].seconds[r] = bench_now() - start;
			runs[i].processor[r] = processor_seconds() - used;
		}
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

double bench_median_of(double *values, size_t n)
{
	qsort(values, n, sizeof *values, ascending);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

double bench_median(const struct bench_run *run)
{
	double values[BENCH_ROUNDS_MOST];

	memcpy(values, run->seconds, run->rounds * sizeof *values);
	return bench_median_of(values, run->rounds);
}

double bench_ratio(const struct bench_run *a, const struct bench_run *b)
{
	double values[BENCH_ROUNDS_MOST];

	for (size_t r = 0; r < a->rounds; r++)
		values[r] = a->seconds[r] / b->seconds[r];
	return bench_median_of(values, a->rounds);
}

double bench_image_products(const struct config *config)
{
	double D = (double)config->vision.width, E = (double)config->embed_dim, n = (double)config->pool_queries, stem = 0;
	double patches = (double)config->patches, T = 1 + patches;
	bool pools = config->pooling != POOL_NONE;

	for (size_t l = 0; l < config->stem_layers; l++) {
		double side = (double)config_stem_side(config, l + 1);
		stem += side * side * 9 * (double)(config_stem_channels(config, l) * config_stem_channels(config, l + 1));
	}
	double blocks = (double)config->vision.layers * T * (4 * D * D + 2 * D * (double)config->vision.hidden + 2 * T * D);
	double pooler = pools ? 2 * T * D * E + n * E * E + 2 * n * T * E : 0;
	return stem + patches * (double)config_patch_inputs(config) * D + blocks + pooler + (pools ? E : D) * E;
}

void bench_print(struct bench *bench, const char *name, double value, const char *unit, double target)
{
	if (bench->json) {
		printf("{\"name\":\"%s\",\"value\":%.6g,\"unit\":\"%s\"}\n", name, value, unit);
	} else {
		printf("%-46s %10.4g %-10s", name, value, unit);
		if (target > 0)
			printf(" at least %g%s", target, value >= target ? "" : ": missed");
		else if (target < 0)
			printf(" at most %g%s", -target, value <= -target ? "" : ": missed");
		printf("\n");
	}
	fflush(stdout);
}

static bool wanted(const struct part *part, char **names, int count)
{
	bool found = count == 0;

	for (int i = 0; i < count; i++)
		found = found || strcmp(names[i], part->name) == 0;
	return found;
}

static bool is_part(const char *name)
{
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		if (strcmp(name, parts[i].name) == 0)
			return true;
	return false;
}

int main(int argc, char **argv)
{
	const char *format = getenv("FORMAT");
	struct bench bench = {.json = format && strcmp(format, "json") == 0};
	bool failed = false;

	blas_guard(argv, true);
	if (argc < 3) {
		fprintf(stderr, "usage: bench MODEL_DIR SHAPE_DIR [PART...]\n");
		return 2;
	}
	for (int i = 3; i < argc; i++)
		if (!is_part(argv[i])) {
			fprintf(stderr, "bench: no part is called '%s'\n", argv[i]);
			return 2;
		}
	bench.model = argv[1];
	bench.shape = argv[2];
	if (!bench.json)
		printf("kernel %s, %d threads; shape %s; model %s\n", blas_kernel(), blas_threads(), bench.shape, bench.model);
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		if (!wanted(&parts[i], argv + 3, argc - 3))
			continue;
		bench.status = STATUS_OK;
		parts[i].run(&bench);
		if (bench.status != STATUS_OK)
			fprintf(stderr, "bench: %s: %s\n", parts[i].name, bench.err.text);
		failed = failed || bench.status != STATUS_OK;
	}
	return failed ? 1 : 0;
}
