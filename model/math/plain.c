/* plain.c: see plain.h. */
#include "model/math/plain.h"

#include <math.h>
#include <stdlib.h>

#include "schema/base/memory.h"

#include "schema/base/banned.h"

void plain_linear(const struct linear *map, const float *x, size_t T, float *y)
{
	for (size_t t = 0; t < T; t++)
		for (size_t o = 0; o < map->out; o++) {
			double sum = map->bias ? (double)map->bias[o] : 0;
			size_t first = map->by_column ? o : o * map->in, stride = map->by_column ? map->out : 1;
#pragma omp simd reduction(+ : sum)
			for (size_t i = 0; i < map->in; i++)
				sum += (double)x[t * map->in + i] * (double)map->weight[first + i * stride];
			y[t * map->out + o] = (float)sum;
		}
}

double plain_moments(const float *x, size_t D, double *deviation)
{
	double mean = 0, variance = 0;

	for (size_t i = 0; i < D; i++)
		mean += (double)x[i] / (double)D;
	for (size_t i = 0; i < D; i++)
		variance += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)D;
	*deviation = sqrt(variance + 1e-5);
	return mean;
}

void plain_norm(const struct norm *norm, const float *x, size_t T, size_t D, float *y)
{
	for (size_t t = 0; t < T; t++, x += D, y += D) {
		double deviation, mean = plain_moments(x, D, &deviation);
		for (size_t i = 0; i < D; i++)
			y[i] = (float)(((double)x[i] - mean) / deviation * (double)norm->weight[i] + (double)norm->bias[i]);
	}
}

void plain_gelu(float *x, size_t n, bool quick)
{
	for (size_t i = 0; i < n; i++) {
		double value = (double)x[i];
		x[i] = (float)(quick ? value / (1 + exp(-1.702 * value)) : 0.5 * value * erfc(-value * M_SQRT1_2));
	}
}

enum status plain_attention(const float *q, size_t Q, const float *k, const float *v, size_t K, size_t D, size_t heads,
			    const uint8_t *seen, float *out, struct err *err)
{
	size_t d = D / heads;
	double *weight = mem_array(K, sizeof *weight);

	if (!weight)
		return err_memory(err, "attention weights");
	for (size_t i = 0; i < Q; i++)
		for (size_t h = 0; h < heads; h++) {
			double most = -INFINITY, sum = 0;
			for (size_t j = 0; j < K; j++) {
				weight[j] = 0;
				for (size_t c = h * d; c < (h + 1) * d; c++)
					weight[j] += (double)q[i * D + c] * (double)k[j * D + c];
				weight[j] = seen && !seen[i * K + j] ? -INFINITY : weight[j] / sqrt((double)d);
				most = fmax(most, weight[j]);
			}
			for (size_t j = 0; j < K; j++)
				sum += weight[j] = exp(weight[j] - most);
			for (size_t c = h * d; c < (h + 1) * d; c++) {
				double value = 0;
				for (size_t j = 0; j < K; j++)
					value += weight[j] / sum * (double)v[j * D + c];
				out[i * D + c] = (float)value;
			}
		}
	free(weight);
	return STATUS_OK;
}
