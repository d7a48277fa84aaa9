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
 *     0          8.41 28.89 43.06      11.47 27.94 42.65
 *     0.1        8.84 28.75 43.62      12.06 30.00 43.82
 *     0.2        9.26 28.89 44.32      12.06 32.06 45.88
 *     0.4        9.96 29.31 44.74      12.65 34.12 47.06
 *     0.6        9.96 29.87 44.88      12.36 34.41 48.23
 *     1          9.96 29.73 45.16      12.06 33.53 47.65
 *     3          9.12 28.75 42.36      12.35 32.64 46.47
 *     alone      7.01 24.97 40.25      10.88 27.65 44.41
 *
 * 0.2 is taken for photographs, though 0.4 is better here: beyond it a photograph that is found by a text of its own (tied.h) falls behind
 * others, as its pixels do not show what the text says. For texts 0.4 is. Of single sources, everyday scenes (159 photos) lose three of 15
 * hits at 1 text to image and five of 18 image to text, within chance; no source loses one at 10. Dividing by the number of ids is no better; without the prior image to text loses a third; a mean
 * of log-likelihoods instead of the log of the mean is worse.
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
