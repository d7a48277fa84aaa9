/* batches.c: see batches.h. A ring of slots: one is being computed with, the others are being filled. Threads take the next
 * sample of the oldest slot that has one left; the slots are handed out in order. */
#include "model/batches.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "model/image.h"
#include "model/random.h"
#include "schema/memory.h"

#include "schema/banned.h"

enum { SLOTS = 3, TRIES = 50, AUGMENT = 0x61756767 };

/* What is to be made, and what came of it. */
struct place {
	uint64_t epoch, offset;
	uint32_t wanted;        /* sample that the order says */
	uint32_t sample;        /* sample that was taken: another one if that cannot be decoded */
	uint32_t caption;
};

struct slot {
	struct place *places;   /* [n] */
	uint8_t *rgb;           /* [n,S,S,3] */
	int32_t *ids;           /* [n*C] */
	size_t *begin;          /* [parts,B+1] */
	uint64_t *photo, *caption; /* [n] */
	struct batches_place end;
	size_t taken, done;     /* samples that a thread has begun, finished */
	bool failed;
};

struct batches {
	struct batches_options options;
	size_t n;               /* samples of a slot */
	size_t image;           /* bytes of a crop */
	struct slot slots[SLOTS];
	uint64_t filled, handed; /* slots laid out, handed out, ever */
	uint32_t *order;
	size_t order_count;
	struct batches_place next; /* to be laid out */
	struct batches_place place;

	pthread_t *threads;
	size_t thread_count;
	pthread_mutex_t lock;
	pthread_cond_t work, ready;
	bool stop;
	size_t failures;
	struct err failure;
};

/* ---- making a sample -------------------------------------------------------------------------------------------- */

static enum status make_crop(const struct batches *b, size_t sample, uint64_t *random, uint8_t *rgb, struct err *err)
{
	const uint8_t *bytes;
	size_t size;
	void *owned;
	enum status status = dataset_bytes(b->options.data, DATASET_TRAIN, sample, &bytes, &size, &owned, err);

	if (status == STATUS_OK)
		status = augment_image(&b->options.augment, bytes, size, b->options.config->image_size, random, rgb, err);
	free(owned);
	return status;
}

/* Called without the lock. False: none of TRIES photographs could be decoded. */
static bool make_sample(struct batches *b, struct place *place, uint8_t *rgb)
{
	uint64_t random = random_keyed(b->options.seed ^ AUGMENT, place->epoch, place->offset);
	struct dataset_counts counts;
	struct err err;

	dataset_count(b->options.data, &counts);
	place->sample = place->wanted;
	for (int i = 0; i < TRIES; i++) {
		if (make_crop(b, place->sample, &random, rgb, &err) == STATUS_OK) {
			place->caption = (uint32_t)random_below(&random, dataset_captions(b->options.data, DATASET_TRAIN, place->sample));
			return true;
		}
		pthread_mutex_lock(&b->lock);
		if (b->failures++ == 0)
			b->failure = err;
		pthread_mutex_unlock(&b->lock);
		place->sample = (uint32_t)random_below(&random, counts.samples);
	}
	return false;
}

/* The oldest slot with a sample left to make; NULL: none. */
static struct slot *slot_with_work(struct batches *b)
{
	for (uint64_t s = b->handed; s < b->filled; s++) {
		struct slot *slot = &b->slots[s % SLOTS];
		if (slot->taken < b->n)
			return slot;
	}
	return NULL;
}

static void *work(void *argument)
{
	struct batches *b = argument;

	pthread_mutex_lock(&b->lock);
	while (!b->stop) {
		struct slot *slot = slot_with_work(b);
		if (!slot) {
			pthread_cond_wait(&b->work, &b->lock);
			continue;
		}
		size_t i = slot->taken++;
		pthread_mutex_unlock(&b->lock);
		bool good = make_sample(b, &slot->places[i], slot->rgb + i * b->image);
		pthread_mutex_lock(&b->lock);
		slot->failed |= !good;
		if (++slot->done == b->n)
			pthread_cond_signal(&b->ready);
	}
	pthread_mutex_unlock(&b->lock);
	return NULL;
}

/* ---- slots ------------------------------------------------------------------------------------------------------ */

static enum status next_epoch(struct batches *b, struct err *err)
{
	free(b->order);
	b->order = NULL;
	return dataset_order(b->options.data, b->options.seed, b->next.epoch, &b->order, &b->order_count, err);
}

/* Lays out the next slot. A weight below 1 may leave an epoch empty: the next one is looked at. */
static enum status lay_out(struct batches *b, struct err *err)
{
	struct slot *slot = &b->slots[b->filled % SLOTS];

	for (size_t i = 0; i < b->n; i++) {
		while (b->next.offset >= b->order_count) {
			b->next = (struct batches_place){b->next.epoch + 1, 0};
			enum status status = next_epoch(b, err);
			if (status != STATUS_OK)
				return status;
		}
		slot->places[i] = (struct place){.epoch = b->next.epoch, .offset = b->next.offset, .wanted = b->order[b->next.offset]};
		b->next.offset++;
	}
	slot->end = b->next;
	pthread_mutex_lock(&b->lock);
	slot->taken = slot->done = 0;
	slot->failed = false;
	b->filled++;
	pthread_cond_broadcast(&b->work);
	pthread_mutex_unlock(&b->lock);
	return STATUS_OK;
}

