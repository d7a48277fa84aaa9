/* listener.h: who is told what happens while a long call works, and may end it. Nothing below a command prints.
 *
 *     listener_note(listener, "%zu photos have no date", n);
 *     if (listener_stopped(listener)) return err_set(err, STATUS_INTERRUPTED, "interrupted");
 *
 * A zeroed listener hears nothing, and NULL stands for one. Texts are valid during the call, one line each, free of control characters.
 */
#ifndef SCHEMA_BASE_LISTENER_H
#define SCHEMA_BASE_LISTENER_H

#include <signal.h>
#include <stdbool.h>

struct listener {
	void *context;
	void (*note)(void *context, const char *text);     /* what the user might not expect of an answer */
	void (*fault)(void *context, const char *text);    /* what was left out, and why, while the call goes on */
	void (*progress)(void *context, const char *line); /* how far it is, in place of the last such line; NULL: it is over */
	const volatile sig_atomic_t *interrupted;          /* not 0: the user wants it to end; may be NULL */
};

void listener_note(const struct listener *listener, const char *format, ...) __attribute__((format(printf, 2, 3)));
void listener_fault(const struct listener *listener, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool listener_stopped(const struct listener *listener);

#endif
