/* coca.c: the fast path against the plain twin on random models of every kind, and that answers depend on nothing else:
 * not on the batch, the number of threads, or the order of pairs. Opening a model, what is refused, and what is converted when.
 */
#include "model/net/encode.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/files/checkpoint.h"
#include "model/net/likelihood.h"
#include "model/net/plain.h"
#include "model/net/vision.h"
#include "schema/base/memory.h"
#include "schema/base/packed.h"
#include "tests/support.h"

#include "schema/base/banned.h"

/* ---- random models ------------------------------------------------------------------------------------------------ */

struct kind {
	const char *pooling;  /* JSON */
	size_t vision_width, patch, heads, layers;
	const char *more;     /* model options */
	const char *tower;    /* options of all towers */
};

static const struct kind kinds[] = {
	{"true", 40, 8, 4, 2, "", ""},
	{"true", 24, 12, 1, 1, "\"quick_gelu\":true,", ""},
	{"\"parallel\"", 24, 8, 3, 2, "", ",\"ls_init_value\":0.5"},
	{"\"cascade\"", 24, 6, 2, 1, "", ""},
	{"false", 24, 8, 2, 3, "\"quick_gelu\":true,", ",\"ls_init_value\":0.1"},
	{"true,\"stem\":[[5,2],[6,1],[6,1],[7,2]]", 40, 8, 4, 2, "", ""},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void write_config(const char *path, const struct kind *kind)
{
	char json[2048];
	size_t heads = kind->heads == 4 ? 2 : kind->heads; /* of towers 24 wide */
	int n = snprintf(json, sizeof json,
			 "{\"model_cfg\":{%s\"embed_dim\":24,\"custom_text\":true,\"vision_cfg\":{\"image_size\":24,\"layers\":%zu,"
			 "\"width\":%zu,\"head_width\":%zu,\"patch_size\":%zu,\"attentional_pool\":%s,\"attn_pooler_heads\":2,"
			 "\"attn_pooler_queries\":5,\"output_tokens\":true%s},"
			 "\"text_cfg\":{\"context_length\":11,\"vocab_size\":1103,\"width\":24,\"heads\":%zu,\"layers\":%zu,"
			 "\"embed_cls\":true,\"output_tokens\":true%s},"
			 "\"multimodal_cfg\":{\"context_length\":11,\"vocab_size\":1103,\"width\":24,\"heads\":%zu,\"layers\":%zu,"
			 "\"attn_pooler_heads\":2%s}}}",
			 kind->more, kind->layers, kind->vision_width, kind->vision_width / kind->heads, kind->patch, kind->pooling,
			 kind->tower, heads, kind->layers, kind->tower, heads, kind->layers, kind->tower);
	assert_in_range(n, 1, sizeof json - 1);
	test_write(path, json, (size_t)n);
}

struct filler {
	uint64_t seed;
	float *owned[512];
	size_t count;
	bool nan;
};

static enum status fill(void *context, const struct weight_info *info, float **slot, struct err *err)
{
	struct filler *filler = context;

	(void)err;
	*slot = mem_floats(info->count);
	assert_non_null(*slot);
	assert_true(filler->count < 512);
	filler->owned[filler->count++] = *slot;
	float scale = info->dims >= 2 ? 1.5f / sqrtf((float)info->shape[info->dims - 1]) : 0.3f;
	bool is_norm = strstr(info->name, "ln_") && strstr(info->name, "weight");
	for (size_t i = 0; i < info->count; i++)
		(*slot)[i] = scale * test_uniform(&filler->seed) + (is_norm ? 1.0f : 0.0f);
	if (filler->nan && strcmp(info->name, "text.ln_final.bias") == 0)
		(*slot)[0] = NAN;
	return STATUS_OK;
}

static const char *write_model_as(const struct kind *kind, uint64_t seed, bool nan, enum dtype store)
{
	const char *folder = test_folder(), *config_path = test_path(folder, "open_clip_config.json");
	struct filler filler = {.seed = seed, .nan = nan};
	struct weights weights;
	struct config config;
	struct err err;

	write_config(config_path, kind);
	assert_ok(config_read(config_path, &config, &err), &err);
	assert_ok(weights_init(&weights, &config, &err), &err);
	assert_ok(weights_visit(&weights, &config, fill, &filler, &err), &err);
	assert_ok(weights_save(&weights, &config, test_path(folder, "open_clip_model.safetensors"), store, &err), &err);
	weights_release(&weights);
	while (filler.count)
		free(filler.owned[--filler.count]);
	return folder;
}

static const char *write_model(const struct kind *kind, uint64_t seed, bool nan)
{
	return write_model_as(kind, seed, nan, DTYPE_F32);
}

/* ---- a model with inputs, and what the plain twin makes of them ---------------------------------------------------- */

enum { IMAGES = 7, TEXTS = 9, CONTEXT = 11, VOCABULARY = 1103 };

struct fixture {
	struct coca *model;
	struct coca_scratch *state;
	const struct config *config;
	size_t E, image, token, W;
	float *pixels;
	float *features, *tokens;           /* plain: [IMAGES,E] [IMAGES,N,W] */
	int32_t ids[TEXTS * CONTEXT];
	struct coca_text texts[TEXTS];
	float *text_features, *text_tokens; /* plain: [TEXTS,E] [TEXTS,C,W] */
	float *sums;                        /* plain: [IMAGES,TEXTS] */
	float *terms;                       /* plain: [IMAGES,TEXTS,C-1] */
};

static void normalise(float *x, size_t rows, size_t E)
{
	for (size_t r = 0; r < rows; r++) {
		double length = 0;
		for (size_t i = 0; i < E; i++)
			length += (double)x[r * E + i] * (double)x[r * E + i];
		for (size_t i = 0; i < E; i++)
			x[r * E + i] = (float)((double)x[r * E + i] / sqrt(length));
	}
}

/* Short and full texts; ids 0 inside, at the start and at the end. */
static void draw_texts(struct fixture *f, uint64_t *seed)
{
	static const size_t counts[TEXTS] = {1, 2, 3, 5, CONTEXT - 1, CONTEXT, CONTEXT, 7, CONTEXT};

	for (size_t t = 0; t < TEXTS; t++) {
		int32_t *ids = f->ids + t * CONTEXT;
		for (size_t i = 0; i < counts[t]; i++)
			ids[i] = 1 + (int32_t)(test_random(seed) % (VOCABULARY - 1));
		f->texts[t] = (struct coca_text){ids, counts[t]};
	}
	f->ids[3 * CONTEXT + 2] = 0;
	f->ids[6 * CONTEXT + 4] = f->ids[6 * CONTEXT + 5] = 0;
	f->ids[7 * CONTEXT] = 0;
	f->ids[8 * CONTEXT + CONTEXT - 1] = 0;
}

static void plain_likelihoods(struct fixture *f)
{
	size_t C = CONTEXT, V = VOCABULARY;
	float *logits = mem_floats(C * V);
	struct err err;

	for (size_t p = 0; p < IMAGES * TEXTS; p++) {
		size_t image = p / TEXTS, text = p % TEXTS;
		double sum = 0;
		const float *image_tokens = f->tokens + image * f->token, *text_tokens = f->text_tokens + text * C * f->W;
		assert_ok(coca_plain_logits(f->model, image_tokens, text_tokens, 1, logits, &err), &err);
		for (size_t t = 1; t < C; t++) {
			const float *row = logits + (t - 1) * V;
			int32_t id = f->ids[text * C + t];
			double total = 0;
			for (size_t v = 0; v < V; v++)
				total += exp((double)row[v]);
			f->terms[p * (C - 1) + t - 1] = id ? (float)((double)row[id] - log(total)) : 0;
			sum += (double)f->terms[p * (C - 1) + t - 1];
		}
		f->sums[p] = (float)sum;
	}
	free(logits);
}

static void set_up(struct fixture *f, size_t kind)
{
	uint64_t seed = 77 + kind;
	struct err err;

	memset(f, 0, sizeof *f);
	assert_ok(coca_open(write_model(kinds + kind, seed, false), &f->model, &err), &err);
	f->state = coca_scratch_new();
	assert_non_null(f->state);
	f->config = coca_config(f->model);
	f->E = f->config->embed_dim;
	f->image = 3 * f->config->image_size * f->config->image_size;
	f->token = f->config->image_tokens * vision_token_width(f->config);
	f->W = f->config->text.width;
	f->pixels = mem_floats(IMAGES * f->image);
	f->features = mem_floats(IMAGES * f->E);
	f->tokens = mem_floats(IMAGES * f->token);
	f->text_features = mem_floats(TEXTS * f->E);
	f->text_tokens = mem_floats(TEXTS * CONTEXT * f->W);
	f->sums = mem_floats(IMAGES * TEXTS);
	f->terms = mem_floats(IMAGES * TEXTS * (CONTEXT - 1));
	for (size_t i = 0; i < IMAGES * f->image; i++)
		f->pixels[i] = 2 * test_uniform(&seed);
	draw_texts(f, &seed);
	assert_ok(coca_plain_images(f->model, f->pixels, IMAGES, f->features, f->tokens, &err), &err);
	assert_ok(coca_plain_texts(f->model, f->ids, TEXTS, f->text_features, f->text_tokens, &err), &err);
	normalise(f->features, IMAGES, f->E);
	normalise(f->text_features, TEXTS, f->E);
	plain_likelihoods(f);
}

static void tear_down(struct fixture *f)
{
	float *all[] = {f->pixels, f->features, f->tokens, f->text_features, f->text_tokens, f->sums, f->terms};

	coca_scratch_free(f->state);
	coca_close(f->model);
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		free(all[i]);
}

/* ---- the fast path ------------------------------------------------------------------------------------------------ */

static void check_images(struct fixture *f, size_t batch, bool with_tokens)
{
	float *features = mem_floats(IMAGES * f->E), *tokens = mem_floats(IMAGES * f->token);
	struct err err;

	for (size_t from = 0; from < IMAGES; from += batch) {
		size_t n = IMAGES - from < batch ? IMAGES - from : batch;
		assert_ok(coca_encode_images(f->model, f->state, f->pixels + from * f->image, n, features + from * f->E,
					     with_tokens ? tokens + from * f->token : NULL, &err), &err);
	}
	assert_true(test_close("image features", features, f->features, IMAGES * f->E, 5e-6f));
	assert_true(!with_tokens || test_close("image tokens", tokens, f->tokens, IMAGES * f->token, 5e-5f));
	free(features);
	free(tokens);
}

static void check_texts(struct fixture *f, size_t batch, bool with_tokens)
{
	float *features = mem_floats(TEXTS * f->E), *tokens = mem_floats(TEXTS * CONTEXT * f->W);
	struct err err;

	for (size_t from = 0; from < TEXTS; from += batch) {
		size_t n = TEXTS - from < batch ? TEXTS - from : batch, row = 0;
		assert_ok(coca_encode_texts(f->model, f->state, f->texts + from, n, features + from * f->E, with_tokens ? tokens : NULL,
					    &err), &err);
		for (size_t t = from; with_tokens && t < from + n; t++) {
			assert_true(test_close("text tokens", tokens + row * f->W, f->text_tokens + t * CONTEXT * f->W,
					       f->texts[t].count * f->W, 5e-5f));
			row += f->texts[t].count;
		}
	}
	assert_true(test_close("text features", features, f->text_features, TEXTS * f->E, 5e-6f));
	free(features);
	free(tokens);
}

/* All pairs, shuffled, the first one twice. */
static void check_likelihoods(struct fixture *f, uint64_t seed)
{
	enum { PAIRS = IMAGES * TEXTS + 1 };
	struct coca_pair pairs[PAIRS];
	float sums[PAIRS], want[PAIRS], *each = mem_floats(PAIRS * (CONTEXT - 1)), *terms = mem_floats(PAIRS * (CONTEXT - 1));
	struct err err;

	for (size_t p = 0; p < PAIRS; p++) {
		size_t at = p % (IMAGES * TEXTS);
		pairs[p] = (struct coca_pair){at / TEXTS, at % TEXTS};
	}
	for (size_t p = PAIRS - 1; p > 0; p--) {
		size_t other = test_random(&seed) % (p + 1);
		struct coca_pair kept = pairs[p];
		pairs[p] = pairs[other];
		pairs[other] = kept;
	}
	for (size_t p = 0; p < PAIRS; p++) {
		size_t at = pairs[p].image * TEXTS + pairs[p].text;
		want[p] = f->sums[at];
		memcpy(terms + p * (CONTEXT - 1), f->terms + at * (CONTEXT - 1), (CONTEXT - 1) * sizeof *terms);
	}
	assert_ok(coca_likelihood(f->model, f->state, f->tokens, IMAGES, f->texts, TEXTS, pairs, PAIRS, sums, each, &err), &err);
	assert_true(test_close("likelihoods", sums, want, PAIRS, 2e-4f));
	assert_true(test_close("terms", each, terms, PAIRS * (CONTEXT - 1), 1e-4f));
	free(each);
	free(terms);
}

static void fast_path_agrees_with_plain(void **state)
{
	struct fixture f;

	(void)state;
	for (size_t kind = 0; kind < KINDS; kind++) {
		set_up(&f, kind);
		check_images(&f, IMAGES, true);
		check_images(&f, IMAGES, false);
		check_texts(&f, TEXTS, true);
		check_texts(&f, TEXTS, false);
		check_likelihoods(&f, kind);
		tear_down(&f);
	}
}

static void answers_do_not_depend_on_batch_or_threads(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f, 0);
	for (int threads = 1; threads < 6; threads += 2) {
		blas_set_threads(threads);
		for (size_t batch = 1; batch <= IMAGES; batch += 2) {
			check_images(&f, batch, batch % 4 == 1);
			check_texts(&f, batch, batch % 4 == 1);
		}
		check_likelihoods(&f, (uint64_t)threads);
	}
	blas_set_threads(0);
	tear_down(&f);
}

