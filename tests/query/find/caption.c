/* Captions as sentences: their likelihoods against the model's own figure for the same ids, and which one of a beam is chosen. */
#include "model/net/likelihood.h"
#include "tests/query/drawn.h"

#include <math.h>

#include "model/net/generate.h"
#include "query/find/caption.h"

#include "schema/base/banned.h"

enum { PHOTOS = 5 };

struct fixture {
	struct drawn *d;
	float *tokens; /* [PHOTOS,N,W] */
};

static struct fixture fixture_new(void)
{
	struct fixture f = {.d = drawn_new(PHOTOS, 0)};
	struct engine *engine = &f.d->library.engine;
	size_t each = engine->tokens * engine->width;
	int64_t content;

	f.tokens = mem_floats(PHOTOS * each);
	for (size_t i = 0; i < PHOTOS; i++)
		assert_ok(tokens_of_file(&f.d->library, f.d->paths[i], TOKENS_IMAGE, f.tokens + i * each, NULL, &content, &err), &err);
	return f;
}

static void fixture_free(struct fixture *f)
{
	free(f->tokens);
	library_close(&f->d->library);
}

/* log p of a text's own ids; what was generated may be other ids of the same letters, which this model's captions are not. */
static double likelihood(struct fixture *f, size_t photo, const char *text)
{
	struct engine *engine = &f->d->library.engine;
	struct coca_pair pair = {0, 0};
	struct coca_text encoded;
	int32_t *ids;
	float sum;
	bool cut;

	assert_ok(engine_text_ids(engine, text, strlen(text), &ids, &encoded, &cut, &err), &err);
	assert_ok(coca_likelihood(engine->model, engine->state, f->tokens + photo * engine->tokens * engine->width, 1, &encoded, 1, &pair, 1, &sum,
				  NULL, &err), &err);
	free(ids);
	return (double)sum;
}

static void likelihoods_are_the_models(void **state)
{
	(void)state;
	struct fixture f = fixture_new();
	struct written written[PHOTOS];

	/* Captions are written in fp32; likelihoods in 8 bits are some hundredths of a nat off. */
	coca_set_precision(f.d->library.engine.model, PRECISION_FP32);
	for (size_t beams = 1; beams <= 4; beams += 3) {
		assert_ok(caption_write(&f.d->library.engine, f.tokens, PHOTOS, beams, 0, written, &err), &err);
		for (size_t i = 0; i < PHOTOS; i++) {
			assert_true(strlen(written[i].text) > 0);
			assert_true(fabs((double)written[i].likelihood - likelihood(&f, i, written[i].text)) < 2e-3);
		}
		written_release(written, PHOTOS);
	}
	fixture_free(&f);
}

/* The rule, applied to all that the beams ended with. */
static void beam_is_chosen_by_likelihood_over_length(void **state)
{
	(void)state;
	enum { BEAMS = 4 };
	struct fixture f = fixture_new();
	struct engine *engine = &f.d->library.engine;
	const struct tokenizer *tokenizer = coca_tokenizer(engine->model);
	struct caption captions[PHOTOS * BEAMS];
	struct written written[PHOTOS];

	assert_ok(caption_write(engine, f.tokens, PHOTOS, BEAMS, 0, written, &err), &err);
	assert_ok(generate_beams(engine->model, engine->state, f.tokens, PHOTOS, tokenizer_start(tokenizer), tokenizer_end(tokenizer), 0, BEAMS, 1,
				 captions, &err), &err);
	for (size_t i = 0; i < PHOTOS; i++) {
		size_t best = i * BEAMS;
		for (size_t k = i * BEAMS; k < (i + 1) * BEAMS; k++)
			if (captions[k].count && (double)captions[k].likelihood / (double)(captions[k].count - 1) >
							 (double)captions[best].likelihood / (double)(captions[best].count - 1))
				best = k;
		char *text = tokenizer_decode(tokenizer, captions[best].ids, captions[best].count);
		assert_string_equal(written[i].text, text);
		assert_int_equal(written[i].tokens, captions[best].count - 1);
		free(text);
	}
	captions_release(captions, PHOTOS * BEAMS);
	written_release(written, PHOTOS);
	fixture_free(&f);
}

static void captions_can_be_cut(void **state)
{
	(void)state;
	struct fixture f = fixture_new();
	struct written written[PHOTOS];

	for (size_t beams = 1; beams <= 2; beams++) {
		assert_ok(caption_write(&f.d->library.engine, f.tokens, PHOTOS, beams, 3, written, &err), &err);
		for (size_t i = 0; i < PHOTOS; i++)
			assert_true(written[i].tokens <= 3);
		written_release(written, PHOTOS);
	}
	fixture_free(&f);
}

TEST_MAIN(cmocka_unit_test(captions_can_be_cut), cmocka_unit_test(likelihoods_are_the_models),
	  cmocka_unit_test(beam_is_chosen_by_likelihood_over_length))
