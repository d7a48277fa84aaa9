/* held_out.h: what a model under training does with samples it never trains on: losses, and recall both ways.
 *
 * Photographs are cropped as searching crops them, once. Each caption is a query for its photograph among all; a photograph
 * finds its captions if any of them is among the first.
 */
#ifndef MODEL_TRAIN_HELD_OUT_H
#define MODEL_TRAIN_HELD_OUT_H

#include "model/data/dataset.h"
#include "model/train/objective.h"
#include "model/train/log.h"

struct held_out;

/* At most `most` samples, evenly from all of plain sources; of classes and of whole ones only where there are no others. *held is NULL if
 * there are none; those that cannot be decoded are left out. */
enum status held_out_new(const struct dataset *data, const struct config *config, size_t most, struct held_out **held, struct err *err);
void held_out_free(struct held_out *held); /* takes NULL */
size_t held_out_count(const struct held_out *held);

/* In batches of `batch`. The losses are means over batches, first captions alone. */
enum status held_out_measure(const struct held_out *held, const struct objective *objective, struct network *network,
			     const struct weights *weights, size_t batch, struct train_measure *measure, struct err *err);

#endif
