/* score.h: how similarity and likelihood become one score. Pure arithmetic; rerank.c and recall.c share it, so that what
 * `coca eval` measures is what `coca search` does.
 *
 * Both terms are log-probabilities up to a constant: the contrastive loss makes logit_scale * cosine the logarithm of p(image | text) or
 * p(text | image) over a batch, the caption loss makes the likelihood log p(text | image). They are added with a weight for the
 * second, far below 1: the two are not independent, and a text's likelihood is a sum over its words, whose errors go together.
 *
 * Chosen with `coca eval --sweep --heldout` and the model that ships, on the held-out tenths of everyday scenes, Flickr8k, web photographs and
 * household things together: 340 photographs, 713 captions; recall at 1, 5, 10:
 *
 *     weight    text to image          image to text, prior 1
 *     0         13.05 37.73 53.44      16.77 40.88 52.94
 *     0.05      13.75 38.43 55.12      17.65 40.59 54.41
 *     0.1       14.03 39.41 54.84      17.06 41.18 55.00
 *     0.2       14.30 40.25 56.24      17.36 42.06 55.88
 *     0.25      13.88 40.81 56.10      16.47 42.35 55.59
 *     0.3       14.03 41.09 55.68      17.65 43.24 56.47
 *     0.4       14.73 41.93 55.54      17.65 42.06 57.35
 *     0.6       14.58 41.66 55.26      17.35 42.06 55.29
 *     1         14.02 40.81 54.42      16.17 40.59 52.65
 *     3         10.24 34.22 51.47      13.53 39.12 50.88
 *     alone      8.28 29.31 45.44       9.41 34.12 48.83
 *
 * 0.25 is taken for photographs, 0.3 for texts. Of single sources, web photographs lose one of 42 hits at 10 text to image (two from
 * 0.4 on), and household things (21 photographs) two of nine at 1 image to text; no other figure at 1 or 10 is lower than without. Without the prior image to text loses a third.
 *
 * The estimate of p(t) limits image to text: 64 null photographs are taken, as more would make the first answer late. p(t) is computed once
 * for each text and kept.
 */
#ifndef QUERY_SCORE_H
#define QUERY_SCORE_H

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
