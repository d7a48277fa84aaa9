/* rerank.c: what reranking and texts cost in the shape of ViT-B/32, beside the plain way to the same answers.
 *
 *     rerank50.over_plain   50 candidates of one text of 10 ids. Plain: photographs, already decoded and resized, through the encoder;
 *                           every position of the text with every photograph through the decoder, keys and values of all image
 *                           tokens in every layer, logits of the whole vocabulary in memory. All in fp32, batched, on all threads.
 *                           Fast: what coca search does, from the catalog's rows on.
 *     pooler                what reranking would cost more if the catalog held the encoder's tokens, which heads read, instead of the
 *                           pooler's output: the 50 candidates' through the pooler
 *     text32.over_77        32 texts of 10 ids, beside all 77 positions through the same blocks in the same batches; and one text.
 *
 * Letters: B images, T texts, n ids, C context, W width, N image tokens, V vocabulary.
 */
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/net/block.h"
#include "model/net/encode.h"
#include "model/net/decoder.h"
#include "model/net/split.h"
#include "model/net/text.h"
#include "model/net/vision.h"
#include "query/find/rerank.h"
#include "schema/catalog/contents.h"
#include "schema/catalog/tokens.h"
#include "schema/store/sqlite.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "schema/base/packed.h"
#include "tests/bench/bench.h"

#include "schema/base/banned.h"

enum { CANDIDATES = 50, TEXTS = 32, IDS = 10, ROUNDS = 3, IMAGES_OF_PIECE = 13, ROWS_OF_PIECE = 512 };

struct data {
	struct engine engine;
	const struct config *config;
	char *folder, *path;            /* of the catalog */
	struct catalog *catalog;
	struct catalog_model row;
	struct store *store;
	struct candidate candidates[CANDIDATES];
	int32_t ids[TEXTS * IDS];
	struct coca_text texts[TEXTS];
	size_t text_count;              /* of the next run */
	float *pixels, *features, *plain_tokens, *text_features; /* [B,3,S,S] [B,E] [B,N,W] [T,E] */
	const float *pool_queries;      /* [n,E] */
	void *encoder_blob;             /* a photograph's encoder tokens, in 8 bits */
	float sums[CANDIDATES];         /* plain */
	enum status status;
	struct err err;
};

/* ---- the plain decoder -------------------------------------------------------------------------------------------- */

struct plain {
	struct data *data;
	float *prefix;                  /* [n,W]: the text's tokens */
	struct split split;
	size_t stride;
	char *scratch;
};

struct plain_work {
	float *x, *q, *normed_tokens, *kv, *logits;
	size_t *begin;
	struct block_scratch block;
};

static size_t plain_carve(const struct config *config, size_t images, int threads, void *base, struct plain_work *work)
{
	struct carver carver = {base, 0};
	size_t W = config->decoder.width, N = config->image_tokens, rows = images * IDS;

	work->x = carve_floats(&carver, rows, W);
	work->q = carve_floats(&carver, rows, W);
	work->normed_tokens = carve_floats(&carver, images * N, W);
	work->kv = carve_floats(&carver, images * N, 2 * W);
	work->logits = carve_floats(&carver, rows, config->vocab_size);
	work->begin = carve(&carver, images + 1, sizeof *work->begin);
	block_carve(&carver, &work->block, &config->decoder, config->quick_gelu, rows, images, N > IDS ? N : IDS, threads);
	return carver.used;
}

static void plain_cross(const struct config *config, const struct block *block, const float *tokens, size_t images, struct plain_work *work)
{
	size_t W = config->decoder.width, N = config->image_tokens;
	struct attend_shape shape = {config->decoder.heads, W, W, 2 * W, W, false};

	block_queries(block, &work->block, work->x, images * IDS, work->q);
	op_norm(&block->ln_1_kv, tokens, images * N, W, work->normed_tokens);
	attention_keys(&block->attn, W, W, work->normed_tokens, images * N, work->kv);
	for (size_t i = 0; i < images; i++) {
		const float *k = work->kv + i * N * 2 * W;
		work->block.jobs[i] = (struct attend){work->q + i * IDS * W, k, k + W, NULL, work->block.normed + i * IDS * W, IDS, N};
	}
	op_attention(&shape, work->block.jobs, images, work->block.scores);
	block_finish(block, NULL, &work->block, work->block.normed, images * IDS, work->x);
}

