/* lesson_sources.c: where a lesson's photographs and labels come from: a folder of folders, a table, shards, the catalog. */
#include "query/teach/lesson.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/data/samples.h"
#include "model/image/image.h"
#include "query/ask/parse.h"
#include "query/find/search.h"
#include "schema/catalog/filter.h"
#include "schema/catalog/maintenance.h"
#include "schema/catalog/texts.h"
#include "schema/base/file.h"

#include "schema/base/banned.h"

enum { DEPTH_MOST = 64 };

/* ---- a folder of folders ---------------------------------------------------------------------------------------- */

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* A file with one label, or with none. */
static enum status add_file(struct lesson *lesson, const char *path, const char *label, struct err *err)
{
	struct lesson_item told = {.name = (char *)path, .said = {.data = (char *)label, .size = label ? strlen(label) + 1 : 0}};

	return lesson_add(lesson, &told, NULL, 0, err);
}

static enum status take_folder(struct lesson *lesson, const char *folder, const char *label, size_t depth, struct err *err);

static enum status take_entry(struct lesson *lesson, const char *path, const char *name, const char *label, size_t depth,
			      struct err *err)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return STATUS_OK;
	if (S_ISDIR(st.st_mode))
		return take_folder(lesson, path, label ? label : name, depth + 1, err);
	/* Beside photographs lie captions, notes, thumbnails' databases: what is called a picture must be one. */
	return S_ISREG(st.st_mode) && image_named(name) ? add_file(lesson, path, label, err) : STATUS_OK;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* label NULL: the top, whose folders are labels. Links may lead in circles: depth ends them. */
static enum status take_folder(struct lesson *lesson, const char *folder, const char *label, size_t depth, struct err *err)
{
	struct dirent **names = NULL;
	int n = scandir(folder, &names, visible, by_bytes); /* whatever the locale: the same photographs are held out each time */
	enum status status = STATUS_OK;

	if (n < 0)
		return err_set(err, STATUS_IO, "cannot read the folder '%s': %s", folder, strerror(errno));
	for (int i = 0; i < n && status == STATUS_OK && depth < DEPTH_MOST; i++) {
		char *path = path_join(folder, names[i]->d_name);
		status = path ? take_entry(lesson, path, names[i]->d_name, label, depth, err) : err_memory(err, "a path");
		free(path);
	}
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
	return status;
}

enum status lesson_folder(struct lesson *lesson, const char *folder, struct err *err)
{
	return take_folder(lesson, folder, NULL, 0, err);
}

/* ---- tables and shards ------------------------------------------------------------------------------------------ */

/* Appends a piece of text, without the white space at its ends and with a NUL behind it; nothing if it is empty. */
static void append(struct buffer *pieces, const char *text, size_t size)
{
	while (size && strchr(" \r", text[size - 1]))
		size--;
	for (; size && *text == ' '; size--)
		text++;
	buffer_append(pieces, text, size);
	if (size)
		buffer_append(pieces, "", 1);
}

/* A label in each column of a text. */
static void append_labels(struct buffer *pieces, const char *text)
{
	for (const char *tab; (tab = strchr(text, '\t')); text = tab + 1)
		append(pieces, text, (size_t)(tab - text));
	append(pieces, text, strlen(text));
}

struct source {
	struct lesson *lesson;
	struct samples *samples;
	const char *path;
	bool table;
};

static enum status add_sample(const struct source *s, const struct sample *sample, struct lesson_item *told, struct err *err)
{
	uint8_t *bytes = sample->image ? (uint8_t *)mem_copy(sample->image, sample->image_size) : NULL;

	told->name = (char *)sample->key;
	told->shard_index = s->table ? 0 : samples_number(s->samples);
	if (told->said.failed || (sample->image && !bytes)) {
		free(bytes);
		return err_memory(err, "a photograph");
	}
	return lesson_add(s->lesson, told, bytes, sample->image_size, err);
}

/* A question, a tab and its answer: the which-th text of a sample. */
static enum status take_answer(const struct source *s, const struct sample *sample, size_t which, struct err *err)
{
	const char *text = sample->captions[which], *tab = strchr(text, '\t');
	struct buffer question = {0};
	struct lesson_item told = {0};
	enum status status = STATUS_OK;

