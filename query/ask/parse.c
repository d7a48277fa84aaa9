/* parse.c: see parse.h. */
#include "query/ask/parse.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "schema/catalog/filter.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* ---- dates ------------------------------------------------------------------------------------------------------ */

/* Days since 1970-01-01 in the Gregorian calendar; month may be 13. Years are counted from March, so that the leap day is
 * the last of its year. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
	int64_t months = year * 12 + month - 3; /* since March of the year 0 */
	int64_t y = months / 12, m = months % 12;

	return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

/* Exactly `digits` digits; moves on. -1 if they are not there. */
static int take_number(const char **at, int digits)
{
	int n = 0;

	for (int i = 0; i < digits; i++, (*at)++) {
		if (**at < '0' || **at > '9')
			return -1;
		n = n * 10 + (**at - '0');
	}
	return n;
}

static bool take(const char **at, char c)
{
	bool there = **at == c;
	*at += there;
	return there;
}

/* HH:MM[:SS] behind a day; widens from and to. */
static bool parse_clock(const char *at, int64_t *from, int64_t *to)
{
	int hour = take_number(&at, 2);
	int minute = take(&at, ':') ? take_number(&at, 2) : -1;
	int second = 0;
	bool seconds = take(&at, ':');

	if (seconds)
		second = take_number(&at, 2);
	if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 || *at)
		return false;
	*from += hour * 3600 + minute * 60 + second;
	*to = *from + (seconds ? 1 : 60);
	return true;
}

static bool parse_calendar(const char *at, int64_t *from, int64_t *to)
{
	enum { DAY = 86400 };
	int year = take_number(&at, 4), month, day;

	if (year < 1)
		return false;
	if (!*at) {
		*from = days_of(year, 1, 1) * DAY;
		*to = days_of(year + 1, 1, 1) * DAY;
		return true;
	}
	month = take(&at, '-') ? take_number(&at, 2) : -1;
	if (month < 1 || month > 12)
		return false;
	*from = days_of(year, month, 1) * DAY;
	*to = days_of(year, month + 1, 1) * DAY;
	if (!*at)
		return true;
	day = take(&at, '-') ? take_number(&at, 2) : -1;
	if (day < 1 || *from + day * (int64_t)DAY > *to)
		return false;
	*from += (day - 1) * (int64_t)DAY;
	*to = *from + DAY;
	return !*at || ((take(&at, 'T') || take(&at, ' ')) && parse_clock(at, from, to));
}

enum status parse_date(const char *text, int64_t *from, int64_t *to, struct err *err)
{
	if (parse_calendar(text, from, to))
		return STATUS_OK;
	return err_set(err, STATUS_USAGE, "'%s' is no date; hint: 2024, 2024-05, 2024-05-31 or 2024-05-31T18:30", text);
}

/* ---- filters ---------------------------------------------------------------------------------------------------- */

enum status parse_near(const char *text, struct photo_filter *filter, struct err *err)
{
	double values[3];
	const char *at = text;

	for (int i = 0; i < 3; i++) {
		char *end;
		values[i] = strtod(at, &end);
		if (end == at || !isfinite(values[i]) || *end != (i < 2 ? ',' : '\0'))
			return err_set(err, STATUS_USAGE, "--near takes latitude,longitude,kilometres, not '%s'; hint: --near 48.86,2.35,5",
				       text);
		at = end + 1;
	}
	if (fabs(values[0]) > 90 || fabs(values[1]) > 180 || values[2] < 0)
		return err_set(err, STATUS_USAGE, "--near '%s': latitude is within -90..90, longitude within -180..180, the distance not "
			       "negative", text);
	filter->has_near = true;
	filter->latitude = values[0];
	filter->longitude = values[1];
	filter->km = values[2];
	return STATUS_OK;
}