static float plain_sum(const struct config *config, const int32_t *ids, const float *logits /* [n,V] */)
{
	double sum = 0;

	for (size_t t = 0; t + 1 < IDS; t++) {
		const float *row = logits + t * config->vocab_size;
		float most = op_max(row, config->vocab_size);
		sum += (double)row[ids[t + 1]] - (double)most - log(op_sum_exp(row, config->vocab_size, most));
	}
	return (float)sum;
}

static void plain_piece(void *context, size_t piece, size_t lane)
{
	struct plain *plain = context;
	struct data *d = plain->data;
	const struct weights *weights = coca_weights(d->engine.model);
	size_t W = d->config->decoder.width, N = d->config->image_tokens, V = d->config->vocab_size;
	size_t from = CANDIDATES * piece / plain->split.pieces, images = CANDIDATES * (piece + 1) / plain->split.pieces - from;
	struct linear proj = {weights->decoder_proj, NULL, W, V, true};
	struct plain_work work;

	plain_carve(d->config, images, plain->split.threads, plain->scratch + plain->stride * lane, &work);
	for (size_t i = 0; i <= images; i++)
		work.begin[i] = i * IDS;
	for (size_t i = 0; i < images; i++)
		memcpy(work.x + i * IDS * W, plain->prefix, IDS * W * sizeof *work.x);
	struct pack pack = {work.begin, images, NULL, true};
	for (size_t l = 0; l < d->config->decoder.layers; l++) {
		block_self(weights->decoder + l, NULL, &work.block, &pack, work.x);
		plain_cross(d->config, weights->cross + l, d->plain_tokens + from * N * W, images, &work);
	}
	op_norm(&weights->decoder_ln_final, work.x, images * IDS, W, work.block.normed);
	op_linear(&proj, work.block.normed, images * IDS, work.logits);
	for (size_t i = 0; i < images; i++)
		d->sums[from + i] = plain_sum(d->config, d->ids, work.logits + i * IDS * V);
}

static void rerank_plain(void *context)
{
	struct data *d = context;
	struct plain plain = {.data = d, .prefix = mem_floats(IDS * d->config->text.width),
			      .split = split_work(CANDIDATES, CANDIDATES, IMAGES_OF_PIECE)};
	struct plain_work work;

	if (d->status == STATUS_OK)
		d->status = plain.prefix ? STATUS_OK : err_memory(&d->err, "a text's tokens");
	if (d->status == STATUS_OK)
		d->status = coca_encode_images(d->engine.model, d->engine.state, d->pixels, CANDIDATES, d->features, d->plain_tokens,
					       &d->err);
	if (d->status == STATUS_OK)
		d->status = coca_encode_texts(d->engine.model, d->engine.state, d->texts, 1, d->text_features, plain.prefix, &d->err);
	if (d->status != STATUS_OK)
		goto out;
	size_t images = CANDIDATES / plain.split.pieces + 1;
	plain.scratch = scratch_block(d->engine.state, plain_carve(d->config, images, plain.split.threads, NULL, &work), plain.split.lanes,
				      &plain.stride);
	if (plain.scratch)
		split_run(&plain.split, plain_piece, &plain);
	else
		d->status = err_memory(&d->err, "the plain decoder's activations");
out:
	free(plain.prefix);
}

static void rerank_fast(struct data *d, enum precision precision)
{
	double weight = 1;
	struct reranker reranker = {.engine = &d->engine, .store = d->store, .texts = d->texts, .weights = &weight,
				    .text_count = 1};

	coca_set_precision(d->engine.model, precision);
	if (d->status == STATUS_OK)
		d->status = rerank_likelihoods(&reranker, d->candidates, CANDIDATES, &d->err);
	coca_set_precision(d->engine.model, PRECISION_FP32);
}

