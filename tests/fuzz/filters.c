/* filters.c: dates and places, as --since, --until and --near take them. */
#include <stdlib.h>

#include "query/ask/parse.h"
#include "schema/catalog/filter.h"
#include "schema/base/memory.h"
#include "tests/fuzz/fuzz.h"

#include "schema/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = mem_copy(data, size);
	struct photo_filter filter = {0};
	int64_t from, to;
	struct err err;

	fuzz_check(text);
	if (parse_date(text, &from, &to, &err) == STATUS_OK)
		fuzz_check(from < to && to - from <= 366 * INT64_C(86400));
	if (parse_near(text, &filter, &err) == STATUS_OK)
		fuzz_check(filter.has_near && filter.latitude >= -90 && filter.latitude <= 90 && filter.longitude >= -180 &&
			   filter.longitude <= 180 && filter.km >= 0);
	free(text);
	return 0;
}
