/* train_state.c: train_state.bin of a model of a few numbers. The mutator mends the file's checksum and size. */
#include "model/train/state.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "tests/fuzz/fuzz.h"

#include "schema/base/banned.h"

enum { FLOATS = 4, SIZE_AT = 16 };

/* Its digest is what a file must name; its weights are not needed. */
static struct config config_of_file(void)
{
	static const char json[] = "{\"model_cfg\": {\"embed_dim\": 8, "
		"\"vision_cfg\": {\"image_size\": 8, \"layers\": 1, \"width\": 8, \"head_width\": 8, \"patch_size\": 8, \"attn_pooler_heads\": 1}, "
		"\"text_cfg\": {\"context_length\": 4, \"vocab_size\": 8, \"width\": 8, \"heads\": 1, \"layers\": 1, \"embed_cls\": true}, "
		"\"multimodal_cfg\": {\"width\": 8, \"heads\": 1, \"layers\": 1, \"context_length\": 4, \"vocab_size\": 8}}}";
	struct config config;
	struct err err = {0};

	if (config_parse(json, sizeof json - 1, "fuzz", &config, &err) != STATUS_OK)
		fuzz_failed(err.text, __FILE__, __LINE__);
	return config;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t capacity, unsigned seed)
{
	size = LLVMFuzzerMutate(data, size, capacity);
	if (size < SIZE_AT + sizeof(uint64_t) + sizeof(uint64_t) || seed % 8 == 0)
		return size;
	uint64_t length = size, sum;
	memcpy(data + SIZE_AT, &length, sizeof length);
	sum = XXH3_64bits(data, size - sizeof sum);
	memcpy(data + size - sizeof sum, &sum, sizeof sum);
	return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static float rows[4][FLOATS];
	struct parameters p = {.config = config_of_file(), .floats = FLOATS, .value = rows[0],
			       .first = rows[1], .second = rows[2], .average = rows[3]};
	struct train_state state = {0};
	const char *path = fuzz_file(data, size);
	char *note;
	size_t note_size;
	struct err err;

	enum status noted = train_state_note(path, &note, &note_size, &err);
	if (noted == STATUS_OK) {
		fuzz_check(note_size < size);
		fuzz_touch(note, note_size + 1);
	}
	free(note);
	if (train_state_read(path, &state, &p, &err) == STATUS_OK)
		fuzz_check(noted == STATUS_OK);
	return 0;
}
