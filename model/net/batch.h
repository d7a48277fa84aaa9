/* batch.h: what a call of coca.h or likelihood.h is given: texts as ids, images as tokens, and which of them belong together. */
#ifndef MODEL_NET_BATCH_H
#define MODEL_NET_BATCH_H

#include <stddef.h>
#include <stdint.h>

/* A text as ids: start first, end last, no padding; 1 <= count <= C. */
struct coca_text {
	const int32_t *ids;
	size_t count;
};

/* An image as the decoder sees it: image tokens as floats, or as they are stored, in 8 bits with a scale each. */
struct coca_image {
	const float *tokens;   /* [N,W]; or NULL, and component i of token t is scales[t] * bytes[t,i] */
	const int8_t *bytes;   /* [N,W] */
	const float *scales;   /* [N] */
};

struct coca_pair {
	size_t image, text; /* indices into a call's images and texts */
};

#endif
