/* weights.h: every parameter of a CoCa: one table gives name, shape and the place of its pointer. Loading, saving, counting,
 * gradients and the optimizer all walk that table with weights_visit.
 *
 * Shapes (config.h's letters): S image side, P patch side, D width of a tower, F its MLP's hidden width, E embedding, W decoder's width,
 * V vocabulary, C context. A linear map is y[out] = W[out,in] x[in] + b, but for the *_proj of the towers, which are
 * y = x proj with proj[in,out], as OpenCLIP has them.
 */
#ifndef MODEL_FILES_WEIGHTS_H
#define MODEL_FILES_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>

#include "model/files/checkpoint.h"
#include "model/files/config.h"
#include "model/math/ops.h"
#include "schema/base/status.h"

struct attention {
	float *in_weight;            /* [3D,D]: q, k, v stacked; NULL where k and v come from another width: then the three below */
	float *q_weight, *k_weight, *v_weight; /* [D,D] [D,Dkv] [D,Dkv]: always set after loading (into in_weight where stacked) */
	float *in_bias;              /* [3D] */
	float *out_weight, *out_bias; /* [D,D] [D] */
};

/* x += ls_1 * attn(ln_1(x)) ; x += ls_2 * mlp(ln_2(x)). A cross block's k and v come from ln_1_kv(image tokens). */
struct block {
	struct norm ln_1, ln_1_kv /* cross blocks only */, ln_2;
	struct attention attn;
	float *ls_1, *ls_2;          /* [D] or NULL */
	float *fc_weight, *fc_bias;  /* [F,D] [F] */
	float *proj_weight, *proj_bias; /* [D,F] [D] */
};

/* out = attn(q = ln_q(query), k = v = ln_k(x)) */
struct pooler {
	float *query;                /* [n,E] */
	struct norm ln_q, ln_k;      /* [E], [D of what it attends to] */
	struct attention attn;
};

/* y = gelu(ln_1(conv x)) */
struct stem_weights {
	float *conv;                 /* [out,3,3,in] */
	struct norm ln;              /* [out] */
};

struct weights {
	float *logit_scale;          /* scalar, natural logarithm of the scale */

	struct stem_weights stem[STEM_MOST]; /* visual.stem.*, ours: config.stem_layers of them */
	float *patch_weight;         /* visual.conv1.weight [D,3,P,P]; with a stem its last width and what its strides leave of P */
	float *class_embedding;      /* [D] */
	float *vision_positions;     /* [1+patches,D] */
	struct norm ln_pre, ln_post;
	struct block *vision;        /* [layers] */
	struct pooler pool, pool_contrastive; /* OpenCLIP's attn_pool and attn_pool_contrastive; by config.pooling */
	float *vision_proj;          /* [pooled width,E] */

	float *token_embedding;      /* [V,W] */
	float *text_positions;       /* [C+1,W] */
	float *class_text;           /* cls_emb [W] */
	struct block *text;          /* [layers] */
	struct norm text_ln_final;
	float *text_proj;            /* [W,E] */

	struct block *decoder, *cross; /* [layers] each */
	struct norm decoder_ln_final;
	float *decoder_proj;         /* [W,V] */
};

struct weight_info {
	char name[96];               /* OpenCLIP's */
	size_t shape[4];
	int dims;                    /* 0: a scalar */
	size_t count;                /* product of shape */
};

/* Allocates the arrays of blocks (zeroed, no parameter yet). */
enum status weights_init(struct weights *weights, const struct config *config, struct err *err);
void weights_release(struct weights *weights); /* the arrays of blocks, not the parameters */

/* Calls visit once for each parameter, in OpenCLIP's order of registration, with the address of its pointer, until it
 * returns anything but STATUS_OK. Views into a stacked in_weight (q, k, v) are no parameters and are not visited. */
typedef enum status (*weight_visitor)(void *context, const struct weight_info *info, float **slot, struct err *err);
enum status weights_visit(struct weights *weights, const struct config *config, weight_visitor visit, void *context, struct err *err);

/* Sets q_weight, k_weight, v_weight of every stacked in_weight. To be called once all slots are filled. */
void weights_link(struct weights *weights, const struct config *config);

/* Number of parameters of a configuration. */
size_t weights_count(const struct config *config);

/* Writes all parameters as safetensors, stored as DTYPE_F32 or DTYPE_F16. */
enum status weights_save(struct weights *weights, const struct config *config, const char *path, enum dtype store,
			 struct err *err);

#endif
