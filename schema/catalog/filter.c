/* filter.c: which photographs pass --in, --since, --until, --camera, --near, --text and --label and their negations, as one SQL
 * condition with bound parameters. What SQL cannot say are three functions: coca_contains (ASCII case folded substring), coca_km (great
 * circle) and coca_words (whole words, Unicode case folded). Where there are negations alone, each is answered as its own filter would
 * be, and what they find is left out of all.
 */
#include "schema/catalog/catalog.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utf8proc.h>

#include "schema/catalog/internal.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* --- SQL functions --- */

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

/* --- filters --- */

bool photo_filter_empty(const struct photo_filter *filter)
{
	return !filter->in && !filter->has_since && !filter->has_until && !filter->camera && !filter->has_near && !filter->text &&
	       !filter->label_count && !filter->except;
}

/* The words as has_words wants them. */
static enum status split_words(const char *text, struct buffer *words, struct err *err)
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

/* Parameters of one filter, from a base of its own: the first filter has 0, each further one PARAMETERS more. The latitudes within reach
 * spare most rows the trigonometry. */
enum { FOLDER = 1, BELOW_FROM, BELOW_TO, SINCE, UNTIL, CAMERA, LATITUDE, LONGITUDE, KM, WORDS, SOUTH, NORTH, LABEL,
       LEAST = LABEL + PHOTO_LABELS_MOST, PARAMETERS = LEAST + PHOTO_LABELS_MOST };
enum { FILTERS_MOST = 100, PHOTO = PARAMETERS * (FILTERS_MOST + 1), LIMIT };

/* Whether the photos whose texts have the words are better found by going through all texts once; else each photo that passes the
 * rest is asked. */
static bool text_leads(const struct photo_filter *filter, bool negated)
{
	return negated || !(filter->in || filter->has_since || filter->has_until || filter->camera || filter->has_near);
}

/* " AND ..." for each condition, or all of them as one that must not hold. What is not known does not hold, so its negation does. one: it is
 * asked of one photo. */
static void append_conditions(struct buffer *sql, const struct photo_filter *filter, int base, bool negated, bool one)
{
	size_t start = sql->size;

	if (negated)
		buffer_text(sql, " AND NOT ifnull(1");
	if (filter->in)
		buffer_format(sql, " AND (path = ?%d OR (path >= ?%d AND path < ?%d))", base + FOLDER, base + BELOW_FROM, base + BELOW_TO);
	if (filter->has_since)
		buffer_format(sql, " AND taken_at >= ?%d", base + SINCE);
	if (filter->has_until)
		buffer_format(sql, " AND taken_at < ?%d", base + UNTIL);
	if (filter->camera)
		buffer_format(sql, " AND (ifnull(coca_contains(camera, ?%d), 0) OR ifnull(coca_contains(lens, ?%d), 0))", base + CAMERA,
			      base + CAMERA);
	if (filter->has_near)
		buffer_format(sql, " AND latitude BETWEEN ?%d AND ?%d AND longitude IS NOT NULL AND coca_km(latitude, longitude, ?%d, ?%d) <= ?%d",
			      base + SOUTH, base + NORTH, base + LATITUDE, base + LONGITUDE, base + KM);
	if (filter->text && !one && text_leads(filter, negated))
		buffer_format(sql, " AND content IN (SELECT t.content FROM texts t WHERE t.content IS NOT NULL AND coca_words(t.text, ?%d))",
			      base + WORDS);
	else if (filter->text)
		buffer_format(sql, " AND EXISTS (SELECT 1 FROM texts t WHERE t.content = photos.content AND coca_words(t.text, ?%d))",
			      base + WORDS);
	for (int i = 0; i < (int)filter->label_count; i++)
		buffer_format(sql, " AND EXISTS (SELECT 1 FROM label_scores l WHERE l.label = ?%d AND l.content = photos.content AND"
				   " iif(?%d > 0, l.probability >= ?%d, l.has))", base + LABEL + i, base + LEAST + i, base + LEAST + i);
	if (negated && sql->size == start + strlen(" AND NOT ifnull(1"))
		sql->size = start; /* an empty filter excludes nothing */
	else if (negated)
		buffer_text(sql, ", 0)");
}

static enum status bind_conditions(sqlite3_stmt *s, const struct photo_filter *filter, int base, struct err *err)
{
	struct buffer words = {0};

	if (filter->in)
		catalog_bind_below(s, base + FOLDER, filter->in);
	if (filter->has_since)
		sqlite3_bind_int64(s, base + SINCE, filter->since);
	if (filter->has_until)
		sqlite3_bind_int64(s, base + UNTIL, filter->until);
	if (filter->camera)
		sqlite3_bind_text(s, base + CAMERA, filter->camera, -1, SQLITE_STATIC);
	if (filter->has_near) {
		double reach = filter->km / 111 + 1e-6; /* a degree of latitude has 111.19 km on the sphere */
		sqlite3_bind_double(s, base + LATITUDE, filter->latitude);
		sqlite3_bind_double(s, base + LONGITUDE, filter->longitude);
		sqlite3_bind_double(s, base + KM, filter->km);
		sqlite3_bind_double(s, base + SOUTH, filter->latitude - reach);
		sqlite3_bind_double(s, base + NORTH, filter->latitude + reach);
	}
	for (int i = 0; i < (int)filter->label_count; i++) {
		sqlite3_bind_int64(s, base + LABEL + i, filter->labels[i].id);
		sqlite3_bind_double(s, base + LEAST + i, filter->labels[i].least);
	}
	enum status status = filter->text ? split_words(filter->text, &words, err) : STATUS_OK;
	if (status == STATUS_OK && filter->text)
		sqlite3_bind_blob(s, base + WORDS, words.data, (int)words.size, SQLITE_TRANSIENT);
	buffer_release(&words);
	return status;
}

