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
 *     0         10.66 31.28 47.55      11.18 31.17 42.65
 *     0.1       11.08 32.26 47.97      12.06 32.06 45.29
 *     0.2       11.36 32.54 48.39      11.77 32.94 45.88
 *     0.4       12.06 33.94 49.65      13.24 34.70 49.41
 *     0.5       12.48 33.66 49.93      12.94 34.41 48.82
 *     0.6       11.78 33.66 49.51      13.83 35.00 47.65
 *     1         12.49 34.08 47.68      14.70 36.77 46.17
 *     3         11.08 32.12 44.32      13.53 32.06 45.59
 *     alone      9.25 29.59 42.36      11.47 29.12 42.65
 *
 * 0.5 is taken for photographs, 0.6 for texts. Of single sources, everyday scenes (159 photos) lose one of 11 hits at 1 text to image; no
 * other figure at 1 or 10 is lower than without. Dividing by the number of ids is no better; without the prior image to text loses a
 * third; a mean of log-likelihoods instead of the log of the mean is worse.
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
