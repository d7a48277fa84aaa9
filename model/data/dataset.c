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

#include "model/data/broader.h"
#include "model/words/prompts.h"
#include "model/math/random.h"
#include "model/words/words.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "schema/base/shards.h"

#include "schema/base/banned.h"

enum { PHOTO_MOST = 1 << 30, TABLE_MOST = 1 << 30 };
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

struct caption {
	size_t at, size;        /* in texts */
	size_t ids_at, ids_count;
	uint64_t text;          /* equal where captions say the same */
	uint64_t says;          /* bit of the broader term that it is; 0: it is none */
	bool sided;
};

struct source {
	struct dataset_source kind;
	size_t count;           /* samples read from it */
};

/* Samples of one class share its captions: names, broader terms, then the first prompt around each of these, the second one, and so on. */
struct class {
	uint64_t key;           /* of all names */
	uint64_t shows;
	size_t first_caption;
	uint32_t broader_count;
};

struct dataset {
	size_t memory_most, holdout;
	char *spill_folder;
	FILE *spill;

	struct source *sources;
	size_t source_count;
	struct item *items;
	size_t item_count, item_room;
	struct caption *captions;
	size_t caption_count, caption_room;
	struct buffer texts;
	struct prompts prompts; /* read when the first class comes, unless they are given */
	struct broader broader;
	struct class *classes;  /* [class_room], a power of two: a hash table, empty where the key is 0 */
	size_t class_count, class_room;
	int32_t *ids;
	size_t ids_count, ids_room;

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
	prompts_release(&d->prompts);
	broader_release(&d->broader);
	free(d->classes);
	free(d->spill_folder);
	free(d->sources);
	free(d->items);
	free(d->captions);
	free(d->ids);
	free(d->part[0]);
	free(d->part[1]);
	buffer_release(&d->texts);
	free(d);
}

/* ---- reading sources -------------------------------------------------------------------------------------------- */

/* Room for one more. */
static bool grow(void **array, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return true;
	size_t more = *room ? 2 * *room : 1024;
	void *grown = mem_resize(*array, more, size);
	if (!grown)
		return false;
	*array = grown;
	*room = more;
	return true;
}

static enum status add_source(struct dataset *d, const struct dataset_source *kind, struct err *err)
{
	struct source *grown = mem_resize(d->sources, d->source_count + 1, sizeof *grown);

	if (!grown)
		return err_memory(err, "the list of sources");
	d->sources = grown;
	d->sources[d->source_count++] = (struct source){kind ? *kind : (struct dataset_source){.weight = 1}, 0};
	return kind && kind->classes && !d->prompts.count ? prompts_read(NULL, &d->prompts, err) : STATUS_OK;
}

/* A new item of the last source; its captions follow. NULL when out of memory. */
static struct item *add_item(struct dataset *d)
{
	if (d->item_count >= UINT32_MAX || !grow((void **)&d->items, d->item_count, &d->item_room, sizeof *d->items))
		return NULL;
	struct source *source = &d->sources[d->source_count - 1];
	struct item *item = &d->items[d->item_count++];
	*item = (struct item){.first_caption = d->caption_count, .source = (uint32_t)(d->source_count - 1),
			      .number = (uint32_t)source->count};
	source->count++;
	item->held_out = d->holdout && source->count % d->holdout == 0;
	return item;
}

/* Whether text says left or right. */
static bool is_sided(const char *text, size_t size)
{
	return words_have(text, size, "left", false) || words_have(text, size, "right", false);
}

static bool append_caption(struct dataset *d, const char *text, size_t size)
{
	if (!grow((void **)&d->captions, d->caption_count, &d->caption_room, sizeof *d->captions))
		return false;
	d->captions[d->caption_count++] = (struct caption){.at = d->texts.size, .size = size, .sided = is_sided(text, size)};
	buffer_append(&d->texts, text, size);
	buffer_append(&d->texts, "", 1);
	return !d->texts.failed;
}

static bool add_caption(struct dataset *d, const char *text, size_t size)
{
	struct item *item = &d->items[d->item_count - 1];

	item->caption_count++;
	item->shows |= broader_in(&d->broader, text, size);
	return append_caption(d, text, size);
}

/* ---- classes ---------------------------------------------------------------------------------------------------- */

