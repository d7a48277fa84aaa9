/* gradient.c: gradients against finite differences, for what the reference's gradients do not reach, and the promises
 * about batches: parts, masks, frozen parameters. */
#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/train/grad_ops.h"
#include "model/train/loss.h"
#include "model/train/objective.h"
#include "schema/base/random.h"
#include "schema/base/memory.h"
#include "tests/support.h"

#include "schema/base/banned.h"

enum { SAMPLES = 6 };

struct bench {
	struct parameters p;
	struct network *network;
	struct batch_part part;
	float pixels[SAMPLES * 3 * 24 * 24];
	int32_t ids[SAMPLES * 10];
	size_t begin[SAMPLES + 1];
	struct batch_sample samples[SAMPLES];
};

/* A small network of each kind; options stand in the JSON. */
static const char shape[] =
	"{\"model_cfg\":{\"embed_dim\":%d,\"quick_gelu\":%s,\"vision_cfg\":{\"image_size\":24,\"layers\":2,\"width\":%d,\"head_width\":%d,"
	"\"patch_size\":8,\"attentional_pool\":%s,\"attn_pooler_heads\":2,\"attn_pooler_queries\":5,\"output_tokens\":true%s},"
	"\"text_cfg\":{\"context_length\":10,\"vocab_size\":50,\"width\":%d,\"heads\":2,\"layers\":2,\"embed_cls\":true,"
	"\"output_tokens\":true%s},\"multimodal_cfg\":{\"context_length\":10,\"vocab_size\":50,\"width\":%d,\"heads\":2,\"layers\":1,"
	"\"attn_pooler_heads\":2%s},\"custom_text\":true}}";

static void make_config(struct config *config, const char *pooling, bool quick, bool scale, int E, int D)
{
	struct buffer json = {0};
	struct err err;
	const char *ls = scale ? ",\"ls_init_value\":0.2" : "";

	buffer_format(&json, shape, E, quick ? "true" : "false", D, D / 2, pooling, ls, E, ls, E, ls);
	assert_ok(config_parse(json.data, json.size, "test", config, &err), &err);
	buffer_release(&json);
}

/* Values that hide no mistake: norms away from 1, biases away from 0. */
static void shake(struct parameters *p)
{
	uint64_t random = 7;

	for (size_t i = 0; i < p->count; i++)
		for (size_t j = 0; j < p->list[i].info.count && p->list[i].info.dims; j++)
			p->value[p->list[i].offset + j] += 0.1f * (float)random_normal(&random);
}

/* Texts of 10 (the whole context), 2 and other lengths, one with a 0 inside. */
static void make_batch(struct bench *b)
{
	static const size_t lengths[SAMPLES] = {10, 2, 5, 7, 4, 10};
	uint64_t random = 3;

	for (size_t i = 0; i < sizeof b->pixels / sizeof *b->pixels; i++)
		b->pixels[i] = (float)random_normal(&random);
	for (size_t i = 0; i < SAMPLES; i++) {
		b->begin[i + 1] = b->begin[i] + lengths[i];
		for (size_t j = 0; j < lengths[i]; j++)
			b->ids[b->begin[i] + j] = j == 0 ? 48 : j + 1 == lengths[i] ? 49 : (int32_t)(1 + random_below(&random, 47));
		b->samples[i] = (struct batch_sample){.photo = i, .caption = i, .share = 1};
	}
	b->ids[b->begin[3] + 3] = 0;
	b->part = (struct batch_part){{SAMPLES, b->pixels, NULL, b->ids, b->begin, NULL}, b->samples};
}

static struct bench *bench_new(const struct config *config)
{
	struct bench *b = mem_array(1, sizeof *b);
	struct err err;

	assert_non_null(b);
	assert_ok(parameters_init(&b->p, config, &err), &err);
	parameters_random(&b->p, 5);
	shake(&b->p);
	assert_ok(network_new(config, &b->network, &err), &err);
	make_batch(b);
	return b;
}

static void bench_free(struct bench *b)
{
	network_free(b->network);
	parameters_release(&b->p);
	free(b);
}

static struct losses gradient(struct bench *b, struct objective objective)
{
	struct losses losses;
	struct err err;

	memset(b->p.gradient, 0, b->p.floats * sizeof *b->p.gradient);
	assert_ok(objective_gradient(&objective, b->network, &b->p, &b->part, 1, &losses, &err), &err);
	return losses;
}

