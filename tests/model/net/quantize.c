/* quantize.c: the image encoder in 8 bits against fp32, and a model written that way, its decoder too, against the one it was made from. */
#include "model/net/quantize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/files/checkpoint.h"
#include "model/math/int8.h"
#include "model/net/likelihood.h"
#include "model/net/vision.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "tests/support.h"

#include "schema/base/banned.h"

enum { B = 9 };

struct fixture {
	struct coca *model;
	struct coca_scratch *state;
	size_t E, image, token;
	float *pixels, *features, *tokens;
};

static void open_fixture(struct fixture *f, const char *path)
{
	struct err err;
	uint64_t seed = 1;

	assert_ok(coca_open(path, &f->model, &err), &err);
	const struct config *config = coca_config(f->model);
	f->state = coca_scratch_new();
	f->E = config->embed_dim;
	f->image = 3 * config->image_size * config->image_size;
	f->token = config->image_tokens * vision_token_width(config);
	f->pixels = mem_floats(B * f->image);
	f->features = mem_floats(B * f->E);
	f->tokens = mem_floats(B * f->token);
	assert_true(f->state && f->pixels && f->features && f->tokens);
	for (size_t i = 0; i < B * f->image; i++)
		f->pixels[i] = 2 * test_uniform(&seed);
}

static void close_fixture(struct fixture *f)
{
	coca_scratch_free(f->state);
	coca_close(f->model);
	free(f->pixels);
	free(f->features);
	free(f->tokens);
}

static void encode(struct fixture *f, size_t from, size_t count)
{
	struct err err;

	assert_ok(coca_encode_images(f->model, f->state, f->pixels + from * f->image, count, f->features + from * f->E,
				     f->tokens + from * f->token, &err), &err);
}

/* A folder with the model of `from`, quantised. */
static const char *written(const char *from, const struct quantize_loss *loss, bool keep)
{
	const char *folder = test_folder();
	struct coca *model;
	uint8_t *config;
	size_t size;
	struct err err;

	assert_ok(file_read(test_path(from, "open_clip_config.json"), 1 << 20, &config, &size, &err), &err);
	test_write(test_path(folder, "open_clip_config.json"), config, size);
	free(config);
	assert_ok(coca_open(from, &model, &err), &err);
	assert_ok(quantize_write(model, test_path(folder, "open_clip_model.safetensors"), loss, keep, &err), &err);
	coca_close(model);
	return folder;
}

static const char *quantised(const char *from, const struct quantize_loss *loss)
{
	return written(from, loss, false);
}

static void embeddings_in_8_bits_are_near(void **state)
{
	static const char *const models[] = {"tests/data/tiny", "tests/data/tiny-cascade", "tests/data/tiny-nopool"};

	(void)state;
	for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
		struct fixture f;
		struct quantize_loss loss = {0};
		struct err err;
		open_fixture(&f, models[m]);
		assert_int_equal(coca_precision(f.model), PRECISION_FP32);
		assert_ok(quantize_measure(f.model, f.state, f.pixels, B, &loss, &err), &err);
		print_message("%s: cosine %.5f, worst %.5f\n", models[m], quantize_mean(&loss), loss.worst);
		assert_int_equal(loss.images, B);
		/* Equal would mean that nothing was computed in 8 bits. */
		assert_true(loss.worst > 0.995 && loss.worst < 1 - 1e-4 && quantize_mean(&loss) >= loss.worst);
		assert_int_equal(coca_precision(f.model), PRECISION_FP32);
		close_fixture(&f);
	}
}

/* The patches' product rounds differently with other numbers of rows, and a number in the middle between two codes may then take the
 * other one: a difference like that of 8 bits to fp32, but smaller. */
static void batches_and_threads_matter_little_in_8_bits(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, "tests/data/tiny");
	coca_set_precision(f.model, PRECISION_INT8);
	encode(&f, 0, B);
	float *features = mem_floats(B * f.E), *tokens = mem_floats(B * f.token);
	memcpy(features, f.features, B * f.E * sizeof *features);
	memcpy(tokens, f.tokens, B * f.token * sizeof *tokens);
	for (int threads = 1; threads < 4; threads++) {
		blas_set_threads(threads);
		for (size_t b = 0; b < B; b++) {
			encode(&f, b, 1);
			assert_true(op_dot(f.features + b * f.E, features + b * f.E, f.E) > 0.999f);
			assert_true(test_close("tokens", f.tokens + b * f.token, tokens + b * f.token, f.token, 0.2f));
		}
	}
	blas_set_threads(0);
	free(features);
	free(tokens);
	close_fixture(&f);
}

