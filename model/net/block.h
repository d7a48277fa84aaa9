/* block.h: the pre-norm residual block that every tower of CoCa is a stack of, over packed sequences.
 *
 *     x -> ln_1 -> q, k, v -> attention -> out -> * ls_1 -> + x
 *       -> ln_2 -> fc -> GELU -> proj  -> * ls_2 -> + x
 *
 * Sequences of different lengths lie one after another in x without padding: matrix products see one tall matrix, attention
 * sees each sequence alone. A cross block's keys and values come from ln_1_kv(image tokens).
 *
 * Letters: R rows in all, D width, F hidden width of the MLP.
 */
#ifndef MODEL_NET_BLOCK_H
#define MODEL_NET_BLOCK_H

#include "model/files/config.h"
#include "model/files/weights.h"
#include "model/math/int8.h"
#include "model/math/ops.h"

/* A block's maps in 8 bits; layer scales are in out and proj. Of a cross block qkv is the queries' alone. */
struct int8_block {
	struct int8_matrix qkv, out, fc, proj;
};

/* Sequence i has rows begin[i]..begin[i+1]-1. */
struct pack {
	const size_t *begin;    /* [count+1] */
	size_t count;
	const uint8_t *visible; /* [R] keys that may be seen, or NULL */
	bool causal;
};

/* What every block of a tower shares. */
struct block_scratch {
	size_t width, heads, hidden;
	bool quick;
	float *normed;          /* [R,D] */
	float *wide;            /* [R, max(3D,F)]: q, k, v, then the MLP's hidden */
	float *branch;          /* [R,D]; only with layer scale */
	float *scores;
	struct attend *jobs;    /* [sequences] */
	struct int8_rows rows;  /* [R, max(D,F)]: what a block's 8-bit maps take */
};

/* keys_most: the longest sequence, or most image tokens. */
void block_carve(struct carver *carver, struct block_scratch *scratch, const struct tower *tower, bool quick, size_t rows,
		 size_t sequences, size_t keys_most, int threads);

/* x[R,D] in place. int8: the block's maps, which then are used; or NULL. */
void block_self(const struct block *block, const struct int8_block *int8, struct block_scratch *scratch, const struct pack *pack, float *x);

/* The same, for the last row of each sequence alone: last[count,D] from x[R,D], which stays. */
void block_self_last(const struct block *block, struct block_scratch *scratch, const struct pack *pack, const float *x, float *last);

/* The parts, for callers that cache or share: q[R,D] = ln_1(x) W_q + b_q. */
void block_queries(const struct block *block, struct block_scratch *scratch, const float *x, size_t rows, float *q);

/* kv[rows,2D]: k and v of x[rows,from], already normalised. */
void attention_keys(const struct attention *attention, size_t D, size_t from, const float *x, size_t rows, float *kv);

/* x += ls_1 * out(attended), then the MLP's half. attended[R,D] may be scratch->normed. */
void block_finish(const struct block *block, const struct int8_block *int8, struct block_scratch *scratch, const float *attended,
		  size_t rows, float *x);

#endif