static double loss(struct bench *b, struct objective objective)
{
	struct losses losses;
	struct err err;

	assert_ok(objective_losses(&objective, b->network, &b->p.weights, &b->part, &losses, &err), &err);
	return losses.total;
}

/* The gradient as it is now; the caller's to free. */
static float *kept_gradient(const struct bench *b)
{
	float *kept = mem_floats(b->p.floats);

	assert_non_null(kept);
	memcpy(kept, b->p.gradient, b->p.floats * sizeof *kept);
	return kept;
}

/* The gradient is the expected one but for rounding. */
static void check_gradient(const struct bench *b, const float *expected)
{
	double norm = 0, difference = 0;

	for (size_t i = 0; i < b->p.floats; i++) {
		norm += pow((double)expected[i], 2);
		difference += pow((double)expected[i] - (double)b->p.gradient[i], 2);
	}
	assert_true(sqrt(difference) < 1e-5 * sqrt(norm));
}

/* (L(w + step d) - L(w - step d)) / 2 step for the unit vector d along the tensor's gradient: its norm. Two step sizes,
 * extrapolated. */
static double along_gradient(struct bench *b, struct objective objective, const struct parameter *t, double norm, double step)
{
	float *value = b->p.value + t->offset;
	const float *g = b->p.gradient + t->offset;
	float *kept = mem_floats(t->info.count);
	double slope[2];

	assert_non_null(kept);
	memcpy(kept, value, t->info.count * sizeof *kept);
	for (int half = 0; half < 2; half++) {
		double size = half ? step / 2 : step, total = 0;
		for (int sign = -1; sign <= 1; sign += 2) {
			for (size_t i = 0; i < t->info.count; i++)
				value[i] = kept[i] + (float)(sign * size * (double)g[i] / norm);
			total += sign * loss(b, objective);
		}
		slope[half] = total / (2 * size);
	}
	memcpy(value, kept, t->info.count * sizeof *kept);
	free(kept);
	return (4 * slope[1] - slope[0]) / 3;
}

/* Every tensor's gradient is as long as the loss says, to a hundredth. Tensors whose gradient vanishes in exact arithmetic
 * (biases of keys are part of in_proj_bias, so none does as a whole) are too small to be seen and are passed over. */
static void check_all(struct bench *b, struct objective objective)
{
	int threads = blas_threads();
	double whole = 0;

	gradient(b, objective);
	blas_set_threads(1); /* waking others for so little takes most of the time */
	for (size_t i = 0; i < b->p.floats; i++)
		whole += (double)b->p.gradient[i] * (double)b->p.gradient[i];
	for (size_t i = 0; i < b->p.count; i++) {
		const struct parameter *t = &b->p.list[i];
		double norm = 0, size = 0;
		for (size_t j = 0; j < t->info.count; j++) {
			norm += pow((double)b->p.gradient[t->offset + j], 2);
			size += pow((double)b->p.value[t->offset + j], 2);
		}
		norm = sqrt(norm);
		if (norm < 1e-4 * sqrt(whole))
			continue;
		double step = fmin(0.02 / norm, 0.02 * sqrt(size) + 1e-3), slope = along_gradient(b, objective, t, norm, step);
		if (!(fabs(slope - norm) <= 0.01 * norm))
			fail_msg("%s: the gradient's norm is %g, finite differences say %g", t->info.name, norm, slope);
	}
	blas_set_threads(threads);
}

static void check_shape(const char *pooling, bool quick, bool scale, int E, int D)
{
	struct config config;

	make_config(&config, pooling, quick, scale, E, D);
	struct bench *b = bench_new(&config);
	check_all(b, (struct objective){0.7f, 2});
	bench_free(b);
}

static void gradients_of_one_pooler_agree_with_finite_differences(void **state)
{
	(void)state;
	check_shape("true", false, false, 16, 24);
}

static void gradients_of_equal_widths_agree_with_finite_differences(void **state)
{
	(void)state;
	check_shape("true", false, false, 16, 16);
}

static void gradients_with_quick_gelu_and_layer_scale_agree_with_finite_differences(void **state)
{
	(void)state;
	check_shape("true", true, true, 16, 24);
}

static void gradients_of_a_cascade_with_layer_scale_agree_with_finite_differences(void **state)
{
	(void)state;
	check_shape("\"cascade\"", false, true, 16, 16);
}

