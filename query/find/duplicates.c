/* duplicates.c: see duplicates.h.
 *
 *     photos that are there, by content -> pairs whose hashes and embeddings are near -> union-find over contents -> groups of photos
 */
#include "query/find/duplicates.h"

#include <stdlib.h>
#include <string.h>

#include "query/session/engine.h"
#include "schema/catalog/contents.h"
#include "schema/catalog/filter.h"
#include "schema/catalog/models.h"
#include "schema/catalog/photos.h"
#include "schema/catalog/facts.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

struct look {
	int64_t content;
	uint64_t hash;
	bool hashed;
	size_t parent;       /* union-find */
};

struct search {
	struct catalog *catalog;
	const struct catalog_model *model;
	const struct duplicates_options *options;
	struct duplicates *found;
	struct duplicate *all; /* [all_count] every photo, ascending by content */
	size_t all_count, all_room;
	struct look *looks;  /* [look_count] every content, ascending */
	size_t look_count;
};

/* --- photos and contents --- */

static enum status add_photo(void *context, const struct photo *photo, struct err *err)
{
	struct search *s = context;

	if (!mem_grow(&s->all, &s->all_room, s->all_count + 1, sizeof *s->all))
		return err_memory(err, "the list of photos");
	s->all[s->all_count++] = (struct duplicate){
		.photo = photo->id,
		.content = photo->content,
		.pixels = photo->width * photo->height,
		.bytes = photo->size,
		.time = photo->has_taken ? photo->taken_at : photo->mtime_ns / 1000000000,
		.width = photo->width,
		.height = photo->height,
	};
	return STATUS_OK;
}

static int by_content(const void *a, const void *b)
{
	const struct duplicate *x = a, *y = b;
	int order = (x->content > y->content) - (x->content < y->content);

	return order ? order : (x->photo > y->photo) - (x->photo < y->photo);
}

static enum status list_photos(struct search *s, struct err *err)
{
	const struct photo_filter filter = {.in = s->options->in};
	enum status status = catalog_photos_newest(s->catalog, &filter, SIZE_MAX, add_photo, s, err);

	if (status == STATUS_OK && s->all_count)
		qsort(s->all, s->all_count, sizeof *s->all, by_content);
	return status;
}

/* Of all looks in one statement. */
static enum status read_hashes(struct search *s, struct err *err)
{
	int64_t *contents = mem_array(s->look_count, sizeof *contents);
	uint64_t *hashes = mem_array(s->look_count, sizeof *hashes);
	bool *hashed = mem_array(s->look_count, sizeof *hashed);
	enum status status = contents && hashes && hashed ? STATUS_OK : err_memory(err, "the list of photos");

	for (size_t i = 0; status == STATUS_OK && i < s->look_count; i++)
		contents[i] = s->looks[i].content;
	if (status == STATUS_OK)
		status = catalog_hashes_get(s->catalog, contents, s->look_count, hashes, hashed, err);
	for (size_t i = 0; status == STATUS_OK && i < s->look_count; i++) {
		s->looks[i].hash = hashes[i];
		s->looks[i].hashed = hashed[i];
		s->found->unhashed += !hashed[i];
	}
	free(contents);
	free(hashes);
	free(hashed);
	return status;
}

static enum status list_looks(struct search *s, struct err *err)
{
	s->looks = mem_array(s->all_count, sizeof *s->looks);
	if (!s->looks)
		return err_memory(err, "the list of photos");
	for (size_t i = 0; i < s->all_count; i++)
		if (!s->look_count || s->looks[s->look_count - 1].content != s->all[i].content) {
			s->looks[s->look_count] = (struct look){.content = s->all[i].content, .parent = s->look_count};
			s->look_count++;
		}
	return s->options->exact ? STATUS_OK : read_hashes(s, err);
}

