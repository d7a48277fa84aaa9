/* shard_writer.h: tars as schema/base/shards.h reads them, for generated scenes and tests.
 *
 *     struct shard_writer *writer;
 *     shard_writer_open("scenes.tar", &writer, err);
 *     shard_writer_add(writer, "000001.jpg", bytes, size, err);
 *     shard_writer_add(writer, "000001.txt", "a dog\n", 6, err);
 *     shard_writer_close(writer, err);
 */
#ifndef TESTS_SCENES_SHARD_WRITER_H
#define TESTS_SCENES_SHARD_WRITER_H

#include <stddef.h>

#include "schema/base/status.h"

struct shard_writer;

/* Plain tar when path ends in .tar, gzip when it ends in .gz. */
enum status shard_writer_open(const char *path, struct shard_writer **writer, struct err *err);
enum status shard_writer_add(struct shard_writer *writer, const char *name, const void *bytes, size_t size, struct err *err);
enum status shard_writer_close(struct shard_writer *writer, struct err *err); /* frees the writer in any case */

#endif