static void gradients_of_parallel_poolers_agree_with_finite_differences(void **state)
{
	(void)state;
	check_shape("\"parallel\"", true, false, 16, 16);
}

static void gradients_without_poolers_agree_with_finite_differences(void **state)
{
	(void)state;
	check_shape("false", false, false, 16, 16);
}

static void gradients_of_a_stem_agree_with_finite_differences(void **state)
{
	(void)state;
	check_shape("true,\"stem\":[[5,2],[6,1],[6,1],[7,2]]", false, false, 16, 24);
}

static void each_loss_alone_has_its_gradient(void **state)
{
	struct config config;

	(void)state;
	make_config(&config, "true", false, false, 16, 24);
	struct bench *b = bench_new(&config);
	check_all(b, (struct objective){1, 0});
	check_all(b, (struct objective){0, 1});
	bench_free(b);
}

/* A photograph that is mixed with its partner's, whose texts are equal or not; losses agree with their gradients. */
static void gradients_of_mixed_photographs_agree_with_finite_differences(void **state)
{
	static const float share[SAMPLES] = {0.6f, 1, 0.75f, 0.5f, 0.9f, 1};
	struct config config;

	(void)state;
	make_config(&config, "true", false, false, 16, 24);
	struct bench *b = bench_new(&config);
	double apart = loss(b, (struct objective){1, 0});
	for (size_t i = 0; i < SAMPLES; i++) {
		b->samples[i].partner = (uint32_t)(SAMPLES - 1 - i);
		b->samples[i].share = share[i];
	}
	assert_true(fabs(loss(b, (struct objective){1, 0}) - apart) > 1e-3);
	check_all(b, (struct objective){1, 2});
	b->samples[4].caption = b->samples[0].caption;
	check_all(b, (struct objective){1, 0});
	bench_free(b);
}

/* The loss as its definition says, in double. */
static double plain_contrastive(const struct loss_pairs *p, double scale)
{
	double total = 0;

	for (int columns = 0; columns < 2; columns++)
		for (size_t i = 0; i < p->N; i++) {
			const float *own = (columns ? p->text : p->image) + i * p->E;
			double sum = 0, at_own = 0;
			for (size_t j = 0; j < p->N; j++) {
				const float *other = (columns ? p->image : p->text) + j * p->E;
				double dot = 0, a = 0, c = 0;
				for (size_t e = 0; e < p->E; e++) {
					dot += (double)own[e] * (double)other[e];
					a += (double)own[e] * (double)own[e];
					c += (double)other[e] * (double)other[e];
				}
				size_t photo = columns ? j : i, said = columns ? i : j;
				const struct batch_sample *a_photo = &p->samples[photo], *a_text = &p->samples[said];
				if (i != j && (a_photo->caption == a_text->caption || a_photo->photo == a_text->photo))
					continue;
				if (i != j && a_photo->shows & a_text->says)
					continue;
				sum += exp(scale * dot / sqrt(a * c));
				if (i == j)
					at_own = scale * dot / sqrt(a * c);
			}
			total += log(sum) - at_own;
		}
	return total / (2 * (double)p->N);
}

/* Of broader terms: text 1 is true of photograph 2, and so is text 4; text 6 of none. */
static void identical_captions_and_what_is_shown_are_no_negatives(void **state)
{
	enum { N = 7, E = 5 };
	float image[N * E], text[N * E], dimage[N * E], dtext[N * E], dscale = 0;
	/* photo, caption, shows, says, partner, share */
	const struct batch_sample samples[N] = {{1, 1, 0, 0, 0, 1}, {2, 2, 1, 1, 0, 1}, {3, 1, 3, 0, 0, 1}, {4, 4, 0, 0, 0, 1},
						{5, 5, 2, 2, 0, 1}, {6, 1, 0, 0, 0, 1}, {4, 7, 0, 4, 0, 1}};
	const struct loss_pairs pairs = {N, E, image, text, samples};
	uint64_t random = 9;
	double masked;
	struct err err;

	(void)state;
	for (size_t i = 0; i < N * E; i++) {
		image[i] = (float)random_normal(&random);
		text[i] = (float)random_normal(&random);
	}
	assert_ok(loss_contrastive(&pairs, 1.5f, 1, dimage, dtext, &dscale, &masked, &err), &err);
	assert_true(fabs(masked - plain_contrastive(&pairs, exp(1.5))) < 1e-5);
	for (size_t i = 0; i < N * E; i++) {
		float kept = image[i];
		image[i] = kept + 1e-3f;
		double more = plain_contrastive(&pairs, exp(1.5));
		image[i] = kept - 1e-3f;
		double less = plain_contrastive(&pairs, exp(1.5));
		image[i] = kept;
		assert_true(fabs((more - less) / 2e-3 - (double)dimage[i]) < 2e-4);
	}
	double slope = (plain_contrastive(&pairs, exp(1.501)) - plain_contrastive(&pairs, exp(1.499))) / 2e-3;
	assert_true(fabs(slope - (double)dscale) < 1e-4);
}

