/* dataset.c: see dataset.h. Samples of all sources lie in one array in the order in which they were read; two lists of
 * numbers say which are for training and which are held out. */
#include "model/data/dataset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "model/data/phrases.h"
#include "model/data/samples.h"
#include "schema/base/random.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { PHOTO_MOST = 1 << 30 };
static const double BROADER_SHARE = 0.25; /* of what is said of a class that has broader terms */

struct item {
	uint64_t photo;         /* hash of the bytes, or of the path */
	uint8_t *bytes;         /* in memory; NULL: in the spill file, or a path */
	char *path;             /* of a table's photograph */
	off_t offset;           /* in the spill file */
	size_t size;
	size_t first_caption, caption_count;
	uint64_t shows;         /* bits of broader terms */
	uint32_t number;        /* in its source */
	uint32_t broader_count; /* captions that are broader terms, behind the others */
	uint32_t source;
	bool held_out;
};

struct source {
	struct dataset_source kind;
	size_t count;           /* samples read from it */
};

struct dataset {
	size_t memory_most, holdout;
	char *spill_folder;
	FILE *spill;

	struct source *sources;
	size_t source_count;
	struct item *items;
	size_t item_count, item_room;
	struct phrases phrases;

	uint32_t *part[2];      /* numbers of items */
	size_t part_count[2];
	struct dataset_counts counts;
};

enum status dataset_new(size_t memory, const char *spill_folder, size_t holdout, struct dataset **data, struct err *err)
{
	struct dataset *d = mem_array(1, sizeof *d);

	*data = NULL;
	if (!d || !(d->spill_folder = mem_copy(spill_folder, strlen(spill_folder)))) {
		free(d);
		return err_memory(err, "the samples");
	}
	d->memory_most = memory;
	d->holdout = holdout;
	*data = d;
	return STATUS_OK;
}

void dataset_free(struct dataset *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->item_count; i++) {
		free(d->items[i].bytes);
		free(d->items[i].path);
	}
	if (d->spill)
		fclose(d->spill);
	phrases_release(&d->phrases);
	free(d->spill_folder);
	free(d->sources);
	free(d->items);
	free(d->part[0]);
	free(d->part[1]);
	free(d);
}

enum status dataset_prompts(struct dataset *d, const char *path, struct err *err)
{
	return phrases_prompts(&d->phrases, path, err);
}

enum status dataset_broader(struct dataset *d, const char *path, struct err *err)
{
	return phrases_broader(&d->phrases, path, err);
}

/* ---- reading sources -------------------------------------------------------------------------------------------- */

static enum status add_source(struct dataset *d, const struct dataset_source *kind, struct err *err)
{
	struct source *grown = mem_resize(d->sources, d->source_count + 1, sizeof *grown);

	if (!grown)
		return err_memory(err, "the list of sources");
	d->sources = grown;
	d->sources[d->source_count++] = (struct source){kind ? *kind : (struct dataset_source){.weight = 1}, 0};
	return kind && kind->classes && !d->phrases.prompts.count ? phrases_prompts(&d->phrases, NULL, err) : STATUS_OK;
}

/* A new item of the last source; its captions follow. NULL when out of memory. */
static struct item *add_item(struct dataset *d)
{
	if (d->item_count >= UINT32_MAX || !mem_grow(&d->items, &d->item_room, d->item_count + 1, sizeof *d->items))
		return NULL;
	struct source *source = &d->sources[d->source_count - 1];
	struct item *item = &d->items[d->item_count++];
	*item = (struct item){.first_caption = d->phrases.count, .source = (uint32_t)(d->source_count - 1),
			      .number = (uint32_t)source->count};
	source->count++;
	item->held_out = samples_hold_out(source->count, d->holdout);
	return item;
}

/* Beyond the memory limit. The file loses its name at once: it goes with the process, however that ends. */
static enum status spill(struct dataset *d, const uint8_t *bytes, struct item *item, struct err *err)
{
	if (!d->spill) {
		struct file_writer nameless = {0};
		char *path = path_join(d->spill_folder, "samples");
		enum status status = path ? file_writer_open(path, &nameless, err) : err_memory(err, "a file name");
		d->spill = nameless.stream;
		nameless.stream = NULL;
		if (status == STATUS_OK)
			file_writer_abort(&nameless);
		free(path);
		if (status != STATUS_OK)
			return status;
	}
	item->offset = ftello(d->spill);
	if (fwrite(bytes, 1, item->size, d->spill) != item->size)
		return err_set(err, STATUS_IO, "cannot keep samples in '%s': %s; hint: more --memory, or room there", d->spill_folder,
			       strerror(errno));
	d->counts.spilled += item->size;
	return STATUS_OK;
}

