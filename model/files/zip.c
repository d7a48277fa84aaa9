/* zip.c: see zip.h. Read from the back, as the format wants it:
 *
 *     local header, name, extra, data     for each member
 *     directory                           an entry for each member, with the place of its local header
 *     zip64 end, zip64 locator            where 16 or 32 bits do not suffice (torch always writes them)
 *     end                                 where the directory lies; a comment of at most 65,535 bytes may follow
 */
#include "model/files/zip.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum {
	END_SIZE = 22, COMMENT_MOST = 65535,
	LOCATOR_SIZE = 20, END64_SIZE = 56,
	ENTRY_SIZE = 46, LOCAL_SIZE = 30,
	EXTRA_ZIP64 = 1,
	FLAG_ENCRYPTED = 1, FLAG_STRONGLY_ENCRYPTED = 1 << 6,
	MEMBERS_MOST = 1 << 20,
};

/* Integers are little endian and unaligned. */
static uint64_t load(const uint8_t *p, int bytes)
{
	uint64_t value = 0;
	for (int i = 0; i < bytes; i++)
		value |= (uint64_t)p[i] << (8 * i);
	return value;
}

static enum status damaged(struct err *err, const char *what)
{
	return err_set(err, STATUS_FORMAT, "its zip %s; hint: download it again", what);
}

struct directory {
	uint64_t count, size, offset;
};

static enum status find_directory(const uint8_t *bytes, size_t size, struct directory *d, struct err *err)
{
	size_t least = size > END_SIZE + COMMENT_MOST ? size - END_SIZE - COMMENT_MOST : 0;
	size_t at = size >= END_SIZE ? size - END_SIZE + 1 : 0;

	while (at > least && memcmp(bytes + at - 1, "PK\5\6", 4) != 0)
		at--;
	if (at == least)
		return damaged(err, "directory is missing, the file ends early");
	const uint8_t *end = bytes + --at;
	*d = (struct directory){load(end + 10, 2), load(end + 12, 4), load(end + 16, 4)};
	if (at >= LOCATOR_SIZE && memcmp(end - LOCATOR_SIZE, "PK\6\7", 4) == 0) {
		uint64_t offset = load(end - LOCATOR_SIZE + 8, 8);
		if (offset > size || size - offset < END64_SIZE || memcmp(bytes + offset, "PK\6\6", 4) != 0)
			return damaged(err, "directory is damaged");
		*d = (struct directory){load(bytes + offset + 32, 8), load(bytes + offset + 40, 8), load(bytes + offset + 48, 8)};
	}
	if (d->offset > size || d->size > size - d->offset || d->count > d->size / ENTRY_SIZE)
		return damaged(err, "directory is damaged");
	if (d->count > MEMBERS_MOST)
		return err_set(err, STATUS_MEMORY, "it has %llu members, more than %d", (unsigned long long)d->count, MEMBERS_MOST);
	return STATUS_OK;
}

struct entry {
	uint64_t size, stored, local;
};

/* The zip64 field holds, in this order, those of the three that are all ones in the entry. */
static bool read_zip64(const uint8_t *extra, size_t size, struct entry *e)
{
	uint64_t *const values[] = {&e->size, &e->stored, &e->local};

	if (e->size != UINT32_MAX && e->stored != UINT32_MAX && e->local != UINT32_MAX)
		return true;
	while (size >= 4) {
		size_t field = load(extra + 2, 2);
		if (field > size - 4)
			return false;
		if (load(extra, 2) == EXTRA_ZIP64) {
			const uint8_t *p = extra + 4, *end = p + field;
			for (size_t i = 0; i < 3; i++) {
				if (*values[i] != UINT32_MAX)
					continue;
				if (end - p < 8)
					return false;
				*values[i] = load(p, 8);
				p += 8;
			}
			return true;
		}
		extra += 4 + field;
		size -= 4 + field;
	}
	return false;
}

/* Where a member's data lie: behind its local header, whose name and extra field have lengths of their own. */
static bool locate(const uint8_t *bytes, size_t size, const struct entry *e, struct zip_member *m)
{
	if (e->local > size || size - e->local < LOCAL_SIZE || memcmp(bytes + e->local, "PK\3\4", 4) != 0)
		return false;
	size_t skip = LOCAL_SIZE + load(bytes + e->local + 26, 2) + load(bytes + e->local + 28, 2);
	if (size - e->local < skip || size - e->local - skip < e->size)
		return false;
	m->data = bytes + e->local + skip;
	m->size = e->size;
	return true;
}