/* Mixed photographs: two texts each, and for a text the photographs that show it, by their shares. */
static double plain_mixed(const struct loss_pairs *p, double scale)
{
	size_t N = p->N;
	double total = 0;

	for (int columns = 0; columns < 2; columns++)
		for (size_t i = 0; i < N; i++) {
			double sum = 0, at_targets = 0, shares = 0;
			for (size_t j = 0; j < N; j++) {
				size_t photo = columns ? j : i, text = columns ? i : j, other = p->samples[photo].partner;
				const float *u = p->image + photo * p->E, *w = p->text + text * p->E;
				double dot = 0, a = 0, c = 0, own = (double)p->samples[photo].share, share = text == photo ? own : 0;
				for (size_t e = 0; e < p->E; e++) {
					dot += (double)u[e] * (double)w[e];
					a += (double)u[e] * (double)u[e];
					c += (double)w[e] * (double)w[e];
				}
				double similarity = scale * dot / sqrt(a * c);
				if (text == other)
					share += 1 - own;
				bool shown = share > 0 || text == photo || text == other;
				uint64_t caption = p->samples[text].caption;
				if (!shown && (caption == p->samples[photo].caption || caption == p->samples[other].caption))
					continue;
				sum += exp(similarity);
				at_targets += share * similarity;
				shares += share;
			}
			total += log(sum) - at_targets / shares;
		}
	return total / (2 * (double)N);
}

static void a_mixed_photograph_has_both_texts_for_targets(void **state)
{
	enum { N = 7, E = 5 };
	float image[N * E], text[N * E], dimage[N * E], dtext[N * E], dscale = 0;
	/* photo, caption, shows, says, partner, share */
	const struct batch_sample samples[N] = {{1, 1, 0, 0, 6, 0.6f}, {2, 2, 0, 0, 5, 0.75f}, {3, 1, 0, 0, 4, 0.5f}, {4, 4, 0, 0, 3, 1},
						{5, 5, 0, 0, 2, 0.875f}, {6, 4, 0, 0, 1, 0.9f}, {7, 7, 0, 0, 0, 0.55f}};
	const struct loss_pairs pairs = {N, E, image, text, samples};
	uint64_t random = 11;
	double mixed;
	struct err err;

	(void)state;
	for (size_t i = 0; i < N * E; i++) {
		image[i] = (float)random_normal(&random);
		text[i] = (float)random_normal(&random);
	}
	assert_ok(loss_contrastive(&pairs, 1.5f, 1, dimage, dtext, &dscale, &mixed, &err), &err);
	assert_true(fabs(mixed - plain_mixed(&pairs, exp(1.5))) < 1e-5);
	for (size_t i = 0; i < 2 * N * E; i++) {
		float *x = i < N * E ? image + i : text + i - N * E, kept = *x;
		*x = kept + 1e-3f;
		double more = plain_mixed(&pairs, exp(1.5));
		*x = kept - 1e-3f;
		double less = plain_mixed(&pairs, exp(1.5));
		*x = kept;
		assert_true(fabs((more - less) / 2e-3 - (double)(i < N * E ? dimage[i] : dtext[i - N * E])) < 2e-4);
	}
}

static void identical_captions_in_a_batch_reach_the_loss(void **state)
{
	struct config config;

	(void)state;
	make_config(&config, "true", false, false, 16, 24);
	struct bench *b = bench_new(&config);
	double apart = loss(b, (struct objective){1, 0});
	b->samples[1].caption = b->samples[4].caption = b->samples[2].caption;
	double masked = loss(b, (struct objective){1, 0});
	assert_true(masked < apart - 1e-3);
	check_all(b, (struct objective){1, 2});
	bench_free(b);
}

