/* listener.c: see listener.h. */
#include "schema/base/listener.h"

#include <stdarg.h>
#include <stdio.h>

#include "schema/base/status.h"

#include "schema/base/banned.h"

static void tell(void (*hear)(void *context, const char *text), void *context, const char *format, va_list args)
{
	struct err visible;
	char text[sizeof visible.text];

	vsnprintf(text, sizeof text, format, args);
	err_set(&visible, STATUS_OK, "%s", text); /* a path in it cannot forge a line */
	hear(context, visible.text);
}

void listener_note(const struct listener *listener, const char *format, ...)
{
	va_list args;

	if (!listener || !listener->note)
		return;
	va_start(args, format);
	tell(listener->note, listener->context, format, args);
	va_end(args);
}

void listener_fault(const struct listener *listener, const char *format, ...)
{
	va_list args;

	if (!listener || !listener->fault)
		return;
	va_start(args, format);
	tell(listener->fault, listener->context, format, args);
	va_end(args);
}

bool listener_stopped(const struct listener *listener)
{
	return listener && listener->interrupted && *listener->interrupted;
}
