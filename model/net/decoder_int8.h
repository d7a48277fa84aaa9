/* decoder_int8.h: the multimodal decoder's matrices in 8 bits (int8.h), made from its weights, or read from a weights file that has them.
 *
 * There they stand beside the weights, which stay: a matrix [rows,columns] is I8 codes of its name, and name.scale [rows] in F32.
 *
 *     int8.text_decoder.resblocks.L.qkv .out .fc .proj      a self block's
 *     int8.text_decoder.cross_attn.L.q .out .fc .proj       a cross block's
 *     int8.text_decoder.vocabulary                  [V,W], in slices of VOCABULARY_BLOCK
 *
 * The maps of keys and values, which meet the queries folded (cross.h), are in fp32: in 8 bits they are no faster, and a likelihood is
 * 0.15 instead of 0.09 nats off at most.
 *
 * Letters: W width, V vocabulary.
 */
#ifndef MODEL_NET_DECODER_INT8_H
#define MODEL_NET_DECODER_INT8_H

#include "model/files/checkpoint.h"
#include "model/files/config.h"
#include "model/files/weights.h"
#include "model/math/int8.h"
#include "model/net/block.h"

#define DECODER_INT8_PREFIX "int8."

/* Ids whose logits are computed together: a block of them times some hundred rows stays in the cache. */
enum { VOCABULARY_BLOCK = 1024 };

struct decoder_int8 {
	struct int8_block *self, *cross; /* [layers]; of a cross block's qkv the queries alone */
	struct int8_matrix *vocabulary;  /* [blocks of VOCABULARY_BLOCK ids] */
};

/* What checkpoint (or NULL) does not hold is made. */
enum status decoder_int8_new(const struct config *config, const struct weights *weights, const struct checkpoint *checkpoint,
			     struct decoder_int8 **made, struct err *err);
void decoder_int8_free(struct decoder_int8 *made, const struct config *config); /* takes NULL */

/* The matrices as they are stored, i < decoder_int8_count. map: of [rows,columns] outputs and inputs; its weight is NULL for the
 * vocabulary, which lies turned over. */
struct decoder_matrix {
	char name[64];
	struct linear map;
};
size_t decoder_int8_count(const struct config *config);
struct decoder_matrix decoder_int8_matrix(const struct config *config, const struct weights *weights, size_t i);
enum status decoder_int8_codes(const struct config *config, const struct weights *weights, const struct decoder_matrix *matrix,
			       int8_t *codes /* [rows,columns] */, float *scale /* [rows] */, struct err *err);

#endif