/* Text features of the batch, the caller's to free. */
static float *text_features(struct bench *b)
{
	size_t n = SAMPLES * network_embed_dim(b->network);
	float *features = mem_floats(n);
	struct err err;

	assert_non_null(features);
	assert_ok(network_forward(b->network, &b->p.weights, &b->part.batch, NETWORK_BOTH, &err), &err);
	memcpy(features, network_text_features(b->network), n * sizeof *features);
	return features;
}

static void a_hidden_word_does_not_reach_the_embedding_and_is_learned_all_the_same(void **state)
{
	struct config config;
	uint8_t hidden[SAMPLES * 10] = {0};

	(void)state;
	make_config(&config, "true", false, false, 16, 24);
	struct bench *b = bench_new(&config);
	size_t at = b->begin[2] + 2, E = network_embed_dim(b->network); /* a word of the third text */
	float *all = text_features(b);
	hidden[at] = 1;
	b->part.batch.hidden = hidden;
	float *without = text_features(b);
	double caption = loss(b, (struct objective){0, 1});
	b->ids[at] = b->ids[at] % 40 + 1;
	float *another = text_features(b);
	for (size_t i = 0; i < SAMPLES; i++) {
		double moved = 0, differs = 0;
		for (size_t e = 0; e < E; e++) {
			moved += fabs((double)all[i * E + e] - (double)without[i * E + e]);
			differs += fabs((double)without[i * E + e] - (double)another[i * E + e]);
		}
		assert_true(i == 2 ? moved > 1e-3 : moved == 0);
		assert_true(differs == 0);
	}
	assert_true(fabs(loss(b, (struct objective){0, 1}) - caption) > 1e-4); /* a label and an input of the decoder still */
	check_all(b, (struct objective){1, 2});
	free(all);
	free(without);
	free(another);
	bench_free(b);
}

static void a_model_that_grows_computes_the_same_at_first(void **state)
{
	struct config small, large, other, unscaled;
	struct parameters refused;
	struct err err;

	(void)state;
	make_config(&small, "true", false, true, 16, 24);
	small.stem_layers = 1;
	small.stem[0] = (struct stem_layer){8, 2};
	make_config(&unscaled, "true", false, false, 16, 24);
	unscaled.stem_layers = 1;
	unscaled.stem[0] = small.stem[0];
	large = small;
	large.stem_layers = 3;
	large.stem[1] = large.stem[2] = (struct stem_layer){8, 1};
	large.vision.layers++;
	large.text.layers++;
	large.decoder.layers++;
	struct bench *before = bench_new(&small), *after = bench_new(&large);
	parameters_random(&after->p, 6);
	assert_ok(parameters_copy(&after->p, &before->p.weights, &small, &err), &err);
	struct losses a = gradient(before, (struct objective){1, 2}), b = gradient(after, (struct objective){1, 2});
	assert_true(fabs(a.contrastive - b.contrastive) < 1e-6 && fabs(a.caption - b.caption) < 1e-6);
	/* and what is new learns */
	for (size_t i = 0; i < after->p.count; i++) {
		const struct parameter *p = &after->p.list[i];
		double sum = 0;
		for (size_t j = 0; j < p->info.count; j++)
			sum += fabs((double)after->p.gradient[p->offset + j]);
		if (strcmp(p->info.name, "visual.stem.2.ln_1.weight") == 0 ||
		    strcmp(p->info.name, "text.transformer.resblocks.2.mlp.c_proj.weight") == 0)
			assert_true(sum > 1e-4);
	}
	/* a layer with a stride of its own is another map */
	other = large;
	other.stem[2].stride = 2;
	assert_ok(parameters_init(&refused, &other, &err), &err);
	assert_int_equal(parameters_copy(&refused, &before->p.weights, &small, &err), STATUS_FORMAT);
	parameters_release(&refused);
	/* and a scale that the layers there lack is no layer of its own */
	struct bench *plain = bench_new(&unscaled);
	assert_ok(parameters_init(&refused, &large, &err), &err);
	assert_int_equal(parameters_copy(&refused, &plain->p.weights, &unscaled, &err), STATUS_FORMAT);
	parameters_release(&refused);
	bench_free(plain);
	bench_free(before);
	bench_free(after);
}