static enum status slot_init(struct batches *b, struct slot *slot, struct err *err)
{
	const struct batches_options *o = &b->options;

	slot->places = mem_array(b->n, sizeof *slot->places);
	slot->rgb = mem_array(b->n, b->image);
	slot->ids = mem_array(mem_product(b->n, o->config->context_length), sizeof *slot->ids);
	slot->begin = mem_array(mem_product(o->parts, o->batch + 1), sizeof *slot->begin);
	slot->photo = mem_array(b->n, sizeof *slot->photo);
	slot->caption = mem_array(b->n, sizeof *slot->caption);
	bool good = slot->places && slot->rgb && slot->ids && slot->begin && slot->photo && slot->caption;
	return good ? STATUS_OK : err_memory(err, "the batches");
}

enum status batches_open(const struct batches_options *options, struct batches **batches, struct err *err)
{
	struct batches *b = mem_array(1, sizeof *b);
	enum status status = STATUS_OK;

	*batches = NULL;
	if (!b)
		return err_memory(err, "the batches");
	b->options = *options;
	b->n = mem_product(options->batch, options->parts);
	b->image = 3 * options->config->image_size * options->config->image_size;
	b->next = b->place = options->place;
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->work, NULL);
	pthread_cond_init(&b->ready, NULL);
	for (size_t i = 0; i < SLOTS && status == STATUS_OK; i++)
		status = slot_init(b, &b->slots[i], err);
	b->threads = mem_array(options->threads, sizeof *b->threads);
	if (status == STATUS_OK && !b->threads)
		status = err_memory(err, "the batches");
	if (status == STATUS_OK)
		status = next_epoch(b, err);
	for (size_t i = 0; i < options->threads && status == STATUS_OK; i++) {
		if (pthread_create(&b->threads[i], NULL, work, b) != 0)
			status = err_set(err, STATUS_FAILED, "cannot start a thread to decode photographs with");
		else
			b->thread_count++;
	}
	while (status == STATUS_OK && b->filled < SLOTS - 1)
		status = lay_out(b, err);
	if (status == STATUS_OK)
		*batches = b;
	else
		batches_close(b);
	return status;
}

void batches_close(struct batches *b)
{
	if (!b)
		return;
	pthread_mutex_lock(&b->lock);
	b->stop = true;
	pthread_cond_broadcast(&b->work);
	pthread_mutex_unlock(&b->lock);
	for (size_t i = 0; i < b->thread_count; i++)
		pthread_join(b->threads[i], NULL);
	for (size_t i = 0; i < SLOTS; i++) {
		free(b->slots[i].places);
		free(b->slots[i].rgb);
		free(b->slots[i].ids);
		free(b->slots[i].begin);
		free(b->slots[i].photo);
		free(b->slots[i].caption);
	}
	free(b->threads);
	free(b->order);
	pthread_mutex_destroy(&b->lock);
	pthread_cond_destroy(&b->work);
	pthread_cond_destroy(&b->ready);
	free(b);
}

/* ---- handing out ------------------------------------------------------------------------------------------------ */

/* Which photograph and which text each sample turned out to be, in parts. */
static void hand_out(const struct batches *b, struct slot *slot, struct objective_part *parts)
{
	const struct batches_options *o = &b->options;
	int32_t *ids = slot->ids;

	for (size_t k = 0; k < o->parts; k++) {
		size_t *begin = slot->begin + k * (o->batch + 1), first = k * o->batch;
		parts[k] = (struct objective_part){{o->batch, NULL, slot->rgb + first * b->image, ids, begin}, slot->photo + first,
						   slot->caption + first};
		begin[0] = 0;
		for (size_t i = 0; i < o->batch; i++) {
			const struct place *place = &slot->places[first + i];
			size_t count;
			const int32_t *text = dataset_ids(o->data, DATASET_TRAIN, place->sample, place->caption, &count);
			memcpy(ids + begin[i], text, count * sizeof *ids);
			begin[i + 1] = begin[i] + count;
			slot->photo[first + i] = dataset_photo(o->data, DATASET_TRAIN, place->sample);
			slot->caption[first + i] = XXH3_64bits(text, count * sizeof *text);
		}
		ids += begin[o->batch];
	}
}

enum status batches_next(struct batches *b, struct objective_part *parts, struct err *err)
{
	/* The slot that was handed out last is free now. */
	enum status status = lay_out(b, err);
	if (status != STATUS_OK)
		return status;
	struct slot *slot = &b->slots[b->handed % SLOTS];
	pthread_mutex_lock(&b->lock);
	while (slot->done < b->n)
		pthread_cond_wait(&b->ready, &b->lock);
	b->handed++;
	pthread_mutex_unlock(&b->lock);
	if (slot->failed) {
		*err = b->failure;
		return err_prefix(err, "none of %d photographs drawn can be decoded; the first", TRIES);
	}
	hand_out(b, slot, parts);
	b->place = slot->end;
	return STATUS_OK;
}

struct batches_place batches_place(const struct batches *b)
{
	return b->place;
}

size_t batches_failed(struct batches *b, char example[256])
{
	pthread_mutex_lock(&b->lock);
	size_t failures = b->failures;
	if (failures)
		memcpy(example, b->failure.text, 255);
	pthread_mutex_unlock(&b->lock);
	example[failures ? 255 : 0] = '\0';
	return failures;
}
