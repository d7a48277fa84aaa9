/* vision_int8.h: the image encoder's matrices in 8 bits (int8.h), made from its weights; of the blocks, read from a weights file that
 * has them.
 *
 *     vision_int8_new(config, weights, checkpoint, &made, err);
 *     vision_forward(config, weights, made, ...);
 *
 * Blocks, and where the processor multiplies whole bytes (INT8_BYTES) conv1 and the poolers' maps of keys, values and outputs: a
 * twentieth of ViT-B/32's arithmetic, they take a seventh of the time in fp32. With weights of -63..63 they would cost as much of the
 * cosine as four blocks. The file has no codes for them: few as they are, making them takes milliseconds.
 */
#ifndef MODEL_NET_VISION_INT8_H
#define MODEL_NET_VISION_INT8_H

#include "model/files/checkpoint.h"
#include "model/files/weights.h"
#include "model/math/int8.h"

/* A matrix that is not there (its weights NULL) stays in fp32. */
struct int8_pooler {
	struct int8_matrix kv;       /* [2E, what it attends to]: keys, then values */
	struct int8_matrix out;      /* [E,E] */
};

struct vision_int8 {
	struct int8_block *blocks;   /* [layers] */
	struct int8_matrix stem[STEM_MOST], patch; /* [stem_layers] but the first, conv1 */
	struct int8_pooler pool, pool_contrastive; /* as far as the configuration has them */
};

/* *made is the caller's. */
enum status vision_int8_new(const struct config *config, const struct weights *weights, const struct checkpoint *checkpoint,
			    struct vision_int8 **made, struct err *err);
void vision_int8_free(struct vision_int8 *made, const struct config *config); /* takes NULL */

#endif
