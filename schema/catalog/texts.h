/* texts.h: sentences of any collection (captions, notes, titles), their embeddings as a set, which of them are tied to photographs, how
 * likely they are whatever the photograph, and which of them a model wrote.
 *
 *     struct catalog_text text = {.collection = "notes", .photo_content = content, .text = bytes, .text_size = n};
 *     catalog_text_put(catalog, &text, err);                             // sets text.id
 *     catalog_texts_unembedded(catalog, model, after, 64, visit, context, err);
 *     catalog_texts_of_contents(catalog, contents, n, model, dim, visit, context, err);   // one statement for all
 */
#ifndef SCHEMA_CATALOG_TEXTS_H
#define SCHEMA_CATALOG_TEXTS_H

#include "schema/catalog/catalog.h"
#include "schema/catalog/contents.h"

struct catalog_text {
	int64_t id;
	const char *collection;      /* name of the collection: the file it came from, "captions", ... */
	int64_t photo_content;       /* 0: tied to no photo */
	const char *text;            /* bytes as given */
	size_t text_size;
	bool added;                  /* set by catalog_text_put: it was not there before */
};
/* The same (collection, content, text) keeps its id. */
enum status catalog_text_put(struct catalog *catalog, struct catalog_text *text, struct err *err);
enum status catalog_text_embedding_put(struct catalog *catalog, int64_t text, int64_t model, const float *embedding, size_t dim,
				       struct err *err);
/* embedding: NULL if there is none yet, or none was asked for. */
typedef enum status (*text_visitor)(void *context, const struct catalog_text *text, const float *embedding, struct err *err);
enum status catalog_texts_each(struct catalog *catalog, int64_t model, size_t dim, const char *collection /* NULL: all */,
			       text_visitor visit, void *context, struct err *err);
enum status catalog_texts_forget(struct catalog *catalog, const char *collection, size_t *n, struct err *err);

/* --- embeddings as a set --- */

/* Every embedded text, ascending by id. */
enum status catalog_text_embeddings_each(struct catalog *catalog, int64_t model, size_t dim, embedding_visitor visit, void *context,
					 struct err *err);
enum status catalog_text_embeddings_count(struct catalog *catalog, int64_t model, size_t *n, struct err *err);
/* *found false: none. */
enum status catalog_text_embedding_get(struct catalog *catalog, int64_t text, int64_t model, float *embedding, size_t dim, bool *found,
				       struct err *err);
/* The same for n texts, in any order; what is not found is not touched. */
enum status catalog_text_embeddings_get(struct catalog *catalog, const int64_t *texts, size_t n, int64_t model,
					float *embeddings /* [n,dim] */, size_t dim, bool *found /* [n] */, struct err *err);
/* A number that changes whenever that set changes; 0 before the first. */
enum status catalog_text_generation(struct catalog *catalog, int64_t model, int64_t *generation, struct err *err);

/* The first `most` texts, by id, behind the id `after` that have no embedding of that model. */
enum status catalog_texts_unembedded(struct catalog *catalog, int64_t model, int64_t after, size_t most, text_visitor visit, void *context,
				     struct err *err);
enum status catalog_texts_unembedded_count(struct catalog *catalog, int64_t model, size_t *n, struct err *err);

/* --- texts --- */

struct text_key {
	int64_t id, content; /* content 0: tied to no photo */
};
/* Of a collection, or of all (NULL); ascending by id, the caller's to free. */
enum status catalog_text_keys(struct catalog *catalog, const char *collection, struct text_key **keys, size_t *n, struct err *err);
/* The ids alone. */
enum status catalog_texts_in(struct catalog *catalog, const char *collection, int64_t **texts, size_t *n, struct err *err);
/* The texts that are tied to any of the contents (ascending; NULL: to any at all); ascending by id, the caller's to free. */
enum status catalog_texts_tied(struct catalog *catalog, const int64_t *contents, size_t n, int64_t **texts, size_t *count, struct err *err);

/* STATUS_NOT_FOUND if there is none. The visitor's embedding is NULL. */
enum status catalog_text_get(struct catalog *catalog, int64_t id, text_visitor visit, void *context, struct err *err);

/* Those of n ids that are there, in the order of the ids. */
enum status catalog_texts_get(struct catalog *catalog, const int64_t *ids, size_t n, text_visitor visit, void *context, struct err *err);

/* Whether any text is tied to a photo: cheap. */
enum status catalog_texts_any_tied(struct catalog *catalog, bool *any, struct err *err);
/* At most `most` tied texts, evenly spread by content: the same on every run. */
enum status catalog_texts_tied_sample(struct catalog *catalog, size_t most, int64_t *texts /* [most] */, size_t *count, struct err *err);
/* The texts tied to a content, by id, with their embeddings, if any. */
enum status catalog_texts_of_content(struct catalog *catalog, int64_t content, int64_t model, size_t dim, text_visitor visit, void *context,
				     struct err *err);

/* Those tied to n contents, in the order of the contents; dim 0: without embeddings. */
enum status catalog_texts_of_contents(struct catalog *catalog, const int64_t *contents, size_t n, int64_t model, size_t dim,
				      text_visitor visit, void *context, struct err *err);

struct text_collection {
	const char *name;         /* valid during the visit */
	int64_t texts, tied, embedded;
};
typedef enum status (*collection_visitor)(void *context, const struct text_collection *collection, struct err *err);
enum status catalog_collections_each(struct catalog *catalog, int64_t model, collection_visitor visit, void *context, struct err *err);

/* --- likelihoods under pictures that have nothing to do with the text: a cache --- */

struct text_null {
	int64_t text, null; /* null: a content, or minus the number of a picture of noise */
	float likelihood;
};
enum status catalog_null_get(struct catalog *catalog, int64_t model, struct text_null *entry, bool *found, struct err *err);
/* Of n texts under m nulls; NaN: not known. */
enum status catalog_nulls_get(struct catalog *catalog, int64_t model, const int64_t *texts, size_t n, const int64_t *nulls, size_t m,
			      float *likelihoods /* [n,m] */, struct err *err);
/* Best effort: a catalog that is locked or read only keeps none, which is no error. */
void catalog_nulls_keep(struct catalog *catalog, int64_t model, const struct text_null *entries, size_t n);

/* --- captions: texts that a model wrote --- */

/* The model's caption of a content becomes text (put before); a text that it replaces goes, if no other model wrote it, too. */
enum status catalog_caption_put(struct catalog *catalog, int64_t content, int64_t model, int64_t text, double likelihood, struct err *err);
/* *text 0: none. */
enum status catalog_caption_get(struct catalog *catalog, int64_t content, int64_t model, int64_t *text, double *likelihood,
				struct err *err);

#endif
