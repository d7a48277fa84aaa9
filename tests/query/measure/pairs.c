/* pairs.c: what counts as right of a pair of pictures and a pair of captions, and what is a pair at all. */
#include "query/measure/pairs.h"

#include "model/image/image.h"
#include "tests/scenes/scenes.h"
#include "schema/base/blas.h"
#include "schema/base/memory.h"
#include "tests/scenes/shard_writer.h"
#include "tests/support.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/banned.h"

static struct engine engine;

static struct evalset load(const char *path)
{
	const struct evalchoice choice = {.every = 1, .tokens = true, .pairs = true};
	struct evalset set;
	struct err err;

	assert_ok(engine_open("model/default", PRECISION_AUTO, &engine, &err), &err);
	assert_ok(evalset_load(NULL, &engine, &path, 1, &choice, &set, &err), &err);
	return set;
}

static struct pairs_result measure(const struct evalset *set)
{
	struct pairs_result result;
	struct err err;

	assert_ok(pairs_measure(NULL, &engine, set, &result, &err), &err);
	return result;
}

static const char *draw_pairs(size_t count)
{
	const char *path = test_path(test_folder(), "pairs.tar");
	const struct scenes_options options = {.count = count, .seed = 3, .side = 72, .pairs = true};
	struct err err;

	assert_ok(scenes_write(path, &options, &err), &err);
	return path;
}

/* Texts that are their pictures, then the other side's, then all alike. */
static void similarity_is_right_wrong_or_tied(void **state)
{
	struct evalset set = load(draw_pairs(3));
	size_t E = engine.embed;

	(void)state;
	memcpy(set.text_features, set.photo_features, 6 * E * sizeof(float));
	struct pairs_result r = measure(&set);
	assert_int_equal(r.pairs, 3);
	assert_int_equal(r.alone, 0);
	assert_true(r.similarity.caption == 100 && r.similarity.picture == 100 && r.similarity.both == 100);
	for (size_t i = 0; i < 6; i++)
		memcpy(set.text_features + i * E, set.photo_features + (i ^ 1) * E, E * sizeof(float));
	r = measure(&set);
	assert_true(r.similarity.caption == 0 && r.similarity.picture == 0 && r.similarity.both == 0);
	/* One of the captions fits both pictures better: half of the decisions about captions are right, and no pair is. */
	for (size_t i = 0; i < 6; i++)
		memcpy(set.text_features + i * E, set.photo_features + (i & ~(size_t)1) * E, E * sizeof(float));
	for (size_t i = 1; i < 6; i += 2)
		for (size_t e = 0; e < E; e++)
			set.text_features[i * E + e] = 0;
	r = measure(&set);
	assert_true(r.similarity.caption == 50 && r.similarity.both == 0);
	assert_true(r.similarity.picture == 75); /* the empty one fits both alike */
	evalset_release(&set);
	engine_close(&engine);
}

/* The decoder's likelihood does not look at embeddings; equal image tokens are a tie about pictures. */
static void pictures_that_the_decoder_cannot_tell_apart_are_a_tie(void **state)
{
	struct evalset set = load(draw_pairs(2));

	(void)state;
	for (size_t i = 0; i < 4; i += 2)
		memcpy(set.tokens + (i + 1) * set.token_size, set.tokens + i * set.token_size, set.token_size);
	struct pairs_result r = measure(&set);
	assert_true(r.likelihood.picture == 50);
	assert_true(r.likelihood.both == 0);
	evalset_release(&set);
	engine_close(&engine);
}

static void samples_without_their_other_side_are_left_out(void **state)
{
	static const char *const names[] = {"1-a", "2-a", "2-b", "3-b", "4-a", "5-b", "a", "b"};
	const char *path = test_path(test_folder(), "odd.tar");
	static uint8_t rgb[72 * 72 * 3];
	struct shard_writer *writer;
	struct scene scene;
	struct err err;

	(void)state;
	assert_ok(shard_writer_open(path, &writer, &err), &err);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		uint8_t *jpeg;
		size_t size;
		char member[16];
		scene_random(&scene, i, false);
		scene_draw(&scene, 72, 72, rgb);
		assert_ok(image_encode_jpeg(rgb, 72, 72, 90, &jpeg, &size, &err), &err);
		snprintf(member, sizeof member, "%s.jpg", names[i]);
		assert_ok(shard_writer_add(writer, member, jpeg, size, &err), &err);
		snprintf(member, sizeof member, "%s.txt", names[i]);
		assert_ok(shard_writer_add(writer, member, "a thing\nand another\n", 20, &err), &err);
		free(jpeg);
	}
	assert_ok(shard_writer_close(writer, &err), &err);
	struct evalset set = load(path);
	assert_int_equal(set.texts, 8);
	struct pairs_result r = measure(&set);
	assert_int_equal(r.pairs, 1);
	assert_int_equal(r.alone, 6);
	evalset_release(&set);
	engine_close(&engine);
}

TEST_MAIN(cmocka_unit_test(similarity_is_right_wrong_or_tied), cmocka_unit_test(pictures_that_the_decoder_cannot_tell_apart_are_a_tie),
	  cmocka_unit_test(samples_without_their_other_side_are_left_out))
