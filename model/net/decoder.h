/* decoder.h: the multimodal text decoder of CoCa, as a scorer: log p(id | ids before it, image).
 *
 *     text tokens -> [self block -> cross block] * layers -> ln_final -> text_projection -> log-softmax at the next id
 *
 * Up to the first cross attention's queries nothing depends on the image: decoder_begin does that part once per text,
 * decoder_score the rest per pair of text and image, with what is computed of an image alone shared by its pairs (cross.h). The rows of all
 * pairs go through each matrix together.
 *
 * Letters: R rows, W width, N image tokens, V vocabulary.
 */
#ifndef MODEL_NET_DECODER_H
#define MODEL_NET_DECODER_H

#include "model/files/config.h"
#include "model/files/weights.h"
#include "model/net/cross.h"

/* Bytes of scratch; SIZE_MAX if that overflows. */
size_t decoder_begin_scratch(const struct config *config, size_t rows, size_t texts, int threads);

/* Texts have rows begin[i]..begin[i+1]-1. x[R,W]: text tokens come in, what the first cross block takes goes out;
 * q[R,W]: that block's queries. */
void decoder_begin(const struct config *config, const struct weights *weights, const size_t *begin, size_t texts, int threads,
		   void *scratch, float *x, float *q);

struct decoder_pair {
	const float *x, *q;      /* [rows,W] from decoder_begin */
	const int32_t *next;     /* [rows]: the id that each row predicts */
	size_t rows;
	const struct coca_image *image;
	float *terms;            /* [rows]: log p(next); 0 where next is padding, which does not count */
};

/* In 8 bits (decoder_int8.h) are the maps of all blocks but the first self block, which is computed once for all images, those that cross.h
 * folds, and the vocabulary, but for the logits of the ids that are asked for: log p(id) has no error but its normaliser's. */
struct decoder_int8;

/* What decoder_score is to do: rows, pairs, and images of all pairs; none is 0. */
struct decoder_size {
	size_t rows, pairs, images;
	enum cross_form form;
	bool stored;             /* all images are */
	const struct decoder_int8 *int8; /* or NULL: fp32 */
};

/* Bytes of scratch; SIZE_MAX if that overflows. */
size_t decoder_score_scratch(const struct config *config, const struct decoder_size *size, int threads);

/* Pairs of the same image (the same pointer) stand together. */
void decoder_score(const struct config *config, const struct weights *weights, const struct decoder_pair *pairs,
		   const struct decoder_size *size, int threads, void *scratch);

#endif