enum status dataset_prompts(struct dataset *d, const char *path, struct err *err)
{
	prompts_release(&d->prompts);
	return prompts_read(path, &d->prompts, err);
}

enum status dataset_broader(struct dataset *d, const char *path, struct err *err)
{
	broader_release(&d->broader);
	return broader_read(path, &d->broader, err);
}

/* The place of a class in the table: its own or an empty one. */
static struct class *class_at(const struct dataset *d, uint64_t key)
{
	size_t i = key & (d->class_room - 1);

	while (d->classes[i].key && d->classes[i].key != key)
		i = (i + 1) & (d->class_room - 1);
	return &d->classes[i];
}

/* Room for one more class; at most half of the table is taken. */
static bool grow_classes(struct dataset *d)
{
	if (2 * d->class_count < d->class_room)
		return true;
	struct dataset larger = {.class_room = d->class_room ? 2 * d->class_room : 1024};
	larger.classes = mem_array(larger.class_room, sizeof *larger.classes);
	if (!larger.classes)
		return false;
	for (size_t i = 0; i < d->class_room; i++)
		if (d->classes[i].key)
			*class_at(&larger, d->classes[i].key) = d->classes[i];
	free(d->classes);
	d->classes = larger.classes;
	d->class_room = larger.class_room;
	return true;
}

/* The captions of a class that was not seen before: names[count], of which the last ones are broader terms. */
static bool append_captions(struct dataset *d, const char *const *names, size_t count)
{
	bool good = true;

	for (size_t c = 0; c < count && good; c++)
		good = append_caption(d, names[c], strlen(names[c]));
	for (size_t p = 0; p < d->prompts.count && good; p++)
		for (size_t c = 0; c < count && good; c++) {
			char *text = prompts_fill(d->prompts.lines[p], prompts_name(names[c]));
			good = text && append_caption(d, text, strlen(text));
			free(text);
		}
	return good;
}

/* Synonyms are one class wherever the usual name is the same, and broader terms one thing wherever they are. */
static void mark_captions(struct dataset *d, size_t first, const char *usual, size_t own, const struct broader_row *row)
{
	size_t all = own + (row ? row->count : 0);

	for (size_t c = first; c < d->caption_count; c++) {
		size_t which = (c - first) % all;
		uint32_t term = which < own ? 0 : row->terms[which - own];
		const char *said = which < own ? usual : d->broader.terms[term];
		d->captions[c].text = XXH3_64bits(said, strlen(said));
		d->captions[c].says = which < own ? 0 : broader_bit(term);
	}
}

static bool append_class(struct dataset *d, const char *const *captions, size_t count, struct class *class)
{
	const char *usual = prompts_name(captions[0]);
	const struct broader_row *row = broader_find(&d->broader, usual);
	size_t broader = row ? row->count : 0, first = d->caption_count;
	const char **names = mem_array(count + broader, sizeof *names);

	for (size_t c = 0; c < count + broader && names; c++)
		names[c] = c < count ? captions[c] : d->broader.terms[row->terms[c - count]];
	bool good = names && append_captions(d, names, count + broader);
	if (good)
		mark_captions(d, first, usual, count, row);
	class->first_caption = first;
	class->broader_count = (uint32_t)broader;
	class->shows = broader_bits(row);
	free(names);
	return good;
}

/* captions become those of the last item. */
static bool add_class(struct dataset *d, const char *const *captions, size_t count)
{
	struct item *item = &d->items[d->item_count - 1];
	uint64_t key = 0;

	for (size_t c = 0; c < count; c++)
		key = random_keyed(key, XXH3_64bits(captions[c], strlen(captions[c])), c);
	key += key == 0;
	if (!grow_classes(d))
		return false;
	struct class *class = class_at(d, key);
	if (!class->key) {
		class->key = key;
		d->class_count++;
		if (!append_class(d, captions, count, class))
			return false;
	}
	item->first_caption = class->first_caption;
	item->caption_count = count;
	item->broader_count = class->broader_count;
	item->shows = class->shows;
	return true;
}

/* ---- samples of shards and tables ------------------------------------------------------------------------------- */