/* "SELECT what FROM photos WHERE where AND the filter's conditions", bound but for PHOTO and LIMIT. order "": of one photo. */
static enum status prepare_filter(struct catalog *catalog, const struct photo_filter *filter, const char *select, const char *order,
				  sqlite3_stmt **s, struct err *err)
{
	struct buffer sql = {0};
	enum status status = STATUS_OK;
	int n = 0;

	*s = NULL;
	buffer_text(&sql, select);
	for (const struct photo_filter *f = filter; f; f = f->except, n++) {
		if (f->has_near && !(isfinite(f->latitude) && isfinite(f->longitude) && f->km >= 0))
			status = err_set(err, STATUS_USAGE, "a place needs a latitude, a longitude and a distance");
		if (n > FILTERS_MOST)
			status = err_set(err, STATUS_USAGE, "too many filters (at most %d)", FILTERS_MOST);
		if (status != STATUS_OK)
			break;
		append_conditions(&sql, f, n * PARAMETERS, n > 0, !*order);
	}
	buffer_append(&sql, order, strlen(order) + 1);
	if (status == STATUS_OK && sql.failed)
		status = err_memory(err, "a filter");
	if (status == STATUS_OK && sqlite3_prepare_v2(catalog->db, sql.data, -1, s, NULL) != SQLITE_OK)
		status = catalog_failed(catalog, err);
	n = 0;
	for (const struct photo_filter *f = filter; f && status == STATUS_OK; f = f->except)
		status = bind_conditions(*s, f, PARAMETERS * n++, err);
	buffer_release(&sql);
	return status;
}

/* What was found becomes the caller's, unless status says that it failed. */
static enum status hand_over(struct buffer *found, enum status status, int64_t **numbers, size_t *n, struct err *err)
{
	buffer_append(found, "", 0); /* no match is an array, too */
	if (status == STATUS_OK && found->failed)
		status = err_memory(err, "the photos that pass a filter");
	if (status == STATUS_OK) {
		*numbers = (int64_t *)(void *)found->data;
		*n = found->size / sizeof **numbers;
		*found = (struct buffer){0};
	}
	buffer_release(found);
	return status;
}

/* The numbers that a bound statement yields. */
static enum status collect(struct catalog *catalog, sqlite3_stmt *s, int64_t **numbers, size_t *n, struct err *err)
{
	struct buffer found = {0};
	enum status status;
	bool row;

