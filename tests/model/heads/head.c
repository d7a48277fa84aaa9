/* head.c: heads: gradients against differences, the folded reader against the forward of training, files and what is refused, and that
 * teaching one leaves the model as it is.
 */
#include "model/heads/head.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include "model/net/encode.h"
#include "model/net/plain.h"
#include "model/train/grad_block.h"
#include "model/net/answer_states.h"
#include "model/heads/tune.h"
#include "model/heads/pass.h"
#include "model/net/vision.h"
#include "schema/base/file.h"
#include "schema/base/packed.h"
#include "tests/support.h"

#include "schema/base/banned.h"

static struct err err;

static const char *const names[] = {"cat", "dog", "a cow"};
enum { LABELS = 3, WIDTH = 6, POOL = 8, HEADS = 2, ITEMS = 5, ROWS = 4 };

/* ---- heads and items of random values ---------------------------------------------------------------------------------- */

static enum status fill(void *context, const struct weight_info *info, float **slot, struct err *error)
{
	(void)error;
	for (size_t i = 0; i < info->count; i++)
		(*slot)[i] = 0.5f * test_uniform(context) + (strstr(info->name, "ln_") && strstr(info->name, ".weight") ? 1 : 0);
	return STATUS_OK;
}

static struct head random_head(enum head_kind kind, size_t n, uint64_t seed)
{
	struct head head;

	assert_ok(head_init(&head, kind, names, LABELS, WIDTH, POOL, HEADS, n, &err), &err);
	assert_ok(head_visit(&head, fill, &seed, &err), &err);
	memset(head.config_digest, 'c', 32);
	memset(head.weights_digest, 'a', 32);
	snprintf(head.model, sizeof head.model, "models/tiny");
	snprintf(head.made, sizeof head.made, "2026-11-23T10:00:00Z");
	head.photos = 12;
	head.held_out = 2;
	head.accuracy = 0.5;
	return head;
}

struct items {
	struct tune_item list[ITEMS];
	const struct tune_item *order[ITEMS];
	uint8_t blobs[ITEMS][12 + ROWS * (4 + WIDTH)];
	float embeddings[ITEMS][WIDTH];
	uint32_t labels[ITEMS][LABELS];
};

/* Items of one to ROWS tokens; with single labels, or with none, some and all. */
static void draw_items(struct items *items, bool several, uint64_t seed)
{
	float tokens[ROWS * WIDTH];

	for (size_t i = 0; i < ITEMS; i++) {
		size_t M = 1 + i % ROWS;
		for (size_t k = 0; k < ROWS * WIDTH; k++)
			tokens[k] = 2 * test_uniform(&seed);
		packed_tokens_write(tokens, M, WIDTH, items->blobs[i]);
		memcpy(items->embeddings[i], tokens, sizeof items->embeddings[i]);
		size_t count = several ? i % (LABELS + 1) : 1;
		for (size_t k = 0; k < count; k++)
			items->labels[i][k] = (uint32_t)(several ? k : i % LABELS);
		items->list[i] = (struct tune_item){
			items->blobs[i], packed_tokens_size(M, WIDTH), items->embeddings[i], items->labels[i], count};
		items->order[i] = &items->list[i];
	}
}

/* ---- gradients ---------------------------------------------------------------------------------------------------- */

struct gradients {
	struct head head, gradient;
	struct items items;
	struct head_pass *pass;
	float weight[LABELS];
	float *base;           /* of the gradient's memory */
	double smoothing, worst;
};

static double loss_of(struct gradients *g, const struct head *gradient)
{
	double loss;

	assert_ok(tune_step(g->pass, gradient, g->items.order, ITEMS, g->weight, g->smoothing, 0, NULL, &loss, &err), &err);
	return loss;
}

/* Some values of each parameter, moved up and down. */
static enum status compare(void *context, const struct weight_info *info, float **slot, struct err *error)
{
	struct gradients *g = context;
	const float *gradient = g->gradient.memory + (*slot - g->head.memory);
	const float step = 1e-2f;

