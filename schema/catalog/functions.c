/* functions.c: what SQL cannot say of a photograph that a filter asks about: coca_contains (ASCII case folded substring), coca_km (great
 * circle) and coca_words (whole words, Unicode case folded).
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "schema/catalog/internal.h"

#include "schema/base/banned.h"

static int fold_ascii(int c)
{
	return c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c;
}

static bool contains(const unsigned char *text, size_t n, const unsigned char *part, size_t m)
{
	for (size_t i = 0; m <= n && i <= n - m; i++) {
		size_t j = 0;
		while (j < m && fold_ascii(text[i + j]) == fold_ascii(part[j]))
			j++;
		if (j == m)
			return true;
	}
	return false;
}

/* The last text that was looked into: rows of the same camera come together. */
struct looked {
	size_t n;
	bool contains;
	unsigned char text[120];
};

static void sql_contains(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	(void)argc;
	const unsigned char *text = sqlite3_value_text(argv[0]), *part = sqlite3_value_text(argv[1]);
	size_t n = (size_t)sqlite3_value_bytes(argv[0]);
	struct looked *looked = sqlite3_get_auxdata(context, 1), fresh = {.n = n};

	if (!text || !part) {
		sqlite3_result_int(context, 0);
	} else if (looked && looked->n == n && memcmp(looked->text, text, n) == 0) {
		sqlite3_result_int(context, looked->contains);
	} else {
		fresh.contains = contains(text, n, part, (size_t)sqlite3_value_bytes(argv[1]));
		sqlite3_result_int(context, fresh.contains);
		if (n > sizeof fresh.text)
			return;
		memcpy(fresh.text, text, n);
		if (looked)
			*looked = fresh;
		else if ((looked = (struct looked *)(void *)mem_copy(&fresh, sizeof fresh)))
			sqlite3_set_auxdata(context, 1, looked, free);
	}
}

static double radians(double degrees)
{
	return degrees * (M_PI / 180);
}

/* Haversine on a sphere of the Earth's mean radius: within 0.6 % of the ellipsoid. */
static double kilometres(double latitude_1, double longitude_1, double latitude_2, double longitude_2)
{
	double a = sin(radians(latitude_2 - latitude_1) / 2), b = sin(radians(longitude_2 - longitude_1) / 2);
	double h = a * a + cos(radians(latitude_1)) * cos(radians(latitude_2)) * b * b;

	return 2 * 6371.0088 * asin(sqrt(fmin(1, h)));
}

static void sql_km(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	(void)argc;
	sqlite3_result_double(context, kilometres(sqlite3_value_double(argv[0]), sqlite3_value_double(argv[1]),
						  sqlite3_value_double(argv[2]), sqlite3_value_double(argv[3])));
}

/* Case folded and composed; text that is not UTF-8 is folded as ASCII. The caller's to free. */
static char *fold(const void *text, size_t size)
{
	utf8proc_uint8_t *folded = NULL;
	const unsigned char *bytes = text;
	bool ascii = true;

	for (size_t i = 0; i < size; i++)
		ascii &= bytes[i] < 0x80;
	if (!ascii && utf8proc_map(text, (utf8proc_ssize_t)size, &folded, UTF8PROC_CASEFOLD | UTF8PROC_COMPOSE | UTF8PROC_STABLE) >= 0)
		return (char *)folded;
	char *copy = mem_copy(text, size);
	for (char *p = copy; p && *p; p++)
		*p = (char)fold_ascii((unsigned char)*p);
	return copy;
}

/* Letters, digits and everything beyond ASCII make words. */
static bool in_word(char c)
{
	return (unsigned char)c >= 0x80 || isalnum((unsigned char)c);
}

/* Whether the word at `word` stands in text with no letter before or behind it. */
static bool has_word(const char *text, const char *word, size_t n)
{
	for (const char *at = text; (at = strstr(at, word)); at++) {
		bool begins = at == text || !in_word(at[-1]) || !in_word(word[0]);
		if (begins && (!in_word(at[n]) || !in_word(word[n - 1])))
			return true;
	}
	return false;
}

/* words: folded, in place of the white space between them one NUL each, and another at the end. */
static bool has_words(const char *text, const char *words)
{
	for (; *words; words += strlen(words) + 1)
		if (!has_word(text, words, strlen(words)))
			return false;
	return true;
}

static void sql_words(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	(void)argc;
	const void *text = sqlite3_value_blob(argv[0]);
	char *folded = fold(text ? text : "", (size_t)sqlite3_value_bytes(argv[0]));

	if (folded)
		sqlite3_result_int(context, has_words(folded, sqlite3_value_blob(argv[1])));
	else
		sqlite3_result_error_nomem(context);
	free(folded);
}

enum status catalog_filter_register(struct catalog *catalog, struct err *err)
{
	static const struct {
		const char *name;
		int arguments;
		void (*function)(sqlite3_context *, int, sqlite3_value **);
	} functions[] = {{"coca_contains", 2, sql_contains}, {"coca_km", 4, sql_km}, {"coca_words", 2, sql_words}};

	for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
		if (sqlite3_create_function(catalog->db, functions[i].name, functions[i].arguments,
					    SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY, NULL, functions[i].function, NULL, NULL) != SQLITE_OK)
			return catalog_failed(catalog, err);
	return STATUS_OK;
}

/* The words as has_words wants them. */
enum status catalog_filter_words(const char *text, struct buffer *words, struct err *err)
{
	char *folded = fold(text, strlen(text));

	if (!folded)
		return err_memory(err, "the words of a filter");
	for (const char *p = folded; *p;) {
		size_t n = strcspn(p, " \t\r\n\f\v");
		if (n) {
			buffer_append(words, p, n);
			buffer_append(words, "", 1);
		}
		p += n + strspn(p + n, " \t\r\n\f\v");
	}
	buffer_append(words, "", 1);
	free(folded);
	return words->failed ? err_memory(err, "the words of a filter") : STATUS_OK;
}
