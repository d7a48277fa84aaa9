/* dataset.h: captioned photographs for training: where each one's bytes are, and its captions.
 *
 *     struct dataset *data;
 *     dataset_new(memory, spill_folder, holdout, &data, err);
 *     dataset_add_shard(data, "coco.tar.gz", &(struct dataset_source){.weight = 2}, err); // twice as often as its size says
 *     dataset_add_table(data, "photos.tsv", NULL, err);
 *     dataset_finish(data, err);
 *
 * Compressed photographs of shards are kept in memory up to a limit, and beyond it in a file without a name in spill_folder; those of a
 * table (lines of path, tab, caption; paths relative to its folder; a path may come again with another caption) stay where they are.
 * Every holdout-th sample of each source is kept aside for measuring, and its photograph never trained on, wherever else it occurs.
 *
 * A source of classes has the names of a thing for captions, the usual one first ("a photo of a tusker"); in a table each name has
 * a line, and a photograph's lines follow each other. They are put into prompts when training, and whatever is said of one class counts
 * as the same text.
 */
#ifndef MODEL_DATA_DATASET_H
#define MODEL_DATA_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/words/tokenizer.h"
#include "schema/base/status.h"

struct dataset;

struct dataset_source {
	double weight;          /* how often a sample comes in an epoch */
	double mix;             /* share of its samples that are mixed (batches.h), if own_mix */
	bool own_mix;
	bool classes;           /* captions are names of classes */
	bool whole;             /* photographs are trained on as they are: neither cut, mirrored, recoloured nor mixed */
	bool pairs;             /* samples 0 and 1, 2 and 3, ... are each other's hardest negatives: they come in one batch */
};

enum status dataset_new(size_t memory, const char *spill_folder, size_t holdout /* 0: none */, struct dataset **data, struct err *err);
void dataset_free(struct dataset *data); /* takes NULL */

/* Other prompts for classes than those built in (prompts.h); before any are added. */
enum status dataset_prompts(struct dataset *data, const char *path, struct err *err);
/* Terms that are broader than class names (broader.h); before any are added. A quarter of what is said of a class is then such a term,
 * and what a photograph shows is none of its negatives: neither "a dog" of a terrier, nor of "a dog runs along the beach". */
enum status dataset_broader(struct dataset *data, const char *path, struct err *err);
/* source NULL: weight 1, and nothing special. */
enum status dataset_add_shard(struct dataset *data, const char *path, const struct dataset_source *source, struct err *err);
enum status dataset_add_table(struct dataset *data, const char *path, const struct dataset_source *source, struct err *err);
/* Parts training from held-out samples. STATUS_NOT_FOUND if nothing is left to train on. */
enum status dataset_finish(struct dataset *data, struct err *err);

/* Turns every caption into ids once, at most context of them each. */
enum status dataset_tokenise(struct dataset *data, const struct tokenizer *tokenizer, size_t context, struct err *err);

struct dataset_counts {
	size_t samples, held_out, captions;
	size_t skipped;        /* of shards: without image or caption */
	size_t twins;          /* left out, as the same photograph is held out */
	size_t memory, spilled; /* bytes of photographs */
};
void dataset_count(const struct dataset *data, struct dataset_counts *counts);
/* Changes when photographs or captions do. */
uint64_t dataset_digest(const struct dataset *data);

/* --- samples: 0..samples-1 are for training, the held-out ones have numbers of their own from 0 --- */

enum dataset_part { DATASET_TRAIN, DATASET_HELD_OUT };

const struct dataset_source *dataset_source(const struct dataset *data, enum dataset_part part, size_t sample);

/* Where the sample stood among those of its source. */
size_t dataset_number(const struct dataset *data, enum dataset_part part, size_t sample);

/* Captions as the source has them; a class's broader terms and prompts are numbered behind them. */
size_t dataset_captions(const struct dataset *data, enum dataset_part part, size_t sample);
const char *dataset_caption(const struct dataset *data, enum dataset_part part, size_t sample, size_t which);
/* After dataset_tokenise; *count ids. */
const int32_t *dataset_ids(const struct dataset *data, enum dataset_part part, size_t sample, size_t which, size_t *count);
/* One of a training sample's captions; of a class, its usual name as often as all of its names together, or a broader term, in any
 * prompt. */
size_t dataset_draw(const struct dataset *data, size_t sample, uint64_t *random);
/* The same number for captions that say the same: the same ids, or the same class. */
uint64_t dataset_text(const struct dataset *data, enum dataset_part part, size_t sample, size_t which);
/* Bits of the broader terms that a photograph shows, as far as its captions tell, and of the one that a text is. */
uint64_t dataset_shows(const struct dataset *data, enum dataset_part part, size_t sample);
uint64_t dataset_says(const struct dataset *data, enum dataset_part part, size_t sample, size_t which);
/* Whether a caption says left or right: its photograph's mirror image is another one. */
bool dataset_sided(const struct dataset *data, enum dataset_part part, size_t sample, size_t which);
/* The same number for the same photograph. */
uint64_t dataset_photo(const struct dataset *data, enum dataset_part part, size_t sample);
/* Compressed bytes: *bytes is valid until *owned is freed by the caller (NULL: as long as data). Threads may call it at once. */
enum status dataset_bytes(const struct dataset *data, enum dataset_part part, size_t sample, const uint8_t **bytes, size_t *size,
			  void **owned, struct err *err);

/* Calls visit for each caption of the training part, without prompts. */
typedef enum status (*caption_visitor)(void *context, const char *caption, size_t size, struct err *err);
enum status dataset_captions_each(const struct dataset *data, caption_visitor visit, void *context, struct err *err);

/* How many samples an epoch has: the sum of weights (epoch.h has the epochs). */
size_t dataset_epoch_samples(const struct dataset *data);

#endif
