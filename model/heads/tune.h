/* tune.h: teaching a head (head.h) on what a frozen model says of photographs. What it says is computed once, by the caller; the
 * model itself is only read, and only for the values a pooler starts from.
 *
 *     head_init(&head, HEAD_POOLER, labels, C, D, E, heads, 1, err);
 *     tune_start(&head, weights, config, seed);                              // the model's own pooler, where it has one
 *     tune_head(&head, train, n, stop, m, &options, &result, err);
 *
 *     items of a batch -> tokens as floats, some left out by lot -> pooler -> norm -> linear -> loss -> backward -> AdamW
 *
 * After each epoch the loss on the photographs of `stop`, which it does not learn from, is measured; the best parameters are kept, and
 * where it has not fallen for a while, learning ends.
 */
#ifndef MODEL_HEADS_TUNE_H
#define MODEL_HEADS_TUNE_H

#include <stdint.h>

#include "model/files/config.h"
#include "model/heads/head.h"

/* One photograph (or photograph and question) and its labels, each once, ascending. */
struct tune_item {
	const void *blob;         /* tokens as packed.h writes them; linear heads have none */
	size_t size;
	const float *embedding;   /* [D]: of linear heads */
	const uint32_t *labels;
	size_t label_count;       /* 1 unless the head has several */
};

struct tune_options {
	size_t epochs, patience;  /* at most; without a lower loss. patience 0: no early stopping */
	size_t batch;
	double rate, weight_decay;
	double drop;              /* share of the tokens left out of each item of a step */
	double smoothing;         /* share of the target that all labels have in equal parts */
	double balance;           /* 0: every photograph counts alike; 1: every label counts alike; between: between */
	uint64_t seed;
	bool (*stopped)(void *context, size_t epoch, double train_loss, double stop_loss); /* after each epoch; true ends it; or NULL */
	void *context;
};
extern const struct tune_options tune_defaults, tune_linear_defaults;

struct tune_result {
	size_t epochs, best;      /* done; whose parameters the head has, from 1 */
	double train_loss, stop_loss; /* of the best; NAN where nothing is in `stop` */
};

/* Values to start from. weights: NULL draws the pooler at random. */
enum status tune_start(struct head *head, const struct weights *weights, const struct config *config, uint64_t seed, struct err *err);

enum status tune_head(struct head *head, const struct tune_item *train, size_t n, const struct tune_item *stop, size_t m,
		      const struct tune_options *options, struct tune_result *result, struct err *err);

/* p[n,C]: the head's probabilities, as head_read has them. */
enum status tune_measure(const struct head *head, const struct tune_item *items, size_t n, float *p, struct err *err);

/* Weight of each label in the loss: [C], for a photograph that has it. */
void tune_weights(const struct head *head, const struct tune_item *items, size_t n, double balance, float *weight);

/* The loss of items, each label weighing weight[C], and its gradient added to that of each parameter: gradient's slots (NULL: the loss
 * alone). draw: NULL, or the state of the lot that leaves tokens out. For tests, and what tune_head is made of. */
enum status tune_step(struct head_pass *pass, const struct head *gradient, const struct tune_item *const *items, size_t n,
		      const float *weight, double smoothing, double drop, uint64_t *draw, double *loss, struct err *err);

#endif
