/* The arithmetic of scores and of trust. */
#include "tests/support.h"

#include <math.h>

#include "query/find/trust.h"
#include "query/session/score.h"

#include "schema/base/banned.h"

static void the_mean_of_likelihoods_does_not_underflow(void **state)
{
	static const float far[3] = {-1000, -1000, -1000}, mixed[2] = {0, -2000};

	(void)state;
	assert_float_equal(score_log_mean(far, 3), -1000, 1e-9);
	assert_float_equal(score_log_mean(mixed, 2), -log(2), 1e-9);
}

static void reranking_adds_weighted_likelihood(void **state)
{
	(void)state;
	assert_float_equal(score_photo(10, 0.5, -8), 5 - 8 * SCORE_IMAGE_WEIGHT, 1e-12);
	assert_float_equal(score_text(10, 0.5, -8, -6), 5 + SCORE_TEXT_WEIGHT * (-8 + 6 * SCORE_TEXT_PRIOR), 1e-12);
	assert_true(SCORE_IMAGE_WEIGHT > 0 && SCORE_TEXT_WEIGHT > 0);
}

static void contrast_is_in_standard_deviations(void **state)
{
	static const float near[4] = {1, 3, 1, 3}, far[2] = {0, 0};

	(void)state;
	assert_float_equal(trust_contrast(near, 4, far, 2), 2, 1e-6); /* squares 4, over 6 - 2 */
	assert_float_equal(trust_contrast(far, 2, near, 4), -2, 1e-6);
	assert_float_equal(trust_contrast(far, 2, far, 2), 0, 1e-6);
}

static void own_photos_win_or_not(void **state)
{
	static const float right[9] = {3, 1, 1, 0, 2, 1, 0, 0, 1}, wrong[4] = {0, 1, 1, 0}, alike[4] = {1, 1, 1, 1};

	(void)state;
	assert_float_equal(trust_own(right, 3), 1, 1e-9);
	assert_float_equal(trust_own(wrong, 2), 0, 1e-9);
	assert_float_equal(trust_own(alike, 2), 0.5, 1e-9);
}

TEST_MAIN(cmocka_unit_test(the_mean_of_likelihoods_does_not_underflow), cmocka_unit_test(reranking_adds_weighted_likelihood),
	  cmocka_unit_test(contrast_is_in_standard_deviations), cmocka_unit_test(own_photos_win_or_not))
