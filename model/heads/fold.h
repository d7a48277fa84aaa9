/* fold.h: an attentional pooler with few queries that all items share, forward and backward, over tokens that nothing flows back to.
 *
 *     xhat = (x - mean) * scale          of each token; ln_k's weight w and bias b come behind
 *     u[j,h] = W_k,h^T q[j,h] / sqrt(d)  keys fold into queries: score = xhat . (w * u), as constants over an item's tokens fall out
 *     mix = w * (sum_t p_t xhat_t) + b   values are made of mixes of tokens: W_v,h mix + b_v,h
 *
 * The same function as grad_block.h's pooler, which tests hold it against, at H n dot products of width D a token instead of 2 E:
 * learning is some ten times faster.
 *
 * Letters: B items, R their tokens, D width, n queries, H heads of width d, E = H d.
 */
#ifndef MODEL_HEADS_FOLD_H
#define MODEL_HEADS_FOLD_H

#include "model/heads/head.h"
#include "model/math/ops.h"

struct fold {
	size_t D, E, H, n;
	size_t R, B;                   /* of this batch; at most what was carved */
	size_t *begin;                 /* [B+1] rows of each item; the caller's to fill */
	float *x;                      /* [R,D] tokens in; xhat behind the forward */
	float *out;                    /* [B*n,E] */
	float *normed, *stat, *q;      /* [n,E] [n,2] [n,E] */
	float *u, *uw, *duw;           /* [nH,D] */
	float *p, *dp;                 /* [R,nH] */
	float *mixhat, *mix, *dmix;    /* [B*nH,D] */
	float *attended, *dattended;   /* [B*n,E] */
	float *dq, *dnormed, *partial;
};

/* Sizes are set; R and B are the largest. */
void fold_carve(struct carver *carver, struct fold *fold);
/* u of a head's queries: once as long as the head is not changed, before any forward. */
void fold_queries(struct fold *fold, const struct head *head);
void fold_forward(struct fold *fold, const struct head *head);
/* dout[B*n,E]; adds to the gradients of head's pooler. */
void fold_backward(struct fold *fold, const struct head *head, const struct head *gradient, const float *dout);

#endif