static void single_pairs_and_no_pairs_work(void **state)
{
	struct fixture f;
	struct err err;
	float sum;

	(void)state;
	set_up(&f, 2);
	for (size_t p = 0; p < IMAGES * TEXTS; p += 5) {
		struct coca_pair pair = {p / TEXTS, p % TEXTS};
		assert_ok(coca_likelihood(f.model, f.state, f.tokens, IMAGES, f.texts, TEXTS, &pair, 1, &sum, NULL, &err), &err);
		assert_true(test_close("likelihood", &sum, f.sums + p, 1, 2e-4f));
	}
	assert_ok(coca_likelihood(f.model, f.state, f.tokens, IMAGES, f.texts, TEXTS, NULL, 0, &sum, NULL, &err), &err);
	assert_ok(coca_encode_images(f.model, f.state, f.pixels, 0, NULL, NULL, &err), &err);
	assert_ok(coca_encode_texts(f.model, f.state, f.texts, 0, NULL, NULL, &err), &err);
	tear_down(&f);
}

/* ---- stored tokens ------------------------------------------------------------------------------------------------ */

struct stored {
	void *blobs[IMAGES];
	struct coca_image images[IMAGES];
};

/* The fixture's tokens become what 8 bits keep of them, and the plain likelihoods are those of these. */
static void store(struct fixture *f, struct stored *s)
{
	size_t N = f->config->image_tokens, W = f->token / N, size = packed_tokens_size(N, W);
	struct err err;

	memset(s, 0, sizeof *s);
	for (size_t i = 0; i < IMAGES; i++) {
		s->blobs[i] = mem_array(size, 1);
		packed_tokens_write(f->tokens + i * f->token, N, W, s->blobs[i]);
		assert_ok(packed_tokens_read(s->blobs[i], size, N, W, f->tokens + i * f->token, &err), &err);
		assert_ok(packed_tokens_view(s->blobs[i], size, N, W, &s->images[i].scales, &s->images[i].bytes, &err), &err);
	}
	plain_likelihoods(f);
}

