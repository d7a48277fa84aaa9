/* epoch.h: in which order an epoch's samples come.
 *
 *     uint32_t *order;
 *     size_t count;
 *     epoch_order(data, &(struct epoch_options){.seed = 1, .batch = 160, .together = 0.5}, epoch, &order, &count, err);
 *     ... batch k takes order[160 k] and what follows ...
 *     free(order);
 *
 * Each sample comes as often as its source's weight says, the fraction by lot. The same seed and epoch give the same order.
 *
 * Negatives from another source are told apart by what kind of picture they are, and teach little; those of one source are what a search
 * among such photographs meets. So a share of each batch can be of one source, another one each time.
 */
#ifndef MODEL_DATA_EPOCH_H
#define MODEL_DATA_EPOCH_H

#include "model/data/dataset.h"

struct epoch_options {
	uint64_t seed;
	size_t batch;           /* samples of a step; not looked at if together is 0 */
	double together;        /* share of a batch that is of one source, 0 to 1 */
};

/* *order is the caller's to free. With `together` *count is a multiple of batch: the rest of the epoch is left out, unless the epoch is
 * shorter than a batch. Twins of a source of pairs follow each other, seldom across the end of a
 * batch; a sample of pairs without its twin does not come. */
enum status epoch_order(const struct dataset *data, const struct epoch_options *options, uint64_t epoch, uint32_t **order, size_t *count,
			struct err *err);

#endif
