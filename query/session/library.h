/* library.h: a catalog and a model, opened together: what nearly every question starts with.
 *
 *     struct library library;
 *     library_open(&(struct library_options){.database = path, .model = folder}, &library, err);
 *     ...
 *     library_close(&library);
 */
#ifndef QUERY_SESSION_LIBRARY_H
#define QUERY_SESSION_LIBRARY_H

#include <stdbool.h>

#include "query/session/engine.h"
#include "schema/base/listener.h"
#include "schema/base/memory.h"
#include "schema/catalog/catalog.h"
#include "schema/catalog/models.h"
#include "schema/store/store.h"

enum library_mode {
	LIBRARY_READ,          /* STATUS_NOT_FOUND, and `empty`, where there is no catalog or it does not know the model */
	LIBRARY_READ_OR_EMPTY, /* then catalog and store may be NULL, and row.id 0 */
	LIBRARY_WRITE,         /* makes the catalog where there is none; the model gets its row */
	LIBRARY_CATALOG,       /* for reading, without the model until library_engine asks for it */
};

struct library_options {
	const char *database;            /* the catalog's path */
	const char *model;               /* a folder or a file of weights */
	enum precision precision;        /* AUTO unless said otherwise */
	enum library_mode mode;
	const struct listener *listener; /* may be NULL */
};

struct library {
	struct engine engine;
	struct catalog *catalog;         /* for what is written: texts, captions, labels */
	struct store *store;             /* for what is asked */
	struct catalog_model row;        /* of the model; id 0: the catalog does not know it */
	bool empty;                      /* nothing was indexed (by this model): no failure, but no answer either */
	const char *model;               /* as in the options, and theirs */
	enum precision precision;
	const struct listener *listener;
};

/* After an error close is still due. */
enum status library_open(const struct library_options *options, struct library *library, struct err *err);
void library_close(struct library *library); /* takes a zeroed one */

/* The catalog again, for writing, with the model that is open: for those who look for minutes before they write. */
enum status library_write(struct library *library, const char *database, struct err *err);
/* The digests of the model's configuration and weights, from its row where there is one: else they are computed. */
enum status library_digests(const struct library *library, char config[33], char weights[33], struct err *err);
/* The model, its row and the store of its embeddings, where LIBRARY_CATALOG left them out; nothing, where they are there. */
enum status library_engine(struct library *library, struct err *err);
/* The row is known now: after another connection has put it. */
void library_know(struct library *library, const struct catalog_model *row);

/* engine_embed_text, but what was asked before is remembered (remembered.h). */
enum status library_embed_text(struct library *library, const char *text, size_t size, float *embedding /* [E] */, bool *cut,
			       struct err *err);

/* Appends the path of a content's first photo that passes the filter (NULL: any) and is there; nothing if there is none. */
enum status library_path(struct library *library, int64_t content, const struct photo_filter *filter, struct buffer *path, struct err *err);

#endif