static void rerank_fp32(void *context)
{
	rerank_fast(context, PRECISION_FP32);
}

static void rerank_int8(void *context)
{
	rerank_fast(context, PRECISION_INT8);
}

/* ---- the pooler --------------------------------------------------------------------------------------------------- */

struct pooler_run {
	struct data *data;
	struct split split;
	size_t stride;
	char *scratch;
};

struct pooler_work {
	float *x, *kv, *attended, *tokens, *scores; /* [images * M,D] [images * M,2E] [images * n,E] [images * n,E] */
	struct attend *jobs;
};

static size_t pooler_carve(const struct config *config, size_t images, int threads, void *base, struct pooler_work *work)
{
	struct carver carver = {base, 0};
	size_t M = vision_encoder_tokens(config), E = config->embed_dim, n = config->pool_queries;

	work->x = carve_floats(&carver, images * M, config->vision.width);
	work->kv = carve_floats(&carver, images * M, 2 * E);
	work->attended = carve_floats(&carver, images * n, E);
	work->tokens = carve_floats(&carver, images * n, E);
	work->scores = carve_floats(&carver, op_attention_scratch(M, threads), 1);
	work->jobs = carve(&carver, images, sizeof *work->jobs);
	return carver.used;
}

static void pooler_piece(void *context, size_t piece, size_t lane)
{
	struct pooler_run *run = context;
	struct data *d = run->data;
	const struct weights *weights = coca_weights(d->engine.model);
	size_t M = vision_encoder_tokens(d->config), D = d->config->vision.width, E = d->config->embed_dim, n = d->config->pool_queries;
	size_t from = CANDIDATES * piece / run->split.pieces, images = CANDIDATES * (piece + 1) / run->split.pieces - from;
	const struct attention *attn = &weights->pool.attn;
	struct linear project = {attn->out_weight, attn->out_bias, E, E, false};
	struct attend_shape shape = {d->config->pool_heads, E, E, 2 * E, E, false};
	struct pooler_work work;

	pooler_carve(d->config, images, run->split.threads, run->scratch + run->stride * lane, &work);
	for (size_t i = 0; i < images; i++) {
		const float *k = work.kv + i * M * 2 * E;
		packed_tokens_read(d->encoder_blob, packed_tokens_size(M, D), M, D, work.x + i * M * D, &d->err);
		work.jobs[i] = (struct attend){d->pool_queries, k, k + E, NULL, work.attended + i * n * E, n, M};
	}
	op_norm(&weights->pool.ln_k, work.x, images * M, D, work.x);
	attention_keys(attn, E, D, work.x, images * M, work.kv);
	op_attention(&shape, work.jobs, images, work.scores);
	op_linear(&project, work.attended, images * n, work.tokens);
	op_norm(&weights->ln_post, work.tokens, images * n, E, work.tokens);
}

static void pool_stored(void *context)
{
	struct data *d = context;
	struct pooler_run run = {.data = d, .split = split_work(CANDIDATES, CANDIDATES, IMAGES_OF_PIECE)};
	size_t images = CANDIDATES / run.split.pieces + 1;
	struct pooler_work work;

	run.scratch = scratch_block(d->engine.state, pooler_carve(d->config, images, run.split.threads, NULL, &work), run.split.lanes,
				    &run.stride);
	if (run.scratch)
		split_run(&run.split, pooler_piece, &run);
	else
		d->status = err_memory(&d->err, "the pooler's activations");
}

/* ---- texts -------------------------------------------------------------------------------------------------------- */

struct whole {
	struct data *data;
	struct split split;
	size_t stride;
	char *scratch;
};

struct whole_work {
	float *x, *pooled;
	uint8_t *visible;
	size_t *begin;
	struct block_scratch block;
};

