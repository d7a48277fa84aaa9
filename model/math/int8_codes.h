/* int8_codes.h: the part of int8_kernel.h that makes whole numbers of activations: loops that gcc vectorises. */

struct KERNEL(range) {
	float low, high;
	float wrong; /* 0, or NaN if a number was not finite: it goes into the scale, and so into every result */
};

static inline TARGET float KERNEL(steps)(const struct KERNEL(range) *range, float *scale, float *offset)
{
	*scale = (range->high - range->low) * (1.0f / LEVELS) + range->wrong;
	*offset = range->low;
	return range->high - range->low > INT8_TINY ? LEVELS / (range->high - range->low) : 0;
}

static TARGET void KERNEL(codes)(const float *x, size_t n, float offset, float inverse, uint8_t *codes)
{
#pragma omp simd
	for (size_t i = 0; i < n; i++)
		codes[i] = (uint8_t)(int32_t)((x[i] - offset) * inverse + 0.5f);
	memset(codes + n, 0, (INT8_STEP - n % INT8_STEP) % INT8_STEP);
}

static TARGET void KERNEL(quantise)(const float *x, size_t n, uint8_t *codes, float *scale, float *offset)
{
	float low = x[0], high = x[0], wrong = 0;

#pragma omp simd reduction(min : low) reduction(max : high) reduction(+ : wrong)
	for (size_t i = 0; i < n; i++) {
		low = x[i] < low ? x[i] : low;
		high = x[i] > high ? x[i] : high;
		wrong += x[i] - x[i];
	}
	struct KERNEL(range) range = {low, high, wrong};
	float inverse = KERNEL(steps)(&range, scale, offset);
	KERNEL(codes)(x, n, low, inverse, codes);
}

/* The row stays in the first cache: normalising it twice is cheaper than keeping what comes out. */
static TARGET void KERNEL(norm)(const struct norm *norm, const float *x, size_t D, uint8_t *codes, float *scale, float *offset)
{
	const float *weight = norm->weight, *bias = norm->bias;
	float gain, low = INFINITY, high = -INFINITY, wrong = 0;
	const float mean = row_moments(x, D, &gain);

#pragma omp simd reduction(min : low) reduction(max : high) reduction(+ : wrong)
	for (size_t i = 0; i < D; i++) {
		float y = (x[i] - mean) * gain * weight[i] + bias[i];
		low = y < low ? y : low;
		high = y > high ? y : high;
		wrong += y - y;
	}
	struct KERNEL(range) range = {low, high, wrong};
	const float inverse = KERNEL(steps)(&range, scale, offset);
#pragma omp simd
	for (size_t i = 0; i < D; i++) {
		float y = (x[i] - mean) * gain * weight[i] + bias[i];
		codes[i] = (uint8_t)(int32_t)((y - low) * inverse + 0.5f);
	}
	memset(codes + D, 0, (INT8_STEP - D % INT8_STEP) % INT8_STEP);
}

/* x Phi(x) with Phi(x) = 1/2 + x P(x^2) up to |x| = 3.9: the largest error is 1.5e-4. */
static TARGET void KERNEL(gelu)(float *x, size_t n, bool quick, uint8_t *codes, float *scale, float *offset)
{
	float low = INFINITY, high = -INFINITY, wrong = 0;

	if (quick) {
		op_gelu(x, n, true);
		KERNEL(quantise)(x, n, codes, scale, offset);
		return;
	}
#pragma omp simd reduction(min : low) reduction(max : high) reduction(+ : wrong)
	for (size_t i = 0; i < n; i++) {
		float at = x[i] < -3.9f ? -3.9f : x[i] > 3.9f ? 3.9f : x[i], square = at * at;
		float p = 2.6270063457900505e-8f * square - 1.770426933944691e-6f;
		p = p * square + 5.123600203660317e-5f;
		p = p * square - 8.445004350505769e-4f;
		p = p * square + 8.913734927773476e-3f;
		p = p * square - 6.486936658620834e-2f;
		p = p * square + 3.980855345726013e-1f;
		float y = x[i] * (at * p + 0.5f);
		low = y < low ? y : low;
		high = y > high ? y : high;
		wrong += y - y;
		x[i] = y;
	}
	struct KERNEL(range) range = {low, high, wrong};
	float inverse = KERNEL(steps)(&range, scale, offset);
	KERNEL(codes)(x, n, low, inverse, codes);
}