/* "." and ".." and doubled slashes are resolved without looking at the disk. */
static char *lexical_path(const char *path)
{
	char folder[PATH_MAX];
	struct buffer out = {0};
	const char *parts[2] = {"", path};

	if (path[0] != '/' && getcwd(folder, sizeof folder))
		parts[0] = folder;
	for (int i = 0; i < 2; i++)
		for (const char *at = parts[i]; *at;) {
			size_t n = strcspn(at, "/");
			if (n == 2 && at[0] == '.' && at[1] == '.') {
				while (out.size > 0 && out.data[--out.size] != '/')
					;
			} else if (n && !(n == 1 && at[0] == '.')) {
				buffer_text(&out, "/");
				buffer_append(&out, at, n);
			}
			at += n + (at[n] == '/');
		}
	char *result = out.failed ? NULL : mem_copy(out.size ? out.data : "/", out.size ? out.size : 1);
	buffer_release(&out);
	return result;
}

char *parse_folder(const char *path)
{
	char *real = realpath(path, NULL);
	return real ? real : lexical_path(path);
}

/* "NAME@0.8": names[] owns the name. */
static enum status parse_label(const char *text, size_t size, struct query *query, struct photo_label *label, struct err *err)
{
	char **grown = mem_resize(query->names, query->name_count + 1, sizeof *grown), *name = mem_copy(text, size), *end;

	query->names = grown ? grown : query->names;
	if (!grown || !name) {
		free(name);
		return err_memory(err, "a label");
	}
	query->names[query->name_count++] = name;
	*label = (struct photo_label){.name = name};
	char *at = strrchr(name, '@');
	if (at && at[1]) {
		double least = strtod(at + 1, &end);
		if (!*end && !(least > 0 && least <= 1))
			return err_set(err, STATUS_USAGE, "'%s': behind the @ of a label stands a probability above 0, at most 1", name);
		if (!*end) {
			label->least = least;
			*at = '\0';
		}
	}
	return *name ? STATUS_OK : err_set(err, STATUS_USAGE, "a label has no name; hint: label:NAME");
}

static enum status add_label(const char *text, size_t size, struct query *query, struct photo_filter *filter, struct err *err)
{
	if (filter->label_count == PHOTO_LABELS_MOST)
		return err_set(err, STATUS_USAGE, "at most %d labels can be asked for at once", PHOTO_LABELS_MOST);
	return parse_label(text, size, query, &filter->labels[filter->label_count++], err);
}

/* One filter's value: of the query's own, or of one that is to be left out. */
static enum status parse_filter(enum filter_option option, const char *value, struct query *query, struct photo_filter *filter,
				struct err *err)
{
	int64_t unused;

	switch (option) {
	case FILTER_IN:
		filter->in = parse_folder(value);
		return filter->in ? STATUS_OK : err_memory(err, "a path");
	case FILTER_SINCE:
		filter->has_since = true;
		return parse_date(value, &filter->since, &unused, err);
	case FILTER_UNTIL:
		filter->has_until = true;
		return parse_date(value, &unused, &filter->until, err);
	case FILTER_NEAR:
		return parse_near(value, filter, err);
	case FILTER_LABEL:
		return add_label(value, strlen(value), query, filter, err);
	case FILTER_CAMERA:
		filter->camera = value;
		return STATUS_OK;
	default:
		filter->text = value;
		return STATUS_OK;
	}
}

static const char *value_of(const struct option_list *filters, int tag)
{
	for (size_t i = 0; i < filters->count; i++)
		if (filters->items[i].tag == tag)
			return filters->items[i].value;
	return NULL;
}

static enum status parse_filters(const struct option_list *filters, struct query *query, struct err *err)
{
	struct photo_filter *own = &query->filter;
	enum status status = STATUS_OK;