static size_t whole_carve(const struct config *config, size_t T, int threads, void *base, struct whole_work *work)
{
	struct carver carver = {base, 0};
	size_t W = config->text.width, rows = T * (config->context_length + 1);

	work->x = carve_floats(&carver, rows, W);
	work->pooled = carve_floats(&carver, T, W);
	work->visible = carve(&carver, rows, 1);
	work->begin = carve(&carver, T + 1, sizeof *work->begin);
	block_carve(&carver, &work->block, &config->text, config->quick_gelu, rows, T, config->context_length + 1, threads);
	return carver.used;
}

/* x[C+1,W] and the keys that may be seen, as the published checkpoints have it. */
static void embed_whole(const struct config *config, const struct weights *weights, const struct coca_text *text, float *x,
			uint8_t *visible)
{
	size_t W = config->text.width, C = config->context_length;

	for (size_t t = 0; t <= C; t++) {
		int32_t id = t < text->count ? text->ids[t] : config->pad_id;
		int32_t before = t > 0 && t <= text->count ? text->ids[t - 1] : config->pad_id;
		const float *from = t < C ? weights->token_embedding + (size_t)id * W : weights->class_text;
		for (size_t i = 0; i < W; i++)
			x[t * W + i] = from[i] + weights->text_positions[t * W + i];
		visible[t] = t == 0 || before != config->pad_id;
	}
}

static void whole_piece(void *context, size_t piece, size_t lane)
{
	struct whole *whole = context;
	struct data *d = whole->data;
	const struct weights *weights = coca_weights(d->engine.model);
	size_t W = d->config->text.width, positions = d->config->context_length + 1, E = d->config->embed_dim;
	size_t from = d->text_count * piece / whole->split.pieces, T = d->text_count * (piece + 1) / whole->split.pieces - from;
	struct linear proj = {weights->text_proj, NULL, W, E, true};
	struct whole_work work;

	whole_carve(d->config, T, whole->split.threads, whole->scratch + whole->stride * lane, &work);
	for (size_t i = 0; i <= T; i++)
		work.begin[i] = i * positions;
	for (size_t i = 0; i < T; i++)
		embed_whole(d->config, weights, d->texts + from + i, work.x + i * positions * W, work.visible + i * positions);
	struct pack pack = {work.begin, T, work.visible, true};
	for (size_t l = 0; l < d->config->text.layers; l++)
		block_self(weights->text + l, NULL, &work.block, &pack, work.x);
	for (size_t i = 0; i < T; i++)
		memcpy(work.pooled + i * W, work.x + (work.begin[i + 1] - 1) * W, W * sizeof *work.pooled);
	op_norm(&weights->text_ln_final, work.pooled, T, W, work.pooled);
	op_linear(&proj, work.pooled, T, d->text_features + from * E);
}

static void texts_whole(void *context)
{
	struct data *d = context;
	size_t positions = d->config->context_length + 1;
	struct whole whole = {.data = d, .split = split_work(d->text_count, d->text_count * positions, ROWS_OF_PIECE)};
	size_t most = (d->text_count + whole.split.pieces - 1) / whole.split.pieces;
	struct whole_work work;

	whole.scratch = scratch_block(d->engine.state, whole_carve(d->config, most, whole.split.threads, NULL, &work), whole.split.lanes,
				      &whole.stride);
	if (whole.scratch)
		split_run(&whole.split, whole_piece, &whole);
	else
		d->status = err_memory(&d->err, "the text tower's activations");
}

static void texts_trimmed(void *context)
{
	struct data *d = context;

	if (d->status == STATUS_OK)
		d->status = coca_encode_texts(d->engine.model, d->engine.state, d->texts, d->text_count, d->text_features, NULL, &d->err);
}

