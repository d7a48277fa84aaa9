/* packed.c: see packed.h. The processor has F16C: the build requires AVX2, and every such processor has it. */
#include "schema/base/packed.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "schema/base/banned.h"

static const char TOKENS_MAGIC[4] = {'C', 'T', 'K', '1'};
enum { TOKENS_HEADER = 12 };

void packed_from_half(const void *from, float *to, size_t n)
{
	const uint8_t *in = from;
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		__m128i half = _mm_loadu_si128((const __m128i *)(in + 2 * i));
		_mm256_storeu_ps(to + i, _mm256_cvtph_ps(half));
	}
	for (; i < n; i++) {
		uint16_t half;
		memcpy(&half, in + 2 * i, sizeof half);
		to[i] = _cvtsh_ss(half);
	}
}

void packed_to_half(const float *from, void *to, size_t n)
{
	uint8_t *out = to;
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		__m128i half = _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT);
		_mm_storeu_si128((__m128i *)(out + 2 * i), half);
	}
	for (; i < n; i++) {
		uint16_t half = _cvtss_sh(from[i], _MM_FROUND_TO_NEAREST_INT);
		memcpy(out + 2 * i, &half, sizeof half);
	}
}

size_t packed_tokens_size(size_t n, size_t w)
{
	return TOKENS_HEADER + n * sizeof(float) + n * w;
}

void packed_tokens_write(const float *tokens, size_t n, size_t w, void *blob)
{
	uint8_t *out = blob;
	uint32_t sizes[2] = {(uint32_t)n, (uint32_t)w};

	memcpy(out, TOKENS_MAGIC, sizeof TOKENS_MAGIC);
	memcpy(out + 4, sizes, sizeof sizes);
	int8_t *bytes = (int8_t *)out + TOKENS_HEADER + n * sizeof(float);
	for (size_t i = 0; i < n; i++) {
		const float *row = tokens + i * w;
		float largest = 0;
		for (size_t j = 0; j < w; j++)
			largest = fmaxf(largest, fabsf(row[j]));
		float scale = largest / 127, inverse = scale > 0 ? 1 / scale : 0;
		memcpy(out + TOKENS_HEADER + i * sizeof scale, &scale, sizeof scale);
		for (size_t j = 0; j < w; j++)
			bytes[i * w + j] = (int8_t)fminf(127, fmaxf(-127, rintf(row[j] * inverse)));
	}
}

void packed_tokens_shape(const void *blob, size_t size, size_t *n, size_t *w)
{
	const uint8_t *in = blob;
	uint32_t sizes[2];

	*n = *w = 0;
	if (size < TOKENS_HEADER || memcmp(in, TOKENS_MAGIC, sizeof TOKENS_MAGIC) != 0)
		return;
	memcpy(sizes, in + 4, sizeof sizes);
	if (size - TOKENS_HEADER != sizes[0] * (sizeof(float) + (uint64_t)sizes[1]))
		return;
	*n = sizes[0];
	*w = sizes[1];
}

enum status packed_tokens_view(const void *blob, size_t size, size_t n, size_t w, const float **scales, const int8_t **bytes,
			       struct err *err)
{
	const uint8_t *in = blob;
	uint32_t sizes[2];

	if (size < TOKENS_HEADER || memcmp(in, TOKENS_MAGIC, sizeof TOKENS_MAGIC) != 0)
		return err_set(err, STATUS_FORMAT, "stored image tokens have no valid header");
	memcpy(sizes, in + 4, sizeof sizes);
	if (sizes[0] != n || sizes[1] != w || size != packed_tokens_size(n, w))
		return err_set(err, STATUS_FORMAT, "stored image tokens are %u x %u in %zu bytes, the model needs %zu x %zu",
			       sizes[0], sizes[1], size, n, w);
	*scales = (const float *)(const void *)(in + TOKENS_HEADER);
	*bytes = (const int8_t *)in + TOKENS_HEADER + n * sizeof(float);
	return STATUS_OK;
}

enum status packed_tokens_read(const void *blob, size_t size, size_t n, size_t w, float *tokens, struct err *err)
{
	const float *scales = NULL;
	const int8_t *bytes = NULL;
	enum status status = packed_tokens_view(blob, size, n, w, &scales, &bytes, err);

	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		float scale;
		memcpy(&scale, scales + i, sizeof scale); /* the blob may lie anywhere here */
		for (size_t j = 0; j < w; j++)
			tokens[i * w + j] = scale * (float)bytes[i * w + j];
	}
	return status;
}