/* Beyond the memory limit. The file loses its name at once: it goes with the process, however that ends. */
static enum status spill(struct dataset *d, const uint8_t *bytes, struct item *item, struct err *err)
{
	if (!d->spill) {
		char *path = path_join(d->spill_folder, "samples.tmp");
		d->spill = path ? fopen(path, "w+b") : NULL;
		if (d->spill)
			unlink(path);
		else
			err_set(err, STATUS_IO, "cannot create '%s': %s", path ? path : "samples.tmp", strerror(errno));
		free(path);
		if (!d->spill)
			return STATUS_IO;
	}
	item->offset = ftello(d->spill);
	if (fwrite(bytes, 1, item->size, d->spill) != item->size)
		return err_set(err, STATUS_IO, "cannot keep samples in '%s': %s; hint: more --memory, or room there", d->spill_folder,
			       strerror(errno));
	d->counts.spilled += item->size;
	return STATUS_OK;
}

static enum status add_sample(struct dataset *d, const struct sample *sample, struct err *err)
{
	struct item *item = add_item(d);

	if (!item)
		return err_memory(err, "the samples");
	bool good = true;
	if (d->sources[item->source].kind.classes)
		good = add_class(d, sample->captions, sample->caption_count);
	else
		for (size_t c = 0; c < sample->caption_count && good; c++)
			good = add_caption(d, sample->captions[c], strlen(sample->captions[c]));
	if (!good)
		return err_memory(err, "the captions");
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

enum status dataset_add_shard(struct dataset *d, const char *path, const struct dataset_source *source, struct err *err)
{
	struct shard *shard = NULL;
	struct sample sample;
	enum status status = add_source(d, source, err);

	if (status == STATUS_OK)
		status = shard_open(path, &shard, err);
	if (status != STATUS_OK)
		return status;
	while ((status = shard_next(shard, &sample, err)) == STATUS_OK)
		if ((status = add_sample(d, &sample, err)) != STATUS_OK)
			break;
	d->counts.skipped += shard_skipped(shard);
	shard_close(shard);
	return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* A table that is being read. */
struct table {
	const char *path;
	char *folder;
	const char **names;     /* [count]: in a table of classes, what the last photograph shows, in the file's bytes */
	size_t count, room;
};

/* The last photograph's names are complete. */
static enum status end_names(struct dataset *d, struct table *table, struct err *err)
{
	bool good = table->count == 0 || add_class(d, table->names, table->count);

	table->count = 0;
	return good ? STATUS_OK : err_memory(err, "the captions");
}

static bool add_name(struct table *table, char *name, size_t size)
{
	if (!grow((void **)&table->names, table->count, &table->room, sizeof *table->names))
		return false;
	name[size] = 0;
	table->names[table->count++] = name;
	return true;
}

/* Lines of one path follow each other or not: the last item alone is looked at, as tables are usually grouped. */
static enum status add_row(struct dataset *d, struct table *table, const char *path, size_t path_size, char *caption, size_t size,
			   struct err *err)
{
	char *name = mem_copy(path, path_size);
	char *whole = !name ? NULL : path[0] == '/' ? mem_copy(name, path_size) : path_join(table->folder, name);
	struct item *item = d->item_count ? &d->items[d->item_count - 1] : NULL;
	bool again = whole && item && item->path && item->source + 1 == d->source_count && strcmp(item->path, whole) == 0;
	enum status status = again ? STATUS_OK : end_names(d, table, err);

	free(name);
	if (status == STATUS_OK && (!whole || (!again && !(item = add_item(d)))))
		status = err_memory(err, "the samples");
	if (again || status != STATUS_OK) {
		free(whole);
	} else {
		item->path = whole;
		item->photo = XXH3_64bits(whole, strlen(whole));
	}
	if (status != STATUS_OK)
		return status;
	bool good = d->sources[item->source].kind.classes ? add_name(table, caption, size) : add_caption(d, caption, size);
	return good ? STATUS_OK : err_memory(err, "the captions");
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static enum status add_line(struct dataset *d, struct table *table, char *line, size_t size, size_t number, struct err *err)
{
	while (size && is_blank(line[size - 1]))
		size--;
	if (!size)
		return STATUS_OK;
	char *tab = memchr(line, '\t', size);
	if (!tab || tab == line)
		return err_set(err, STATUS_FORMAT, "cannot read '%s': line %zu is not PATH, tab, CAPTION", table->path, number);
	char *caption = tab + 1;
	while (caption < line + size && is_blank(*caption))
		caption++;
	return add_row(d, table, line, (size_t)(tab - line), caption, (size_t)(line + size - caption), err);
}

enum status dataset_add_table(struct dataset *d, const char *path, const struct dataset_source *source, struct err *err)
{
	uint8_t *bytes = NULL;
	size_t size, number = 0;
	struct table table = {.path = path};
	const char *slash = strrchr(path, '/');
	enum status status = file_read(path, TABLE_MOST, &bytes, &size, err);