	if (tab) {
		append(&question, text, (size_t)(tab - text));
		append(&told.said, tab + 1, strlen(tab + 1));
	}
	told.question = question.data;
	if (question.failed)
		status = err_memory(err, "a question");
	else if (!s->table && (!question.size || !told.said.size))
		status = err_set(err, STATUS_FORMAT, "the sample '%s' of '%s' has no question, tab, answer", sample->key, s->path);
	else if (s->table && (!question.size || !told.said.size || strchr(tab + 1, '\t')))
		status = err_set(err, STATUS_FORMAT, "line %zu of '%s' is not path, tab, question, tab, answer",
				 samples_line(s->samples, which), s->path);
	else
		status = add_sample(s, sample, &told, err);
	buffer_release(&question);
	buffer_release(&told.said);
	return status;
}

static enum status take_labels(const struct source *s, const struct sample *sample, struct err *err)
{
	struct lesson_item told = {0};

	if (!s->table)
		append(&told.said, sample->captions[0], strlen(sample->captions[0]));
	for (size_t i = 0; i < sample->caption_count && s->table; i++)
		append_labels(&told.said, sample->captions[i]);
	enum status status = add_sample(s, sample, &told, err);
	buffer_release(&told.said);
	return status;
}

static enum status take_all(struct lesson *lesson, const char *path, bool table, struct err *err)
{
	struct source s = {.lesson = lesson, .path = path, .table = table};
	enum samples_kind kind = !table ? SAMPLES_SHARD : lesson->answers ? SAMPLES_TABLE : SAMPLES_BARE_TABLE;
	struct sample sample;
	enum status status = samples_open(path, kind, &s.samples, err);

	if (status != STATUS_OK)
		return status;
	for (size_t n = 0; status == STATUS_OK && (table || !lesson->limit || n < lesson->limit); n++) {
		status = samples_next(s.samples, &sample, err);
		if (status == STATUS_OK && !lesson->answers)
			status = take_labels(&s, &sample, err);
		for (size_t i = 0; status == STATUS_OK && lesson->answers && i < (table ? sample.caption_count : 1); i++)
			status = take_answer(&s, &sample, i, err);
	}
	samples_close(s.samples);
	return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status lesson_table(struct lesson *lesson, const char *path, struct err *err)
{
	return take_all(lesson, path, true, err);
}

enum status lesson_shard(struct lesson *lesson, const char *path, struct err *err)
{
	return take_all(lesson, path, false, err);
}

/* ---- the catalog ------------------------------------------------------------------------------------------------ */

static enum status take_content(struct lesson *lesson, int64_t content, const struct photo_filter *filter, const char *label,
				struct err *err)
{
	struct buffer path = {0};
	enum status status = library_path(lesson->library, content, filter, &path, err);

	if (status == STATUS_OK && path.data)
		status = add_file(lesson, path.data, label, err);
	buffer_release(&path);
	return status;
}

static enum status need_catalog(const struct lesson *lesson, struct err *err)
{
	if (lesson->library->catalog && lesson->library->row.id)
		return STATUS_OK;
	return err_set(err, STATUS_USAGE,
		       "--pick and --rest take photographs of the library, which holds none of this model; hint: coca index DIR");
}

/* The contents nearest to words. */
static enum status nearest(struct lesson *lesson, const char *words, const struct photo_filter *filter, size_t most, int64_t **contents,
			   size_t *n, struct err *err)
{
	struct library *library = lesson->library;
	struct candidate *candidates = NULL;
	float *embedding = mem_floats(library->engine.embed);
	bool cut;
	enum status status = embedding ? engine_embed_text(&library->engine, words, strlen(words), embedding, &cut, err)
				       : err_memory(err, "an embedding");

	*n = 0;
	if (status == STATUS_OK)
		status = search_candidates(library->store, filter, embedding, most, &candidates, n, err);
	*contents = mem_array(*n, sizeof **contents);
	if (status == STATUS_OK && !*contents)
		status = err_memory(err, "photographs");
	for (size_t i = 0; i < *n && status == STATUS_OK; i++)
		(*contents)[i] = candidates[i].content;
	free(candidates);
	free(embedding);
	return status;
}

enum status lesson_pick(struct lesson *lesson, const char *pick, const struct photo_filter *filter, size_t most, struct err *err)
{
	const char *equals = strchr(pick, '=');
	struct photo_filter own = *filter;
	int64_t *contents = NULL;
	char *path = NULL, *label = NULL;
	size_t n = 0;
	struct stat st;
	enum status status = need_catalog(lesson, err);

