/* classes.c: what users say about classes: labels, the prompts that they are put into, and their broader terms. */
#include <stdlib.h>
#include <string.h>

#include "model/data/broader.h"
#include "model/words/prompts.h"
#include "query/teach/choices.h"
#include "tests/fuzz/fuzz.h"

#include "schema/base/banned.h"

static void read_labels(const char *path, size_t size)
{
	struct choices labels;
	struct err err;

	if (choices_read(path, &labels, &err) != STATUS_OK)
		return;
	fuzz_check(labels.count > 0 && labels.count <= size);
	for (size_t i = 0; i < labels.count; i++)
		fuzz_check(*labels.names[i] && !strchr(labels.names[i], '\n'));
	choices_release(&labels);
}

static void read_prompts(const char *path, size_t size)
{
	struct prompts prompts;
	struct err err;

	if (prompts_read(path, &prompts, &err) != STATUS_OK)
		return;
	fuzz_check(prompts.count > 0 && prompts.count <= size);
	for (size_t i = 0; i < prompts.count; i++) {
		char *text = prompts_fill(prompts.lines[i], "tusker");
		fuzz_check(text && strstr(text, "tusker"));
		const char *name = prompts_name(text);
		fuzz_check(name >= text && name < text + strlen(text));
		free(text);
	}
	prompts_release(&prompts);
}

static void read_broader(const char *path, const uint8_t *data, size_t size)
{
	struct broader broader;
	struct err err;

	if (broader_read(path, &broader, &err) != STATUS_OK)
		return;
	fuzz_check(broader.row_count <= size && broader.term_count <= size);
	for (size_t i = 0; i < broader.row_count; i++) {
		const struct broader_row *row = broader_find(&broader, broader.rows[i].name);
		fuzz_check(row && strcmp(row->name, broader.rows[i].name) == 0 && row->count > 0 && broader_bits(row));
		for (size_t t = 0; t < row->count; t++)
			fuzz_check(row->terms[t] < broader.term_count && *broader.terms[row->terms[t]]);
	}
	broader_in(&broader, (const char *)data, size < 256 ? size : 256);
	broader_release(&broader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *path = fuzz_file(data, size);

	read_labels(path, size);
	read_prompts(path, size);
	read_broader(path, data, size);
	return 0;
}
