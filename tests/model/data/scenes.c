/* Scenes of our own: the same from the same seed, described as they are drawn, swapped in one thing only. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/image/image.h"
#include "tests/scenes/scenes.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "schema/base/shards.h"
#include "tests/support.h"

#include "schema/base/banned.h"

enum { SCENES = 2000 };

static bool has(const char *caption, const char *word)
{
	return strstr(caption, word) != NULL;
}

static void same_seed_draws_the_same_bytes(void **state)
{
	static uint8_t one[3 * 80 * 60], other[3 * 80 * 60];
	struct scene scene, again;

	(void)state;
	for (uint64_t seed = 0; seed < 40; seed++) {
		scene_random(&scene, seed, false);
		scene_random(&again, seed, false);
		assert_memory_equal(&scene, &again, sizeof scene);
		scene_draw(&scene, 80, 60, one);
		scene_draw(&again, 80, 60, other);
		assert_memory_equal(one, other, sizeof one);
		scene_random(&again, seed + 1000, false);
		scene_draw(&again, 80, 60, other);
		assert_memory_not_equal(one, other, sizeof one);
	}
}

static void captions_agree_with_the_scene(void **state)
{
	static const char *const textures[] = {"", "striped", "dotted", "checked"};
	static const char *const counts[] = {"", "", "two", "three", "four"};
	struct scene scene;
	char caption[SCENE_CAPTION_MOST];

	(void)state;
	for (uint64_t seed = 0; seed < SCENES; seed++) {
		scene_random(&scene, seed, seed % 5 == 0);
		for (size_t phrasing = 0; phrasing < SCENE_PHRASINGS; phrasing++) {
			scene_caption(&scene, phrasing, caption);
			for (size_t i = 0; i < scene.objects; i++) {
				const struct scene_object *o = &scene.object[i];
				bool leaf = o->shape == SHAPE_LEAF && o->count > 1, butterfly = o->shape == SHAPE_BUTTERFLY;
				assert_true(has(caption, leaf ? "leaves" : butterfly ? "butterfl" : scene_shape_name(o->shape)));
				assert_true(has(caption, scene_colour_name(o->colour)));
				assert_true(has(caption, textures[o->texture]) && has(caption, counts[o->count]));
				assert_true(o->size == SIZE_MEDIUM || has(caption, o->size == SIZE_SMALL ? "small" : "large"));
				assert_true(o->count >= 1 && o->count <= SCENE_COUNT_MOST);
			}
			if (phrasing == SCENE_SHORT)
				assert_false(has(caption, "background") || has(caption, " sky") || has(caption, "at the top"));
			else if (scene.background == BACKGROUND_PLAIN)
				assert_true(has(caption, scene_colour_name(scene.background_colour)));
			for (const char *p = caption; (p = strstr(p, " a ")) != NULL; p += 3)
				assert_null(strchr("aeiou", p[3])); /* "an orange" */
			assert_false(has(caption, "%") || has(caption, "  "));
		}
	}
}

static void caption_names_relation_and_position(void **state)
{
	struct scene scene = {.objects = 2, .relation = RELATION_LEFT, .background = BACKGROUND_PLAIN, .background_colour = COLOUR_ORANGE};
	char caption[SCENE_CAPTION_MOST];

	(void)state;
	scene.object[0] = (struct scene_object){.shape = SHAPE_STAR, .colour = COLOUR_RED, .size = SIZE_LARGE, .count = 1};
	scene.object[1] = (struct scene_object){.shape = SHAPE_FISH, .colour = COLOUR_BLUE, .texture = TEXTURE_DOTTED, .count = 1};
	scene.object[1].size = SIZE_MEDIUM;
	scene_caption(&scene, 0, caption);
	assert_string_equal(caption, "a large red star to the left of a blue dotted fish on an orange background");
	scene_caption(&scene, 2, caption);
	assert_string_equal(caption, "a blue dotted fish with a large red star on its left on an orange background");
	scene.objects = 1;
	scene.position = POSITION_TOP_RIGHT;
	scene.background = BACKGROUND_SNOW;
	scene_caption(&scene, 1, caption);
	assert_string_equal(caption, "a picture of a large red star at the top right in the snow");
	scene.object[0].count = 3;
	scene_caption(&scene, 2, caption);
	assert_string_equal(caption, "there are three large red stars in the snow");
}

