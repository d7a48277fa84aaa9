/* cross.c: cross attention folded against unfolded, of floats and of stored bytes, in shapes with every kind of remainder; and which
 * form is taken. */
#include "model/net/cross.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/net/likelihood.h"
#include "schema/base/memory.h"
#include "schema/base/packed.h"
#include "tests/support.h"

#include "schema/base/banned.h"

struct shape {
	size_t W, H, N, images, rows[4];
};
static const struct shape shapes[] = {
	{24, 1, 4, 1, {1}}, {24, 3, 5, 3, {1, 4, 2}}, {40, 5, 17, 2, {30, 3}}, {64, 8, 255, 2, {9, 9}}, {96, 2, 33, 4, {2, 60, 1, 7}},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

struct fixture {
	struct config config;
	struct block block;
	struct coca_image images[4];
	void *blobs[4];
	size_t rows;
	float *parameters, *tokens, *q, *out[2]; /* [2][R,W] */
};

static float *take(float **next, size_t n, float mean, float spread, uint64_t *seed)
{
	float *x = *next;

	for (size_t i = 0; i < n; i++)
		x[i] = mean + spread * test_uniform(seed);
	*next += n;
	return x;
}

/* Tokens as they come out of ln_post: of deviation about 1, with a mean that is not 0. */
static void set_up(struct fixture *f, const struct shape *s, uint64_t seed)
{
	size_t W = s->W, N = s->N;
	float *next, spread = 1.7f / sqrtf((float)W);

	memset(f, 0, sizeof *f);
	f->config.decoder = (struct tower){.layers = 1, .width = W, .heads = s->H, .hidden = 4 * W};
	f->config.image_tokens = N;
	for (size_t i = 0; i < s->images; i++)
		f->rows += s->rows[i];
	next = f->parameters = mem_floats(5 * W + 3 * W * W);
	f->block.ln_1_kv.weight = take(&next, W, 1, 0.5f, &seed);
	f->block.ln_1_kv.bias = take(&next, W, 0, 0.5f, &seed);
	f->block.attn.in_bias = take(&next, 3 * W, 0, 0.3f, &seed);
	f->block.attn.q_weight = take(&next, W * W, 0, spread, &seed);
	f->block.attn.k_weight = take(&next, W * W, 0, spread, &seed);
	f->block.attn.v_weight = take(&next, W * W, 0, spread, &seed);
	next = f->tokens = mem_floats(s->images * N * W);
	take(&next, s->images * N * W, 0.1f, 1.7f, &seed);
	next = f->q = mem_floats(f->rows * W);
	take(&next, f->rows * W, 0, 2, &seed);
	for (size_t i = 0; i < s->images; i++) {
		size_t size = packed_tokens_size(N, W);
		f->blobs[i] = mem_array(size, 1);
		packed_tokens_write(f->tokens + i * N * W, N, W, f->blobs[i]);
	}
	f->out[0] = mem_floats(f->rows * W);
	f->out[1] = mem_floats(f->rows * W);
}

static void tear_down(struct fixture *f)
{
	free(f->parameters);
	free(f->tokens);
	free(f->q);
	free(f->out[0]);
	free(f->out[1]);
	for (size_t i = 0; i < 4; i++)
		free(f->blobs[i]);
}

static void attend(struct fixture *f, const struct shape *s, enum cross_form form, bool stored, int threads, float *out)
{
	struct carver carver = {0};
	struct cross cross;
	struct err err;
	size_t row = 0;

	cross_carve(&carver, &cross, &f->config, form, stored, f->rows, s->images, threads);
	carver = (struct carver){(char *)mem_floats(carver.used / sizeof(float)), 0};
	assert_non_null(carver.base);
	cross_carve(&carver, &cross, &f->config, form, stored, f->rows, s->images, threads);
	for (size_t i = 0; i < s->images; i++) {
		f->images[i] = (struct coca_image){.tokens = f->tokens + i * s->N * s->W};
		if (stored) {
			f->images[i].tokens = NULL;
			assert_ok(packed_tokens_view(f->blobs[i], packed_tokens_size(s->N, s->W), s->N, s->W, &f->images[i].scales,
						     &f->images[i].bytes, &err), &err);
		}
		cross.list[i].tokens = f->images + i;
		cross.list[i].row = row;
		row += cross.list[i].rows = s->rows[i];
	}
	cross_prepare(&cross);
	cross_attend(&cross, &f->block, f->q, out);
	free(carver.base);
}

/* Largest difference within the largest magnitude. */
static bool close_to(const char *name, const struct fixture *f, float relative)
{
	size_t n = f->rows * f->config.decoder.width;
	float largest = 0;

	for (size_t i = 0; i < n; i++)
		largest = fmaxf(largest, fabsf(f->out[0][i]));
	return test_close(name, f->out[1], f->out[0], n, relative * largest);
}

static void folded_equals_unfolded(void **state)
{
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < SHAPES; i++) {
		set_up(&f, shapes + i, i);
		attend(&f, shapes + i, CROSS_UNFOLDED, false, 1, f.out[0]);
		attend(&f, shapes + i, CROSS_FOLDED, false, 1, f.out[1]);
		assert_true(close_to("floats", &f, 1e-5f));
		tear_down(&f);
	}
}

