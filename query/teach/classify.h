/* classify.h: labels without training: how probable each is for a photograph.
 *
 *     p(label | photo) = softmax over the labels of logit_scale * cosine(photo, label)
 *
 * A label's embedding is classes_embed's: the mean of its prompts, each and the mean normalised.
 *
 *     struct labels labels;
 *     labels_split("dog,cat", &labels, err);
 *     classify(embedding, label_embeddings, labels.count, E, logit_scale, ranked);
 */
#ifndef QUERY_TEACH_CLASSIFY_H
#define QUERY_TEACH_CLASSIFY_H

#include <stddef.h>

#include "schema/base/status.h"

struct labels {
	char *bytes;        /* what names point into */
	const char **names;
	size_t count;
};

/* Names between commas; a file's lines. White space at their ends does not count, empty ones are left out. STATUS_USAGE if none is
 * left, or if one is given twice, which would halve its probability. */
enum status labels_split(const char *list, struct labels *labels, struct err *err);
enum status labels_read(const char *path, struct labels *labels, struct err *err);
void labels_release(struct labels *labels);

struct ranked_label {
	size_t label;
	double probability;
	float similarity;
};

/* ranked[count], the most probable first, ties in the order of the labels. */
void classify(const float *photo /* [E] */, const float *labels /* [count,E] */, size_t count, size_t E, double logit_scale,
	      struct ranked_label *ranked);

/* The same order of probabilities p[count] that are known already. */
void classify_sort(const float *p, size_t count, struct ranked_label *ranked);

#endif
