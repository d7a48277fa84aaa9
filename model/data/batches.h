/* batches.h: batches made ahead by threads of their own, while the last one is being computed with.
 *
 *     batches_open(&options, &batches, err);
 *     while (batches_next(batches, parts, err) == STATUS_OK) { ... objective_gradient(..., parts, ...) ... }
 *     batches_close(batches);
 *
 * Batch after batch takes the next samples of epoch after epoch. What a sample looks like, which of its captions it comes
 * with and how it is mixed is drawn from (seed, epoch, place in the epoch): neither threads nor interruptions change it. A
 * photograph that cannot be decoded gives its place to another one, drawn the same way.
 *
 * Mixing: half of the mixed photographs are a sum of two (mixup, Zhang et al. 2018), half have a rectangle of another one pasted in
 * (CutMix, Yun et al. 2019). Sample i of a part is mixed with the part's ith from the end; its own share is at least a half.
 *
 * Forgetting hides words of captions from the text tower's other positions, so that a caption is not known by one of them; names of
 * classes and captions of what is whole, which are short or exact, are left as they are. The decoder still learns every word.
 */
#ifndef MODEL_DATA_BATCHES_H
#define MODEL_DATA_BATCHES_H

#include "model/data/augment.h"
#include "model/data/batch.h"
#include "model/data/dataset.h"
#include "model/files/config.h"

struct batches;

/* Where the next batch begins. */
struct batches_place {
	uint64_t epoch, offset;
};

struct batches_options {
	const struct dataset *data; /* tokenised; must outlive the batches */
	const struct config *config;
	struct augment augment;     /* a photograph whose caption says left or right is not mirrored */
	double mix;                 /* share of samples whose photograph is mixed with another one's, unless their source has its own */
	double forget;              /* share of a caption's words that its embedding does not see */
	double together;            /* share of a batch that is of one source (epoch.h) */
	size_t batch, parts;        /* samples of a part, parts of a batch */
	uint64_t seed;
	struct batches_place place;
	size_t threads;             /* that decode; at least 1 */
};

enum status batches_open(const struct batches_options *options, struct batches **batches, struct err *err);
void batches_close(struct batches *batches); /* takes NULL */

/* Sets parts[options.parts]; valid until the next call. STATUS_FORMAT if none of many photographs can be decoded. */
enum status batches_next(struct batches *batches, struct batch_part *parts, struct err *err);

/* Behind the last batch that was handed out. */
struct batches_place batches_place(const struct batches *batches);
/* Photographs that could not be decoded so far; example, if there were any, says why the first could not. */
size_t batches_failed(struct batches *batches, char example[256]);

#endif
