/* generate.c: captions of the small reference models: greedy ids, beams, and that their likelihood is the one that
 * coca_likelihood gives, which computes without a cache.
 */
#include "model/net/generate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/files/checkpoint.h"
#include "model/net/encode.h"
#include "model/net/likelihood.h"
#include "model/net/vision.h"
#include "schema/base/memory.h"
#include "tests/support.h"

#include "schema/base/banned.h"

static const char *const folders[] = {"tests/data/tiny", "tests/data/tiny-cascade", "tests/data/tiny-nopool"};
enum { FOLDERS = 3, COPIES = 6 /* of the four images: more than a group holds */ };

struct fixture {
	struct coca *model;
	struct coca_scratch *state;
	struct checkpoint *expected;
	size_t B, C, token; /* B: images of the reference; tokens has COPIES times as many */
	int32_t start, end;
	float *tokens;
};

static void set_up(struct fixture *f, const char *folder)
{
	struct err err;

	assert_ok(coca_open(folder, &f->model, &err), &err);
	assert_ok(checkpoint_open(test_path(folder, "expected.safetensors"), &f->expected, &err), &err);
	f->state = coca_scratch_new();
	const struct tensor *tokens = checkpoint_find(f->expected, "image_tokens");
	assert_non_null(tokens);
	f->B = tokens->shape[0];
	f->C = coca_config(f->model)->context_length;
	f->token = tokens->count / f->B;
	f->start = (int32_t)coca_config(f->model)->vocab_size - 2;
	f->end = f->start + 1;
	f->tokens = mem_floats(COPIES * tokens->count);
	for (size_t i = 0; i < COPIES; i++)
		assert_ok(tensor_floats(tokens, f->tokens + i * tokens->count, &err), &err);
}

static void tear_down(struct fixture *f)
{
	coca_scratch_free(f->state);
	coca_close(f->model);
	checkpoint_close(f->expected);
	free(f->tokens);
}

static int32_t expected_id(const struct fixture *f, size_t image, size_t t)
{
	int64_t id;

	memcpy(&id, (const char *)checkpoint_find(f->expected, "greedy_text")->data + (image % f->B * f->C + t) * sizeof id, sizeof id);
	return (int32_t)id;
}

/* Greedy's and the beams' likelihood counts ids 0, too, which coca_likelihood does not: such captions are passed over. */
static void check_likelihood(struct fixture *f, size_t image, const struct caption *caption)
{
	struct coca_text text = {caption->ids, caption->count};
	struct coca_pair pair = {image, 0};
	struct err err;
	float sum;

	for (size_t t = 0; t < caption->count; t++)
		if (caption->ids[t] == 0)
			return;
	assert_ok(coca_likelihood(f->model, f->state, f->tokens, image + 1, &text, 1, &pair, 1, &sum, NULL, &err), &err);
	assert_true(test_close("likelihood of a caption", &sum, &caption->likelihood, 1, 1e-4f));
}

static void greedy_captions_are_the_reference(void **state)
{
	(void)state;
	for (size_t i = 0; i < FOLDERS; i++) {
		struct caption captions[64];
		struct fixture f;
		struct err err;
		set_up(&f, folders[i]);
		assert_ok(generate_greedy(f.model, f.state, f.tokens, COPIES * f.B, f.start, f.end, 0, captions, &err), &err);
		for (size_t b = 0; b < COPIES * f.B; b++) {
			for (size_t t = 0; t < f.C; t++)
				assert_int_equal(t < captions[b].count ? captions[b].ids[t] : 0, expected_id(&f, b, t));
			check_likelihood(&f, b, captions + b);
		}
		captions_release(captions, COPIES * f.B);
		tear_down(&f);
	}
}

static void most_cuts_a_caption(void **state)
{
	struct caption captions[8];
	struct fixture f;
	struct err err;

	(void)state;
	set_up(&f, folders[0]);
	for (size_t most = 1; most < 5; most++)
		for (size_t beams = 1; beams < 3; beams++) {
			assert_ok(generate_beams(f.model, f.state, f.tokens, f.B, f.start, f.end, most, beams, 0, captions, &err), &err);
			for (size_t b = 0; b < f.B; b++) {
				assert_in_range(captions[b * beams].count, most > 1 ? 2 : 1, most);
				assert_int_equal(captions[b * beams].ids[0], f.start);
			}
			captions_release(captions, f.B * beams);
		}
	tear_down(&f);
}

