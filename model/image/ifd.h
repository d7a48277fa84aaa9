/* ifd.h: the directories of a TIFF block: EXIF data, TIFF files and most raw files are made of them. Reads in place, never
 * beyond the block. (libexif, used before, knows EXIF blocks of up to 64 KiB alone.)
 *
 *     struct ifd_block block;
 *     size_t directory = ifd_open(bytes, size, &block);      // 0: no TIFF block
 *     if (ifd_find(&block, directory, 0x0112, &entry)) ... ifd_number(&block, &entry, 0) ...
 */
#ifndef MODEL_IMAGE_IFD_H
#define MODEL_IMAGE_IFD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ifd_type {
	IFD_BYTE = 1, IFD_ASCII, IFD_SHORT, IFD_LONG, IFD_RATIONAL, IFD_SBYTE, IFD_UNDEFINED, IFD_SSHORT, IFD_SLONG, IFD_SRATIONAL,
	IFD_FLOAT, IFD_DOUBLE, IFD_DIRECTORY,
	IFD_UTF8 = 129, /* EXIF 3.0 */
};

struct ifd_block {
	const uint8_t *bytes;
	size_t size;
	bool little;
};

struct ifd_entry {
	unsigned tag, type;
	size_t count;          /* of values */
	const uint8_t *value;  /* [size], within the block */
	size_t size;
};

/* The offset of the first directory, 0 if there is none. The magic numbers of ORF and RW2 pass as well. */
size_t ifd_open(const uint8_t *bytes, size_t size, struct ifd_block *block);

/* The first entry of that tag whose value lies within the block. directory 0: false. */
bool ifd_find(const struct ifd_block *block, size_t directory, unsigned tag, struct ifd_entry *entry);
size_t ifd_next(const struct ifd_block *block, size_t directory); /* 0: it is the last */

/* The i-th value of an integer type, of a signed one its bits; 0 where there is none. */
uint32_t ifd_number(const struct ifd_block *block, const struct ifd_entry *entry, size_t i);
/* The i-th value of any numeric type; NaN where there is none. */
double ifd_real(const struct ifd_block *block, const struct ifd_entry *entry, size_t i);
/* The directory that an entry of this tag points to; 0: none. */
size_t ifd_below(const struct ifd_block *block, size_t directory, unsigned tag);

#endif