static void forget(struct stored *s)
{
	for (size_t i = 0; i < IMAGES; i++)
		free(s->blobs[i]);
}

/* Likelihoods of all pairs, at most `batch` in a call. */
static void all_pairs(struct fixture *f, const struct coca_image *images, size_t batch, float *sums)
{
	struct coca_pair pairs[IMAGES * TEXTS];
	struct err err;

	for (size_t from = 0; from < IMAGES * TEXTS; from += batch) {
		size_t n = IMAGES * TEXTS - from < batch ? IMAGES * TEXTS - from : batch;
		for (size_t p = 0; p < n; p++)
			pairs[p] = (struct coca_pair){(from + p) / TEXTS, (from + p) % TEXTS};
		assert_ok(coca_likelihood_images(f->model, f->state, images, IMAGES, f->texts, TEXTS, pairs, n, sums + from, NULL,
						 &err), &err);
	}
}

static void stored_tokens_agree_with_plain_whatever_the_batch(void **state)
{
	float sums[IMAGES * TEXTS];
	struct stored stored;
	struct fixture f;

	(void)state;
	for (size_t kind = 0; kind < KINDS; kind++) {
		set_up(&f, kind);
		store(&f, &stored);
		for (size_t batch = 1; batch <= IMAGES * TEXTS; batch *= IMAGES) {
			all_pairs(&f, stored.images, batch, sums);
			assert_true(test_close("stored", sums, f.sums, IMAGES * TEXTS, 1e-4f));
		}
		stored.images[3].tokens = f.tokens + 3 * f.token; /* a mixture of both kinds */
		all_pairs(&f, stored.images, TEXTS, sums);
		assert_true(test_close("mixed", sums, f.sums, IMAGES * TEXTS, 2e-4f));
		forget(&stored);
		tear_down(&f);
	}
}

