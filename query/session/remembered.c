/* remembered.c: see remembered.h. The file is an array of slots of one size for each dimension:
 *
 *     sum    XXH3 of key and embedding, 8 bytes
 *     used   ns since 1970 of the last use, 8 bytes
 *     key    16 bytes
 *     embedding[dim] F32
 *
 * A key belongs into one of the WAYS slots that its hash names. There is no header, and no lock: a slot whose sum is not right, because it
 * is empty, damaged, foreign, or being written by another process, holds nothing.
 */
#include "query/session/remembered.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "schema/catalog/models.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { WAYS = 4, FORMAT = 1 };

struct slot {
	uint64_t sum;
	int64_t used;
	struct remembered_key key;
	float embedding[];
};

struct remembered_key remembered_key(const struct catalog_model *row, enum precision precision, const struct coca_text *text)
{
	struct {
		uint32_t format, precision;
		char config[33], weights[33], padding[6];
	} model = {.format = FORMAT, .precision = (uint32_t)precision};
	struct remembered_key key;
	XXH128_canonical_t hash;

	memcpy(model.config, row->config_digest, sizeof model.config);
	memcpy(model.weights, row->weights_digest, sizeof model.weights);
	XXH64_hash_t seed = XXH3_64bits(&model, sizeof model);
	XXH128_canonicalFromHash(&hash, XXH3_128bits_withSeed(text->ids, text->count * sizeof *text->ids, seed));
	memcpy(key.hash, hash.digest, sizeof key.hash);
	return key;
}

static size_t slot_size(size_t dim)
{
	return sizeof(struct slot) + dim * sizeof(float);
}

static uint64_t sum_of(const struct slot *slot, size_t dim)
{
	return XXH3_64bits(&slot->key, sizeof slot->key + dim * sizeof(float));
}

static bool holds(const struct slot *slot, size_t dim)
{
	return slot->sum == sum_of(slot, dim);
}

static off_t place(const struct remembered_key *key, size_t dim)
{
	uint32_t number;

	memcpy(&number, key->hash, sizeof number);
	return (off_t)(number % (REMEMBERED_MOST / WAYS) * WAYS * slot_size(dim));
}

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* -1: there is none, or it cannot be used. *writable: else it is open for reading only. */
static int open_file(const char *catalog, size_t dim, bool create, bool *writable)
{
	struct buffer path = {0};
	struct stat st;
	int fd = -1;

	buffer_format(&path, "%s-queries-%zu.cache", catalog, dim);
	if (!path.failed) {
		fd = open(path.data, O_RDWR | (create ? O_CREAT : 0) | O_CLOEXEC | O_NONBLOCK, 0600);
		*writable = fd >= 0;
		if (fd < 0 && !create)
			fd = open(path.data, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	}
	buffer_release(&path);
	if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The WAYS slots of a key; what the file does not have is zeros. */
static struct slot *read_slots(int fd, const struct remembered_key *key, size_t dim)
{
	struct slot *slots = mem_array(WAYS, slot_size(dim));

	/* Fewer bytes, or none, leave slots that hold nothing. */
	if (slots && pread(fd, slots, WAYS * slot_size(dim), place(key, dim)) < 0)
		memset(slots, 0, WAYS * slot_size(dim));
	return slots;
}

static struct slot *slot_at(struct slot *slots, size_t i, size_t dim)
{
	return (void *)((char *)slots + i * slot_size(dim));
}

static bool is_finite(const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isfinite(x[i]))
			return false;
	return true;
}

/* What cannot be written is forgotten; what is written in part, as on a full disk, holds nothing. */
static void write_at(int fd, const void *bytes, size_t size, off_t at)
{
	ssize_t written = pwrite(fd, bytes, size, at);

	(void)written;
}

static void mark_used(int fd, off_t at)
{
	int64_t used = now();

	write_at(fd, &used, sizeof used, at + (off_t)offsetof(struct slot, used));
}

bool remembered_get(const char *catalog, const struct remembered_key *key, float *embedding, size_t dim)
{
	bool writable, found = false;
	int fd = open_file(catalog, dim, false, &writable);

	if (fd < 0)
		return false;
	struct slot *slots = read_slots(fd, key, dim);
	for (size_t i = 0; slots && i < WAYS && !found; i++) {
		const struct slot *slot = slot_at(slots, i, dim);
		found = memcmp(&slot->key, key, sizeof *key) == 0 && holds(slot, dim) && is_finite(slot->embedding, dim);
		if (found)
			memcpy(embedding, slot->embedding, dim * sizeof *embedding);
		if (found && writable)
			mark_used(fd, place(key, dim) + (off_t)(i * slot_size(dim)));
	}
	free(slots);
	close(fd);
	return found;
}

/* Where the key is already, else what holds nothing, else what was used the longest ago. */
static size_t choose(struct slot *slots, const struct remembered_key *key, size_t dim)
{
	size_t chosen = 0;
	int64_t oldest = INT64_MAX;

	for (size_t i = 0; i < WAYS; i++) {
		const struct slot *slot = slot_at(slots, i, dim);
		int64_t used = holds(slot, dim) ? slot->used : INT64_MIN;
		if (memcmp(&slot->key, key, sizeof *key) == 0)
			return i;
		if (used < oldest) {
			oldest = used;
			chosen = i;
		}
	}
	return chosen;
}

void remembered_put(const char *catalog, const struct remembered_key *key, const float *embedding, size_t dim)
{
	bool writable;
	int fd = open_file(catalog, dim, true, &writable);
	struct slot *slots = fd >= 0 ? read_slots(fd, key, dim) : NULL;

	if (slots) {
		size_t i = choose(slots, key, dim);
		struct slot *slot = slot_at(slots, i, dim);
		slot->key = *key;
		slot->used = now();
		memcpy(slot->embedding, embedding, dim * sizeof *embedding);
		slot->sum = sum_of(slot, dim);
		write_at(fd, slot, slot_size(dim), place(key, dim) + (off_t)(i * slot_size(dim)));
	}
	free(slots);
	if (fd >= 0)
		close(fd);
}
