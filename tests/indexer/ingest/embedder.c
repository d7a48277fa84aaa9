/* embedder.c: batches embedded by a thread: the same numbers as without it, two batches that keep out of each other's way. */
#include "indexer/ingest/embedder.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "model/image/image.h"
#include "model/net/vision.h"
#include "schema/base/memory.h"
#include "schema/base/packed.h"
#include "tests/support.h"

#include "schema/base/banned.h"

enum { BATCH = 3 };

static struct coca *model;

static void count_landing(void *context)
{
	__atomic_add_fetch((int *)context, 1, __ATOMIC_SEQ_CST);
}

static struct embedder *open_embedder(int *landings)
{
	struct embedder *embedder;
	struct err err;

	if (!model)
		assert_ok(coca_open("model/default", &model, &err), &err);
	struct embedder_options options = {
		.coca = model, .batch = BATCH, .tokens = true, .encoder = true, .landed = count_landing, .context = landings};
	assert_ok(embedder_open(&options, &embedder, &err), &err);
	return embedder;
}

static void wait_for(struct embedder *embedder)
{
	while (!embedder_landed(embedder))
		sched_yield();
}

/* A crop of noise, the caller's to free. */
static uint8_t *draw(uint64_t seed)
{
	size_t side = coca_config(model)->image_size;
	uint8_t *rgb = malloc(3 * side * side);

	assert_non_null(rgb);
	for (size_t i = 0; i < 3 * side * side; i++)
		rgb[i] = (uint8_t)test_random(&seed);
	return rgb;
}

static void a_batch_comes_out_as_the_model_makes_it(void **state)
{
	(void)state;
	int landings = 0;
	struct embedder *embedder = open_embedder(&landings);
	const struct config *config = coca_config(model);
	size_t S = config->image_size, E = config->embed_dim, N = config->image_tokens, W = vision_token_width(config);
	size_t M = vision_encoder_tokens(config), D = config->vision.width;
	struct coca_scratch *scratch = coca_scratch_new();
	float *pixels = mem_floats(BATCH * 3 * S * S), *features = mem_floats(BATCH * E), *tokens = mem_floats(BATCH * N * W);
	float *encoder = mem_floats(BATCH * M * D);
	uint8_t *rgb[BATCH], *blob = malloc(packed_tokens_size(N, W)), *encoder_blob = malloc(packed_tokens_size(M, D));
	struct batch *batch = embedder_batch(embedder);
	struct err err;

	assert_true(scratch && pixels && features && tokens && encoder && blob && encoder_blob);
	for (size_t b = 0; b < BATCH; b++) {
		batch->rgb[batch->count++] = rgb[b] = draw(b);
		image_normalise(rgb[b], S, config->mean, config->std, pixels + 3 * S * S * b);
	}
	embedder_start(embedder);
	assert_ok(coca_encode_tokens(model, scratch, pixels, BATCH, features, tokens, encoder, &err), &err);
	wait_for(embedder);
	assert_int_equal(landings, 1);
	assert_true(embedder_seconds(embedder) > 0);
	assert_ok(batch->status, &batch->err);
	assert_true(test_close("features", features, batch->features, BATCH * E, 1e-6f));
	for (size_t b = 0; b < BATCH; b++) {
		assert_true(batch->finite[b]);
		packed_tokens_write(tokens + N * W * b, N, W, blob);
		assert_memory_equal(blob, batch->tokens + embedder_tokens_size(embedder) * b, packed_tokens_size(N, W));
		packed_tokens_write(encoder + M * D * b, M, D, encoder_blob);
		assert_memory_equal(encoder_blob, batch->encoder + embedder_encoder_size(embedder) * b, packed_tokens_size(M, D));
		free(rgb[b]);
	}
	embedder_close(embedder);
	coca_scratch_free(scratch);
	free(pixels);
	free(features);
	free(tokens);
	free(encoder);
	free(blob);
	free(encoder_blob);
}

static void a_landed_batch_stays_while_the_next_is_embedded(void **state)
{
	(void)state;
	int landings = 0;
	struct embedder *embedder = open_embedder(&landings);
	size_t E = coca_config(model)->embed_dim, size = embedder_tokens_size(embedder);
	uint8_t *rgb[2] = {draw(1), draw(2)}, *tokens = malloc(size);
	float *features = mem_floats(E);
	struct batch *batch[2];

	assert_true(tokens && features);
	for (int i = 0; i < 2; i++) {
		batch[i] = embedder_batch(embedder);
		batch[i]->rgb[batch[i]->count++] = rgb[i];
		embedder_start(embedder);
		wait_for(embedder);
		if (i == 0) {
			memcpy(features, batch[0]->features, E * sizeof *features);
			memcpy(tokens, batch[0]->tokens, size);
		}
	}
	assert_ptr_not_equal(batch[0], batch[1]);
	assert_memory_equal(batch[0]->features, features, E * sizeof *features);
	assert_memory_equal(batch[0]->tokens, tokens, size);
	assert_memory_not_equal(batch[1]->features, features, E * sizeof *features);
	assert_int_equal(landings, 2);
	assert_ptr_equal(embedder_batch(embedder), batch[0]);
	embedder_close(embedder);
	for (int i = 0; i < 2; i++)
		free(rgb[i]);
	free(features);
	free(tokens);
}

static void an_empty_batch_lands_at_once(void **state)
{
	(void)state;
	int landings = 0;
	struct embedder *embedder = open_embedder(&landings);

	embedder_batch(embedder);
	embedder_start(embedder);
	assert_true(embedder_landed(embedder));
	assert_int_equal(landings, 0);
	embedder_close(embedder);
}

static void closing_waits_for_what_is_under_way(void **state)
{
	(void)state;
	int landings = 0;
	struct embedder *embedder = open_embedder(&landings);
	struct batch *batch = embedder_batch(embedder);
	uint8_t *rgb = draw(3);

	batch->rgb[batch->count++] = rgb;
	embedder_start(embedder);
	embedder_close(embedder);
	assert_int_equal(landings, 1);
	free(rgb);
	coca_close(model);
}

TEST_MAIN(cmocka_unit_test(an_empty_batch_lands_at_once), cmocka_unit_test(a_batch_comes_out_as_the_model_makes_it),
	  cmocka_unit_test(a_landed_batch_stays_while_the_next_is_embedded), cmocka_unit_test(closing_waits_for_what_is_under_way))
