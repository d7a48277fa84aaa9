/* parts.c: what training is put together from: optimizer, samples and their order, crops, batches, a tokenizer's
 * training, the state file, the log. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/data/augment.h"
#include "model/data/batches.h"
#include "model/words/bpe_train.h"
#include "model/data/dataset.h"
#include "model/image/image.h"
#include "model/train/optimizer.h"
#include "model/data/epoch.h"
#include "schema/base/random.h"
#include "model/train/log.h"
#include "model/train/state.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "tests/scenes/shard_writer.h"
#include "tests/support.h"

#include "schema/base/banned.h"

enum { SIDE = 24 };

static void small_config(struct config *config)
{
	static const char json[] =
		"{\"model_cfg\":{\"embed_dim\":16,\"vision_cfg\":{\"image_size\":24,\"layers\":1,\"width\":16,\"head_width\":8,"
		"\"patch_size\":8,"
		"\"attentional_pool\":true,\"attn_pooler_heads\":2,\"attn_pooler_queries\":3,\"output_tokens\":true},\"text_cfg\":{"
		"\"context_length\":12,\"vocab_size\":520,\"width\":16,\"heads\":2,\"layers\":1,\"embed_cls\":true,\"output_tokens\":true},"
		"\"multimodal_cfg\":{\"context_length\":12,\"vocab_size\":520,\"width\":16,\"heads\":2,\"layers\":1,"
		"\"attn_pooler_heads\":2},"
		"\"custom_text\":true}}";
	struct err err;

	assert_ok(config_parse(json, strlen(json), "test", config, &err), &err);
}

/* ---- optimizer -------------------------------------------------------------------------------------------------- */

static void the_rate_rises_and_falls(void **state)
{
	const struct optimizer o = {.rate = 2, .warmup = 4, .steps = 24};

	(void)state;
	assert_true(fabs(optimizer_rate(&o, 0) - 0.5) < 1e-12);
	assert_true(fabs(optimizer_rate(&o, 3) - 2) < 1e-12);
	assert_true(fabs(optimizer_rate(&o, 14) - 1) < 1e-12);
	assert_true(optimizer_rate(&o, 23) > 0 && optimizer_rate(&o, 23) < 0.02);
	assert_true(optimizer_rate(&o, 24) == 0);
}

/* AdamW as the paper writes it, in double, for one value. */
struct plain {
	double x, m, v;
};

static void plain_step(struct plain *p, double g, double rate, double decay, int step)
{
	p->m = 0.9 * p->m + 0.1 * g;
	p->v = 0.98 * p->v + 0.02 * g * g;
	p->x -= rate * (p->m / (1 - pow(0.9, step)) / (sqrt(p->v / (1 - pow(0.98, step))) + 1e-6) + decay * p->x);
}

static void steps_are_adamw_with_clipping_and_decay_of_matrices_alone(void **state)
{
	const struct optimizer o = {.rate = 0.01, .weight_decay = 0.5, .beta1 = 0.9, .beta2 = 0.98, .epsilon = 1e-6, .clip = 1,
				    .average = 0.5, .steps = 1000000};
	struct config config;
	struct parameters p;
	struct err err;
	double norm;

	(void)state;
	small_config(&config);
	assert_ok(parameters_init(&p, &config, &err), &err);
	parameters_random(&p, 3);
	float *matrix = p.weights.vision_proj, *vector = p.weights.class_embedding;
	struct plain a = {.x = (double)*matrix}, b = {.x = (double)*vector};
	for (int step = 1; step <= 3; step++) {
		/* a gradient of norm 5: clipped to a fifth */
		p.gradients.vision_proj[0] = 3;
		p.gradients.class_embedding[0] = -4;
		assert_ok(optimizer_step(&o, &p, (uint64_t)step - 1, &norm, &err), &err);
		assert_true(fabs(norm - 5) < 1e-5);
		plain_step(&a, 0.6, optimizer_rate(&o, (uint64_t)step - 1), 0.5, step);
		plain_step(&b, -0.8, optimizer_rate(&o, (uint64_t)step - 1), 0, step);
		assert_true(fabs(a.x - (double)*matrix) < 1e-6);
		assert_true(fabs(b.x - (double)*vector) < 1e-6);
		assert_true(p.gradients.vision_proj[0] == 0);
	}
	assert_true(p.averages.vision_proj[0] != *matrix);
	parameters_release(&p);
}

static void the_temperature_stays_within_its_bounds(void **state)
{
	const struct optimizer o = {.rate = 10, .beta1 = 0.9, .beta2 = 0.98, .epsilon = 1e-6, .steps = 100};
	struct config config;
	struct parameters p;
	struct err err;
	double norm;

	(void)state;
	small_config(&config);
	assert_ok(parameters_init(&p, &config, &err), &err);
	parameters_random(&p, 3);
	*p.gradients.logit_scale = -1;
	assert_ok(optimizer_step(&o, &p, 0, &norm, &err), &err);
	assert_true(fabsf(*p.weights.logit_scale - logf(100)) < 1e-6f);
	parameters_release(&p);
}

static void a_gradient_that_is_not_finite_is_named_and_changes_nothing(void **state)
{
	const struct optimizer o = {.rate = 1, .beta1 = 0.9, .beta2 = 0.98, .epsilon = 1e-6, .steps = 100};
	struct config config;
	struct parameters p;
	struct err err;
	double norm;

	(void)state;
	small_config(&config);
	assert_ok(parameters_init(&p, &config, &err), &err);
	parameters_random(&p, 3);
	float before = p.weights.text_proj[1];
	p.gradients.text_proj[1] = 1;
	p.gradients.vision_proj[2] = NAN;
	assert_int_equal(optimizer_step(&o, &p, 41, &norm, &err), STATUS_FAILED);
	assert_non_null(strstr(err.text, "step 42"));
	assert_non_null(strstr(err.text, "'visual.proj'"));
	assert_true(p.weights.text_proj[1] == before);
	parameters_release(&p);
}

/* ---- other sizes ------------------------------------------------------------------------------------------------- */

