/* listener.c: who hears what: a note is no fault, and nobody listens to NULL. */
#include <stdio.h>
#include <string.h>

#include "schema/base/listener.h"
#include "tests/support.h"

#include "schema/base/banned.h"

struct heard {
	char note[256], fault[256];
};

static void hear_note(void *context, const char *text)
{
	struct heard *heard = context;

	snprintf(heard->note, sizeof heard->note, "%s", text);
}

static void hear_fault(void *context, const char *text)
{
	struct heard *heard = context;

	snprintf(heard->fault, sizeof heard->fault, "%s", text);
}

static void notes_and_faults_are_told_apart_as_one_line(void **state)
{
	struct heard heard = {0};
	const struct listener listener = {.context = &heard, .note = hear_note, .fault = hear_fault};
	(void)state;

	listener_note(&listener, "%d photos in '%s'", 3, "a\nb");
	assert_string_equal(heard.note, "3 photos in 'a\\x0ab'");
	assert_string_equal(heard.fault, "");
	listener_fault(&listener, "'%s' is broken", "c");
	assert_string_equal(heard.fault, "'c' is broken");
	assert_string_equal(heard.note, "3 photos in 'a\\x0ab'");
}

static void who_does_not_listen_is_not_told(void **state)
{
	struct heard heard = {0};
	const struct listener deaf = {.context = &heard}, notes = {.context = &heard, .note = hear_note},
			      faults = {.context = &heard, .fault = hear_fault};
	(void)state;

	listener_note(NULL, "a");
	listener_fault(NULL, "a");
	listener_note(&deaf, "a");
	listener_fault(&deaf, "a");
	listener_fault(&notes, "a");
	listener_note(&faults, "a");
	assert_string_equal(heard.note, "");
	assert_string_equal(heard.fault, "");
}

static void a_call_ends_when_its_listener_wants_it(void **state)
{
	volatile sig_atomic_t interrupted = 0;
	const struct listener listener = {.interrupted = &interrupted}, patient = {0};
	(void)state;

	assert_false(listener_stopped(NULL));
	assert_false(listener_stopped(&patient));
	assert_false(listener_stopped(&listener));
	interrupted = 1;
	assert_true(listener_stopped(&listener));
}

TEST_MAIN(cmocka_unit_test(notes_and_faults_are_told_apart_as_one_line), cmocka_unit_test(who_does_not_listen_is_not_told),
	  cmocka_unit_test(a_call_ends_when_its_listener_wants_it))
