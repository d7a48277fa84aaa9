/* pipeline.h: the threads that read and decode photographs while the caller embeds and stores. They know no catalog.
 *
 *     read: open, read, hash, probe  ->  the caller decides by the hash  ->  decode: pixels, crop
 *
 *     pipeline_open(&options, &pipeline, err);
 *     pipeline_read(pipeline, &job);                  // job.path is set; returns at once
 *     while (!pipeline_idle(pipeline, &job)) pipeline_wait(pipeline);
 *     if (job.status == STATUS_OK && ...) pipeline_decode(pipeline, &job);
 *     ...
 *     pipeline_close(pipeline);                       // waits for what is under way, drops what is queued
 *     job_release(&job);
 *
 * A job belongs to the pipeline from pipeline_read or pipeline_decode until pipeline_idle says true, and must not move.
 */
#ifndef INDEXER_INGEST_PIPELINE_H
#define INDEXER_INGEST_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "indexer/facts/facts.h"
#include "model/image/image.h"
#include "schema/catalog/catalog.h"
#include "schema/base/status.h"

struct job {
	const char *path;      /* the caller's; stays until the job is done with */
	const struct sidecar *sidecars[SIDECARS_MOST]; /* the caller's, too: what lies beside it */
	size_t sidecar_count;

	enum status status;    /* of the last step */
	struct err err;
	bool hashed;           /* the whole file was read: hash, size and time are right whatever status says */
	int64_t size, mtime_ns; /* of the bytes that were read */
	int64_t ctime_ns;      /* -1: it changed only just now, and may change again without a later time to show for it */
	uint8_t hash[CATALOG_HASH]; /* XXH3-128, canonical */
	struct image_info info;
	struct probe probe;
	uint8_t *bytes;        /* [size]; freed by decode, job_drop_bytes or job_release */
	uint8_t *rgb;          /* [S,S,3] after decode; kept for the next photograph */
	uint64_t image_hash;   /* after decode */
	bool cut_short;        /* after decode: its last rows are missing */

	bool busy, decode;     /* the pipeline's */
	struct job *next;
};

void job_drop_bytes(struct job *job);
void job_release(struct job *job);

struct pipeline_options {
	size_t jobs;           /* threads, 1 or more */
	size_t side;           /* S */
	bool exact;            /* decode every pixel, though a scaled picture would do */
	bool follow;           /* open through symbolic links */
	size_t pixels_most;    /* larger pictures are refused; 0: IMAGE_PIXELS_MOST */
};

/* Busy seconds, summed over threads. */
struct pipeline_times {
	double read, decode, resize;
};

struct pipeline;

enum status pipeline_open(const struct pipeline_options *options, struct pipeline **pipeline, struct err *err);
void pipeline_close(struct pipeline *pipeline); /* takes NULL */

/* STATUS_NOT_FOUND: the file vanished. STATUS_IO: it cannot be read, is no regular file, or changes while it is read.
 * Anything else but STATUS_OK: it is no photograph that we can decode. */
void pipeline_read(struct pipeline *pipeline, struct job *job);
void pipeline_decode(struct pipeline *pipeline, struct job *job);

bool pipeline_idle(struct pipeline *pipeline, const struct job *job);
/* Returns when a job was finished since the last call, or after a tenth of a second, so that an interrupt is noticed. */
void pipeline_wait(struct pipeline *pipeline);
/* As if a job was finished; for whatever else its caller waits for. */
void pipeline_notify(struct pipeline *pipeline);
struct pipeline_times pipeline_times(struct pipeline *pipeline);

#endif