/* The number of a content; look_count: it is not among them. */
static size_t find_look(const struct search *s, int64_t content)
{
	size_t low = 0, high = s->look_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (s->looks[middle].content < content)
			low = middle + 1;
		else
			high = middle;
	}
	return low < s->look_count && s->looks[low].content == content ? low : s->look_count;
}

/* --- pairs --- */

static size_t root_of(struct look *looks, size_t i)
{
	while (looks[i].parent != i)
		i = looks[i].parent = looks[looks[i].parent].parent;
	return i;
}

static unsigned distance(uint64_t a, uint64_t b)
{
	return (unsigned)__builtin_popcountll(a ^ b);
}

/* The embedding of one photo, and room for that of another. */
struct pairing {
	struct search *s;
	float *mine, *other; /* [dim] */
	size_t of;           /* whose is mine; look_count: nobody's */
	bool found;          /* it has one */
};

/* Joins two whose hashes are near, if their embeddings are. */
static enum status join_pair(struct pairing *p, size_t i, size_t j, struct err *err)
{
	struct search *s = p->s;
	size_t dim = (size_t)s->model->dim, a = root_of(s->looks, i), b = root_of(s->looks, j);
	bool found = false;
	enum status status = STATUS_OK;

	if (a == b)
		return STATUS_OK;
	if (p->of != i)
		status = catalog_embedding_get(s->catalog, s->looks[i].content, s->model->id, p->mine, dim, &p->found, err);
	p->of = status == STATUS_OK ? i : s->look_count;
	if (status == STATUS_OK && p->found)
		status = catalog_embedding_get(s->catalog, s->looks[j].content, s->model->id, p->other, dim, &found, err);
	if (found && engine_dot(p->mine, p->other, dim) >= s->options->similarity)
		s->looks[a > b ? a : b].parent = a > b ? b : a;
	return status;
}

/* A hash falls in PARTS parts: of hashes that differ in few bits, one part differs in at most `radius`. Photos lie in buckets by one
 * part, and each looks into the buckets within the radius of its own. */
enum { PARTS = 4, PART_BITS = 64 / PARTS, BUCKETS = 1 << PART_BITS };

struct buckets {
	size_t *order;                /* [look_count] those that are hashed, bucket by bucket, ascending in each */
	size_t starts[BUCKETS + 1];
	unsigned masks[BUCKETS];      /* what the parts of two that are near may differ in */
	size_t mask_count;
	unsigned radius;
};

static size_t part_of(uint64_t hash, unsigned part)
{
	return (size_t)(hash >> (part * PART_BITS)) & (BUCKETS - 1);
}

static void fill_buckets(const struct search *s, struct buckets *b, unsigned part)
{
	memset(b->starts, 0, sizeof b->starts);
	for (size_t i = 0; i < s->look_count; i++)
		if (s->looks[i].hashed)
			b->starts[part_of(s->looks[i].hash, part) + 1]++;
	for (size_t k = 0; k < BUCKETS; k++)
		b->starts[k + 1] += b->starts[k];
	for (size_t i = s->look_count; i-- > 0;)
		if (s->looks[i].hashed)
			b->order[--b->starts[part_of(s->looks[i].hash, part) + 1]] = i;
	/* Each start has become its own bucket's, one place further on. */
	memmove(b->starts, b->starts + 1, BUCKETS * sizeof *b->starts);
	b->starts[BUCKETS] = 0;
	for (size_t i = 0; i < s->look_count; i++)
		b->starts[BUCKETS] += s->looks[i].hashed;
}

/* Whether an earlier part has shown the pair already. */
static bool shown_before(uint64_t difference, unsigned part, unsigned radius)
{
	while (part-- > 0)
		if ((unsigned)__builtin_popcountll(part_of(difference, part)) <= radius)
			return true;
	return false;
}

/* Those before the i-th that one part shows. */
static enum status join_part(struct pairing *p, const struct buckets *b, size_t i, unsigned part, struct err *err)
{
	const struct look *looks = p->s->looks;
	enum status status = STATUS_OK;

