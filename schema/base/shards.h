/* shards.h: photographs with captions from WebDataset tars, plain or gzip-compressed, one sample at a time.
 *
 *     struct shard *shard;
 *     shard_open("coco.tar.gz", &shard, err);
 *     struct sample sample;
 *     while ((status = shard_next(shard, &sample, err)) == STATUS_OK) { ... }    // STATUS_NOT_FOUND: the end
 *     shard_close(shard);
 *
 * Members that share a name up to the first dot of the last path component are one sample (WebDataset's rule); its image is
 * jpg, jpeg, png or webp, its captions are the lines of its txt. Samples without an image or captions are skipped and counted.
 */
#ifndef SCHEMA_BASE_SHARDS_H
#define SCHEMA_BASE_SHARDS_H

#include <stddef.h>
#include <stdint.h>

#include "schema/base/status.h"

struct shard;

struct sample {
	const char *key;               /* with its folder, without extension */
	const uint8_t *image;          /* valid until the next call */
	size_t image_size;
	const char *const *captions;   /* lines without white space at the ends, empty ones left out */
	size_t caption_count;
};

enum status shard_open(const char *path, struct shard **shard, struct err *err);
enum status shard_next(struct shard *shard, struct sample *sample, struct err *err);
size_t shard_skipped(const struct shard *shard);
void shard_close(struct shard *shard); /* takes NULL */

#endif