/* captions become those of the last item. */
static bool add_captions(struct dataset *d, const struct sample *sample)
{
	struct item *item = &d->items[d->item_count - 1];
	const struct class *class;
	bool good = true;

	item->caption_count = sample->caption_count;
	if (d->sources[item->source].kind.classes) {
		if (!phrases_class(&d->phrases, sample->captions, sample->caption_count, &class))
			return false;
		item->first_caption = class->first;
		item->broader_count = class->broader_count;
		item->shows = class->shows;
		return true;
	}
	for (size_t c = 0; c < sample->caption_count && good; c++) {
		size_t size = strlen(sample->captions[c]);
		item->shows |= broader_in(&d->phrases.broader, sample->captions[c], size);
		good = phrases_add(&d->phrases, sample->captions[c], size);
	}
	return good;
}

static enum status add_sample(struct dataset *d, const struct sample *sample, struct err *err)
{
	struct item *item = add_item(d);

	if (!item)
		return err_memory(err, "the samples");
	if (!add_captions(d, sample))
		return err_memory(err, "the captions");
	if (!sample->image) {
		item->path = mem_copy(sample->key, strlen(sample->key));
		item->photo = XXH3_64bits(sample->key, strlen(sample->key));
		return item->path ? STATUS_OK : err_memory(err, "the samples");
	}
	item->size = sample->image_size;
	item->photo = XXH3_64bits(sample->image, sample->image_size);
	if (d->counts.memory + item->size > d->memory_most)
		return spill(d, sample->image, item, err);
	item->bytes = (uint8_t *)mem_copy(sample->image, sample->image_size);
	if (!item->bytes)
		return err_memory(err, "the samples");
	d->counts.memory += item->size;
	return STATUS_OK;
}

static enum status add(struct dataset *d, const char *path, enum samples_kind kind, const struct dataset_source *source, struct err *err)
{
	struct samples *samples = NULL;
	struct sample sample;
	enum status status = add_source(d, source, err);

