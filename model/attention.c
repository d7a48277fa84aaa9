/* attention.c: op_attention of ops.h: softmax(q k^T / sqrt(d)) v, a head of a sequence at a time.
 *
 * A head's matrices are small (50 keys of width 64), and OpenBLAS spends as long on packing them as on multiplying. Here
 * keys are turned round 24 at a time into a block that stays in the first cache, and both products run on tiles of 4 rows by
 * 24 columns, values being read where they lie. Heads whose width is no multiple of 8 go through OpenBLAS.
 */
#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "model/ops.h"
#include "schema/memory.h"

#include "schema/banned.h"

enum {
	PARALLEL_LEAST = 1 << 19, /* multiplications */
	QUERY_ROWS = 64,          /* queries whose scores are held at once */
	LANES = 8,
	TILE_ROWS = 4,
	TILE_COLUMNS = 24,
	WIDTH_MOST = 256,         /* of a head, for its block of keys */
	FEW_ROWS = 4,             /* fewer queries than this: keys are not worth turning round */
};

typedef float vector __attribute__((vector_size(LANES * sizeof(float))));

size_t op_attention_scratch(size_t keys_most, int threads)
{
	size_t one = mem_product(QUERY_ROWS, keys_most + 16);

	return mem_product(one, (size_t)threads);
}

static inline vector load(const float *x)
{
	vector v;
	memcpy(&v, x, sizeof v);
	return v;
}

/* c[rows, LANES * wide] = a[rows,K] b[K, LANES * wide] */
static inline __attribute__((always_inline)) void tile(const float *a, size_t a_stride, const float *b, size_t b_stride, size_t K, float *c,
						       size_t c_stride, const size_t rows, const size_t wide)
{
	vector sums[TILE_ROWS * TILE_COLUMNS / LANES];

#pragma GCC unroll 12
	for (size_t i = 0; i < rows * wide; i++)
		sums[i] = (vector){0};
	for (size_t k = 0; k < K; k++, b += b_stride) {
#pragma GCC unroll 3
		for (size_t v = 0; v < wide; v++) {
			const vector columns = load(b + v * LANES);
#pragma GCC unroll 4
			for (size_t r = 0; r < rows; r++)
				sums[r * wide + v] += a[r * a_stride + k] * columns;
		}
	}
#pragma GCC unroll 12
	for (size_t i = 0; i < rows * wide; i++)
		memcpy(c + i / wide * c_stride + i % wide * LANES, sums + i, sizeof *sums);
}

static inline __attribute__((always_inline)) void strip(const float *a, size_t a_stride, const float *b, size_t b_stride, size_t rows, size_t K,
							float *c, size_t c_stride, const size_t wide)
{
	size_t r = 0;

	for (; r + TILE_ROWS <= rows; r += TILE_ROWS)
		tile(a + r * a_stride, a_stride, b, b_stride, K, c + r * c_stride, c_stride, TILE_ROWS, wide);
	for (; r < rows; r++)
		tile(a + r * a_stride, a_stride, b, b_stride, K, c + r * c_stride, c_stride, 1, wide);
}

/* c[rows,columns] = a[rows,K] b[K,columns]; columns <= TILE_COLUMNS, a multiple of LANES */
static void multiply(const float *a, size_t a_stride, const float *b, size_t b_stride, size_t rows, size_t K, size_t columns, float *c,
		     size_t c_stride)
{
	if (columns == TILE_COLUMNS)
		strip(a, a_stride, b, b_stride, rows, K, c, c_stride, TILE_COLUMNS / LANES);
	else if (columns == 2 * LANES)
		strip(a, a_stride, b, b_stride, rows, K, c, c_stride, 2);
	else
		strip(a, a_stride, b, b_stride, rows, K, c, c_stride, 1);
}

/* block[d,columns] = keys[0..n-1][d] turned round and scaled; columns: n rounded up to LANES, the rest 0 */
static void turn(const float *keys, size_t stride, size_t n, size_t columns, size_t d, float scale, float *block)
{
	for (size_t j = 0; j < n; j++)
		for (size_t i = 0; i < d; i++)
			block[i * columns + j] = keys[j * stride + i] * scale;
	for (size_t j = n; j < columns; j++)
		for (size_t i = 0; i < d; i++)
			block[i * columns + j] = 0;
}

static size_t padded(size_t n)
{
	return (n + LANES - 1) / LANES * LANES;
}

