/* pickle.c: the stack machine that reads a pickle. What it keeps is bounded by the pickle's size. */
#include "model/files/pickle.h"
#include "tests/fuzz/fuzz.h"

#include "schema/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { PER_BYTE = 256, AT_LEAST = 1 << 20 };
	struct pickle pickle = {0};
	struct err err;

	if (pickle_open(data, size, &pickle, &err) == STATUS_OK) {
		fuzz_check(pickle.root);
		fuzz_check(pickle.used <= PER_BYTE * size + AT_LEAST);
		if (pickle.root->kind == VALUE_TEXT)
			fuzz_touch(pickle.root->text, pickle.root->count);
	}
	pickle_close(&pickle);
	return 0;
}
