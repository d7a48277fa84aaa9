/* table.h: rows of a table of options: how one is called, what it takes, and the member of a struct that its value goes to.
 *
 *     OPTION_NUMBER(struct options, limit, "limit", 'n', "N", 1, 1000000, 10, "show the best N (default %)"),
 *
 *     struct and member, whose type is checked; name; letter, or 0; what help calls the value; range; default; help
 *
 * options.h has a whole table, and who reads it.
 */
#ifndef SCHEMA_CLI_TABLE_H
#define SCHEMA_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "schema/base/memory.h"

/* What a value is, and so the type of the member that it fills. */
enum option_kind {
	KIND_FLAG,             /* bool: no value */
	KIND_TEXT,             /* const char * */
	KIND_NUMBER,           /* size_t: a whole number in a range */
	KIND_REAL,             /* double */
	KIND_SIZE,             /* size_t: bytes, with K M G T */
	KIND_CHOICE,           /* int or an enum: which of some words */
	KIND_LIST,             /* struct option_list: this and other options, in the order of the command line */
	OPTION_KIND = 15,
	/* or-ed to it */
	OPTION_MANY = 16,      /* may be given more than once */
	OPTION_FILE = 32,      /* the value is a path: completions offer files */
	OPTION_FOLDER = 64,
	OPTION_BARE = 128,     /* a value only as --name=VALUE; without one it is what `bare` says */
};

union option_value {
	size_t number;         /* of KIND_NUMBER and KIND_SIZE, and of KIND_CHOICE its index */
	double real;
	const char *text;
};

struct option_spec {
	const char *name;      /* without the dashes; NULL ends the table */
	char letter;           /* 0: none */
	const char *value;     /* what help calls the value: "N", "DIR" */
	int kind;              /* enum option_kind, or-ed */
	const char *help;      /* each % in it is printed as the default, of OPTION_BARE as what it is without a value */
	size_t at;             /* offset of the member in the command's struct */
	union option_value fallback, bare;
	union option_value least, most; /* of a number or real; of a choice `most` is the last that this command takes */
	const char *const *choices; /* ends with NULL */
	int tag;               /* of a list: which of its options it was */
};

struct option_list {
	size_t count;
	struct option_item {
		int tag;
		const char *value;
	} *items;
};

/* The offset of a member, which must be of type `is`. */
#define OPTION_AT(type, member, is) _Generic(((type *)0)->member, is: offsetof(type, member))
#define OPTION_ENUM_AT(type, member) _Generic(((type *)0)->member, int: offsetof(type, member), unsigned: offsetof(type, member))

#define OPTION_FLAG(type, member, name, letter, help) {name, letter, NULL, KIND_FLAG, help, .at = OPTION_AT(type, member, bool)}
/* NULL when not given. flags: 0, OPTION_FILE or OPTION_FOLDER. */
#define OPTION_TEXT(type, member, name, letter, value, flags, help) \
	{name, letter, value, KIND_TEXT | (flags), help, .at = OPTION_AT(type, member, const char *)}
/* from...to; normal, which may lie outside of them, when not given. */
#define OPTION_NUMBER(type, member, name, letter, value, from, to, normal, help) \
	{name, letter, value, KIND_NUMBER, help, OPTION_AT(type, member, size_t), {.number = normal}, \
	 .least = {.number = from}, .most = {.number = to}}
#define OPTION_REAL(type, member, name, letter, value, from, to, normal, help) \
	{name, letter, value, KIND_REAL, help, OPTION_AT(type, member, double), {.real = normal}, \
	 .least = {.real = from}, .most = {.real = to}}
#define OPTION_SIZE(type, member, name, letter, value, normal, help) \
	{name, letter, value, KIND_SIZE, help, OPTION_AT(type, member, size_t), .fallback = {.number = normal}}
/* words: ends with NULL; last: index of the last that this command takes; normal: an index, or -1. */
#define OPTION_CHOICE(type, member, name, letter, value, words, last, normal, help) \
	{name, letter, value, KIND_CHOICE, help, OPTION_ENUM_AT(type, member), {.number = (size_t)(normal)}, \
	 .most = {.number = last}, .choices = words}
/* flags: OPTION_MANY, OPTION_FILE, OPTION_FOLDER. */
#define OPTION_LIST(type, member, name, letter, value, flags, which, help) \
	{name, letter, value, KIND_LIST | (flags), help, OPTION_AT(type, member, struct option_list), .tag = which}
/* A value only as --name=VALUE. absent: not given; without: given without a value. */
#define OPTION_BARE_NUMBER(type, member, name, letter, value, from, to, absent, without, help) \
	{name, letter, value, KIND_NUMBER | OPTION_BARE, help, OPTION_AT(type, member, size_t), {.number = absent}, {.number = without}, \
	 .least = {.number = from}, .most = {.number = to}}
#define OPTION_BARE_REAL(type, member, name, letter, value, from, to, absent, without, help) \
	{name, letter, value, KIND_REAL | OPTION_BARE, help, OPTION_AT(type, member, double), {.real = absent}, {.real = without}, \
	 .least = {.real = from}, .most = {.real = to}}
#define OPTION_BARE_TEXT(type, member, name, letter, value, without, help) \
	{name, letter, value, KIND_TEXT | OPTION_BARE, help, OPTION_AT(type, member, const char *), .bare = {.text = without}}

/* A row's help, with the default in its place. */
void option_help(const struct option_spec *spec, struct buffer *out);

#endif