/* A plane of positions stays a plane but for the border, and the same size is a copy. */
static void positions_are_resampled_for_another_image_size(void **state)
{
	struct config small, large;
	struct parameters p, q, r;
	struct err err;

	(void)state;
	small_config(&small);
	small.image_size = 64;
	small.patches = 64;
	large = small;
	large.image_size = 128;
	large.patches = 256;
	assert_ok(parameters_init(&p, &small, &err), &err);
	assert_ok(parameters_init(&q, &large, &err), &err);
	assert_ok(parameters_init(&r, &small, &err), &err);
	parameters_random(&p, 3);
	for (size_t i = 0; i < 64; i++)
		for (size_t d = 0; d < 16; d++)
			p.weights.vision_positions[(1 + i) * 16 + d] = (float)(i / 8) * 10 + (float)(i % 8) + (float)d * 100;
	assert_ok(parameters_copy(&q, &p.weights, &small, &err), &err);
	assert_memory_equal(q.weights.vision_positions, p.weights.vision_positions, 16 * sizeof(float));
	for (size_t y = 4; y < 12; y++)
		for (size_t x = 4; x < 12; x++)
			assert_true(fabs((double)q.weights.vision_positions[(1 + y * 16 + x) * 16 + 2] -
					 (((double)y - 0.5) / 2 * 10 + ((double)x - 0.5) / 2 + 200)) < 1e-3);
	assert_memory_equal(q.weights.text_proj, p.weights.text_proj, 256 * sizeof(float));
	assert_ok(parameters_copy(&r, &p.weights, &small, &err), &err);
	assert_memory_equal(r.value, p.value, p.floats * sizeof(float));
	parameters_release(&p);
	parameters_release(&q);
	parameters_release(&r);
}

/* ---- samples ---------------------------------------------------------------------------------------------------- */

/* A JPEG of noise; number says which. *bytes is the caller's to free. */
static void noise_jpeg(uint64_t number, size_t width, size_t height, uint8_t **bytes, size_t *size)
{
	uint8_t *rgb = mem_array(width * height, 3);
	struct err err;

	assert_non_null(rgb);
	for (size_t i = 0; i < width * height * 3; i++)
		rgb[i] = (uint8_t)(random_keyed(number, i / 3 % width / 4, i / 3 / width / 4 * 3 + i % 3) >> 56);
	assert_ok(image_encode_jpeg(rgb, width, height, 90, bytes, size, &err), &err);
	free(rgb);
}

/* n samples named 000.jpg on; photographs from number first on. */
static const char *write_shard(const char *folder, const char *name, size_t n, uint64_t first)
{
	const char *path = test_path(folder, name);
	struct shard_writer *writer;
	struct err err;
	char text[64];

	assert_ok(shard_writer_open(path, &writer, &err), &err);
	for (size_t i = 0; i < n; i++) {
		uint8_t *bytes;
		size_t size;
		noise_jpeg(first + i, 40, 32, &bytes, &size);
		snprintf(text, sizeof text, "%03zu.jpg", i);
		assert_ok(shard_writer_add(writer, text, bytes, size, &err), &err);
		free(bytes);
		snprintf(text, sizeof text, "%03zu.txt", i);
		char caption[64];
		snprintf(caption, sizeof caption, "photo number %zu\nthe same in other words %zu\n", first + i, first + i);
		assert_ok(shard_writer_add(writer, text, caption, strlen(caption), &err), &err);
	}
	assert_ok(shard_writer_close(writer, &err), &err);
	return path;
}

static struct dataset *open_data(const char *folder, size_t memory, size_t holdout)
{
	struct dataset *data;
	struct err err;

	assert_ok(dataset_new(memory, folder, holdout, &data, &err), &err);
	return data;
}

static void every_nth_sample_is_held_out_and_its_twins_are_not_trained_on(void **state)
{
	const char *folder = test_folder();
	struct dataset *data = open_data(folder, 1 << 20, 5);
	struct dataset_counts counts;
	struct err err;

	(void)state;
	assert_ok(dataset_add_shard(data, write_shard(folder, "a.tar", 10, 0), NULL, &err), &err);
	/* photo 4 is held out of a.tar; here it is the first, and photo 8 the held-out one, which a.tar trains on */
	assert_ok(dataset_add_shard(data, write_shard(folder, "b.tar.gz", 5, 4), NULL, &err), &err);
	assert_ok(dataset_finish(data, &err), &err);
	dataset_count(data, &counts);
	assert_int_equal(counts.held_out, 3);
	assert_int_equal(counts.twins, 2);
	assert_int_equal(counts.samples, 10);
	assert_string_equal(dataset_caption(data, DATASET_HELD_OUT, 0, 0), "photo number 4");
	dataset_free(data);
}

static void weights_say_how_often_samples_come(void **state)
{
	const char *folder = test_folder();
	struct dataset *data = open_data(folder, 1 << 20, 0);
	struct err err;
	size_t seen[2] = {0};

	(void)state;
	const struct dataset_source twice = {.weight = 2}, half = {.weight = 0.5};
	assert_ok(dataset_add_shard(data, write_shard(folder, "a.tar", 10, 0), &twice, &err), &err);
	assert_ok(dataset_add_shard(data, write_shard(folder, "b.tar", 10, 100), &half, &err), &err);
	assert_ok(dataset_finish(data, &err), &err);
	assert_int_equal(dataset_epoch_samples(data), 25);
	for (uint64_t epoch = 0; epoch < 40; epoch++) {
		uint32_t *order;
		size_t n;
		assert_ok(epoch_order(data, &(struct epoch_options){.seed = 1}, epoch, &order, &n, &err), &err);
		for (size_t i = 0; i < n; i++)
			seen[order[i] >= 10]++;
		free(order);
	}
	assert_int_equal(seen[0], 800);
	assert_in_range(seen[1], 160, 240);
	dataset_free(data);
}

/* Which source a sample is of; each has its own weight here. */
static double source_of(const struct dataset *data, uint32_t sample)
{
	return dataset_source(data, DATASET_TRAIN, sample)->weight;
}

