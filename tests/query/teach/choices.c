/* Labels: how lists of them are read, and probabilities against a plain twin. */
#include "tests/query/drawn.h"

#include <math.h>

#include "query/teach/classes.h"
#include "query/teach/choices.h"

#include "schema/base/banned.h"

static void labels_are_cut_at_commas_or_line_feeds(void **state)
{
	(void)state;
	struct choices labels;
	const char *path = test_path(test_folder(), "labels.txt");

	assert_ok(choices_split(" dog,, big cat ,", &labels, &err), &err);
	assert_int_equal(labels.count, 2);
	assert_string_equal(labels.names[0], "dog");
	assert_string_equal(labels.names[1], "big cat");
	choices_release(&labels);
	test_write(path, "Paris, France\r\n\n  dog\n", 22);
	assert_ok(choices_read(path, &labels, &err), &err);
	assert_int_equal(labels.count, 2);
	assert_string_equal(labels.names[0], "Paris, France");
	assert_string_equal(labels.names[1], "dog");
	choices_release(&labels);
}

static void labels_that_make_no_sense_are_refused(void **state)
{
	(void)state;
	struct choices labels;

	assert_int_equal(choices_split(" , ", &labels, &err), STATUS_USAGE);
	assert_int_equal(choices_split("a,b,a", &labels, &err), STATUS_USAGE);
	assert_non_null(strstr(err.text, "'a' is given twice"));
	assert_int_equal(choices_read("/nowhere/labels.txt", &labels, &err), STATUS_NOT_FOUND);
}

static void probabilities_are_those_of_the_plain_twin(void **state)
{
	(void)state;
	enum { N = 9, E = 16 };
	float photo[E], labels[N * E];
	struct ranked_choice ranked[N];
	uint64_t random = 3;
	double sum = 0, cosine[N] = {0};

	for (size_t i = 0; i < E; i++)
		photo[i] = test_uniform(&random);
	for (size_t i = 0; i < N * E; i++)
		labels[i] = test_uniform(&random);
	memcpy(labels + 7 * E, labels + 2 * E, E * sizeof *labels); /* a tie */
	choices_rank(photo, labels, N, E, 20, ranked);
	for (size_t n = 0; n < N; n++) {
		for (size_t i = 0; i < E; i++)
			cosine[n] += (double)photo[i] * (double)labels[n * E + i];
		sum += exp(20 * cosine[n]);
	}
	for (size_t r = 0; r < N; r++) {
		size_t n = ranked[r].which;
		assert_true(fabs(ranked[r].probability - exp(20 * cosine[n]) / sum) < 1e-9);
		assert_true(fabs((double)ranked[r].similarity - cosine[n]) < 1e-6);
		assert_true(r == 0 || cosine[ranked[r - 1].which] > cosine[n] || (ranked[r - 1].which == 2 && n == 7));
	}
}

static void large_logits_do_not_overflow(void **state)
{
	(void)state;
	const float photo[] = {1}, labels[] = {1, -1};
	struct ranked_choice ranked[2];

	choices_rank(photo, labels, 2, 1, 1e6, ranked);
	assert_true(ranked[0].which == 0 && ranked[0].probability == 1 && ranked[1].probability == 0);
}

/* The mean of the prompts' unit embeddings, made a unit again. */
static void label_is_the_mean_of_its_prompts(void **state)
{
	(void)state;
	struct drawn *d = drawn_new(0, 0);
	struct engine *engine = &d->library.engine;
	const char *path = test_path(test_folder(), "templates.txt"), *names[] = {"dog", "red circle"};
	float *embeddings = mem_floats(2 * engine->embed), *one = mem_floats(engine->embed), *mean = mem_floats(engine->embed);
	const char *prompts[] = {"a red circle, drawn", "look: red circle"};
	double length = 0;
	bool cut;

	test_write(path, "a {}, drawn\nlook: {}\n", 21);
	assert_ok(classes_embed(&d->listener, engine, names, 2, path, embeddings, &err), &err);
	memset(mean, 0, engine->embed * sizeof *mean);
	for (size_t k = 0; k < 2; k++) {
		assert_ok(engine_embed_text(engine, prompts[k], strlen(prompts[k]), one, &cut, &err), &err);
		for (size_t i = 0; i < engine->embed; i++)
			mean[i] += one[i] / 2;
	}
	length = sqrt(engine_dot(mean, mean, engine->embed));
	for (size_t i = 0; i < engine->embed; i++)
		mean[i] = (float)((double)mean[i] / length);
	assert_true(test_close("label", embeddings + engine->embed, mean, engine->embed, 1e-5f));
	free(embeddings);
	free(one);
	free(mean);
	library_close(&d->library);
}

TEST_MAIN(cmocka_unit_test(labels_are_cut_at_commas_or_line_feeds), cmocka_unit_test(labels_that_make_no_sense_are_refused),
	  cmocka_unit_test(probabilities_are_those_of_the_plain_twin), cmocka_unit_test(large_logits_do_not_overflow),
	  cmocka_unit_test(label_is_the_mean_of_its_prompts))
