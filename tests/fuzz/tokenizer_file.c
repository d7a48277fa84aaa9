/* tokenizer_file.c: merges.txt, the gzip-compressed list and tokenizer.json. What opens can encode and decode. */
#include <stdlib.h>

#include "model/words/tokenizer.h"
#include "tests/fuzz/fuzz.h"

#include "schema/base/banned.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t capacity, unsigned seed)
{
	return fuzz_mutate_gzip(data, size, capacity, seed, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char text[] = "A photo of two d\xc3\xb6gs, <start_of_text> 12 &amp; \xff!";
	struct tokenizer *tokenizer;
	int32_t ids[24];
	struct err err;

	if (tokenizer_open(fuzz_file(data, size), 0, &tokenizer, &err) != STATUS_OK)
		return 0;
	size_t n = tokenizer_encode(tokenizer, text, sizeof text - 1, ids, sizeof ids / sizeof *ids);
	fuzz_check(n >= 2 && n <= sizeof ids / sizeof *ids);
	fuzz_check(ids[0] == tokenizer_start(tokenizer) && ids[n - 1] == tokenizer_end(tokenizer));
	for (size_t i = 0; i < n; i++)
		fuzz_check(ids[i] >= 0 && (size_t)ids[i] < tokenizer_vocab_size(tokenizer));
	char *decoded = tokenizer_decode(tokenizer, ids, n);
	fuzz_check(decoded);
	free(decoded);
	tokenizer_close(tokenizer);
	return 0;
}