static void relations_hold_where_things_are_drawn(void **state)
{
	struct scene scene;
	size_t seen[SCENE_RELATIONS] = {0};

	(void)state;
	for (uint64_t seed = 0; seed < SCENES; seed++) {
		scene_random(&scene, seed, false);
		const struct scene_place *a = &scene.object[0].places[0], *b = &scene.object[1].places[0];
		seen[scene.relation]++;
		assert_true((scene.objects == 2) == (scene.relation != RELATION_NONE));
		for (size_t i = 0; i < scene.objects; i++)
			for (size_t k = 0; k < scene.object[i].count; k++) {
				const struct scene_place *p = &scene.object[i].places[k];
				assert_true(p->x - p->radius > -0.01f && p->x + p->radius < 1.01f);
				assert_true(p->y - p->radius > -0.01f && p->y + p->radius < 1.01f);
			}
		if (scene.relation == RELATION_LEFT || scene.relation == RELATION_RIGHT)
			assert_true((a->x < b->x) == (scene.relation == RELATION_LEFT));
		if (scene.relation == RELATION_ABOVE || scene.relation == RELATION_BELOW)
			assert_true((a->y < b->y) == (scene.relation == RELATION_ABOVE));
		if (scene.relation >= RELATION_INSIDE)
			assert_true((a->radius < b->radius) == (scene.relation == RELATION_INSIDE));
	}
	for (int r = 0; r < SCENE_RELATIONS; r++)
		assert_true(seen[r] > SCENES / 30);
}

static int by_letter(const void *a, const void *b)
{
	return *(const char *)a - *(const char *)b;
}

/* Whether two captions consist of the same letters, but for the n of "an". */
static bool same_letters(const char *a, const char *b)
{
	char sorted[2][SCENE_CAPTION_MOST];
	const char *captions[2] = {a, b};

	for (int k = 0; k < 2; k++) {
		size_t n = 0;
		for (const char *c = captions[k]; *c; c++)
			if (!(*c == 'n' && c > captions[k] && c[-1] == 'a' && c[1] == ' ' && (c - 1 == captions[k] || c[-2] == ' ')))
				sorted[k][n++] = *c;
		sorted[k][n] = '\0';
		qsort(sorted[k], n, 1, by_letter);
	}
	return strcmp(sorted[0], sorted[1]) == 0;
}

static void swapped_pairs_differ_in_one_thing(void **state)
{
	static uint8_t one[3 * 64 * 64], other[3 * 64 * 64];
	struct scene scene, swapped, back;
	char caption[SCENE_CAPTION_MOST], turned[SCENE_CAPTION_MOST];

	(void)state;
	for (uint64_t seed = 0; seed < SCENES; seed++) {
		scene_random(&scene, seed, false);
		if (!scene_swap(&scene, SWAP_COLOURS, &swapped)) {
			assert_int_equal(scene.objects, 1);
			assert_memory_equal(&scene, &swapped, sizeof scene);
			continue;
		}
		assert_int_equal(swapped.object[0].colour, scene.object[1].colour);
		assert_int_not_equal(swapped.object[0].colour, scene.object[0].colour);
		scene_caption(&scene, 0, caption);
		scene_caption(&swapped, 0, turned);
		assert_string_not_equal(caption, turned);
		assert_true(same_letters(caption, turned));
		scene_swap(&swapped, SWAP_COLOURS, &back);
		assert_memory_equal(&back, &scene, sizeof scene);

		assert_true(scene_swap(&scene, SWAP_PLACES, &swapped));
		for (int i = 0; i < 2; i++) {
			assert_int_equal(swapped.object[i].shape, scene.object[1 - i].shape);
			assert_int_equal(swapped.object[i].colour, scene.object[1 - i].colour);
			assert_int_equal(swapped.object[i].texture, scene.object[1 - i].texture);
			assert_int_equal(swapped.object[i].size, scene.object[1 - i].size);
		}
		assert_int_equal(swapped.relation, scene.relation);
		for (size_t phrasing = 0; phrasing < SCENE_PHRASINGS; phrasing++) {
			scene_caption(&scene, phrasing, caption);
			scene_caption(&swapped, phrasing, turned);
			assert_string_not_equal(caption, turned);
			assert_true(same_letters(caption, turned));
		}
		assert_int_equal(swapped.background, scene.background);
		scene_swap(&swapped, SWAP_PLACES, &back);
		assert_memory_equal(&back, &scene, sizeof scene);
		if (seed < 100) {
			scene_draw(&scene, 64, 64, one);
			scene_draw(&swapped, 64, 64, other);
			assert_memory_not_equal(one, other, sizeof one);
		}
	}
}

