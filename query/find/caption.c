/* caption.c: see caption.h. */
#include "query/find/caption.h"

#include <stdlib.h>

#include "model/net/generate.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

static const float length_power = 1;

/* A caption that never came about (the beams found none) is an empty text. */
static enum status decode(const struct tokenizer *tokenizer, const struct caption *caption, struct written *written, struct err *err)
{
	written->text = tokenizer_decode(tokenizer, caption->ids, caption->count);
	written->likelihood = caption->likelihood;
	written->tokens = caption->count ? caption->count - 1 : 0;
	return written->text ? STATUS_OK : err_memory(err, "a caption");
}

enum status caption_write(struct engine *engine, const float *tokens, size_t count, size_t beams, size_t most, struct written *written,
			  struct err *err)
{
	const struct tokenizer *tokenizer = coca_tokenizer(engine->model);
	struct caption *captions = mem_array(mem_product(count, beams), sizeof *captions);
	enum status status = captions ? STATUS_OK : err_memory(err, "captions");

	for (size_t i = 0; i < count; i++)
		written[i] = (struct written){0};
	if (status == STATUS_OK && !tokenizer)
		status = err_set(err, STATUS_UNSUPPORTED,
				 "the model '%s' has no tokenizer; hint: put its merges.txt, tokenizer.json or bpe_simple_vocab_16e6.txt.gz beside it",
				 coca_weights_path(engine->model));
	if (status == STATUS_OK)
		status = generate_beams(engine->model, engine->state, tokens, count, tokenizer_start(tokenizer), tokenizer_end(tokenizer),
					most ? most + 1 : 0, beams, length_power, captions, err);
	for (size_t i = 0; i < count && status == STATUS_OK; i++)
		status = decode(tokenizer, &captions[i * beams], &written[i], err);
	if (captions)
		captions_release(captions, count * beams);
	free(captions);
	if (status != STATUS_OK)
		written_release(written, count);
	return status;
}

void written_release(struct written *written, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(written[i].text);
		written[i] = (struct written){0};
	}
}