/* ---- set-up ------------------------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static enum status fill_catalog(struct data *d)
{
	size_t N = d->engine.tokens, W = d->engine.width, size = packed_tokens_size(N, W);
	void *blob = mem_array(size, 1);
	enum status status = blob ? STATUS_OK : err_memory(&d->err, "image tokens");

	if (status == STATUS_OK)
		status = catalog_open(d->path, CATALOG_WRITE, &d->catalog, &d->err);
	d->row = (struct catalog_model){.name = "shape", .dim = (int64_t)d->engine.embed, .tokens = (int64_t)N, .width = (int64_t)W};
	memset(d->row.config_digest, '0', 32);
	memset(d->row.weights_digest, '0', 32);
	if (status == STATUS_OK)
		status = catalog_model_put(d->catalog, &d->row, &d->err);
	for (size_t i = 0; i < CANDIDATES && status == STATUS_OK; i++) {
		uint8_t hash[CATALOG_HASH] = {(uint8_t)i};
		packed_tokens_write(d->plain_tokens + i * N * W, N, W, blob);
		status = catalog_content_put(d->catalog, hash, &d->candidates[i].content, &d->err);
		if (status == STATUS_OK)
			status = catalog_tokens_put(d->catalog, d->candidates[i].content, d->row.id, blob, size, &d->err);
	}
	free(blob);
	return status == STATUS_OK ? sqlite_store_open(d->catalog, &d->row, &d->store, &d->err) : status;
}

static enum status prepare(struct data *d, const char *shape)
{
	const char *base = getenv("TMPDIR");
	enum status status = coca_open(shape, &d->engine.model, &d->err);

	if (status != STATUS_OK)
		return status;
	d->config = coca_config(d->engine.model);
	d->engine.state = coca_scratch_new();
	d->engine.embed = d->config->embed_dim;
	d->engine.tokens = d->config->image_tokens;
	d->engine.width = vision_token_width(d->config);
	d->engine.side = d->config->image_size;
	size_t image = 3 * d->engine.side * d->engine.side, token = d->engine.tokens * d->engine.width;
	d->folder = path_join(base && *base ? base : "/tmp", "coca-bench-XXXXXX");
	d->path = d->folder && mkdtemp(d->folder) ? path_join(d->folder, "library.db") : NULL;
	d->pixels = mem_floats(CANDIDATES * image);
	d->features = mem_floats(CANDIDATES * d->engine.embed);
	d->plain_tokens = mem_floats(CANDIDATES * token);
	d->text_features = mem_floats(TEXTS * d->engine.embed);
	if (!d->engine.state || !d->path || !d->pixels || !d->features || !d->plain_tokens || !d->text_features)
		return err_memory(&d->err, "the benchmark's data");
	for (size_t i = 0; i < CANDIDATES * image; i++)
		d->pixels[i] = (float)(i * 2654435761u % 1024) / 256 - 2;
	for (size_t i = 0; i < TEXTS * IDS; i++)
		d->ids[i] = (int32_t)(1 + i * 2654435761u % (d->config->vocab_size - 1));
	for (size_t i = 0; i < TEXTS; i++)
		d->texts[i] = (struct coca_text){d->ids + i * IDS, IDS};
	size_t M = vision_encoder_tokens(d->config), D = d->config->vision.width;
	d->encoder_blob = mem_array(packed_tokens_size(M, D), 1);
	if (!d->encoder_blob)
		return err_memory(&d->err, "the benchmark's data");
	packed_tokens_write(d->pixels, M, D, d->encoder_blob);
	status = coca_pool_queries(d->engine.model, &d->pool_queries, &d->err);
	if (status == STATUS_OK)
		status = coca_encode_images(d->engine.model, d->engine.state, d->pixels, CANDIDATES, d->features, d->plain_tokens, &d->err);
	return status == STATUS_OK ? fill_catalog(d) : status;
}

/* The largest difference of a likelihood. */
static double difference(const struct data *d)
{
	double most = 0;

	for (size_t i = 0; i < CANDIDATES; i++)
		most = fmax(most, fabs((double)d->sums[i] - (double)d->candidates[i].likelihood));
	return most;
}