static void heldout_pairs_come_only_when_asked_for(void **state)
{
	struct scene scene, swapped;
	size_t pairs = 0;

	(void)state;
	for (int c = 0; c < SCENE_COLOURS; c++) {
		size_t of_colour = 0;
		for (int s = 0; s < SCENE_SHAPES; s++)
			of_colour += scene_heldout(c, s);
		assert_true(of_colour > 0 && of_colour < 5);
		pairs += of_colour;
	}
	assert_true(pairs * 8 < SCENE_COLOURS * SCENE_SHAPES);
	for (uint64_t seed = 0; seed < SCENES; seed++) {
		scene_random(&scene, seed, false);
		scene_swap(&scene, SWAP_COLOURS, &swapped);
		for (size_t i = 0; i < scene.objects; i++) {
			assert_false(scene_heldout(scene.object[i].colour, scene.object[i].shape));
			assert_false(scene_heldout(swapped.object[i].colour, swapped.object[i].shape));
		}
		scene_random(&scene, seed, true);
		assert_true(scene_heldout(scene.object[0].colour, scene.object[0].shape));
	}
}

/* Every shape in every colour and texture on a background of another colour: a good part of the pixels differ from it. */
static void no_shape_is_blank(void **state)
{
	static uint8_t rgb[3 * 64 * 64];

	(void)state;
	for (int shape = 0; shape < SCENE_SHAPES; shape++)
		for (int colour = 0; colour < SCENE_COLOURS; colour++) {
			struct scene scene = {.objects = 1, .background = BACKGROUND_PLAIN};
			scene.background_colour = colour == COLOUR_BLUE ? COLOUR_RED : COLOUR_BLUE;
			scene.object[0] = (struct scene_object){.shape = shape, .colour = colour, .count = 1};
			scene.object[0].places[0] = (struct scene_place){0.5f, 0.5f, 0.4f, 0};
			scene.object[0].texture = colour % SCENE_TEXTURES;
			scene_draw(&scene, 64, 64, rgb);
			size_t differ = 0, border = 0;
			for (size_t i = 0; i < 64 * 64; i++)
				differ += memcmp(rgb + 3 * i, rgb, 3) != 0;
			for (size_t x = 0; x < 64; x++) /* the picture's borders stay background */
				border += memcmp(rgb + 3 * x, rgb, 3) == 0;
			if (differ < 64 * 64 / 10 || differ > 64 * 64 * 7 / 10 || border != 64)
				fail_msg("%s %s covers %zu pixels", scene_colour_name(colour), scene_shape_name(shape), differ);
		}
}

static void odd_sizes_are_drawn_within_bounds(void **state)
{
	static const size_t sizes[][2] = {{1, 1}, {1, 40}, {40, 1}, {7, 300}, {300, 7}};

	(void)state;
	for (uint64_t seed = 0; seed < 50; seed++)
		for (size_t i = 0; i < 5; i++) {
			uint8_t *rgb = malloc(3 * sizes[i][0] * sizes[i][1]);
			struct scene scene;
			assert_non_null(rgb);
			scene_random(&scene, seed, false);
			scene_draw(&scene, sizes[i][0], sizes[i][1], rgb);
			free(rgb);
		}
}