static void a_quantised_model_computes_as_the_one_it_was_made_from(void **state)
{
	struct quantize_loss loss = {3, 2.9991, 0.9995};
	struct fixture f, q;

	(void)state;
	open_fixture(&f, "tests/data/tiny");
	open_fixture(&q, quantised("tests/data/tiny", &loss));
	assert_true(coca_holds_int8(q.model) && !coca_holds_int8(f.model));
	assert_int_equal(coca_precision(q.model), PRECISION_INT8);
	coca_set_precision(f.model, PRECISION_INT8);
	encode(&f, 0, B);
	encode(&q, 0, B);
	assert_true(test_close("features", q.features, f.features, B * f.E, 1e-6f));
	assert_true(test_close("tokens", q.tokens, f.tokens, B * f.token, 1e-5f));
	assert_string_equal(coca_metadata(q.model, INT8_COSINE_MEAN), "0.99970");
	assert_string_equal(coca_metadata(q.model, QUANTIZE_WORST), "0.99950");
	assert_string_equal(coca_metadata(q.model, QUANTIZE_IMAGES), "3");
	close_fixture(&f);
	close_fixture(&q);
}

/* Its matrices in fp32 are what the 8-bit ones mean: within half a step of the original's. */
static void a_quantised_model_has_weights_in_fp32_too(void **state)
{
	struct quantize_loss loss = {0};
	struct fixture f, q;

	(void)state;
	open_fixture(&f, "tests/data/tiny");
	open_fixture(&q, quantised("tests/data/tiny", &loss));
	const struct tower *tower = &coca_config(f.model)->vision;
	size_t D = tower->width, F = tower->hidden;
	int8_t *codes = mem_array(F * D, 1);
	float *scale = mem_floats(F);
	assert_true(codes && scale);
	for (size_t l = 0; l < tower->layers; l++) {
		const struct block *a = coca_weights(f.model)->vision + l, *b = coca_weights(q.model)->vision + l;
		int8_weights(a->fc_weight, F, D, INT8_PAIRS, codes, scale);
		for (size_t i = 0; i < F * D; i++)
			assert_true(fabsf(a->fc_weight[i] - b->fc_weight[i]) <= scale[i / D] * 0.501f);
	}
	free(codes);
	free(scale);
	assert_memory_equal(coca_weights(f.model)->vision_proj, coca_weights(q.model)->vision_proj, f.E * sizeof(float));
	coca_set_precision(q.model, PRECISION_FP32);
	coca_set_precision(f.model, PRECISION_FP32);
	encode(&f, 0, B);
	encode(&q, 0, B);
	for (size_t b = 0; b < B; b++)
		assert_true(op_dot(f.features + b * f.E, q.features + b * f.E, f.E) > 0.998f);
	close_fixture(&f);
	close_fixture(&q);
}

static void kept_weights_are_used_in_8_bits_where_that_was_measured_to_cost_little(void **state)
{
	struct quantize_loss good = {2, 1.9996, 0.9995}, poor = {2, 1.98, 0.98};
	struct fixture f, q;

	(void)state;
	open_fixture(&f, "tests/data/tiny");
	open_fixture(&q, written("tests/data/tiny", &good, true));
	assert_int_equal(coca_precision(f.model), PRECISION_FP32);
	assert_int_equal(coca_precision(q.model), PRECISION_INT8);
	assert_false(coca_holds_int8(q.model));
	coca_set_precision(q.model, PRECISION_FP32);
	encode(&f, 0, B);
	encode(&q, 0, B);
	assert_memory_equal(f.features, q.features, B * f.E * sizeof(float));
	close_fixture(&q);
	open_fixture(&q, written("tests/data/tiny", &poor, true));
	assert_int_equal(coca_precision(q.model), PRECISION_FP32);
	close_fixture(&f);
	close_fixture(&q);
}

static void what_is_in_8_bits_is_not_quantised_again(void **state)
{
	struct quantize_loss loss = {0};
	struct fixture q;
	struct err err;

	(void)state;
	open_fixture(&q, quantised("tests/data/tiny", &loss));
	assert_int_equal(quantize_write(q.model, test_path(test_folder(), "w.safetensors"), &loss, false, &err), STATUS_UNSUPPORTED);
	assert_non_null(strstr(err.text, "8-bit weights already"));
	close_fixture(&q);
}

