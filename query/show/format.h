/* format.h: what every command that prints shares: the words of --format, times, control characters. */
#ifndef QUERY_SHOW_FORMAT_H
#define QUERY_SHOW_FORMAT_H

#include <stdint.h>
#include <stdio.h>

#include "query/find/search.h"
#include "schema/cli/options.h"
#include "schema/base/memory.h"
#include "schema/base/status.h"

enum format {
	FORMAT_TEXT,
	FORMAT_JSON,
	FORMAT_PATHS0,
	FORMAT_COLOURED, /* what text becomes on a terminal */
};

/* Text becomes coloured if stream is a terminal that is not dumb, and NO_COLOR is unset or empty (no-color.org). */
enum format format_for(enum format format, FILE *stream);

/* The words of --format, for OPTION_CHOICE: the last of them that a command takes is FORMAT_JSON or FORMAT_PATHS0. */
extern const char *const format_names[];

/* Appends "2024-05-31T18:30:00" and, unless offset is CATALOG_NO_OFFSET, "+02:00". */
void format_time(int64_t taken_at, int32_t offset, struct buffer *out);

/* Appends bytes with control characters as \xNN. */
void format_visible(const char *bytes, size_t size, struct buffer *out);

/* Writes a buffer and releases it. STATUS_MEMORY if an append to it failed. */
enum status format_print(FILE *out, struct buffer *buffer, struct err *err);

#endif