/* 7 bits of weights and activations: sums of up to 10 terms, which are near log(1/1103) each. */
static void a_decoder_of_8_bits_stays_near_and_leaves_fp32_as_it_was(void **state)
{
	float sums[IMAGES * TEXTS], again[IMAGES * TEXTS], most = 0;
	struct coca_image images[IMAGES] = {{0}};
	struct fixture f;

	(void)state;
	for (size_t kind = 0; kind < KINDS; kind++) {
		set_up(&f, kind);
		for (size_t i = 0; i < IMAGES; i++)
			images[i].tokens = f.tokens + i * f.token;
		coca_set_precision(f.model, PRECISION_INT8);
		all_pairs(&f, images, IMAGES * TEXTS, sums);
		all_pairs(&f, images, 1, again);
		assert_true(test_close("8 bits", sums, f.sums, IMAGES * TEXTS, 0.1f));
		assert_true(test_close("8 bits, one by one", again, sums, IMAGES * TEXTS, 0.02f));
		for (size_t p = 0; p < IMAGES * TEXTS; p++)
			most = fmaxf(most, fabsf(sums[p] - f.sums[p]));
		coca_set_precision(f.model, PRECISION_FP32);
		all_pairs(&f, images, IMAGES * TEXTS, sums);
		assert_true(test_close("fp32 again", sums, f.sums, IMAGES * TEXTS, 2e-4f));
		tear_down(&f);
	}
	assert_true(most > 2e-4f); /* or 8 bits were not used */
}