static void codes_without_a_scale_are_refused(void **state)
{
	const char *folder = quantised("tests/data/tiny", &(struct quantize_loss){0});
	const char *path = test_path(folder, "open_clip_model.safetensors");
	uint8_t *bytes;
	size_t size;
	struct coca *model;
	struct err err;

	(void)state;
	assert_ok(file_read(path, 64 << 20, &bytes, &size, &err), &err);
	char *name = memmem(bytes, size, "mlp.c_fc.weight.scale", 21);
	assert_non_null(name);
	name[20] = 'x';
	test_write(path, bytes, size);
	free(bytes);
	assert_int_equal(coca_open(folder, &model, &err), STATUS_FORMAT);
	assert_non_null(strstr(err.text, "mlp.c_fc.weight.scale"));
}

/* The log-likelihoods of texts under images of the fixture's own tokens. */
enum { TEXTS = 3 };

static enum status likelihoods(struct fixture *f, float sums[B * TEXTS], struct err *err)
{
	static const int32_t ids[TEXTS][6] = {{1, 7, 9, 3, 12, 5}, {1, 4, 2}, {1, 30, 31, 32, 33}};
	const struct coca_text texts[TEXTS] = {{ids[0], 6}, {ids[1], 3}, {ids[2], 5}};
	struct coca_pair pairs[B * TEXTS];

	for (size_t p = 0; p < B * TEXTS; p++)
		pairs[p] = (struct coca_pair){p / TEXTS, p % TEXTS};
	return coca_likelihood(f->model, f->state, f->tokens, B, texts, TEXTS, pairs, B * TEXTS, sums, NULL, err);
}

static void draw_tokens(struct fixture *f)
{
	uint64_t seed = 3;

	for (size_t i = 0; i < B * f->token; i++)
		f->tokens[i] = 1.7f * test_uniform(&seed);
}

/* What is stored is what would be made: the same weights are in both files. With keep nothing is. */
static void a_stored_decoder_computes_as_one_made_at_first_use(void **state)
{
	struct quantize_loss loss = {2, 1.9996, 0.9995};

	(void)state;
	for (int keep = 0; keep < 2; keep++) {
		float made[B * TEXTS], stored[B * TEXTS], whole[B * TEXTS];
		struct fixture f, q;
		struct err err;
		open_fixture(&f, "tests/data/tiny");
		open_fixture(&q, written("tests/data/tiny", &loss, keep));
		draw_tokens(&f);
		draw_tokens(&q);
		assert_ok(likelihoods(&f, whole, &err), &err);
		coca_set_precision(f.model, PRECISION_INT8);
		assert_ok(likelihoods(&f, made, &err), &err);
		assert_ok(likelihoods(&q, stored, &err), &err);
		assert_memory_equal(made, stored, sizeof made);
		assert_true(test_close("8 bits", made, whole, B * TEXTS, 0.3f));
		assert_memory_not_equal(made, whole, sizeof made);
		coca_set_precision(q.model, PRECISION_FP32);
		assert_ok(likelihoods(&q, stored, &err), &err);
		assert_memory_equal(whole, stored, sizeof whole);
		close_fixture(&f);
		close_fixture(&q);
	}
}

/* A quantised model whose file has another byte, so many behind where find begins. */
static const char *changed(const char *find, size_t after, char to)
{
	const char *folder = written("tests/data/tiny", &(struct quantize_loss){2, 1.9996, 0.9995}, false);
	const char *path = test_path(folder, "open_clip_model.safetensors");
	uint8_t *bytes;
	size_t size;
	struct err err;

	assert_ok(file_read(path, 64 << 20, &bytes, &size, &err), &err);
	char *at = memmem(bytes, size, find, strlen(find));
	assert_non_null(at);
	at[after] = to;
	test_write(path, bytes, size);
	free(bytes);
	return folder;
}

static void a_decoder_in_8_bits_that_does_not_fit_is_refused(void **state)
{
	static const char name[] = "int8.text_decoder.cross_attn.1.fc.scale";
	float sums[B * TEXTS];
	struct fixture q;
	struct err err;

	(void)state;
	open_fixture(&q, changed(name, strlen(name) - 1, 'x'));
	draw_tokens(&q);
	assert_int_equal(likelihoods(&q, sums, &err), STATUS_FORMAT);
	assert_non_null(strstr(err.text, "'int8.text_decoder.cross_attn.1.fc' is not ["));
	coca_set_precision(q.model, PRECISION_FP32);
	assert_ok(likelihoods(&q, sums, &err), &err);
	close_fixture(&q);
}