/* Fixed point of 16 bits loses some 3e-5, a hundredth of what 8 bits a token have lost. */
static void stored_tokens_give_the_same_folded_and_unfolded(void **state)
{
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < SHAPES; i++) {
		set_up(&f, shapes + i, i);
		attend(&f, shapes + i, CROSS_UNFOLDED, true, 1, f.out[0]);
		attend(&f, shapes + i, CROSS_FOLDED, true, 1, f.out[1]);
		assert_true(close_to("bytes", &f, 1e-4f));
		tear_down(&f);
	}
}

static void threads_make_no_difference(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f, shapes + 4, 9);
	for (int stored = 0; stored < 2; stored++) {
		attend(&f, shapes + 4, CROSS_FOLDED, stored, 1, f.out[0]);
		attend(&f, shapes + 4, CROSS_FOLDED, stored, 3, f.out[1]);
		assert_true(close_to("threads", &f, 1e-6f));
	}
	tear_down(&f);
}

/* A scale of 0, as a token of zeros has it, a damaged one below 0, and tokens so small that LayerNorm's epsilon counts. */
static void unusual_scales_are_taken_as_they_are(void **state)
{
	struct shape s = {24, 2, 5, 1, {4}};
	struct fixture f;

	(void)state;
	set_up(&f, &s, 5);
	float *scales = (float *)((char *)f.blobs[0] + 12);
	scales[1] = 0;
	scales[2] = -scales[2];
	scales[3] *= 1e-3f;
	attend(&f, &s, CROSS_UNFOLDED, true, 1, f.out[0]);
	attend(&f, &s, CROSS_FOLDED, true, 1, f.out[1]);
	assert_true(close_to("unusual", &f, 1e-4f));
	tear_down(&f);
}

static void few_rows_fold_and_many_do_not(void **state)
{
	struct config config = {.decoder = {.width = 512, .heads = 8}, .image_tokens = 255};

	(void)state;
	assert_int_equal(cross_choose(&config, 50 * 9, 50, true), CROSS_FOLDED);
	assert_int_equal(cross_choose(&config, 50 * 9, 50, false), CROSS_FOLDED);
	assert_int_equal(cross_choose(&config, 50 * 75, 50, true), CROSS_FOLDED);
	assert_int_equal(cross_choose(&config, 50 * 75, 50, false), CROSS_UNFOLDED);
	assert_int_equal(cross_choose(&config, 450, 1, true), CROSS_UNFOLDED);
}

TEST_MAIN(cmocka_unit_test(few_rows_fold_and_many_do_not), cmocka_unit_test(folded_equals_unfolded),
	  cmocka_unit_test(stored_tokens_give_the_same_folded_and_unfolded), cmocka_unit_test(unusual_scales_are_taken_as_they_are),
	  cmocka_unit_test(threads_make_no_difference))
