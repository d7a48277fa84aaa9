/* int8_plain.c: the plain twins of the kernels of int8.h, with rows of INT8_LEVELS and of INT8_BYTE_LEVELS. */
#include "model/math/int8.h"

#include <math.h>

#include "model/math/plain.h"

#include "schema/base/banned.h"

static void multiply_plain(const struct int8_product *p, size_t from, size_t to)
{
	const struct int8_matrix *m = p->matrix;

	for (size_t t = 0; t < p->T; t++)
		for (size_t o = from * INT8_PANEL; o < to * INT8_PANEL && o < m->out; o++) {
			const int8_t *weights = m->weights + o / INT8_PANEL * INT8_PANEL * m->depth + o % INT8_PANEL * 4;
			int32_t sum = 0;
			for (size_t i = 0; i < m->depth; i++)
				sum += p->rows->codes[t * m->depth + i] * weights[i / 4 * INT8_PANEL * 4 + i % 4];
			float y = p->rows->scale[t] * ((float)sum * m->scale[o]) + (p->rows->offset[t] * m->sum[o] + m->bias[o]);
			p->y[t * p->stride + o] = p->add ? p->y[t * p->stride + o] + y : y;
		}
}

static uint8_t code_plain(float x, float low, float high, int levels)
{
	return (uint8_t)rint(((double)x - (double)low) / ((double)high - (double)low) * levels);
}

static void quantise_plain(const float *x, size_t n, int levels, uint8_t *codes, float *scale, float *offset)
{
	float low = x[0], high = x[0], wrong = 0;

	for (size_t i = 0; i < n; i++) {
		low = fminf(low, x[i]);
		high = fmaxf(high, x[i]);
		wrong += x[i] - x[i];
	}
	*scale = (high - low) / (float)levels + wrong;
	*offset = low;
	for (size_t i = 0; i < int8_depth(n); i++)
		codes[i] = i < n && high - low > INT8_TINY ? code_plain(x[i], low, high, levels) : 0;
}

/* Of the norm's row element i. */
static float norm_at(const struct norm *norm, const float *x, double mean, double deviation, size_t i)
{
	return (float)(((double)x[i] - mean) / deviation * (double)norm->weight[i] + (double)norm->bias[i]);
}

static void norm_plain(const struct norm *norm, const float *x, size_t D, int levels, uint8_t *codes, float *scale, float *offset)
{
	float low = INFINITY, high = -INFINITY, wrong = 0;
	double deviation, mean = plain_moments(x, D, &deviation);

	for (size_t i = 0; i < D; i++) {
		float y = norm_at(norm, x, mean, deviation, i);
		low = fminf(low, y);
		high = fmaxf(high, y);
		wrong += y - y;
	}
	*scale = (high - low) / (float)levels + wrong;
	*offset = low;
	for (size_t i = 0; i < int8_depth(D); i++)
		codes[i] = i < D && high - low > INT8_TINY ? code_plain(norm_at(norm, x, mean, deviation, i), low, high, levels) : 0;
}

static void gelu_plain(float *x, size_t n, bool quick, int levels, uint8_t *codes, float *scale, float *offset)
{
	plain_gelu(x, n, quick);
	quantise_plain(x, n, levels, codes, scale, offset);
}

#define TWIN(twin, name, levels) \
	static void twin##_quantise(const float *x, size_t n, uint8_t *codes, float *scale, float *offset) \
	{ \
		quantise_plain(x, n, levels, codes, scale, offset); \
	} \
	static void twin##_norm(const struct norm *norm, const float *x, size_t D, uint8_t *codes, float *scale, float *offset) \
	{ \
		norm_plain(norm, x, D, levels, codes, scale, offset); \
	} \
	static void twin##_gelu(float *x, size_t n, bool quick, uint8_t *codes, float *scale, float *offset) \
	{ \
		gelu_plain(x, n, quick, levels, codes, scale, offset); \
	} \
	const struct int8_kernel twin = {name, levels, multiply_plain, twin##_quantise, twin##_norm, twin##_gelu}

TWIN(int8_plain, "plain C", INT8_LEVELS);
TWIN(int8_plain_bytes, "plain C, bytes", INT8_BYTE_LEVELS);
