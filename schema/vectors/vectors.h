/* vectors.h: nearest embeddings. A cache: the catalog is the truth, and the file can be made again from it at any time without
 * looking at a photograph.
 *
 *     struct vectors *vectors;
 *     vectors_open(catalog, &model, &vectors, err);      // loads the file, or rebuilds it when missing, stale or corrupt
 *     vectors_search(vectors, query, 1, 10, scores, contents, err);
 *
 * Exact (Flat, inner product) by a scan of our own over 8-bit codes, which all cores share out and which needs no more than its file
 * mapped: FAISS's Flat index reads four times as much, by one thread for a single query, and has no filter. For very large
 * collections there is an inverted file of FAISS's besides, whose nprobe was tuned on the collection's own vectors when it was built.
 *
 * Any number of threads may search at once.
 */
#ifndef SCHEMA_VECTORS_VECTORS_H
#define SCHEMA_VECTORS_VECTORS_H

#include "schema/catalog/catalog.h"
#include "schema/catalog/models.h"
#include "schema/base/status.h"

struct vectors;

/* Which of the catalog's embeddings. Each set has a file of its own; ids are those of contents, or of texts. */
enum vectors_set { VECTORS_PHOTOS, VECTORS_TEXTS };

struct vectors_options {
	enum vectors_set set;
	size_t flat_most;        /* up to so many vectors the index is Flat; 0: the default (VECTORS_FLAT_MOST) */
	double recall_wanted;    /* recall at 10 that the approximate index is tuned to; 0: the default 0.99 */
	bool memory_only;        /* neither read nor write the file */
	bool check;              /* all of the file now; else each part when a search first uses it */
};
enum { VECTORS_FLAT_MOST = 4000000 };

/* options may be NULL. A file that cannot be written (a read-only disk) is no error: the index then lives in memory. Damage that a search
 * comes upon later is mended then, from the catalog, which it opens by its path. */
enum status vectors_open(struct catalog *catalog, const struct catalog_model *model, const struct vectors_options *options,
			 struct vectors **vectors, struct err *err);
void vectors_close(struct vectors *vectors); /* takes NULL */

/* Whether the catalog still has the embeddings that an index was opened for. */
enum status vectors_current(const struct vectors *vectors, struct catalog *catalog, bool *current, struct err *err);

size_t vectors_count(const struct vectors *vectors);
/* "Flat", "IVF1024,SQ8 nprobe 24": for status and verify. Valid until close. */
const char *vectors_describe(const struct vectors *vectors);
bool vectors_exact(const struct vectors *vectors);
bool vectors_rebuilt(const struct vectors *vectors); /* this open, or a search since, made it anew */

/* The k best of each of n queries [n,dim] by inner product, descending, ties by ascending content id. scores[n,k], contents[n,k];
 * places beyond the collection's size hold content 0 and score -INFINITY. */
enum status vectors_search(struct vectors *vectors, const float *queries, size_t n, size_t k, float *scores, int64_t *contents,
			   struct err *err);

/* The same among some contents only (ascending; those without an embedding are passed over), always exact. */
enum status vectors_search_some(struct vectors *vectors, const int64_t *some, size_t some_n, const float *queries, size_t n, size_t k,
				float *scores, int64_t *contents, struct err *err);

/* The same by exact scan of the catalog's own embeddings, over all or only the given contents (ascending): the plain twin of both. */
enum status vectors_scan(struct catalog *catalog, const struct catalog_model *model, const int64_t *contents /* NULL: all */, size_t count,
			 const float *queries, size_t n, size_t k, float *scores, int64_t *found, struct err *err);

/* vectors_scan over another set. */
enum status vectors_scan_set(struct catalog *catalog, const struct catalog_model *model, enum vectors_set set, const int64_t *ids,
			     size_t count, const float *queries, size_t n, size_t k, float *scores, int64_t *found, struct err *err);

/* Recall at k of vectors_search against vectors_scan, over `sample` embeddings of the collection as queries. */
enum status vectors_recall(struct vectors *vectors, struct catalog *catalog, const struct catalog_model *model, size_t sample, size_t k,
			   double *recall, struct err *err);

#endif