static void parts_of_a_batch_add_up_to_the_whole(void **state)
{
	struct config config;
	struct err err;
	struct losses whole, parts;

	(void)state;
	make_config(&config, "true", false, true, 16, 24);
	struct bench *b = bench_new(&config);
	b->samples[5].caption = b->samples[0].caption; /* a mask across parts */
	whole = gradient(b, (struct objective){1, 2});
	float *expected = kept_gradient(b);

	struct batch_part three[3];
	size_t begin[3][3];
	for (size_t k = 0; k < 3; k++) {
		for (size_t i = 0; i <= 2; i++)
			begin[k][i] = b->begin[2 * k + i] - b->begin[2 * k];
		three[k] = (struct batch_part){{2, b->pixels + 2 * k * 3 * 24 * 24, NULL, b->ids + b->begin[2 * k], begin[k],
						    NULL}, b->samples + 2 * k};
	}
	memset(b->p.gradient, 0, b->p.floats * sizeof *b->p.gradient);
	assert_ok(objective_gradient(&(struct objective){1, 2}, b->network, &b->p, three, 3, &parts, &err), &err);
	assert_true(fabs(whole.total - parts.total) < 1e-5);
	check_gradient(b, expected);
	free(expected);
	bench_free(b);
}

/* Freezing leaves exact zeros where it says and every other gradient as it was. */
static void check_frozen(const char *parts, const char *prefix, const char *but)
{
	struct config config;
	struct err err;

	make_config(&config, "true", false, false, 16, 16);
	struct bench *b = bench_new(&config);
	gradient(b, (struct objective){1, 2});
	float *expected = kept_gradient(b);
	assert_ok(parameters_freeze(&b->p, parts, &err), &err);
	gradient(b, (struct objective){1, 2});
	for (size_t i = 0; i < b->p.count; i++) {
		const struct parameter *t = &b->p.list[i];
		bool frozen = strncmp(t->info.name, prefix, strlen(prefix)) == 0 && !(but && strncmp(t->info.name, but, strlen(but)) == 0);
		if (t->frozen != frozen)
			fail_msg("'%s' is%s frozen by '%s'", t->info.name, frozen ? " not" : "", parts);
		for (size_t j = 0; j < t->info.count; j++)
			if (b->p.gradient[t->offset + j] != (frozen ? 0 : expected[t->offset + j]))
				fail_msg("with '%s' frozen, '%s' has another gradient", parts, t->info.name);
	}
	free(expected);
	bench_free(b);
}

static void frozen_parts_have_no_gradient_and_others_keep_theirs(void **state)
{
	(void)state;
	check_frozen("image", "visual.", NULL);
	check_frozen("text", "text.", NULL);
	check_frozen("decoder", "text_decoder.", NULL);
	check_frozen("poolers", "visual.attn_pool", NULL);
	check_frozen("temperature", "logit_scale", NULL);
}

static void freezing_everything_or_nothing_known_is_refused(void **state)
{
	struct config config;
	struct err err;

	(void)state;
	make_config(&config, "true", false, false, 16, 16);
	struct bench *b = bench_new(&config);
	assert_int_equal(parameters_freeze(&b->p, "image,txt", &err), STATUS_USAGE);
	assert_non_null(strstr(err.text, "'txt'"));
	assert_int_equal(parameters_freeze(&b->p, "image,text,decoder,temperature", &err), STATUS_USAGE);
	bench_free(b);
}

/* Bytes and normalised floats are the same picture. */
static void bytes_and_floats_of_a_picture_give_the_same_loss(void **state)
{
	struct config config;
	static uint8_t rgb[SAMPLES * 24 * 24 * 3];
	uint64_t random = 4;

	(void)state;
	make_config(&config, "true", false, false, 16, 24);
	struct bench *b = bench_new(&config);
	for (size_t i = 0; i < sizeof rgb; i++)
		rgb[i] = (uint8_t)random_next(&random);
	for (size_t i = 0; i < SAMPLES; i++)
		for (size_t c = 0; c < 3; c++)
			for (size_t at = 0; at < 24 * 24; at++)
				b->pixels[(i * 3 + c) * 576 + at] =
					((float)rgb[(i * 576 + at) * 3 + c] / 255 - config.mean[c]) / config.std[c];
	double floats = loss(b, (struct objective){1, 2});
	b->part.batch.pixels = NULL;
	b->part.batch.rgb = rgb;
	assert_true(fabs(floats - loss(b, (struct objective){1, 2})) < 1e-6);
	bench_free(b);
}