	(void)error;
	for (size_t i = 0; i < info->count; i += 1 + info->count / 5) {
		float kept = (*slot)[i];
		(*slot)[i] = kept + step;
		double up = loss_of(g, NULL);
		(*slot)[i] = kept - step;
		double down = loss_of(g, NULL);
		(*slot)[i] = kept;
		double difference = (up - down) / (2 * (double)step), off = fabs(difference - (double)gradient[i]);
		g->worst = off > g->worst ? off : g->worst;
		if (off > 2e-3 + 0.02 * fabs(difference))
			fail_msg("%s[%zu]: gradient %g, differences say %g", info->name, i, (double)gradient[i], difference);
	}
	return STATUS_OK;
}

static void check_gradients(enum head_kind kind, size_t n, bool several)
{
	struct gradients g = {.head = random_head(kind, n, 11 + n), .smoothing = 0.1, .weight = {0.5f, 1.5f, 1}};

	g.head.several = several;
	assert_ok(head_init(&g.gradient, kind, names, LABELS, WIDTH, POOL, HEADS, n, &err), &err);
	draw_items(&g.items, several, 5);
	assert_ok(head_pass_new(&g.head, ITEMS, ROWS, &g.pass, &err), &err);
	loss_of(&g, &g.gradient);
	assert_ok(head_visit(&g.head, compare, &g, &err), &err);
	printf("largest difference %.1e\n", g.worst);
	head_pass_free(g.pass);
	head_release(&g.head);
	head_release(&g.gradient);
}

static void gradients_of_a_pooler_agree_with_differences(void **state)
{
	(void)state;
	check_gradients(HEAD_POOLER, 1, false);
	check_gradients(HEAD_POOLER, 3, true);
	check_gradients(HEAD_ANSWERS, 2, false);
}

static void gradients_of_a_linear_map_agree_with_differences(void **state)
{
	(void)state;
	check_gradients(HEAD_LINEAR, 0, false);
	check_gradients(HEAD_LINEAR, 0, true);
}