	if (status == STATUS_OK)
		status = add_source(d, source, err);
	if (status != STATUS_OK)
		goto out;
	table.folder = slash ? mem_copy(path, slash == path ? 1 : (size_t)(slash - path)) : mem_copy(".", 1);
	if (!table.folder) {
		status = err_memory(err, "a path");
		goto out;
	}
	for (size_t at = 0; at < size && status == STATUS_OK;) {
		char *line = (char *)bytes + at, *end = memchr(line, '\n', size - at);
		size_t length = end ? (size_t)(end - line) : size - at;
		status = add_line(d, &table, line, length, ++number, err);
		at += length + 1;
	}
	if (status == STATUS_OK)
		status = end_names(d, &table, err);
out:
	free(bytes);
	free(table.folder);
	free(table.names);
	return status;
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
	counts->captions = d->caption_count;
}

uint64_t dataset_digest(const struct dataset *d)
{
	uint64_t digest = XXH3_64bits(d->texts.data, d->texts.size);

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
	return d->texts.data + d->captions[item_of(d, part, sample)->first_caption + which].at;
}

const int32_t *dataset_ids(const struct dataset *d, enum dataset_part part, size_t sample, size_t which, size_t *count)
{
	const struct caption *caption = &d->captions[item_of(d, part, sample)->first_caption + which];

	*count = caption->ids_count;
	return d->ids + caption->ids_at;
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
	return name + all * random_below(random, d->prompts.count + 1);
}

uint64_t dataset_text(const struct dataset *d, enum dataset_part part, size_t sample, size_t which)
{
	return d->captions[item_of(d, part, sample)->first_caption + which].text;
}

uint64_t dataset_shows(const struct dataset *d, enum dataset_part part, size_t sample)
{
	return item_of(d, part, sample)->shows;
}

uint64_t dataset_says(const struct dataset *d, enum dataset_part part, size_t sample, size_t which)
{
	return d->captions[item_of(d, part, sample)->first_caption + which].says;
}

size_t dataset_number(const struct dataset *d, enum dataset_part part, size_t sample)
{
	return item_of(d, part, sample)->number;
}

bool dataset_sided(const struct dataset *d, enum dataset_part part, size_t sample, size_t which)
{
	return d->captions[item_of(d, part, sample)->first_caption + which].sided;
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
	for (size_t i = 0; i < d->caption_count; i++) {
		struct caption *caption = &d->captions[i];
		if (d->ids_count + context > d->ids_room) {
			size_t room = 2 * (d->ids_count + context) + 65536;
			int32_t *grown = mem_resize(d->ids, room, sizeof *grown);
			if (!grown)
				return err_memory(err, "the captions' ids");
			d->ids = grown;
			d->ids_room = room;
		}
		caption->ids_at = d->ids_count;
		caption->ids_count = tokenizer_encode(tokenizer, d->texts.data + caption->at, caption->size, d->ids + d->ids_count,
						      context);
		if (!caption->ids_count)
			return err_memory(err, "the captions' ids");
		d->ids_count += caption->ids_count;
		if (!caption->text)
			caption->text = XXH3_64bits(d->ids + caption->ids_at, caption->ids_count * sizeof *d->ids);
	}
	return STATUS_OK;
}

enum status dataset_captions_each(const struct dataset *d, caption_visitor visit, void *context, struct err *err)
{
	for (size_t s = 0; s < d->part_count[DATASET_TRAIN]; s++) {
		const struct item *item = item_of(d, DATASET_TRAIN, s);
		for (size_t c = 0; c < item->caption_count; c++) {
			const struct caption *caption = &d->captions[item->first_caption + c];
			enum status status = visit(context, d->texts.data + caption->at, caption->size, err);
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
