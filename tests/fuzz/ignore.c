/* ignore.c: .cocaignore. The last line of the input is the path that is asked about, the others are patterns. */
#include "indexer/walk/ignore.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"
#include "tests/fuzz/fuzz.h"

#include "schema/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *line = memrchr(data, '\n', size);
	size_t patterns = line ? (size_t)(line - data) : 0;
	struct buffer path = {0};
	struct ignore *top = ignore_new(NULL, "/a"), *sub = ignore_new(top, "/a/b");

	fuzz_check(top && sub);
	buffer_text(&path, "/a/b/");
	buffer_append(&path, data + (line ? patterns + 1 : 0), size - (line ? patterns + 1 : 0));
	fuzz_check(!path.failed);
	fuzz_check(ignore_add(top, (const char *)data, patterns));
	fuzz_check(ignore_verdict(sub, path.data, false) <= IGNORE_IN_NAMED);
	fuzz_check(ignore_add_pattern(sub, (const char *)data, patterns));
	fuzz_check(ignore_verdict(sub, path.data, true) <= IGNORE_IN_NAMED);
	ignore_free(sub);
	ignore_free(top);
	buffer_release(&path);
	return 0;
}
