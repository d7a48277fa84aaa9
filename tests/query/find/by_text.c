/* Photographs found by their texts: the order against a plain twin over all photographs and all texts. */
#include "tests/query/drawn.h"

#include <math.h>

#include "query/find/texts.h"
#include "query/find/by_text.h"
#include "schema/catalog/filter.h"
#include "schema/catalog/photos.h"
#include "schema/catalog/texts.h"

#include "schema/base/banned.h"

enum { PHOTOS = 24, EACH = 3, K = 7 };

/* Three captions a photograph: at least as many texts as need no help from built-in sentences, and fewer than are sampled. Photograph 5
 * has a text that its pixels do not tell. */
static struct drawn *tied_new(void)
{
	struct drawn *d = drawn_new(PHOTOS, PHOTOS);
	size_t n;

	for (size_t i = 0; i < PHOTOS; i++)
		for (size_t k = 0; k < EACH; k++) {
			char caption[SCENE_CAPTION_MOST];
			struct scene scene;
			scene_random(&scene, 1000 * i + k, false);
			scene_caption(&scene, k, caption);
			drawn_text(d, d->contents[i], i == 5 && k == 0 ? "grandmother's birthday in the garden" : caption);
		}
	drawn_text(d, 0, "grandmother's birthday"); /* tied to none: finds none */
	assert_ok(texts_embed(&d->listener, &d->library.engine, d->library.catalog, &d->library.row, &n, &err), &err);
	return d;
}

struct search {
	float *query;
	struct candidate *candidates;
	size_t count;
};

static void search(struct drawn *d, const char *words, const struct photo_filter *filter, bool widen, struct search *s)
{
	struct library *l = &d->library;
	struct passing passing;
	bool cut;

	*s = (struct search){.query = mem_floats(l->engine.embed)};
	assert_ok(engine_embed_text(&l->engine, words, strlen(words), s->query, &cut, &err), &err);
	assert_ok(passing_find(l->store, filter, &passing, &err), &err);
	assert_ok(search_passing(l->store, &passing, s->query, K, &s->candidates, &s->count, &err), &err);
	if (widen)
		assert_ok(by_text_ready(l, &err), &err);
	if (widen)
		assert_ok(by_text_widen(l, &passing, s->query, K, &s->candidates, &s->count, &err), &err);
	passing_release(&passing);
}

static void search_release(struct search *s)
{
	free(s->query);
	free(s->candidates);
}

/* ---- the twin --------------------------------------------------------------------------------------------------- */

struct expected {
	int64_t content, text;
	double score;
	bool by_text;
};

static int by_score(const void *a, const void *b)
{
	const struct expected *x = a, *y = b;
	return (x->score < y->score) - (x->score > y->score);
}

static void spread(const double *x, size_t n, double *mean, double *deviation)
{
	double sum = 0, squares = 0;

	for (size_t i = 0; i < n; i++) {
		sum += x[i];
		squares += x[i] * x[i];
	}
	*mean = sum / (double)n;
	*deviation = sqrt((squares - sum * sum / (double)n) / (double)(n - 1));
}

static void plain_search(struct drawn *d, const float *query, struct expected *all /* [PHOTOS] */)
{
	struct library *l = &d->library;
	double photos[PHOTOS], texts[PHOTOS * EACH], pm, pd, tm, td;
	float *x = mem_floats(l->engine.embed);
	bool found;

	for (size_t i = 0; i < PHOTOS; i++) {
		assert_ok(catalog_embedding_get(l->catalog, d->contents[i], l->row.id, x, l->engine.embed, &found, &err), &err);
		photos[i] = engine_dot(query, x, l->engine.embed);
		for (size_t k = 0; k < EACH; k++) { /* ids count from 1 */
			assert_ok(catalog_text_embedding_get(l->catalog, (int64_t)(i * EACH + k + 1), l->row.id, x, l->engine.embed, &found, &err), &err);
			texts[i * EACH + k] = engine_dot(query, x, l->engine.embed);
		}
	}
	free(x);
	spread(photos, PHOTOS, &pm, &pd);
	spread(texts, PHOTOS * EACH, &tm, &td);
	for (size_t i = 0; i < PHOTOS; i++) {
		all[i] = (struct expected){d->contents[i], 0, photos[i], false};
		for (size_t k = 0; k < EACH; k++) {
			double worth = pm + pd * (texts[i * EACH + k] - tm) / td;
			if (worth > all[i].score)
				all[i] = (struct expected){d->contents[i], (int64_t)(i * EACH + k + 1), worth, true};
		}
	}
	qsort(all, PHOTOS, sizeof *all, by_score);
}

static void assert_found(const struct search *s, const struct expected *all)
{
	for (size_t i = 0; i < s->count; i++) {
		assert_int_equal(s->candidates[i].content, all[i].content);
		assert_int_equal(s->candidates[i].text, all[i].text);
		assert_true(fabs(s->candidates[i].score - all[i].score) < 1e-4);
		assert_true(all[i].by_text == (s->candidates[i].lift > 0));
		assert_int_equal(s->candidates[i].slot, i);
	}
}

