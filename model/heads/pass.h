/* pass.h: one forward of a head over a batch of items with tokens of any number, and the backward of a step that learns: what reading a
 * head (head.h) and teaching it (tune.h) are made of.
 *
 *     tokens -> folded pooler (fold.h) -> norm -> linear map -> logits
 *     of linear heads: embedding, standardised -> linear map -> logits
 */
#ifndef MODEL_HEADS_PASS_H
#define MODEL_HEADS_PASS_H

#include "model/heads/fold.h"
#include "model/heads/tune.h"

struct head_pass {
	const struct head *head;
	size_t batch, rows_most;       /* the largest */
	size_t C, E, n, D, in;         /* in: what the linear map sees */
	struct fold fold;              /* of heads with a pooler */
	float *x;                      /* [batch,D]: embeddings, of those without */
	float *mean, *scale;           /* [D]: which they are standardised by; 0 and 1 in a head that is complete */
	float *item;                   /* [rows_most,D] of one item, all of its tokens */
	float *normed, *stat;          /* [B*n,E] [B*n,2] */
	float *dnormed, *dpooled;      /* [B*n,E] */
	float *logits, *dlogits;       /* [batch,C] */
	float *partial;
	char *memory;
};

/* What the linear map sees of items: latent[n,in]; logits[n,C] follow from it. draw: NULL, or the state of the lot that leaves the share
 * `drop` of the tokens out. The queries are folded already. */
enum status pass_forward(struct head_pass *pass, const struct tune_item *const *items, size_t n, double drop, uint64_t *draw,
			 const float **latent, struct err *err);
/* From dlogits of the last forward, added to the gradients of each parameter. */
void pass_backward(struct head_pass *pass, const struct head *gradient, size_t n, const float *latent);

#endif
