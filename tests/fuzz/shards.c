/* shards.c: WebDataset tars, plain and gzip-compressed. The mutator mends the headers' checksums. */
#include "schema/base/shards.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

#include "schema/base/banned.h"

enum { BLOCK = 512, SIZE_AT = 124, SUM_AT = 148, SUM_SIZE = 8 };

static size_t mend(uint8_t *data, size_t size, size_t capacity)
{
	(void)capacity;
	for (size_t at = 0; at + BLOCK <= size;) {
		uint8_t *header = data + at;
		unsigned sum = 0, length = 0;
		memset(header + SUM_AT, ' ', SUM_SIZE);
		for (size_t i = 0; i < BLOCK; i++)
			sum += header[i];
		if (sum == ' ' * SUM_SIZE) { /* the end mark */
			memset(header + SUM_AT, 0, SUM_SIZE);
			break;
		}
		snprintf((char *)header + SUM_AT, SUM_SIZE, "%06o", sum);
		if (sscanf((const char *)header + SIZE_AT, "%11o", &length) != 1 || length > size)
			length = 0;
		at += BLOCK + (length + BLOCK - 1) / BLOCK * BLOCK;
	}
	return size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t capacity, unsigned seed)
{
	return fuzz_mutate_gzip(data, size, capacity, seed, mend);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct shard *shard;
	struct sample sample;
	struct err err;

	if (shard_open(fuzz_file(data, size), &shard, &err) != STATUS_OK)
		return 0;
	while (shard_next(shard, &sample, &err) == STATUS_OK) {
		fuzz_check(sample.caption_count > 0 && sample.image_size > 0);
		fuzz_touch(sample.key, strlen(sample.key));
		fuzz_touch(sample.image, sample.image_size);
		for (size_t i = 0; i < sample.caption_count; i++)
			fuzz_check(strlen(sample.captions[i]) > 0 || sample.captions[i][0] == '\0');
	}
	fuzz_check(shard_skipped(shard) <= (size_t)1 << 32);
	shard_close(shard);
	return 0;
}