	if (status == STATUS_OK)
		status = samples_open(path, kind, &samples, err);
	if (status != STATUS_OK)
		return status;
	while ((status = samples_next(samples, &sample, err)) == STATUS_OK)
		if ((status = add_sample(d, &sample, err)) != STATUS_OK)
			break;
	d->counts.skipped += samples_skipped(samples);
	samples_close(samples);
	return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status dataset_add_shard(struct dataset *d, const char *path, const struct dataset_source *source, struct err *err)
{
	return add(d, path, SAMPLES_SHARD, source, err);
}

enum status dataset_add_table(struct dataset *d, const char *path, const struct dataset_source *source, struct err *err)
{
	return add(d, path, SAMPLES_TABLE, source, err);
}

/* ---- parts ------------------------------------------------------------------------------------------------------ */

static int compare_photos(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

enum status dataset_finish(struct dataset *d, struct err *err)
{
	uint64_t *held = mem_array(d->item_count, sizeof *held);
	size_t n = 0;

	for (int p = 0; p < 2; p++)
		d->part[p] = mem_array(d->item_count, sizeof *d->part[p]);
	if (!held || !d->part[0] || !d->part[1]) {
		free(held);
		return err_memory(err, "the list of samples");
	}
	if (d->spill && fflush(d->spill) != 0) {
		free(held);
		return err_set(err, STATUS_IO, "cannot keep samples in '%s': %s; hint: more --memory, or room there", d->spill_folder,
			       strerror(errno));
	}
	for (size_t i = 0; i < d->item_count; i++)
		if (d->items[i].held_out)
			held[n++] = d->items[i].photo;
	qsort(held, n, sizeof *held, compare_photos);
	for (size_t i = 0; i < d->item_count; i++) {
		const struct item *item = &d->items[i];
		enum dataset_part part = item->held_out ? DATASET_HELD_OUT : DATASET_TRAIN;
		if (!item->held_out && bsearch(&item->photo, held, n, sizeof *held, compare_photos)) {
			d->counts.twins++;
			continue;
		}
		d->part[part][d->part_count[part]++] = (uint32_t)i;
	}
	free(held);
	if (d->part_count[DATASET_TRAIN] == 0)
		return err_set(err, STATUS_NOT_FOUND, "there is nothing to train on: no sample has both a photograph and a caption");
	return STATUS_OK;
}

void dataset_count(const struct dataset *d, struct dataset_counts *counts)
{
	*counts = d->counts;
	counts->samples = d->part_count[DATASET_TRAIN];
	counts->held_out = d->part_count[DATASET_HELD_OUT];
	counts->captions = d->phrases.count;
}

uint64_t dataset_digest(const struct dataset *d)
{
	uint64_t digest = XXH3_64bits(d->phrases.texts.data, d->phrases.texts.size);

	for (size_t i = 0; i < d->item_count; i++)
		digest = random_keyed(digest, d->items[i].photo, d->items[i].held_out);
	for (size_t i = 0; i < d->source_count; i++) {
		const struct dataset_source *kind = &d->sources[i].kind;
		digest = random_keyed(digest, (uint64_t)(kind->weight * 1e6), d->sources[i].count);
		digest = random_keyed(digest, kind->classes, kind->whole + 2u * kind->pairs);
		if (kind->own_mix)
			digest = random_keyed(digest, (uint64_t)(kind->mix * 1e6), 1);
	}
	return digest;
}

/* ---- samples ---------------------------------------------------------------------------------------------------- */

static const struct item *item_of(const struct dataset *d, enum dataset_part part, size_t sample)
{
	return &d->items[d->part[part][sample]];
}

const struct dataset_source *dataset_source(const struct dataset *d, enum dataset_part part, size_t sample)
{
	return &d->sources[item_of(d, part, sample)->source].kind;
}

size_t dataset_captions(const struct dataset *d, enum dataset_part part, size_t sample)
{
	return item_of(d, part, sample)->caption_count;
}

const char *dataset_caption(const struct dataset *d, enum dataset_part part, size_t sample, size_t which)
{
	return d->phrases.texts.data + d->phrases.list[item_of(d, part, sample)->first_caption + which].at;
}

const int32_t *dataset_ids(const struct dataset *d, enum dataset_part part, size_t sample, size_t which, size_t *count)
{
	const struct caption *caption = &d->phrases.list[item_of(d, part, sample)->first_caption + which];

	*count = caption->ids_count;
	return d->phrases.ids + caption->ids_at;
}

size_t dataset_draw(const struct dataset *d, size_t sample, uint64_t *random)
{
	const struct item *item = item_of(d, DATASET_TRAIN, sample);

	if (!d->sources[item->source].kind.classes)
		return random_below(random, item->caption_count);
	size_t all = item->caption_count + item->broader_count;
	size_t name = random_unit(random) < 0.5 ? 0 : random_below(random, item->caption_count);
	if (item->broader_count && random_unit(random) < BROADER_SHARE)
		name = item->caption_count + random_below(random, item->broader_count);
	return name + all * random_below(random, d->phrases.prompts.count + 1);
}

uint64_t dataset_text(const struct dataset *d, enum dataset_part part, size_t sample, size_t which)
{
	return d->phrases.list[item_of(d, part, sample)->first_caption + which].text;
}

uint64_t dataset_shows(const struct dataset *d, enum dataset_part part, size_t sample)
{
	return item_of(d, part, sample)->shows;
}

uint64_t dataset_says(const struct dataset *d, enum dataset_part part, size_t sample, size_t which)
{
	return d->phrases.list[item_of(d, part, sample)->first_caption + which].says;
}

size_t dataset_number(const struct dataset *d, enum dataset_part part, size_t sample)
{
	return item_of(d, part, sample)->number;
}

bool dataset_sided(const struct dataset *d, enum dataset_part part, size_t sample, size_t which)
{
	return d->phrases.list[item_of(d, part, sample)->first_caption + which].sided;
}

uint64_t dataset_photo(const struct dataset *d, enum dataset_part part, size_t sample)
{
	return item_of(d, part, sample)->photo;
}

enum status dataset_bytes(const struct dataset *d, enum dataset_part part, size_t sample, const uint8_t **bytes, size_t *size, void **owned,
			  struct err *err)
{
	const struct item *item = item_of(d, part, sample);
	uint8_t *read = NULL;

	*owned = NULL;
	*size = item->size;
	*bytes = item->bytes;
	if (item->bytes)
		return STATUS_OK;
	if (item->path) {
		enum status status = file_read(item->path, PHOTO_MOST, &read, size, err);
		*bytes = *owned = read;
		return status;
	}
	read = malloc(item->size + 1);
	if (!read)
		return err_memory(err, "a photograph");
	for (size_t done = 0; done < item->size;) {
		ssize_t n = pread(fileno(d->spill), read + done, item->size - done, item->offset + (off_t)done);
		if (n <= 0 && errno != EINTR) {
			free(read);
			return err_set(err, STATUS_IO, "cannot read a sample back: %s", n ? strerror(errno) : "the file ends");
		}
		done += n > 0 ? (size_t)n : 0;
	}
	*bytes = *owned = read;
	return STATUS_OK;
}

enum status dataset_tokenise(struct dataset *d, const struct tokenizer *tokenizer, size_t context, struct err *err)
{
	return phrases_tokenise(&d->phrases, tokenizer, context, err);
}

enum status dataset_captions_each(const struct dataset *d, caption_visitor visit, void *context, struct err *err)
{
	for (size_t s = 0; s < d->part_count[DATASET_TRAIN]; s++) {
		const struct item *item = item_of(d, DATASET_TRAIN, s);
		for (size_t c = 0; c < item->caption_count; c++) {
			const struct caption *caption = &d->phrases.list[item->first_caption + c];
			enum status status = visit(context, d->phrases.texts.data + caption->at, caption->size, err);
			if (status != STATUS_OK)
				return status;
		}
	}
	return STATUS_OK;
}

size_t dataset_epoch_samples(const struct dataset *d)
{
	double sum = 0;

	for (size_t s = 0; s < d->part_count[DATASET_TRAIN]; s++)
		sum += d->sources[item_of(d, DATASET_TRAIN, s)->source].kind.weight;
	return sum < 1 ? 1 : (size_t)(sum + 0.5);
}
