/* score.h: how similarity and likelihood become one score. Pure arithmetic; rerank.c and recall.c share it, so that what
 * `coca eval` measures is what `coca search` does.
 *
 * Both terms are log-probabilities up to a constant: the contrastive loss makes logit_scale * cosine the logarithm of p(image | text) or
 * p(text | image) over a batch, the caption loss makes the likelihood log p(text | image). They are added with a weight for the
 * second, far below 1: the two are not independent, and a text's likelihood is a sum over its words, whose errors go together.
 *
 * Chosen with `coca eval --sweep` and the starter model, recall at 1, 5, 10 (all samples: the tenth of
 * --heldout has 88 and 159 photos, where the difference is up to three photos either way):
 *
 *                   text to image                           image to text, prior 1
 *     weight    flickr8k_subset     coco_like_2k        flickr8k_subset     coco_like_2k
 *     0          3.22 10.80 17.23   11.54 34.07 46.11    5.86 16.57 24.80   15.12 36.07 49.94
 *     0.1        3.20 11.05 17.52   11.79 34.76 46.93    6.88 18.15 25.48   15.56 36.70 49.81
 *     0.15       3.25 11.25 17.70   12.23 34.82 47.30    6.99 17.93 25.59   14.99 37.45 50.13
 *     0.2        3.34 11.16 17.86   12.74 34.88 47.18    6.65 18.15 25.82   14.81 37.08 50.56
 *     0.3        3.31 11.23 17.75   12.74 34.94 46.93    6.76 18.15 25.70   14.43 36.89 48.81
 *     0.5        3.27 11.36 17.95   12.80 35.07 46.36    5.86 17.02 25.37   13.30 33.94 47.18
 *     1          3.16 10.51 17.25   12.36 32.12 44.92    4.85 16.01 23.90    9.66 28.80 41.03
 *     alone      1.80  7.71 13.87    4.77 18.51 31.68    4.17 13.19 21.08    4.58 17.75 28.61
 *
 * (p(t) from 16 photos; with 32 the gain at 0.15 is steadier: 15.56 36.64 50.13 on coco_like_2k.) Dividing by the number of ids is
 * no better; without the prior image to text loses a third; a mean of log-likelihoods instead of the log of the mean is worse.
 *
 * The estimate of p(t) is what limits image to text. `coca match` on the held-out tenth of coco_like_2k (159 photos, 159 texts, the nulls by
 * hash; 37.74 73.58 84.91 without reranking), by the number of nulls:
 *
 *     weight     32 photos           64                  128
 *     0.15       35.22 75.47 84.28   35.22 75.47 84.28   37.11 76.10 84.28
 *     0.2        36.48 72.96 84.91   37.11 76.10 84.91   38.99 75.47 84.91
 *     0.25       36.48 74.21 84.28   37.74 76.10 85.53   40.25 76.10 84.91
 *     0.3        36.48 73.58 84.91   38.36 76.10 84.91   40.88 76.10 85.53
 *
 * 64 and 0.25 are taken: p(t) is computed once for each text and kept, but more would make the first answer late.
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
