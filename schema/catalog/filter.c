/* filter.c: which photographs pass a filter, as one SQL condition with bound parameters; what SQL cannot say is in functions.c. Where
 * there are negations alone, each is answered as its own filter would be, and what they find is left out of all.
 */
#include "schema/catalog/filter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/catalog/internal.h"

#include "schema/base/banned.h"

bool photo_filter_empty(const struct photo_filter *filter)
{
	return !filter->in && !filter->has_since && !filter->has_until && !filter->camera && !filter->has_near && !filter->text &&
	       !filter->label_count && !filter->except;
}

/* Parameters of one filter, from a base of its own: the first filter has 0, each further one PARAMETERS more. The latitudes within reach
 * spare most rows the trigonometry. */
enum { FOLDER = 1, BELOW_FROM, BELOW_TO, SINCE, UNTIL, CAMERA, LATITUDE, LONGITUDE, KM, WORDS, SOUTH, NORTH, LABEL,
       LEAST = LABEL + PHOTO_LABELS_MOST, PARAMETERS = LEAST + PHOTO_LABELS_MOST };
enum { FILTERS_MOST = 100, PHOTO = PARAMETERS * (FILTERS_MOST + 1), LIMIT, CONTENTS };

/* Whether the photos whose texts have the words are better found by going through all texts once; else each photo that passes the
 * rest is asked. */
static bool text_leads(const struct photo_filter *filter, bool negated)
{
	return negated || !(filter->in || filter->has_since || filter->has_until || filter->camera || filter->has_near);
}

/* " AND ..." for each condition, or all of them as one that must not hold. What is not known does not hold, so its negation does.
 * few: it is asked of a few photos. */
static void append_conditions(struct buffer *sql, const struct photo_filter *filter, int base, bool negated, bool few)
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
	if (filter->text && !few && text_leads(filter, negated))
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
	enum status status = filter->text ? catalog_filter_words(filter->text, &words, err) : STATUS_OK;
	if (status == STATUS_OK && filter->text)
		sqlite3_bind_blob(s, base + WORDS, words.data, (int)words.size, SQLITE_TRANSIENT);
	buffer_release(&words);
	return status;
}

/* "SELECT what FROM photos WHERE where AND the filter's conditions", in an order, bound but for the parameters behind the filters'. */
static enum status prepare_filter(struct catalog *catalog, const struct photo_filter *filter, const char *select, const char *order,
				  bool few, sqlite3_stmt **s, struct err *err)
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
		append_conditions(&sql, f, n * PARAMETERS, n > 0, few);
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
	if (status != STATUS_OK) {
		catalog_done(catalog, *s);
		*s = NULL;
	}
	return status;
}

static void hand_over(struct buffer *found, enum status *status, int64_t **numbers, size_t *n, struct err *err)
{
	*n = found->size / sizeof **numbers;
	*numbers = catalog_hand_over(found, status, "the photos that pass a filter", err);
	*n = *numbers ? *n : 0;
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
	enum status status = catalog_number(catalog, "SELECT max(id) FROM photos", NO_VALUES, &ids->most, err);

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
		status = prepare_filter(catalog, &one, "SELECT id FROM photos WHERE 1", "", false, &s, err);
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
	hand_over(&found, &status, contents, n, err);
	return status;
}

/* The pluses keep SQLite to the index of what is asked for: that of photos that are there answers nothing alone. */
#define LIVE "FROM photos WHERE " THERE("+") " AND content IS NOT NULL"
#define NEWEST " ORDER BY taken_at IS NULL, taken_at DESC, path LIMIT ?"

enum status catalog_filter(struct catalog *catalog, const struct photo_filter *filter, int64_t **contents, size_t *n, struct err *err)
{
	sqlite3_stmt *s;
	struct photo_filter first = *filter;
	struct buffer found = {0};

	*contents = NULL;
	*n = 0;
	first.except = NULL;
	if (filter->except && photo_filter_empty(&first))
		return filter_all_but(catalog, filter->except, contents, n, err);
	enum status status = prepare_filter(catalog, filter, "SELECT content " LIVE, "", false, &s, err);
	if (status == STATUS_OK)
		status = catalog_numbers(catalog, s, &found, err);
	hand_over(&found, &status, contents, n, err);
	if (status == STATUS_OK)
		order_numbers(*contents, n);
	return status;
}

static enum status prepare_newest(struct catalog *catalog, const struct photo_filter *filter, const char *select, size_t limit,
				  sqlite3_stmt **s, struct err *err)
{
	char order[96];

	snprintf(order, sizeof order, NEWEST "%d", LIMIT);
	enum status status = prepare_filter(catalog, filter, select, order, false, s, err);
	if (status == STATUS_OK)
		sqlite3_bind_int64(*s, LIMIT, limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
	return status;
}

enum status catalog_filter_newest(struct catalog *catalog, const struct photo_filter *filter, size_t limit, int64_t **photos, size_t *n,
				  struct err *err)
{
	sqlite3_stmt *s;
	struct buffer found = {0};
	enum status status = prepare_newest(catalog, filter, "SELECT id " LIVE, limit, &s, err);

	if (status == STATUS_OK)
		status = catalog_numbers(catalog, s, &found, err);
	hand_over(&found, &status, photos, n, err);
	return status;
}

enum status catalog_photos_newest(struct catalog *catalog, const struct photo_filter *filter, size_t limit, photo_visitor visit,
				  void *context, struct err *err)
{
	sqlite3_stmt *s;
	bool any;
	enum status status = prepare_newest(catalog, filter, "SELECT " CATALOG_PHOTO_ROW " " LIVE, limit, &s, err);

	return status == STATUS_OK ? catalog_photos_visit(catalog, s, visit, context, &any, err) : status;
}

enum status catalog_photos_of_contents(struct catalog *catalog, const int64_t *contents, size_t n, const struct photo_filter *filter,
				       photo_visitor visit, void *context, struct err *err)
{
	char select[640];
	sqlite3_stmt *s;
	bool any;

	/* json_each has columns of the names id and path, too. */
	snprintf(select, sizeof select, "SELECT " CATALOG_PHOTO_ROW " FROM (SELECT key AS place, value AS asked FROM json_each(?%d)) CROSS JOIN"
					" photos WHERE content = asked AND " THERE(""), CONTENTS);
	enum status status = prepare_filter(catalog, filter, select, " ORDER BY place, photos.id", true, &s, err);
	if (status == STATUS_OK)
		status = catalog_bind_ids(s, CONTENTS, contents, n, err);
	if (status == STATUS_OK)
		return catalog_photos_visit(catalog, s, visit, context, &any, err);
	catalog_done(catalog, s);
	return status;
}

enum status catalog_filter_photo(struct catalog *catalog, const struct photo_filter *filter, int64_t photo, bool *passes, struct err *err)
{
	char select[64];
	sqlite3_stmt *s;

	*passes = false;
	snprintf(select, sizeof select, "SELECT 1 FROM photos WHERE id = ?%d", PHOTO);
	enum status status = prepare_filter(catalog, filter, select, "", true, &s, err);
	if (status == STATUS_OK) {
		sqlite3_bind_int64(s, PHOTO, photo);
		status = catalog_step(catalog, s, passes, err);
	}
	catalog_done(catalog, s);
	return status;
}
