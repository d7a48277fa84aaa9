/* texts.c: see texts.h. */
#include "query/find/texts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "query/ask/parse.h"
#include "schema/catalog/models.h"
#include "schema/catalog/photos.h"
#include "schema/catalog/texts.h"
#include "schema/base/file.h"
#include "schema/base/clock.h"
#include "schema/cli/progress.h"

#include "schema/base/banned.h"

enum { BATCH = 64, COMMIT_SECONDS = 3, NAMED_MOST = 20 };
static const size_t file_most = (size_t)1 << 30;

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static bool is_tsv(const char *path)
{
	const char *dot = strrchr(path, '.');
	return dot && (strcasecmp(dot, ".tsv") == 0 || strcasecmp(dot, ".tab") == 0);
}

char *texts_collection(const char *path)
{
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	const char *dot = strrchr(name, '.');
	if (strcmp(path, "-") == 0 || !*name || dot == name)
		return mem_copy("notes", 5);
	return mem_copy(name, dot ? (size_t)(dot - name) : strlen(name));
}

static void trim(const char **text, size_t *size)
{
	while (*size && strchr(" \t\r\v\f", (*text)[*size - 1]))
		--*size;
	while (*size && strchr(" \t\v\f", **text)) {
		++*text;
		--*size;
	}
}

bool texts_parse(const char *line, size_t size, bool tsv, struct texts_line *parsed, const char **reason)
{
	const char *tab = tsv ? memchr(line, '\t', size) : NULL;

	*parsed = (struct texts_line){.text = line, .text_size = size};
	*reason = NULL;
	if (memchr(line, '\0', size)) {
		*reason = "it holds a NUL byte";
		return true;
	}
	trim(&parsed->text, &parsed->text_size);
	if (parsed->text_size == 0)
		return false;
	if (!tsv)
		return true;
	if (!tab) {
		*reason = "it has no TAB";
		return true;
	}
	*parsed = (struct texts_line){line, tab + 1, (size_t)(tab - line), size - (size_t)(tab + 1 - line)};
	trim(&parsed->text, &parsed->text_size);
	if (parsed->key_size == 0)
		*reason = "it names no photo";
	else if (parsed->text_size == 0)
		*reason = "it has no text";
	return true;
}

static enum status read_input(const char *path, uint8_t **bytes, size_t *size, struct err *err)
{
	struct buffer buffer = {0};
	char block[1 << 14];
	size_t n;

	if (strcmp(path, "-") != 0)
		return file_read(path, file_most, bytes, size, err);
	while ((n = fread(block, 1, sizeof block, stdin)) > 0 && buffer.size <= file_most)
		buffer_append(&buffer, block, n);
	if (ferror(stdin) || buffer.failed || buffer.size > file_most) {
		enum status status = ferror(stdin) ? err_set(err, STATUS_IO, "cannot read standard input: %s", strerror(errno))
						   : err_memory(err, "standard input");
		buffer_release(&buffer);
		return status;
	}
	buffer_append(&buffer, "", 0); /* nothing is an array, too */
	*bytes = (uint8_t *)buffer.data;
	*size = buffer.size;
	return *bytes ? STATUS_OK : err_memory(err, "standard input");
}

/* ---- which photo ------------------------------------------------------------------------------------------------ */

struct folders {
	char **paths;
	size_t count;
};

struct adding {
	struct library *library;
	struct folders folders;  /* that relative paths may start from: the file's own, then the roots */
	struct texts_report *report;
	const char *collection;
	bool tsv;
};

static enum status add_folder(struct folders *folders, char *path, struct err *err)
{
	char **paths = path ? mem_resize(folders->paths, folders->count + 1, sizeof *paths) : NULL;

	if (!paths) {
		free(path);
		return err_memory(err, "the list of folders");
	}
	folders->paths = paths;
	paths[folders->count++] = path;
	return STATUS_OK;
}

static enum status add_root(void *context, const struct catalog_root *root, struct err *err)
{
	return add_folder(context, mem_copy(root->path, strlen(root->path)), err);
}

static enum status find_folders(struct adding *a, const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	char *own = slash ? mem_copy(path, slash == path ? 1 : (size_t)(slash - path)) : mem_copy(".", 1);
	enum status status = add_folder(&a->folders, own ? parse_folder(own) : NULL, err);

	free(own);
	return status == STATUS_OK ? catalog_roots_each(a->library->catalog, add_root, &a->folders, err) : status;
}

static enum status take_content(void *context, const struct photo *photo, struct err *err)
{
	(void)err;
	*(int64_t *)context = photo->content;
	return STATUS_OK;
}

/* As it is written, then as `coca index` would have resolved it. */
static enum status find_path(struct adding *a, const char *path, int64_t *content, struct err *err)
{
	enum status status = catalog_photo_by_path(a->library->catalog, path, take_content, content, err);