static void half_of_a_batch_can_come_from_one_source(void **state)
{
	enum { BATCH = 12, SOURCES = 3 };
	const struct epoch_options options = {.seed = 2, .batch = BATCH, .together = 0.5};
	const char *folder = test_folder(), *names[SOURCES] = {"a.tar", "b.tar", "c.tar"};
	const struct dataset_source sources[SOURCES] = {{.weight = 1}, {.weight = 2}, {.weight = 3}};
	struct dataset *data = open_data(folder, 1 << 20, 0);
	struct err err;

	(void)state;
	for (size_t k = 0; k < SOURCES; k++)
		assert_ok(dataset_add_shard(data, write_shard(folder, names[k], 40, 100 * k), &sources[k], &err), &err);
	assert_ok(dataset_finish(data, &err), &err);
	for (uint64_t epoch = 0; epoch < 4; epoch++) {
		uint32_t *order;
		size_t n, seen[120] = {0}, blocks[SOURCES] = {0}, batches_mixed = 0;
		assert_ok(epoch_order(data, &options, epoch, &order, &n, &err), &err);
		assert_int_equal(n % BATCH, 0);
		assert_in_range(n, 240 - BATCH, 240);
		for (size_t from = 0; from < n; from += BATCH) {
			bool together = true, mixed = false;
			for (size_t i = 1; i < BATCH; i++) {
				bool same = source_of(data, order[from + i]) == source_of(data, order[from]);
				together &= same || i >= BATCH / 2;
				mixed |= !same;
			}
			assert_true(together || from / BATCH >= 19); /* there are 3 + 6 + 10 blocks */
			blocks[(size_t)source_of(data, order[from]) - 1]++;
			batches_mixed += mixed;
		}
		/* 40, 80 and 120 samples, half of them in blocks of 6 */
		for (size_t k = 0; k < SOURCES; k++)
			assert_in_range(blocks[k], (k + 1) * 20 / 6 - 1, (k + 1) * 20 / 6 + 2);
		assert_true(batches_mixed > n / BATCH / 2);
		for (size_t i = 0; i < n; i++)
			seen[order[i]]++;
		for (size_t i = 0; i < 120; i++)
			assert_true(seen[i] <= 1 + i / 40);
		free(order);
	}
	dataset_free(data);
}

static void an_epoch_shorter_than_a_batch_is_not_left_out(void **state)
{
	const char *folder = test_folder();
	struct dataset *data = open_data(folder, 1 << 20, 0);
	uint32_t *order;
	size_t n;
	struct err err;

	(void)state;
	assert_ok(dataset_add_shard(data, write_shard(folder, "a.tar", 5, 0), NULL, &err), &err);
	assert_ok(dataset_finish(data, &err), &err);
	assert_ok(epoch_order(data, &(struct epoch_options){.batch = 160, .together = 0.5}, 0, &order, &n, &err), &err);
	assert_int_equal(n, 5);
	free(order);
	dataset_free(data);
}

static void twins_of_pairs_come_one_after_the_other(void **state)
{
	const char *folder = test_folder();
	const struct dataset_source pairs = {.weight = 1.5, .pairs = true}, others = {.weight = 1};
	struct dataset *data = open_data(folder, 1 << 20, 10); /* samples 9 and 19 of each source are held out */
	struct err err;

	(void)state;
	assert_ok(dataset_add_shard(data, write_shard(folder, "a.tar", 20, 0), &pairs, &err), &err);
	assert_ok(dataset_add_shard(data, write_shard(folder, "b.tar", 20, 100), &others, &err), &err);
	assert_ok(dataset_finish(data, &err), &err);
	for (uint64_t run = 0; run < 6; run++) {
		const struct epoch_options options = {.seed = 1, .batch = 8, .together = run % 2 ? 0.5 : 0};
		uint32_t *order;
		size_t n, twins = 0;
		assert_ok(epoch_order(data, &options, run / 2, &order, &n, &err), &err);
		for (size_t i = 0; i < n; i++) {
			if (!dataset_source(data, DATASET_TRAIN, order[i])->pairs)
				continue;
			assert_true(order[i] != 8 && order[i] != 17); /* they lost their twins to what is held out */
			size_t number = dataset_number(data, DATASET_TRAIN, order[i]);
			if (number % 2 == 0 && (i + 1) % options.batch) {
				assert_int_equal(order[i + 1], order[i] + 1);
				twins++;
			}
		}
		assert_true(twins >= 6);
		free(order);
	}
	dataset_free(data);
}

static void what_memory_cannot_hold_is_read_back_from_a_file(void **state)
{
	const char *folder = test_folder();
	const char *shard = write_shard(folder, "a.tar", 10, 0);
	struct dataset *all = open_data(folder, 1 << 20, 0), *some = open_data(folder, 3000, 0);
	struct dataset_counts counts;
	struct err err;

	(void)state;
	assert_ok(dataset_add_shard(all, shard, NULL, &err), &err);
	assert_ok(dataset_add_shard(some, shard, NULL, &err), &err);
	assert_ok(dataset_finish(all, &err), &err);
	assert_ok(dataset_finish(some, &err), &err);
	dataset_count(some, &counts);
	assert_true(counts.memory <= 3000 && counts.spilled > 0);
	for (size_t i = 0; i < 10; i++) {
		const uint8_t *a, *b;
		size_t a_size, b_size;
		void *a_owned, *b_owned;
		assert_ok(dataset_bytes(all, DATASET_TRAIN, i, &a, &a_size, &a_owned, &err), &err);
		assert_ok(dataset_bytes(some, DATASET_TRAIN, i, &b, &b_size, &b_owned, &err), &err);
		assert_int_equal(a_size, b_size);
		assert_memory_equal(a, b, a_size);
		free(a_owned);
		free(b_owned);
	}
	dataset_free(all);
	dataset_free(some);
}