/* bench_ratio of processor time, in which the machine's other users do not count. */
static double processor_ratio(const struct bench_run *a, const struct bench_run *b)
{
	double values[BENCH_ROUNDS_MOST];

	for (size_t r = 0; r < a->rounds; r++)
		values[r] = a->processor[r] / b->processor[r];
	return bench_median_of(values, a->rounds);
}

static void measure(struct bench *bench, struct data *d)
{
	struct bench_run rerank[4] = {{.work = rerank_plain, .context = d}, {.work = rerank_fp32, .context = d},
				      {.work = rerank_int8, .context = d}, {.work = pool_stored, .context = d}};
	size_t pooled = packed_tokens_size(d->engine.tokens, d->engine.width);
	size_t encoded = packed_tokens_size(vision_encoder_tokens(d->config), d->config->vision.width);
	struct bench_run texts[2] = {{.work = texts_whole, .context = d}, {.work = texts_trimmed, .context = d}};

	bench_rounds(rerank, 4, ROUNDS);
	bench_print(bench, "rerank50, plain", 1e3 * bench_median(&rerank[0]), "ms", 0);
	bench_print(bench, "rerank50, fp32", 1e3 * bench_median(&rerank[1]), "ms", 0);
	bench_print(bench, "rerank50, int8", 1e3 * bench_median(&rerank[2]), "ms", 0);
	bench_print(bench, "rerank50, fp32, over plain", bench_ratio(&rerank[0], &rerank[1]), "x", 0);
	bench_print(bench, "rerank50.over_plain", bench_ratio(&rerank[0], &rerank[2]), "x", 10);
	bench_print(bench, "rerank50.processor_over_plain", processor_ratio(&rerank[0], &rerank[2]), "x", 0);
	bench_print(bench, "rerank50, int8, largest difference", difference(d), "nats", 0);
	rerank_fp32(d);
	bench_print(bench, "rerank50, fp32, largest difference", difference(d), "nats", 0);
	bench_print(bench, "pooler of 50 candidates", 1e3 * bench_median(&rerank[3]), "ms", 0);
	bench_print(bench, "pooler, of rerank50 in int8", 100 * processor_ratio(&rerank[3], &rerank[2]), "%", 0);
	bench_print(bench, "stored, pooler's output", (double)pooled / 1000, "KB/photo", 0);
	bench_print(bench, "stored, encoder's tokens", (double)encoded / 1000, "KB/photo", 0);
	d->text_count = TEXTS;
	bench_rounds(texts, 2, ROUNDS);
	bench_print(bench, "text32", 1e3 * bench_median(&texts[1]), "ms", 0);
	bench_print(bench, "text32.over_77", bench_ratio(&texts[0], &texts[1]), "x", 5);
	bench_print(bench, "text32.processor_over_77", processor_ratio(&texts[0], &texts[1]), "x", 0);
	d->text_count = 1;
	bench_rounds(texts, 2, 3 * ROUNDS);
	bench_print(bench, "text1", 1e3 * bench_median(&texts[1]), "ms", 0);
	bench_print(bench, "text1.over_77", bench_ratio(&texts[0], &texts[1]), "x", 2.5);
	bench_print(bench, "text1.processor_over_77", processor_ratio(&texts[0], &texts[1]), "x", 0);
}

void bench_rerank(struct bench *bench)
{
	struct data *d = mem_array(1, sizeof *d);

	if (!d) {
		bench->status = err_memory(&bench->err, "the benchmark's data");
		return;
	}
	d->status = prepare(d, bench->shape);
	if (d->status == STATUS_OK)
		measure(bench, d);
	bench->status = d->status;
	bench->err = d->err;
	store_close(d->store);
	catalog_close(d->catalog);
	if (d->path)
		nftw(d->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	coca_scratch_free(d->engine.state);
	coca_close(d->engine.model);
	free(d->folder);
	free(d->path);
	free(d->pixels);
	free(d->features);
	free(d->plain_tokens);
	free(d->text_features);
	free(d->encoder_blob);
	free(d);
}