	while ((status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
		int64_t number = sqlite3_column_int64(s, 0);
		buffer_append(&found, &number, sizeof number);
	}
	return hand_over(&found, status, numbers, n, err);
}

static int by_number(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Ascending, each once: quicker here than by SQLite, and it may then choose its index for the conditions alone. */
static void order_numbers(int64_t *numbers, size_t *n)
{
	size_t kept = 0, i = 1;

	while (i < *n && numbers[i - 1] <= numbers[i])
		i++;
	if (i < *n)
		qsort(numbers, *n, sizeof *numbers, by_number);
	for (i = 0; i < *n; i++)
		if (!kept || numbers[i] != numbers[kept - 1])
			numbers[kept++] = numbers[i];
	*n = kept;
}

/* --- negations alone --- */

/* Photos by id, a bit each. */
struct ids {
	uint8_t *bits;
	int64_t most;
};

static bool has_id(const struct ids *ids, int64_t id)
{
	return id >= 0 && id <= ids->most && ids->bits[id / 8] >> (id % 8) & 1;
}

/* Those that a bound statement yields. */
static enum status add_ids(struct catalog *catalog, sqlite3_stmt *s, struct ids *ids, struct err *err)
{
	enum status status;
	bool row;

	while ((status = catalog_step(catalog, s, &row, err)) == STATUS_OK && row) {
		int64_t id = sqlite3_column_int64(s, 0);
		if (id >= 0 && id <= ids->most)
			ids->bits[id / 8] |= (uint8_t)(1 << id % 8);
	}
	return status;
}

static enum status add_selected(struct catalog *catalog, const char *sql, struct ids *ids, struct err *err)
{
	sqlite3_stmt *s;
	enum status status = catalog_prepare(catalog, sql, &s, err);

	if (status == STATUS_OK)
		status = add_ids(catalog, s, ids, err);
	catalog_done(catalog, s);
	return status;
}

static enum status make_ids(struct catalog *catalog, struct ids *ids, struct err *err)
{
	sqlite3_stmt *s;
	bool row = false;
	enum status status = catalog_prepare(catalog, "SELECT max(id) FROM photos", &s, err);

	if (status == STATUS_OK)
		status = catalog_step(catalog, s, &row, err);
	ids->most = row ? sqlite3_column_int64(s, 0) : 0;
	catalog_done(catalog, s);
	if (status != STATUS_OK)
		return status;
	ids->bits = calloc((size_t)(ids->most > 0 ? ids->most : 0) / 8 + 1, 1);
	return ids->bits ? STATUS_OK : err_memory(err, "the photos that pass a filter");
}

/* What does not pass: photos that are not there or not READY, and what any of the filters lets through, each answered from its index. */
static enum status exclude(struct catalog *catalog, const struct photo_filter *except, struct ids *ids, struct err *err)
{
	enum status status = make_ids(catalog, ids, err);

	if (status == STATUS_OK)
		status = add_selected(catalog, "SELECT id FROM photos WHERE state = 1", ids, err);
	if (status == STATUS_OK)
		status = add_selected(catalog, "SELECT id FROM photos WHERE gone_since <> 0", ids, err);
	for (const struct photo_filter *f = except; f && status == STATUS_OK; f = f->except) {
		struct photo_filter one = *f;
		sqlite3_stmt *s = NULL;
		one.except = NULL;
		if (photo_filter_empty(&one))
			continue; /* an empty filter excludes nothing */
		status = prepare_filter(catalog, &one, "SELECT id FROM photos WHERE 1", " ", &s, err);
		if (status == STATUS_OK)
			status = add_ids(catalog, s, ids, err);
		sqlite3_finalize(s);
	}
	return status;
}

/* All but what passes the filters: no row of photos is looked at, as their contents are in an index, in order. Its statement is begun
 * before the others, so that all of them see the same state of the catalog. */
static enum status filter_all_but(struct catalog *catalog, const struct photo_filter *except, int64_t **contents, size_t *n,
				  struct err *err)
{
	struct buffer found = {0};
	struct ids ids = {0};
	int64_t last = 0;
	sqlite3_stmt *s;
	bool row = false;
	enum status status = catalog_prepare(catalog, "SELECT content, id FROM photos WHERE content IS NOT NULL ORDER BY content", &s, err);

	if (status == STATUS_OK)
		status = catalog_step(catalog, s, &row, err);
	if (status == STATUS_OK)
		status = exclude(catalog, except, &ids, err);
	while (status == STATUS_OK && row) {
		int64_t content = sqlite3_column_int64(s, 0);
		if (!(found.size && content == last) && !has_id(&ids, sqlite3_column_int64(s, 1))) {
			buffer_append(&found, &content, sizeof content);
			last = content;
		}
		status = catalog_step(catalog, s, &row, err);
	}
	catalog_done(catalog, s);
	free(ids.bits);
	return hand_over(&found, status, contents, n, err);
}

#define LIVE "FROM photos WHERE state = 0 AND gone_since = 0 AND content IS NOT NULL"

enum status catalog_filter(struct catalog *catalog, const struct photo_filter *filter, int64_t **contents, size_t *n, struct err *err)
{
	sqlite3_stmt *s;
	struct photo_filter first = *filter;

	*contents = NULL;
	*n = 0;
	first.except = NULL;
	if (filter->except && photo_filter_empty(&first))
		return filter_all_but(catalog, filter->except, contents, n, err);
	enum status status = prepare_filter(catalog, filter, "SELECT content " LIVE, " ", &s, err);
	if (status == STATUS_OK)
		status = collect(catalog, s, contents, n, err);
	if (status == STATUS_OK)
		order_numbers(*contents, n);
	sqlite3_finalize(s);
	return status;
}

enum status catalog_filter_newest(struct catalog *catalog, const struct photo_filter *filter, size_t limit, int64_t **photos, size_t *n,
				  struct err *err)
{
	char order[96];
	sqlite3_stmt *s;

	*photos = NULL;
	*n = 0;
	snprintf(order, sizeof order, " ORDER BY taken_at IS NULL, taken_at DESC, path LIMIT ?%d", LIMIT);
	enum status status = prepare_filter(catalog, filter, "SELECT id " LIVE, order, &s, err);
	if (status == STATUS_OK) {
		sqlite3_bind_int64(s, LIMIT, limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
		status = collect(catalog, s, photos, n, err);
	}
	sqlite3_finalize(s);
	return status;
}

enum status catalog_filter_photo(struct catalog *catalog, const struct photo_filter *filter, int64_t photo, bool *passes, struct err *err)
{
	char select[64];
	sqlite3_stmt *s;

	*passes = false;
	snprintf(select, sizeof select, "SELECT 1 FROM photos WHERE id = ?%d", PHOTO);
	enum status status = prepare_filter(catalog, filter, select, "", &s, err);
	if (status == STATUS_OK) {
		sqlite3_bind_int64(s, PHOTO, photo);
		status = catalog_step(catalog, s, passes, err);
	}
	sqlite3_finalize(s);
	return status;
}
