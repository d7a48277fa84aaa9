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

struct losses {
	double contrastive, caption;      /* unweighted means */
	double total;                     /* weighted sum */
	size_t counted;                   /* labels of the caption loss */
};

/* Adds the gradient of the weighted sum to p->gradient. */
enum status objective_gradient(const struct objective *objective, struct network *network, struct parameters *p,
			       const struct batch_part *parts, size_t count, struct losses *losses, struct err *err);

/* The losses alone, of weights that may be averages, on one part. */
enum status objective_losses(const struct objective *objective, struct network *network, const struct weights *weights,
			     const struct batch_part *part, struct losses *losses, struct err *err);

#endif