/* *at moves on to the next entry. */
static enum status read_entry(const uint8_t *bytes, size_t size, const uint8_t **at, const uint8_t *end, struct zip_member *m,
			      struct err *err)
{
	const uint8_t *p = *at;

	if (end - p < ENTRY_SIZE || memcmp(p, "PK\1\2", 4) != 0)
		return damaged(err, "directory is damaged");
	size_t flags = load(p + 8, 2), method = load(p + 10, 2), extra_size = load(p + 30, 2);
	m->name = (const char *)p + ENTRY_SIZE;
	m->name_size = load(p + 28, 2);
	m->crc = (uint32_t)load(p + 16, 4);
	struct entry e = {load(p + 24, 4), load(p + 20, 4), load(p + 42, 4)};
	size_t whole = ENTRY_SIZE + m->name_size + extra_size + load(p + 32, 2);
	if ((size_t)(end - p) < whole || !read_zip64(p + ENTRY_SIZE + m->name_size, extra_size, &e))
		return damaged(err, "directory is damaged");
	if (flags & (FLAG_ENCRYPTED | FLAG_STRONGLY_ENCRYPTED))
		return err_set(err, STATUS_UNSUPPORTED, "its member '%.*s' is encrypted", (int)m->name_size, m->name);
	if (method != 0)
		return err_set(err, STATUS_UNSUPPORTED, "its member '%.*s' is compressed; hint: a file of torch.save is not; "
			       "unpack it if it is an archive of files", (int)m->name_size, m->name);
	if (e.size != e.stored || !locate(bytes, size, &e, m))
		return err_set(err, STATUS_FORMAT, "its member '%.*s' lies outside the file; hint: download it again", (int)m->name_size, m->name);
	*at = p + whole;
	return STATUS_OK;
}

static int compare_members(const void *a, const void *b)
{
	const struct zip_member *m = a, *n = b;
	int order = memcmp(m->name, n->name, m->name_size < n->name_size ? m->name_size : n->name_size);
	return order ? order : (m->name_size > n->name_size) - (m->name_size < n->name_size);
}

enum status zip_open(const uint8_t *bytes, size_t size, struct zip *zip, struct err *err)
{
	struct directory d = {0};

	*zip = (struct zip){0};
	enum status status = find_directory(bytes, size, &d, err);
	if (status != STATUS_OK)
		return status;
	zip->members = mem_array(d.count, sizeof *zip->members);
	if (!zip->members)
		return err_memory(err, "the zip's members");
	const uint8_t *at = bytes + d.offset, *end = at + d.size;
	while (zip->count < d.count && status == STATUS_OK) {
		status = read_entry(bytes, size, &at, end, &zip->members[zip->count], err);
		zip->count += status == STATUS_OK; /* of a damaged entry even the name may lie outside */
	}
	qsort(zip->members, zip->count, sizeof *zip->members, compare_members);
	for (size_t i = 1; i < zip->count && status == STATUS_OK; i++)
		if (compare_members(&zip->members[i - 1], &zip->members[i]) == 0)
			status = err_set(err, STATUS_FORMAT, "it has two members '%.*s'", (int)zip->members[i].name_size, zip->members[i].name);
	if (status != STATUS_OK)
		zip_close(zip);
	return status;
}

void zip_close(struct zip *zip)
{
	free(zip->members);
	*zip = (struct zip){0};
}

/* Compares a member's name with prefix + name. */
static int compare_joined(const struct zip_member *m, const char *prefix, size_t prefix_size, const char *name, size_t name_size)
{
	size_t first = m->name_size < prefix_size ? m->name_size : prefix_size;
	int order = memcmp(m->name, prefix, first);

	if (order || first < prefix_size)
		return order ? order : -1;
	size_t rest = m->name_size - prefix_size;
	order = memcmp(m->name + prefix_size, name, rest < name_size ? rest : name_size);
	return order ? order : (rest > name_size) - (rest < name_size);
}

const struct zip_member *zip_find(const struct zip *zip, const char *prefix, size_t prefix_size, const char *name, size_t name_size)
{
	size_t low = 0, high = zip->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare_joined(&zip->members[middle], prefix, prefix_size, name, name_size);
		if (order == 0)
			return &zip->members[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}
