/* batches.c: see batches.h. A ring of slots: one is being computed with, the others are being filled. Threads take the next
 * sample of the oldest slot that has one left; the slots are handed out in order. */
#include "model/data/batches.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "model/image/image.h"
#include "model/data/epoch.h"
#include "schema/base/random.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { SLOTS = 3, TRIES = 50, AUGMENT = 0x61756767, MIX = 0x6d6978, FORGET = 0x666f7267 };

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
	uint8_t *hidden;        /* [n*C] */
	struct batch_sample *samples; /* [n] */
	struct batches_place end;
	size_t taken, done;     /* samples that a thread has begun, finished */
	bool failed;
};

struct batches {
	struct batches_options options;
	size_t n;               /* samples of a slot */
	size_t image;           /* bytes of a crop */
	uint8_t *unmixed;       /* [S,S,3]: one of a pair that is being mixed */
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

static enum status make_crop(const struct batches *b, size_t sample, size_t caption, uint64_t *random, uint8_t *rgb, struct err *err)
{
	bool whole = dataset_source(b->options.data, DATASET_TRAIN, sample)->whole;
	struct augment augment = whole ? (struct augment){.scale_least = 1} : b->options.augment;
	const uint8_t *bytes;
	size_t size;
	void *owned;
	enum status status = dataset_bytes(b->options.data, DATASET_TRAIN, sample, &bytes, &size, &owned, err);

	augment.flip = augment.flip && !dataset_sided(b->options.data, DATASET_TRAIN, sample, caption);
	if (status == STATUS_OK)
		status = augment_image(&augment, bytes, size, b->options.config->image_size, random, rgb, err);
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
		place->caption = (uint32_t)dataset_draw(b->options.data, place->sample, &random);
		if (make_crop(b, place->sample, place->caption, &random, rgb, &err) == STATUS_OK)
			return true;
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
	const struct epoch_options order = {b->options.seed, b->n, b->options.together};
	return epoch_order(b->options.data, &order, b->next.epoch, &b->order, &b->order_count, err);
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
	slot->hidden = mem_array(mem_product(b->n, o->config->context_length), sizeof *slot->hidden);
	slot->samples = mem_array(b->n, sizeof *slot->samples);
	bool good = slot->places && slot->rgb && slot->ids && slot->hidden && slot->begin && slot->samples;
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
	b->unmixed = mem_array(b->image, 1);
	if (status == STATUS_OK && (!b->threads || !b->unmixed))
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
		free(b->slots[i].hidden);
		free(b->slots[i].samples);
	}
	free(b->threads);
	free(b->unmixed);
	free(b->order);
	pthread_mutex_destroy(&b->lock);
	pthread_cond_destroy(&b->work);
	pthread_cond_destroy(&b->ready);
	free(b);
}

/* ---- handing out ------------------------------------------------------------------------------------------------ */

/* A rectangle of the other photograph, of the sides' ratio, anywhere, cut off where it leaves the picture. Returns what is left of
 * the photograph's own. */
static double paste(uint8_t *rgb, const uint8_t *other, size_t S, double share, uint64_t *random)
{
	double side = (double)S * sqrt(1 - share), x = random_unit(random) * (double)S, y = random_unit(random) * (double)S;
	size_t left = (size_t)fmax(x - side / 2, 0), right = (size_t)fmin(x + side / 2, (double)S);
	size_t top = (size_t)fmax(y - side / 2, 0), bottom = (size_t)fmin(y + side / 2, (double)S);

	for (size_t row = top; row < bottom; row++)
		memcpy(rgb + (row * S + left) * 3, other + (row * S + left) * 3, (right - left) * 3);
	return 1 - (double)((right - left) * (bottom - top)) / (double)(S * S);
}

