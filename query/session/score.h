/* score.h: how similarity and likelihood become one score. Pure arithmetic; rerank.c and recall.c share it, so that what
 * `coca eval` measures is what `coca search` does.
 *
 * Both terms are log-probabilities up to a constant: the contrastive loss makes logit_scale * cosine the logarithm of p(image | text) or
 * p(text | image) over a batch, the caption loss makes the likelihood log p(text | image). They are added with a weight for the
 * second, far below 1: the two are not independent, and a text's likelihood is a sum over its words, whose errors go together.
 *
 * Chosen with `coca eval --sweep --heldout` and the model that ships, on the held-out tenths of everyday scenes, Flickr8k, web
 * photographs and household things; means over all 340 photographs and 713 captions of what it prints for each; recall at 1, 5, 10:
 *
 *     weight    text to image          image to text, prior 1
 *     0         15.42 42.21 58.07      17.65 45.88 59.12
 *     0.05      16.41 42.22 58.63      18.82 46.18 59.71
 *     0.1       16.55 42.50 59.33      19.41 46.18 60.29
 *     0.15      16.83 43.34 59.33      20.88 46.47 60.29
 *     0.2       16.69 43.48 59.19      20.88 46.18 60.59
 *     0.25      16.41 42.92 59.60      20.59 46.76 59.41
 *     0.3       16.13 42.49 59.47      20.29 45.29 59.71
 *     0.4       15.85 42.50 59.04      20.00 45.00 58.82
 *     0.6       14.03 41.37 59.33      19.71 44.41 57.35
 *     1         12.48 41.79 56.66      18.82 41.47 55.30
 *     3         11.08 36.47 53.29      15.00 41.17 51.47
 *     alone      9.26 32.82 48.81      12.06 36.47 50.59
 *
 * 0.15 is taken for photographs: no single source loses at 1 or 10. 0.1 is taken for texts: web photographs lose one of 48 hits at 10,
 * no other figure at 1 or 10 is lower than without; at 0.15 they would lose three, and one at 1. With half the prior image to
 * text finds 52 of 100 at 10, not 60.
 *
 * The estimate of p(t) limits image to text: 64 null photographs are taken, as more would make the first answer late. p(t) is computed once
 * for each text and kept.
 */
#ifndef QUERY_SESSION_SCORE_H
#define QUERY_SESSION_SCORE_H

#include <stddef.h>

/* Photos for one text: logit_scale * cosine + SCORE_IMAGE_WEIGHT * log p(t|i). */
extern const double SCORE_IMAGE_WEIGHT;

/* Texts for one photo: logit_scale * cosine + SCORE_TEXT_WEIGHT * (log p(t|i) - SCORE_TEXT_PRIOR * log p(t)), where p(t) is the
 * mean likelihood of the text under a few photos of the collection. */
extern const double SCORE_TEXT_WEIGHT, SCORE_TEXT_PRIOR;

/* How many candidates are reranked, and how many photos estimate p(t), unless said otherwise. */
enum { SCORE_DEPTH = 50, SCORE_NULLS = 64 };

double score_photo(double logit_scale, double cosine, double likelihood);
double score_text(double logit_scale, double cosine, double likelihood, double prior);

/* log of the mean of exp(x[n]). */
double score_log_mean(const float *x, size_t n);

#endif
