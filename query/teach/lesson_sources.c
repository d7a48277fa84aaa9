/* lesson_sources.c: where a lesson's photographs and labels come from: a folder of folders, a table, shards, the catalog. */
#include "query/teach/lesson.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "model/image/image.h"
#include "query/find/search.h"
#include "schema/catalog/filter.h"
#include "schema/catalog/maintenance.h"
#include "schema/catalog/texts.h"
#include "schema/base/file.h"
#include "schema/base/shards.h"
#include "schema/vectors/vectors.h"

#include "schema/base/banned.h"

enum { TABLE_MOST = 1 << 30, COLUMNS_MOST = 256, DEPTH_MOST = 64 };

/* ---- a folder of folders ---------------------------------------------------------------------------------------- */

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static enum status take_folder(struct lesson *lesson, const char *folder, const uint32_t *label, size_t depth, struct err *err);

static enum status take_entry(struct lesson *lesson, const char *path, const char *name, const uint32_t *label, size_t depth,
			      struct err *err)
{
	struct stat st;
	uint32_t own;
	enum status status = STATUS_OK;

	if (stat(path, &st) != 0)
		return STATUS_OK;
	if (!S_ISDIR(st.st_mode))
		/* Beside photographs lie captions, notes, thumbnails' databases: what is called a picture must be one. */
		return S_ISREG(st.st_mode) && image_named(name) ? lesson_add_file(lesson, path, NULL, label, label != NULL, err)
								: STATUS_OK;
	if (!label)
		status = lesson_label(lesson, name, strlen(name), &own, err);
	return status == STATUS_OK ? take_folder(lesson, path, label ? label : &own, depth + 1, err) : status;
}

/* label NULL: the top, whose folders are labels. Links may lead in circles: depth ends them. */
static enum status take_folder(struct lesson *lesson, const char *folder, const uint32_t *label, size_t depth, struct err *err)
{
	struct dirent **names = NULL;
	int n = scandir(folder, &names, visible, NULL);
	enum status status = STATUS_OK;

	if (n < 0)
		return err_set(err, STATUS_IO, "cannot read the folder '%s': %s", folder, strerror(errno));
	/* By bytes, whatever the locale: the same photographs are held out each time. */
	for (int i = 1; i < n; i++)
		for (int j = i; j > 0 && strcmp(names[j - 1]->d_name, names[j]->d_name) > 0; j--) {
			struct dirent *kept = names[j];
			names[j] = names[j - 1];
			names[j - 1] = kept;
		}
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

/* ---- a table ---------------------------------------------------------------------------------------------------- */

static void trim(const char **text, size_t *size)
{
	while (*size && strchr(" \r", (*text)[*size - 1]))
		--*size;
	while (*size && **text == ' ') {
		++*text;
		--*size;
	}
}

/* Cuts a line at its tabs, in place, and gives it to the lesson. */
static enum status take_line(struct lesson *lesson, const char *table, const char *folder, char *line, size_t size, size_t number,
			     struct err *err)
{
	uint32_t labels[COLUMNS_MOST];
	const char *columns[COLUMNS_MOST] = {""};
	size_t n = 0, count = 0;
	enum status status = STATUS_OK;

	if (memchr(line, '\0', size))
		return err_set(err, STATUS_FORMAT, "line %zu of '%s' holds a NUL byte", number, table);
	for (char *at = line, *end = line + size; at <= end && n < COLUMNS_MOST;) {
		char *tab = memchr(at, '\t', (size_t)(end - at));
		const char *text = at;
		size_t length = tab ? (size_t)(tab - at) : (size_t)(end - at);
		trim(&text, &length);
		((char *)text)[length] = '\0';
		columns[n++] = text;
		at += tab ? (size_t)(tab - at) + 1 : (size_t)(end - at) + 1;
	}
	if (n == 1 && !*columns[0])
		return STATUS_OK;
	if (!*columns[0])
		return err_set(err, STATUS_FORMAT, "line %zu of '%s' has no path", number, table);
	if (lesson->answers && (n != 3 || !*columns[1] || !*columns[2]))
		return err_set(err, STATUS_FORMAT, "line %zu of '%s' is not path, tab, question, tab, answer", number, table);
	for (size_t i = lesson->answers ? 2 : 1; i < n && status == STATUS_OK; i++)
		if (*columns[i])
			status = lesson_label(lesson, columns[i], strlen(columns[i]), &labels[count++], err);
	char *path = columns[0][0] == '/' ? mem_copy(columns[0], strlen(columns[0])) : path_join(folder, columns[0]);
	if (!path)
		return err_memory(err, "a path");
	/* The same path in the line before: one more label. */
	struct lesson_item *last = lesson->count ? &lesson->items[lesson->count - 1] : NULL;
	if (status == STATUS_OK && last && !lesson->answers && !last->shard_index && strcmp(last->name, path) == 0) {
		uint32_t *grown = mem_resize(last->labels, last->label_count + count + 1, sizeof *grown);
		if (grown) {
			last->labels = grown;
			memcpy(grown + last->label_count, labels, count * sizeof *labels);
			last->label_count += count;
		} else {
			status = err_memory(err, "labels");
		}
	} else if (status == STATUS_OK) {
		status = lesson_add_file(lesson, path, lesson->answers ? columns[1] : NULL, labels, count, err);
	}
	free(path);
	return status;
}

enum status lesson_table(struct lesson *lesson, const char *path, struct err *err)
{
	uint8_t *bytes = NULL;
	size_t size, number = 0;
	const char *slash = strrchr(path, '/');
	char *folder = slash ? mem_copy(path, slash == path ? 1 : (size_t)(slash - path)) : mem_copy(".", 1);
	enum status status = folder ? file_read(path, TABLE_MOST, &bytes, &size, err) : err_memory(err, "a path");