/* ---- tests ------------------------------------------------------------------------------------------------------ */

static const struct photo_filter everything;

static void order_is_that_of_the_plain_twin(void **state)
{
	(void)state;
	static const char *const queries[] = {"a red circle", "two yellow fish in the sea", "the birthday of a grandmother", "a house at night",
					      "a blue star"};
	struct drawn *d = tied_new();
	struct expected all[PHOTOS];
	struct search s;
	size_t by_text = 0, by_pixels = 0;

	for (size_t q = 0; q < sizeof queries / sizeof *queries; q++) {
		search(d, queries[q], &everything, true, &s);
		assert_int_equal(s.count, K);
		plain_search(d, s.query, all);
		assert_found(&s, all);
		for (size_t i = 0; i < s.count; i++) {
			by_text += s.candidates[i].text != 0;
			by_pixels += s.candidates[i].text == 0;
		}
		search_release(&s);
	}
	assert_true(by_text > 0 && by_pixels > 0); /* neither drowns the other */
	library_close(&d->library);
}

static void order_under_a_filter_is_that_of_the_plain_twin_among_what_passes(void **state)
{
	(void)state;
	static const char *const queries[] = {"a red circle", "two yellow fish in the sea", "the birthday of a grandmother"};
	struct drawn *d = tied_new();
	struct photo_filter out[] = {{.in = d->paths[5], .except = &out[1]}, {.in = d->paths[11], .except = &out[2]}, {.in = d->paths[2]}};
	const struct photo_filter filter = {.except = out};
	struct expected all[PHOTOS];
	struct search s;

	for (size_t q = 0; q < sizeof queries / sizeof *queries; q++) {
		size_t left = 0;
		search(d, queries[q], &filter, true, &s);
		assert_int_equal(s.count, K);
		plain_search(d, s.query, all);
		for (size_t i = 0; i < PHOTOS; i++)
			if (all[i].content != d->contents[5] && all[i].content != d->contents[11] && all[i].content != d->contents[2])
				all[left++] = all[i];
		assert_int_equal(left, PHOTOS - 3);
		assert_found(&s, all);
		search_release(&s);
	}
	library_close(&d->library);
}

/* The texts that are looked at first are all of one photograph: as near as the other's, and before it. */
static void photo_with_many_texts_leaves_room_for_others(void **state)
{
	(void)state;
	struct drawn *d = tied_new();
	const struct photo_filter out = {.in = d->paths[0]}, filter = {.except = &out};
	const char *words = "grandmother's birthday in the garden";
	char text[128];
	struct search s;
	size_t n, at = 0;

	for (int i = 1; i <= 80; i++) {
		snprintf(text, sizeof text, "%*s%s", i, "", words);
		drawn_text(d, d->contents[5], text);
	}
	int64_t last = drawn_text(d, d->contents[20], words);
	assert_ok(texts_embed(&d->listener, &d->library.engine, d->library.catalog, &d->library.row, &n, &err), &err);
	search(d, words, &filter, true, &s);
	while (at < s.count && s.candidates[at].content != d->contents[20])
		at++;
	assert_true(at < s.count);
	assert_int_equal(s.candidates[at].text, last);
	search_release(&s);
	library_close(&d->library);
}

static void photo_is_found_by_what_is_written_about_it(void **state)
{
	(void)state;
	struct drawn *d = tied_new();
	struct results results;
	struct search s;

	search(d, "grandmother's birthday in the garden", &everything, true, &s);
	assert_int_equal(s.candidates[0].content, d->contents[5]);
	assert_int_equal(s.candidates[0].text, 5 * EACH + 1);
	assert_true(s.candidates[0].text_similarity > 0.999f);
	assert_ok(search_photos(d->library.store, &everything, s.candidates, s.count, NULL, 3, &results, &err), &err);
	assert_string_equal(results.items[0].text, "grandmother's birthday in the garden");
	results_release(&results);
	search_release(&s);
	library_close(&d->library);
}

static void filter_holds_for_what_texts_find(void **state)
{
	(void)state;
	struct drawn *d = tied_new();
	struct photo_filter filter = {.in = d->paths[5]};
	struct search s;

	search(d, "grandmother's birthday in the garden", &filter, true, &s);
	assert_int_equal(s.count, 1);
	assert_int_equal(s.candidates[0].text, 5 * EACH + 1);
	search_release(&s);
	filter.in = d->paths[6];
	search(d, "grandmother's birthday in the garden", &filter, true, &s);
	assert_int_equal(s.count, 1);
	assert_int_equal(s.candidates[0].content, d->contents[6]);
	search_release(&s);
	library_close(&d->library);
}

