/* train_log.c: log.csv of a training run. */
#include "model/train/log.h"


#include "tests/fuzz/fuzz.h"

#include "schema/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct train_log log = {0};
	struct err err;

	if (train_log_read(fuzz_file(data, size), 1000, &log, &err) == STATUS_OK) {
		fuzz_check(log.count <= size);
		fuzz_touch(log.rows, log.count * sizeof *log.rows);
	}
	train_log_release(&log);
	return 0;
}