/* More rows than a piece and more texts than the smallest split hold. */
static void many_pairs_agree_with_few(void **state)
{
	enum { MANY = 300 };
	struct coca_text texts[MANY];
	struct coca_pair pairs[2 * MANY];
	float sums[2 * MANY];
	struct fixture f;
	struct err err;

	(void)state;
	set_up(&f, 1);
	for (size_t i = 0; i < MANY; i++)
		texts[i] = f.texts[i % TEXTS];
	for (size_t p = 0; p < 2 * MANY; p++)
		pairs[p] = (struct coca_pair){p * 5 % IMAGES, p * 7 % MANY};
	assert_ok(coca_likelihood(f.model, f.state, f.tokens, IMAGES, texts, MANY, pairs, 2 * MANY, sums, NULL, &err), &err);
	for (size_t p = 0; p < 2 * MANY; p++)
		if (!(fabsf(sums[p] - f.sums[pairs[p].image * TEXTS + pairs[p].text % TEXTS]) < 2e-4f))
			fail_msg("pair %zu", p);
	tear_down(&f);
}

static void counted_ids_leave_out_start_and_padding(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f, 1);
	assert_int_equal(coca_counted(f.model, f.texts[0]), 0);
	assert_int_equal(coca_counted(f.model, f.texts[2]), 2);
	assert_int_equal(coca_counted(f.model, f.texts[3]), 3);
	assert_int_equal(coca_counted(f.model, f.texts[6]), CONTEXT - 3);
	tear_down(&f);
}

