/* run.c: whole runs on pictures that are made here: a model learns them by heart, a run that was stopped goes on as if it
 * had not been, frozen parts do not move. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/words/bpe_train.h"
#include "model/net/encode.h"
#include "model/net/generate.h"
#include "model/image/image.h"
#include "schema/base/random.h"
#include "model/train/train.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "tests/scenes/shard_writer.h"
#include "tests/support.h"

#include "schema/base/banned.h"

enum { PAIRS = 32, SIDE = 32 };

static const char *const sizes[] = {"a tiny", "a small", "a large", "a huge"};
static const char *const colours[] = {"red", "green", "blue", "white"};
static const char *const things[] = {"square", "cross"};

/* Every combination is another picture and another caption. */
static void caption_of(size_t i, char text[64])
{
	snprintf(text, 64, "%s %s %s", sizes[i % 4], colours[i / 4 % 4], things[i / 16]);
}

static bool inside(size_t i, size_t x, size_t y)
{
	size_t half = 4 + 3 * (i % 4), dx = x > SIDE / 2 ? x - SIDE / 2 : SIDE / 2 - x, dy = y > SIDE / 2 ? y - SIDE / 2 : SIDE / 2 - y;
	return i / 16 ? (dx <= half && dy <= half / 4) || (dy <= half && dx <= half / 4) : dx <= half && dy <= half;
}

static void draw(size_t i, uint8_t *rgb)
{
	static const uint8_t inks[4][3] = {{230, 30, 30}, {30, 200, 40}, {40, 60, 240}, {250, 250, 250}};

	for (size_t y = 0; y < SIDE; y++)
		for (size_t x = 0; x < SIDE; x++)
			for (size_t c = 0; c < 3; c++)
				rgb[(y * SIDE + x) * 3 + c] = inside(i, x, y) ? inks[i / 4 % 4][c] : 90;
}

static const char *write_pairs(const char *folder)
{
	const char *path = test_path(folder, "pairs.tar");
	struct shard_writer *writer;
	struct err err;
	uint8_t rgb[SIDE * SIDE * 3];
	char name[16], caption[64];

	assert_ok(shard_writer_open(path, &writer, &err), &err);
	for (size_t i = 0; i < PAIRS; i++) {
		uint8_t *bytes;
		size_t size;
		draw(i, rgb);
		assert_ok(image_encode_jpeg(rgb, SIDE, SIDE, 95, &bytes, &size, &err), &err);
		snprintf(name, sizeof name, "%03zu.jpg", i);
		assert_ok(shard_writer_add(writer, name, bytes, size, &err), &err);
		free(bytes);
		caption_of(i, caption);
		snprintf(name, sizeof name, "%03zu.txt", i);
		assert_ok(shard_writer_add(writer, name, caption, strlen(caption), &err), &err);
	}
	assert_ok(shard_writer_close(writer, &err), &err);
	return path;
}

struct setting {
	const char *folder;
	struct config config;
	struct dataset *data;
	struct tokenizer *tokenizer;
};

static enum status add_caption(void *context, const char *caption, size_t size, struct err *err)
{
	return bpe_add(context, caption, size, err);
}

static void setting_init(struct setting *s, size_t holdout)
{
	static const char json[] =
		"{\"model_cfg\":{\"embed_dim\":48,\"vision_cfg\":{\"image_size\":32,\"layers\":2,\"width\":48,\"head_width\":16,"
		"\"patch_size\":8,"
		"\"attentional_pool\":true,\"attn_pooler_heads\":3,\"attn_pooler_queries\":5,\"output_tokens\":true},\"text_cfg\":{"
		"\"context_length\":8,\"vocab_size\":%zu,\"width\":48,\"heads\":3,\"layers\":1,\"embed_cls\":true,\"output_tokens\":true},"
		"\"multimodal_cfg\":{\"context_length\":8,\"vocab_size\":%zu,\"width\":48,\"heads\":3,\"layers\":1,"
		"\"attn_pooler_heads\":3},"
		"\"custom_text\":true}}";
	struct buffer text = {0};
	struct bpe *bpe;
	struct err err;
	size_t learned;

	s->folder = test_folder();
	assert_ok(dataset_new(1 << 20, s->folder, holdout, &s->data, &err), &err);
	assert_ok(dataset_add_shard(s->data, write_pairs(s->folder), NULL, &err), &err);
	assert_ok(dataset_finish(s->data, &err), &err);
	assert_ok(bpe_new(&bpe, &err), &err);
	assert_ok(dataset_captions_each(s->data, add_caption, bpe, &err), &err);
	assert_ok(bpe_write(bpe, 600, test_path(s->folder, "merges.txt"), &learned, &err), &err);
	bpe_free(bpe);
	assert_ok(tokenizer_open(s->folder, 0, &s->tokenizer, &err), &err);
	buffer_format(&text, json, learned, learned);
	assert_ok(config_parse(text.data, text.size, "test", &s->config, &err), &err);
	buffer_release(&text);
	assert_ok(dataset_tokenise(s->data, s->tokenizer, s->config.context_length, &err), &err);
}

