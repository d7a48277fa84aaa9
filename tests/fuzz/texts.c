/* texts.c: lines of texts and captions: `coca texts add` (with and without a photo's name) and the tables of `coca train`. */
#include "query/find/texts.h"

#include <string.h>

#include "model/data/dataset.h"
#include "tests/fuzz/fuzz.h"

#include "schema/base/banned.h"

static void read_lines(const char *at, size_t size, bool tsv)
{
	while (size) {
		const char *end = memchr(at, '\n', size), *reason = NULL;
		size_t length = end ? (size_t)(end - at) : size;
		struct texts_line line = {0};
		if (texts_parse(at, length, tsv, &line, &reason) && !reason) {
			fuzz_check(line.text_size > 0 && line.text >= at && line.text + line.text_size <= at + length);
			fuzz_check(!line.key || (line.key >= at && line.key + line.key_size <= at + length));
		}
		size_t used = length + (end != NULL);
		at += used;
		size -= used;
	}
}

static void read_table(const uint8_t *data, size_t size)
{
	struct dataset *dataset;
	struct dataset_counts counts;
	struct err err;

	fuzz_check(dataset_new(1 << 20, "/tmp", 2, &dataset, &err) == STATUS_OK);
	if (dataset_add_table(dataset, fuzz_file(data, size), NULL, &err) == STATUS_OK && dataset_finish(dataset, &err) == STATUS_OK) {
		dataset_count(dataset, &counts);
		for (size_t i = 0; i < counts.samples; i++)
			for (size_t c = 0; c < dataset_captions(dataset, DATASET_TRAIN, i); c++) {
				const char *caption = dataset_caption(dataset, DATASET_TRAIN, i, c);
				fuzz_touch(caption, strlen(caption));
			}
	}
	dataset_free(dataset);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	read_lines((const char *)data, size, false);
	read_lines((const char *)data, size, true);
	read_table(data, size);
	return 0;
}