/* scores[rows,padded(keys)] = q k^T / sqrt(d) */
static void score(const struct attend_shape *shape, const struct attend *sequence, size_t d, const float *q, size_t rows, const float *k,
		  float *scores)
{
	size_t keys = sequence->keys, stride = padded(keys);
	const float scale = 1 / sqrtf((float)d);
	float block[WIDTH_MOST * TILE_COLUMNS];

	if (rows < FEW_ROWS) {
		for (size_t r = 0; r < rows; r++)
			for (size_t j = 0; j < keys; j++)
				scores[r * stride + j] = scale * op_dot(q + r * shape->q_stride, k + j * shape->kv_stride, d);
		return;
	}
	for (size_t j = 0; j < keys; j += TILE_COLUMNS) {
		size_t n = keys - j < TILE_COLUMNS ? keys - j : TILE_COLUMNS, columns = padded(n);
		turn(k + j * shape->kv_stride, shape->kv_stride, n, columns, d, scale, block);
		multiply(q, shape->q_stride, block, columns, rows, d, columns, scores + j, stride);
	}
}

/* Softmax over the keys that query `at` of the sequence sees; the others, up to count, get weight 0. */
static void weigh(const struct attend *sequence, bool causal, size_t at, float *scores, size_t count)
{
	size_t seen = causal ? at + 1 + sequence->keys - sequence->queries : sequence->keys;
	size_t whole = padded(seen) < count ? padded(seen) : count; /* vectors alone are quicker than vectors and a rest */

	if (sequence->visible)
		for (size_t j = 0; j < seen; j++)
			scores[j] = sequence->visible[j] ? scores[j] : -INFINITY;
	for (size_t j = seen; j < whole; j++)
		scores[j] = -INFINITY;
	op_softmax(scores, whole);
	memset(scores + whole, 0, (count - whole) * sizeof *scores);
}

static void attend_rows(const struct attend_shape *shape, const struct attend *sequence, size_t head, size_t from, size_t rows, float *scores)
{
	size_t d = shape->width / shape->heads, keys = sequence->keys, stride = padded(keys);
	const float *v = sequence->v + head * d;
	float *out = sequence->out + from * shape->out_stride + head * d;

	score(shape, sequence, d, sequence->q + from * shape->q_stride + head * d, rows, sequence->k + head * d, scores);
	for (size_t r = 0; r < rows; r++)
		weigh(sequence, shape->causal, from + r, scores + r * stride, stride);
	for (size_t i = 0; i < d; i += TILE_COLUMNS)
		multiply(scores, stride, v + i, shape->kv_stride, rows, keys, d - i < TILE_COLUMNS ? d - i : TILE_COLUMNS, out + i,
			 shape->out_stride);
}

static void attend_rows_blas(const struct attend_shape *shape, const struct attend *sequence, size_t head, size_t from, size_t rows,
			     float *scores)
{
	size_t d = shape->width / shape->heads, keys = sequence->keys;
	const float *q = sequence->q + from * shape->q_stride + head * d;

	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)rows, (blasint)keys, (blasint)d, 1 / sqrtf((float)d), q,
		    (blasint)shape->q_stride, sequence->k + head * d, (blasint)shape->kv_stride, 0, scores, (blasint)keys);
	for (size_t r = 0; r < rows; r++)
		weigh(sequence, shape->causal, from + r, scores + r * keys, keys);
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)rows, (blasint)d, (blasint)keys, 1, scores, (blasint)keys,
		    sequence->v + head * d, (blasint)shape->kv_stride, 0, sequence->out + from * shape->out_stride + head * d,
		    (blasint)shape->out_stride);
}

static void attend_head(const struct attend_shape *shape, const struct attend *sequence, size_t head, float *scores)
{
	size_t d = shape->width / shape->heads;
	bool tiles = d % LANES == 0 && d <= WIDTH_MOST;

	for (size_t from = 0; from < sequence->queries; from += QUERY_ROWS) {
		size_t rows = sequence->queries - from < QUERY_ROWS ? sequence->queries - from : QUERY_ROWS;
		if (tiles)
			attend_rows(shape, sequence, head, from, rows, scores);
		else
			attend_rows_blas(shape, sequence, head, from, rows, scores);
	}
}

void op_attention(const struct attend_shape *shape, const struct attend *sequences, size_t n, float *scores)
{
	size_t keys_most = 0, work = 0;

	for (size_t s = 0; s < n; s++) {
		keys_most = sequences[s].keys > keys_most ? sequences[s].keys : keys_most;
		work += sequences[s].queries * sequences[s].keys * shape->width;
	}
	size_t lane = op_attention_scratch(keys_most, 1);
	/* In a serialised inner region every thread is number 0 of its own team. */
#pragma omp parallel for schedule(static) if (work >= PARALLEL_LEAST)
	for (ptrdiff_t i = 0; i < (ptrdiff_t)(n * shape->heads); i++)
		attend_head(shape, sequences + (size_t)i / shape->heads, (size_t)i % shape->heads,
			    scores + lane * (size_t)omp_get_thread_num());
}
