/* grad_block.h: a residual block and an attentional pooler as training runs them: the forward keeps what the backward needs.
 *
 *     x -> ln_1 -> q, k, v -> attention -> out -> * ls_1 -> + x = mid
 *     mid -> ln_2 -> fc -> GELU -> proj -> * ls_2 -> + mid = the next block's x
 *
 * Gradients go into a second struct block (or pooler) whose pointers are NULL where a parameter is frozen.
 *
 * Letters: R rows in all, Rk rows of image tokens, D width, F hidden width, E embedding, n queries of a pooler, B items.
 */
#ifndef MODEL_TRAIN_GRAD_BLOCK_H
#define MODEL_TRAIN_GRAD_BLOCK_H

#include "model/files/config.h"
#include "model/train/grad_ops.h"
#include "model/math/ops.h"
#include "model/files/weights.h"

/* Scratch that all passes share: carving one widens it as far as that one needs, and it is carved last. */
struct grad_scratch {
	size_t wide_floats, row_floats, partial_width, attention_most;
	float *wide;        /* gradient of q, k, v, or of the MLP's hidden */
	float *row, *other; /* [R,D] gradients on the way */
	float *partial, *attention;
};
void grad_scratch_carve(struct carver *carver, struct grad_scratch *scratch);

/* What a block keeps; x and out belong to neighbours (a block's out is the next one's x). */
struct block_pass {
	float *x, *mid, *out;        /* [R,D] */
	float *norm1, *norm2;        /* [R,D] */
	float *stat1, *stat2;        /* [R,2] */
	float *qkv;                  /* [R,3D]; cross blocks: q [R,D] */
	float *attended;             /* [R,D] */
	float *p;                    /* probabilities */
	float *slope, *hidden;       /* [R,F] */
	float *branch1, *branch2;    /* [R,D], with layer scale only */
	float *norm_kv, *stat_kv;    /* cross blocks: [Rk,D], [Rk,2] */
	float *kv;                   /* cross blocks: [Rk,2D] */
};

struct block_shape {
	size_t R, D, F;
	bool quick, layer_scale;
	bool cross;
	size_t Rk;                   /* cross blocks: rows of image tokens */
	size_t p;                    /* floats of the probabilities */
	struct grad_attention attention;
};

/* x is given; out is carved, too. */
void block_pass_carve(struct carver *carver, const struct block_shape *shape, struct block_pass *pass, struct grad_scratch *scratch);
/* tokens[Rk,D]: cross blocks only. */
void block_pass_forward(const struct block_shape *shape, const struct block *w, const float *tokens, struct block_pass *pass);
/* dx[R,D]: on entry the gradient of out, on return that of x. dtokens[Rk,D] is added to; NULL: not wanted. */
void block_pass_backward(const struct block_shape *shape, const struct block *w, const struct block *dw, const float *tokens,
			 const struct block_pass *pass, struct grad_scratch *scratch, float *dx, float *dtokens);

struct pooler_pass {
	float *norm_q, *stat_q;      /* [n,E] */
	float *q;                    /* [n,E] */
	float *norm_k, *stat_k;      /* [R,D] */
	float *kv;                   /* [R,2E] */
	float *p, *attended;         /* [B*n,E] */
	float *out;                  /* [B*n,E] */
};

struct pooler_shape {
	size_t n, E;
	size_t R, D;                 /* of what it attends to */
	size_t B, p;
	struct grad_attention attention;
};

void pooler_pass_carve(struct carver *carver, const struct pooler_shape *shape, struct pooler_pass *pass, struct grad_scratch *scratch);
void pooler_pass_forward(const struct pooler_shape *shape, const struct pooler *w, const float *x /* [R,D] */, struct pooler_pass *pass);
/* dx[R,D] = keep * dx + its gradient; NULL: not wanted. */
void pooler_pass_backward(const struct pooler_shape *shape, const struct pooler *w, const struct pooler *dw, const float *x,
			  const struct pooler_pass *pass, struct grad_scratch *scratch, const float *dout, float keep, float *dx);

#endif