static void setting_release(struct setting *s)
{
	tokenizer_close(s->tokenizer);
	dataset_free(s->data);
}

static struct train_options options_of(const struct setting *s, uint64_t steps)
{
	return (struct train_options){
		.folder = s->folder,
		.objective = {1, 2},
		.optimizer = {.rate = 2e-3, .weight_decay = 0.01, .beta1 = 0.9, .beta2 = 0.98, .epsilon = 1e-6, .clip = 1, .average = 0.9,
			      .warmup = 20, .steps = steps},
		.augment = {.scale_least = 1},
		.batch = PAIRS,
		.accumulate = 1,
		.seed = 11,
		.decoders = 1,
		.held_out_most = 1000,
		.store = DTYPE_F32,
		.note = "",
	};
}

static struct train *start(const struct setting *s, const struct train_options *options)
{
	struct train *train;
	struct err err;

	assert_ok(train_new(options, &s->config, s->data, &train, &err), &err);
	return train;
}

static void take_steps(struct train *train, uint64_t upto, double *losses)
{
	struct train_row row;
	struct err err;

	while (train_steps(train) < upto) {
		assert_ok(train_step(train, &row, &err), &err);
		if (losses)
			losses[row.step - 1] = row.loss;
	}
}

/* ---- learning by heart ------------------------------------------------------------------------------------------ */

/* Recall at 1 of the 32 texts and photographs, by the model as it was saved and opened again; and its captions. */
static void check_by_heart(const struct setting *s)
{
	struct coca *model;
	struct err err;
	float *pixels = mem_floats((size_t)PAIRS * 3 * SIDE * SIDE), images[PAIRS * 48], texts[PAIRS * 48],
		*tokens = mem_floats(PAIRS * 4 * 48);
	static uint8_t rgb[SIDE * SIDE * 3];
	struct caption captions[PAIRS];

	assert_non_null(pixels);
	assert_non_null(tokens);
	assert_ok(coca_open(s->folder, &model, &err), &err);
	struct coca_scratch *state = coca_scratch_new();
	for (size_t i = 0; i < PAIRS; i++) {
		int32_t ids[8];
		char text[64];
		draw(i, rgb);
		image_normalise(rgb, SIDE, s->config.mean, s->config.std, pixels + i * 3 * SIDE * SIDE);
		caption_of(i, text);
		struct coca_text one = {ids, tokenizer_encode(coca_tokenizer(model), text, strlen(text), ids, 8)};
		assert_ok(coca_encode_texts(model, state, &one, 1, texts + i * 48, NULL, &err), &err);
	}
	assert_ok(coca_encode_images(model, state, pixels, PAIRS, images, tokens, &err), &err);
	for (size_t i = 0; i < PAIRS; i++) {
		size_t best_text = 0, best_image = 0;
		double by_text[PAIRS] = {0}, by_image[PAIRS] = {0};
		for (size_t j = 0; j < PAIRS; j++) {
			for (size_t e = 0; e < 48; e++) {
				by_text[j] += (double)images[i * 48 + e] * (double)texts[j * 48 + e];
				by_image[j] += (double)images[j * 48 + e] * (double)texts[i * 48 + e];
			}
			best_text = by_text[j] > by_text[best_text] ? j : best_text;
			best_image = by_image[j] > by_image[best_image] ? j : best_image;
		}
		assert_int_equal(best_text, i);
		assert_int_equal(best_image, i);
	}
	assert_ok(generate_greedy(model, state, tokens, PAIRS, tokenizer_start(coca_tokenizer(model)),
				  tokenizer_end(coca_tokenizer(model)), 0, captions, &err), &err);
	for (size_t i = 0; i < PAIRS; i++) {
		char expected[64], *text = tokenizer_decode(coca_tokenizer(model), captions[i].ids, captions[i].count);
		caption_of(i, expected);
		assert_string_equal(text, expected);
		free(text);
	}
	captions_release(captions, PAIRS);
	coca_scratch_free(state);
	coca_close(model);
	free(pixels);
	free(tokens);
}

