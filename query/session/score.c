/* score.c: see score.h. */
#include "query/session/score.h"

#include <math.h>

#include "schema/base/banned.h"

const double SCORE_IMAGE_WEIGHT = 0.15;
const double SCORE_TEXT_WEIGHT = 0.1;
const double SCORE_TEXT_PRIOR = 1;

double score_photo(double logit_scale, double cosine, double likelihood)
{
	return logit_scale * cosine + SCORE_IMAGE_WEIGHT * likelihood;
}

double score_text(double logit_scale, double cosine, double likelihood, double prior)
{
	return logit_scale * cosine + SCORE_TEXT_WEIGHT * (likelihood - SCORE_TEXT_PRIOR * prior);
}

double score_log_mean(const float *x, size_t n)
{
	double most = -INFINITY, sum = 0;

	for (size_t i = 0; i < n; i++)
		most = fmax(most, (double)x[i]);
	if (!isfinite(most))
		return most;
	for (size_t i = 0; i < n; i++)
		sum += exp((double)x[i] - most);
	return most + log(sum / (double)n);
}
