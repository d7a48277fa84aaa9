/* head.c: files of heads: what is read can be used, and says the same when it is written and read again. */
#include "model/heads/head.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

#include "schema/base/banned.h"

/* Probabilities of an item of two tokens. */
static void use(const struct head *head)
{
	enum { ROWS = 2 };
	struct head_pass *reader = NULL;
	size_t D = head->D, C = head->labels_count;
	float *x = mem_floats(ROWS * D);
	bool *has = mem_array(C, sizeof *has);
	struct err err;
	size_t said = 0;

	if (head_pass_new(head, 1, ROWS, &reader, &err) == STATUS_OK && x && has) {
		for (size_t i = 0; i < ROWS * D; i++)
			x[i] = (float)(i % 7) - 3;
		const float *p = head_read(reader, x, head->n ? ROWS : 1);
		head_decide(head, p, has);
		for (size_t c = 0; c < C; c++)
			said += has[c];
		fuzz_check(head->several || said == 1);
		fuzz_touch(p, C * sizeof *p);
	}
	head_pass_free(reader);
	free(x);
	free(has);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct head head, again;
	struct buffer bytes = {0}, copy = {0};
	struct err err;

	if (head_parse(data, size, "x.head", &head, &err) != STATUS_OK) {
		fuzz_touch(err.text, strlen(err.text));
		return 0;
	}
	fuzz_check(head.labels_count >= 1 && strlen(head.config_digest) == 32 && (isnan(head.accuracy) || head.accuracy <= 1));
	use(&head);
	/* Values beyond F16 cannot be written. */
	if (head_bytes(&head, &bytes, &err) == STATUS_OK && head_parse(bytes.data, bytes.size, "x.head", &again, &err) == STATUS_OK) {
		fuzz_check(head_bytes(&again, &copy, &err) == STATUS_OK);
		fuzz_check(copy.size == bytes.size && memcmp(copy.data, bytes.data, bytes.size) == 0);
		head_release(&again);
	}
	buffer_release(&bytes);
	buffer_release(&copy);
	head_release(&head);
	return 0;
}
