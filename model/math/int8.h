/* int8.h: matrix products of 8-bit numbers, for the linear maps of a tower's blocks.
 *
 *     struct int8_matrix fc;
 *     int8_matrix_init(&fc, &linear, INT8_PAIRS, NULL, err); // once: weights to whole numbers, a scale for each output
 *     int8_norm(&block->ln_2, x, T, D, &rows);              // LayerNorm; activations to whole numbers, a scale and offset a row
 *     int8_linear(&fc, &rows, T, false, y, stride);         // y = x W^T + b in whole numbers, back to floats in the same pass
 *
 * A weight is scale[output] * w and an activation scale[row] * a + offset[row] with whole numbers w and a. So
 *
 *     y = scale[row] * scale[output] * (sum of a w) + offset[row] * (sum of weights) + bias
 *
 * and the sum of a w is exact on every processor. w in -63..63 and a in 0..127 are what AVX2 asks for: its product of bytes adds pairs in
 * 16 bits. Any two such pairs fit (4 * 127 * 63 < 32768), and 16 do if an output's weights of one sign are small enough together, as those
 * of a trained matrix are, or nearly: int8_weights makes their scale a little larger where they are not. So 32 inputs instead of 8 pass
 * between two widenings. VNNI has no such bounds: there a is in 0..255, and w in -127..127 in matrices that are in no file (INT8_BYTES).
 * That halves the steps, which is what conv1, poolers and stem in 8 bits would cost otherwise.
 * Softmax, its product with the values, heads and norms stay in float.
 *
 * Letters: T rows, D width, n elements, K inputs.
 */
#ifndef MODEL_MATH_INT8_H
#define MODEL_MATH_INT8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/math/ops.h"
#include "schema/base/status.h"

enum {
	INT8_WEIGHT_MOST = 63,
	INT8_LEVELS = 127,      /* of activations: 0..127; INT8_BYTES: 0..255 */
	INT8_BYTE_WEIGHT_MOST = 127,
	INT8_BYTE_LEVELS = 255,
	INT8_PANEL = 16,        /* outputs whose weights lie together */
	INT8_STEP = 8,          /* inputs are padded with zeros to a multiple of this; so many products always fit into 16 bits */
	INT8_GROUP = 32,        /* inputs whose products are added in 16 bits, if they fit */
	INT8_TOGETHER = 258,    /* 127 times this is the most that fits */
};

/* What spans less is all one code: its reciprocal might be infinite. */
#define INT8_TINY 1e-30f

/* What weights may be: -63..63, small enough together, for every kernel; or -127..127, for those of INT8_BYTE_LEVELS. */
enum int8_range { INT8_PAIRS, INT8_BYTES };

struct int8_matrix {
	size_t in, out;
	size_t depth;           /* in, padded */
	size_t panels;
	int8_t *weights;        /* [panels, depth/4, INT8_PANEL, 4] */
	uint8_t *group;         /* [panels]: INT8_GROUP, its half or INT8_STEP: sums of this many inputs fit into 16 bits */
	float *scale, *sum, *bias; /* [panels * INT8_PANEL]; sum: of an output's weights, scaled */
};

/* Rows of activations. */
struct int8_rows {
	uint8_t *codes;         /* [T, depth of the matrix that takes them] */
	float *scale, *offset;  /* [T] */
};

size_t int8_depth(size_t in);

/* gain: [out], multiplies the outputs (a layer scale), or NULL. */
enum status int8_matrix_init(struct int8_matrix *matrix, const struct linear *map, enum int8_range range, const float *gain,
			     struct err *err);
/* The same from whole numbers codes[out,in] and scale[out], as they are stored. */
enum status int8_matrix_pack(struct int8_matrix *matrix, const int8_t *codes, const float *scale, const struct linear *map,
			     const float *gain, struct err *err);
void int8_matrix_release(struct int8_matrix *matrix);

/* codes[out,in] and scale[out] of a float matrix [out,in], those of INT8_PAIRS fitting in groups of INT8_GROUP: what int8_matrix_init
 * packs. */
void int8_weights(const float *weight, size_t out, size_t in, enum int8_range range, int8_t *codes, float *scale);

void int8_carve(struct carver *carver, struct int8_rows *rows, size_t T, size_t in_most);

/* x[T,n] to rows. */
void int8_quantise(const float *x, size_t T, size_t n, const struct int8_rows *rows);
/* LayerNorm(x[T,D]) to rows. */
void int8_norm(const struct norm *norm, const float *x, size_t T, size_t D, const struct int8_rows *rows);
/* gelu(x[T,n]) to rows; x is overwritten. GELU's error is below 2e-4, an eighth of a step at least. */
void int8_gelu(float *x, size_t T, size_t n, bool quick, const struct int8_rows *rows);

/* y[T,out], its rows stride apart, = or (add) += rows W^T + b */
void int8_linear(const struct int8_matrix *matrix, const struct int8_rows *rows, size_t T, bool add, float *y, size_t stride);

struct int8_product {
	const struct int8_matrix *matrix;
	const struct int8_rows *rows;
	size_t T;
	bool add;
	float *y;
	size_t stride;
};

/* One instruction set's functions. A row's functions return its scale and offset. */
struct int8_kernel {
	const char *name;
	int levels; /* INT8_LEVELS or INT8_BYTE_LEVELS: of the rows that its functions make */
	void (*multiply)(const struct int8_product *product, size_t from, size_t to); /* outputs of panels from..to-1 */
	void (*quantise)(const float *x, size_t n, uint8_t *codes, float *scale, float *offset);
	void (*norm)(const struct norm *norm, const float *x, size_t D, uint8_t *codes, float *scale, float *offset);
	void (*gelu)(float *x, size_t n, bool quick, uint8_t *codes, float *scale, float *offset);
};

/* The fastest that this processor has, and all that it has, which end with the plain twin: *count of them. int8_plain_bytes is the twin
 * of those of INT8_BYTE_LEVELS. */
const struct int8_kernel *int8_kernel(void);
/* The range that int8_kernel() takes: for matrices that no other machine will see. */
enum int8_range int8_range(void);
const struct int8_kernel *const *int8_kernels(size_t *count);

extern const struct int8_kernel int8_avx2, int8_avx_vnni, int8_avx512, int8_avx512_vnni, int8_plain, int8_plain_bytes;

#endif
