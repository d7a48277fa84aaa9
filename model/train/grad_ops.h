/* grad_ops.h: what training computes, forward and backward of each operation side by side.
 *
 * A forward keeps what its backward needs; a backward adds to the gradients of parameters (dw, db: NULL where a parameter is
 * frozen) and either sets or adds to the gradient of its input, as each says. Everything runs on all threads: matrix products
 * by OpenBLAS in tiles, one a thread, the rest in static shares, so that the same number of threads gives the same bits.
 *
 * Letters: R rows, D width, H heads, T positions of one item, B items.
 */
#ifndef MODEL_TRAIN_GRAD_OPS_H
#define MODEL_TRAIN_GRAD_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/math/ops.h"

/* Floats of `partial` that the functions below want: a row of sums for each thread. */
size_t grad_partial(size_t widest);

/* y[R,out] = x[R,in] w[out,in]^T + b[out]; y's rows are ldy floats apart. b may be NULL. */
void grad_linear_forward(const float *x, size_t R, size_t in, const float *w, const float *b, size_t out, float *y, size_t ldy);
/* y += x w^T: the end of a residual branch; y holds x + b already (grad_residual). */
void grad_linear_add(const float *x, size_t R, size_t in, const float *w, size_t out, float *y);
/* dx[R,in] = dy w + keep * dx; dx may be NULL. */
void grad_linear_input(const float *dy, size_t R, size_t out, size_t lddy, const float *w, size_t in, float keep, float *dx);
/* dw[out,in] += dy^T x; db[out] += column sums of dy. Either may be NULL. */
void grad_linear_weight(const float *dy, size_t R, size_t out, size_t lddy, const float *x, size_t in, float *dw, float *db,
			float *partial);

/* The projections, which OpenCLIP keeps the other way round: y[R,out] = x[R,in] w[in,out]. */
void grad_project_forward(const float *x, size_t R, size_t in, const float *w, size_t out, float *y);
void grad_project_backward(const float *dy, size_t R, size_t out, const float *x, size_t in, const float *w, float *dw,
			   float *dx /* set */);

/* db[D] += column sums of dy[R,D], whose rows are lddy floats apart. */
void grad_column_sums(const float *dy, size_t R, size_t D, size_t lddy, float *db, float *partial);

/* y = (x - mean) / sqrt(variance + 1e-5) * weight + bias; stat[R,2] keeps mean and the reciprocal deviation. */
void grad_norm_forward(const float *x, size_t R, size_t D, const struct norm *norm, float *y, float *stat);
/* dx = keep * dx + its share of dy; dx may be NULL. */
void grad_norm_backward(const float *dy, const float *x, const float *stat, size_t R, size_t D, const struct norm *norm,
			const struct norm *gradient, float keep, float *dx, float *partial);

/* y[n] = gelu(x) (exact with erf, or quick: x sigmoid(1.702 x)), and x becomes the slope at x. */
void grad_gelu_forward(float *x, size_t n, bool quick, float *y);
/* dy[R,D] *= slope; db[D] += column sums of the product, NULL: not wanted. */
void grad_gelu_backward(float *dy, const float *slope, size_t R, size_t D, float *db, float *partial);

/* y[R,D] = x + b (NULL: none): what grad_linear_add adds a branch to. */
void grad_residual(const float *x, const float *b, size_t R, size_t D, float *y);
/* y[R,D] = x + scale[D] * branch[R,D]: a residual with layer scale. */
void grad_scaled_forward(const float *x, const float *branch, const float *scale, size_t R, size_t D, float *y);
/* dbranch = scale * dy; dscale += column sums of dy * branch. */
void grad_scaled_backward(const float *dy, const float *branch, const float *scale, size_t R, size_t D, float *dbranch, float *dscale,
			  float *partial);

/* One item of an attention: nq query rows from row q on see nk key rows from row k on. Rows of the result start at row out
 * (q, but where items share their queries), probabilities [H,nq,nk] at float p. */
struct grad_span {
	size_t q, nq, k, nk, out, p;
};

struct grad_attention {
	size_t heads, head;            /* D = heads * head */
	size_t items;
	const struct grad_span *spans;
	bool causal;                   /* query i sees keys 0..i */
	const uint8_t *visible;        /* of each key row; NULL: all */
	size_t most;                   /* largest nq * nk */
};

/* out[.,D] = softmax(q k^T / sqrt(head)) v for each head; q, k, v have rows ldq or ldk floats apart. p keeps probabilities. */
void grad_attention_forward(const struct grad_attention *a, const float *q, size_t ldq, const float *k, const float *v, size_t ldk,
			    float *p, float *out);
/* Sets dq (at each span's out rows), dk and dv. scratch: [threads * most]. */
void grad_attention_backward(const struct grad_attention *a, const float *q, size_t ldq, const float *k, const float *v, size_t ldk,
			     const float *p, const float *dout, float *dq, size_t lddq, float *dk, float *dv, size_t lddk, float *scratch);

/* x[n] += y[n], on all threads. */
void grad_add(float *x, const float *y, size_t n);

#endif