	if (status != STATUS_NOT_FOUND)
		return status;
	char *resolved = parse_folder(path);
	if (!resolved)
		return err_memory(err, "a path");
	status = catalog_photo_by_path(a->library->catalog, resolved, take_content, content, err);
	free(resolved);
	return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static bool read_hash(const char *text, uint8_t hash[CATALOG_HASH])
{
	if (strlen(text) != 2 * CATALOG_HASH || strspn(text, "0123456789abcdefABCDEF") != 2 * CATALOG_HASH)
		return false;
	for (size_t i = 0; i < CATALOG_HASH; i++) {
		char digits[3] = {text[2 * i], text[2 * i + 1], '\0'};
		hash[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return true;
}

static enum status find_number(struct adding *a, const char *key, int64_t *content, struct err *err)
{
	uint8_t hash[CATALOG_HASH];

	if (read_hash(key, hash))
		return catalog_content_find(a->library->catalog, hash, content, err);
	if (!*key || strlen(key) > 18 || strspn(key, "0123456789") != strlen(key))
		return STATUS_OK;
	return catalog_photos_of_content(a->library->catalog, strtoll(key, NULL, 10), true, take_content, content, err);
}

static enum status find_photo(struct adding *a, const char *key, int64_t *content, struct err *err)
{
	enum status status = STATUS_OK;

	*content = 0;
	if (*key == '/')
		return find_path(a, key, content, err);
	for (size_t i = 0; i < a->folders.count && status == STATUS_OK && !*content; i++) {
		char *path = path_join(a->folders.paths[i], key);
		status = path ? find_path(a, path, content, err) : err_memory(err, "a path");
		free(path);
	}
	return status == STATUS_OK && !*content ? find_number(a, key, content, err) : status;
}

/* ---- adding ----------------------------------------------------------------------------------------------------- */

static void leave_out(struct texts_report *report, size_t number, const char *what, const char *key)
{
	if (report->named++ < NAMED_MOST)
		buffer_format(&report->lines, key ? "line %zu: %s '%s'\n" : "line %zu: %s\n", number, what, key);
}

/* A heading of a table is no text: "path<TAB>caption". */
static bool is_heading(const char *key)
{
	static const char *const names[] = {"path", "filepath", "file", "filename", "file_name", "image", "photo", "id", "key"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcasecmp(key, names[i]) == 0)
			return true;
	return false;
}

static enum status add_line(struct adding *a, const char *line, size_t size, size_t number, struct err *err)
{
	struct texts_line parsed;
	const char *reason;
	char *key = NULL;
	int64_t content = 0;
	enum status status = STATUS_OK;

	if (!texts_parse(line, size, a->tsv, &parsed, &reason))
		return STATUS_OK;
	if (reason) {
		a->report->malformed++;
		leave_out(a->report, number, reason, NULL);
		return STATUS_OK;
	}
	if (a->tsv) {
		key = mem_copy(parsed.key, parsed.key_size);
		status = key ? find_photo(a, key, &content, err) : err_memory(err, "a line");
		if (status == STATUS_OK && !content && !(number == 1 && is_heading(key))) {
			a->report->unknown++;
			leave_out(a->report, number, "the catalog does not hold", key);
		}
		free(key);
		if (status != STATUS_OK || !content)
			return status;
	}
	struct catalog_text text = {.collection = a->collection, .photo_content = content, .text = parsed.text, .text_size = parsed.text_size};
	status = catalog_text_put(a->library->catalog, &text, err);
	a->report->added += status == STATUS_OK && text.added;
	a->report->known += status == STATUS_OK && !text.added;
	return status;
}

static enum status add_lines(struct adding *a, const char *bytes, size_t size, struct err *err)
{
	static const char mark[] = "\xef\xbb\xbf"; /* some editors begin UTF-8 with it */
	size_t at = size >= 3 && memcmp(bytes, mark, 3) == 0 ? 3 : 0;
	enum status status = STATUS_OK;

	for (size_t number = 1; at < size && status == STATUS_OK; number++) {
		const char *end = memchr(bytes + at, '\n', size - at);
		size_t n = end ? (size_t)(end - (bytes + at)) : size - at;
		status = add_line(a, bytes + at, n, number, err);
		at += n + 1;
	}
	return status;
}

enum status texts_add(struct library *library, const char *path, const char *collection, struct texts_report *report, struct err *err)
{
	struct adding a = {.library = library, .report = report, .collection = collection, .tsv = is_tsv(path)};
	uint8_t *bytes = NULL;
	size_t size = 0;
	enum status status = read_input(path, &bytes, &size, err);

	*report = (struct texts_report){0};
	if (status == STATUS_OK && a.tsv)
		status = find_folders(&a, path, err);
	if (status == STATUS_OK)
		status = catalog_begin(library->catalog, err);
	if (status == STATUS_OK) {
		status = add_lines(&a, (const char *)bytes, size, err);
		if (status == STATUS_OK)
			status = catalog_commit(library->catalog, err);
		else
			catalog_rollback(library->catalog);
	}
	while (a.folders.count)
		free(a.folders.paths[--a.folders.count]);
	free(a.folders.paths);
	free(bytes);
	return status;
}

void texts_report_release(struct texts_report *report)
{
	buffer_release(&report->lines);
}

/* ---- embedding -------------------------------------------------------------------------------------------------- */

struct batch {
	struct engine *engine;
	int64_t texts[BATCH];
	int32_t *ids[BATCH];
	struct coca_text encoded[BATCH];
	size_t count;
	int64_t last;      /* where the next batch starts: texts before it have embeddings */
	float *embeddings; /* [BATCH,E] */
};

static enum status take_text(void *context, const struct catalog_text *text, const float *embedding, struct err *err)
{
	struct batch *b = context;
	bool cut;
	(void)embedding;
	enum status status = engine_text_ids(b->engine, text->text, text->text_size, &b->ids[b->count], &b->encoded[b->count], &cut, err);

	if (status == STATUS_OK)
		b->texts[b->count++] = text->id;
	return status;
}

/* The next texts; count 0: there are none left. */
static enum status embed_batch(struct batch *b, struct catalog *catalog, const struct catalog_model *row, struct err *err)
{
	struct engine *engine = b->engine;

	b->count = 0;
	enum status status = catalog_texts_unembedded(catalog, row->id, b->last, BATCH, take_text, b, err);
	if (status == STATUS_OK && b->count)
		status = coca_encode_texts(engine->model, engine->state, b->encoded, b->count, b->embeddings, NULL, err);
	for (size_t i = 0; i < b->count; i++) {
		if (status == STATUS_OK)
			status = catalog_text_embedding_put(catalog, b->texts[i], row->id, b->embeddings + i * engine->embed, engine->embed, err);
		free(b->ids[i]);
		b->last = b->texts[i];
	}
	return status;
}

/* Commits what is pending and goes on. */
static enum status commit(struct catalog *catalog, double *committed, struct err *err)
{
	enum status status = catalog_commit(catalog, err);

	*committed = clock_now();
	return status == STATUS_OK ? catalog_begin(catalog, err) : status;
}

enum status texts_embed(const struct listener *listener, struct engine *engine, struct catalog *catalog, const struct catalog_model *row, size_t *embedded,
			struct err *err)
{
	struct batch batch = {.engine = engine, .embeddings = mem_floats(mem_product(BATCH, engine->embed))};
	struct progress progress;
	double committed = clock_now();
	size_t total;
	enum status status = batch.embeddings ? catalog_texts_unembedded_count(catalog, row->id, &total, err) : err_memory(err, "embeddings");

	*embedded = 0;
	if (status != STATUS_OK || total == 0)
		goto out;
	progress_start(&progress, listener, "embedding", "texts");
	status = catalog_begin(catalog, err);
	while (status == STATUS_OK && *embedded < total) {
		status = embed_batch(&batch, catalog, row, err);
		if (status != STATUS_OK || batch.count == 0)
			break;
		*embedded += batch.count;
		progress_show(&progress, *embedded, total);
		if (listener_stopped(listener))
			break;
		if (clock_now() - committed > COMMIT_SECONDS)
			status = commit(catalog, &committed, err);
	}
	if (status == STATUS_OK)
		status = catalog_commit(catalog, err);
	else
		catalog_rollback(catalog);
	progress_end(&progress);
	if (status == STATUS_OK && *embedded < total && listener_stopped(listener))
		status = err_set(err, STATUS_INTERRUPTED, "interrupted; what was embedded is kept; the rest follows when it is needed");
out:
	free(batch.embeddings);
	return status;
}

enum status texts_ready(struct library *library, struct err *err)
{
	struct catalog *writer = NULL;
	struct catalog_model row;
	struct err reason;
	size_t missing, n;
	enum status status = catalog_texts_unembedded_count(library->catalog, library->row.id, &missing, err);

	if (status != STATUS_OK || missing == 0)
		return status;
	status = catalog_open(catalog_path(library->catalog), CATALOG_WRITE, &writer, &reason);
	if (status == STATUS_OK)
		status = engine_identify(&library->engine, writer, &row, &reason);
	if (status == STATUS_OK)
		status = texts_embed(library->listener, &library->engine, writer, &row, &n, &reason);
	catalog_close(writer);
	if (status == STATUS_OK) {
		library_know(library, &row); /* it may be new to the catalog */
		return STATUS_OK;
	}
	if (status != STATUS_BUSY && status != STATUS_IO) {
		*err = reason;
		return status;
	}
	listener_note(library->listener, "%zu texts are not embedded by this model yet and are left out, as %s", missing, reason.text);
	return STATUS_OK;
}

enum status texts_index(struct library *library, struct err *err)
{
	size_t n;

	return store_count(library->store, STORE_TEXTS, &n, err);
}