	for (size_t i = 0; i < filters->count && status == STATUS_OK; i++) {
		int tag = filters->items[i].tag;
		struct photo_filter *filter = tag & FILTER_NOT ? &query->except[query->except_count++] : own;
		status = parse_filter((enum filter_option)(tag & ~FILTER_NOT), filters->items[i].value, query, filter, err);
	}
	if (status == STATUS_OK && own->has_since && own->has_until && own->since >= own->until)
		return err_set(err, STATUS_USAGE, "--since %s is later than --until %s", value_of(filters, FILTER_SINCE),
			       value_of(filters, FILTER_UNTIL));
	return status;
}

static void link_except(struct query *query)
{
	for (size_t i = 0; i < query->except_count; i++) {
		query->except[i].except = query->filter.except;
		query->filter.except = &query->except[i];
	}
}

/* ---- labels among the words ------------------------------------------------------------------------------------- */

static const char *behind(const char *text, const char *prefix)
{
	size_t n = strlen(prefix);
	return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

/* The label that begins here, behind the start of a word; *negated by its own minus. *end: behind it. */
static const char *label_at(const char *at, bool whole, bool *negated, const char **end, size_t *size)
{
	const char *name = behind(at, "label:");

	*negated = !name && (name = behind(at, "-label:"));
	if (!name)
		return NULL;
	if (*name == '"' && strchr(name + 1, '"')) {
		*size = (size_t)(strchr(name + 1, '"') - name) - 1;
		*end = name + *size + 2;
		return name + 1;
	}
	*size = whole ? strlen(name) : strcspn(name, " \t\r\n");
	*end = name + *size;
	return name;
}

static enum status take_label(const char *name, size_t size, bool negated, struct query *query, struct err *err)
{
	return add_label(name, size, query, negated ? &query->except[query->except_count++] : &query->filter, err);
}

/* A word without its labels. *minus: it follows a - on its own, which is then the label's. */
static enum status take_word(const char *word, bool *minus, struct query *query, struct buffer *rest, struct err *err)
{
	enum status status = STATUS_OK;
	bool begins = true;

	for (const char *at = word; *at && status == STATUS_OK;) {
		const char *end, *name = NULL;
		size_t size;
		bool negated;
		if (begins)
			name = label_at(at, at == word, &negated, &end, &size);
		if (name) {
			status = take_label(name, size, negated || *minus, query, err);
			*minus = false;
			at = end;
		} else {
			begins = is_space(*at);
			buffer_append(rest, at++, 1);
		}
	}
	return status == STATUS_OK && rest->failed ? err_memory(err, "the query") : status;
}

static bool is_sign(const char *word)
{
	return strcmp(word, "+") == 0 || strcmp(word, "-") == 0;
}

static bool is_blank(const struct buffer *text)
{
	for (size_t i = 0; i < text->size; i++)
		if (!is_space(text->data[i]))
			return false;
	return true;
}

static bool has_label(const struct asked *asked)
{
	for (size_t i = 0; i < asked->count; i++)
		if (strstr(asked->words[i], "label:"))
			return true;
	return false;
}

/* Labels go from the words to the filters; a sign in front of one goes with it. */
static enum status take_labels(const struct asked *asked, struct query *query, struct err *err)
{
	enum status status = STATUS_OK;

	query->words = mem_array(asked->count, sizeof *query->words);
	if (!query->words)
		return err_memory(err, "the query");
	for (size_t i = 0; i < asked->count && status == STATUS_OK; i++) {
		struct buffer rest = {0};
		bool sign = i > 0 && is_sign(asked->words[i - 1]), minus = sign && asked->words[i - 1][0] == '-', was = minus;
		size_t labels = query->name_count;
		status = take_word(asked->words[i], &minus, query, &rest, err);
		bool took = query->name_count > labels;
		if (status == STATUS_OK && took && sign && (was != minus || asked->words[i - 1][0] == '+') && query->word_count)
			free(query->words[--query->word_count]);
		if (status == STATUS_OK && (!took || !is_blank(&rest))) {
			char *word = mem_copy(rest.data ? rest.data : "", rest.size);
			status = word ? STATUS_OK : err_memory(err, "the query");
			if (word)
				query->words[query->word_count++] = word;
		}
		buffer_release(&rest);
	}
	return status;
}

/* "in /photos, not-camera Canon": what is asked for where nothing else is. */
static char *filters_title(const struct option_list *filters)
{
	static const char *const names[] = {
		[FILTER_IN] = "in", [FILTER_SINCE] = "since", [FILTER_UNTIL] = "until", [FILTER_CAMERA] = "camera", [FILTER_NEAR] = "near",
		[FILTER_TEXT] = "text", [FILTER_LABEL] = "label",
	};
	struct buffer title = {0};

	for (size_t i = 0; i < filters->count; i++) {
		int tag = filters->items[i].tag;
		buffer_format(&title, "%s%s%s %s", title.size ? ", " : "", tag & FILTER_NOT ? "not-" : "", names[tag & ~FILTER_NOT],
			      filters->items[i].value);
	}
	if (!title.failed)
		return title.data;
	buffer_release(&title);
	return NULL;
}

enum status query_parse_filters(const struct option_list *filters, struct query *query, struct err *err)
{
	*query = (struct query){0};
	query->except = mem_array(filters->count, sizeof *query->except);
	enum status status = query->except ? parse_filters(filters, query, err) : err_memory(err, "the filters");
	if (status == STATUS_OK)
		link_except(query);
	else
		query_release(query);
	return status;
}

/* A word may hold several labels, each of at least "-label:x". */
static size_t labels_most(const struct asked *asked)
{
	size_t n = asked->filters.count;

	for (size_t i = 0; i < asked->count; i++)
		n += strlen(asked->words[i]) / strlen("label:") + 1;
	return n;
}

static char *title_of(const struct option_list *filters, const struct query *query, bool list)
{
	char *terms = list ? filters_title(filters) : compose_title(&query->composition);
	bool said = value_of(filters, FILTER_LABEL) || value_of(filters, FILTER_NOT | FILTER_LABEL);
	struct buffer title = {0};

	if (terms)
		buffer_text(&title, terms);
	for (size_t i = 0; i < query->name_count && !said; i++)
		buffer_format(&title, "%slabel:%s", title.size ? " " : "", query->names[i]);
	free(terms);
	if (title.failed)
		buffer_release(&title);
	return title.data;
}

enum status query_parse(const struct asked *asked, struct query *query, struct err *err)
{
	const char *const *words = asked->words;
	size_t count = asked->count;

	*query = (struct query){0};
	query->except = mem_array(labels_most(asked), sizeof *query->except);
	enum status status = query->except ? parse_filters(&asked->filters, query, err) : err_memory(err, "the filters");
	if (status == STATUS_OK && has_label(asked)) {
		status = take_labels(asked, query, err);
		words = (const char *const *)query->words;
		count = query->word_count;
	}
	if (status == STATUS_OK)
		link_except(query);
	bool list = status == STATUS_OK && !photo_filter_empty(&query->filter) && !count && !asked->terms.count;
	if (status == STATUS_OK && !list)
		status = compose_parse(words, count, &asked->terms, &query->composition, err);
	if (status == STATUS_OK) {
		query->text = title_of(&asked->filters, query, list);
		status = query->text ? STATUS_OK : err_memory(err, "the query");
	}
	if (status != STATUS_OK)
		query_release(query);
	return status;
}

void query_release(struct query *query)
{
	compose_release(&query->composition);
	free(query->text);
	free((char *)query->filter.in);
	for (size_t i = 0; i < query->except_count; i++)
		free((char *)query->except[i].in);
	free(query->except);
	for (size_t i = 0; i < query->word_count; i++)
		free(query->words[i]);
	free(query->words);
	for (size_t i = 0; i < query->name_count; i++)
		free(query->names[i]);
	free(query->names);
	*query = (struct query){0};
}
