/* config.c: open_clip_config.json. What is accepted is written and read back as the same. */
#include "model/files/config.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

#include "schema/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config config, again;
	struct err err;

	if (config_parse((const char *)data, size, "fuzz", &config, &err) != STATUS_OK)
		return 0;
	char *written = config_write(&config);
	fuzz_check(written);
	fuzz_check(config_parse(written, strlen(written), "written", &again, &err) == STATUS_OK);
	char *twice = config_write(&again);
	fuzz_check(twice && strcmp(written, twice) == 0);
	free(written);
	free(twice);
	return 0;
}