	for (size_t m = 0; m < b->mask_count; m++) {
		size_t bucket = part_of(looks[i].hash, part) ^ b->masks[m];
		for (size_t k = b->starts[bucket]; k < b->starts[bucket + 1] && b->order[k] < i && status == STATUS_OK; k++) {
			size_t j = b->order[k];
			uint64_t difference = looks[i].hash ^ looks[j].hash;
			if ((unsigned)__builtin_popcountll(difference) <= p->s->options->bits && !shown_before(difference, part, b->radius))
				status = join_pair(p, i, j, err);
		}
	}
	return status;
}

static enum status find_pairs(struct search *s, struct err *err)
{
	size_t dim = (size_t)s->model->dim;
	struct buckets *b = mem_array(1, sizeof *b);
	struct pairing p = {.s = s, .mine = mem_floats(dim), .other = mem_floats(dim), .of = s->look_count};
	enum status status = STATUS_OK;

	if (b)
		b->order = mem_array(s->look_count, sizeof *b->order);
	if (!b || !b->order || !p.mine || !p.other) {
		status = err_memory(err, "the photos that look alike");
		goto out;
	}
	b->radius = s->options->bits / PARTS;
	for (unsigned mask = 0; mask < BUCKETS; mask++)
		if ((unsigned)__builtin_popcount(mask) <= b->radius)
			b->masks[b->mask_count++] = mask;
	for (unsigned part = 0; part < PARTS && status == STATUS_OK; part++) {
		fill_buckets(s, b, part);
		for (size_t i = 0; i < s->look_count && status == STATUS_OK; i++)
			if (s->looks[i].hashed)
				status = join_part(&p, b, i, part, err);
	}
out:
	if (b)
		free(b->order);
	free(b);
	free(p.mine);
	free(p.other);
	return status;
}

/* --- groups --- */

struct member {
	size_t root;
	struct duplicate copy;
};

/* The best one first. */
static int by_worth(const struct duplicate *x, const struct duplicate *y)
{
	if (x->pixels != y->pixels)
		return x->pixels > y->pixels ? -1 : 1;
	if (x->bytes != y->bytes)
		return x->bytes > y->bytes ? -1 : 1;
	if (x->time != y->time)
		return x->time < y->time ? -1 : 1;
	return strcmp(x->path, y->path);
}

static int by_group(const void *a, const void *b)
{
	const struct member *x = a, *y = b;

	return x->root != y->root ? (x->root > y->root) - (x->root < y->root) : by_worth(&x->copy, &y->copy);
}

static enum status take_path(void *context, const struct photo *photo, struct err *err)
{
	struct duplicate *copy = context;

	copy->path = mem_copy(photo->path, photo->path_size);
	return copy->path ? STATUS_OK : err_memory(err, "a path");
}

/* The photos of roots that have more than one. */
static enum status gather_members(struct search *s, struct member **members, size_t *n, struct err *err)
{
	size_t *sizes = mem_array(s->look_count, sizeof *sizes);
	enum status status = STATUS_OK;

	*n = 0;
	*members = mem_array(s->all_count, sizeof **members);
	if (!sizes || !*members)
		status = err_memory(err, "the groups");
	for (int pass = 0; pass < 2 && status == STATUS_OK; pass++)
		for (size_t i = 0; i < s->all_count && status == STATUS_OK; i++) {
			size_t root = root_of(s->looks, find_look(s, s->all[i].content));
			if (pass == 0) {
				sizes[root]++;
			} else if (sizes[root] > 1) {
				struct member *member = &(*members)[(*n)++];
				*member = (struct member){root, s->all[i]};
				status = catalog_photo_by_id(s->catalog, member->copy.photo, take_path, &member->copy, err);
			}
		}
	free(sizes);
	return status;
}

