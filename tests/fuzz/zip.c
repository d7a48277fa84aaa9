/* zip.c: the list of a zip file's members. */
#include "model/files/zip.h"
#include "tests/fuzz/fuzz.h"

#include "schema/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zip zip = {0};
	struct err err;

	if (zip_open(data, size, &zip, &err) != STATUS_OK)
		return 0;
	for (size_t i = 0; i < zip.count; i++) {
		const struct zip_member *m = &zip.members[i];
		fuzz_check(m->size <= size && m->name_size <= size);
		fuzz_touch(m->name, m->name_size);
		fuzz_touch(m->data, m->size);
		fuzz_check(zip_find(&zip, "", 0, m->name, m->name_size) == m);
	}
	zip_close(&zip);
	return 0;
}