static void photo_that_is_gone_is_not_found(void **state)
{
	(void)state;
	struct drawn *d = tied_new();
	struct search s;

	assert_ok(catalog_photo_gone(d->library.catalog, 6, 1, &err), &err); /* number 5, ids count from 1 */
	search(d, "grandmother's birthday in the garden", &everything, true, &s);
	for (size_t i = 0; i < s.count; i++)
		assert_int_not_equal(s.candidates[i].content, d->contents[5]);
	search_release(&s);
	library_close(&d->library);
}

/* One note among drawings: the scale is that of everyday sentences. */
static void single_note_is_found_by_its_words_and_not_by_others(void **state)
{
	(void)state;
	struct drawn *d = drawn_new(PHOTOS, PHOTOS);
	struct search s;
	size_t n, at = 0;

	drawn_text(d, d->contents[9], "the invoice of the electrician");
	for (int i = 0; i < 80; i++) { /* tied to none, and more than the index is first asked for */
		char text[64];
		snprintf(text, sizeof text, "the invoice of electrician number %d", i);
		drawn_text(d, 0, text);
	}
	assert_ok(texts_embed(&d->listener, &d->library.engine, d->library.catalog, &d->library.row, &n, &err), &err);
	search(d, "the electrician's invoice", &everything, true, &s);
	assert_int_equal(s.candidates[0].content, d->contents[9]);
	assert_int_equal(s.candidates[0].text, 1);
	search_release(&s);
	search(d, "a red circle", &everything, true, &s);
	while (at < s.count && !s.candidates[at].text)
		at++;
	assert_true(at > 0);
	search_release(&s);
	library_close(&d->library);
}

/* Indexed by another model alone: this one's similarity is not known, whatever its text says. */
static void a_photo_without_an_embedding_is_not_found_by_its_text(void **state)
{
	(void)state;
	struct drawn *d = drawn_new(PHOTOS + 1, PHOTOS);
	uint8_t hash[CATALOG_HASH] = {0xee, 0xdd};
	struct photo photo = {.root = d->root, .path = d->paths[PHOTOS], .path_size = strlen(d->paths[PHOTOS]), .state = PHOTO_READY};
	struct search s;
	size_t n;

	assert_ok(catalog_content_put(d->library.catalog, hash, &photo.content, &err), &err);
	assert_ok(catalog_photo_put(d->library.catalog, &photo, &err), &err);
	drawn_text(d, photo.content, "the invoice of the electrician");
	assert_ok(texts_embed(&d->listener, &d->library.engine, d->library.catalog, &d->library.row, &n, &err), &err);
	search(d, "the electrician's invoice", &everything, true, &s);
	assert_int_equal(s.count, K < PHOTOS ? K : PHOTOS);
	for (size_t i = 0; i < s.count; i++)
		assert_true(s.candidates[i].content != photo.content);
	search_release(&s);
	library_close(&d->library);
}

static void without_tied_texts_nothing_changes(void **state)
{
	(void)state;
	struct drawn *d = drawn_new(PHOTOS, PHOTOS);
	struct search plain, widened;

	drawn_text(d, 0, "a red circle");
	search(d, "a red circle", &everything, false, &plain);
	search(d, "a red circle", &everything, true, &widened);
	assert_int_equal(plain.count, widened.count);
	assert_memory_equal(plain.candidates, widened.candidates, plain.count * sizeof *plain.candidates);
	search_release(&plain);
	search_release(&widened);
	library_close(&d->library);
}

static void equivalent_keeps_the_distance_from_the_mean_in_deviations(void **state)
{
	(void)state;
	struct by_text_scale scale = {0.4, 0.2, 0.1, 0.05};
	const double x[] = {1, 2, 3, 4};
	double mean, deviation;

	assert_true(fabs(by_text_equivalent(&scale, 0.4) - 0.1) < 1e-12);
	assert_true(fabs(by_text_equivalent(&scale, 0.8) - 0.2) < 1e-12);
	scale.photo_deviation = 0; /* a single photograph */
	assert_true(fabs(by_text_equivalent(&scale, 0.8) - 0.5) < 1e-12);
	by_text_moments(x, 4, &mean, &deviation);
	assert_true(fabs(mean - 2.5) < 1e-12 && fabs(deviation - sqrt(5.0 / 3)) < 1e-12);
	by_text_moments(x, 1, &mean, &deviation);
	assert_true(mean == 1 && deviation == 0);
}

TEST_MAIN(cmocka_unit_test(equivalent_keeps_the_distance_from_the_mean_in_deviations), cmocka_unit_test(a_photo_without_an_embedding_is_not_found_by_its_text),
	  cmocka_unit_test(without_tied_texts_nothing_changes),
	  cmocka_unit_test(single_note_is_found_by_its_words_and_not_by_others), cmocka_unit_test(photo_is_found_by_what_is_written_about_it),
	  cmocka_unit_test(photo_with_many_texts_leaves_room_for_others), cmocka_unit_test(filter_holds_for_what_texts_find), cmocka_unit_test(photo_that_is_gone_is_not_found),
	  cmocka_unit_test(order_is_that_of_the_plain_twin),
	  cmocka_unit_test(order_under_a_filter_is_that_of_the_plain_twin_among_what_passes))