struct span {
	const struct member *first;
	size_t count;
};

static int by_best_path(const void *a, const void *b)
{
	return strcmp(((const struct span *)a)->first->copy.path, ((const struct span *)b)->first->copy.path);
}

/* How far each is from the best of its group. */
static enum status compare_with_best(struct search *s, struct duplicate *copies, size_t n, struct err *err)
{
	size_t dim = s->model ? (size_t)s->model->dim : 0;
	float *best = mem_floats(dim), *other = mem_floats(dim); /* [dim] */
	uint64_t hash = s->looks[find_look(s, copies[0].content)].hash;
	bool known = false, found = false;
	enum status status = best && other ? STATUS_OK : err_memory(err, "an embedding");

	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		copies[i].same = copies[i].content == copies[0].content;
		copies[i].similarity = 1;
		if (copies[i].same)
			continue;
		copies[i].bits = distance(hash, s->looks[find_look(s, copies[i].content)].hash);
		if (!known)
			status = catalog_embedding_get(s->catalog, copies[0].content, s->model->id, best, dim, &known, err);
		if (status == STATUS_OK)
			status = catalog_embedding_get(s->catalog, copies[i].content, s->model->id, other, dim, &found, err);
		if (known && found)
			copies[i].similarity = (float)engine_dot(best, other, dim);
	}
	free(best);
	free(other);
	return status;
}

static enum status make_groups(struct search *s, struct err *err)
{
	struct duplicates *found = s->found;
	struct member *members = NULL;
	struct span *spans = NULL;
	size_t n = 0, count = 0;
	enum status status = gather_members(s, &members, &n, err);

	if (status == STATUS_OK) {
		spans = mem_array(n, sizeof *spans);
		found->copies = mem_array(n, sizeof *found->copies);
		found->groups = mem_array(n + 1, sizeof *found->groups);
		if (!spans || !found->copies || !found->groups)
			status = err_memory(err, "the groups");
	}
	if (status != STATUS_OK)
		goto out;
	if (n)
		qsort(members, n, sizeof *members, by_group);
	for (size_t i = 0; i < n; i++) {
		if (!i || members[i].root != members[i - 1].root)
			spans[count++] = (struct span){&members[i], 0};
		spans[count - 1].count++;
	}
	if (count)
		qsort(spans, count, sizeof *spans, by_best_path);
	for (size_t g = 0; g < count; g++) {
		found->groups[g] = found->count;
		for (size_t i = 0; i < spans[g].count; i++)
			found->copies[found->count++] = spans[g].first[i].copy;
	}
	found->groups[count] = found->count;
	found->group_count = count;
	n = 0; /* the paths are the result's now */
	for (size_t g = 0; g < count && status == STATUS_OK; g++)
		status = compare_with_best(s, found->copies + found->groups[g], found->groups[g + 1] - found->groups[g], err);
out:
	for (size_t i = 0; members && i < n; i++)
		free(members[i].copy.path);
	free(members);
	free(spans);
	return status;
}

enum status duplicates_find(struct catalog *catalog, const struct catalog_model *model, const struct duplicates_options *options,
			    struct duplicates *found, struct err *err)
{
	struct search s = {.catalog = catalog, .model = model, .options = options, .found = found};

	*found = (struct duplicates){0};
	enum status status = list_photos(&s, err);
	if (status == STATUS_OK)
		status = list_looks(&s, err);
	if (status == STATUS_OK && !options->exact && s.look_count)
		status = find_pairs(&s, err);
	if (status == STATUS_OK)
		status = make_groups(&s, err);
	free(s.all);
	free(s.looks);
	if (status != STATUS_OK)
		duplicates_release(found);
	return status;
}

void duplicates_release(struct duplicates *found)
{
	for (size_t i = 0; i < found->count; i++)
		free(found->copies[i].path);
	free(found->copies);
	free(found->groups);
	*found = (struct duplicates){0};
}
