/* quantize.h: a model with its image encoder's and its decoder's matrices in 8 bits, measured and written.
 *
 *     quantize_measure(model, scratch, pixels, B, &loss, err);          // any number of times
 *     quantize_write(model, path, &loss, err);
 *
 * A matrix W[out,in] of the image encoder's blocks is stored as I8 codes under its name and NAME.scale[out] in F32: W = scale * code with
 * codes in -63..63. The decoder's stand so beside their weights (decoder_int8.h), for what reranking asks for in fp32 and for captions. All
 * else stays as it was, F16 or F32. What was measured stands in the metadata. With keep the weights stay as they are, so that training
 * can go on from them: the metadata alone then says that 8 bits cost next to nothing.
 */
#ifndef MODEL_NET_QUANTIZE_H
#define MODEL_NET_QUANTIZE_H

#include <stddef.h>
#include <stdint.h>

#include "model/net/encode.h"

/* What was measured, in the file's metadata beside INT8_COSINE_MEAN (coca.h). */
#define QUANTIZE_WORST "int8.cosine_worst"
#define QUANTIZE_IMAGES "int8.images"

struct quantize_loss {
	size_t images;
	double sum, worst; /* of the cosines between an image's embeddings in fp32 and in 8 bits */
};

double quantize_mean(const struct quantize_loss *loss);

/* Encodes both ways; the model's precision is the same afterwards. loss starts as zeros. */
enum status quantize_measure(struct coca *model, struct coca_scratch *scratch, const float *pixels /* [B,3,S,S] */, size_t B,
			     struct quantize_loss *loss, struct err *err);

/* A picture to measure on where there is no photograph, another one for each number: squares of several sizes in random colours, laid
 * over each other: edges and areas at every scale. */
void quantize_picture(uint64_t number, size_t side, uint8_t *rgb /* [side,side,3] */);

/* STATUS_UNSUPPORTED for a model that has weights in 8 bits alone. */
enum status quantize_write(const struct coca *model, const char *path, const struct quantize_loss *loss, bool keep, struct err *err);

#endif