static void thirty_two_pairs_are_learned_by_heart(void **state)
{
	enum { STEPS = 400 };
	struct setting s;
	double losses[STEPS];
	struct err err;

	(void)state;
	int threads = blas_threads();
	blas_set_threads(1); /* steps so small that waking others would take longer */
	setting_init(&s, 0);
	struct train_options options = options_of(&s, STEPS);
	struct train *train = start(&s, &options);
	take_steps(train, STEPS, losses);
	printf("loss %.3f at first, %.4f at last\n", losses[0], losses[STEPS - 1]);
	assert_true(losses[STEPS - 1] < losses[0] / 20);
	assert_ok(train_save(train, &err), &err);
	check_by_heart(&s);
	train_free(train);
	blas_set_threads(threads);
	setting_release(&s);
}

/* ---- stopping and going on -------------------------------------------------------------------------------------- */

static void compare_files(const char *a, const char *b)
{
	uint8_t *x, *y;
	size_t n, m;
	struct err err;

	assert_ok(file_read(a, 1 << 30, &x, &n, &err), &err);
	assert_ok(file_read(b, 1 << 30, &y, &m, &err), &err);
	assert_int_equal(n, m);
	assert_memory_equal(x, y, n);
	free(x);
	free(y);
}

/* Random crops, accumulation and held-out measures in between. */
static void a_stopped_run_goes_on_bit_for_bit(void **state)
{
	enum { STEPS = 12, STOP = 5 };
	struct setting s;
	double quiet[STEPS], stopped[STEPS];
	struct train_measure measure;
	size_t count;
	bool same;
	struct err err;

	(void)state;
	int threads = blas_threads();
	blas_set_threads(1);
	setting_init(&s, 8);
	struct train_options options = options_of(&s, STEPS);
	options.augment = (struct augment){0.5, true, 0.3};
	options.mix = 0.5;
	options.batch = 6;
	options.accumulate = 2;
	const char *whole = test_path(s.folder, "whole"), *parts = test_path(s.folder, "parts");
	assert_int_equal(mkdir(whole, 0777), 0);
	assert_int_equal(mkdir(parts, 0777), 0);

	options.folder = whole;
	struct train *train = start(&s, &options);
	take_steps(train, STEPS, quiet);
	assert_ok(train_save(train, &err), &err);
	train_free(train);

	options.folder = parts;
	train = start(&s, &options);
	take_steps(train, STOP, stopped);
	assert_ok(train_measure_held_out(train, &measure, &count, &err), &err);
	assert_int_equal(count, 4);
	assert_ok(train_save(train, &err), &err);
	take_steps(train, STOP + 2, NULL); /* lost: never saved */
	train_free(train);
	options.decoders = 3;
	train = start(&s, &options);
	assert_ok(train_resume(train, &same, &err), &err);
	assert_true(same);
	assert_int_equal(train_steps(train), STOP);
	take_steps(train, STEPS, stopped);
	assert_ok(train_save(train, &err), &err);
	train_free(train);

	assert_memory_equal(quiet, stopped, sizeof quiet);
	compare_files(test_path(whole, "train_state.bin"), test_path(parts, "train_state.bin"));
	compare_files(test_path(whole, "open_clip_model.safetensors"), test_path(parts, "open_clip_model.safetensors"));
	blas_set_threads(threads);
	setting_release(&s);
}