static void impossible_texts_and_pairs_are_refused(void **state)
{
	int32_t ids[CONTEXT + 1] = {1, 2, VOCABULARY}, possible[CONTEXT + 1] = {1, 2};
	struct coca_text beyond = {ids, 3}, empty = {ids, 0}, long_one = {possible, CONTEXT + 1};
	struct coca_pair pair = {IMAGES, 0};
	struct fixture f;
	struct err err;
	float out[64];

	(void)state;
	set_up(&f, 1);
	assert_int_equal(coca_encode_texts(f.model, f.state, &beyond, 1, out, NULL, &err), STATUS_FORMAT);
	assert_int_equal(coca_encode_texts(f.model, f.state, &empty, 1, out, NULL, &err), STATUS_FORMAT);
	assert_int_equal(coca_encode_texts(f.model, f.state, &long_one, 1, out, NULL, &err), STATUS_FORMAT);
	assert_int_equal(coca_likelihood(f.model, f.state, f.tokens, IMAGES, f.texts, TEXTS, &pair, 1, out, NULL, &err), STATUS_USAGE);
	tear_down(&f);
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */

static void damaged_weights_never_yield_an_embedding(void **state)
{
	int32_t ids[] = {1, 2, 3};
	struct coca_text text = {ids, 3};
	struct coca *model;
	struct err err;
	float out[64];

	(void)state;
	assert_ok(coca_open(write_model(kinds, 5, true), &model, &err), &err);
	struct coca_scratch *scratch = coca_scratch_new();
	assert_int_equal(coca_encode_texts(model, scratch, &text, 1, out, NULL, &err), STATUS_FORMAT);
	assert_non_null(strstr(err.text, "open_clip_model.safetensors"));
	coca_scratch_free(scratch);
	coca_close(model);
}

static void opens_a_folder_or_its_weights(void **state)
{
	const char *folder = write_model(kinds, 6, false), *weights = test_path(folder, "open_clip_model.safetensors");
	char config[2][33], digest[2][33];
	struct coca *model;
	struct err err;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_ok(coca_open(i ? weights : folder, &model, &err), &err);
		assert_string_equal(coca_weights_path(model), weights);
		assert_null(coca_tokenizer(model));
		assert_ok(coca_digest(model, config[i], digest[i], &err), &err);
		coca_close(model);
	}
	assert_int_equal(strlen(digest[0]), 32);
	assert_string_equal(digest[0], digest[1]);
	assert_string_equal(config[0], config[1]);
	assert_string_not_equal(config[0], digest[0]);
}

