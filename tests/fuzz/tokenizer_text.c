/* tokenizer_text.c: any bytes as a text: entities, Unicode classes, merges; and any numbers as ids. */
#include <stdlib.h>
#include <string.h>

#include "model/words/tokenizer.h"
#include "schema/base/utf8.h"
#include "tests/fuzz/fuzz.h"

#include "schema/base/banned.h"

static const char merges[] = "#version: 0.2\nt h\nth e</w>\na n\nd o\ndo g</w>\nan d</w>\n' s</w>\nl l\n\xc3\x83 \xc2\xa9\n1 2\n! !</w>\n";

static struct tokenizer *opened(void)
{
	static struct tokenizer *tokenizer;
	struct err err;

	if (!tokenizer)
		fuzz_check(tokenizer_open(fuzz_file(merges, sizeof merges - 1), 0, &tokenizer, &err) == STATUS_OK);
	return tokenizer;
}

static void check_decoded(const int32_t *ids, size_t n)
{
	char *text = tokenizer_decode(opened(), ids, n);

	fuzz_check(text);
	for (size_t i = 0, size = strlen(text), step; i < size; i += step)
		fuzz_check(utf8_next(text + i, size - i, &step));
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { CONTEXT = 16 };
	struct tokenizer *t = opened();
	int32_t few[CONTEXT], *all, any[CONTEXT];
	struct err err;
	size_t n;

	size_t kept = tokenizer_encode(t, (const char *)data, size, few, CONTEXT);
	fuzz_check(tokenizer_encode_all(t, (const char *)data, size, &all, &n, &err) == STATUS_OK);
	fuzz_check(kept == (n + 2 < CONTEXT ? n + 2 : CONTEXT));
	fuzz_check(few[0] == tokenizer_start(t) && few[kept - 1] == tokenizer_end(t));
	fuzz_check(kept == 2 || memcmp(few + 1, all, (kept - 2) * sizeof *all) == 0);
	for (size_t i = 0; i < n; i++)
		fuzz_check(all[i] >= 0 && (size_t)all[i] < tokenizer_vocab_size(t));
	check_decoded(all, n);
	free(all);
	n = size / sizeof *any < CONTEXT ? size / sizeof *any : CONTEXT;
	if (n)
		memcpy(any, data, n * sizeof *any);
	check_decoded(any, n);
	return 0;
}