/* A file without them, as older ones are: a name that is not known stands for one that is not there. */
static void what_a_file_lacks_of_the_decoder_is_made(void **state)
{
	static const char name[] = "int8.text_decoder.resblocks.0.fc\"";
	float made[B * TEXTS], stored[B * TEXTS];
	struct fixture f, q;
	struct err err;

	(void)state;
	open_fixture(&f, "tests/data/tiny");
	open_fixture(&q, changed(name, strlen(name) - 2, 'x'));
	draw_tokens(&f);
	draw_tokens(&q);
	coca_set_precision(f.model, PRECISION_INT8);
	assert_ok(likelihoods(&f, made, &err), &err);
	assert_ok(likelihoods(&q, stored, &err), &err);
	assert_memory_equal(made, stored, sizeof made);
	close_fixture(&f);
	close_fixture(&q);
}

/* The stored numbers are used, and those beyond the range refused. */
static void stored_codes_are_read_and_checked(void **state)
{
	static const char matrix[] = "int8.text_decoder.resblocks.1.out";

	(void)state;
	for (int most = INT8_WEIGHT_MOST; most <= INT8_WEIGHT_MOST + 1; most++) {
		const char *folder = written("tests/data/tiny", &(struct quantize_loss){2, 1.9996, 0.9995}, false);
		const char *path = test_path(folder, "open_clip_model.safetensors");
		float made[B * TEXTS], stored[B * TEXTS];
		struct checkpoint *checkpoint;
		struct fixture f, q;
		struct err err;
		uint8_t *bytes;
		size_t size;
		assert_ok(file_read(path, 64 << 20, &bytes, &size, &err), &err);
		assert_ok(checkpoint_parse(bytes, size, path, &checkpoint, &err), &err);
		const struct tensor *t = checkpoint_find(checkpoint, matrix);
		assert_non_null(t);
		memset((void *)(uintptr_t)t->data, most, 8);
		checkpoint_close(checkpoint);
		test_write(path, bytes, size);
		free(bytes);
		open_fixture(&f, "tests/data/tiny");
		open_fixture(&q, folder);
		draw_tokens(&f);
		draw_tokens(&q);
		coca_set_precision(f.model, PRECISION_INT8);
		assert_ok(likelihoods(&f, made, &err), &err);
		if (most > INT8_WEIGHT_MOST) {
			assert_int_equal(likelihoods(&q, stored, &err), STATUS_FORMAT);
			assert_non_null(strstr(err.text, "has codes beyond 63"));
		} else {
			assert_ok(likelihoods(&q, stored, &err), &err);
			assert_memory_not_equal(made, stored, sizeof made);
		}
		close_fixture(&f);
		close_fixture(&q);
	}
}

static void precision_can_be_asked_for(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, "tests/data/tiny");
	coca_set_precision(f.model, PRECISION_INT8);
	assert_int_equal(coca_precision(f.model), PRECISION_INT8);
	coca_set_precision(f.model, PRECISION_AUTO);
	assert_int_equal(coca_precision(f.model), PRECISION_FP32);
	close_fixture(&f);
}

TEST_MAIN(cmocka_unit_test(a_stored_decoder_computes_as_one_made_at_first_use), cmocka_unit_test(stored_codes_are_read_and_checked),
	  cmocka_unit_test(what_a_file_lacks_of_the_decoder_is_made), cmocka_unit_test(a_decoder_in_8_bits_that_does_not_fit_is_refused),
	  cmocka_unit_test(embeddings_in_8_bits_are_near), cmocka_unit_test(batches_and_threads_matter_little_in_8_bits),
	  cmocka_unit_test(a_quantised_model_computes_as_the_one_it_was_made_from),
	  cmocka_unit_test(a_quantised_model_has_weights_in_fp32_too), cmocka_unit_test(what_is_in_8_bits_is_not_quantised_again),
	  cmocka_unit_test(kept_weights_are_used_in_8_bits_where_that_was_measured_to_cost_little),
	  cmocka_unit_test(codes_without_a_scale_are_refused), cmocka_unit_test(precision_can_be_asked_for))