static void a_state_of_another_shape_is_refused(void **state)
{
	struct setting s;
	bool same;
	struct err err;

	(void)state;
	setting_init(&s, 0);
	struct train_options options = options_of(&s, 2);
	struct train *train = start(&s, &options);
	assert_ok(train_save(train, &err), &err);
	train_free(train);
	s.config.quick_gelu = true;
	train = start(&s, &options);
	assert_int_equal(train_resume(train, &same, &err), STATUS_FORMAT);
	assert_non_null(strstr(err.text, "another configuration"));
	train_free(train);
	setting_release(&s);
}

/* ---- frozen parts ----------------------------------------------------------------------------------------------- */

struct comparing {
	const struct weights *before;
	const float *at[512];
	size_t next, moved, still;
	const char *frozen;
};

static enum status remember(void *context, const struct weight_info *info, float **slot, struct err *err)
{
	struct comparing *c = context;

	(void)info;
	(void)err;
	assert_true(c->next < sizeof c->at / sizeof *c->at);
	c->at[c->next++] = *slot;
	return STATUS_OK;
}

static enum status compare(void *context, const struct weight_info *info, float **slot, struct err *err)
{
	struct comparing *c = context;
	bool same = memcmp(c->at[c->next++], *slot, info->count * sizeof **slot) == 0;
	bool frozen = strncmp(info->name, "visual.", 7) == 0 || strncmp(info->name, "text.", 5) == 0;

	(void)err;
	if (same != frozen)
		fail_msg("'%s' %s", info->name, same ? "was not trained" : "is frozen and moved");
	*(same ? &c->still : &c->moved) += 1;
	return STATUS_OK;
}

static void frozen_parts_stay_bit_identical(void **state)
{
	struct setting s;
	struct coca *before, *after;
	struct comparing comparing = {0};
	struct err err;

	(void)state;
	setting_init(&s, 0);
	struct train_options options = options_of(&s, 4);
	struct train *train = start(&s, &options);
	take_steps(train, 2, NULL);
	assert_ok(train_save(train, &err), &err);
	train_free(train);
	assert_ok(coca_open(s.folder, &before, &err), &err);

	const char *folder = test_path(s.folder, "tuned");
	assert_int_equal(mkdir(folder, 0777), 0);
	options.folder = folder;
	options.freeze = "image,text";
	train = start(&s, &options);
	assert_ok(train_from(train, coca_weights(before), &s.config, &err), &err);
	take_steps(train, 3, NULL);
	assert_ok(train_save(train, &err), &err);
	train_free(train);
	assert_ok(coca_open(folder, &after, &err), &err);
	struct weights a = *coca_weights(before), b = *coca_weights(after);
	assert_ok(weights_visit(&a, &s.config, remember, &comparing, &err), &err);
	comparing.next = 0;
	assert_ok(weights_visit(&b, &s.config, compare, &comparing, &err), &err);
	assert_true(comparing.moved > 10 && comparing.still > 10);
	coca_close(before);
	coca_close(after);
	setting_release(&s);
}

/* ---- what goes wrong -------------------------------------------------------------------------------------------- */

static void a_loss_that_is_not_finite_stops_the_run_with_a_name(void **state)
{
	struct setting s;
	struct train_row row;
	struct err err;
	enum status status = STATUS_OK;

	(void)state;
	setting_init(&s, 0);
	struct train_options options = options_of(&s, 50);
	options.optimizer.rate = 1e30;
	options.optimizer.warmup = 0;
	struct train *train = start(&s, &options);
	while (status == STATUS_OK && train_steps(train) < 50)
		status = train_step(train, &row, &err);
	assert_int_equal(status, STATUS_FAILED);
	assert_non_null(strstr(err.text, "stopped at step"));
	assert_non_null(strchr(err.text, '\''));
	train_free(train);
	setting_release(&s);
}

TEST_MAIN(cmocka_unit_test(a_state_of_another_shape_is_refused), cmocka_unit_test(a_loss_that_is_not_finite_stops_the_run_with_a_name),
	  cmocka_unit_test(frozen_parts_stay_bit_identical), cmocka_unit_test(a_stopped_run_goes_on_bit_for_bit),
	  cmocka_unit_test(thirty_two_pairs_are_learned_by_heart))
