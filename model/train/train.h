/* train.h: a run of training: steps over batches, held-out measures, checkpoints, going on after a stop.
 *
 *     train_new(&options, &config, data, &train, err);
 *     train_from(train, coca_weights(model), coca_config(model), err);  // or train_resume(train, err); else from scratch
 *     while (train_steps(train) < options.optimizer.steps)
 *         train_step(train, &row, err);
 *     train_save(train, err);
 *
 * The folder it writes is a model folder as OpenCLIP has them: open_clip_config.json, open_clip_model.safetensors (the averaged
 * weights) and, put there by the caller, a tokenizer; beside them train_state.bin (state.h), log.csv and curves.svg.
 */
#ifndef MODEL_TRAIN_TRAIN_H
#define MODEL_TRAIN_TRAIN_H

#include "model/data/augment.h"
#include "model/files/checkpoint.h"
#include "model/data/dataset.h"
#include "model/train/objective.h"
#include "model/train/optimizer.h"
#include "model/train/log.h"

struct train;

struct train_options {
	const char *folder;         /* exists */
	struct objective objective;
	struct optimizer optimizer;
	struct augment augment;
	double mix, forget, together; /* batches.h */
	size_t batch, accumulate;   /* samples of a part, parts of a step */
	uint64_t seed;
	const char *freeze;         /* parts, or NULL (parameters_freeze) */
	size_t decoders;            /* threads that decode photographs */
	size_t held_out_most;       /* samples measured */
	enum dtype store;           /* of the weights: DTYPE_F32 or DTYPE_F16 */
	const char *note;           /* kept in train_state.bin for whoever resumes */
	size_t note_size;
};

/* Parameters drawn at random. data: finished and tokenised; it, folder, freeze and note must outlive the run. */
enum status train_new(const struct train_options *options, const struct config *config, const struct dataset *data, struct train **train,
		      struct err *err);
void train_free(struct train *train); /* takes NULL */

/* From other weights, whose configuration may differ in the side of photographs (parameters_copy). */
enum status train_from(struct train *train, const struct weights *weights, const struct config *config, struct err *err);
/* Goes on from the folder's train_state.bin. *same: the data are what they were; otherwise the next epoch begins. */
enum status train_resume(struct train *train, bool *same, struct err *err);

/* Steps done. */
uint64_t train_steps(const struct train *train);

/* One step. A loss or gradient that is not finite is STATUS_FAILED with the step and the tensor: nothing was changed. */
enum status train_step(struct train *train, struct train_row *row, struct err *err);

/* Measures the averaged weights on held-out samples, for the last step's line of the log. *count: how many; 0: there are none. */
enum status train_measure_held_out(struct train *train, struct train_measure *measure, size_t *count, struct err *err);

/* Keeps the averaged weights as best.safetensors, if the last measure has the best mean of both ways' recall at 10 so far. It can be
 * opened as a model (coca.h). */
enum status train_save_best(struct train *train, struct err *err);

/* Writes everything, each file atomically; the state last. */
enum status train_save(struct train *train, struct err *err);

/* Parameters in all, and those that are not frozen. */
size_t train_parameters(const struct train *train, size_t *trained);
/* Bytes of activations and of parameters with their gradients, moments and averages. */
size_t train_memory(const struct train *train);
/* All steps so far, those before a --resume included. */
const struct train_log *train_history(const struct train *train);
/* Photographs that could not be decoded; see batches_failed. */
size_t train_failed(const struct train *train, char example[256]);

#endif