static void a_table_has_a_path_and_a_caption_in_each_line(void **state)
{
	const char *folder = test_folder(), *path = test_path(folder, "photos.tsv");
	static const char table[] = "a.jpg\ta red ball\na.jpg\t  a ball \r\n\n/absolute/b.jpg\ta cat\n";
	static const char broken[] = "a.jpg\ta ball\nno tab here\n";
	struct dataset *data = open_data(folder, 1 << 20, 0);
	const uint8_t *bytes;
	size_t size;
	void *owned;
	struct err err;

	(void)state;
	test_write(path, table, sizeof table - 1);
	test_write(test_path(folder, "a.jpg"), "bytes", 5);
	assert_ok(dataset_add_table(data, path, NULL, &err), &err);
	assert_ok(dataset_finish(data, &err), &err);
	assert_int_equal(dataset_captions(data, DATASET_TRAIN, 0), 2);
	assert_string_equal(dataset_caption(data, DATASET_TRAIN, 0, 1), "a ball");
	assert_string_equal(dataset_caption(data, DATASET_TRAIN, 1, 0), "a cat");
	assert_ok(dataset_bytes(data, DATASET_TRAIN, 0, &bytes, &size, &owned, &err), &err);
	assert_int_equal(size, 5);
	free(owned);
	assert_int_equal(dataset_bytes(data, DATASET_TRAIN, 1, &bytes, &size, &owned, &err), STATUS_NOT_FOUND);
	test_write(path, broken, sizeof broken - 1);
	assert_int_equal(dataset_add_table(data, path, NULL, &err), STATUS_FORMAT);
	assert_non_null(strstr(err.text, "line 2"));
	dataset_free(data);
}

/* ---- crops and batches ------------------------------------------------------------------------------------------ */

static void a_whole_crop_is_the_reference_crop(void **state)
{
	static const size_t sides[][2] = {{48, 48}, {2 * SIDE, SIDE}, {SIDE, 3 * SIDE}, {5 * SIDE, 4 * SIDE}};
	const struct augment none = {.scale_least = 1};

	(void)state;
	for (size_t s = 0; s < sizeof sides / sizeof *sides; s++) {
		uint8_t *bytes, ours[SIDE * SIDE * 3], expected[SIDE * SIDE * 3];
		uint64_t random = 1;
		size_t size;
		struct image image;
		struct err err;
		double difference = 0;

		noise_jpeg(5, sides[s][0], sides[s][1], &bytes, &size);
		assert_ok(augment_image(&none, bytes, size, SIDE, &random, ours, &err), &err);
		assert_ok(image_decode(bytes, size, SIDE, 0, &image, &err), &err);
		assert_ok(image_crop(&image, SIDE, expected, &err), &err);
		for (size_t i = 0; i < sizeof ours; i++)
			difference += fabs((double)ours[i] - (double)expected[i]);
		if (difference / (double)sizeof ours >= 1)
			fail_msg("%zu x %zu: %g", sides[s][0], sides[s][1], difference / (double)sizeof ours);
		image_release(&image);
		free(bytes);
	}
}

static void crops_of_any_shape_are_drawn_and_repeat(void **state)
{
	static const size_t sides[][2] = {{40, 32}, {8, 8}, {200, 16}, {17, 300}, {500, 400}};
	const struct augment augment = {0.2, true, 0};
	uint8_t first[SIDE * SIDE * 3], again[SIDE * SIDE * 3];
	struct err err;

	(void)state;
	for (size_t s = 0; s < sizeof sides / sizeof *sides; s++) {
		uint8_t *bytes;
		size_t size, different = 0;
		noise_jpeg(s, sides[s][0], sides[s][1], &bytes, &size);
		for (uint64_t seed = 0; seed < 20; seed++) {
			uint64_t a = seed, b = seed;
			assert_ok(augment_image(&augment, bytes, size, SIDE, &a, first, &err), &err);
			assert_ok(augment_image(&augment, bytes, size, SIDE, &b, again, &err), &err);
			assert_memory_equal(first, again, sizeof first);
			b = seed + 100;
			assert_ok(augment_image(&augment, bytes, size, SIDE, &b, again, &err), &err);
			different += memcmp(first, again, sizeof first) != 0;
		}
		assert_true(different > 3); /* of a strip, only the mirror image differs */
		free(bytes);
	}
}

static void open_batches(const struct dataset *data, const struct config *config, size_t threads, struct batches_place place,
			 struct batches **b)
{
	const struct batches_options options = {.data = data, .config = config, .augment = {0.5, true, 0.3}, .mix = 0.5,
						.batch = 4, .parts = 2, .seed = 9,
						.place = place, .threads = threads};
	struct err err;

	assert_ok(batches_open(&options, b, &err), &err);
}

static void same_parts(const struct batch_part *a, const struct batch_part *b)
{
	for (size_t k = 0; k < 2; k++) {
		assert_memory_equal(a[k].batch.rgb, b[k].batch.rgb, 4 * 3 * SIDE * SIDE);
		assert_memory_equal(a[k].batch.begin, b[k].batch.begin, 5 * sizeof(size_t));
		assert_memory_equal(a[k].batch.ids, b[k].batch.ids, a[k].batch.begin[4] * sizeof(int32_t));
		assert_memory_equal(a[k].samples, b[k].samples, 4 * sizeof(struct batch_sample));
	}
}

/* Ten samples, one of which is no picture: batches run over the ends of epochs. */
static struct dataset *data_with_a_bad_photo(const char *folder)
{
	struct dataset *data = open_data(folder, 1 << 20, 0);
	struct tokenizer *tokenizer;
	struct err err;

	test_write(test_path(folder, "merges.txt"), "#version\n", 9);
	test_write(test_path(folder, "bad.jpg"), "no picture", 10);
	test_write(test_path(folder, "t.tsv"), "bad.jpg\tnothing\n", 16);
	assert_ok(dataset_add_shard(data, write_shard(folder, "a.tar", 9, 0), NULL, &err), &err);
	assert_ok(dataset_add_table(data, test_path(folder, "t.tsv"), NULL, &err), &err);
	assert_ok(dataset_finish(data, &err), &err);
	assert_ok(tokenizer_open(test_path(folder, "merges.txt"), 0, &tokenizer, &err), &err);
	assert_ok(dataset_tokenise(data, tokenizer, 12, &err), &err);
	tokenizer_close(tokenizer);
	return data;
}

