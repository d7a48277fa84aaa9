/* tar.h: the regular files of a tar archive, plain or gzip-compressed, one after the other.
 *
 *     struct tar *tar;
 *     struct tar_member member;
 *     status = tar_open("coco.tar.gz", &tar, err);
 *     while ((status = tar_next(tar, &member, err)) == STATUS_OK && member.name)
 *         status = tar_read(tar, &bytes, err);                 // or not: what is not read is skipped
 *     tar_close(tar);
 *
 * An archive is a row of blocks: a header, then the member's data padded to whole blocks, at the end two blocks of zeros.
 */
#ifndef SCHEMA_BASE_TAR_H
#define SCHEMA_BASE_TAR_H

#include <stdint.h>

#include "schema/base/memory.h"
#include "schema/base/status.h"

/* Where a header has its fields. */
enum { TAR_BLOCK = 512, TAR_NAME_AT = 0, TAR_NAME_SIZE = 100, TAR_SIZE_AT = 124, TAR_SIZE_SIZE = 12, TAR_SUM_AT = 148, TAR_SUM_SIZE = 8 };
enum { TAR_TYPE_AT = 156, TAR_MAGIC_AT = 257, TAR_PREFIX_AT = 345, TAR_PREFIX_SIZE = 155 };

struct tar;

struct tar_member {
	const char *name;     /* without "./" in front; NULL: the archive ends here. Valid until the next tar_next */
	uint64_t size;
};

enum status tar_open(const char *path, struct tar **tar, struct err *err);
/* STATUS_FORMAT names the damage and its place; nothing can follow it. */
enum status tar_next(struct tar *tar, struct tar_member *member, struct err *err);
/* Appends the member's bytes, once. */
enum status tar_read(struct tar *tar, struct buffer *to, struct err *err);
const char *tar_path(const struct tar *tar);
void tar_close(struct tar *tar); /* takes NULL */

#endif