	for (size_t at = 0; status == STATUS_OK && at < size;) {
		char *line = (char *)bytes + at, *end = memchr(line, '\n', size - at);
		size_t length = end ? (size_t)(end - line) : size - at;
		status = take_line(lesson, path, folder, line, length, ++number, err);
		at += length + 1;
	}
	free(bytes);
	free(folder);
	return status;
}

/* ---- shards ----------------------------------------------------------------------------------------------------- */

static enum status take_sample(struct lesson *lesson, const char *shard, const struct sample *sample, size_t index, struct err *err)
{
	const char *caption = sample->captions[0], *tab = strchr(caption, '\t');
	char *question = NULL;
	uint32_t label;

	if (lesson->answers && !tab)
		return err_set(err, STATUS_FORMAT, "the sample '%s' of '%s' has no question, tab, answer", sample->key, shard);
	const char *text = lesson->answers ? tab + 1 : caption;
	size_t size = strlen(text);
	trim(&text, &size);
	enum status status = lesson_label(lesson, text, size, &label, err);
	if (status == STATUS_OK && lesson->answers && !(question = mem_copy(caption, (size_t)(tab - caption))))
		status = err_memory(err, "a question");
	uint8_t *bytes = status == STATUS_OK ? (uint8_t *)mem_copy(sample->image, sample->image_size) : NULL;
	if (status == STATUS_OK)
		status = bytes ? lesson_add(lesson, sample->key, bytes, sample->image_size, question, &label, 1, index, err)
			       : err_memory(err, "a photograph");
	free(question);
	return status;
}

enum status lesson_shard(struct lesson *lesson, const char *path, struct err *err)
{
	struct shard *shard = NULL;
	struct sample sample;
	enum status status = shard_open(path, &shard, err);

	if (status != STATUS_OK)
		return status;
	for (size_t index = 1; status == STATUS_OK && (!lesson->limit || index <= lesson->limit); index++) {
		status = shard_next(shard, &sample, err);
		if (status == STATUS_OK)
			status = take_sample(lesson, path, &sample, index, err);
	}
	shard_close(shard);
	return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* ---- the catalog ------------------------------------------------------------------------------------------------ */

static enum status take_content(struct lesson *lesson, int64_t content, const struct photo_filter *filter, const uint32_t *label,
				struct err *err)
{
	struct buffer path = {0};
	enum status status = subject_path(lesson->library, content, filter, &path, err);

	if (status == STATUS_OK && path.data)
		status = lesson_add_file(lesson, path.data, NULL, label, label != NULL, err);
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
	struct vectors *vectors = NULL;
	struct candidate *candidates = NULL;
	float *embedding = mem_floats(library->engine.embed);
	bool cut;
	enum status status = embedding ? engine_embed_text(&library->engine, words, strlen(words), embedding, &cut, err)
				       : err_memory(err, "an embedding");

	*n = 0;
	if (status == STATUS_OK && photo_filter_empty(filter))
		status = vectors_open(library->catalog, &library->row, NULL, &vectors, err);
	if (status == STATUS_OK)
		status = search_candidates(library->catalog, &library->row, vectors, filter, embedding, most, &candidates, n, err);
	*contents = mem_array(*n, sizeof **contents);
	if (status == STATUS_OK && !*contents)
		status = err_memory(err, "photographs");
	for (size_t i = 0; i < *n && status == STATUS_OK; i++)
		(*contents)[i] = candidates[i].content;
	free(candidates);
	vectors_close(vectors);
	free(embedding);
	return status;
}

enum status lesson_pick(struct lesson *lesson, const char *pick, const struct photo_filter *filter, size_t most, struct err *err)
{
	const char *equals = strchr(pick, '=');
	struct photo_filter own = *filter;
	int64_t *contents = NULL;
	char *path = NULL;
	size_t n = 0;
	uint32_t label;
	struct stat st;
	enum status status = need_catalog(lesson, err);

	if (status != STATUS_OK)
		return status;
	if (!equals || equals == pick)
		return err_set(err, STATUS_USAGE, "--pick takes LABEL=FOLDER, LABEL=FILE, LABEL=WORDS or LABEL=, not '%s'", pick);
	const char *what = equals + 1;
	bool named = *what == '/' || strncmp(what, "./", 2) == 0 || strncmp(what, "../", 3) == 0 || (*what && stat(what, &st) == 0);
	status = lesson_label(lesson, pick, (size_t)(equals - pick), &label, err);
	if (status == STATUS_OK && named) {
		if (filter->in)
			return err_set(err, STATUS_USAGE, "--pick '%s' names a place, and so does --in: give one of them", pick);
		own.in = path = parse_folder(what);
		status = path ? STATUS_OK : err_memory(err, "a path");
	}
	if (status == STATUS_OK)
		status = *what && !named ? nearest(lesson, what, filter, most, &contents, &n, err)
					 : catalog_filter(lesson->library->catalog, &own, &contents, &n, err);
	if (status == STATUS_OK && n == 0)
		status = err_set(err, STATUS_NOT_FOUND, "--pick '%s' finds no photograph of the library; hint: coca index DIR", pick);
	for (size_t i = 0; i < n && status == STATUS_OK; i++)
		status = take_content(lesson, contents[i], &own, &label, err);
	free(contents);
	free(path);
	return status;
}

static int by_hash(const void *a, const void *b)
{
	return memcmp(a, b, CATALOG_HASH);
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
		size_t low = 0, high = passing, before;
		while (low < high) {
			size_t middle = (low + high) / 2;
			if (allowed[middle] < contents[i])
				low = middle + 1;
			else
				high = middle;
		}
		if (low == passing || allowed[low] != contents[i])
			continue;
		before = lesson->count;
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