static void says_what_a_folder_lacks(void **state)
{
	const char *folder = test_folder();
	struct coca *model;
	struct err err;

	(void)state;
	assert_int_equal(coca_open(test_path(folder, "none"), &model, &err), STATUS_NOT_FOUND);
	assert_null(model);
	assert_int_equal(coca_open(folder, &model, &err), STATUS_NOT_FOUND);
	assert_non_null(strstr(err.text, "open_clip_config.json"));
	write_config(test_path(folder, "open_clip_config.json"), kinds);
	assert_int_equal(coca_open(folder, &model, &err), STATUS_NOT_FOUND);
	assert_non_null(strstr(err.text, "open_clip_model.safetensors"));
}

static void a_tokenizer_of_another_size_is_refused(void **state)
{
	static const char merges[] = "#version: 0.2\nt h\nth e</w>\n";
	const char *folder = write_model(kinds, 7, false);
	struct coca *model;
	struct err err;

	(void)state;
	test_write(test_path(folder, "merges.txt"), merges, sizeof merges - 1);
	assert_int_equal(coca_open(folder, &model, &err), STATUS_FORMAT);
	assert_null(model);
}

/* ---- what is converted, and when ---------------------------------------------------------------------------------- */

static struct coca *open_halves(const char *folder)
{
	struct coca *model;
	struct err err;

	assert_ok(coca_open(folder, &model, &err), &err);
	return model;
}

static void expect_made(const struct coca *model, bool text, bool image, bool decoder)
{
	assert_int_equal(coca_made(model, WEIGHTS_TEXT), text);
	assert_int_equal(coca_made(model, WEIGHTS_IMAGE), image);
	assert_int_equal(coca_made(model, WEIGHTS_DECODER), decoder);
}

/* Everything that a model gives for one image and one text. */
struct question {
	const struct coca *model;
	struct answers {
		float text[24], image[24], tokens[512], sum;
	} answers;
};

static void *ask(void *context)
{
	struct question *asked = context;
	static const int32_t ids[] = {1, 7, 300, 2};
	struct coca_scratch *state = coca_scratch_new();
	struct coca_text text = {ids, 4};
	struct coca_pair pair = {0, 0};
	float pixels[3 * 24 * 24];
	uint64_t seed = 3;
	struct err err;

	for (size_t i = 0; i < sizeof pixels / sizeof *pixels; i++)
		pixels[i] = test_uniform(&seed);
	assert_ok(coca_encode_images(asked->model, state, pixels, 1, asked->answers.image, asked->answers.tokens, &err), &err);
	assert_ok(coca_encode_texts(asked->model, state, &text, 1, asked->answers.text, NULL, &err), &err);
	assert_ok(coca_likelihood(asked->model, state, asked->answers.tokens, 1, &text, 1, &pair, 1, &asked->answers.sum, NULL, &err),
		  &err);
	coca_scratch_free(state);
	return NULL;
}

static void a_part_is_converted_when_it_is_first_used(void **state)
{
	static const int32_t ids[] = {1, 2, 3};
	struct coca *model = open_halves(write_model_as(kinds, 8, false, DTYPE_F16));
	struct coca_scratch *scratch = coca_scratch_new();
	float pixels[3 * 24 * 24] = {0}, tokens[512], out[24], scale = coca_logit_scale(model);
	struct coca_text text = {ids, 3};
	struct coca_pair pair = {0, 0};
	struct err err;

	(void)state;
	expect_made(model, false, false, false);
	assert_ok(coca_encode_texts(model, scratch, &text, 1, out, NULL, &err), &err);
	expect_made(model, true, false, false);
	assert_ok(coca_encode_images(model, scratch, pixels, 1, out, tokens, &err), &err);
	expect_made(model, true, true, false);
	assert_ok(coca_likelihood(model, scratch, tokens, 1, &text, 1, &pair, 1, out, NULL, &err), &err);
	expect_made(model, true, true, true);
	assert_true(coca_logit_scale(model) == scale);
	coca_scratch_free(scratch);
	coca_close(model);
}