static void one_beam_is_greedy(void **state)
{
	struct caption greedy[8], beams[8];
	struct fixture f;
	struct err err;

	(void)state;
	set_up(&f, folders[1]);
	assert_ok(generate_greedy(f.model, f.state, f.tokens, f.B, f.start, f.end, 0, greedy, &err), &err);
	assert_ok(generate_beams(f.model, f.state, f.tokens, f.B, f.start, f.end, 0, 1, 1, beams, &err), &err);
	for (size_t b = 0; b < f.B; b++) {
		assert_int_equal(greedy[b].count, beams[b].count);
		assert_memory_equal(greedy[b].ids, beams[b].ids, greedy[b].count * sizeof *greedy[b].ids);
	}
	captions_release(greedy, f.B);
	captions_release(beams, f.B);
	tear_down(&f);
}

static void beams_are_ordered_and_as_likely_as_they_say(void **state)
{
	enum { BEAMS = 5 };

	(void)state;
	for (size_t i = 0; i < FOLDERS; i++) {
		struct caption captions[COPIES * 4 * BEAMS];
		struct fixture f;
		struct err err;
		set_up(&f, folders[i]);
		assert_ok(generate_beams(f.model, f.state, f.tokens, COPIES * f.B, f.start, f.end, 0, BEAMS, 0, captions, &err), &err);
		for (size_t b = 0; b < COPIES * f.B; b++)
			for (size_t k = 0; k < BEAMS; k++) {
				const struct caption *caption = captions + b * BEAMS + k;
				assert_true(caption->count > 1);
				check_likelihood(&f, b, caption);
				assert_true(k == 0 || caption->likelihood <= caption[-1].likelihood);
				for (size_t other = 0; other < k; other++)
					assert_false(captions[b * BEAMS + other].count == caption->count &&
						     memcmp(captions[b * BEAMS + other].ids, caption->ids,
							    caption->count * sizeof *caption->ids) == 0);
			}
		captions_release(captions, COPIES * f.B * BEAMS);
		tear_down(&f);
	}
}

/* Two ids behind the start: as many beams as ids cannot miss the best pair. */
static void wide_beams_find_the_best_caption(void **state)
{
	struct caption best[600];
	struct coca_text *texts;
	struct coca_pair *pairs;
	struct fixture f;
	struct err err;

	(void)state;
	set_up(&f, folders[0]);
	size_t V = coca_config(f.model)->vocab_size, n = V * 20;
	assert_true(V == 600);
	assert_ok(generate_beams(f.model, f.state, f.tokens, 1, f.start, f.end, 3, V, 0, best, &err), &err);
	texts = mem_array(n, sizeof *texts);
	pairs = mem_array(n, sizeof *pairs);
	int32_t *ids = mem_array(3 * n, sizeof *ids);
	float *sums = mem_floats(n), most = -INFINITY;
	size_t used = 0;
	/* A sample of all captions of three ids, and all of two. */
	for (size_t i = 0; i < n; i++) {
		int32_t *text = ids + 3 * used;
		text[0] = f.start;
		text[1] = (int32_t)(i % V);
		text[2] = (int32_t)(i / V * 29 + 1);
		if (text[1] == 0 || text[1] == f.end)
			continue;
		texts[used] = (struct coca_text){text, 3};
		pairs[used] = (struct coca_pair){0, used};
		used++;
	}
	assert_ok(coca_likelihood(f.model, f.state, f.tokens, 1, texts, used, pairs, used, sums, NULL, &err), &err);
	for (size_t i = 0; i < used; i++)
		most = sums[i] > most ? sums[i] : most;
	assert_true(best[0].likelihood >= most - 1e-4f);
	captions_release(best, V);
	free(texts);
	free(pairs);
	free(ids);
	free(sums);
	tear_down(&f);
}

static void impossible_requests_are_refused(void **state)
{
	struct caption caption;
	struct fixture f;
	struct err err;

	(void)state;
	set_up(&f, folders[0]);
	assert_int_equal(generate_greedy(f.model, f.state, f.tokens, 1, 600, f.end, 0, &caption, &err), STATUS_FORMAT);
	assert_int_equal(generate_beams(f.model, f.state, f.tokens, 1, f.start, f.end, 0, 0, 0, &caption, &err), STATUS_USAGE);
	tear_down(&f);
}

TEST_MAIN(cmocka_unit_test(impossible_requests_are_refused), cmocka_unit_test(most_cuts_a_caption), cmocka_unit_test(one_beam_is_greedy),
	  cmocka_unit_test(greedy_captions_are_the_reference), cmocka_unit_test(beams_are_ordered_and_as_likely_as_they_say),
	  cmocka_unit_test(wide_beams_find_the_best_caption))
