/* Questions asked as the shell, a server and a test ask them: the same answer each time, by some dozen statements. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "query/answer/search.h"
#include "query/find/match.h"
#include "query/find/texts.h"
#include "query/session/score.h"
#include "schema/catalog/internal.h"
#include "tests/query/drawn.h"

#include "schema/base/banned.h"

enum { PHOTOS = 90, STATEMENTS_MOST = 40 };

static char notes[4096];

static void hear(void *context, const char *text)
{
	size_t size = strlen(notes);

	(void)context;
	snprintf(notes + size, sizeof notes - size, "%s\n", text);
}

static const struct listener listener = {.note = hear};

static struct library library;

/* A library of drawings with a text tied to each, and a session on it. */
static void open_session(struct session *session)
{
	static char database[4096];
	struct drawn *d = drawn_new(PHOTOS, PHOTOS);
	size_t n;

	for (size_t i = 0; i < PHOTOS; i++) {
		char caption[SCENE_CAPTION_MOST];
		struct scene scene;
		scene_random(&scene, 7000 + i, i % 2);
		scene_caption(&scene, 0, caption);
		drawn_text(d, d->contents[i], caption);
	}
	assert_ok(texts_embed(NULL, &d->library.engine, d->library.catalog, &d->library.row, &n, &err), &err);
	snprintf(database, sizeof database, "%s", catalog_path(d->library.catalog));
	library_close(&d->library);
	assert_ok(library_open(&(struct library_options){database, "model/default", PRECISION_AUTO, LIBRARY_READ, &listener}, &library, &err), &err);
	assert_ok(session_open(&library, NULL, false, session, &err), &err);
	notes[0] = '\0';
}

static struct query parse(const char *words)
{
	const char *const list[] = {words};
	const struct asked asked = {.count = 1, .words = list};
	struct query query;

	assert_ok(query_parse(&asked, &query, &err), &err);
	return query;
}

static void ask(struct session *session, const char *words, struct search_answer *answer)
{
	struct query query = parse(words);
	const struct search_request request = {.query = &query, .limit = 10, .depth = SCORE_DEPTH, .least = NAN};

	assert_ok(answer_search(session, &request, answer, &err), &err);
	query_release(&query);
}

static void a_session_answers_the_same_again(void **state)
{
	struct session session;
	struct search_answer one, other;

	(void)state;
	open_session(&session);
	ask(&session, "a red circle", &one);
	ask(&session, "a blue house", &other);
	search_answer_release(&other);
	ask(&session, "a red circle", &other);
	assert_int_equal(one.results.count, 10);
	assert_int_equal(other.results.count, 10);
	for (size_t i = 0; i < 10; i++) {
		const struct result *x = &one.results.items[i], *y = &other.results.items[i];
		assert_string_equal(x->photo.path, y->photo.path);
		assert_true(x->score == y->score && x->match == y->match && x->likelihood == y->likelihood);
		assert_true((x->text != NULL) == (y->text != NULL));
	}
	search_answer_release(&one);
	search_answer_release(&other);
	session_close(&session);
	library_close(&library);
}

/* Up to 512 photographs of the sample, 256 texts, 50 candidates with tokens, their texts and rows: one by one these were a thousand. */
static void a_search_takes_some_dozen_statements(void **state)
{
	struct session session;
	struct search_answer answer;

	(void)state;
	open_session(&session);
	ask(&session, "a green tree", &answer); /* opens the vectors */
	search_answer_release(&answer);
	uint64_t before = store_statements(library.store);
	ask(&session, "a yellow sun", &answer);
	uint64_t taken = store_statements(library.store) - before;
	printf("a search: %llu statements\n", (unsigned long long)taken);
	assert_true(taken > 0 && taken <= STATEMENTS_MOST);
	before = store_statements(library.store);
	char *path = strdup(answer.results.items[0].photo.path);
	search_answer_release(&answer);
	assert_ok(answer_similar(&session, path, 10, &answer, &err), &err);
	taken = store_statements(library.store) - before;
	printf("similar: %llu statements\n", (unsigned long long)taken);
	assert_true(taken > 0 && taken <= STATEMENTS_MOST);
	search_answer_release(&answer);
	free(path);
	session_close(&session);
	library_close(&library);
}

static void a_match_takes_some_dozen_statements(void **state)
{
	struct session session;
	struct matcher matcher;
	struct match *matches;
	size_t count;
	int64_t content = 1;
	bool found;

	(void)state;
	open_session(&session);
	float *embedding = mem_floats(library.engine.embed), *tokens = mem_floats(library.engine.tokens * library.engine.width);
	enum tokens_found had;
	assert_ok(store_embeddings(library.store, STORE_PHOTOS, &content, 1, embedding, &found, &err), &err);
	assert_ok(tokens_of_content(&library, TOKENS_IMAGE, content, tokens, &had, &err), &err);
	assert_ok(match_open(&library, NULL, &matcher, &err), &err);
	uint64_t before = store_statements(library.store);
	assert_ok(match_find(&matcher, embedding, tokens, content, 10, SCORE_DEPTH, &matches, &count, &err), &err);
	uint64_t taken = store_statements(library.store) - before;
	printf("a match: %llu statements\n", (unsigned long long)taken);
	assert_int_equal(count, 10);
	assert_true(taken > 0 && taken <= STATEMENTS_MOST);
	matches_free(matches, count);
	match_close(&matcher);
	free(embedding);
	free(tokens);
	session_close(&session);
	library_close(&library);
}