static void batches_depend_neither_on_threads_nor_on_where_they_begin(void **state)
{
	struct dataset *data = data_with_a_bad_photo(test_folder());
	struct config config;
	struct batches *one, *three, *later;
	struct batches_place place = {0};
	struct batch_part a[2], b[2];
	struct err err;
	char example[256];

	(void)state;
	small_config(&config);
	open_batches(data, &config, 1, place, &one);
	open_batches(data, &config, 3, place, &three);
	for (int i = 0; i < 6; i++) {
		assert_ok(batches_next(one, a, &err), &err);
		assert_ok(batches_next(three, b, &err), &err);
		same_parts(a, b);
		if (i == 2)
			place = batches_place(one);
	}
	assert_true(batches_failed(three, example) > 0);
	assert_true(strlen(example) > 0);
	open_batches(data, &config, 2, place, &later);
	for (int i = 0; i < 3; i++)
		assert_ok(batches_next(later, b, &err), &err);
	same_parts(a, b);
	batches_close(one);
	batches_close(three);
	batches_close(later);
	dataset_free(data);
}

/* A shard of count samples: a photograph of one gray each, and the same captions in turns. */
static const char *write_grays(const char *folder, const char *name, size_t count, const char *const *captions, size_t caption_count)
{
	const char *path = test_path(folder, name);
	struct shard_writer *writer;
	struct err err;

	assert_ok(shard_writer_open(path, &writer, &err), &err);
	for (size_t i = 0; i < count; i++) {
		uint8_t rgb[32 * 32 * 3], *bytes;
		size_t size;
		char member[32];
		memset(rgb, (int)(16 * i), sizeof rgb);
		assert_ok(image_encode_jpeg(rgb, 32, 32, 95, &bytes, &size, &err), &err);
		snprintf(member, sizeof member, "%03zu.jpg", i);
		assert_ok(shard_writer_add(writer, member, bytes, size, &err), &err);
		free(bytes);
		snprintf(member, sizeof member, "%03zu.txt", i);
		const char *caption = captions[i % caption_count];
		assert_ok(shard_writer_add(writer, member, caption, strlen(caption), &err), &err);
	}
	assert_ok(shard_writer_close(writer, &err), &err);
	return path;
}

static void tokenise(struct dataset *data, const char *folder)
{
	struct tokenizer *tokenizer;
	struct err err;

	test_write(test_path(folder, "merges.txt"), "#version\n", 9);
	assert_ok(dataset_finish(data, &err), &err);
	assert_ok(tokenizer_open(test_path(folder, "merges.txt"), 0, &tokenizer, &err), &err);
	assert_ok(dataset_tokenise(data, tokenizer, 12, &err), &err);
	tokenizer_close(tokenizer);
}

/* Samples 0 and 2 are of oranges, 1 is of a pear. */
static void expect_oranges_and_a_pear(const struct dataset *data)
{
	static const char *const expected[] = {"a photo of an orange", "a photo of the citrus", "look, a orange!", "look, a citrus!",
					       "orange", "citrus"};

	assert_int_equal(dataset_captions(data, DATASET_TRAIN, 2), 2);
	assert_int_equal(dataset_captions(data, DATASET_TRAIN, 1), 1);
	for (size_t i = 0; i < 6; i++) {
		assert_string_equal(dataset_caption(data, DATASET_TRAIN, 2, i), expected[i]);
		assert_true(dataset_text(data, DATASET_TRAIN, 2, i) == dataset_text(data, DATASET_TRAIN, 0, 0));
		assert_true(dataset_text(data, DATASET_TRAIN, 2, i) != dataset_text(data, DATASET_TRAIN, 1, 0));
	}
}

static void names_of_a_class_are_put_into_prompts_and_count_as_one_text(void **state)
{
	static const char *const captions[] = {"a photo of an orange\na photo of the citrus\n", "pear\n"};
	const char *folder = test_folder();
	struct dataset *data = open_data(folder, 1 << 20, 0);
	struct err err;
	uint64_t random = 3;
	size_t drawn[6] = {0};

	(void)state;
	test_write(test_path(folder, "prompts"), "a {}\n\0look, a {}!\n", 18);
	assert_int_equal(dataset_prompts(data, test_path(folder, "prompts"), &err), STATUS_FORMAT);
	test_write(test_path(folder, "prompts"), "look, a {}!\n\n{}\r\n", 17);
	assert_ok(dataset_prompts(data, test_path(folder, "prompts"), &err), &err);
	assert_ok(dataset_add_shard(data, write_grays(folder, "c.tar", 4, captions, 2),
				    &(struct dataset_source){.weight = 1, .classes = true}, &err), &err);
	tokenise(data, folder);
	expect_oranges_and_a_pear(data);
	for (size_t i = 0; i < 600; i++)
		drawn[dataset_draw(data, 0, &random)]++;
	for (size_t i = 0; i < 6; i += 2) { /* the usual name in three of four */
		assert_in_range(drawn[i], 110, 190);
		assert_in_range(drawn[i + 1], 25, 80);
	}
	for (size_t i = 0; i < 20; i++)
		assert_true(dataset_draw(data, 1, &random) < 3);
	dataset_free(data);
}

