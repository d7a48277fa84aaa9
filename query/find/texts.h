/* texts.h: texts into the catalog, and their embeddings.
 *
 *     texts_add(listener, &library, "captions.tsv", "captions", &report, err);    // rows; the library is open for writing
 *     texts_embed(listener, &library.engine, catalog, &library.row, &n, err);      // embeddings of all that have none
 *
 * A line of a .tsv file ties a text to a photo: path or content, TAB, text. A path is absolute, or relative to the file's folder or one
 * of the indexed folders; a content is its number or its hash (32 hex digits). In any other file, and on standard input, each line
 * is a text.
 */
#ifndef QUERY_FIND_TEXTS_H
#define QUERY_FIND_TEXTS_H

#include "query/session/library.h"
#include "schema/catalog/models.h"
#include "schema/base/memory.h"

struct texts_report {
	size_t added, known;      /* new rows; texts that were there already */
	size_t unknown;           /* lines whose photo the catalog does not hold */
	size_t malformed;         /* lines that cannot be read: no TAB, no text, a NUL byte */
	size_t named;             /* how many of the two are in lines */
	struct buffer lines;      /* for the user: what was left out, one a line */
};

/* All rows in one transaction. path "-": standard input. */
enum status texts_add(struct library *library, const char *path, const char *collection, struct texts_report *report, struct err *err);
void texts_report_release(struct texts_report *report);

/* The name of a file's collection when none is given: "notes" for "dir/notes.tsv", "notes" for "-". The caller's to free. */
char *texts_collection(const char *path);

/* One line, without its line feed. False: it is to be skipped in silence (empty). *reason: why it cannot be read, NULL if it can.
 * key: what names the photo; NULL unless tsv. */
struct texts_line {
	const char *key, *text;
	size_t key_size, text_size;
};
bool texts_parse(const char *line, size_t size, bool tsv, struct texts_line *parsed, const char **reason);

/* Embeds what has no embedding of this model, in batches, committing every few seconds. STATUS_INTERRUPTED: what is done is kept. */
enum status texts_embed(const struct listener *listener, struct engine *engine, struct catalog *catalog, const struct catalog_model *row, size_t *embedded,
			struct err *err);

/* For a library that is open for reading: embeds what this model has not embedded yet, through a second connection. If another
 * process is writing or the disk is read only, says so and goes on without those texts. */
enum status texts_ready(struct library *library, struct err *err);

/* Brings the index of the texts' embeddings up to date: a search would do it as well, but then the first one waits for it. */
enum status texts_index(struct library *library, struct err *err);

#endif
