/* zip.h: the members of a zip file that lies in memory, as far as torch.save writes them: stored, not compressed. */
#ifndef MODEL_FILES_ZIP_H
#define MODEL_FILES_ZIP_H

#include <stddef.h>
#include <stdint.h>

#include "schema/base/status.h"

struct zip_member {
	const char *name;    /* not terminated; points into the file, as data does */
	size_t name_size;
	const uint8_t *data;
	size_t size;
	uint32_t crc;        /* of the data, as the directory has it; not checked */
};

struct zip {
	struct zip_member *members; /* sorted by name; no two have the same */
	size_t count;
};

/* Lists every member; a compressed or encrypted one, and any that leaves the file, is an error. zip64 too. */
enum status zip_open(const uint8_t *bytes, size_t size, struct zip *zip, struct err *err);
void zip_close(struct zip *zip); /* takes a closed or zeroed one */

/* The member called prefix + name; NULL: none. */
const struct zip_member *zip_find(const struct zip *zip, const char *prefix, size_t prefix_size, const char *name, size_t name_size);

#endif