static void a_folder_and_a_tar_hold_the_same_scenes(void **state)
{
	const char *folder = test_folder(), *tar = test_path(folder, "scenes.tar");
	struct shard *shard;
	struct sample sample;
	struct image image;
	struct err err;
	const struct scenes_options one = {.count = 1, .seed = 1, .side = 32};
	size_t n = 0;

	(void)state;
	assert_ok(scenes_write(test_path(folder, "new/scenes"), &(struct scenes_options){4, 3, 9, 48, false, false}, &err), &err);
	assert_ok(scenes_write(tar, &(struct scenes_options){3, 4, 9, 48, false, false}, &err), &err); /* one later: numbers 4, 5, 6 */
	assert_ok(shard_open(tar, &shard, &err), &err);
	while (shard_next(shard, &sample, &err) == STATUS_OK) {
		char name[64];
		uint8_t *bytes;
		size_t size;
		snprintf(name, sizeof name, "new/scenes/%06zu.jpg", 4 + n++);
		assert_ok(file_read(test_path(folder, name), 1 << 20, &bytes, &size, &err), &err);
		assert_int_equal(size, sample.image_size);
		assert_memory_equal(bytes, sample.image, size);
		assert_int_equal(sample.caption_count, 2);
		assert_string_not_equal(sample.captions[0], sample.captions[1]);
		assert_ok(image_decode(bytes, size, 0, 0, &image, &err), &err);
		assert_int_equal(image.width, 48);
		image_release(&image);
		free(bytes);
	}
	assert_int_equal(n, 3);
	shard_close(shard);
	assert_int_equal(scenes_write("/proc/nowhere/scenes", &one, &err), STATUS_IO);
	assert_int_equal(scenes_write("/proc/nowhere/scenes.tar", &one, &err), STATUS_IO);
}

static void pairs_of_a_tar_have_the_same_words_and_other_pictures(void **state)
{
	const char *tar = test_path(test_folder(), "pairs.tar");
	const struct scenes_options options = {.count = 6, .first = 2, .seed = 5, .side = 48, .heldout = true, .pairs = true};
	char first[SCENE_CAPTION_MOST] = "", expected[32];
	uint8_t *picture = NULL;
	size_t size = 0, n = 0;
	struct shard *shard;
	struct sample sample;
	struct err err;

	(void)state;
	assert_ok(scenes_write(tar, &options, &err), &err);
	assert_ok(shard_open(tar, &shard, &err), &err);
	while (shard_next(shard, &sample, &err) == STATUS_OK) {
		snprintf(expected, sizeof expected, "%06zu-%c", 2 + n / 2, n % 2 ? 'b' : 'a');
		assert_string_equal(sample.key, expected);
		assert_int_equal(sample.caption_count, 1);
		if (n++ % 2 == 0) {
			snprintf(first, sizeof first, "%s", sample.captions[0]);
			picture = (uint8_t *)mem_copy(sample.image, sample.image_size);
			size = sample.image_size;
			continue;
		}
		assert_string_not_equal(first, sample.captions[0]);
		assert_true(same_letters(first, sample.captions[0]));
		assert_true(size != sample.image_size || memcmp(picture, sample.image, size) != 0);
		free(picture);
	}
	assert_int_equal(n, 12);
	shard_close(shard);
}

TEST_MAIN(cmocka_unit_test(caption_names_relation_and_position), cmocka_unit_test(captions_agree_with_the_scene),
	  cmocka_unit_test(relations_hold_where_things_are_drawn), cmocka_unit_test(heldout_pairs_come_only_when_asked_for),
	  cmocka_unit_test(same_seed_draws_the_same_bytes), cmocka_unit_test(swapped_pairs_differ_in_one_thing),
	  cmocka_unit_test(no_shape_is_blank), cmocka_unit_test(odd_sizes_are_drawn_within_bounds),
	  cmocka_unit_test(a_folder_and_a_tar_hold_the_same_scenes),
	  cmocka_unit_test(pairs_of_a_tar_have_the_same_words_and_other_pictures))
