/* samples.h: photographs with their texts, one after the other: from a WebDataset tar (schema/base/shards.h), or from a table.
 *
 *     struct samples *samples;
 *     samples_open("coco.tar.gz", SAMPLES_SHARD, &samples, err);
 *     while ((status = samples_next(samples, &sample, err)) == STATUS_OK)                 // STATUS_NOT_FOUND: the end
 *             ... samples_hold_out(samples_number(samples), 10) ...
 *     samples_close(samples);
 *
 * A table's lines are a path, a tab and a text; white space at the ends of both does not count, blank lines are passed over. Lines of one
 * path that follow each other are one sample: its key is the path, relative to the table's folder, its image is NULL.
 */
#ifndef MODEL_DATA_SAMPLES_H
#define MODEL_DATA_SAMPLES_H

#include <stdbool.h>

#include "schema/base/shards.h"

struct samples;

enum samples_kind {
	SAMPLES_SHARD,
	SAMPLES_TABLE,
	SAMPLES_BARE_TABLE, /* a line may also be a path alone: a photograph of which nothing is said */
};

/* STATUS_NOT_FOUND: no such file. */
enum status samples_open(const char *path, enum samples_kind kind, struct samples **samples, struct err *err);
void samples_close(struct samples *samples); /* takes NULL */

/* What sample points to is valid until the next call. STATUS_FORMAT names the line of a table that is none. */
enum status samples_next(struct samples *samples, struct sample *sample, struct err *err);

/* Of the sample that was read last: its number, from 1; of a table, the line of its which-th text, from 1. */
size_t samples_number(const struct samples *samples);
size_t samples_line(const struct samples *samples, size_t which);
/* Of a shard: how many had no image or no text. */
size_t samples_skipped(const struct samples *samples);

/* Whether a sample is kept aside for measuring: every every-th is, counted from 1; 0: none. */
bool samples_hold_out(size_t number, size_t every);

#endif