/* ---- threads ---------------------------------------------------------------------------------------------------- */

/* Letters as in grad_ops.h: more rows, inputs and outputs than a tile's lines divide, and rows of dy that are further apart. */
enum { ROWS = 333, INPUTS = 100, OUTPUTS = 77, APART = 80 };

struct product {
	float x[ROWS * INPUTS], w[OUTPUTS * INPUTS], bias[OUTPUTS], dy[ROWS * APART];
	float y[ROWS * APART], sum[ROWS * OUTPUTS], dx[ROWS * INPUTS], dw[OUTPUTS * INPUTS];
	float projected[ROWS * INPUTS], dprojected[ROWS * OUTPUTS], dprojection[OUTPUTS * INPUTS];
};

static void multiply(struct product *p)
{
	memset(p->y, 0, sizeof p->y);
	memset(p->dw, 0, sizeof p->dw);
	memset(p->dprojection, 0, sizeof p->dprojection);
	for (size_t i = 0; i < ROWS * OUTPUTS; i++)
		p->sum[i] = 1;
	for (size_t i = 0; i < ROWS * INPUTS; i++)
		p->dx[i] = 2;
	grad_linear_forward(p->x, ROWS, INPUTS, p->w, p->bias, OUTPUTS, p->y, APART);
	grad_linear_add(p->x, ROWS, INPUTS, p->w, OUTPUTS, p->sum);
	grad_linear_input(p->dy, ROWS, OUTPUTS, APART, p->w, INPUTS, 0.5f, p->dx);
	grad_linear_weight(p->dy, ROWS, OUTPUTS, APART, p->x, INPUTS, p->dw, NULL, NULL);
	grad_project_forward(p->sum, ROWS, OUTPUTS, p->w, INPUTS, p->projected);
	grad_project_backward(p->x, ROWS, INPUTS, p->sum, OUTPUTS, p->w, p->dprojection, p->dprojected);
}

/* a and b step through n values each; the sum of their products in double precision. */
static double dot(const float *a, size_t a_step, const float *b, size_t b_step, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)a[i * a_step] * (double)b[i * b_step];
	return sum;
}

static void is_near(double expected, float got)
{
	if (!(fabs(expected - (double)got) < 1e-3))
		fail_msg("a product is off by %g with %d threads", fabs(expected - (double)got), blas_threads());
}

static void check_products(const struct product *p)
{
	for (size_t r = 0; r < ROWS; r++)
		for (size_t o = 0; o < OUTPUTS; o++) {
			double y = dot(p->x + r * INPUTS, 1, p->w + o * INPUTS, 1, INPUTS);
			is_near(y + (double)p->bias[o], p->y[r * APART + o]);
			is_near(y + 1, p->sum[r * OUTPUTS + o]);
			is_near(y, p->dprojected[r * OUTPUTS + o]);
		}
	for (size_t r = 0; r < ROWS; r++)
		for (size_t i = 0; i < INPUTS; i++) {
			is_near(1 + dot(p->dy + r * APART, 1, p->w + i, INPUTS, OUTPUTS), p->dx[r * INPUTS + i]);
			is_near(dot(p->sum + r * OUTPUTS, 1, p->w + i, INPUTS, OUTPUTS), p->projected[r * INPUTS + i]);
		}
	for (size_t o = 0; o < OUTPUTS; o++)
		for (size_t i = 0; i < INPUTS; i++) {
			is_near(dot(p->dy + o, APART, p->x + i, INPUTS, ROWS), p->dw[o * INPUTS + i]);
			is_near(dot(p->sum + o, OUTPUTS, p->x + i, INPUTS, ROWS), p->dprojection[o * INPUTS + i]);
		}
}

static void products_in_tiles_are_products(void **state)
{
	static const int threads[] = {1, 2, 3, 7, 12, 16};
	struct product *p = mem_array(1, sizeof *p);
	int all = blas_threads();
	uint64_t random = 9;

	(void)state;
	assert_non_null(p);
	for (size_t i = 0; i < ROWS * INPUTS; i++)
		p->x[i] = test_uniform(&random);
	for (size_t i = 0; i < OUTPUTS * INPUTS; i++)
		p->w[i] = test_uniform(&random);
	for (size_t i = 0; i < OUTPUTS; i++)
		p->bias[i] = test_uniform(&random);
	for (size_t i = 0; i < ROWS * APART; i++)
		p->dy[i] = test_uniform(&random);
	for (size_t k = 0; k < sizeof threads / sizeof *threads; k++) {
		blas_set_threads(threads[k]);
		multiply(p);
		check_products(p);
	}
	blas_set_threads(all);
	free(p);
}

