/* embedder.c: see embedder.h. Storing a batch takes one core, and waits for the disk: between two batches it left the other core idle. */
#include "indexer/ingest/embedder.h"

#include <math.h>
#include <omp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "model/image/image.h"
#include "model/net/vision.h"
#include "schema/base/blas.h"
#include "schema/base/clock.h"
#include "schema/base/memory.h"
#include "schema/base/packed.h"

#include "schema/base/banned.h"

struct embedder {
	struct embedder_options options;
	size_t S, E, N, W, M, D;     /* coca.h's letters */
	struct coca_scratch *state;
	float *pixels, *tokens, *encoder; /* [batch,3,S,S] [batch,N,W] [batch,M,D]; tokens NULL where they are not packed */
	struct batch batches[2];
	size_t turn;                 /* of the batch that is free */
	double seconds;
	int threads;
	pthread_t thread;
	bool running;                /* the thread exists */
	pthread_mutex_t lock;        /* over the two below */
	pthread_cond_t work;
	struct batch *under_way;     /* NULL: landed */
	bool stop;
};

size_t embedder_tokens_size(const struct embedder *e)
{
	return packed_tokens_size(e->N, e->W);
}

size_t embedder_encoder_size(const struct embedder *e)
{
	return packed_tokens_size(e->M, e->D);
}

static bool all_finite(const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isfinite(x[i]))
			return false;
	return true;
}

static void pack(const struct embedder *e, struct batch *batch, size_t b)
{
	batch->finite[b] = all_finite(batch->features + e->E * b, e->E);
	if (batch->finite[b] && e->tokens)
		packed_tokens_write(e->tokens + e->N * e->W * b, e->N, e->W, batch->tokens + embedder_tokens_size(e) * b);
	if (batch->finite[b] && e->encoder)
		packed_tokens_write(e->encoder + e->M * e->D * b, e->M, e->D, batch->encoder + embedder_encoder_size(e) * b);
}

static void embed(struct embedder *e, struct batch *batch)
{
	const struct config *config = coca_config(e->options.coca);
	size_t plane = 3 * e->S * e->S;
	double start = clock_now();

	#pragma omp parallel for schedule(static)
	for (size_t b = 0; b < batch->count; b++)
		image_normalise(batch->rgb[b], e->S, config->mean, config->std, e->pixels + plane * b);
	batch->status = coca_encode_tokens(e->options.coca, e->state, e->pixels, batch->count, batch->features, e->tokens, e->encoder,
					   &batch->err);
	#pragma omp parallel for schedule(static) if (batch->status == STATUS_OK)
	for (size_t b = 0; b < batch->count; b++)
		if (batch->status == STATUS_OK)
			pack(e, batch, b);
	e->seconds += clock_now() - start;
}

static void *work(void *context)
{
	struct embedder *e = context;

	omp_set_num_threads(e->threads); /* a thread starts with the environment's number, not with its maker's */
	pthread_mutex_lock(&e->lock);
	for (;;) {
		while (!e->under_way && !e->stop)
			pthread_cond_wait(&e->work, &e->lock);
		if (!e->under_way)
			break;
		struct batch *batch = e->under_way;
		pthread_mutex_unlock(&e->lock);
		embed(e, batch);
		pthread_mutex_lock(&e->lock);
		e->under_way = NULL;
		e->options.landed(e->options.context);
	}
	pthread_mutex_unlock(&e->lock);
	return NULL;
}

static bool batch_init(struct batch *batch, const struct embedder *e)
{
	size_t n = e->options.batch;

	batch->rgb = mem_array(n, sizeof *batch->rgb);
	batch->features = mem_floats(mem_product(n, e->E));
	batch->finite = mem_array(n, sizeof *batch->finite);
	batch->tokens = e->options.tokens ? mem_array(n, embedder_tokens_size(e)) : NULL;
	batch->encoder = e->options.encoder ? mem_array(n, embedder_encoder_size(e)) : NULL;
	return batch->rgb && batch->features && batch->finite && (batch->tokens || !e->options.tokens) &&
	       (batch->encoder || !e->options.encoder);
}

static bool buffers_init(struct embedder *e)
{
	const struct embedder_options *o = &e->options;

	e->state = coca_scratch_new();
	e->pixels = mem_floats(mem_product(o->batch, mem_product(3, mem_product(e->S, e->S))));
	e->tokens = o->tokens ? mem_floats(mem_product(o->batch, mem_product(e->N, e->W))) : NULL;
	e->encoder = o->encoder ? mem_floats(mem_product(o->batch, mem_product(e->M, e->D))) : NULL;
	return batch_init(&e->batches[0], e) && batch_init(&e->batches[1], e) && e->state && e->pixels && (e->tokens || !o->tokens) &&
	       (e->encoder || !o->encoder);
}

enum status embedder_open(const struct embedder_options *options, struct embedder **embedder, struct err *err)
{
	const struct config *config = coca_config(options->coca);
	struct embedder *e = mem_array(1, sizeof *e);

	if (!e)
		return err_memory(err, "a batch of photographs");
	e->options = *options;
	e->S = config->image_size;
	e->E = config->embed_dim;
	e->N = config->image_tokens;
	e->W = vision_token_width(config);
	e->M = vision_encoder_tokens(config);
	e->D = config->vision.width;
	e->threads = blas_threads();
	pthread_mutex_init(&e->lock, NULL);
	pthread_cond_init(&e->work, NULL);
	if (!buffers_init(e)) {
		embedder_close(e);
		return err_memory(err, "a batch of photographs; hint: a smaller --batch");
	}
	int error = pthread_create(&e->thread, NULL, work, e);
	if (error) {
		embedder_close(e);
		return err_set(err, STATUS_FAILED, "cannot start a thread: %s", strerror(error));
	}
	e->running = true;
	*embedder = e;
	return STATUS_OK;
}

void embedder_close(struct embedder *e)
{
	if (!e)
		return;
	pthread_mutex_lock(&e->lock);
	e->stop = true;
	pthread_cond_signal(&e->work);
	pthread_mutex_unlock(&e->lock);
	if (e->running)
		pthread_join(e->thread, NULL);
	pthread_cond_destroy(&e->work);
	pthread_mutex_destroy(&e->lock);
	for (size_t i = 0; i < 2; i++) {
		free(e->batches[i].rgb);
		free(e->batches[i].features);
		free(e->batches[i].finite);
		free(e->batches[i].tokens);
		free(e->batches[i].encoder);
	}
	free(e->pixels);
	free(e->tokens);
	free(e->encoder);
	coca_scratch_free(e->state);
	free(e);
}

struct batch *embedder_batch(struct embedder *e)
{
	struct batch *batch = &e->batches[e->turn];

	batch->count = 0;
	batch->status = STATUS_OK;
	return batch;
}

void embedder_start(struct embedder *e)
{
	struct batch *batch = &e->batches[e->turn];

	e->turn = 1 - e->turn;
	if (!batch->count)
		return;
	pthread_mutex_lock(&e->lock);
	e->under_way = batch;
	pthread_cond_signal(&e->work);
	pthread_mutex_unlock(&e->lock);
}

bool embedder_landed(struct embedder *e)
{
	pthread_mutex_lock(&e->lock);
	bool landed = !e->under_way;
	pthread_mutex_unlock(&e->lock);
	return landed;
}

double embedder_seconds(const struct embedder *e)
{
	return e->seconds;
}
