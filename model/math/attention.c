/* attention.c: op_attention of ops.h: softmax(q k^T / sqrt(d)) v, a head of a sequence at a time.
 *
 * With AVX-512 that is attention_wide.c's work. Otherwise the two products are OpenBLAS's, except of a few queries, which it spends longer
 * on preparing than on computing: those are inner products and sums of rows. Scores lie in rows of whole vectors, so that softmax has no
 * rest to do number by number. Tried and dropped: tiles of our own by AVX2, too, which were no faster at 37 and 50 keys and slower
 * beyond.
 */
#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "model/math/attention_wide.h"
#include "model/math/ops.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum {
	PARALLEL_LEAST = 1 << 19, /* multiplications */
	QUERY_ROWS = 64,          /* queries whose scores are held at once */
	LANES = 16,
	FEW_ROWS = 4,             /* fewer queries than this are not OpenBLAS's */
};

size_t op_attention_scratch(size_t keys_most, int threads)
{
	/* Both are whole vectors: every thread's part is aligned. */
	size_t one = mem_product(QUERY_ROWS, keys_most + LANES), wide = attention_wide_scratch(keys_most);

	return mem_product(one > wide ? one : wide, (size_t)threads);
}

static size_t padded(size_t n)
{
	return (n + LANES - 1) / LANES * LANES;
}

/* scores[rows,padded(keys)] = q k^T / sqrt(d) */
static void score(const struct attend_shape *shape, size_t d, const float *q, size_t rows, const float *k, size_t keys, float *scores)
{
	const float scale = 1 / sqrtf((float)d);
	size_t stride = padded(keys);

	if (rows < FEW_ROWS) {
		for (size_t r = 0; r < rows; r++)
			for (size_t j = 0; j < keys; j++)
				scores[r * stride + j] = scale * op_dot(q + r * shape->q_stride, k + j * shape->kv_stride, d);
		return;
	}
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)rows, (blasint)keys, (blasint)d, scale, q, (blasint)shape->q_stride, k,
		    (blasint)shape->kv_stride, 0, scores, (blasint)stride);
}

/* out[rows,d] = weights[rows,padded(keys)] v[keys,d] */
static void gather(const struct attend_shape *shape, size_t d, const float *weights, size_t rows, const float *v, size_t keys, float *out)
{
	if (rows < FEW_ROWS) {
		for (size_t r = 0; r < rows; r++) {
			float *to = out + r * shape->out_stride;
			memset(to, 0, d * sizeof *to);
			for (size_t j = 0; j < keys; j++) {
				const float weight = weights[r * padded(keys) + j], *from = v + j * shape->kv_stride;
#pragma omp simd
				for (size_t i = 0; i < d; i++)
					to[i] += weight * from[i];
			}
		}
		return;
	}
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)rows, (blasint)d, (blasint)keys, 1, weights, (blasint)padded(keys), v,
		    (blasint)shape->kv_stride, 0, out, (blasint)shape->out_stride);
}

/* Softmax over the keys that query `at` of the sequence sees; the others, up to count, get weight 0. */
static void weigh(const struct attend *sequence, bool causal, size_t at, float *scores, size_t count)
{
	size_t seen = attention_seen(sequence, causal, at);
	size_t whole = padded(seen); /* vectors alone are quicker than vectors and a rest */

	attention_hide(sequence, seen, scores, whole);
	op_softmax(scores, whole);
	memset(scores + whole, 0, (count - whole) * sizeof *scores);
}

static void attend_head(const struct attend_shape *shape, const struct attend *sequence, size_t head, float *scores)
{
	size_t d = shape->width / shape->heads, keys = sequence->keys;

	if (attention_wide_fits(d, sequence->queries, keys)) {
		attention_wide(shape, sequence, head, scores);
		return;
	}
	for (size_t from = 0; from < sequence->queries; from += QUERY_ROWS) {
		size_t rows = sequence->queries - from < QUERY_ROWS ? sequence->queries - from : QUERY_ROWS;
		score(shape, d, sequence->q + from * shape->q_stride + head * d, rows, sequence->k + head * d, keys, scores);
		for (size_t r = 0; r < rows; r++)
			weigh(sequence, shape->causal, from + r, scores + r * padded(keys), padded(keys));
		gather(shape, d, scores, rows, sequence->v + head * d, keys, sequence->out + from * shape->out_stride + head * d);
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
