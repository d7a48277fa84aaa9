/* query.c: a command line of `coca search`, one word a line: options, composed queries and filters. */
#include "query/ask/parse.h"

#include <stdlib.h>
#include <string.h>

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

/* As coca search takes them, with numbers of each kind. */
struct options {
	struct option_list terms, filters;
	size_t limit, rerank, budget;
	double least;
};
static const struct option_spec options[] = {
	TERM_OPTIONS(struct options, terms),
	FILTER_OPTIONS(struct options, filters),
	OPTION_NUMBER(struct options, limit, "limit", 'n', "N", 1, 1000, 10, ""),
	OPTION_BARE_NUMBER(struct options, rerank, "rerank", 0, "N", 1, 1000, 0, 50, ""),
	OPTION_SIZE(struct options, budget, "budget", 0, "SIZE", 0, ""),
	OPTION_REAL(struct options, least, "min-score", 0, "X", 0, 1, 0, ""),
	{0},
};
static const struct command command = {.name = "search", .options = options, .options_size = sizeof(struct options)};

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
	if (arguments_parse(&command, count, words, &args, &err) == STATUS_OK && !args.common.help) {
		const struct options *given = args.options;
		struct asked asked = {args.count, args.words, given->terms, given->filters};
		fuzz_check(given->limit >= 1 && given->limit <= 1000 && given->rerank <= 1000 && given->least >= 0 && given->least <= 1);
		if (query_parse(&asked, &query, &err) == STATUS_OK) {
			check_query(&query);
			query_release(&query);
		} else {
			fuzz_check(err.text[0] && !strchr(err.text, '\n'));
		}
	}
	arguments_release(&args);
	free(text);
	return 0;
}
