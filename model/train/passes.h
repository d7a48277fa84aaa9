/* passes.h: what a forward of the whole network keeps for its backward, tower by tower; network.c puts them together.
 *
 * Each tower first takes its sizes from the batch and the configuration (shape), then its memory (carve, twice: to count, and
 * for real) and what else the batch says (fill). The towers hand on by these structs: the decoder reads text.blocks' output and
 * image.tokens, and leaves the gradients of both in decoder.dx and image.dtokens.
 *
 * Letters: B samples, T positions of an image, R rows of a tower in all, D width of the image tower, W of text and decoder,
 * E embedding, N image tokens.
 */
#ifndef MODEL_TRAIN_PASSES_H
#define MODEL_TRAIN_PASSES_H

#include "model/train/grad_block.h"
#include "model/train/grad_stem.h"
#include "model/train/network.h"

/* A norm that a tower ends with. */
struct norm_pass {
	float *y, *stat;
};

struct image_pass {
	size_t B;                    /* images: as many as texts, or none */
	size_t T, R;                 /* positions of one image, of all */
	struct block_shape shape;
	struct grad_span *spans;
	struct stem_pass stem;
	float *patches;              /* [B*patches, columns of conv1] */
	float *embedded;             /* [B*patches, D] */
	float *assembled, *stat_pre; /* [R,D] [R,2] */
	struct block_pass *blocks;   /* [layers] */
	struct pooler_shape pool_shape, contrastive_shape;
	struct grad_span *pool_spans, *contrastive_spans;
	struct pooler_pass pool, contrastive;
	struct norm_pass post;
	size_t post_rows, post_width;
	float *pooled;               /* [B, pooled_width] */
	size_t pooled_width;
	float *tokens;               /* [B*N, W] */
	float *features;             /* [B,E] */
	float *dx, *dpost, *dpooled, *dtokens, *dpatches;
};

struct text_pass {
	size_t R;
	struct block_shape shape;
	struct grad_span *spans;
	size_t *begin;               /* [B+1] rows of each text */
	uint8_t *visible;            /* [R] */
	struct block_pass *blocks;
	float *class_rows;           /* [B,W] */
	struct norm_pass final;
	float *features;             /* [B,E] */
	float *dx, *dclass, *dfinal;
};

struct decoder_pass {
	size_t R;
	struct block_shape shape, cross_shape;
	struct grad_span *spans, *cross_spans;
	size_t *begin;
	int32_t *labels;             /* [R] */
	struct block_pass *blocks, *cross;
	struct norm_pass final;
	float *dx, *dfinal, *logits;
};

struct network {
	struct config config;
	enum network_want want;
	struct batch_inputs batch;
	void *memory;
	size_t capacity;
	struct grad_scratch scratch;
	struct image_pass image;
	struct text_pass text;
	struct decoder_pass decoder;
};

void image_pass_shape(struct network *n);
void image_pass_carve(struct carver *carver, struct network *n);
void image_pass_fill(struct network *n);
void image_pass_forward(struct network *n, const struct weights *w);
/* Nothing is computed below the lowest trained parameter, and nothing at all where none of the tower is. dimage[B,E]: of the features. */
void image_pass_backward(struct network *n, const struct weights *w, const struct weights *g, const float *dimage);

void text_pass_shape(struct network *n);
void text_pass_carve(struct carver *carver, struct network *n);
void text_pass_fill(struct network *n);
void text_pass_forward(struct network *n, const struct weights *w);
void text_pass_backward(struct network *n, const struct weights *w, const struct weights *g, const float *dtext);

/* For NETWORK_CAPTION alone. */
void decoder_pass_shape(struct network *n);
void decoder_pass_carve(struct carver *carver, struct network *n);
void decoder_pass_fill(struct network *n);
void decoder_pass_forward(struct network *n, const struct weights *w);
/* weight: of each label. *sum: of -log p over the labels. g NULL: that alone. */
void decoder_pass_backward(struct network *n, const struct weights *w, const struct weights *g, float weight, double *sum);

/* ids of text i */
size_t pass_ids(const struct network *n, size_t i);
struct block_shape pass_block_shape(const struct config *config, const struct tower *tower, size_t R);
/* Adds a causal self attention of so many rows. */
void pass_add_rows(struct block_shape *shape, size_t rows);
void pass_carve_norm(struct carver *carver, struct norm_pass *norm, size_t R, size_t D);
/* A tower's blocks, each one's output the next one's input; the first input, too. */
void pass_carve_blocks(struct carver *carver, struct network *n, const struct block_shape *shape, struct block_pass *blocks, size_t layers);

/* Whether any of the pointers in a part of struct weights is not NULL: its parameters are not frozen. */
bool pass_trains(const void *pointers, size_t size);
/* The lowest block whose gradients anything needs, 0 if something below them does; layers if none. */
size_t pass_lowest(const struct block *blocks, size_t layers, bool below);

#endif
