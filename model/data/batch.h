/* batch.h: samples as the network and its losses take them.
 *
 * A step's batch may come in several parts that are computed one after the other. Texts lie one after another without padding.
 *
 * Letters: B samples, S image side, C context.
 */
#ifndef MODEL_DATA_BATCH_H
#define MODEL_DATA_BATCH_H

#include <stddef.h>
#include <stdint.h>

struct batch_inputs {
	size_t B;
	const float *pixels;    /* [B,3,S,S]; or NULL, and */
	const uint8_t *rgb;     /* [B,S,S,3], not yet normalised; both NULL: features of texts alone, no backward */
	const int32_t *ids;     /* of all texts, one after another: start first, end last, no padding */
	const size_t *begin;    /* [B+1]: text i is ids[begin[i]..begin[i+1]-1], 1 to C of them */
	const uint8_t *hidden;  /* beside ids: 1 where no position of the text tower sees the word; NULL: nowhere */
};

/* What the contrastive loss knows of a sample besides its embeddings: samples of the same photograph or the same caption are not each
 * other's negatives, nor is a text that says what a photograph shows. A photograph that is mixed shows its own sample to a share of at
 * least a half, and its partner's: the contrastive loss has both for targets, the decoder learns its own sample's caption. */
struct batch_sample {
	uint64_t photo, caption; /* numbers */
	uint64_t shows, says;    /* bits of broader terms (broader.h), of the photograph and of the text */
	uint32_t partner;        /* of the same part */
	float share;             /* its own; 1: nothing is mixed in */
};

struct batch_part {
	struct batch_inputs batch;
	const struct batch_sample *samples; /* [B] */
};

#endif