static void a_likelihood_needs_no_image_encoder(void **state)
{
	static const int32_t ids[] = {1, 2, 3};
	struct coca *model = open_halves(write_model_as(kinds, 8, false, DTYPE_F16));
	struct coca_scratch *scratch = coca_scratch_new();
	struct coca_text text = {ids, 3};
	struct coca_pair pair = {0, 0};
	float tokens[512] = {0}, sum;
	struct err err;

	(void)state;
	assert_ok(coca_likelihood(model, scratch, tokens, 1, &text, 1, &pair, 1, &sum, NULL, &err), &err);
	expect_made(model, true, false, true);
	coca_scratch_free(scratch);
	coca_close(model);
}

static void who_asks_for_the_weights_gets_them_whole(void **state)
{
	const char *folder = write_model_as(kinds, 8, false, DTYPE_F16);
	struct coca *model = open_halves(folder);
	const struct weights *weights = coca_weights(model);
	struct checkpoint *file;
	struct err err;

	(void)state;
	expect_made(model, true, true, true);
	assert_ok(checkpoint_open(test_path(folder, "open_clip_model.safetensors"), &file, &err), &err);
	const struct {
		const char *name;
		const float *weight;
	} some[] = {{"text.text_projection", weights->text_proj},
		    {"visual.proj", weights->vision_proj},
		    {"text_decoder.text_projection", weights->decoder_proj},
		    {"text_decoder.cross_attn.1.mlp.c_fc.weight", weights->cross[1].fc_weight}};
	for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
		const struct tensor *t = checkpoint_find(file, some[i].name);
		float *floats = mem_floats(t->count);
		assert_int_equal(t->dtype, DTYPE_F16);
		assert_ok(tensor_floats(t, floats, &err), &err);
		assert_memory_equal(floats, some[i].weight, t->count * sizeof *floats);
		free(floats);
	}
	checkpoint_close(file);
	coca_close(model);
}

static void threads_that_come_first_together_see_whole_weights(void **state)
{
	enum { THREADS = 4 };
	const char *folder = write_model_as(kinds, 8, false, DTYPE_F16);
	struct coca *model = open_halves(folder), *whole = open_halves(folder);
	struct question asked[THREADS + 1];
	pthread_t threads[THREADS];

	(void)state;
	memset(asked, 0, sizeof asked);
	coca_weights(whole);
	asked[THREADS].model = whole;
	ask(&asked[THREADS]);
	for (size_t i = 0; i < THREADS; i++) {
		asked[i].model = model;
		assert_int_equal(pthread_create(&threads[i], NULL, ask, &asked[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (size_t i = 0; i < THREADS; i++)
		assert_memory_equal(&asked[i].answers, &asked[THREADS].answers, sizeof asked[i].answers);
	coca_close(model);
	coca_close(whole);
}

TEST_MAIN(cmocka_unit_test(says_what_a_folder_lacks), cmocka_unit_test(opens_a_folder_or_its_weights),
	  cmocka_unit_test(a_tokenizer_of_another_size_is_refused), cmocka_unit_test(damaged_weights_never_yield_an_embedding),
	  cmocka_unit_test(a_part_is_converted_when_it_is_first_used), cmocka_unit_test(a_likelihood_needs_no_image_encoder),
	  cmocka_unit_test(who_asks_for_the_weights_gets_them_whole),
	  cmocka_unit_test(threads_that_come_first_together_see_whole_weights),
	  cmocka_unit_test(impossible_texts_and_pairs_are_refused), cmocka_unit_test(counted_ids_leave_out_start_and_padding),
	  cmocka_unit_test(single_pairs_and_no_pairs_work), cmocka_unit_test(many_pairs_agree_with_few),
	  cmocka_unit_test(stored_tokens_agree_with_plain_whatever_the_batch),
	  cmocka_unit_test(a_decoder_of_8_bits_stays_near_and_leaves_fp32_as_it_was),
	  cmocka_unit_test(fast_path_agrees_with_plain), cmocka_unit_test(answers_do_not_depend_on_batch_or_threads))