/* The pooler as training the whole model runs it is the twin of the folded one. */
static void folded_pooler_agrees_with_the_models_forward_and_backward(void **state)
{
	(void)state;
	enum { B = 3, R = 9, n = 2 };
	static const size_t begin[B + 1] = {0, 4, 5, 9};
	struct head head = random_head(HEAD_POOLER, n, 6), ours, twin;
	struct grad_span spans[B];
	struct grad_scratch scratch = {0};
	struct pooler_pass pass;
	struct fold fold = {.D = WIDTH, .E = POOL, .H = HEADS, .n = n, .R = R, .B = B};
	struct carver carver = {0};
	float x[R * WIDTH], dout[B * n * POOL];
	uint64_t seed = 9;
	size_t p = 0;

	assert_ok(head_init(&ours, HEAD_POOLER, names, LABELS, WIDTH, POOL, HEADS, n, &err), &err);
	assert_ok(head_init(&twin, HEAD_POOLER, names, LABELS, WIDTH, POOL, HEADS, n, &err), &err);
	for (size_t i = 0; i < R * WIDTH; i++)
		x[i] = 2 * test_uniform(&seed);
	for (size_t i = 0; i < B * n * POOL; i++)
		dout[i] = test_uniform(&seed);
	for (size_t i = 0; i < B; i++) {
		size_t M = begin[i + 1] - begin[i];
		spans[i] = (struct grad_span){0, n, begin[i], M, i * n, p};
		p += HEADS * n * M;
	}
	struct pooler_shape shape = {.n = n, .E = POOL, .R = R, .D = WIDTH, .B = B, .p = p,
				     .attention = {.heads = HEADS, .head = POOL / HEADS, .items = B, .spans = spans, .most = n * R}};
	for (int measured = 0; measured < 2; measured++) {
		carver.base = measured ? (char *)mem_floats(carver.used / sizeof(float)) : NULL;
		carver.used = 0;
		fold_carve(&carver, &fold);
		pooler_pass_carve(&carver, &shape, &pass, &scratch);
		grad_scratch_carve(&carver, &scratch);
	}
	memcpy(fold.x, x, sizeof x);
	memcpy(fold.begin, begin, sizeof begin);
	fold_queries(&fold, &head);
	fold_forward(&fold, &head);
	pooler_pass_forward(&shape, &head.pool, x, &pass);
	assert_true(test_close("pooled", fold.out, pass.out, B * n * POOL, 2e-6f));
	fold_backward(&fold, &head, &ours, dout);
	pooler_pass_backward(&shape, &head.pool, &twin.pool, x, &pass, &scratch, dout, 0, NULL);
	const struct {
		const char *name;
		const float *a, *b;
		size_t count;
	} pairs[] = {
		{"query", ours.pool.query, twin.pool.query, n * POOL},
		{"ln_q.weight", ours.pool.ln_q.weight, twin.pool.ln_q.weight, POOL},
		{"ln_k.weight", ours.pool.ln_k.weight, twin.pool.ln_k.weight, WIDTH},
		{"ln_k.bias", ours.pool.ln_k.bias, twin.pool.ln_k.bias, WIDTH},
		{"q", ours.pool.attn.q_weight, twin.pool.attn.q_weight, POOL * POOL},
		{"k", ours.pool.attn.k_weight, twin.pool.attn.k_weight, POOL * WIDTH},
		{"v", ours.pool.attn.v_weight, twin.pool.attn.v_weight, POOL * WIDTH},
		{"in_bias", ours.pool.attn.in_bias, twin.pool.attn.in_bias, 3 * POOL},
		{"out", ours.pool.attn.out_weight, twin.pool.attn.out_weight, POOL * POOL},
		{"out_bias", ours.pool.attn.out_bias, twin.pool.attn.out_bias, POOL},
	};
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
		assert_true(test_close(pairs[i].name, pairs[i].a, pairs[i].b, pairs[i].count, 1e-5f));
	free(carver.base);
	head_release(&head);
	head_release(&ours);
	head_release(&twin);
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static void check_reader(enum head_kind kind, size_t n, bool several)
{
	struct head head = random_head(kind, n, 3);
	struct items items;
	struct head_pass *pass;
	float p[ITEMS * LABELS], want[ITEMS * LABELS], weight[LABELS] = {1, 1, 1};
	double loss;

	head.several = several;
	draw_items(&items, several, 8);
	assert_ok(head_pass_new(&head, ITEMS, ROWS, &pass, &err), &err);
	assert_ok(tune_step(pass, NULL, items.order, ITEMS, weight, 0, 0, NULL, &loss, &err), &err);
	memcpy(want, pass->logits, sizeof want);
	for (size_t i = 0; i < ITEMS; i++)
		head_probabilities(&head, want + i * LABELS);
	assert_ok(tune_measure(&head, items.list, ITEMS, p, &err), &err);
	assert_true(test_close("probabilities", p, want, ITEMS * LABELS, 1e-5f));
	head_pass_free(pass);
	head_release(&head);
}

static void folded_reader_agrees_with_training(void **state)
{
	(void)state;
	check_reader(HEAD_POOLER, 1, false);
	check_reader(HEAD_POOLER, 3, true);
	check_reader(HEAD_LINEAR, 0, false);
}

static void one_label_is_chosen_or_each_is_judged(void **state)
{
	(void)state;
	struct head head = random_head(HEAD_LINEAR, 0, 1);
	const float p[LABELS] = {0.4f, 0.4f, 0.2f}, likely[LABELS] = {0.5f, 0.49f, 0.9f};
	bool has[LABELS];

	head_decide(&head, p, has);
	assert_true(has[0] && !has[1] && !has[2]); /* the first of equals */
	head.several = true;
	head_decide(&head, p, has);
	assert_true(!has[0] && !has[1] && !has[2]);
	head_decide(&head, likely, has);
	assert_true(has[0] && !has[1] && has[2]);
	head_release(&head);
}

/* ---- the model ---------------------------------------------------------------------------------------------------- */

struct tiny {
	struct coca *model;
	struct coca_scratch *state;
	const struct config *config;
	float *pixels, *features, *image_tokens, *tokens; /* of one picture */
	size_t M, D;
};

static void open_tiny(struct tiny *t, const char *path)
{
	uint64_t seed = 4;

	assert_ok(coca_open(path, &t->model, &err), &err);
	t->state = coca_scratch_new();
	t->config = coca_config(t->model);
	t->M = vision_encoder_tokens(t->config);
	t->D = t->config->vision.width;
	size_t S = t->config->image_size;
	t->pixels = mem_floats(3 * S * S);
	t->features = mem_floats(t->config->embed_dim);
	t->image_tokens = mem_floats(t->config->image_tokens * vision_token_width(t->config));
	t->tokens = mem_floats(t->M * t->D);
	for (size_t i = 0; i < 3 * S * S; i++)
		t->pixels[i] = test_uniform(&seed);
	assert_ok(coca_encode_tokens(t->model, t->state, t->pixels, 1, t->features, t->image_tokens, t->tokens, &err), &err);
}

static void close_tiny(struct tiny *t)
{
	coca_scratch_free(t->state);
	coca_close(t->model);
	free(t->pixels);
	free(t->features);
	free(t->image_tokens);
	free(t->tokens);
}

/* With the model's own pooler and norm and the projection's columns as its map, a head's numbers are the embedding. */
static void head_that_starts_from_the_models_pooler_is_its_embedding(void **state)
{
	(void)state;
	struct tiny t;

	open_tiny(&t, "tests/data/tiny");
	size_t E = t.config->embed_dim;
	const float *proj = coca_weights(t.model)->vision_proj; /* [E,E]: in, out */
	const char **labels = mem_array(E, sizeof *labels);
	char (*text)[24] = mem_array(E, sizeof *text);
	struct head head;
	struct head_pass *reader;
	assert_int_equal(t.config->pooling, POOL_SINGLE);
	for (size_t i = 0; i < E; i++) {
		snprintf(text[i], sizeof text[i], "%zu", i);
		labels[i] = text[i];
	}
	assert_ok(head_init(&head, HEAD_POOLER, labels, E, t.D, E, t.config->pool_heads, 1, &err), &err);
	assert_ok(tune_start(&head, coca_weights(t.model), t.config, 1, &err), &err);
	for (size_t o = 0; o < E; o++)
		for (size_t i = 0; i < E; i++)
			head.weight[o * E + i] = proj[i * E + o];
	head.several = true;
	assert_ok(head_pass_new(&head, 1, t.M, &reader, &err), &err);
	float *p = mem_floats(E);
	memcpy(p, head_read(reader, t.tokens, t.M), E * sizeof *p);
	double length = 0;
	for (size_t i = 0; i < E; i++) {
		p[i] = logf(p[i] / (1 - p[i]));
		length += (double)p[i] * (double)p[i];
	}
	for (size_t i = 0; i < E; i++)
		p[i] = (float)((double)p[i] / sqrt(length));
	assert_true(test_close("the embedding", p, t.features, E, 1e-4f));
	free(p);
	free(labels);
	free(text);
	head_pass_free(reader);
	head_release(&head);
	close_tiny(&t);
}

/* Decoder states times the projection are the logits of the plain twin. */
static void decoder_states_lead_to_the_plain_twins_logits(void **state)
{
	(void)state;
	struct tiny t;
	int32_t ids[5] = {3, 9, 27, 14, 5};

	open_tiny(&t, "tests/data/tiny");
	size_t C = t.config->context_length, W = t.config->decoder.width, V = t.config->vocab_size;
	struct coca_text text = {ids, 5};
	int32_t *padded = mem_array(C, sizeof *padded);
	float *states = mem_floats(C * W), *features = mem_floats(t.config->embed_dim), *tokens = mem_floats(C * W);
	float *logits = mem_floats(C * V), *ours = mem_floats(5 * V);
	memcpy(padded, ids, sizeof ids);
	assert_ok(answer_states_make(t.model, t.state, t.image_tokens, &text, states, &err), &err);
	assert_ok(coca_plain_texts(t.model, padded, 1, features, tokens, &err), &err);
	assert_ok(coca_plain_logits(t.model, t.image_tokens, tokens, 1, logits, &err), &err);
	const float *proj = coca_weights(t.model)->decoder_proj; /* [W,V] */
	for (size_t r = 0; r < 5; r++)
		for (size_t v = 0; v < V; v++) {
			double sum = 0;
			for (size_t i = 0; i < W; i++)
				sum += (double)states[r * W + i] * (double)proj[i * V + v];
			ours[r * V + v] = (float)sum;
		}
	assert_true(test_close("logits", ours, logits, 5 * V, 2e-4f));
	free(padded);
	free(states);
	free(features);
	free(tokens);
	free(logits);
	free(ours);
	close_tiny(&t);
}

/* ---- learning ----------------------------------------------------------------------------------------------------- */

enum { MANY = 120, SIDE = 9 };

struct school {
	struct tune_item list[MANY];
	uint8_t *blobs[MANY];
	float *embeddings[MANY];
	uint32_t labels[MANY];
};

/* Of SIDE tokens one, anywhere, is the label's; the others are noise, and so is the embedding's most part. */
static void build_school(struct school *s, size_t D, size_t E)
{
	uint64_t seed = 21;
	float *tokens = mem_floats(SIDE * D);

	for (size_t i = 0; i < MANY; i++) {
		for (size_t k = 0; k < SIDE * D; k++)
			tokens[k] = test_uniform(&seed);
		s->labels[i] = (uint32_t)(i % LABELS);
		size_t where = test_random(&seed) % SIDE;
		for (size_t k = 0; k < D; k++)
			tokens[where * D + k] = (k % LABELS == s->labels[i] ? 3 : 0) + 0.3f * test_uniform(&seed);
		s->blobs[i] = mem_array(packed_tokens_size(SIDE, D), 1);
		packed_tokens_write(tokens, SIDE, D, s->blobs[i]);
		s->embeddings[i] = mem_floats(E);
		for (size_t k = 0; k < E; k++)
			s->embeddings[i][k] = test_uniform(&seed) + (k == s->labels[i] ? 2 : 0);
		s->list[i] = (struct tune_item){s->blobs[i], packed_tokens_size(SIDE, D), s->embeddings[i], &s->labels[i], 1};
	}
	free(tokens);
}

static void release_school(struct school *s)
{
	for (size_t i = 0; i < MANY; i++) {
		free(s->blobs[i]);
		free(s->embeddings[i]);
	}
}

/* Share that is right of the last 20, after learning from the first 80 and stopping by 20. */
static double taught(struct head *head, const struct school *s, struct tune_result *result)
{
	const struct tune_options *usual = head->n ? &tune_defaults : &tune_linear_defaults;
	struct tune_options options = *usual;
	float p[20 * LABELS];
	size_t right = 0;

	options.batch = 8;
	options.drop = 0; /* one token is all that tells */
	options.patience = 0;
	assert_ok(tune_head(head, s->list, 80, s->list + 80, 20, &options, result, &err), &err);
	assert_ok(tune_measure(head, s->list + 100, 20, p, &err), &err);
	for (size_t i = 0; i < 20; i++) {
		bool has[LABELS];
		head_decide(head, p + i * LABELS, has);
		right += has[s->labels[100 + i]];
	}
	return (double)right / 20;
}

static uint64_t digest_weights(struct coca *model)
{
	const struct config *config = coca_config(model);
	const struct weights *w = coca_weights(model);
	uint64_t digest = XXH3_64bits(w->pool.query, config->pool_queries * config->embed_dim * sizeof(float));

	digest ^= XXH3_64bits(w->pool.attn.k_weight, config->embed_dim * config->vision.width * sizeof(float));
	digest ^= XXH3_64bits(w->vision[0].fc_weight, config->vision.width * config->vision.hidden * sizeof(float));
	return digest ^ XXH3_64bits(w->vision_proj, config->embed_dim * config->embed_dim * sizeof(float));
}

static void pooler_learns_and_the_model_stays_as_it_is(void **state)
{
	(void)state;
	struct tiny t;
	struct school school;
	struct tune_result result;
	struct head head, again;

	open_tiny(&t, "tests/data/tiny");
	uint64_t before = digest_weights(t.model);
	build_school(&school, t.D, t.config->embed_dim);
	for (struct head *h = &head;; h = &again) {
		assert_ok(head_init(h, HEAD_POOLER, names, LABELS, t.D, t.config->embed_dim, t.config->pool_heads, 1, &err), &err);
		assert_ok(tune_start(h, coca_weights(t.model), t.config, 1, &err), &err);
		assert_true(taught(h, &school, &result) >= 0.9);
		assert_true(result.best <= result.epochs && result.best >= 1 && isfinite(result.stop_loss));
		if (h == &again)
			break;
	}
	assert_memory_equal(head.weight, again.weight, LABELS * t.config->embed_dim * sizeof(float)); /* the same again */
	assert_true(before == digest_weights(t.model));
	/* Nothing that the encoder says has changed, either. */
	float *features = mem_floats(t.config->embed_dim), *tokens = mem_floats(t.M * t.D);
	assert_ok(coca_encode_tokens(t.model, t.state, t.pixels, 1, features, t.image_tokens, tokens, &err), &err);
	assert_memory_equal(features, t.features, t.config->embed_dim * sizeof(float));
	assert_memory_equal(tokens, t.tokens, t.M * t.D * sizeof(float));
	free(features);
	free(tokens);
	head_release(&head);
	head_release(&again);
	release_school(&school);
	close_tiny(&t);
}

/* Of each item one token at least stays, however many are to be left out. */
static void an_item_never_loses_all_of_its_tokens(void **state)
{
	(void)state;
	struct head head = random_head(HEAD_POOLER, 2, 13);
	const float weight[LABELS] = {1, 1, 1};
	struct head_pass *pass;
	struct items items;
	uint64_t draw = 1;
	double loss;

	draw_items(&items, false, 5);
	assert_ok(head_pass_new(&head, ITEMS, ROWS, &pass, &err), &err);
	assert_ok(tune_step(pass, NULL, items.order, ITEMS, weight, 0, 1, &draw, &loss, &err), &err);
	for (size_t i = 0; i < ITEMS; i++)
		assert_int_equal(pass->fold.begin[i], i);
	assert_int_equal(pass->fold.R, ITEMS);
	assert_true(isfinite(loss));
	head_pass_free(pass);
	head_release(&head);
}

/* With a rate of nothing the loss of the first epoch is never beaten. */
static void patience_is_counted_in_epochs(void **state)
{
	(void)state;
	struct school school;
	struct tune_result result;
	struct tune_options options = tune_linear_defaults;
	struct head head;

	build_school(&school, WIDTH, WIDTH);
	options.rate = 0;
	options.epochs = 20;
	options.patience = 3;
	assert_ok(head_init(&head, HEAD_LINEAR, names, LABELS, WIDTH, 0, 0, 0, &err), &err);
	assert_ok(tune_head(&head, school.list, 80, school.list + 80, 20, &options, &result, &err), &err);
	assert_int_equal(result.best, 1);
	assert_int_equal(result.epochs, 4);
	head_release(&head);
	release_school(&school);
}

static void linear_head_learns_and_takes_the_scale_of_embeddings_in(void **state)
{
	(void)state;
	struct school school;
	struct tune_result result;
	struct head head;

	build_school(&school, WIDTH, WIDTH);
	for (size_t i = 0; i < MANY; i++) /* far from mean 0 and deviation 1 */
		for (size_t k = 0; k < WIDTH; k++)
			school.embeddings[i][k] = 5 + 0.01f * school.embeddings[i][k];
	assert_ok(head_init(&head, HEAD_LINEAR, names, LABELS, WIDTH, 0, 0, 0, &err), &err);
	assert_true(taught(&head, &school, &result) >= 0.9);
	head_release(&head);
	release_school(&school);
}

static void rare_labels_weigh_more_as_balance_says(void **state)
{
	(void)state;
	uint32_t labels[2] = {0, 1};
	struct tune_item items[10];
	struct head head = random_head(HEAD_LINEAR, 0, 1);
	float weight[LABELS];

	for (size_t i = 0; i < 10; i++)
		items[i] = (struct tune_item){.labels = &labels[i == 9], .label_count = 1};
	tune_weights(&head, items, 10, 0, weight);
	assert_true(weight[0] == 1 && weight[1] == 1);
	tune_weights(&head, items, 10, 1, weight);
	assert_true(fabsf(weight[1] / weight[0] - 9) < 1e-4f);
	assert_true(fabsf((9 * weight[0] + weight[1]) / 10 - 1) < 1e-5f);
	head.several = true;
	tune_weights(&head, items, 10, 1, weight);
	assert_true(fabsf(weight[1] - 9) < 1e-4f);
	head_release(&head);
}

static void tokens_of_another_model_are_refused(void **state)
{
	(void)state;
	struct head head = random_head(HEAD_POOLER, 1, 2);
	struct items items;
	struct head_pass *pass;
	float tokens[2 * (WIDTH + 1)] = {1}, weight[LABELS] = {1, 1, 1};
	uint8_t blob[64];
	double loss;

	draw_items(&items, false, 1);
	packed_tokens_write(tokens, 2, WIDTH + 1, blob);
	items.list[2].blob = blob;
	items.list[2].size = packed_tokens_size(2, WIDTH + 1);
	assert_ok(head_pass_new(&head, ITEMS, ROWS, &pass, &err), &err);
	assert_int_equal(tune_step(pass, NULL, items.order, ITEMS, weight, 0, 0, NULL, &loss, &err), STATUS_FORMAT);
	head_pass_free(pass);
	head_release(&head);
}

/* ---- files -------------------------------------------------------------------------------------------------------- */

static void file_holds_the_head_and_what_it_was_made_for(void **state)
{
	(void)state;
	const char *path = test_path(test_folder(), "pets.head");

	for (enum head_kind kind = HEAD_POOLER; kind <= HEAD_ANSWERS; kind++) {
		struct head head = random_head(kind, kind == HEAD_LINEAR ? 0 : 2, 5), read;
		head.several = kind == HEAD_POOLER;
		assert_ok(head_save(&head, path, &err), &err);
		assert_ok(head_open(path, &read, &err), &err);
		assert_int_equal(read.kind, kind);
		assert_int_equal(read.several, head.several);
		assert_int_equal(read.labels_count, LABELS);
		assert_string_equal(read.labels[2], "a cow");
		assert_string_equal(read.model, "models/tiny");
		assert_string_equal(read.made, head.made);
		assert_int_equal(read.photos, 12);
		assert_true(read.accuracy == 0.5);
		assert_memory_equal(read.weight, head.weight, LABELS * (head.n ? 2 * POOL : WIDTH) * sizeof(float));
		if (head.n)
			assert_memory_equal(read.pool.attn.k_weight, head.pool.attn.k_weight, POOL * WIDTH * sizeof(float));
		head_release(&head);
		head_release(&read);
	}
}

static void foreign_head_is_refused_and_both_models_named(void **state)
{
	(void)state;
	struct head head = random_head(HEAD_POOLER, 1, 5);

	assert_ok(head_check(&head, "pets", head.config_digest, head.weights_digest, "models/tiny", &err), &err);
	assert_int_equal(head_check(&head, "pets", head.config_digest, "00000000000000000000000000000000", "models/other", &err),
			 STATUS_USAGE);
	assert_non_null(strstr(err.text, "models/tiny"));
	assert_non_null(strstr(err.text, "models/other"));
	assert_non_null(strstr(err.text, "aaaaaaaa"));
	head_release(&head);
}

/* A head's bytes in which `from` was replaced by `to`, of the same length. */
static enum status parse_changed(const char *from, const char *to)
{
	struct head head = random_head(HEAD_POOLER, 1, 5), read;
	struct buffer bytes = {0};

	assert_ok(head_bytes(&head, &bytes, &err), &err);
	char *at = memmem(bytes.data, bytes.size, from, strlen(from));
	assert_non_null(at);
	assert_int_equal(strlen(from), strlen(to));
	memcpy(at, to, strlen(to));
	enum status status = head_parse(bytes.data, bytes.size, "x.head", &read, &err);
	head_release(&read);
	head_release(&head);
	buffer_release(&bytes);
	return status;
}

static void damaged_heads_are_refused_with_a_reason(void **state)
{
	(void)state;
	static const struct {
		const char *from, *to, *why;
		enum status status;
	} cases[] = {
		{"\"coca_head\":\"1\"", "\"coca_head\":\"2\"", "version '2'", STATUS_UNSUPPORTED},
		{"\"coca_head\"", "\"coca_bead\"", "not a head of coca", STATUS_FORMAT},
		{"\"pooler\"", "\"fooler\"", "unknown kind 'fooler'", STATUS_UNSUPPORTED},
		{"\"kind\":\"pooler\"", "\"kind\":\"linear\"", "widths", STATUS_FORMAT},
		{"cccccccc", "CCCCCCCC", "'config' is no digest", STATUS_FORMAT},
		{"\\\"dog\\\"", "\\\"cat\\\"", "label 'cat' twice", STATUS_FORMAT},
		{"[\\\"cat\\\"", "{\\\"cat\\\"", "labels are no list", STATUS_FORMAT},
		{"\"width\":\"6\"", "\"width\":\"7\"", "another shape", STATUS_FORMAT},
		{"\"pool_heads\":\"2\"", "\"pool_heads\":\"3\"", "no multiple", STATUS_FORMAT},
		{"\"queries\":\"1\"", "\"queries\":\"0\"", "'queries'", STATUS_FORMAT},
		{"\"accuracy\":\"0.5", "\"accuracy\":\"7.5", "accuracy", STATUS_FORMAT},
		{"\"norm.bias\"", "\"norm.bias\xff", "", STATUS_FORMAT},
		{"\"pool.ln_q.bias\"", "\"fool.ln_q.bias\"", "pool.ln_q.bias", STATUS_FORMAT},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		enum status status = parse_changed(cases[i].from, cases[i].to);
		if (status != cases[i].status || !strstr(err.text, cases[i].why))
			fail_msg("%s -> %s: status %d, '%s'", cases[i].from, cases[i].to, (int)status, err.text);
		assert_non_null(strstr(err.text, "x.head"));
	}
}

static void head_with_a_value_that_is_no_number_or_cut_short_is_refused(void **state)
{
	(void)state;
	struct head head = random_head(HEAD_LINEAR, 0, 5), read;
	struct buffer bytes = {0};

	assert_ok(head_bytes(&head, &bytes, &err), &err);
	for (size_t cut = 1; cut <= bytes.size; cut += cut < 40 ? 1 : 37) {
		assert_int_not_equal(head_parse(bytes.data, bytes.size - cut, "x.head", &read, &err), STATUS_OK);
		assert_null(read.memory);
	}
	memcpy(bytes.data + bytes.size - 2, "\x00\x7e", 2);
	assert_int_equal(head_parse(bytes.data, bytes.size, "x.head", &read, &err), STATUS_FORMAT);
	assert_non_null(strstr(err.text, "not a finite number"));
	buffer_release(&bytes);
	head_release(&head);
}

static void model_is_not_taken_for_a_head(void **state)
{
	(void)state;
	struct head head;

	assert_int_equal(head_open("tests/data/tiny/open_clip_model.safetensors", &head, &err), STATUS_FORMAT);
	assert_non_null(strstr(err.text, "it is a model"));
}

/* A process that does nothing but write is killed at some moment, again and again. */
static void killed_while_writing_leaves_a_whole_head(void **state)
{
	(void)state;
	const char *path = test_path(test_folder(), "pets.head");
	struct head head = random_head(HEAD_POOLER, 1, 5), read;

	assert_ok(head_save(&head, path, &err), &err);
	for (unsigned i = 0; i < 12; i++) {
		pid_t child = fork();
		if (child == 0)
			for (;;)
				if (head_save(&head, path, NULL) != STATUS_OK)
					_exit(1);
		usleep(1000 + 700 * i);
		assert_int_equal(kill(child, SIGKILL), 0);
		assert_int_equal(waitpid(child, NULL, 0), child);
		assert_ok(head_open(path, &read, &err), &err);
		assert_memory_equal(read.weight, head.weight, LABELS * POOL * sizeof(float));
		head_release(&read);
	}
	head_release(&head);
}

TEST_MAIN(cmocka_unit_test(an_item_never_loses_all_of_its_tokens), cmocka_unit_test(patience_is_counted_in_epochs),
	  cmocka_unit_test(killed_while_writing_leaves_a_whole_head), cmocka_unit_test(gradients_of_a_pooler_agree_with_differences),
	  cmocka_unit_test(gradients_of_a_linear_map_agree_with_differences),
	  cmocka_unit_test(folded_pooler_agrees_with_the_models_forward_and_backward), cmocka_unit_test(folded_reader_agrees_with_training),
	  cmocka_unit_test(one_label_is_chosen_or_each_is_judged),
	  cmocka_unit_test(head_that_starts_from_the_models_pooler_is_its_embedding),
	  cmocka_unit_test(decoder_states_lead_to_the_plain_twins_logits), cmocka_unit_test(pooler_learns_and_the_model_stays_as_it_is),
	  cmocka_unit_test(linear_head_learns_and_takes_the_scale_of_embeddings_in), cmocka_unit_test(rare_labels_weigh_more_as_balance_says),
	  cmocka_unit_test(tokens_of_another_model_are_refused), cmocka_unit_test(file_holds_the_head_and_what_it_was_made_for),
	  cmocka_unit_test(foreign_head_is_refused_and_both_models_named), cmocka_unit_test(damaged_heads_are_refused_with_a_reason),
	  cmocka_unit_test(head_with_a_value_that_is_no_number_or_cut_short_is_refused), cmocka_unit_test(model_is_not_taken_for_a_head))
