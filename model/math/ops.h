/* ops.h: the arithmetic that CoCa's layers are made of, in fp32 on OpenBLAS and loops that gcc vectorises.
 *
 *     struct linear fc = {block->fc_weight, block->fc_bias, D, F, false};
 *     op_norm(&block->ln_2, x, T, D, normed);
 *     op_linear_gelu(&fc, normed, T, quick, hidden);
 *
 * Layers see their matrices only through struct linear and attention only through struct attend: this is where other
 * arithmetic comes in. Called from one thread, an operation uses all of them; called inside a parallel region it
 * uses the caller's alone (OpenBLAS, too, looks at omp_in_parallel), so work may be split at either level, never at both.
 * NaN stays NaN in all of them. plain.h has the twins.
 *
 * Letters: T rows (tokens), D width, n elements.
 */
#ifndef MODEL_MATH_OPS_H
#define MODEL_MATH_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Threads that an operation called here would use: 1 inside a parallel region. */
int op_threads(void);

/* y[out] = W x[in] + b */
struct linear {
	const float *weight;   /* [out,in]; by_column: [in,out], as the *_proj of the towers lie */
	const float *bias;     /* [out] or NULL */
	size_t in, out;
	bool by_column;
};

/* y[T,out] = x[T,in] W^T + b */
void op_linear(const struct linear *map, const float *x, size_t T, float *y);
/* The same with the rows of y stride apart. */
void op_linear_into(const struct linear *map, const float *x, size_t T, float *y, size_t stride);
/* y[T,out] = gelu(x W^T + b) */
void op_linear_gelu(const struct linear *map, const float *x, size_t T, bool quick, float *y);
/* to[T,out] += scale * (x W^T + b); scale[out] or NULL for 1. branch[T,out] is scratch, used with a scale only. */
void op_linear_add(const struct linear *map, const float *x, size_t T, const float *scale, float *branch, float *to);
/* y[T,to-from] = columns from..to-1 of x W^T + b: a vocabulary's logits a block at a time. */
void op_linear_columns(const struct linear *map, const float *x, size_t T, size_t from, size_t to, float *y);

/* LayerNorm's parameters. */
struct norm {
	float *weight, *bias; /* [D] */
};

/* y[T,D] = (x - mean) / sqrt(variance + 1e-5) * weight + bias; y may be x. */
void op_norm(const struct norm *norm, const float *x, size_t T, size_t D, float *y);
/* y[T,D] = (x - mean) / sqrt(variance + 1e-5), for a norm whose weight and bias are folded into what follows; y may be x. */
void op_standardise(const float *x, size_t T, size_t D, float *y);

/* In place. Exact: x Phi(x), relative error below 1e-6 where |x| < 5; quick: x sigmoid(1.702 x). */
void op_gelu(float *x, size_t n, bool quick);

/* row[n] becomes softmax(row), in place; -inf becomes 0. */
void op_softmax(float *row, size_t n);
/* Its half: row = e^(row - most), with op_max for most; returns their sum. */
float op_exponentials(float *row, size_t n, float most);

float op_max(const float *x, size_t n);
float op_dot(const float *x, const float *y, size_t n);
/* sum of exp(x - most): with op_max, a log-sum-exp a block at a time. */
double op_sum_exp(const float *x, size_t n, float most);

/* One sequence's attention, all heads: head h takes columns h*d..(h+1)*d-1 of q, k, v and out, d being the head's width. */
struct attend {
	const float *q;           /* [queries, q_stride] */
	const float *k, *v;       /* [keys, kv_stride] */
	const uint8_t *visible;   /* [keys]: keys that no query sees are 0; NULL: all are visible. Key 0 always is. */
	float *out;               /* [queries, out_stride] */
	size_t queries, keys;
};

struct attend_shape {
	size_t heads, width;      /* width of all heads together */
	size_t q_stride, kv_stride, out_stride;
	bool causal;              /* the last query stands at the last key */
};

/* out = softmax(q k^T / sqrt(d)) v for each of n sequences. scores: op_attention_scratch floats. */
void op_attention(const struct attend_shape *shape, const struct attend *sequences, size_t n, float *scores);
size_t op_attention_scratch(size_t keys_most, int threads);

/* Carves named pieces out of one block of scratch: run once with base NULL to learn the size, once to get the pointers. */
struct carver {
	char *base;
	size_t used; /* bytes; SIZE_MAX once a size overflowed */
};

/* n objects of size bytes, aligned to 64; NULL while measuring. */
void *carve(struct carver *carver, size_t n, size_t size);
float *carve_floats(struct carver *carver, size_t rows, size_t columns);

#endif