static void a_class_is_also_called_by_broader_terms(void **state)
{
	static const char table[] = "orange\tfruit, food\n terrier \tdog,animal\r\n\n", broken[] = "orange\tfruit,,food\n";
	static const char *const classes[] = {"a photo of an orange\n"}, *const captions[] = {"Two dogs eat FRUITS\n", "foods? a hotdog stand\n"};
	static const char *const expected[] = {"a photo of an orange", "fruit", "food", "look, a orange!", "look, a fruit!", "look, a food!"};
	const char *folder = test_folder();
	struct dataset *data = open_data(folder, 1 << 20, 0);
	struct err err;
	uint64_t random = 3;
	size_t broader = 0;

	(void)state;
	test_write(test_path(folder, "broken"), broken, sizeof broken - 1);
	assert_int_equal(dataset_broader(data, test_path(folder, "broken"), &err), STATUS_FORMAT);
	test_write(test_path(folder, "broken"), "orange\tfruit\n\0pear\tfruit\n", 25);
	assert_int_equal(dataset_broader(data, test_path(folder, "broken"), &err), STATUS_FORMAT);
	test_write(test_path(folder, "broader"), table, sizeof table - 1);
	test_write(test_path(folder, "prompts"), "look, a {}!\n", 12);
	assert_ok(dataset_prompts(data, test_path(folder, "prompts"), &err), &err);
	assert_ok(dataset_broader(data, test_path(folder, "broader"), &err), &err);
	assert_ok(dataset_add_shard(data, write_grays(folder, "c.tar", 1, classes, 1),
				    &(struct dataset_source){.weight = 1, .classes = true}, &err), &err);
	assert_ok(dataset_add_shard(data, write_grays(folder, "p.tar", 2, captions, 2), NULL, &err), &err);
	tokenise(data, folder);
	assert_int_equal(dataset_captions(data, DATASET_TRAIN, 0), 1); /* what it is measured by */
	for (size_t i = 0; i < 6; i++)
		assert_string_equal(dataset_caption(data, DATASET_TRAIN, 0, i), expected[i]);
	for (size_t i = 0; i < 800; i++)
		broader += dataset_draw(data, 0, &random) % 3 != 0;
	assert_in_range(broader, 150, 250);
	uint64_t fruit = dataset_says(data, DATASET_TRAIN, 0, 4), food = dataset_says(data, DATASET_TRAIN, 0, 2);
	assert_true(fruit && food && fruit != food && fruit == dataset_says(data, DATASET_TRAIN, 0, 1));
	assert_true(dataset_text(data, DATASET_TRAIN, 0, 1) == dataset_text(data, DATASET_TRAIN, 0, 4));
	assert_true(dataset_says(data, DATASET_TRAIN, 0, 0) == 0 && dataset_says(data, DATASET_TRAIN, 1, 0) == 0);
	assert_true(dataset_shows(data, DATASET_TRAIN, 0) == (fruit | food));
	/* words of captions, also with an s: dogs and fruits; not the dog in a hotdog */
	uint64_t first = dataset_shows(data, DATASET_TRAIN, 1);
	assert_true((first & fruit) && !(first & food) && (first & ~fruit));
	assert_true(dataset_shows(data, DATASET_TRAIN, 2) == food);
	dataset_free(data);
}

static void a_table_may_name_classes_in_its_lines(void **state)
{
	static const char table[] = "0.jpg\ta photo of an orange\n0.jpg\ta photo of the citrus \r\n1.jpg\t pear\n\n"
				    "2.jpg\ta photo of an orange\n2.jpg\ta photo of the citrus";
	const char *folder = test_folder();
	struct dataset *data = open_data(folder, 1 << 20, 0);
	struct dataset_counts counts;
	struct err err;

	(void)state;
	test_write(test_path(folder, "prompts"), "look, a {}!\n\n{}\r\n", 17);
	test_write(test_path(folder, "classes.tsv"), table, sizeof table - 1);
	assert_ok(dataset_prompts(data, test_path(folder, "prompts"), &err), &err);
	assert_ok(dataset_add_table(data, test_path(folder, "classes.tsv"),
				    &(struct dataset_source){.weight = 1, .classes = true}, &err), &err);
	tokenise(data, folder);
	dataset_count(data, &counts);
	assert_int_equal(counts.samples, 3);
	assert_int_equal(counts.captions, 9); /* those of two classes, in two prompts and without */
	expect_oranges_and_a_pear(data);
	dataset_free(data);
}

static void next_batch_of(const struct dataset *data, struct augment augment, double mix, struct batches **batches,
			  struct batch_part *part)
{
	static struct config config;
	struct batches_options options = {.data = data, .config = &config, .augment = augment, .mix = mix, .batch = 12, .parts = 1,
					  .seed = 4, .threads = 2};
	struct err err;

	if (!config.image_size) /* threads of an earlier call may be reading it */
		small_config(&config);
	assert_ok(batches_open(&options, batches, &err), &err);
	assert_ok(batches_next(*batches, part, &err), &err);
}

/* Photographs of one gray each: a mixture's mean says how much of each is in it. */
static void mixed_photographs_have_the_shares_that_they_say(void **state)
{
	static const char *const captions[] = {"one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "11", "12"};
	const char *folder = test_folder();
	struct dataset *data = open_data(folder, 1 << 20, 0);
	struct batches *plain, *mixed;
	struct batch_part a, b;
	size_t n = SIDE * SIDE * 3, pasted = 0, blended = 0;
	struct err err;

	(void)state;
	assert_ok(dataset_add_shard(data, write_grays(folder, "g.tar", 12, captions, 12), NULL, &err), &err);
	tokenise(data, folder);
	next_batch_of(data, (struct augment){.scale_least = 1}, 0, &plain, &a);
	next_batch_of(data, (struct augment){.scale_least = 1}, 1, &mixed, &b);
	for (size_t i = 0; i < 12; i++) {
		const uint8_t *rgb = b.batch.rgb + i * n;
		double own = (double)a.batch.rgb[i * n], other = (double)a.batch.rgb[(11 - i) * n], mean = 0;
		bool even = true;
		assert_int_equal(b.samples[i].partner, 11 - i);
		assert_true(b.samples[i].share >= 0.45f && b.samples[i].share <= 1);
		assert_true(a.samples[i].share == 1);
		for (size_t k = 0; k < n; k++) {
			mean += (double)rgb[k] / (double)n;
			even &= rgb[k] == rgb[0];
		}
		assert_true(fabs(mean - ((double)b.samples[i].share * own + (1 - (double)b.samples[i].share) * other)) < 1);
		blended += even;
		pasted += !even;
	}
	assert_true(blended > 1 && pasted > 1);
	batches_close(plain);
	batches_close(mixed);
	dataset_free(data);
}

static void a_source_may_have_a_mix_of_its_own(void **state)
{
	const struct dataset_source kinds[2] = {{.weight = 1, .own_mix = true, .mix = 0}, {.weight = 1, .own_mix = true, .mix = 1}};
	const char *folder = test_folder();

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		struct dataset *data = open_data(folder, 1 << 20, 0);
		struct batches *batches;
		struct batch_part part;
		struct err err;
		assert_ok(dataset_add_shard(data, write_shard(folder, "m.tar", 12, 0), &kinds[k], &err), &err);
		tokenise(data, folder);
		next_batch_of(data, (struct augment){.scale_least = 1}, k ? 0 : 1, &batches, &part);
		double own = 0;
		for (size_t i = 0; i < 12; i++)
			own += (double)part.samples[i].share / 12;
		assert_true(k ? own < 0.95 : own == 1);
		batches_close(batches);
		dataset_free(data);
	}
}

