/* ifd.c: see ifd.h. A directory is u16 count, count entries of 12 bytes (u16 tag, u16 type, u32 count, u32 value or its
 * offset), u32 offset of the next directory. */
#include "model/image/ifd.h"

#include <math.h>
#include <string.h>

#include "model/image/bytes.h"

#include "schema/base/banned.h"

enum { HEADER = 8, ENTRY = 12 };

static uint32_t u16(const struct ifd_block *block, const uint8_t *p)
{
	return block->little ? little16(p) : big16(p);
}

static uint32_t u32(const struct ifd_block *block, const uint8_t *p)
{
	return block->little ? little32(p) : big32(p);
}

size_t ifd_open(const uint8_t *bytes, size_t size, struct ifd_block *block)
{
	static const char *const magic[] = {"II*\0", "MM\0*", "IIRO", "IIRS", "MMOR", "IIU\0"};

	for (size_t i = 0; i < sizeof magic / sizeof *magic && size >= HEADER; i++)
		if (memcmp(bytes, magic[i], 4) == 0) {
			*block = (struct ifd_block){bytes, size, bytes[0] == 'I'};
			return u32(block, bytes + 4);
		}
	*block = (struct ifd_block){0};
	return 0;
}

/* How many entries of a directory lie within the block. */
static size_t count_entries(const struct ifd_block *block, size_t directory, bool *whole)
{
	if (!directory || directory > block->size || block->size - directory < 2)
		return 0;
	size_t count = u16(block, block->bytes + directory), room = (block->size - directory - 2) / ENTRY;
	*whole = count <= room;
	return *whole ? count : room;
}

static size_t type_size(unsigned type)
{
	static const uint8_t sizes[] = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4};
	return type == IFD_UTF8 ? 1 : type < sizeof sizes ? sizes[type] : 0;
}

bool ifd_find(const struct ifd_block *block, size_t directory, unsigned tag, struct ifd_entry *entry)
{
	bool whole;
	size_t count = count_entries(block, directory, &whole);

	for (size_t i = 0; i < count; i++) {
		const uint8_t *p = block->bytes + directory + 2 + ENTRY * i;
		if (u16(block, p) != tag)
			continue;
		*entry = (struct ifd_entry){.tag = tag, .type = u16(block, p + 2), .count = u32(block, p + 4)};
		size_t each = type_size(entry->type);
		if (!each || entry->count > block->size / each)
			return false;
		entry->size = each * entry->count;
		size_t at = entry->size <= 4 ? (size_t)(p + 8 - block->bytes) : u32(block, p + 8);
		if (at > block->size || entry->size > block->size - at)
			return false;
		entry->value = block->bytes + at;
		return true;
	}
	return false;
}

size_t ifd_next(const struct ifd_block *block, size_t directory)
{
	bool whole = false;
	size_t end = directory + 2 + ENTRY * count_entries(block, directory, &whole);

	return whole && end <= block->size && block->size - end >= 4 ? u32(block, block->bytes + end) : 0;
}

uint32_t ifd_number(const struct ifd_block *block, const struct ifd_entry *entry, size_t i)
{
	if (i >= entry->count)
		return 0;
	switch (entry->type) {
	case IFD_BYTE:
	case IFD_UNDEFINED:
		return entry->value[i];
	case IFD_SHORT:
	case IFD_SSHORT:
		return u16(block, entry->value + 2 * i);
	case IFD_LONG:
	case IFD_SLONG:
	case IFD_DIRECTORY:
		return u32(block, entry->value + 4 * i);
	default:
		return 0;
	}
}

double ifd_real(const struct ifd_block *block, const struct ifd_entry *entry, size_t i)
{
	if (i >= entry->count)
		return (double)NAN;
	const uint8_t *p = entry->value + type_size(entry->type) * i;
	uint64_t wide;
	uint32_t bits;
	float single;
	double number;
	switch (entry->type) {
	case IFD_RATIONAL:
		return (double)u32(block, p) / (double)u32(block, p + 4);
	case IFD_SRATIONAL:
		return (double)(int32_t)u32(block, p) / (double)(int32_t)u32(block, p + 4);
	case IFD_BYTE:
	case IFD_SHORT:
	case IFD_LONG:
		return ifd_number(block, entry, i);
	case IFD_SSHORT:
		return (int16_t)u16(block, p);
	case IFD_SLONG:
		return (int32_t)u32(block, p);
	case IFD_FLOAT:
		bits = u32(block, p);
		memcpy(&single, &bits, sizeof single);
		return (double)single;
	case IFD_DOUBLE:
		wide = (uint64_t)u32(block, p + (block->little ? 4 : 0)) << 32 | u32(block, p + (block->little ? 0 : 4));
		memcpy(&number, &wide, sizeof number);
		return number;
	default:
		return (double)NAN;
	}
}

size_t ifd_below(const struct ifd_block *block, size_t directory, unsigned tag)
{
	struct ifd_entry entry;

	return ifd_find(block, directory, tag, &entry) ? ifd_number(block, &entry, 0) : 0;
}
