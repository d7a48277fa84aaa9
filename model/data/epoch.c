/* epoch.c: see epoch.h. What is shuffled are units: a sample, or two twins. */
#include "model/data/epoch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/random.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { LOTS = 0x6c6f7473, SHUFFLE = 0x73687566, BLOCKS = 0x626c6f63 };

/* Whether sample s and the next one are twins. */
static bool has_twin(const struct dataset *d, size_t samples, size_t s)
{
	const struct dataset_source *source = dataset_source(d, DATASET_TRAIN, s);
	size_t number = dataset_number(d, DATASET_TRAIN, s);

	return source->pairs && number % 2 == 0 && s + 1 < samples && dataset_source(d, DATASET_TRAIN, s + 1) == source &&
	       dataset_number(d, DATASET_TRAIN, s + 1) == number + 1;
}

/* How often sample s comes in an epoch. */
static size_t times(const struct dataset *d, uint64_t seed, uint64_t epoch, size_t s)
{
	double weight = dataset_source(d, DATASET_TRAIN, s)->weight, whole = floor(weight);
	uint64_t lot = random_keyed(seed ^ LOTS, epoch, s);

	return (size_t)whole + (weight > whole && random_unit(&lot) < weight - whole);
}

static void shuffle(uint32_t *list, size_t n, uint64_t random)
{
	for (size_t i = n; i-- > 1;) {
		size_t j = random_below(&random, i + 1);
		uint32_t swap = list[i];
		list[i] = list[j];
		list[j] = swap;
	}
}

/* Units of an epoch, by their first samples, sources one after another; a sample that lost its twin to what is held out is in none.
 * list NULL: only how many. */
static size_t list_units(const struct dataset *d, size_t samples, uint64_t seed, uint64_t epoch, uint32_t *list)
{
	size_t n = 0;

	for (size_t s = 0; s < samples; s++) {
		bool twin = has_twin(d, samples, s);
		if (dataset_source(d, DATASET_TRAIN, s)->pairs && !twin)
			continue;
		for (size_t t = times(d, seed, epoch, s); t-- > 0; n++)
			if (list)
				list[n] = (uint32_t)s;
		s += twin;
	}
	return n;
}

/* Samples of units[n]. */
static size_t expand(const struct dataset *d, size_t samples, const uint32_t *units, size_t n, uint32_t *order)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		order[count++] = units[i];
		if (has_twin(d, samples, units[i]))
			order[count++] = units[i] + 1;
	}
	return count;
}

/* Shuffles samples[n] and leaves twins together. units[n]: scratch. */
static void shuffle_units(const struct dataset *d, size_t count, uint32_t *samples, size_t n, uint64_t random, uint32_t *units)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		units[k++] = samples[i];
		i += has_twin(d, count, samples[i]);
	}
	shuffle(units, k, random);
	expand(d, count, units, k, samples);
}

/* --- batches of which a part is of one source --- */

/* What an epoch is put together from: blocks of `size` samples of one source each, and the rest. */
struct blocks {
	size_t size, count;
	uint32_t *samples;      /* [count,size] */
	uint32_t *rest;
	size_t rest_count;
};

/* The samples of one source, shuffled: so many blocks as the share asks for, and the rest. A block's size is even: no twins are parted. */
static void cut(struct blocks *b, const uint32_t *samples, size_t n, double share)
{
	size_t blocks = (size_t)(share * (double)n / (double)b->size);

	memcpy(b->samples + b->count * b->size, samples, blocks * b->size * sizeof *samples);
	b->count += blocks;
	memcpy(b->rest + b->rest_count, samples + blocks * b->size, (n - blocks * b->size) * sizeof *samples);
	b->rest_count += n - blocks * b->size;
}

/* Batch after batch: a block, if there is one left, and as much of the rest as fits. Returns how many samples. */
static size_t join(const struct blocks *b, const uint32_t *turns, size_t batch, uint32_t *order)
{
	size_t rest = 0, n = 0;

	for (size_t k = 0;; k++) {
		size_t block = k < b->count ? b->size : 0, wanted = batch - block;
		if (wanted > b->rest_count - rest)
			return n;
		memcpy(order + n, b->samples + (block ? turns[k] * b->size : 0), block * sizeof *order);
		memcpy(order + n + block, b->rest + rest, wanted * sizeof *order);
		rest += wanted;
		n += batch;
	}
}

/* order[count], sources one after another and shuffled within, becomes batches. */
static enum status part_together(const struct dataset *d, size_t samples, const struct epoch_options *o, uint64_t epoch, uint32_t *order,
				 size_t *count, struct err *err)
{
	struct blocks b = {.size = (size_t)fmax(2, 2 * round(o->together * (double)o->batch / 2))};
	enum status status = STATUS_OK;
	uint32_t *turns = NULL, *units = mem_array(*count, sizeof *units);

	b.size = b.size < o->batch ? b.size : o->batch;
	b.samples = mem_array(*count, sizeof *b.samples);
	b.rest = mem_array(*count, sizeof *b.rest);
	if (!units || !b.samples || !b.rest) {
		status = err_memory(err, "an epoch's order");
		goto out;
	}
	for (size_t from = 0, to; from < *count; from = to) {
		const struct dataset_source *source = dataset_source(d, DATASET_TRAIN, order[from]);
		for (to = from; to < *count && dataset_source(d, DATASET_TRAIN, order[to]) == source;)
			to++;
		cut(&b, order + from, to - from, o->together);
	}
	turns = mem_array(b.count, sizeof *turns);
	if (!turns) {
		status = err_memory(err, "an epoch's order");
		goto out;
	}
	for (size_t k = 0; k < b.count; k++)
		turns[k] = (uint32_t)k;
	shuffle(turns, b.count, random_keyed(o->seed ^ BLOCKS, epoch, 0));
	shuffle_units(d, samples, b.rest, b.rest_count, random_keyed(o->seed ^ BLOCKS, epoch, 1), units);
	size_t joined = join(&b, turns, o->batch, order);
	if (joined)
		*count = joined; /* else the epoch is shorter than a batch, and stays as it is */
out:
	free(b.samples);
	free(b.rest);
	free(turns);
	free(units);
	return status;
}

enum status epoch_order(const struct dataset *d, const struct epoch_options *o, uint64_t epoch, uint32_t **order, size_t *count,
			struct err *err)
{
	struct dataset_counts counts;
	enum status status = STATUS_OK;

	dataset_count(d, &counts);
	size_t n = list_units(d, counts.samples, o->seed, epoch, NULL);
	uint32_t *units = mem_array(n, sizeof *units), *list = mem_array(mem_product(2, n), sizeof *list);
	if (!units || !list) {
		status = err_memory(err, "an epoch's order");
		goto out;
	}
	list_units(d, counts.samples, o->seed, epoch, units);
	uint64_t random = random_keyed(o->seed ^ SHUFFLE, epoch, 0);
	/* Together: each source's units by themselves. */
	for (size_t from = 0, to; from < n; from = to) {
		const struct dataset_source *source = dataset_source(d, DATASET_TRAIN, units[from]);
		for (to = from; to < n && (o->together == 0 || dataset_source(d, DATASET_TRAIN, units[to]) == source);)
			to++;
		shuffle(units + from, to - from, random);
		random = random_next(&random);
	}
	*count = expand(d, counts.samples, units, n, list);
	if (o->together > 0)
		status = part_together(d, counts.samples, o, epoch, list, count, err);
out:
	free(units);
	*order = status == STATUS_OK ? list : NULL;
	if (status != STATUS_OK)
		free(list);
	return status;
}