static void what_is_whole_stays_as_it_is(void **state)
{
	const char *folder = test_folder();
	struct dataset *data = open_data(folder, 1 << 20, 0);
	struct batches *plain, *whole;
	struct batch_part a, b;
	struct err err;

	(void)state;
	assert_ok(dataset_add_shard(data, write_shard(folder, "w.tar", 12, 0), &(struct dataset_source){.weight = 1, .whole = true}, &err),
		  &err);
	tokenise(data, folder);
	next_batch_of(data, (struct augment){.scale_least = 1}, 0, &plain, &a);
	next_batch_of(data, (struct augment){0.3, true, 0.5}, 1, &whole, &b);
	assert_memory_equal(a.batch.rgb, b.batch.rgb, 12 * 3 * SIDE * SIDE);
	for (size_t i = 0; i < 12; i++)
		assert_true(b.samples[i].share == 1);
	batches_close(plain);
	batches_close(whole);
	dataset_free(data);
}

static void what_says_left_or_right_is_not_mirrored(void **state)
{
	static const char *const sides[] = {"a cat LEFT of a dog", "Right, a cat", "the cat is on the right", "leftovers", "bright"};
	const char *folder = test_folder();
	struct dataset *data = open_data(folder, 1 << 20, 0);
	struct err err;

	(void)state;
	assert_ok(dataset_add_shard(data, write_grays(folder, "s.tar", 5, sides, 5), NULL, &err), &err);
	tokenise(data, folder);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(dataset_sided(data, DATASET_TRAIN, i, 0), i < 3);
	dataset_free(data);
}

/* A gray stays gray, a colour's gray value moves with brightness alone; both within what is allowed. */
static void colours_move_within_their_bounds(void **state)
{
	const struct augment augment = {.scale_least = 1, .colour = 0.25};
	uint8_t rgb[32 * 32 * 3], ours[SIDE * SIDE * 3], *bytes;
	int least = 255, most = 0;
	size_t size;
	struct err err;

	(void)state;
	memset(rgb, 100, sizeof rgb);
	assert_ok(image_encode_jpeg(rgb, 32, 32, 95, &bytes, &size, &err), &err);
	for (uint64_t seed = 0; seed < 200; seed++) {
		uint64_t random = seed * 77;
		assert_ok(augment_image(&augment, bytes, size, SIDE, &random, ours, &err), &err);
		assert_true(ours[0] == ours[1] && ours[1] == ours[2]);
		least = ours[0] < least ? ours[0] : least;
		most = ours[0] > most ? ours[0] : most;
	}
	assert_in_range(least, 74, 80);
	assert_in_range(most, 120, 126);
	free(bytes);
}

static void photographs_that_are_all_broken_are_an_error(void **state)
{
	const char *folder = test_folder();
	struct dataset *data = open_data(folder, 1 << 20, 0);
	struct tokenizer *tokenizer;
	struct config config;
	struct batches *batches;
	struct batch_part parts[2];
	struct err err;

	(void)state;
	small_config(&config);
	test_write(test_path(folder, "merges.txt"), "#version\n", 9);
	test_write(test_path(folder, "t.tsv"), "away.jpg\tnothing\n", 17);
	assert_ok(dataset_add_table(data, test_path(folder, "t.tsv"), NULL, &err), &err);
	assert_ok(dataset_finish(data, &err), &err);
	assert_ok(tokenizer_open(test_path(folder, "merges.txt"), 0, &tokenizer, &err), &err);
	assert_ok(dataset_tokenise(data, tokenizer, 12, &err), &err);
	open_batches(data, &config, 2, (struct batches_place){0}, &batches);
	assert_int_not_equal(batches_next(batches, parts, &err), STATUS_OK);
	assert_non_null(strstr(err.text, "away.jpg"));
	batches_close(batches);
	tokenizer_close(tokenizer);
	dataset_free(data);
}

/* ---- tokenizer -------------------------------------------------------------------------------------------------- */

static void merges_are_learned_by_count_and_read_back(void **state)
{
	static const char *const texts[] = {"low low low low low", "lower lower newest newest newest newest newest newest",
					    "widest widest widest"};
	const char *folder = test_folder(), *path = test_path(folder, "merges.txt");
	struct bpe *bpe;
	struct tokenizer *tokenizer;
	uint8_t *bytes;
	size_t learned, size;
	int32_t ids[16];
	struct err err;

	(void)state;
	assert_ok(bpe_new(&bpe, &err), &err);
	for (size_t i = 0; i < 3; i++)
		assert_ok(bpe_add(bpe, texts[i], strlen(texts[i]), &err), &err);
	assert_ok(bpe_write(bpe, 514 + 4, path, &learned, &err), &err);
	assert_int_equal(learned, 518);
	assert_ok(file_read(path, 1 << 20, &bytes, &size, &err), &err);
	/* e s and s t</w> both stand together 9 times, l o 7 times: the lower ids first */
	assert_non_null(strstr((const char *)bytes, "\ne s\nes t</w>\nl o\n"));
	free(bytes);
	assert_ok(tokenizer_open(path, 0, &tokenizer, &err), &err);
	assert_int_equal(tokenizer_vocab_size(tokenizer), 518);
	assert_int_equal(tokenizer_encode(tokenizer, "west", 4, ids, 16), 4); /* start w est</w> end */
	assert_int_equal(ids[2], 513);
	tokenizer_close(tokenizer);
	bpe_free(bpe);
}