	if (status != STATUS_OK)
		return status;
	if (!equals || equals == pick)
		return err_set(err, STATUS_USAGE, "--pick takes LABEL=FOLDER, LABEL=FILE, LABEL=WORDS or LABEL=, not '%s'", pick);
	const char *what = equals + 1;
	bool named = *what == '/' || strncmp(what, "./", 2) == 0 || strncmp(what, "../", 3) == 0 || (*what && stat(what, &st) == 0);
	if (named && filter->in)
		return err_set(err, STATUS_USAGE, "--pick '%s' names a place, and so does --in: give one of them", pick);
	label = mem_copy(pick, (size_t)(equals - pick));
	if (named)
		own.in = path = parse_folder(what);
	if (!label || (named && !path))
		status = err_memory(err, "a label");
	if (status == STATUS_OK)
		status = *what && !named ? nearest(lesson, what, filter, most, &contents, &n, err)
					 : catalog_filter(lesson->library->catalog, &own, &contents, &n, err);
	if (status == STATUS_OK && n == 0)
		status = err_set(err, STATUS_NOT_FOUND, "--pick '%s' finds no photograph of the library; hint: coca index DIR", pick);
	for (size_t i = 0; i < n && status == STATUS_OK; i++)
		status = take_content(lesson, contents[i], &own, label, err);
	free(contents);
	free(path);
	free(label);
	return status;
}

static int by_hash(const void *a, const void *b)
{
	return memcmp(a, b, CATALOG_HASH);
}

static int by_id(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

/* Those that pass, in the order of their hashes, which is as good as chance, until n new ones are found. */
enum status lesson_rest(struct lesson *lesson, const struct photo_filter *filter, size_t n, struct err *err)
{
	size_t total = 0, passing = 0, known = lesson->count, taken = 0;
	uint8_t (*hashes)[CATALOG_HASH] = mem_array(known, sizeof *hashes);
	int64_t *contents = NULL, *allowed = NULL;
	struct catalog_counts counts;
	enum status status = hashes ? need_catalog(lesson, err) : err_memory(err, "photographs");

	for (size_t i = 0; i < known && hashes; i++)
		memcpy(hashes[i], lesson->items[i].hash, CATALOG_HASH);
	if (known && hashes)
		qsort(hashes, known, sizeof *hashes, by_hash);
	if (status == STATUS_OK)
		status = catalog_count(lesson->library->catalog, 0, &counts, err);
	if (status == STATUS_OK)
		status = catalog_filter(lesson->library->catalog, filter, &allowed, &passing, err);
	if (status == STATUS_OK) {
		contents = mem_array((size_t)counts.contents + 1, sizeof *contents);
		status = contents ? catalog_contents_sample(lesson->library->catalog, (size_t)counts.contents, contents, &total, err)
				  : err_memory(err, "photographs");
	}
	for (size_t i = 0; i < total && taken < n && status == STATUS_OK; i++) {
		size_t before = lesson->count;
		if (!bsearch(&contents[i], allowed, passing, sizeof *allowed, by_id))
			continue;
		status = take_content(lesson, contents[i], filter, NULL, err);
		/* Its hash is known once it is read: what is in the lesson already stays there alone. */
		if (status == STATUS_OK && lesson->count > before) {
			if (bsearch(lesson->items[lesson->count - 1].hash, hashes, known, sizeof *hashes, by_hash))
				lesson->items[lesson->count - 1].part = LESSON_LEFT_OUT;
			else
				taken++;
		}
	}
	free(hashes);
	free(contents);
	free(allowed);
	return status;
}
