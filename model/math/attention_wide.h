/* attention_wide.h: a head of attention by AVX-512, where the processor has it; attention.c asks, and does it by OpenBLAS otherwise. */
#ifndef MODEL_MATH_ATTENTION_WIDE_H
#define MODEL_MATH_ATTENTION_WIDE_H

#include "model/math/ops.h"

/* Whether this processor and these sizes are what attention_wide is for. */
bool attention_wide_fits(size_t d, size_t queries, size_t keys);

/* Floats of scratch, enough for any d that fits. */
size_t attention_wide_scratch(size_t keys_most);

/* out = softmax(q k^T / sqrt(d)) v for one head of a sequence: what op_attention does. */
void attention_wide(const struct attend_shape *shape, const struct attend *sequence, size_t head, float *scratch);

/* The keys that the query at `at` may see, and what of its scores[whole] it does not see set to -inf. */
size_t attention_seen(const struct attend *sequence, bool causal, size_t at);
void attention_hide(const struct attend *sequence, size_t seen, float *scores, size_t whole);

#endif
