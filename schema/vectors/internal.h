/* internal.h: what the files of vectors.h share: the k best, the one inner product that every exact path uses, and the file. */
#ifndef SCHEMA_VECTORS_INTERNAL_H
#define SCHEMA_VECTORS_INTERNAL_H

#include <pthread.h>

#include "schema/catalog/contents.h"
#include "schema/catalog/models.h"
#include "schema/vectors/faiss.h"
#include "schema/vectors/vectors.h"

/* --- the k best (scan.c) --- */

/* Letters: N vectors, D components, Q queries, k results. A heap with the worst of up to k results at its root; better is
 * the higher score, then the lower id, so that the outcome does not depend on the order of offers. */
struct nearest {
	size_t k, n;
	float *scores; /* [k] */
	int64_t *ids;  /* [k] */
};
void nearest_offer(struct nearest *nearest, float score, int64_t id);
void nearest_finish(struct nearest *nearest); /* best first; places left over hold -INFINITY and id 0 */

/* Always adds in the same order: equal vectors have equal scores in every path. */
float vectors_dot(const float *a /* [D] */, const float *b /* [D] */, size_t dim);

/* How a set is read from the catalog. */
struct vectors_reading {
	const char *name; /* part of the file's */
	enum status (*count)(struct catalog *catalog, int64_t model, size_t *n, struct err *err);
	enum status (*each)(struct catalog *catalog, int64_t model, size_t dim, embedding_visitor visit, void *context, struct err *err);
	enum status (*get)(struct catalog *catalog, int64_t id, int64_t model, float *embedding, size_t dim, bool *found, struct err *err);
	enum status (*generation)(struct catalog *catalog, int64_t model, int64_t *generation, struct err *err);
};
const struct vectors_reading *vectors_reading(enum vectors_set set);

/* STATUS_USAGE if a component of queries [n,dim] is no number. */
enum status vectors_check_queries(const float *queries, size_t n, size_t dim, struct err *err);

/* About `sample` embeddings, evenly spread over `total`, each with noise of its own length added: a stand-in for questions, which
 * are no photo's own embedding. *queries [*n,dim] is the caller's to free. */
enum status vectors_sample(struct catalog *catalog, const struct catalog_model *model, enum vectors_set set, size_t total, size_t sample,
			   bool noise, uint64_t seed, float **queries, size_t *n, struct err *err);
/* How many of found[n,k] are among truth[n,k], as a share of those that truth has. */
double vectors_share(const int64_t *found, const int64_t *truth, size_t n, size_t k);

/* --- the file (file.c) --- */

/* What must be the same for a file to be used. Zeroed before it is filled: compared byte by byte. */
struct vectors_identity {
	char magic[4];
	uint32_t version;
	char uuid[40], config_digest[40], weights_digest[40], faiss[24];
	int64_t model, generation;
	uint64_t dim;
};

struct vectors_header {
	struct vectors_identity identity;
	uint64_t count;
	uint64_t lists, probes;       /* of the inverted file; 0: there is none */
	double recall, recall_wanted; /* of the inverted file, as measured by tuning, and as asked for */
	double norm_most;             /* length of the longest embedding, decoded from its codes or not */
	uint64_t index_size, index_hash; /* FAISS's part */
	uint64_t table_hash;
	uint64_t header_hash;         /* of all above */
};

/* Embeddings are kept, checked and scanned in blocks of so many: with 512 components 128 KB of codes, which stay in a core's cache
 * between their checksum and their scan. */
enum { VECTORS_BLOCK = 256 };

/* What the table has about a block. */
struct vectors_block {
	int64_t first;        /* its smallest id */
	uint64_t head, codes; /* checksums */
};

struct vectors_head {
	int64_t ids[VECTORS_BLOCK];      /* ascending, over all blocks; 0 behind the last */
	float scales[VECTORS_BLOCK];     /* an embedding is about scale * codes ... */
	float residuals[VECTORS_BLOCK];  /* ... to within this length */
	uint32_t sums[VECTORS_BLOCK];    /* checksums of the rows */
};

/* Where things are, from the file's start, and its size without FAISS's part. */
struct vectors_layout {
	size_t blocks, table, heads, codes, rows, index;
};
/* False: such a file is larger than memory can address. */
bool vectors_layout(size_t count, size_t dim, struct vectors_layout *layout);

struct vectors {
	struct vectors_header header;
	size_t count, dim, stride;
	struct vectors_layout layout;
	const struct vectors_block *table; /* [blocks] */
	const struct vectors_head *heads;  /* [blocks] */
	const int8_t *codes;               /* [blocks * VECTORS_BLOCK, stride] */
	const uint16_t *rows;              /* [count, dim] F16, as the catalog has them */
	uint8_t *base;                     /* the file, mapped, or the same in memory */
	size_t size;
	uint8_t *checked;                  /* [blocks] what of each was found intact, of a mapped file; NULL: nothing is in doubt */
	FaissIndex *index;                 /* NULL until vectors_load */
	pthread_mutex_t loading;
	/* Searches share it; a damaged file is replaced under it. */
	pthread_rwlock_t lock;
	char *catalog_path;
	struct catalog_model model;
	struct vectors_options options;
	bool rebuilt;
	char description[64];
};

enum status vectors_faiss_failed(const char *what, struct err *err);
/* Makes sure that the inverted file is in memory. Several threads may ask at once. */
enum status vectors_load(struct vectors *vectors, struct err *err);

/* Zeroed memory for count embeddings, laid out as in a file. */
enum status vectors_allocate(struct vectors *vectors, size_t count, size_t dim, struct err *err);
/* Puts the next embedding, in ascending order of ids, at a place of memory that was allocated. */
void vectors_put(struct vectors *vectors, size_t at, int64_t id, const float *embedding);
/* When all are put. */
void vectors_seal(struct vectors *vectors);
/* Frees or unmaps; the options and the catalog's path stay. */
void vectors_release(struct vectors *vectors);

/* Whether a block's ids, scales and residuals, or its codes, or a row are what was written: checksums are compared when a block is first
 * used. Any number of threads. */
bool vectors_head_intact(const struct vectors *vectors, size_t block);
bool vectors_codes_intact(const struct vectors *vectors, size_t block);
bool vectors_row(const struct vectors *vectors, size_t at, float *embedding /* [dim] */);
bool vectors_intact(const struct vectors *vectors); /* all of it */

/* STATUS_NOT_FOUND or STATUS_FORMAT: there is no file that fits; what was kept of it is the caller's to release. */
enum status vectors_file_read(const char *path, const struct vectors_identity *identity, struct vectors *vectors, struct err *err);
enum status vectors_file_write(const char *path, struct vectors *vectors, struct err *err);

/* --- searching (search.c) --- */

/* vectors_search and vectors_search_some without their checks of the arguments; some NULL: all. STATUS_FORMAT: the file is damaged. */
enum status vectors_seek(struct vectors *vectors, const int64_t *some, size_t some_n, const float *queries, size_t n, size_t k,
			 float *scores, int64_t *ids, struct err *err);

#endif