static void notes_go_to_the_listener(void **state)
{
	struct session session;
	struct search_answer answer;
	char words[2048] = "word";

	(void)state;
	open_session(&session);
	for (size_t i = 0; i < 100; i++)
		snprintf(words + strlen(words), sizeof words - strlen(words), " word");
	ask(&session, words, &answer);
	assert_non_null(strstr(notes, "what is behind them is not used"));
	search_answer_release(&answer);
	session_close(&session);
	library_close(&library);
}

static void what_matches_less_is_dropped_and_counted(void **state)
{
	struct session session;
	struct search_answer answer;

	(void)state;
	open_session(&session);
	struct query query = parse("a red circle");
	struct search_request request = {.query = &query, .limit = 10, .depth = SCORE_DEPTH, .least = 2};
	assert_ok(answer_search(&session, &request, &answer, &err), &err);
	assert_int_equal(answer.results.count, 0);
	assert_int_equal(answer.dropped, SCORE_DEPTH);
	search_answer_release(&answer);
	query_release(&query);
	session_close(&session);
	library_close(&library);
}

static void limit_depth_and_explanation_are_what_is_asked_for(void **state)
{
	static const struct {
		size_t limit, depth;
		bool explain;
	} wanted[] = {{3, 8, false}, {20, 5, true}, {4, 0, false}};
	struct session session;
	struct search_answer answer;

	(void)state;
	open_session(&session);
	for (size_t k = 0; k < 3; k++) {
		struct query query = parse("a red circle");
		const struct search_request request = {&query, wanted[k].limit, wanted[k].depth, NAN, wanted[k].explain};
		size_t reranked = 0;
		assert_ok(answer_search(&session, &request, &answer, &err), &err);
		assert_false(catalog_in_transaction(library.catalog));
		assert_int_equal(answer.results.count, wanted[k].limit);
		for (size_t i = 0; i < answer.results.count; i++)
			reranked += answer.results.items[i].reranked;
		assert_int_equal(reranked, wanted[k].depth < wanted[k].limit ? wanted[k].depth : wanted[k].limit);
		assert_int_equal(answer.results.why != NULL, wanted[k].explain);
		assert_int_equal(answer.dropped, 0);
		assert_int_equal(answer.reranker.text_count, wanted[k].depth ? 1 : 0);
		search_answer_release(&answer);
		query_release(&query);
	}
	session_close(&session);
	library_close(&library);
}

static void what_is_kept_matches_by_least_or_more(void **state)
{
	struct session session;
	struct search_answer all, some;

	(void)state;
	open_session(&session);
	struct query query = parse("a red circle");
	struct search_request request = {.query = &query, .limit = 30, .depth = 30, .least = NAN};
	assert_ok(answer_search(&session, &request, &all, &err), &err);
	assert_int_equal(all.results.count, 30);
	double best = 0, worst = 1;
	for (size_t i = 0; i < 30; i++) {
		best = fmax(best, all.results.items[i].match);
		worst = fmin(worst, all.results.items[i].match);
	}
	assert_true(worst < best);
	request.least = best; /* the best itself stays */
	assert_ok(answer_search(&session, &request, &some, &err), &err);
	assert_in_range(some.results.count, 1, 29);
	assert_int_equal(some.results.count + some.dropped, 30);
	for (size_t i = 0; i < some.results.count; i++)
		assert_true(some.results.items[i].match >= best);
	search_answer_release(&all);
	search_answer_release(&some);
	query_release(&query);
	session_close(&session);
	library_close(&library);
}

static void similar_leaves_the_file_out_and_filters_alone_list(void **state)
{
	struct session session;
	struct search_answer answer;

	(void)state;
	open_session(&session);
	ask(&session, "a red circle", &answer);
	char *path = strdup(answer.results.items[0].photo.path);
	search_answer_release(&answer);
	assert_ok(answer_similar(&session, path, 10, &answer, &err), &err);
	assert_false(catalog_in_transaction(library.catalog));
	assert_int_equal(answer.results.count, 10);
	for (size_t i = 0; i < 10; i++)
		assert_string_not_equal(answer.results.items[i].photo.path, path);
	search_answer_release(&answer);
	free(path);

	struct query query = {0};
	const struct search_request request = {.query = &query, .limit = 7, .depth = SCORE_DEPTH, .least = NAN};
	assert_ok(answer_search(&session, &request, &answer, &err), &err);
	assert_false(catalog_in_transaction(library.catalog));
	assert_int_equal(answer.results.count, 7);
	assert_true(isnan(answer.results.items[0].match));
	search_answer_release(&answer);
	session_close(&session);
	library_close(&library);
}

TEST_MAIN(cmocka_unit_test(limit_depth_and_explanation_are_what_is_asked_for), cmocka_unit_test(what_is_kept_matches_by_least_or_more),
	  cmocka_unit_test(similar_leaves_the_file_out_and_filters_alone_list),
	  cmocka_unit_test(a_session_answers_the_same_again), cmocka_unit_test(a_search_takes_some_dozen_statements),
	  cmocka_unit_test(a_match_takes_some_dozen_statements), cmocka_unit_test(notes_go_to_the_listener),
	  cmocka_unit_test(what_matches_less_is_dropped_and_counted))