static void a_vocabulary_ends_where_no_pair_comes_twice(void **state)
{
	const char *folder = test_folder();
	struct bpe *bpe;
	size_t learned;
	struct err err;

	(void)state;
	assert_ok(bpe_new(&bpe, &err), &err);
	assert_ok(bpe_add(bpe, "ab ab", 5, &err), &err);
	assert_ok(bpe_write(bpe, 4096, test_path(folder, "merges.txt"), &learned, &err), &err);
	assert_int_equal(learned, 515);
	bpe_free(bpe);
}

/* ---- state and log ---------------------------------------------------------------------------------------------- */

static void a_state_comes_back_whole_and_a_damaged_one_is_refused(void **state)
{
	const char *folder = test_folder(), *path = test_path(folder, "train_state.bin");
	const struct train_state wrote = {7, 8, 9, {10, 11}, "--a\0--b", 8};
	struct train_state read;
	struct config config;
	struct parameters p, q;
	uint8_t *bytes;
	char *note;
	size_t size;
	struct err err;

	(void)state;
	small_config(&config);
	assert_ok(parameters_init(&p, &config, &err), &err);
	assert_ok(parameters_init(&q, &config, &err), &err);
	parameters_random(&p, 3);
	p.second[5] = 0.25f;
	assert_ok(train_state_write(path, &wrote, &p, &err), &err);
	assert_ok(train_state_read(path, &read, &q, &err), &err);
	assert_memory_equal(p.value, q.value, p.floats * sizeof(float));
	assert_memory_equal(p.second, q.second, p.floats * sizeof(float));
	assert_memory_equal(p.average, q.average, p.floats * sizeof(float));
	assert_true(read.step == 7 && read.seed == 8 && read.data == 9 && read.place.epoch == 10 && read.place.offset == 11);
	assert_ok(train_state_note(path, &note, &size, &err), &err);
	assert_memory_equal(note, wrote.note, 8);
	free(note);

	assert_ok(file_read(path, 1 << 30, &bytes, &size, &err), &err);
	static const size_t damaged[] = {0, 8, 30, 80, 200, 5000};
	for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
		bytes[damaged[i]] ^= 4;
		test_write(path, bytes, size);
		assert_int_equal(train_state_read(path, &read, &q, &err), STATUS_FORMAT);
		bytes[damaged[i]] ^= 4;
	}
	for (size_t cut = 0; cut < size; cut += size / 7) {
		test_write(path, bytes, cut);
		assert_int_equal(train_state_read(path, &read, &q, &err), STATUS_FORMAT);
	}
	free(bytes);
	parameters_release(&p);
	parameters_release(&q);
}

static void a_log_is_read_back_up_to_a_step(void **state)
{
	const char *folder = test_folder(), *path = test_path(folder, "log.csv");
	struct train_log log = {0}, read = {0};
	struct err err;

	(void)state;
	for (uint64_t step = 1; step <= 5; step++) {
		struct train_row row = {.step = step, .loss = 1.0 / 3, .measured = step == 2, .held_out = {.text_to_image = {1, 5, 12.5}}};
		assert_ok(train_log_add(&log, &row, &err), &err);
	}
	assert_ok(train_log_write(&log, path, &err), &err);
	assert_ok(train_log_draw(&log, test_path(folder, "curves.svg"), &err), &err);
	assert_ok(train_log_read(path, 3, &read, &err), &err);
	assert_int_equal(read.count, 3);
	assert_true(read.rows[2].loss == 1.0 / 3);
	assert_true(read.rows[1].measured && !read.rows[0].measured);
	assert_true(read.rows[1].held_out.text_to_image[2] == 12.5);
	train_log_release(&log);
	train_log_release(&read);
	assert_ok(train_log_read(test_path(folder, "none.csv"), 3, &read, &err), &err);
	assert_int_equal(read.count, 0);
}

TEST_MAIN(cmocka_unit_test(the_rate_rises_and_falls), cmocka_unit_test(steps_are_adamw_with_clipping_and_decay_of_matrices_alone),
	  cmocka_unit_test(the_temperature_stays_within_its_bounds),
	  cmocka_unit_test(a_gradient_that_is_not_finite_is_named_and_changes_nothing),
	  cmocka_unit_test(positions_are_resampled_for_another_image_size),
	  cmocka_unit_test(every_nth_sample_is_held_out_and_its_twins_are_not_trained_on),
	  cmocka_unit_test(weights_say_how_often_samples_come),
	  cmocka_unit_test(half_of_a_batch_can_come_from_one_source),
	  cmocka_unit_test(an_epoch_shorter_than_a_batch_is_not_left_out), cmocka_unit_test(twins_of_pairs_come_one_after_the_other),
	  cmocka_unit_test(what_memory_cannot_hold_is_read_back_from_a_file),
	  cmocka_unit_test(a_table_has_a_path_and_a_caption_in_each_line), cmocka_unit_test(a_whole_crop_is_the_reference_crop),
	  cmocka_unit_test(crops_of_any_shape_are_drawn_and_repeat),
	  cmocka_unit_test(batches_depend_neither_on_threads_nor_on_where_they_begin),
	  cmocka_unit_test(names_of_a_class_are_put_into_prompts_and_count_as_one_text),
	  cmocka_unit_test(a_class_is_also_called_by_broader_terms), cmocka_unit_test(a_table_may_name_classes_in_its_lines),
	  cmocka_unit_test(mixed_photographs_have_the_shares_that_they_say),
	  cmocka_unit_test(a_source_may_have_a_mix_of_its_own), cmocka_unit_test(what_is_whole_stays_as_it_is),
	  cmocka_unit_test(what_says_left_or_right_is_not_mirrored), cmocka_unit_test(colours_move_within_their_bounds),
	  cmocka_unit_test(photographs_that_are_all_broken_are_an_error), cmocka_unit_test(merges_are_learned_by_count_and_read_back),
	  cmocka_unit_test(a_vocabulary_ends_where_no_pair_comes_twice),
	  cmocka_unit_test(a_state_comes_back_whole_and_a_damaged_one_is_refused), cmocka_unit_test(a_log_is_read_back_up_to_a_step))
