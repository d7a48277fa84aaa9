/* int8.c: see int8.h. Here: packing, dispatch, splitting over threads. */
#include "model/math/int8.h"

#include <cpuid.h>
#include <math.h>
#include <omp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* Below this many elements of a cheap loop, or products of bytes, a second thread costs more than it brings. */
enum { PARALLEL_LEAST = 1 << 16, PARALLEL_PRODUCTS = 1 << 22 };

/* Panels that one thread takes. */
enum { PANELS_TOGETHER = 2 };

/* ---- weights ------------------------------------------------------------------------------------------------------ */

size_t int8_depth(size_t in)
{
	return (in + INT8_STEP - 1) / INT8_STEP * INT8_STEP;
}

/* The largest sum of weights of one sign that meet in one 16-bit lane when so many inputs are taken together. Of each 4 inputs two go to
 * one lane and two to another. */
static int heaviest(const int8_t *codes, size_t in, size_t group)
{
	int most = 0;

	for (size_t start = 0; start < in; start += group) {
		int up[4] = {0}, down[4] = {0};
		size_t end = in - start < group ? in : start + group;
		for (size_t i = start; i < end; i += 4)
			for (size_t lane = 0; lane < 4; lane++) {
				int code = i + lane < end ? codes[i + lane] : 0;
				up[lane] += code > 0 ? code : 0;
				down[lane] -= code < 0 ? code : 0;
			}
		for (size_t lane = 0; lane < 4; lane += 2) {
			most = up[lane] + up[lane + 1] > most ? up[lane] + up[lane + 1] : most;
			most = down[lane] + down[lane + 1] > most ? down[lane] + down[lane + 1] : most;
		}
	}
	return most;
}

void int8_weights(const float *weight, size_t out, size_t in, enum int8_range range, int8_t *codes, float *scale)
{
#pragma omp parallel for schedule(static) if (out * in >= PARALLEL_LEAST)
	for (size_t o = 0; o < out; o++) {
		const float *row = weight + o * in;
		float most = 0, wrong = 0, levels = range == INT8_BYTES ? INT8_BYTE_WEIGHT_MOST : INT8_WEIGHT_MOST;
		int together = 0;
#pragma omp simd reduction(max : most) reduction(+ : wrong)
		for (size_t i = 0; i < in; i++) {
			float size = fabsf(row[i]);
			most = size > most ? size : most;
			wrong += size - size;
		}
		do {
			levels = together ? floorf(levels * (float)INT8_TOGETHER / (float)together) : levels;
			float inverse = most > INT8_TINY ? levels / most : 0;
			for (size_t i = 0; i < in; i++)
				codes[o * in + i] = (int8_t)(int32_t)rintf(row[i] * inverse);
			together = range == INT8_BYTES ? 0 : heaviest(codes + o * in, in, INT8_GROUP);
		} while (together > INT8_TOGETHER);
		scale[o] = most / levels + wrong; /* NaN, if a weight is not finite */
	}
}

/* Rows of 4 inputs of a panel's outputs lie together: the layout that all of the kernels read. */
static void pack_panel(const struct int8_matrix *m, const int8_t *codes, size_t panel)
{
	int8_t *to = m->weights + panel * INT8_PANEL * m->depth;
	size_t group = INT8_GROUP;

	for (size_t o = 0; o < INT8_PANEL && panel * INT8_PANEL + o < m->out; o++) {
		const int8_t *from = codes + (panel * INT8_PANEL + o) * m->in;
		size_t whole = m->in / 4 * 4;
		for (size_t i = 0; i < whole; i += 4)
			memcpy(to + i * INT8_PANEL + o * 4, from + i, 4);
		memcpy(to + whole * INT8_PANEL + o * 4, from + whole, m->in - whole);
		while (group > INT8_STEP && heaviest(from, m->in, group) > INT8_TOGETHER)
			group /= 2;
	}
	m->group[panel] = (uint8_t)group;
}

enum status int8_matrix_pack(struct int8_matrix *m, const int8_t *codes, const float *scale, const struct linear *map, const float *gain,
			     struct err *err)
{
	*m = (struct int8_matrix){.in = map->in, .out = map->out, .depth = int8_depth(map->in)};
	m->panels = (m->out + INT8_PANEL - 1) / INT8_PANEL;
	size_t padded = m->panels * INT8_PANEL;
	/* One block of memory: zeros stand where a panel or a row is padded. */
	struct carver carver = {0};
	for (int pass = 0; pass < 2; pass++) {
		m->weights = carve(&carver, mem_product(padded, m->depth), 1);
		m->group = carve(&carver, m->panels, 1);
		m->scale = carve_floats(&carver, padded, 1);
		m->sum = carve_floats(&carver, padded, 1);
		m->bias = carve_floats(&carver, padded, 1);
		if (pass == 0 && !(carver = (struct carver){(char *)mem_floats(carver.used / sizeof(float)), 0}).base)
			return err_memory(err, "8-bit weights");
	}
	memset(m->weights, 0, padded * m->depth);
	memset(m->scale, 0, (size_t)((char *)(m->bias + padded) - (char *)m->scale));
#pragma omp parallel for schedule(static) if (m->out * m->in >= PARALLEL_LEAST)
	for (size_t panel = 0; panel < m->panels; panel++)
		pack_panel(m, codes, panel);
	for (size_t o = 0; o < m->out; o++) {
		int32_t sum = 0;
		for (size_t i = 0; i < m->in; i++)
			sum += codes[o * m->in + i];
		m->scale[o] = scale[o] * (gain ? gain[o] : 1);
		m->sum[o] = m->scale[o] * (float)sum;
		m->bias[o] = map->bias ? map->bias[o] * (gain ? gain[o] : 1) : 0;
	}
	return STATUS_OK;
}

