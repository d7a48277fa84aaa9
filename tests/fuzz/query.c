/* query.c: a command line of `coca search`, one word a line: options, composed queries and filters. */
#include "query/ask/parse.h"

#include <stdlib.h>
#include <string.h>

#include "query/commands/commands.h"
#include "schema/catalog/filter.h"
#include "schema/base/memory.h"
#include "tests/fuzz/fuzz.h"

#include "schema/base/banned.h"

static void check_query(const struct query *query)
{
	fuzz_check(query->text);
	for (size_t i = 0; i < query->composition.count; i++) {
		const struct term *term = &query->composition.terms[i];
		fuzz_check(term->value && *term->value);
		fuzz_check(term->weight > 0 || term->weight < 0);
	}
	const struct photo_filter *f = &query->filter;
	fuzz_check(!f->has_since || !f->has_until || f->since < f->until);
	fuzz_check(!f->has_near || (f->latitude >= -90 && f->latitude <= 90 && f->longitude >= -180 && f->longitude <= 180 && f->km >= 0));
	fuzz_check(!f->in || f->in[0] == '/');
}

static void read_values(const struct arguments *args)
{
	struct err err;
	size_t number;
	double real;

	for (size_t i = 0; i < args->given_count; i++) {
		const char *name = args->given[i].spec->name;
		arguments_number(args, name, 1, 1, 1000, &number, &err);
		arguments_size(args, name, 1, &number, &err);
		arguments_real(args, name, 1, &real, &err);
		fuzz_check(real > 0 || real <= 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { WORDS = 64 };
	char *text = mem_copy(data, size), *words[WORDS], *rest = text;
	int count = 0;
	struct arguments args;
	struct query query;
	struct err err;

	fuzz_check(text);
	while (rest && count < WORDS)
		words[count++] = strsep(&rest, "\n");
	if (arguments_parse(&command_search, count, words, &args, &err) == STATUS_OK) {
		read_values(&args);
		if (query_parse(&args, &query, &err) == STATUS_OK) {
			check_query(&query);
			query_release(&query);
		} else {
			fuzz_check(err.text[0] && !strchr(err.text, '\n'));
		}
		arguments_release(&args);
	}
	free(text);
	return 0;
}