/* Mixes rgb with another photograph; returns its own share. */
static float mix(const struct batches *b, uint8_t *rgb, const uint8_t *other, uint64_t *random)
{
	double share = 1 - random_unit(random) / 2;

	if (random_unit(random) < 0.5)
		return (float)paste(rgb, other, b->options.config->image_size, share, random);
	int own = (int)lround(share * 256);
	for (size_t i = 0; i < b->image; i++)
		rgb[i] = (uint8_t)((own * rgb[i] + (256 - own) * other[i] + 128) >> 8);
	return (float)own / 256;
}

static double share_mixed(const struct batches *b, const struct dataset_source *source)
{
	return source->own_mix ? source->mix : b->options.mix;
}

/* Samples i and j of a slot, each with the other. */
static void mix_pair(struct batches *b, struct slot *slot, size_t i, size_t j)
{
	uint8_t *first = slot->rgb + i * b->image, *second = slot->rgb + j * b->image;
	const struct place *places[2] = {&slot->places[i], &slot->places[j]};
	uint64_t random[2];
	bool mixed[2];

	for (int k = 0; k < 2; k++) {
		const struct dataset_source *source = dataset_source(b->options.data, DATASET_TRAIN, places[k]->sample);
		random[k] = random_keyed(b->options.seed ^ MIX, places[k]->epoch, places[k]->offset);
		mixed[k] = random_unit(&random[k]) < share_mixed(b, source);
		if (source->whole)
			return;
	}
	if (!mixed[0] && !mixed[1])
		return;
	memcpy(b->unmixed, first, b->image);
	if (mixed[0])
		slot->samples[i].share = mix(b, first, second, &random[0]);
	if (mixed[1])
		slot->samples[j].share = mix(b, second, b->unmixed, &random[1]);
}

/* hidden[count]: words between the start and the end. */
static void forget_words(const struct batches *b, const struct place *place, uint8_t *hidden, size_t count)
{
	const struct dataset_source *source = dataset_source(b->options.data, DATASET_TRAIN, place->sample);
	uint64_t random = random_keyed(b->options.seed ^ FORGET, place->epoch, place->offset);
	bool kept = source->classes || source->whole;

	for (size_t j = 0; j < count; j++)
		hidden[j] = !kept && j > 0 && j + 1 < count && random_unit(&random) < b->options.forget;
}

/* Which photograph and which text each sample turned out to be, in parts. */
static void hand_out(struct batches *b, struct slot *slot, struct batch_part *parts)
{
	const struct batches_options *o = &b->options;
	int32_t *ids = slot->ids;
	uint8_t *hidden = slot->hidden;

	for (size_t k = 0; k < o->parts; k++) {
		size_t *begin = slot->begin + k * (o->batch + 1), first = k * o->batch;
		parts[k] = (struct batch_part){
			.batch = {o->batch, NULL, slot->rgb + first * b->image, ids, begin, hidden},
			.samples = slot->samples + first,
		};
		begin[0] = 0;
		for (size_t i = 0; i < o->batch; i++) {
			const struct place *place = &slot->places[first + i];
			size_t count;
			const int32_t *text = dataset_ids(o->data, DATASET_TRAIN, place->sample, place->caption, &count);
			memcpy(ids + begin[i], text, count * sizeof *ids);
			forget_words(b, place, hidden + begin[i], count);
			begin[i + 1] = begin[i] + count;
			slot->samples[first + i] = (struct batch_sample){
				.photo = dataset_photo(o->data, DATASET_TRAIN, place->sample),
				.caption = dataset_text(o->data, DATASET_TRAIN, place->sample, place->caption),
				.shows = dataset_shows(o->data, DATASET_TRAIN, place->sample),
				.says = dataset_says(o->data, DATASET_TRAIN, place->sample, place->caption),
				.partner = (uint32_t)(o->batch - 1 - i),
				.share = 1,
			};
		}
		for (size_t i = 0; i < o->batch / 2; i++)
			mix_pair(b, slot, first + i, first + o->batch - 1 - i);
		ids += begin[o->batch];
		hidden += begin[o->batch];
	}
}

enum status batches_next(struct batches *b, struct batch_part *parts, struct err *err)
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