enum status int8_matrix_init(struct int8_matrix *m, const struct linear *map, enum int8_range range, const float *gain, struct err *err)
{
	int8_t *codes = mem_array(mem_product(map->out, map->in), 1);
	float *scale = mem_floats(map->out);
	enum status status = STATUS_OK;

	*m = (struct int8_matrix){0};
	if (!codes || !scale)
		status = err_memory(err, "8-bit weights");
	if (status == STATUS_OK) {
		int8_weights(map->weight, map->out, map->in, range, codes, scale);
		status = int8_matrix_pack(m, codes, scale, map, gain, err);
	}
	free(codes);
	free(scale);
	return status;
}

void int8_matrix_release(struct int8_matrix *m)
{
	free(m->weights);
	*m = (struct int8_matrix){0};
}

/* ---- which kernel ------------------------------------------------------------------------------------------------- */

/* __builtin_cpu_supports does not know AVX-VNNI in all compilers. */
static bool has_avx_vnni(void)
{
	unsigned a, b, c, d;

	return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4) && __builtin_cpu_supports("avx2");
}

static const struct int8_kernel *usable[5];
static size_t usable_count;

static void find_kernels(void)
{
	bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
		    __builtin_cpu_supports("avx512dq");

	if (wide && __builtin_cpu_supports("avx512vnni"))
		usable[usable_count++] = &int8_avx512_vnni;
	if (has_avx_vnni())
		usable[usable_count++] = &int8_avx_vnni;
	if (wide)
		usable[usable_count++] = &int8_avx512;
	usable[usable_count++] = &int8_avx2;
	usable[usable_count++] = &int8_plain;
}

const struct int8_kernel *const *int8_kernels(size_t *count)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, find_kernels);
	*count = usable_count;
	return usable;
}

const struct int8_kernel *int8_kernel(void)
{
	size_t count;

	return int8_kernels(&count)[0];
}

enum int8_range int8_range(void)
{
	return int8_kernel()->levels == INT8_BYTE_LEVELS ? INT8_BYTES : INT8_PAIRS;
}

/* ---- over threads ------------------------------------------------------------------------------------------------- */

void int8_carve(struct carver *carver, struct int8_rows *rows, size_t T, size_t in_most)
{
	rows->codes = carve(carver, mem_product(T, int8_depth(in_most)), 1);
	rows->scale = carve_floats(carver, T, 1);
	rows->offset = carve_floats(carver, T, 1);
}

void int8_quantise(const float *x, size_t T, size_t n, const struct int8_rows *rows)
{
	const struct int8_kernel *kernel = int8_kernel();

#pragma omp parallel for schedule(static) if (T * n >= PARALLEL_LEAST)
	for (size_t t = 0; t < T; t++)
		kernel->quantise(x + t * n, n, rows->codes + t * int8_depth(n), rows->scale + t, rows->offset + t);
}

void int8_norm(const struct norm *norm, const float *x, size_t T, size_t D, const struct int8_rows *rows)
{
	const struct int8_kernel *kernel = int8_kernel();

#pragma omp parallel for schedule(static) if (T * D >= PARALLEL_LEAST)
	for (size_t t = 0; t < T; t++)
		kernel->norm(norm, x + t * D, D, rows->codes + t * int8_depth(D), rows->scale + t, rows->offset + t);
}

void int8_gelu(float *x, size_t T, size_t n, bool quick, const struct int8_rows *rows)
{
	const struct int8_kernel *kernel = int8_kernel();

#pragma omp parallel for schedule(static) if (T * n >= PARALLEL_LEAST)
	for (size_t t = 0; t < T; t++)
		kernel->gelu(x + t * n, n, quick, rows->codes + t * int8_depth(n), rows->scale + t, rows->offset + t);
}

void int8_linear(const struct int8_matrix *m, const struct int8_rows *rows, size_t T, bool add, float *y, size_t stride)
{
	const struct int8_kernel *kernel = int8_kernel();
	const struct int8_product product = {m, rows, T, add, y, stride};

	size_t threads = (size_t)op_threads(), units = (m->panels + PANELS_TOGETHER - 1) / PANELS_TOGETHER;

	if (threads == 1 || T * m->out * m->in < PARALLEL_PRODUCTS) {
		kernel->multiply(&product, 0, m->panels);
		return;
	}
#pragma omp parallel for schedule(static, 1)
	for (size_t t = 0; t < threads; t++) {
		size_t from = units * t / threads * PANELS_TOGETHER, to = units * (t + 1) / threads * PANELS_TOGETHER;
		kernel->multiply(&product, from, to < m->panels ? to : m->panels);
	}
}
