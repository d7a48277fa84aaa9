/* objective.h: both losses of a batch and their gradient, whatever number of parts the batch is computed in.
 *
 * With several parts all samples are each other's negatives all the same: the features of every part come first, then the
 * contrastive loss of the whole, then each part again with its share of the gradient (GradCache, Gao et al. 2021). The result is
 * that of one large batch; the price is the towers' forward once more for all parts but one.
 */
#ifndef MODEL_TRAIN_OBJECTIVE_H
#define MODEL_TRAIN_OBJECTIVE_H

#include "model/train/network.h"
#include "model/train/parameters.h"

struct objective {
	float contrastive_weight, caption_weight; /* the paper's: 1 and 2; 0 leaves a loss out */
};

/* One part, and which photograph and which caption each sample is: equal numbers are not each other's negatives, nor is a text that says
 * what the photograph shows. A photograph that is mixed shows its own sample to a share of at least a half, and its partner's: the
 * contrastive loss has both for targets, the decoder learns its own sample's caption. */
struct objective_part {
	struct network_batch batch;
	const uint64_t *photo, *caption; /* [B] */
	const uint32_t *partner; /* [B], numbers of the same part; NULL: nothing is mixed */
	const float *share;      /* [B] */
	const uint64_t *shows, *says; /* [B] bits of broader terms; NULL: none */
};

struct losses {
	double contrastive, caption;      /* unweighted means */
	double total;                     /* weighted sum */
	size_t counted;                   /* labels of the caption loss */
};

/* Adds the gradient of the weighted sum to p->gradient. */
enum status objective_gradient(const struct objective *objective, struct network *network, struct parameters *p,
			       const struct objective_part *parts, size_t count, struct losses *losses, struct err *err);

/* The losses alone, of weights that may be averages, on one part. */
enum status objective_losses(const struct objective *objective, struct network *network, const struct weights *weights,
			     const struct objective_part *part, struct losses *losses, struct err *err);

#endif