/* The stem's gradients are summed by thread: more threads than photographs leave some without any. */
static void threads_do_not_change_a_gradient(void **state)
{
	struct config config;
	int all = blas_threads();

	(void)state;
	make_config(&config, "true,\"stem\":[[5,2],[6,1],[6,1],[7,2]]", false, false, 16, 24);
	blas_set_threads(8);
	struct bench *b = bench_new(&config); /* with scratch for eight */
	gradient(b, (struct objective){1, 2});
	float *expected = kept_gradient(b);
	for (int threads = 1; threads <= 5; threads += 4) {
		blas_set_threads(threads);
		gradient(b, (struct objective){1, 2});
		check_gradient(b, expected);
	}
	blas_set_threads(all);
	free(expected);
	bench_free(b);
}

/* The id 0 pads, and is not learned: its row counts nothing and moves nothing. */
static void padding_is_not_counted(void **state)
{
	enum { R = 3, W = 4, V = 5 };
	static const int32_t labels[R] = {3, 0, 1};
	float x[R * W], proj[W * V], dx[R * W], dproj[W * V] = {0};
	uint64_t random = 4;
	double sum, expected = 0;

	(void)state;
	float *room = mem_floats(loss_caption_scratch(R, V));
	for (size_t i = 0; i < R * W; i++)
		x[i] = (float)random_normal(&random);
	for (size_t i = 0; i < W * V; i++)
		proj[i] = (float)random_normal(&random);
	for (size_t r = 0; r < R; r += 2) {
		double all = 0, own = 0;
		for (size_t v = 0; v < V; v++) {
			double logit = 0;
			for (size_t i = 0; i < W; i++)
				logit += (double)x[r * W + i] * (double)proj[i * V + v];
			all += exp(logit);
			own = v == (size_t)labels[r] ? logit : own;
		}
		expected += log(all) - own;
	}
	loss_caption(x, R, W, proj, V, labels, 1, dx, dproj, &sum, room);
	assert_true(fabs(sum - expected) < 1e-5);
	for (size_t i = 0; i < W; i++)
		assert_true(dx[W + i] == 0);
	free(room);
}

TEST_MAIN(cmocka_unit_test(padding_is_not_counted), cmocka_unit_test(identical_captions_and_what_is_shown_are_no_negatives),
	  cmocka_unit_test(freezing_everything_or_nothing_known_is_refused),
	  cmocka_unit_test(bytes_and_floats_of_a_picture_give_the_same_loss),
	  cmocka_unit_test(products_in_tiles_are_products),
	  cmocka_unit_test(threads_do_not_change_a_gradient),
	  cmocka_unit_test(a_hidden_word_does_not_reach_the_embedding_and_is_learned_all_the_same),
	  cmocka_unit_test(a_model_that_grows_computes_the_same_at_first),
	  cmocka_unit_test(parts_of_a_batch_add_up_to_the_whole),
	  cmocka_unit_test(frozen_parts_have_no_gradient_and_others_keep_theirs),
	  cmocka_unit_test(gradients_of_one_pooler_agree_with_finite_differences),
	  cmocka_unit_test(gradients_of_equal_widths_agree_with_finite_differences),
	  cmocka_unit_test(gradients_with_quick_gelu_and_layer_scale_agree_with_finite_differences),
	  cmocka_unit_test(gradients_of_a_cascade_with_layer_scale_agree_with_finite_differences),
	  cmocka_unit_test(gradients_of_parallel_poolers_agree_with_finite_differences),
	  cmocka_unit_test(gradients_without_poolers_agree_with_finite_differences),
	  cmocka_unit_test(gradients_of_a_stem_agree_with_finite_differences),
	  cmocka_unit_test(a_mixed_photograph_has_both_texts_for_targets),
	  cmocka_unit_test(gradients_of_mixed_photographs_agree_with_finite_differences),
	  cmocka_unit_test(each_loss_alone_has_its_gradient),
	  cmocka_unit_test(identical_captions_in_a_batch_reach_the_loss))
